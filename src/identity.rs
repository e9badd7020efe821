//! Who is calling: the principal that every metered call has, and the keys that
//! prove it.
//!
//! A [`KeyRing`] turns what a caller presents into a [`table::Entry`]; with the
//! tenant's plan that is a [`Principal`].
//!
//! Left to others: where a credential stands in a request (`exchange`), where
//! keys are kept (`config`, `accounts`), which plan a tenant is on (`policy`).

mod attributes;
pub mod format;
pub mod jwt;
pub mod labels;
mod pepper;
mod ring;
mod role;
pub mod scopes;
pub mod source;
pub mod table;
mod written;

pub use attributes::Attributes;
pub use pepper::{KeyDigest, PEPPER_BYTES_MIN, Pepper, Peppers};
pub use ring::{Found, KeyRing, KeyUse, KeyUses, NotFound};
pub use role::{NoRole, Role};
pub use scopes::Scopes;
pub use table::{Change, Key, KeyTable, KeyTableBuilder, KeyTableError};

use std::sync::Arc;

/// Words that an operator gave a key, by name; few, in the order of their names.
pub type Labels = [(Arc<str>, Arc<str>)];

/// On whose account a call goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    pub tenant: Arc<str>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    /// The name of the key, never the key; of a caller without one, of the
    /// source that knew who it is.
    pub key_id: Arc<str>,
    /// The name of the plan that the tenant is on.
    pub plan: Arc<str>,
    /// `None`: it has none.
    pub labels: Option<Arc<Labels>>,
    /// What it may be used for; `None`: for everything that its plan allows.
    pub scopes: Option<Arc<Scopes>>,
    /// Limits of its key's own, by the name that `policy` has them under.
    pub limits: Option<Arc<str>>,
}

impl Principal {
    /// Whose counter a limit per user is: a key that names no user is a user of
    /// its own, so that no limit is an open tap. The prefix keeps a key from
    /// sharing a counter with a user of the same name.
    pub fn user_or_key(&self) -> String {
        user_or_key(self.user.as_deref(), &self.key_id)
    }
}

/// [`Principal::user_or_key`] of one who isn't at hand.
pub fn user_or_key(user: Option<&str>, key_id: &str) -> String {
    match user {
        Some(user) => format!("user={user}"),
        None => format!("key={key_id}"),
    }
}
