//! Judging a call before it is made, for ext_authz: the judgement is `door`'s, the
//! counters are asked here where a check counts.

use super::{Driver, clock, reserve, settle};
use crate::exchange::door::{Check, Counts, Door, Judgement, Passed};
use crate::exchange::{Effect, Settlement};
use crate::limits::HoldId;
use crate::protocol::denial::Rendered;
use crate::tokens::Counting;
use std::sync::Arc;

/// A reservation that whoever asked for it may not wait for: then it is given
/// back.
struct Awaited {
    driver: Arc<Driver>,
    give_back: Option<Settlement>,
}

impl Driver {
    /// Who may go on, or what a refused call is answered; that is recorded too.
    ///
    /// # Errors
    /// The answer to a call that is refused.
    pub async fn check(self: &Arc<Self>, check: Check) -> Result<Passed, Rendered> {
        let now = self.clock.now();
        let random = clock::random();
        let door = Door {
            snapshot: &self.snapshot(),
            settings: self.settings,
            id: HoldId::new(now, &random.id),
            counting: &Counting::new(random.seed, Arc::clone(&self.stopwatch)),
        };
        match door.judge(check, now) {
            Judgement::Passed(passed) => Ok(*passed),
            Judgement::Counts(counts) => self.count(*counts).await,
            Judgement::Refused {
                rendered,
                event,
                asked,
            } => {
                self.recorder.record(*event);
                if let Some(notice) = asked {
                    self.heard(notice);
                }
                Err(rendered)
            }
        }
    }

    /// Takes the reservation, and settles it at once: nobody tells of the call's
    /// end. What it is charged is what was taken, so nothing is noted before.
    async fn count(self: &Arc<Self>, counts: Counts) -> Result<Passed, Rendered> {
        let started = self.clock.instant();
        let mut awaited = Awaited {
            driver: Arc::clone(self),
            give_back: Some(counts.give_back()),
        };
        let decision = reserve::reserve(self, &counts.reservation).await;
        awaited.give_back = None;
        self.recorder.decided(started.elapsed());
        let decision = decision.map_err(|error| {
            tracing::warn!(%error, "a check can't be counted; the call is refused");
        });
        let (answer, effects) = counts.decide(decision.ok(), self.clock.now());
        for effect in effects {
            match effect {
                // The store is asked before the caller is answered; nobody waits
                // for what it says.
                Effect::Settle(settlement) => drop(settle::start(self, *settlement)),
                Effect::Record(event) => self.record(*event),
                Effect::Notice(notice) => self.heard(notice),
                Effect::Reserve(_) | Effect::Adopt { .. } | Effect::Wait { .. } => {}
            }
        }
        answer
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(settlement) = self.give_back.take() {
            drop(settle::start(&self.driver, settlement));
        }
    }
}
