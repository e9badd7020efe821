//! The mark that tells whether the server lost something, and holds whose names
//! are remembered for as long as anyone may bring back what was lost.

use super::keys::Bucket;
use super::scripts::{self, Remembered};
use super::{Redis, UPKEEP_PATIENCE};
use crate::counters::{CounterError, Epoch};
use crate::limits::{Actual, HoldId};

impl Redis {
    /// The epoch of a lane; `fresh` from now on, where it has none.
    pub async fn epoch(&self, lane: usize, fresh: Epoch) -> Result<Epoch, CounterError> {
        let bucket = Bucket::all().nth(lane).unwrap_or(Bucket::of(""));
        let key = bucket.epoch();
        let mut get = ::redis::cmd("GET");
        get.arg(&key);
        let known: Option<String> = self.query(UPKEEP_PATIENCE, get.clone()).await?;
        let known = match known {
            Some(known) => known,
            None => {
                let mut set = ::redis::cmd("SET");
                set.arg(&key).arg(fresh.to_string()).arg("NX");
                let _: ::redis::Value = self.query(UPKEEP_PATIENCE, set).await?;
                // Another may have been faster.
                self.query(UPKEEP_PATIENCE, get).await?
            }
        };
        Epoch::parse(&known).ok_or_else(|| CounterError::Corrupt("an epoch".into()))
    }

    /// Ends a hold, which is remembered for two weeks.
    pub async fn settle_long(
        &self,
        slot: &str,
        hold: HoldId,
        actual: Actual,
    ) -> Result<(), CounterError> {
        let attempt = (self.attempts.next(), Remembered::Long);
        let call = self.scripts.settle(slot, hold, actual, attempt);
        let parts = self.run(UPKEEP_PATIENCE, &call).await?;
        scripts::settled(&parts).map(drop)
    }
}
