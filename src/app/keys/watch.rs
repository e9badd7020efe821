//! What can't wait for the database: what is withdrawn by other ways than it, and
//! for how long what was read of it may count.

use super::announced::Announced;
use super::{Following, POLL_EVERY, apply};
use crate::accounts::withdrawals::Withdrawals;
use crate::driver::Driver;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// When the database was read last.
#[derive(Clone, Default)]
pub(super) struct ReadAt(Arc<AtomicU64>);

impl ReadAt {
    pub fn set(&self, at: UnixMillis) {
        self.0.store(at.0, Ordering::Relaxed);
    }

    /// `None`: nothing is known.
    pub fn get(&self) -> Option<UnixMillis> {
        let at = self.0.load(Ordering::Relaxed);
        (at > 0).then_some(UnixMillis(at))
    }
}

pub(super) struct Watch {
    driver: Arc<Driver>,
    announced: Announced,
    withdrawals: Arc<Withdrawals>,
    read_at: ReadAt,
    stale_max: Millis,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl Watch {
    pub fn new(of: &Following, driver: &Arc<Driver>, read_at: &ReadAt) -> Self {
        Self {
            driver: Arc::clone(driver),
            announced: Announced::default(),
            withdrawals: Arc::clone(&of.withdrawals),
            read_at: read_at.clone(),
            stale_max: of.stale_max,
            metrics: Arc::clone(&of.metrics),
            readiness: Arc::clone(&of.readiness),
        }
    }

    /// Goes on for as long as it is waited for.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            self.round().await;
        }
    }

    pub async fn round(&mut self) {
        self.announced.follow(&self.driver, &self.withdrawals).await;
        self.look();
    }

    /// Tells how old what is known is, and ends its counting where it is too old.
    fn look(&self) {
        let now = self.driver.clock().now();
        let age = self.read_at.get().map(|at| now.since(at));
        let is_stale = age.is_none_or(|age| age > self.stale_max);
        let snapshot = self.driver.snapshot();
        if snapshot.keys.stored_is_stale != is_stale {
            if is_stale {
                tracing::error!("nobody knows which stored keys still count; they are refused");
            }
            apply::stale(&self.driver, is_stale);
        }
        self.metrics.stored_keys(snapshot.keys.stored.len());
        self.metrics
            .stored_keys_age(age.unwrap_or(now.since(UnixMillis(0))));
        // One whose configured keys can call is of use to them.
        let is_of_use = !is_stale || !snapshot.keys.configured.is_empty();
        self.readiness.set_keys(is_of_use);
    }
}
