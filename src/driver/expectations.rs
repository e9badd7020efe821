//! What calls are expected to produce: learned as they end, and made known to
//! those that begin at intervals, so that none waits for another.

use crate::policy::expected::{Expected, Learner, Lesson};
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
pub(super) struct Expectations {
    learner: Mutex<Learner>,
    known: ArcSwap<Expected>,
}

impl Expectations {
    pub(super) fn known(&self) -> Arc<Expected> {
        self.known.load_full()
    }

    pub(super) fn learn(&self, lesson: Option<&Lesson>) {
        if let Some(lesson) = lesson {
            self.learner().learn(lesson);
        }
    }

    /// What was learned counts from now on.
    pub(super) fn publish(&self) {
        let news = self.learner().news();
        if let Some(news) = news {
            self.known.store(Arc::new(news));
        }
    }

    /// A panic while it was locked left it whole: what was learned is counts.
    fn learner(&self) -> MutexGuard<'_, Learner> {
        self.learner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
