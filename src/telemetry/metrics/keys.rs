//! What is counted of keys.

use super::labels::By;
use super::{Metrics, plain};
use crate::identity::KeyUse;
use crate::units::Millis;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts and gauges of keys.
#[derive(Debug)]
pub(super) struct KeyMetrics {
    uses: By<KeyUse, Counter>,
    stored: Gauge,
    stored_age_seconds: Gauge,
}

impl KeyMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            uses: By::register(
                registry,
                "key_uses",
                "Keys presented that are to be used no more",
                Counter::default,
            ),
            stored: plain(registry, "stored_keys", "Stored keys", Gauge::default()),
            stored_age_seconds: plain(
                registry,
                "stored_keys_age_seconds",
                "Since the database was read for keys last",
                Gauge::default(),
            ),
        }
    }
}

impl Metrics {
    pub fn key_used(&self, kind: KeyUse, times: u64) {
        if let Some(uses) = self.keys.uses.get(kind) {
            uses.inc_by(times);
        }
    }

    pub fn stored_keys(&self, keys: usize) {
        self.keys
            .stored
            .set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    pub fn stored_keys_age(&self, age: Millis) {
        let seconds = i64::try_from(age.0 / 1_000).unwrap_or(i64::MAX);
        self.keys.stored_age_seconds.set(seconds);
    }
}
