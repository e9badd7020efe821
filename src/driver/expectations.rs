//! What calls are expected to produce: learned as they end, and made known to
//! those that begin at intervals, so that none waits for another. News is
//! fetched a little at a time, so that a call that ends never waits for more
//! than that.

use crate::policy::expected::{Expected, Learner, Lesson};
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Pairs whose news is worked out while others may wait: some 20 us.
const NEWS_MAX: usize = 64;

/// How often more is fetched before it counts: news that comes as fast as it is
/// fetched must not keep what there is from being known.
const FETCHES_MAX: usize = 1_024;

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
        let mut news = Vec::new();
        for _ in 0..FETCHES_MAX {
            let some = self.learner().news(NEWS_MAX);
            let last = some.len() < NEWS_MAX;
            news.extend(some);
            if last {
                break;
            }
        }
        if !news.is_empty() {
            let known = self.known.load().with(news);
            self.known.store(Arc::new(known));
        }
    }

    /// A panic while it was locked left it whole: what was learned is counts.
    fn learner(&self) -> MutexGuard<'_, Learner> {
        self.learner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_learned_is_known_once_it_is_published() {
        let expectations = Expectations::default();
        for tenant in 0..10 * NEWS_MAX + 1 {
            for _ in 0..4 {
                expectations.learn(Some(&Lesson {
                    tenant: tenant.to_string().into(),
                    model: "m".into(),
                    percentile: 50,
                    output_tokens: 7,
                }));
            }
        }
        let known = |tenant: usize| {
            let known = expectations.known();
            known.output_tokens(&tenant.to_string(), "m")
        };
        assert_eq!(known(0), None);
        expectations.publish();
        for tenant in 0..10 * NEWS_MAX + 1 {
            assert_eq!(known(tenant), Some(7));
        }
        let before = expectations.known();
        expectations.publish();
        assert!(Arc::ptr_eq(&before, &expectations.known()), "nothing new");
    }
}
