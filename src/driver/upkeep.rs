//! What must happen at intervals: leases renewed, unanswered settlements asked
//! again, expired holds recorded.
//!
//! One after the other: what this process is asking the store to settle is
//! never taken by its own look for expired holds meanwhile.

use super::unsettled::{Again, Round};
use super::{Driver, expiry, renewal};
use crate::telemetry::readiness::Readiness;
use crate::units::Millis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often expired holds are looked for.
const EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// The intervals' work.
pub struct Upkeep {
    driver: Arc<Driver>,
    readiness: Arc<Readiness>,
    renew_every: Millis,
    /// When the store was last seen to be away. It may have been until now when
    /// this process begins.
    failed_at: Instant,
}

impl Upkeep {
    pub fn new(driver: Arc<Driver>, readiness: Arc<Readiness>, renew_every: Millis) -> Self {
        Self {
            failed_at: driver.clock.instant(),
            driver,
            readiness,
            renew_every,
        }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut renew = ticker(self.renew_every.into());
        let mut expire = ticker(EXPIRY_EVERY);
        let mut again = Again::new(&self.driver);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = renew.tick() => self.renew().await,
                () = again.due(&self.driver) => {
                    again.round(&self.driver).await;
                }
                _ = expire.tick() => {
                    // First, as expiry keeps what a settlement would give back.
                    let round = again.round(&self.driver).await;
                    self.look().await;
                    if round == Round::Whole && self.may_expire() {
                        self.expire().await;
                    }
                }
            }
        }
    }

    async fn renew(&mut self) {
        let driver = &self.driver;
        driver.clock.follow_drift();
        let there = |slot: &str| !driver.breaker.is_open(driver.counters.lane(slot));
        if renewal::renew(driver, there).await.is_err() {
            self.store_failed();
        }
    }

    /// Tells metrics and readiness how things stand.
    pub(super) async fn look(&mut self) {
        let driver = &self.driver;
        driver.learning.publish(driver.clock.now());
        driver.recorder.key_uses(&driver.snapshot().keys.uses);
        driver
            .recorder
            .holds(driver.leases.len(), driver.unsettled.len());
        // Until it answers or is taken to be away. Whatever else is: those who begin
        // now must find everybody here.
        while !driver.breaker.is_open(0)
            && let Err(error) = driver.join().await
        {
            driver.recorder.counter_error(&error);
            driver.lane_failed(0, &error);
            if !error.is_of_the_store() {
                break;
            }
        }
        if let Err(error) = driver.look_for_losses().await {
            driver.recorder.counter_error(&error);
            tracing::debug!(%error, "the counter store can't be asked whether it lost anything");
        }
        let away = driver.breaker.away();
        driver.recorder.lanes_away(away);
        self.readiness
            .set_counters(away == 0 || driver.local.decides());
        if away > 0 {
            self.store_failed();
        }
    }

    fn store_failed(&mut self) {
        self.failed_at = self.driver.clock.instant();
    }

    /// After the store was away, those who are alive renew and settle their
    /// holds first: within the life of a lease, or they are dead. A process that
    /// has just begun doesn't know whether it was.
    fn may_expire(&self) -> bool {
        let wait: Duration = self.driver.settings.lease_ttl.into();
        let now = self.driver.clock.instant();
        now.duration_since(self.failed_at) >= wait
    }

    async fn expire(&mut self) {
        if let Err(error) = expiry::expire(&self.driver).await {
            self.driver.recorder.counter_error(&error);
            self.store_failed();
        }
    }
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut ticker = tokio::time::interval(every);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::counters::memory::Memory;

    /// The store may have been away for all, longer than a hold lives.
    #[tokio::test]
    async fn a_process_that_has_just_begun_takes_no_holds_that_others_will_renew() {
        let driver = crate::driver::tests::driver(Counters::Memory(Memory::default()));
        let lease_ttl: Duration = driver.settings.lease_ttl.into();
        let mut upkeep = Upkeep::new(driver, Arc::default(), Millis(1));
        assert!(!upkeep.may_expire());
        upkeep.failed_at -= lease_ttl;
        assert!(upkeep.may_expire());
    }
}
