//! What calls are expected to produce and how many tokens their models count:
//! learned as they end, and made known to those that begin at intervals, so
//! that none waits for another.

use crate::exchange::{Learned, Settlement};
use crate::policy::expected::Learner;
use crate::policy::token_ratios::RatioLearner;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Learning {
    outputs: Mutex<Learner>,
    ratios: Mutex<RatioLearner>,
    known: ArcSwap<Learned>,
}

impl Learning {
    /// Goes on from what was learned before.
    pub(super) fn go_on_from(&self, ratios: RatioLearner) {
        *lock(&self.ratios) = ratios;
        self.publish();
    }

    pub(super) fn known(&self) -> Learned {
        Learned::clone(&self.known.load())
    }

    pub(super) fn learn(&self, settlement: &Settlement) {
        if let Some(lesson) = &settlement.lesson {
            lock(&self.outputs).learn(lesson);
        }
        if let Some(lesson) = &settlement.ratio_lesson {
            lock(&self.ratios).learn(lesson);
        }
    }

    /// What was learned counts from now on.
    pub(super) fn publish(&self) {
        let expected = lock(&self.outputs).news();
        let ratios = lock(&self.ratios).news();
        if expected.is_none() && ratios.is_none() {
            return;
        }
        let mut known = self.known();
        if let Some(expected) = expected {
            known.expected = Arc::new(expected);
        }
        if let Some(ratios) = ratios {
            known.ratios = Arc::new(ratios);
        }
        self.known.store(Arc::new(known));
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
        }
    }

    #[test]
    fn what_is_learned_counts_once_it_is_published_and_outlives_the_process() {
        let learning = Learning::default();
        (0..20).for_each(|_| learning.learn(&settlement()));
        assert_eq!(learning.known().expected.output_tokens("acme", "m"), None);
        assert_eq!(*learning.known().ratios, Ratios::default());
        learning.publish();
        assert_eq!(
            learning.known().expected.output_tokens("acme", "m"),
            Some(7)
        );
        assert_ne!(*learning.known().ratios, Ratios::default());
        let again = Learning::default();
        again.go_on_from(RatioLearner::from_json(&learning.ratios_json()).expect("as written"));
        assert_eq!(again.known().ratios, learning.known().ratios);
    }
}
