//! Noticing that the store lost what it was told: a flush, a restart without its
//! data, a failover to an empty one.
//!
//! Each lane of the store has an [`Epoch`]. Where it is another than before,
//! what was settled before is counted nowhere. Each such call is told again by
//! one of two: the ledger's sums tell of those that ended before
//! [`Epoch::since`] (`rebuild`); of those that ended later, whoever settled them.
//! What was open comes back by its renewal or settlement.
//!
//! Always holds: what is kept for that is bounded, by number and by time.

use super::{Driver, clock};
use crate::counters::{CounterError, Epoch};
use crate::limits::{Actual, Algorithm, HoldId, Limit, Reservation, Settled};
use crate::units::{Millis, UnixMillis};
use futures_util::{StreamExt, stream};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// How far the clocks of sidecars may be apart, so that each call is told again
/// once; rows of the ledger have as long to arrive before they are summed.
const SLACK: Millis = Millis(2_000);

/// The most calls that are kept to be told again, about 1 KiB each.
const RECENT_MAX: usize = 50_000;

/// Asked together.
const TOGETHER_MAX: usize = 64;

/// What is known of the store's epochs.
#[derive(Default)]
pub(super) struct Losses {
    state: Mutex<State>,
    /// Rung when there is something to rebuild, or somebody asks.
    pub stirred: Notify,
}

#[derive(Default)]
struct State {
    lanes: Vec<Lane>,
    /// What the store settled lately, the longest ago first.
    recent: VecDeque<Recent>,
    due: Vec<Due>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    epoch: Option<Epoch>,
    seen_at: UnixMillis,
}

/// A call that the store settled.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    call: Arc<Reservation>,
    actual: Actual,
    ended_at: UnixMillis,
}

/// A lane whose counters are to be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub lane: usize,
    pub epoch: Epoch,
}

/// What an epoch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing was lost.
    Same,
    /// It is the first that is heard of here.
    First,
    Lost,
}

impl Losses {
    /// What a lane begins with that has lost its epoch.
    pub(super) fn fresh(&self, lane: usize, now: UnixMillis, random: &[u8; 10]) -> Epoch {
        let state = self.lock();
        let known = state.lanes.get(lane).filter(|known| known.epoch.is_some());
        Epoch {
            id: HoldId::new(now, random),
            // Nobody here remembers anything: all that has ended is lost.
            since: known.map_or(now + Millis(1), |known| known.seen_at - SLACK),
        }
    }

    /// A lane has this epoch now.
    pub(super) fn heard(&self, lane: usize, epoch: Epoch, now: UnixMillis) -> Heard {
        let mut state = self.lock();
        if state.lanes.len() <= lane {
            state.lanes.resize(lane + 1, Lane::default());
        }
        let Some(known) = state.lanes.get_mut(lane) else {
            return Heard::Same;
        };
        let before = known.epoch.replace(epoch);
        known.seen_at = now;
        let heard = match before {
            Some(before) if before == epoch => Heard::Same,
            Some(_) => Heard::Lost,
            None => Heard::First,
        };
        if heard != Heard::Same {
            state.due.retain(|due| due.lane != lane);
            state.due.push(Due { lane, epoch });
            drop(state);
            self.stirred.notify_one();
        }
        heard
    }

    /// The store settled a call that ended at this time.
    pub(super) fn settled(&self, call: Arc<Reservation>, actual: Actual, ended_at: UnixMillis) {
        let mut state = self.lock();
        // Whoever makes the next epoch may have looked a little earlier.
        let seen = state.lanes.iter().map(|lane| lane.seen_at).min();
        let kept_from = seen.unwrap_or_default() - Millis(2 * SLACK.0);
        while let Some(first) = state.recent.front()
            && (first.ended_at < kept_from || state.recent.len() >= RECENT_MAX)
        {
            state.recent.pop_front();
        }
        state.recent.push_back(Recent {
            call,
            actual,
            ended_at,
        });
    }

    /// What the store settled of calls that ended from then on, in slots of the
    /// caller's choice.
    fn recent(&self, since: UnixMillis, wanted: impl Fn(&str) -> bool) -> Vec<Recent> {
        let state = self.lock();
        let recent = state.recent.iter();
        let recent = recent.filter(|one| one.ended_at >= since && wanted(&one.call.slot));
        recent.cloned().collect()
    }

    /// What is to be rebuilt.
    pub(super) fn due(&self) -> Vec<Due> {
        self.lock().due.clone()
    }

    /// These are rebuilt, or can't be.
    pub(super) fn done(&self, done: &[Due]) {
        self.lock().due.retain(|due| !done.contains(due));
    }

