//! Looking at counters, and putting them at rest, for an operator.

use super::Redis;
use super::UPKEEP_PATIENCE;
use super::keys::Bucket;
use super::packed;
use super::scripts::{self, Reserved};
use crate::counters::CounterError;
use crate::limits::counter::{self, Rule};
use crate::limits::{CHARGES_MAX, Charge, Standing, Toll};
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;

/// The most holds of a bucket that are looked through; their records are some
/// hundred bytes each.
const HOLDS_MAX: usize = 100_000;

/// Holds that are read together.
const READ_TOGETHER: usize = 500;

impl Redis {
    /// How counters of a slot stand; takes nothing.
    pub async fn look(
        &self,
        slot: &Arc<str>,
        looks: &[Charge],
        now: UnixMillis,
    ) -> Result<Vec<Standing>, CounterError> {
        let mut standings = Vec::with_capacity(looks.len());
        for looks in looks.chunks(CHARGES_MAX) {
            let rules = counter::rules_of_looks(looks)?;
            let toll = Toll {
                slot: Arc::clone(slot),
                charges: looks.to_vec(),
            };
            let script = |there| self.scripts.charge(&toll, &rules, there);
            let (counters, now) = match self.take(&rules, now, script).await? {
                (Reserved::Admitted(counters) | Reserved::Refused(counters), now) => {
                    (counters, now)
                }
                (Reserved::Ended | Reserved::Outdated, _) => return Err(super::jumping_clock()),
            };
            standings.extend(counters.iter().map(|counter| counter.standing(now)));
        }
        Ok(standings)
    }

    /// What open holds took from each counter; `None` where there are too many
    /// holds to look through.
    pub async fn held(
        &self,
        slot: &str,
        looks: &[Charge],
    ) -> Result<Option<Vec<u64>>, CounterError> {
        let bucket = Bucket::of(slot);
        let mut open = ::redis::cmd("ZRANGE");
        open.arg(bucket.open()).arg(0).arg(HOLDS_MAX);
        let open: Vec<String> = self.query(UPKEEP_PATIENCE, open).await?;
        if open.len() > HOLDS_MAX {
            return Ok(None);
        }
        let keys = keys(bucket, slot, looks)?;
        let places: HashMap<&[u8], usize> = keys
            .iter()
            .enumerate()
            .map(|(place, key)| (&**key, place))
            .collect();
        let mut held: Vec<u64> = vec![0; looks.len()];
        for holds in open.chunks(READ_TOGETHER) {
            let mut get = ::redis::cmd("MGET");
            for hold in holds {
                get.arg(format!("{}{hold}", bucket.hold_prefix()));
            }
            let records: Vec<Option<Vec<u8>>> = self.query(UPKEEP_PATIENCE, get).await?;
            for (key, amount) in records
                .iter()
                .flatten()
                .flat_map(|record| packed::held(record))
            {
                if let Some(sum) = places.get(key).and_then(|place| held.get_mut(*place)) {
                    *sum = sum.saturating_add(amount);
                }
            }
        }
        Ok(Some(held))
    }

    /// Puts counters at rest, but not leases, in one step: Redis is kept busy for
    /// about as many microseconds as there are open holds.
    pub async fn reset(&self, slot: &str, looks: &[Charge]) -> Result<(), CounterError> {
        let bucket = Bucket::of(slot);
        let keys = keys(bucket, slot, looks)?;
        let leases = |rule: &Rule| matches!(rule, Rule::Leases { .. });
        let rules = counter::rules_of_looks(looks)?;
        let counted = keys
            .into_iter()
            .zip(rules)
            .filter(|(_, rule)| !leases(rule));
        let counted: Vec<Vec<u8>> = counted.map(|(key, _)| key).collect();
        let script = self.scripts.reset(bucket, &counted);
        let parts = self.run(UPKEEP_PATIENCE, &script).await?;
        scripts::flag(&parts).map(drop)
    }
}

/// The keys of counters, in order.
fn keys(bucket: Bucket, slot: &str, looks: &[Charge]) -> Result<Vec<Vec<u8>>, CounterError> {
    let rules = counter::rules_of_looks(looks)?;
    let keys = looks.iter().zip(rules).map(|(look, rule)| {
        let mut key = Vec::new();
        bucket.write_counter(&mut key, rule, slot, &look.counter);
        key
    });
    Ok(keys.collect())
}
