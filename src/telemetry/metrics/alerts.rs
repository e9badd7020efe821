//! What is counted of alerts.

use super::Metrics;
use super::labels::Label;

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertOutcome {
    /// It is to be kept, and sent.
    Raised,
    /// There is no room for it.
    Lost,
    /// It arrived at a webhook.
    Sent,
    /// A try to send it failed.
    Failed,
    /// It is not tried any more.
    Dead,
}

impl Label for AlertOutcome {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        AlertOutcome::Raised,
        AlertOutcome::Lost,
        AlertOutcome::Sent,
        AlertOutcome::Failed,
        AlertOutcome::Dead,
    ];
    fn value(self) -> &'static str {
        match self {
            AlertOutcome::Raised => "raised",
            AlertOutcome::Lost => "lost",
            AlertOutcome::Sent => "sent",
            AlertOutcome::Failed => "failed",
            AlertOutcome::Dead => "dead",
        }
    }
}

impl Metrics {
    pub fn alert(&self, outcome: AlertOutcome) {
        if let Some(alerts) = self.alerts.get(outcome) {
            alerts.inc();
        }
    }
}
