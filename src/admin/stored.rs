//! The ledger's database, where keys, admin tokens and the audit are kept.

use super::answer::Wrong;
use super::caller::Caller;
use crate::accounts::audit::Deed;
use crate::accounts::withdrawals::{Withdrawal, Withdrawals};
use crate::accounts::{Accounts, AccountsError, Actor, AdminToken};
use crate::identity::{Pepper, Peppers};
use crate::ledger::store::StoreConfig;
use crate::units::UnixMillis;
use arc_swap::ArcSwapOption;
use axum::http::StatusCode;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Within what a whole request may take.
const WORK_MAX: Duration = Duration::from_secs(7);

/// How long it may take to note that a token was used: who asks doesn't wait for
/// others that write.
const NOTE_MAX: Duration = Duration::from_millis(250);

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// Where accounts are kept, and what their secrets are digested with.
#[derive(Clone)]
pub struct AccountsApi {
    config: Option<Arc<StoreConfig>>,
    peppers: Arc<ArcSwapOption<Peppers>>,
    withdrawals: Arc<Withdrawals>,
    /// Opened when first asked.
    opened: Arc<OnceCell<Accounts>>,
}

impl fmt::Debug for AccountsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsApi").finish_non_exhaustive()
    }
}

impl AccountsApi {
    /// `None`: the ledger, if there is one, has no database.
    pub fn new(
        config: Option<StoreConfig>,
        peppers: Option<Peppers>,
        withdrawals: Arc<Withdrawals>,
    ) -> Self {
        Self {
            config: config.map(Arc::new),
            peppers: Arc::new(ArcSwapOption::from_pointee(peppers)),
            withdrawals,
            opened: Arc::default(),
        }
    }

    pub fn is_there(&self) -> bool {
        self.config.is_some()
    }

    /// Secrets are digested with others from now on.
    pub(super) fn change_peppers(&self, peppers: Option<Peppers>) {
        self.peppers.store(peppers.map(Arc::new));
    }

    pub(super) fn pepper(&self) -> Result<Pepper, Wrong> {
        let peppers = self.peppers.load();
        let now = peppers.as_ref().map(|peppers| peppers.now.clone());
        now.ok_or_else(|| Wrong::busy("there is no pepper"))
    }

    /// Carries something out, for as long as it may take.
    pub(super) async fn with<T, W>(&self, work: impl FnOnce(Accounts) -> W) -> Result<T, Wrong>
    where
        W: Future<Output = Result<T, AccountsError>>,
    {
        let config = self.config.as_ref().ok_or_else(|| {
            let error = "nothing is kept here: set ledger.sqlite or ledger.postgres";
            Wrong::new(StatusCode::NOT_FOUND, error)
        })?;
        let done = tokio::time::timeout(WORK_MAX, async {
            let opened = self.opened.get_or_try_init(|| Accounts::open(config));
            work(opened.await?.clone()).await
        });
        match done.await {
            Ok(done) => done.map_err(Wrong::from),
            Err(_) => Err(Wrong::busy(
                "the database takes too long; ask what came of it",
            )),
        }
    }

    /// Takes what is withdrawn while the database is away, and has it on disk:
    /// whoever follows the database tells it then.
    pub(super) async fn withdraw(&self, one: Withdrawal) -> Result<(), Wrong> {
        let withdrawals = Arc::clone(&self.withdrawals);
        let kept = tokio::task::spawn_blocking(move || withdrawals.add(one)).await;
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Wrong::busy(format!(
                "the database is away, and so is the disk that could keep it until then: {error}"
            ))),
            Err(_) => Err(Wrong::busy("it couldn't be kept")),
        }
    }

    pub(super) async fn find_token(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Option<AdminToken>, Wrong> {
        let (Some(peppers), true) = (self.peppers.load_full(), self.is_there()) else {
            return Ok(None);
        };
        for pepper in peppers.iter() {
            let digest = pepper.digest(token.as_bytes());
            let found = self.with(|accounts| async move {
                let found = accounts.find_token(&digest, now).await?;
                let hour = u32::try_from(now.0 / HOUR_MS).unwrap_or(u32::MAX);
                if let Some(token) = &found
                    && token.last_used_hour.is_none_or(|known| known < hour)
                {
                    let hours = vec![(Arc::clone(&token.id), hour)];
                    let noted = tokio::time::timeout(NOTE_MAX, accounts.tokens_used(hours));
                    // It counts all the same; the next time it may be noted.
                    if !matches!(noted.await, Ok(Ok(()))) {
                        tracing::debug!(token = %token.id, "when it was used can't be noted now");
                    }
                }
                Ok(found)
            });
            if let Some(found) = found.await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Tells the audit of something that isn't of a key or a token. Without a
    /// database the log is all that tells of it.
    pub(super) async fn note(
        &self,
        caller: &Caller,
        at: UnixMillis,
        deed: Change<'_>,
    ) -> Result<(), Wrong> {
        let Change {
            action,
            subject,
            tenant,
            before,
            after,
        } = deed;
        tracing::info!(
            actor = %caller.name, role = %caller.role, action, subject, tenant, "an operator acts"
        );
        if !self.is_there() {
            return Ok(());
        }
        let noted = self.with(|accounts| async move {
            let by = Actor {
                name: &caller.name,
                at,
            };
            let deed = Deed {
                action,
                subject,
                tenant,
                before,
                after,
            };
            accounts.note(by, deed).await
        });
        noted.await
    }
}

/// Something that an operator does.
pub(super) struct Change<'c> {
    pub action: &'static str,
    pub subject: &'c str,
    pub tenant: Option<&'c str>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl From<AccountsError> for Wrong {
    fn from(error: AccountsError) -> Self {
        let text = error.to_string();
        match error {
            AccountsError::Unknown(what) => Wrong::nothing(what),
            AccountsError::Taken(_)
            | AccountsError::Over(_)
            | AccountsError::Full(_)
            | AccountsError::FullOfDenials => Wrong::new(StatusCode::CONFLICT, text),
            AccountsError::Unreadable(_) => Wrong::new(StatusCode::INTERNAL_SERVER_ERROR, text),
            _ => Wrong::busy(text),
        }
    }
}
