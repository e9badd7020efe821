//! What calls are expected to produce and how many tokens their models count:
//! learned as they end, and made known to those that begin at intervals, so
//! that none waits for another. News is fetched a little at a time, so that a
//! call that ends never waits for more than that.

use crate::exchange::{Learned, Settlement};
use crate::policy::expected::{Learner, News};
use crate::policy::failures::FailureLearner;
use crate::policy::token_ratios::RatioLearner;
use crate::units::UnixMillis;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pairs of tenant and model whose news is worked out while others may wait:
/// some 20 us.
const NEWS_MAX: usize = 64;

/// How often more is fetched before it counts: news that comes as fast as it is
/// fetched must not keep what there is from being known.
const FETCHES_MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct Learning {
    outputs: Mutex<Learner>,
    ratios: Mutex<RatioLearner>,
    failures: Mutex<FailureLearner>,
    known: ArcSwap<Learned>,
}

impl Learning {
    /// Goes on from what was learned before.
    pub(super) fn go_on_from(&self, ratios: RatioLearner, now: UnixMillis) {
        *lock(&self.ratios) = ratios;
        self.publish(now);
    }

    pub(super) fn known(&self) -> Learned {
        Learned::clone(&self.known.load())
    }

    pub(super) fn learn(&self, settlement: &Settlement) {
        if let Some(lesson) = &settlement.lesson {
            lock(&self.outputs).learn(lesson);
        }
        if let Some(lesson) = &settlement.health_lesson {
            lock(&self.failures).learn(lesson);
        }
        if let Some(lesson) = &settlement.ratio_lesson {
            lock(&self.ratios).learn(lesson);
        }
    }

    /// What was learned counts from now on.
    pub(super) fn publish(&self, now: UnixMillis) {
        let failures = lock(&self.failures).news(now);
        let outputs = self.news_of_outputs();
        let ratios = lock(&self.ratios).news();
        if outputs.is_empty() && ratios.is_none() && failures.is_none() {
            return;
        }
        let mut known = self.known();
        if !outputs.is_empty() {
            known.expected = Arc::new(known.expected.with(outputs));
        }
        if let Some(ratios) = ratios {
            known.ratios = Arc::new(ratios);
        }
        if let Some(failures) = failures {
            known.failures = Arc::new(failures);
        }
        self.known.store(Arc::new(known));
    }

    fn news_of_outputs(&self) -> Vec<News> {
        let mut news = Vec::new();
        for _ in 0..FETCHES_MAX {
            let some = lock(&self.outputs).news(NEWS_MAX);
            let last = some.len() < NEWS_MAX;
            news.extend(some);
            if last {
                break;
            }
        }
        news
    }

    /// The ratios, to be kept.
    pub(super) fn ratios_json(&self) -> String {
        lock(&self.ratios).to_json()
    }
}

/// A panic while it was locked left it whole: what was learned is counts.
fn lock<T>(learner: &Mutex<T>) -> MutexGuard<'_, T> {
    learner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Actual, HoldId};
    use crate::policy::expected::Lesson;
    use crate::policy::token_ratios::{RatioLesson, Ratios};
    use crate::units::UnixMillis;

    fn settlement() -> Settlement {
        Settlement {
            slot: "acme".into(),
            hold: HoldId::new(UnixMillis(0), &[0; 10]),
            shared: false,
            actual: Actual::VOID,
            event: None,
            lesson: Some(Lesson {
                tenant: "acme".into(),
                model: "m".into(),
                percentile: 50,
                output_tokens: 7,
            }),
            ratio_lesson: Some(RatioLesson {
                model: "m".into(),
                counted: 100,
                actual: 120,
            }),
            health_lesson: None,
        }
    }

    #[test]
    fn what_is_learned_counts_once_it_is_published_and_outlives_the_process() {
        let learning = Learning::default();
        (0..20).for_each(|_| learning.learn(&settlement()));
        assert_eq!(learning.known().expected.output_tokens("acme", "m"), None);
        assert_eq!(*learning.known().ratios, Ratios::default());
        learning.publish(UnixMillis(0));
        assert_eq!(
            learning.known().expected.output_tokens("acme", "m"),
            Some(7)
        );
        assert_ne!(*learning.known().ratios, Ratios::default());
        let again = Learning::default();
        again.go_on_from(
            RatioLearner::from_json(&learning.ratios_json()).expect("as written"),
            UnixMillis(0),
        );
        assert_eq!(again.known().ratios, learning.known().ratios);
    }

    #[test]
    fn all_that_was_learned_is_known_once_it_is_published() {
        let learning = Learning::default();
        let tenants = 10 * NEWS_MAX + 1;
        for tenant in 0..tenants {
            let mut settlement = settlement();
            settlement.lesson.as_mut().unwrap().tenant = tenant.to_string().into();
            (0..4).for_each(|_| learning.learn(&settlement));
        }
        learning.publish(UnixMillis(0));
        for tenant in 0..tenants {
            let known = learning.known().expected;
            assert_eq!(known.output_tokens(&tenant.to_string(), "m"), Some(7));
        }
        let before = learning.known().expected;
        learning.publish(UnixMillis(0));
        assert!(
            Arc::ptr_eq(&before, &learning.known().expected),
            "nothing new"
        );
    }
}
