//! What is counted of keys.

use super::Metrics;
use crate::identity::KeyUse;
use crate::units::Millis;

impl Metrics {
    pub fn key_used(&self, kind: KeyUse, times: u64) {
        if let Some(uses) = self.key_uses.get(kind) {
            uses.inc_by(times);
        }
    }

    pub fn stored_keys(&self, keys: usize) {
        self.stored_keys
            .set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    pub fn stored_keys_age(&self, age: Millis) {
        let seconds = i64::try_from(age.0 / 1_000).unwrap_or(i64::MAX);
        self.stored_keys_age_seconds.set(seconds);
    }
}
