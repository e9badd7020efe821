//! Who is told of what, besides callers.

use super::Secret;
use crate::alerts::{Form, Kind, SigningKey};
use crate::units::Millis;
use std::sync::Arc;

/// Alerts. Without webhooks there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertsConfig {
    pub webhooks: Vec<WebhookSettings>,
    /// `None`: refusals aren't counted.
    pub refusals: Option<RefusalsAlert>,
}

/// A tenant that is refused more often than that is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalsAlert {
    pub above: u64,
    pub every: Millis,
}

/// An address that alerts are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    pub name: Arc<str>,
    /// It may hold a key. `https://`, or `http://` where private addresses are
    /// allowed.
    pub url: Secret,
    pub form: Form,
    /// Of the form `json`.
    pub signing_key: Option<SigningKey>,
    /// Of the form `pagerduty`.
    pub routing_key: Option<Secret>,
    pub on: Vec<Kind>,
    /// Only of these; `None`: of all.
    pub tenants: Option<Vec<Arc<str>>>,
    /// Whether it may be in a private network, or on this machine.
    pub allow_private: bool,
    /// Whom to believe the server's certificate, as PEM; `None`: whom the system
    /// does.
    pub ca_pem: Option<Vec<u8>>,
    /// For a request and its answer.
    pub timeout: Millis,
}

impl AlertsConfig {
    /// The names of those that want such alerts of this tenant.
    pub fn wanting(&self, kind: Kind, tenant: Option<&str>) -> Vec<Arc<str>> {
        let all = self.webhooks.iter();
        let wanting = all.filter(|webhook| webhook.wants(kind, tenant));
        wanting.map(|webhook| Arc::clone(&webhook.name)).collect()
    }
}

impl WebhookSettings {
    /// Whether it is for such alerts of this tenant.
    pub fn wants(&self, kind: Kind, tenant: Option<&str>) -> bool {
        let is_named = |all: &Vec<Arc<str>>| all.iter().any(|one| Some(&**one) == tenant);
        self.on.contains(&kind) && self.tenants.as_ref().is_none_or(is_named)
    }
}
