//! Keys and admin tokens in the ledger's database: made, listed, replaced,
//! withdrawn, followed; requests for approval, grants, what is added to budgets; and
//! who did what to them.
//!
//! | module | for |
//! |---|---|
//! | [`key`] | a key as it is kept; what is said of it without its secret |
//! | [`token`] | admin tokens |
//! | [`approvals`] | what calls ask approval for, and what people answer |
//! | [`grants`] | what was allowed |
//! | [`granting`] | what may be allowed, made of what people say |
//! | [`top_ups`] | what was added to budgets |
//! | [`alerts`] | what others than callers are told of, until they are |
//! | [`allowed`] | grants, denials and top-ups, and then what changes |
//! | [`allowed_copy`] | those in a file, for when the database is away |
//! | [`audit`] | what was done, by whom, in a chain |
//! | [`follow`] | all keys, and then what changes |
//! | [`withdrawals`] | what was withdrawn while the database was away, until it knows |
//! | [`copy`] | the keys in a file, for when the database is away |
//! | [`making`] | new keys and names |
//! | [`lasting`] | what grants and top-ups have in common |
//! | `write`, `read`, `head`, `row`, `error` | the database's part |
//!
//! Always holds:
//! - of a key or a token only a digest is kept, and neither a row of the audit nor
//!   an error holds even that;
//! - changes come one after the other, each with a number, and a number that can
//!   be seen has all before it: who follows misses nothing;
//! - what is done and that it was done are one transaction;
//! - nothing is done with a token that was withdrawn before;
//! - both engines give the same answers: one suite runs on both.
//!
//! Left to others: what a digest is made with (`identity`), what a key's own
//! limits mean (`config`), who may do what (`identity::Role`, asked by whoever
//! calls).

pub mod alerts;
pub mod allowed;
pub mod allowed_copy;
pub mod approvals;
pub mod audit;
pub mod copy;
mod error;
pub mod follow;
pub mod granting;
pub mod grants;
mod head;
pub mod key;
pub mod lasting;
pub mod making;
mod read;
mod row;
pub mod token;
pub mod top_ups;
pub mod withdrawals;
mod write;

pub use error::AccountsError;
pub use key::{NewKey, StoredKey};
pub use read::{Listing, PAGE_KEYS_MAX};
pub use token::{AdminToken, NewToken};
pub use write::{Imported, KEYS_OF_ONE_TRANSACTION, Successor};

use crate::identity::KeyDigest;
use crate::ledger::store::StoreConfig;
use crate::ledger::store::database::{self, Pool, Tables, Version};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

const TABLES: Tables = Tables {
    version_table: "accounts_version",
    versions: &[
        Version {
            oldest: 1,
            sqlite: include_str!("accounts/migrations/0001_accounts.sqlite.sql"),
            postgres: include_str!("accounts/migrations/0001_accounts.postgres.sql"),
        },
        Version {
            oldest: 2,
            sqlite: include_str!("accounts/migrations/0002_approvals.sqlite.sql"),
            postgres: include_str!("accounts/migrations/0002_approvals.postgres.sql"),
        },
        Version {
            oldest: 3,
            sqlite: include_str!("accounts/migrations/0003_alerts.sqlite.sql"),
            postgres: include_str!("accounts/migrations/0003_alerts.postgres.sql"),
        },
    ],
};

/// Who does something, and when: stands in the audit.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// `cli/alice`, or the id of an admin token.
    pub name: &'a str,
    pub at: UnixMillis,
}

/// Keys and tokens in a database. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct Accounts {
    pool: Pool,
}

