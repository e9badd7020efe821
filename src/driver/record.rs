//! Telling the outside what happened: usage log, journal, metrics, traces.

use crate::counters::CounterError;
use crate::exchange::UsageEvent;
use crate::limits::HoldId;
use crate::telemetry::metrics::{CounterFault, Metrics, RateLimitCode};
use crate::telemetry::traces::Traces;
use crate::telemetry::usage_log::UsageLog;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;

/// Where events go.
pub struct Recorder {
    log: Option<Arc<UsageLog>>,
    metrics: Arc<Metrics>,
    traces: Option<Arc<Traces>>,
}

impl Recorder {
    pub fn new(log: Option<UsageLog>, metrics: Arc<Metrics>, traces: Option<Arc<Traces>>) -> Self {
        Self {
            log: log.map(Arc::new),
            metrics,
            traces,
        }
    }

    /// Records the end of a call. Never waits: where the log's queue is full, a
    /// task of its own waits for room, so that nothing that happens to the
    /// caller can lose the event. There are at most as many such tasks as calls
    /// that were open.
    pub fn record(&self, event: UsageEvent) {
        self.metrics.record(&event);
        if let Some(traces) = &self.traces {
            traces.record(&event);
        }
        let Some(log) = self.log.clone() else {
            return;
        };
        finish(async move {
            if let Err(error) = log.append(&event).await {
                tracing::error!(%error, id = %event.id, "a usage event is not in the usage log");
            }
        });
    }

    /// Ends a call in the journal that has no event.
    pub fn forget(&self, hold: HoldId) {
        let Some(log) = self.log.clone() else {
            return;
        };
        finish(async move {
            if let Err(error) = log.forget(hold).await {
                tracing::error!(%error, id = %hold, "a call stays open in the journal");
            }
        });
    }

    /// Notes an admitted call; false where that isn't possible, and the call
    /// must not be let through.
    pub(super) async fn admitted(&self, hold: HoldId, context: &str) -> bool {
        let Some(log) = &self.log else {
            return true;
        };
        match log.opened(hold, context).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "an admitted call can't be noted; it is refused");
                false
            }
        }
    }

    pub(super) fn opened(&self) {
        self.metrics.call_opened();
    }

    pub(super) fn closed(&self) {
        self.metrics.call_closed();
    }

    /// Counts a request to the rate limit service.
    pub fn rate_limited(&self, code: RateLimitCode, shadow_refused: bool) {
        self.metrics.rate_limited(code, shadow_refused);
    }

    pub(super) fn decided(&self, took: Duration) {
        self.metrics.decided(took);
    }

    pub(super) fn holds(&self, open: usize, unsettled: usize) {
        self.metrics.open_holds(open);
        self.metrics.unsettled_holds(unsettled);
    }

    pub(super) fn decided_alone(&self, admitted: bool) {
        self.metrics.decided_alone(admitted);
    }

    pub(super) fn store(&self, sidecars: u64, lanes_away: usize) {
        self.metrics.sidecars(sidecars);
        self.lanes_away(lanes_away);
    }

    pub(super) fn lanes_away(&self, lanes: usize) {
        self.metrics.counter_store_away(lanes > 0);
    }

    pub(super) fn counter_error(&self, error: &CounterError) {
        self.metrics.counter_error(match error {
            CounterError::Timeout(_) => CounterFault::Timeout,
            CounterError::Unavailable(_) => CounterFault::Unreachable,
            CounterError::Refused(_) | CounterError::Eviction(_) => CounterFault::Refused,
            CounterError::Corrupt(_) | CounterError::Config(_) | CounterError::Unfit(_) => {
                CounterFault::Malformed
            }
        });
    }

    /// Returns once all events are in the log's file.
    pub async fn close(&self) {
        if let Some(log) = &self.log
            && let Err(error) = log.close().await
        {
            tracing::error!(%error, "the usage log is not whole");
        }
    }
}

/// Does it now if it needn't wait, else in a task of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "an event outlives the call it tells of"
)]
fn finish(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    if work.as_mut().now_or_never().is_none() {
        tokio::spawn(work);
    }
}
