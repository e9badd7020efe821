//! What goes wrong with accounts.

use crate::ledger::store::StoreError;

/// Why something wasn't done. Holds neither an address nor a secret.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error("there is no {0} of this name")]
    Unknown(&'static str),
    #[error("another {0} has this name or this secret already")]
    Taken(&'static str),
    #[error("it {0}")]
    Over(&'static str),
    /// A bound is reached.
    #[error("there are too many {0}: let some end, or revoke some, first")]
    Full(&'static str),
    #[error(
        "too many requests are denied already: deny for a shorter time, or wait until some end"
    )]
    FullOfDenials,
    #[error("the database holds no keys: `weir keys create` or `weir serve` prepares it")]
    NoAccounts,
    /// What is kept there isn't what this program writes.
    #[error("what the database holds can't be read: {0}")]
    Unreadable(&'static str),
    #[error("{0}")]
    Database(StoreError),
}

impl From<StoreError> for AccountsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoLedger => AccountsError::NoAccounts,
            other => AccountsError::Database(other),
        }
    }
}
