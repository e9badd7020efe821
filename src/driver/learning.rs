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
