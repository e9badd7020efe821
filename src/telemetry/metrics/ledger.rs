//! What is counted of the ledger and its sinks.

use super::labels::{By, Sink};
use super::{Metrics, plain};
use crate::units::Millis;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts and gauges of the ledger.
#[derive(Debug)]
pub(super) struct LedgerMetrics {
    errors: Counter,
    rows: By<Sink, Counter>,
    set_aside: By<Sink, Counter>,
    sink_away: By<Sink, Gauge>,
    sink_lag_seconds: By<Sink, Gauge>,
    spool_bytes: Gauge,
    spool_bytes_max: Gauge,
    lost_bytes: Counter,
}

impl LedgerMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            errors: plain(
                registry,
                "ledger_errors",
                "Calls and events that the ledger did not take",
                Counter::default(),
            ),
            rows: By::register(
                registry,
                "ledger_rows",
                "Rows that a sink of the ledger has taken",
                Counter::default,
            ),
            set_aside: By::register(
                registry,
                "ledger_set_aside",
                "Rows that a sink of the ledger will never take",
                Counter::default,
            ),
            sink_away: By::register(
                registry,
                "ledger_sink_away",
                "Whether a sink of the ledger takes nothing",
                Gauge::default,
            ),
            sink_lag_seconds: By::register(
                registry,
                "ledger_sink_lag_seconds",
                "How old the oldest row is that a sink has not taken",
                Gauge::default,
            ),
            spool_bytes: plain(
                registry,
                "ledger_spool_bytes",
                "What the spool has on disk",
                Gauge::default(),
            ),
            spool_bytes_max: plain(
                registry,
                "ledger_spool_bytes_max",
                "The most that the spool may have on disk",
                Gauge::default(),
            ),
            lost_bytes: plain(
                registry,
                "ledger_lost_bytes",
                "Bytes of the spool that the disk lost",
                Counter::default(),
            ),
        }
    }
}

impl Metrics {
    pub fn ledger_error(&self) {
        self.ledger.errors.inc();
    }

    pub fn ledger_lost(&self, bytes: u64) {
        self.ledger.lost_bytes.inc_by(bytes);
    }

    pub fn ledger_delivered(&self, sink: Sink, rows: u64) {
        if let Some(counter) = self.ledger.rows.get(sink) {
            counter.inc_by(rows);
        }
    }

    pub fn ledger_set_aside(&self, sink: Sink) {
        if let Some(counter) = self.ledger.set_aside.get(sink) {
            counter.inc();
        }
    }

    pub fn ledger_sink_away(&self, sink: Sink, away: bool) {
        if let Some(gauge) = self.ledger.sink_away.get(sink) {
            gauge.set(i64::from(away));
        }
    }

    /// How old the oldest row is that a sink has not taken; 0 where none waits.
    pub fn ledger_sink_lag(&self, sink: Sink, lag: Millis) {
        if let Some(gauge) = self.ledger.sink_lag_seconds.get(sink) {
            gauge.set(whole(lag.0 / 1_000));
        }
    }

    /// What the spool has on disk, and the most that it may have.
    pub fn ledger_spool(&self, bytes: u64, bytes_max: u64) {
        self.ledger.spool_bytes.set(whole(bytes));
        self.ledger.spool_bytes_max.set(whole(bytes_max));
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
