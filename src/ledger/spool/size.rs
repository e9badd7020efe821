//! How large a spool is, for whoever watches it: the spool may be closed meanwhile.

use super::queue::Queue;
use std::sync::Arc;

/// How large a spool is.
#[derive(Debug, Clone)]
pub struct Size(Arc<Queue>);

impl Size {
    pub(super) fn of(queue: &Arc<Queue>) -> Self {
        Self(Arc::clone(queue))
    }

    /// What all segments have on disk, as of the last batch.
    pub fn bytes(&self) -> u64 {
        self.0.size_bytes()
    }
}
