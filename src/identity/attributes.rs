//! What is said of a key where it is made, wherever it is kept.

use super::Scopes;
use std::sync::Arc;

/// What a key is for, and on whose account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub tenant: Arc<str>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    /// Whom to ask about it.
    pub owner: Option<Arc<str>>,
    /// In the order of their names.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub scopes: Scopes,
    /// Limits of its own, as JSON in the configuration's form; what they mean is
    /// its part.
    pub limits: Option<Arc<str>>,
}