    /// A panic while it was locked left it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Driver {
    /// Looks whether the store lost anything, in the lanes that are there.
    pub(super) async fn look_for_losses(&self) -> Result<(), CounterError> {
        if !self.counters.is_remote() {
            return Ok(());
        }
        let now = self.clock.now();
        let lanes: Vec<usize> = (0..self.counters.lanes())
            .filter(|lane| !self.breaker.is_open(*lane))
            .collect();
        let heard: Vec<(usize, Result<Epoch, CounterError>)> = stream::iter(lanes)
            .map(|lane| async move {
                let fresh = self.losses.fresh(lane, now, &clock::random().id);
                (lane, self.counters.epoch(lane, fresh).await)
            })
            .buffered(TOGETHER_MAX)
            .collect()
            .await;
        let mut failed = None;
        for (lane, epoch) in heard {
            match epoch {
                Ok(epoch) if self.losses.heard(lane, epoch, now) == Heard::Lost => {
                    tracing::warn!(
                        lane,
                        "the counter store lost what it knew; its counters are rebuilt"
                    );
                    self.settle_again(lane, epoch).await;
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Settles again what was settled lately: what the store knows of is as it was,
    /// the rest is charged anew.
    async fn settle_again(&self, lane: usize, epoch: Epoch) {
        let in_lane = |slot: &str| self.counters.lane(slot) == lane;
        let recent = self.losses.recent(epoch.since, in_lane);
        let calls = recent.len();
        let answers: Vec<bool> = stream::iter(recent)
            .map(|one| async move { self.settle_one_again(one).await })
            .buffered(TOGETHER_MAX)
            .collect()
            .await;
        let unknown = answers.iter().filter(|answered| !**answered).count();
        if unknown > 0 {
            tracing::error!(
                calls,
                unknown,
                "the counter store could not be asked about calls that it may have lost; what they \
                 used may be charged nowhere"
            );
        }
    }

    async fn settle_one_again(&self, one: Recent) -> bool {
        let (slot, hold) = (&one.call.slot, one.call.hold);
        for _ in 0..3 {
            let now = self.clock.now();
            match self.counters.settle(slot, hold, one.actual, now).await {
                Ok(Settled::Unknown) => {
                    let mut again = Reservation::clone(&one.call);
                    again.hold = hold.restored();
                    // As of older calls: see `rebuild`.
                    again.retain(|charge| is_rebuilt(&charge.limit));
                    if !again.charges.is_empty() {
                        self.local.owe_all(again, one.actual, now);
                    }
                    return true;
                }
                Ok(_) => return true,
                Err(error) => self.recorder.counter_error(&error),
            }
        }
        false
    }
}

/// Whether what was lost of the limit's counters is told again.
fn is_rebuilt(limit: &Limit) -> bool {
    match &limit.algorithm {
        Algorithm::FixedWindow { period, .. } => period.from_first_hit().is_none(),
        Algorithm::SlidingWindow { .. }
        | Algorithm::TokenBucket { .. }
        | Algorithm::LeakyBucket { .. }
        | Algorithm::Concurrency => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(n: u8) -> Epoch {
        Epoch {
            id: HoldId::new(UnixMillis(1), &[n; 10]),
            since: UnixMillis(1),
        }
    }

    #[test]
    fn another_epoch_is_a_loss_and_the_first_is_none() {
        let losses = Losses::default();
        let at = UnixMillis(60_000);
        assert_eq!(losses.fresh(1, at, &[1; 10]).since, UnixMillis(60_001));
        assert_eq!(losses.heard(1, epoch(1), at), Heard::First);
        assert_eq!(losses.heard(1, epoch(1), UnixMillis(61_000)), Heard::Same);
        assert_eq!(
            losses.fresh(1, UnixMillis(99_000), &[1; 10]).since,
            UnixMillis(59_000),
            "what was settled since it was last seen is told by whoever settled it"
        );
        let due = |n| Due {
            lane: 1,
            epoch: epoch(n),
        };
        assert_eq!(losses.heard(1, epoch(2), at), Heard::Lost);
        assert_eq!(losses.due(), [due(2)]);
        losses.done(&[due(1)]);
        assert_eq!(losses.due(), [due(2)]);
        losses.done(&[due(2)]);
        assert_eq!(losses.due(), []);
    }

    #[test]
    fn what_is_kept_is_bounded_by_time() {
        let losses = Losses::default();
        losses.heard(0, epoch(1), UnixMillis(100_000));
        let call = |at| {
            Arc::new(Reservation {
                hold: HoldId::new(UnixMillis(at), &[1; 10]),
                slot: "acme".into(),
                charges: Arc::default(),
                shared: Arc::default(),
                hold_ttl: Millis(1),
                lease_ttl: Millis(1),
                context: "".into(),
            })
        };
        for at in [95_000, 96_500, 99_000] {
            losses.settled(call(at), Actual::VOID, UnixMillis(at));
        }
        let kept = losses.recent(UnixMillis(0), |_| true);
        let kept: Vec<u64> = kept.iter().map(|one| one.ended_at.0).collect();
        assert_eq!(kept, [96_500, 99_000]);
        assert_eq!(losses.recent(UnixMillis(98_000), |_| true).len(), 1);
        assert!(losses.recent(UnixMillis(0), |_| false).is_empty());
    }
}