impl Accounts {
    /// Connects, and brings the tables to this program's version. Several may do
    /// so at once.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn open(config: &StoreConfig) -> Result<Self, AccountsError> {
        let pool = database::connect(config).await?;
        database::migrate(&pool, &TABLES).await?;
        Ok(Self { pool })
    }

    /// Connects to read: nothing is made or changed.
    ///
    /// # Errors
    /// [`AccountsError::NoAccounts`], [`AccountsError::Database`].
    pub async fn open_to_read(config: &StoreConfig) -> Result<Self, AccountsError> {
        let pool = database::connect_to_read(config).await?;
        database::check(&pool, &TABLES).await?;
        Ok(Self { pool })
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`AccountsError::Taken`] where another has its name or its digest;
    /// [`AccountsError::Database`].
    pub async fn create(&self, by: Actor<'_>, key: NewKey) -> Result<StoredKey, AccountsError> {
        write::create(&self.pool, by, key).await
    }

    /// Adds keys, at most [`KEYS_OF_ONE_TRANSACTION`] in one transaction. One whose
    /// name or digest is there already is passed over, and told of.
    ///
    /// # Errors
    /// [`AccountsError::Database`]. What was committed before stays: doing it again
    /// does the rest.
    pub async fn import(
        &self,
        by: Actor<'_>,
        keys: Vec<NewKey>,
    ) -> Result<Imported, AccountsError> {
        write::import(&self.pool, by, keys).await
    }

    /// Puts a new key in the place of another, with all that it may. The old one
    /// counts for `overlap` longer, or until it ends by itself.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`]; [`AccountsError::Over`] where the old one counts
    /// no more or was replaced before; as [`Accounts::create`].
    pub async fn rotate(
        &self,
        by: Actor<'_>,
        id: &str,
        to: Successor,
        overlap: Millis,
    ) -> Result<StoredKey, AccountsError> {
        write::rotate(&self.pool, by, id, to, overlap).await
    }

    /// Withdraws a key; whether it wasn't before.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`], [`AccountsError::Database`].
    pub async fn revoke(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        write::revoke(&self.pool, by, id).await
    }

    /// Withdraws a key that was withdrawn elsewhere before, whatever became of who
    /// did it since.
    ///
    /// # Errors
    /// As [`Accounts::revoke`].
    pub async fn revoke_late(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        write::revoke_late(&self.pool, by, id).await
    }

    /// A key, whether it counts or not.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn key(&self, id: &str) -> Result<Option<StoredKey>, AccountsError> {
        read::key(&self.pool, id).await
    }

    /// Keys by their names, a page of at most [`PAGE_KEYS_MAX`].
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn list(&self, listing: &Listing) -> Result<Vec<StoredKey>, AccountsError> {
        read::list(&self.pool, listing).await
    }

    /// Notes when keys were used last: an hour for each name. Earlier ones than
    /// known change nothing, and no one follows them.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn used(&self, hours: Vec<(Arc<str>, u32)>) -> Result<(), AccountsError> {
        write::used(&self.pool, "keys", hours).await
    }

    /// Adds an admin token. Whether its maker may is theirs to ask
    /// (`identity::Role::may_grant`).
    ///
    /// # Errors
    /// [`AccountsError::Taken`], [`AccountsError::Database`].
    pub async fn create_token(
        &self,
        by: Actor<'_>,
        token: NewToken,
    ) -> Result<AdminToken, AccountsError> {
        token::create(&self.pool, by, token).await
    }

    /// The token of a digest that counts at this time.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn find_token(
        &self,
        digest: &KeyDigest,
        now: UnixMillis,
    ) -> Result<Option<AdminToken>, AccountsError> {
        token::find(&self.pool, digest, now).await
    }

    /// All tokens, by name; they are few.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn tokens(&self) -> Result<Vec<AdminToken>, AccountsError> {
        token::list(&self.pool).await
    }

    /// Withdraws a token and all that were made with it; whether it wasn't before.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`], [`AccountsError::Database`].
    pub async fn revoke_token(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        token::revoke(&self.pool, by, id).await
    }

    /// Notes when tokens were used last.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn tokens_used(&self, hours: Vec<(Arc<str>, u32)>) -> Result<(), AccountsError> {
        write::used(&self.pool, "admin_tokens", hours).await
    }

    /// Adds to the audit what was done to something that isn't kept here.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn note(&self, by: Actor<'_>, deed: audit::Deed<'_>) -> Result<(), AccountsError> {
        audit::note(&self.pool, by, deed).await
    }

    /// What was done, from a sequence on, a page.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn audit(&self, asked: &audit::Asked) -> Result<Vec<audit::Entry>, AccountsError> {
        audit::read(&self.pool, asked).await
    }

    /// Walks along the whole audit; how many rows it has, or where it isn't as it
    /// was written.
    ///
    /// # Errors
    /// [`AccountsError::Database`]. That it is broken is an answer.
    pub async fn verify_audit(
        &self,
    ) -> Result<Result<u64, crate::ledger::store::verify::Fault>, AccountsError> {
        audit::verify(&self.pool).await
    }

    /// Reads all keys that aren't withdrawn, as of one moment.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn load(&self) -> Result<follow::Load, AccountsError> {
        follow::Load::begin(&self.pool).await
    }

    /// What has changed after a change, in order, at most so many keys.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn changes(&self, after: i64, max: usize) -> Result<follow::Changes, AccountsError> {
        follow::changes(&self.pool, after, max).await
    }
}
