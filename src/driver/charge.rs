//! Charging for good, for those whose requests have no end that they tell of.

use super::{Driver, clock};
use crate::counters::CounterError;
use crate::limits::{Fate, HoldId, Paid, Toll};

impl Driver {
    /// All or nothing: by the store, or as it answered a moment ago, or where
    /// that is away as is configured. What a store took without answering is
    /// charged once more.
    pub async fn charge(&self, toll: &Toll) -> Result<Fate, CounterError> {
        let started = self.clock.instant();
        let remote = self.counters.is_remote();
        let known = remote.then(|| self.refused_tolls.recall(toll, self.clock.now()));
        let fate = match known.flatten() {
            Some(refused) => Ok(refused),
            None => self.ask_or_decide(toll).await.map(Fate::from),
        };
        self.recorder.decided(started.elapsed());
        fate
    }

    async fn ask_or_decide(&self, toll: &Toll) -> Result<Paid, CounterError> {
        let lane = self.counters.lane(&toll.slot);
        if self.breaker.is_open(lane) {
            let away = CounterError::Unavailable("it was away a moment ago".into());
            return self.decide(toll, away);
        }
        // What others may still give out their shares of must fit into this
        // sidecar's too.
        let share = match self.breaker.is_returning(lane) && self.local.decides() {
            true => Some(self.share(toll)?),
            false => None,
        };
        if let Some(refused) = share.as_ref().filter(|share| !share.taken) {
            self.recorder.decided_alone(false);
            return Ok(refused.clone());
        }
        match (self.ask(toll).await, share) {
            (Ok(paid), _) => Ok(paid),
            (Err(_), Some(share)) => {
                self.local.owe(toll, self.clock.now());
                self.recorder.decided_alone(true);
                Ok(share)
            }
            (Err(error), None) => self.decide(toll, error),
        }
    }

    async fn ask(&self, toll: &Toll) -> Result<Paid, CounterError> {
        match self.counters.charge(toll, self.clock.now()).await {
            Ok(paid) => {
                self.answered(self.counters.lane(&toll.slot));
                let standings = paid.told.iter().map(|told| &told.standing);
                let (now, taken) = (self.clock.now(), paid.taken);
                self.known
                    .learn(&toll.slot, &toll.charges, standings, taken, now);
                if !paid.taken && self.counters.is_remote() {
                    self.refused_tolls.remember(toll, &paid, now);
                }
                Ok(paid)
            }
            Err(error) => {
                self.recorder.counter_error(&error);
                self.failed(&toll.slot, &error);
                Err(error)
            }
        }
    }

    /// By this sidecar alone, as is configured for when the store is away.
    fn decide(&self, toll: &Toll, error: CounterError) -> Result<Paid, CounterError> {
        let unfit = matches!(error, CounterError::Unfit(_));
        if unfit || !self.counters.is_remote() || !self.local.decides() {
            return Err(error);
        }
        let paid = self.share(toll)?;
        if paid.taken {
            self.local.owe(toll, self.clock.now());
        }
        self.recorder.decided_alone(paid.taken);
        Ok(paid)
    }

    /// Takes it from this sidecar's share, or not.
    fn share(&self, toll: &Toll) -> Result<Paid, CounterError> {
        let now = self.clock.now();
        let name = HoldId::new(now, &clock::random().id);
        self.local.charge(toll, name, &self.known, now)
    }
}
