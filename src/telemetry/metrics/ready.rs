//! Which parts of the process are as they should be.

use super::Metrics;
use super::labels::Label;
use crate::telemetry::readiness::Check;

/// A part of what `/readyz` tells, by its name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part(&'static str);

impl Label for Part {
    const NAME: &'static str = "part";
    const ALL: &'static [Self] = &[
        Self("started"),
        Self("not_draining"),
        Self("counters"),
        Self("ledger"),
        Self("keys"),
    ];
    fn value(self) -> &'static str {
        self.0
    }
}

impl Metrics {
    /// Says how each part is: before a scrape, as nobody else asks.
    pub fn parts(&self, checks: &[Check]) {
        for check in checks {
            if let Some(gauge) = self.parts.get(Part(check.name)) {
                gauge.set(i64::from(check.ok));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::readiness::Readiness;

    #[test]
    fn every_part_of_readiness_is_told() {
        let metrics = Metrics::new();
        let readiness = Readiness::default();
        readiness.set_started();
        readiness.set_ledger(false);
        metrics.parts(&readiness.checks());
        let text = metrics.encode();
        for check in readiness.checks() {
            let (name, ok) = (check.name, i64::from(check.ok));
            let line = format!("weir_part_ready{{part=\"{name}\"}} {ok}\n");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        let told = text
            .lines()
            .filter(|line| line.starts_with("weir_part_ready{"));
        assert_eq!(told.count(), readiness.checks().len());
    }
}
