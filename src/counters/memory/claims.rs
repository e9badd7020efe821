//! Expired holds that were handed out, until they are told of.

use super::Map;
use crate::counters::ExpiredHold;
use crate::limits::HoldId;
use crate::units::UnixMillis;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Claims {
    claimed: Map<HoldId, Claim>,
    /// The same, by when each is handed out again.
    by_end: BTreeSet<(UnixMillis, HoldId)>,
}

#[derive(Debug)]
struct Claim {
    until: UnixMillis,
    slot: Arc<str>,
    context: Arc<str>,
}

impl Claims {
    /// Someone is handed the hold, and it is theirs until then.
    pub(super) fn add(&mut self, expired: &ExpiredHold, until: UnixMillis) {
        let claim = Claim {
            until,
            slot: Arc::clone(&expired.slot),
            context: Arc::clone(&expired.context),
        };
        if let Some(before) = self.claimed.insert(expired.hold, claim) {
            self.by_end.remove(&(before.until, expired.hold));
        }
        self.by_end.insert((until, expired.hold));
    }

    /// At most so many whose claim is over, the longest first.
    pub(super) fn due(&self, now: UnixMillis, max: usize) -> Vec<ExpiredHold> {
        let due = self.by_end.iter().take_while(|(until, _)| *until <= now);
        let due = due.take(max).filter_map(|(_, hold)| {
            let claim = self.claimed.get(hold)?;
            Some(ExpiredHold {
                slot: Arc::clone(&claim.slot),
                hold: *hold,
                context: Arc::clone(&claim.context),
            })
        });
        due.collect()
    }

    pub(super) fn end(&mut self, hold: HoldId) {
        if let Some(claim) = self.claimed.remove(&hold) {
            self.by_end.remove(&(claim.until, hold));
        }
    }
}
