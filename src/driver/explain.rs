//! What would become of a call now, by the counters as they stand.

use super::{Driver, clock};
use crate::counters::CounterError;
use crate::exchange::explain::{Explanation, Inquiry, Question};
use crate::exchange::{Exchange, Role};
use crate::limits::HoldId;
use crate::tokens::Counting;
use std::sync::Arc;

impl Driver {
    /// Explains a call that isn't made: nothing is charged or recorded.
    ///
    /// # Errors
    /// The counter store gave no answer.
    pub async fn explain(&self, question: Question) -> Result<Explanation, CounterError> {
        let now = self.clock.now();
        let random = clock::random();
        let exchange = Exchange::new(
            Role::Full,
            self.settings,
            self.snapshot(),
            self.learning.known(),
            HoldId::new(now, &random.id),
            Counting::new(random.seed, Arc::clone(&self.stopwatch)),
        );
        let inquiry = Inquiry::begin(exchange, question, now);
        self.counters.explain(inquiry, now).await
    }
}
