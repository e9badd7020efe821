//! Who is calling: the principal that every metered call has.
//!
//! Left to others: where a credential stands in a request (`exchange`), where
//! keys are configured (`config`).

pub mod key;

pub use key::{KeyDigest, KeyTable, Pepper};

use std::sync::Arc;

/// On whose account a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub tenant: Arc<str>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    /// The name of the key, never the key.
    pub key_id: Arc<str>,
    /// The name of the plan that the tenant is on.
    pub plan: Arc<str>,
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
