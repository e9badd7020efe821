//! Settlements that the store has not answered, asked again until it does.
//!
//! A store that is away may have applied what it didn't answer, or may come
//! back empty; so the event waits here, with its settlement, until the store
//! says who ended the hold. Its lease is renewed meanwhile, as far as the store
//! hears of it.
//!
//! Always holds: what waits is bounded. While the store is away no call is
//! admitted, so the settlements that have an event are at most as many as calls
//! were open; of those that only give back what a refused call may have taken,
//! the first matter most, for the store still heard them, and later ones are
//! dropped.

use super::Driver;
use crate::counters::CounterError;
use crate::exchange::Settlement;
use crate::limits::{HoldId, Settled};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The most settlements without an event that wait.
const GIVE_BACKS_MAX: usize = 50_000;

/// The most that wait in all, about 1 KiB each.
const WAITING_MAX: usize = 200_000;

/// Settlements that are asked together.
const TOGETHER_MAX: usize = 64;

/// The most that are asked before other upkeep has its turn.
const ROUND_MAX: usize = 1_024;

/// The pause before a settlement is asked again; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Settlements without an answer.
#[derive(Default)]
pub(super) struct Unsettled {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct Waiting {
    /// By id, which begins with its time: the oldest first.
    settlements: BTreeMap<HoldId, Settlement>,
    give_backs: usize,
}

impl Unsettled {
    /// Takes a settlement into care; false where too many are.
    fn keep(&self, settlement: Settlement) -> bool {
        let mut waiting = self.lock();
        let gives_back = settlement.event.is_none();
        if waiting.settlements.len() >= WAITING_MAX
            || gives_back && waiting.give_backs >= GIVE_BACKS_MAX
        {
            return false;
        }
        waiting.give_backs += usize::from(gives_back);
        waiting.settlements.insert(settlement.hold, settlement);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    /// Hands over what waits for the hold, if anything does.
    pub(super) fn take(&self, hold: HoldId) -> Option<Settlement> {
        let mut waiting = self.lock();
        let settlement = waiting.settlements.remove(&hold)?;
        waiting.give_backs -= usize::from(settlement.event.is_none());
        if waiting.settlements.is_empty() {
            self.emptied.notify_waiters();
        }
        Some(settlement)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().settlements.len()
    }

    /// Resolves when nothing waits.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The oldest that come after the given one.
    fn next(&self, after: Option<HoldId>, max: usize) -> Vec<Settlement> {
        let waiting = self.lock();
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let later = waiting
            .settlements
            .range((from, std::ops::Bound::Unbounded));
        later.take(max).map(|(_, next)| next.clone()).collect()
    }

    /// A panic while it was locked left it whole but for the count of
    /// give-backs, which only bounds.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Asks for the first time, for all parts of the hold at once.
pub(super) async fn settle(driver: &Driver, settlement: Settlement) {
    match settlement.shared_part() {
        Some(shared) => {
            let own = settle_part(driver, settlement);
            tokio::join!(own, settle_part(driver, shared));
        }
        None => settle_part(driver, settlement).await,
    }
}

async fn settle_part(driver: &Driver, settlement: Settlement) {
    let settled = ask(driver, &settlement).await;
    match settled {
        Ok(settled) => {
            let ended_here = matches!(settled, Settled::Applied | Settled::Unknown);
            conclude(driver, settlement, ended_here);
        }
        Err(error) => {
            let hold = settlement.hold;
            tracing::warn!(%error, %hold, "a settlement failed; it is tried again");
            if !driver.unsettled.keep(settlement) {
                driver.leases.release(hold);
                tracing::error!(
                    %hold,
                    "too many settlements wait for the counter store; this one is given up, its hold will expire"
                );
            }
        }
    }
}

async fn ask(driver: &Driver, settlement: &Settlement) -> Result<Settled, CounterError> {
    let Settlement {
        slot, hold, actual, ..
    } = settlement;
    let settled = driver
        .counters
        .settle(slot, *hold, *actual, driver.clock.now())
        .await;
    settled.inspect_err(|error| driver.recorder.counter_error(error))
}

/// The hold has ended: its event is recorded by whoever ended it.
fn conclude(driver: &Driver, settlement: Settlement, ended_here: bool) {
    driver.leases.release(settlement.hold);
    if let Some(event) = settlement.event.filter(|_| ended_here) {
        driver.recorder.record(event);
    }
}

/// When to ask again.
pub(super) struct Again {
    at: Instant,
    pause: Duration,
}

impl Again {
    pub(super) fn new(driver: &Driver) -> Self {
        Self {
            at: driver.clock.instant(),
            pause: PAUSE_MIN,
        }
    }

    /// Resolves when something waits and its time has come. May be dropped and
    /// asked anew.
    pub(super) async fn due(&self, driver: &Driver) {
        while driver.unsettled.len() == 0 {
            driver.unsettled.arrived.notified().await;
        }
        tokio::time::sleep_until(self.at.into()).await;
    }

    /// Asks again for what waits, the oldest first, until all are asked or the
    /// store is still away. Says how far it came.
    pub(super) async fn round(&mut self, driver: &Driver) -> Round {
        let round = ask_again(driver).await;
        self.pause = match round {
            Round::Answered => PAUSE_MIN,
            Round::Odd | Round::Away => (self.pause * 2).min(PAUSE_MAX),
        };
        self.at = driver.clock.instant() + self.pause;
        round
    }
}

/// How the store answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Answered,
    /// To some with an error that is theirs.
    Odd,
    /// Not: it is away, and the rest wasn't asked.
    Away,
}

async fn ask_again(driver: &Driver) -> Round {
    let (mut asked, mut after, mut round) = (0, None, Round::Answered);
    while asked < ROUND_MAX {
        let batch = driver.unsettled.next(after, TOGETHER_MAX);
        let Some(last) = batch.last() else {
            break;
        };
        after = Some(last.hold);
        asked += batch.len();
        let answers: Vec<_> = stream::iter(batch)
            .map(|settlement| async move { (settlement.hold, ask(driver, &settlement).await) })
            .buffered(TOGETHER_MAX)
            .collect()
            .await;
        for (hold, answer) in answers {
            match answer {
                Ok(settled) => {
                    // An attempt that seemed to fail may have settled it: nobody
                    // else does. Of a hold that expired, whoever took it tells;
                    // one that the store lost has nobody else to tell of it.
                    let ended_here = settled != Settled::Expired;
                    if let Some(settlement) = driver.unsettled.take(hold) {
                        conclude(driver, settlement, ended_here);
                    }
                }
                Err(error) => {
                    let away = matches!(
                        error,
                        CounterError::Unavailable(_) | CounterError::Timeout(_)
                    );
                    if away {
                        round = Round::Away;
                    } else if round == Round::Answered {
                        round = Round::Odd;
                    }
                    tracing::debug!(%error, %hold, "a settlement failed again");
                }
            }
        }
        if round == Round::Away {
            break;
        }
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Actual;
    use crate::units::UnixMillis;

    fn give_back(at: u64) -> Settlement {
        Settlement {
            slot: "acme".into(),
            hold: HoldId::new(UnixMillis(at), &[7; 10]),
            shared: false,
            actual: Actual::VOID,
            event: None,
        }
    }

    #[test]
    fn the_oldest_is_asked_first_and_each_is_handed_over_once() {
        let unsettled = Unsettled::default();
        for at in [3, 1, 2] {
            assert!(unsettled.keep(give_back(at)));
        }
        let next = |after, max| -> Vec<_> {
            let next = unsettled.next(after, max).into_iter();
            next.map(|settlement| settlement.hold).collect()
        };
        let hold = |at| give_back(at).hold;
        assert_eq!(next(None, 2), [hold(1), hold(2)]);
        assert_eq!(next(Some(hold(2)), 2), [hold(3)]);
        assert!(unsettled.take(hold(1)).is_some());
        assert!(unsettled.take(hold(1)).is_none());
        assert_eq!(unsettled.len(), 2);
    }

    #[test]
    fn give_backs_are_bounded_and_the_first_are_kept() {
        let unsettled = Unsettled::default();
        for at in 0..GIVE_BACKS_MAX as u64 {
            assert!(unsettled.keep(give_back(at)));
        }
        let late = give_back(GIVE_BACKS_MAX as u64);
        assert!(!unsettled.keep(late.clone()));
        unsettled.take(give_back(0).hold).unwrap();
        assert!(unsettled.keep(late));
    }
}
