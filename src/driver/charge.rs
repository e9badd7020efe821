//! Charging for good, for those whose requests have no end that they tell of.

use super::{Driver, clock};
use crate::counters::CounterError;
use crate::limits::{HoldId, Paid, Toll};

impl Driver {
    /// All or nothing: by the store, or as it answered a moment ago, or where that is away as is configured.
    /// What a store took without answering is charged once more.
    pub async fn charge(&self, toll: &Toll) -> Result<Paid, CounterError> {
        let started = self.clock.instant();
        let remote = self.counters.is_remote();
        let known = remote.then(|| self.refused_tolls.recall(toll, self.clock.now()));
        let paid = match known.flatten() {
            Some(refused) => Ok(refused),
            None => self.ask_or_decide(toll).await,
        };
        self.recorder.decided(started.elapsed());
        paid
    }

    async fn ask_or_decide(&self, toll: &Toll) -> Result<Paid, CounterError> {
        let lane = self.counters.lane(&toll.slot);
        let error = if self.breaker.is_open(lane) {
            CounterError::Unavailable("it was away a moment ago".into())
        } else {
            match self.counters.charge(toll, self.clock.now()).await {
                Ok(paid) => {
                    self.answered(lane);
                    let standings = paid.told.iter().map(|told| &told.standing);
                    let now = self.clock.now();
                    let taken = paid.taken;
                    self.known
                        .learn(&toll.slot, &toll.charges, standings, taken, now);
                    if !paid.taken && self.counters.is_remote() {
                        self.refused_tolls.remember(toll, &paid, now);
                    }
                    return Ok(paid);
                }
                Err(error) => {
                    self.recorder.counter_error(&error);
                    self.failed(&toll.slot, &error);
                    error
                }
            }
        };
        let unfit = matches!(error, CounterError::Unfit(_));
        if unfit || !self.counters.is_remote() || !self.local.decides() {
            return Err(error);
        }
        let now = self.clock.now();
        let name = HoldId::new(now, &clock::random().id);
        let paid = self.local.charge(toll, name, &self.known, now)?;
        self.recorder.decided_alone(paid.taken);
        Ok(paid)
    }
}
