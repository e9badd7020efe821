//! How well models do, learned from how their calls ended of late.
//!
//! Always holds: what was learned fades, so that a model that failed is tried again
//! by and by; a few calls prove nothing; only models that configuration knows are
//! told of, so there are only so many.

use super::choice::Failures;
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;

/// In this time what is known counts half.
const HALF_LIFE_MS: f64 = 30_000.0;

/// Calls below which nothing is said of a model.
const CALLS_MIN: f64 = 5.0;

/// How a call ended, as far as its model's health goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthLesson {
    pub model: Arc<str>,
    /// For the provider's sake: it failed, was overloaded, or not there.
    pub failed: bool,
    pub at: UnixMillis,
}

/// What is known of each model.
#[derive(Debug, Default)]
pub struct FailureLearner {
    models: HashMap<Arc<str>, Seen>,
    told: Failures,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    calls: f64,
    failed: f64,
    at: UnixMillis,
}

impl Seen {
    fn faded(self, now: UnixMillis) -> Self {
        // Ratios that decide no money.
        #[expect(clippy::cast_precision_loss, reason = "spans of time are small")]
        let halves = now.since(self.at).0 as f64 / HALF_LIFE_MS;
        let left = (-halves).exp2();
        Self {
            calls: self.calls * left,
            failed: self.failed * left,
            at: self.at.max(now),
        }
    }
}

impl FailureLearner {
    pub fn learn(&mut self, lesson: &HealthLesson) {
        let seen = self.models.entry(Arc::clone(&lesson.model)).or_default();
        *seen = seen.faded(lesson.at);
        seen.calls += 1.0;
        seen.failed += f64::from(u8::from(lesson.failed));
    }

    /// What is to be known now, where that isn't what was told last.
    pub fn news(&mut self, now: UnixMillis) -> Option<Failures> {
        let mut failures = Failures::new();
        self.models.retain(|model, seen| {
            *seen = seen.faded(now);
            let per_mille = (seen.failed / seen.calls.max(1.0) * 1_000.0).clamp(0.0, 1_000.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to 1,000"
            )]
            // In steps, so that there is news of what matters.
            let steps = (per_mille / 100.0).round() as u64 * 100;
            if seen.calls >= CALLS_MIN && steps > 0 {
                failures.insert(Arc::clone(model), steps);
            }
            seen.calls >= 0.01
        });
        (failures != self.told).then(|| {
            self.told.clone_from(&failures);
            failures
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Millis;

    #[test]
    fn a_model_that_fails_is_known_and_forgiven() {
        let mut learner = FailureLearner::default();
        let start = UnixMillis(1_000_000);
        let learn = |learner: &mut FailureLearner, failed, at| {
            let model = "m".into();
            learner.learn(&HealthLesson { model, failed, at });
        };
        for _ in 0..4 {
            learn(&mut learner, true, start);
        }
        assert_eq!(learner.news(start), None, "a few prove nothing");
        for failed in [true, true, true, false] {
            learn(&mut learner, failed, start);
        }
        let told = learner.news(start).unwrap();
        assert_eq!(told["m"], 900);
        assert_eq!(learner.news(start), None, "no news");
        // It is tried again after a while without calls.
        let later = start + Millis(60_000);
        assert_eq!(learner.news(later), Some(Failures::new()));
        for _ in 0..50 {
            learn(&mut learner, false, later);
        }
        assert_eq!(learner.news(later), None);
    }
}
