//! What is counted of the ledger and its sinks.

use super::Metrics;
use super::labels::Sink;

impl Metrics {
    pub fn ledger_error(&self) {
        self.ledger_errors.inc();
    }

    pub fn ledger_lost(&self, bytes: u64) {
        self.ledger_lost_bytes.inc_by(bytes);
    }

    pub fn ledger_delivered(&self, sink: Sink, rows: u64) {
        if let Some(counter) = self.ledger_rows.get(sink) {
            counter.inc_by(rows);
        }
    }

    pub fn ledger_set_aside(&self, sink: Sink) {
        if let Some(counter) = self.ledger_set_aside.get(sink) {
            counter.inc();
        }
    }

    pub fn ledger_sink_away(&self, sink: Sink, away: bool) {
        if let Some(gauge) = self.ledger_sink_away.get(sink) {
            gauge.set(i64::from(away));
        }
    }
}
