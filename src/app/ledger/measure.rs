//! What is told of the ledger: what its sinks have taken, how long the oldest row has
//! waited for each, how large the spool is.

use crate::driver::clock::Clock;
use crate::ledger::relay::Watch;
use crate::ledger::spool::Size;
use crate::telemetry::metrics::{Metrics, Sink};
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often what grows by itself is looked at: more often than it is scraped.
const EVERY: Duration = Duration::from_secs(1);

/// Counts what relays do.
pub(super) struct Counting {
    metrics: Arc<Metrics>,
    /// Since when the oldest row waits for a sink, of those that have one.
    oldest: Mutex<HashMap<&'static str, Option<UnixMillis>>>,
}

impl Counting {
    pub fn of(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            oldest: Mutex::default(),
        }
    }

    fn tell_lags(&self, now: UnixMillis) {
        let oldest = self.oldest.lock();
        let oldest = oldest.unwrap_or_else(|poisoned| poisoned.into_inner());
        for (sink, since) in oldest.iter() {
            if let Some(sink) = Sink::of(sink) {
                let lag = since.map(|since| now.since(since)).unwrap_or_default();
                self.metrics.ledger_sink_lag(sink, lag);
            }
        }
    }
}

/// Runs until it is dropped.
pub(super) async fn measure(size: Size, bytes_max: u64, counting: Arc<Counting>) {
    let clock = Clock::start();
    loop {
        counting.metrics.ledger_spool(size.bytes(), bytes_max);
        counting.tell_lags(clock.now());
        tokio::time::sleep(EVERY).await;
    }
}

impl Watch for Counting {
    fn delivered(&self, sink: &'static str, rows: usize) {
        if let Some(sink) = Sink::of(sink) {
            let rows = u64::try_from(rows).unwrap_or(u64::MAX);
            self.metrics.ledger_delivered(sink, rows);
        }
    }

    fn offered(&self, sink: &'static str, oldest: Option<UnixMillis>) {
        let all = self.oldest.lock();
        let mut all = all.unwrap_or_else(|poisoned| poisoned.into_inner());
        all.insert(sink, oldest);
    }

    fn set_aside(&self, sink: &'static str) {
        if let Some(sink) = Sink::of(sink) {
            self.metrics.ledger_set_aside(sink);
        }
    }

    fn away(&self, sink: &'static str, why: Option<&str>) {
        if let Some(sink) = Sink::of(sink) {
            self.metrics.ledger_sink_away(sink, why.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_the_oldest_rows_and_ends_with_it() {
        let metrics = Arc::new(Metrics::new());
        let counting = Counting::of(&metrics);
        let line = |lag: u64| format!("weir_ledger_sink_lag_seconds{{sink=\"sqlite\"}} {lag}\n");
        counting.offered("sqlite", Some(UnixMillis(10_000)));
        counting.tell_lags(UnixMillis(75_500));
        assert!(metrics.encode().contains(&line(65)));
        counting.offered("sqlite", Some(UnixMillis(75_000)));
        counting.tell_lags(UnixMillis(75_500));
        assert!(metrics.encode().contains(&line(0)));
        // A clock that was set back.
        counting.tell_lags(UnixMillis(5));
        assert!(metrics.encode().contains(&line(0)));
        counting.offered("sqlite", None);
        counting.tell_lags(UnixMillis(900_000));
        assert!(metrics.encode().contains(&line(0)));
    }
}
