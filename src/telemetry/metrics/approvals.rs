//! What is counted of calls that ask for approval.

use super::Metrics;
use super::labels::Label;

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is to be kept.
    Queued,
    /// The same was asked a moment ago.
    Already,
    /// There is no room for it, or nowhere to keep it.
    Lost,
}

impl Label for Asked {
    const NAME: &'static str = "noted";
    const ALL: &'static [Self] = &[Asked::Queued, Asked::Already, Asked::Lost];
    fn value(self) -> &'static str {
        match self {
            Asked::Queued => "queued",
            Asked::Already => "already",
            Asked::Lost => "lost",
        }
    }
}

impl Metrics {
    pub fn approval_asked(&self, noted: Asked) {
        if let Some(asked) = self.approvals_asked.get(noted) {
            asked.inc();
        }
    }
}
