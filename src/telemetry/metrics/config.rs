//! What is counted of the configuration's file.

use super::labels::By;
use super::tls::Reload;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counts and gauges of the configuration's file. What runs is what the file says
/// where both gauges are 0.
#[derive(Debug)]
pub struct ConfigMetrics {
    reloads: By<Reload, Counter>,
    file_refused: Gauge,
    fields_waiting: Gauge,
}

impl ConfigMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            reloads: By::register(
                registry,
                "config_reloads",
                "Readings of the configuration while weir runs",
                Counter::default,
            ),
            file_refused: super::plain(
                registry,
                "config_file_refused",
                "Whether the configuration's file holds what can not be used",
                Gauge::default(),
            ),
            fields_waiting: super::plain(
                registry,
                "config_fields_waiting",
                "Fields of the configuration that take effect at the next start",
                Gauge::default(),
            ),
        }
    }

    /// The configuration was read anew.
    pub fn reloaded(&self, outcome: Reload) {
        if let Some(counter) = self.reloads.get(outcome) {
            counter.inc();
        }
        self.file_refused.set(i64::from(outcome == Reload::Refused));
    }

    /// So many fields of what was taken last wait for the next start.
    pub fn waiting(&self, fields: usize) {
        self.fields_waiting
            .set(i64::try_from(fields).unwrap_or(i64::MAX));
    }
}
