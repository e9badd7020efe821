//! Telling the outside what happened: ledger, metrics, traces.

use crate::accounts::approvals::asker::{Asker, Noted};
use crate::counters::CounterError;
use crate::exchange::UsageEvent;
use crate::exchange::event::Outcome;
use crate::identity::{KeyUse, KeyUses};
use crate::ledger::spool::Spool;
use crate::limits::HoldId;
use crate::policy::grants::ApprovalRequest;
use crate::telemetry::metrics::{Asked, CounterFault, Metrics, RateLimitCode};
use crate::telemetry::traces::Traces;
use futures_util::FutureExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where events go.
pub struct Recorder {
    ledger: Option<Arc<Spool>>,
    metrics: Arc<Metrics>,
    traces: Option<Arc<Traces>>,
    /// There where requests for approval are kept.
    asker: OnceLock<Asker>,
}

/// How long closing waits for the disk.
const CLOSE_MAX: Duration = Duration::from_secs(10);

impl Recorder {
    /// Keys were used that are to be used no more.
    pub(super) fn key_uses(&self, uses: &KeyUses) {
        for kind in KeyUse::ALL {
            self.metrics.key_used(kind, uses.take(kind));
        }
    }

    pub fn new(
        ledger: Option<Arc<Spool>>,
        metrics: Arc<Metrics>,
        traces: Option<Arc<Traces>>,
    ) -> Self {
        Self {
            ledger,
            metrics,
            traces,
            asker: OnceLock::new(),
        }
    }

    /// From now on requests for approval go there. Said once, before the first call.
    pub fn ask_through(&self, asker: Asker) {
        let _ = self.asker.set(asker);
    }

    /// Asks for approval of a call that was held back for want of it. Never waits.
    pub fn ask(&self, request: ApprovalRequest) {
        let noted = self.asker.get().map(|asker| asker.ask(request));
        self.metrics.approval_asked(match noted {
            Some(Noted::Queued) => Asked::Queued,
            Some(Noted::Already) => Asked::Already,
            Some(Noted::Full) | None => Asked::Lost,
        });
    }

    /// Records the end of a call. Never waits: where the spool's queue is full, a
    /// task of its own waits for room, so that nothing that happens to the
    /// caller can lose the event. There are at most as many such tasks as calls
    /// that were open.
    pub fn record(&self, event: UsageEvent) {
        self.tell(&event);
        let Some(ledger) = self.ledger.clone() else {
            return;
        };
        if event.outcome == Outcome::Refused {
            if let Err(error) = ledger.refused(&event) {
                self.metrics.ledger_error();
                tracing::debug!(%error, id = %event.id, "a refused call is not in the ledger");
            }
            return;
        }
        let metrics = Arc::clone(&self.metrics);
        finish(async move {
            if let Err(error) = ledger.outcome(&event).await {
                metrics.ledger_error();
                tracing::error!(%error, id = %event.id, "a usage event is not in the ledger; its call is estimated when weir begins again");
            }
        });
    }

    /// Records the ends of calls, and returns when they are on disk; false where
    /// that isn't known. Waits for as long as the disk takes.
    pub(super) async fn record_safely(&self, events: Vec<UsageEvent>) -> bool {
        for event in &events {
            self.tell(event);
        }
        let Some(ledger) = &self.ledger else {
            return true;
        };
        let written = async {
            for event in &events {
                ledger.outcome(event).await?;
            }
            match events.is_empty() {
                true => Ok(()),
                false => ledger.flush().await,
            }
        };
        let written = written.await;
        if let Err(error) = &written {
            self.metrics.ledger_error();
            tracing::error!(%error, "expired calls are not in the ledger; the store hands them out again");
        }
        written.is_ok()
    }

    fn tell(&self, event: &UsageEvent) {
        self.metrics.record(event);
        if let Some(traces) = &self.traces {
            traces.record(event);
        }
    }

    /// Ends a call in the ledger that has no event of this process.
    pub fn forget(&self, hold: HoldId) {
        let Some(ledger) = self.ledger.clone() else {
            return;
        };
        finish(async move {
            if let Err(error) = ledger.drop_intent(hold).await {
                tracing::warn!(%error, id = %hold, "a call stays open in the ledger");
            }
        });
    }

    /// Notes a call before it is let through; false where that isn't possible,
    /// and it must not be.
    pub(super) async fn intent(&self, hold: HoldId, context: &str) -> bool {
        let Some(ledger) = &self.ledger else {
            return true;
        };
        match ledger.intent(hold, context.as_bytes()).await {
            Ok(()) => true,
            Err(error) => {
                self.metrics.ledger_error();
                tracing::debug!(%error, "a call can't be noted in the ledger; it is refused");
                false
            }
        }
    }

    /// Ends the note of a call that isn't let through, before its caller hears so: its
    /// row is nothing to wait for, but a process that dies then would find the call
    /// open, and charge for what was refused.
    pub(super) async fn not_let_through(&self, hold: HoldId) {
        let Some(ledger) = &self.ledger else {
            return;
        };
        if let Err(error) = ledger.end_intent(hold).await {
            tracing::debug!(%error, id = %hold, "a refused call stays open in the ledger for now");
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

    /// Returns once all events are on disk.
    pub async fn close(&self) {
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.close(CLOSE_MAX).await
        {
            tracing::error!(%error, "the ledger is not whole; what it lacks is estimated when weir begins again");
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
