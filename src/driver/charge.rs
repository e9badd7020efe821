//! Charging for good, for those whose requests have no end that they tell of.

use super::Driver;
use crate::counters::CounterError;
use crate::limits::{Paid, Toll};

impl Driver {
    /// All or nothing. After an error it may have been taken.
    pub async fn charge(&self, toll: &Toll) -> Result<Paid, CounterError> {
        let started = self.clock.instant();
        let paid = self.counters.charge(toll, self.clock.now()).await;
        if let Err(error) = &paid {
            self.recorder.counter_error(error);
        }
        self.recorder.decided(started.elapsed());
        paid
    }
}
