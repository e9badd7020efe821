//! Holds that nobody settled: handed out, and told of.

use super::keys::Bucket;
use super::scripts;
use super::{At, Redis, UPKEEP_PATIENCE};
use crate::counters::{CounterError, ExpiredHold};
use crate::limits::HoldId;
use crate::units::Millis;
use std::collections::BTreeMap;

impl Redis {
    /// `now` is that of the last script that took something, or of the look
    /// that found nothing.
    pub async fn expire_due(
        &self,
        max: usize,
        claim: Millis,
    ) -> Result<At<Vec<ExpiredHold>>, CounterError> {
        let due = self.due_buckets().await?;
        let mut expired = At {
            answer: Vec::new(),
            now: due.now,
        };
        for bucket in due.answer {
            let room = max.saturating_sub(expired.answer.len());
            if room == 0 {
                break;
            }
            match self.expire_bucket(bucket, room, claim).await {
                Ok(taken) => {
                    expired.answer.extend(taken.answer);
                    expired.now = taken.now;
                }
                // What has been taken must reach the caller.
                Err(_) if !expired.answer.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    /// These are told of: nobody is handed them again.
    pub async fn told(&self, holds: &[ExpiredHold]) -> Result<(), CounterError> {
        let mut of_buckets: BTreeMap<usize, (Bucket, Vec<HoldId>)> = BTreeMap::new();
        // One without a slot was claimed by nobody.
        for hold in holds.iter().filter(|hold| !hold.slot.is_empty()) {
            let bucket = Bucket::of(&hold.slot);
            let there = of_buckets.entry(bucket.number());
            let (_, holds) = there.or_insert((bucket, Vec::new()));
            holds.push(hold.hold);
        }
        for (bucket, holds) in of_buckets.into_values() {
            let call = self.scripts.told(bucket, &holds);
            scripts::flag(&self.run(UPKEEP_PATIENCE, &call).await?)?;
        }
        Ok(())
    }

    async fn expire_bucket(
        &self,
        bucket: Bucket,
        max: usize,
        claim: Millis,
    ) -> Result<At<Vec<ExpiredHold>>, CounterError> {
        let call = self.scripts.expire(bucket, max, claim);
        let parts = self.run(UPKEEP_PATIENCE, &call).await?;
        let (answer, now) = scripts::expired(&parts)?;
        Ok(At { answer, now })
    }

    /// The buckets that have holds past their expiry, or past their claim. Only a
    /// hint, so it asks without a script: the script that takes them decides.
    async fn due_buckets(&self) -> Result<At<Vec<Bucket>>, CounterError> {
        let now = self.time(UPKEEP_PATIENCE).await?;
        let due_of = |key: String| {
            let mut count = ::redis::cmd("ZCOUNT");
            count.arg(key).arg("-inf").arg(now.0);
            count
        };
        let claims = self.each_bucket(|bucket| due_of(bucket.claims())).await?;
        let mut due = self.each_bucket(|bucket| due_of(bucket.open())).await?;
        for ((_, due), (_, claims)) in due.iter_mut().zip(claims) {
            *due = due.saturating_add(claims);
        }
        due.retain(|(_, count)| *count > 0);
        Ok(At {
            answer: due.into_iter().map(|(bucket, _)| bucket).collect(),
            now,
        })
    }
}
