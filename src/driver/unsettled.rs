//! Settlements that the store has not answered, asked again until it does.
//!
//! A store that is away may have applied what it didn't answer, or may come
//! back empty; so the event waits here, with its settlement, until the store
//! says who ended the hold. Its lease is renewed meanwhile, as far as the store
//! hears of it.
//!
//! Always holds: what waits is bounded. Of the settlements that only give back
//! what a refused call may have taken, the first matter most, for the store
//! still heard their reservations, and later ones are dropped.

mod answer;

use super::Driver;
use super::settle::conclude;
use crate::counters::CounterError;
use crate::exchange::Settlement;
use crate::ledger::faults::die;
use crate::limits::{HoldId, Settled};
use crate::units::UnixMillis;
use answer::heard;
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

/// After so many errors that are a settlement's own, its hold is no longer kept
/// alive: it expires, and its event is recorded from here then.
const ODD_MAX: u32 = 5;

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
    settlements: BTreeMap<HoldId, Entry>,
    give_backs: usize,
}

struct Entry {
    settlement: Settlement,
    /// Errors that were its own.
    odd: u32,
    /// When the store may first have heard of it.
    asked_at: Option<UnixMillis>,
}

impl Unsettled {
    /// Takes a settlement into care; gives it back where too many are.
    fn keep(
        &self,
        settlement: Settlement,
        asked_at: Option<UnixMillis>,
    ) -> Result<(), Box<Settlement>> {
        let mut waiting = self.lock();
        let gives_back = settlement.event.is_none();
        if waiting.settlements.len() >= WAITING_MAX
            || gives_back && waiting.give_backs >= GIVE_BACKS_MAX
        {
            return Err(Box::new(settlement));
        }
        waiting.give_backs += usize::from(gives_back);
        let hold = settlement.hold;
        let entry = Entry {
            settlement,
            odd: 0,
            asked_at,
        };
        if let Some(before) = waiting.settlements.insert(hold, entry) {
            waiting.give_backs -= usize::from(before.settlement.event.is_none());
        }
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Hands over what waits for the hold, if anything does.
    pub(super) fn take(&self, hold: HoldId) -> Option<Settlement> {
        let mut waiting = self.lock();
        let Entry { settlement, .. } = waiting.settlements.remove(&hold)?;
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
        later
            .take(max)
            .map(|(_, next)| next.settlement.clone())
            .collect()
    }

    /// When the store may first have heard of it; from now on it may have.
    fn asked(&self, hold: HoldId, now: UnixMillis) -> Option<UnixMillis> {
        let mut waiting = self.lock();
        let entry = waiting.settlements.get_mut(&hold)?;
        entry.asked_at.replace(entry.asked_at.unwrap_or(now))
    }

    /// Counts an error that was the settlement's own; how many there were.
    fn odd(&self, hold: HoldId) -> u32 {
        let mut waiting = self.lock();
        let entry = waiting.settlements.get_mut(&hold);
        entry.map_or(0, |entry| {
            entry.odd = entry.odd.saturating_add(1);
            entry.odd
        })
    }

    /// Hands over everything that waits.
    pub(super) fn take_all(&self) -> Vec<Settlement> {
        let mut waiting = self.lock();
        waiting.give_backs = 0;
        let all = std::mem::take(&mut waiting.settlements);
        self.emptied.notify_waiters();
        all.into_values().map(|entry| entry.settlement).collect()
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
    die("die::over");
    match settlement.shared_part() {
        Some(shared) => {
            let own = settle_part(driver, settlement);
            tokio::join!(own, settle_part(driver, shared));
        }
        None => settle_part(driver, settlement).await,
    }
}

async fn settle_part(driver: &Driver, settlement: Settlement) {
    let (hold, actual) = (settlement.hold, settlement.actual);
    // First, so that no outage that begins now takes it for an open call.
    driver.leases.over(hold);
    if driver.local.end(hold, actual, driver.clock.now()) {
        // The store is told in time, by `merge`.
        conclude(driver, settlement, None, true);
        return;
    }
    let lane = driver.counters.lane(&settlement.slot);
    let away = driver.breaker.is_open(lane);
    let asked_at = (!away).then(|| driver.clock.now());
    let settled = match away {
        true => Err(CounterError::Unavailable("it was away a moment ago".into())),
        false => ask(driver, &settlement).await,
    };
    match settled {
        Ok(settled) => {
            heard(driver, &settlement, settled, asked_at);
            let ended_here = matches!(settled, Settled::Applied | Settled::Unknown);
            conclude(driver, settlement, Some(settled), ended_here);
        }
        Err(error) => {
            tracing::debug!(%error, %hold, "a settlement failed; it is tried again");
            if let Err(settlement) = driver.unsettled.keep(settlement, asked_at) {
                tracing::error!(
                    %hold,
                    "too many settlements wait for the counter store; this one is given up: its call \
                     is recorded, its hold will expire"
                );
                // Whoever finds it expired uses the same id.
                conclude(driver, *settlement, None, true);
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
    match &settled {
        Ok(_) => driver.answered(driver.counters.lane(slot)),
        Err(error) => {
            driver.recorder.counter_error(error);
            driver.failed(slot, error);
        }
    }
    settled
}

/// When to ask again, and whom next.
pub(super) struct Again {
    at: Instant,
    pause: Duration,
    after: Option<HoldId>,
}

/// How the store answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// All that waited was asked, and the store is there.
    Whole,
    /// There is more to ask, or it went unanswered.
    Part,
    /// Nothing was answered.
    Away,
}

/// What came of one batch.
#[derive(Default)]
struct Answers {
    answered: usize,
    unanswered: usize,
}

impl Again {
    pub(super) fn new(driver: &Driver) -> Self {
        Self {
            at: driver.clock.instant(),
            pause: PAUSE_MIN,
            after: None,
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

    /// Asks again for what waits, the oldest first, and goes on from there the
    /// next time.
    pub(super) async fn round(&mut self, driver: &Driver) -> Round {
        let round = self.ask_again(driver).await;
        self.pause = match round {
            Round::Whole | Round::Part => PAUSE_MIN,
            Round::Away => (self.pause * 2).min(PAUSE_MAX),
        };
        // What has waited in vain must not be asked all the time.
        let pause = match round {
            Round::Whole if driver.unsettled.len() > 0 => PAUSE_MAX,
            _ => self.pause,
        };
        self.at = driver.clock.instant() + pause;
        round
    }

    async fn ask_again(&mut self, driver: &Driver) -> Round {
        let from_the_first = self.after.is_none();
        let (mut asked, mut unanswered) = (0, 0);
        while asked < ROUND_MAX {
            let batch = driver.unsettled.next(self.after, TOGETHER_MAX);
            let Some(last) = batch.last() else {
                self.after = None;
                return if from_the_first && unanswered == 0 {
                    Round::Whole
                } else {
                    Round::Part
                };
            };
            let last = last.hold;
            asked += batch.len();
            let answers = ask_batch(driver, batch).await;
            // Whatever came of it, others have their turn: a part of the store may
            // answer while another doesn't.
            self.after = Some(last);
            if answers.answered == 0 {
                return Round::Away;
            }
            unanswered += answers.unanswered;
        }
        Round::Part
    }
}

async fn ask_batch(driver: &Driver, batch: Vec<Settlement>) -> Answers {
    let asked: Vec<_> = stream::iter(batch)
        .map(|settlement| async move {
            let hold = settlement.hold;
            let asked_at = driver.unsettled.asked(hold, driver.clock.now());
            (hold, asked_at, ask(driver, &settlement).await)
        })
        .buffered(TOGETHER_MAX)
        .collect()
        .await;
    let mut answers = Answers::default();
    for (hold, asked_at, answer) in asked {
        match answer {
            Ok(settled) => {
                answers.answered += 1;
                // An attempt that seemed to fail may have settled it: nobody else
                // does. Of a hold that expired, whoever took it tells; one that
                // the store lost has nobody else to tell of it.
                let ended_here = settled != Settled::Expired;
                if let Some(settlement) = driver.unsettled.take(hold) {
                    heard(driver, &settlement, settled, asked_at);
                    conclude(driver, settlement, Some(settled), ended_here);
                }
            }
            // What refuses everybody (READONLY while another takes over) will
            // answer in time.
            Err(error) if error.is_of_the_store() => {
                answers.unanswered += 1;
                tracing::debug!(%error, %hold, "a settlement failed again");
            }
            Err(error) => {
                answers.answered += 1;
                if driver.unsettled.odd(hold) == ODD_MAX {
                    driver.leases.release(hold);
                    tracing::error!(%error, %hold, "a hold can't be settled; it will expire");
                }
            }
        }
    }
    answers
}

/// What is still unanswered when the process stops is recorded as it is known.
/// The store may have settled it, and then nobody else tells of it; if not, its
/// hold expires, and another process records it too, under the same id.
pub(super) fn record_unanswered(driver: &Driver) {
    let events = driver.unsettled.take_all().into_iter();
    let events: Vec<_> = events.filter_map(|settlement| settlement.event).collect();
    if !events.is_empty() {
        tracing::error!(
            calls = events.len(),
            "the counter store did not answer the settlement of these calls; they are recorded, \
             but what they reserved may stay charged, and be recorded again as estimated"
        );
    }
    for event in events {
        driver.recorder.record(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Actual;

    fn give_back(at: u64) -> Settlement {
        Settlement {
            slot: "acme".into(),
            hold: HoldId::new(UnixMillis(at), &[7; 10]),
            shared: false,
            actual: Actual::VOID,
            event: None,
            lesson: None,
            ratio_lesson: None,
            health_lesson: None,
        }
    }

    #[test]
    fn the_oldest_is_asked_first_and_each_is_handed_over_once() {
        let unsettled = Unsettled::default();
        for at in [3, 1, 2] {
            assert!(unsettled.keep(give_back(at), None).is_ok());
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
            assert!(unsettled.keep(give_back(at), None).is_ok());
        }
        let late = give_back(GIVE_BACKS_MAX as u64);
        assert_eq!(
            unsettled.keep(late.clone(), None),
            Err(Box::new(late.clone()))
        );
        unsettled.take(give_back(0).hold).unwrap();
        assert!(unsettled.keep(late, None).is_ok());
    }
}
