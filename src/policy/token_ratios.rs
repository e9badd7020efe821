//! How many tokens models really count for each that is counted here, learned
//! from calls whose provider said so.
//!
//! The [`RatioLearner`] takes a [`RatioLesson`] from each such call; calls are
//! judged by the [`Ratios`] that it makes, a value.
//!
//! Always holds: a ratio that was learned is a median, so that calls which are
//! unlike the others don't move it, within a hundredth; it stays within what a
//! [`Ratio`] may be; at most [`MODELS_MAX`] models are learned of, each in the
//! same small room. Whatever was learned, what counts lies between two thirds of
//! what is known of a model's family and twice that: callers whose texts are
//! unlike others' can't move it further.

use super::Model;
use crate::tokens::ratios::{PER_MILLE_MAX, PER_MILLE_MIN, Ratio};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Models are named by the configuration; this bounds what a file may bring.
const MODELS_MAX: usize = 4_096;

/// The fewest tokens of a prompt that teaches anything: of fewer, a token that
/// is rounded away is too large a part. Short ones are inexact too, but the
/// median of many isn't.
const COUNTED_MIN: u64 = 4;

/// Lessons before a ratio is believed.
const LESSONS_MIN: u32 = 16;

/// Weight of a model's lessons before the older ones count half.
const WEIGHT_MAX: u32 = 4_096;

/// The most that one lesson weighs: a long prompt tells more than a short one,
/// but no call decides alone.
const LESSON_WEIGHT_MAX: u64 = 8;

/// Tokens for which a lesson weighs one more.
const TOKENS_A_WEIGHT: u64 = 256;

/// Of a model's prompts, so many percent have no more tokens than are held.
const HELD_PERCENTILE: u32 = 95;

/// Width of a bucket: half a hundredth at a ratio of one.
const BUCKET_PER_MILLE: usize = 5;
const BUCKETS: usize = (PER_MILLE_MAX as usize - PER_MILLE_MIN as usize) / BUCKET_PER_MILLE + 1;

/// What one call taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatioLesson {
    pub model: Arc<str>,
    /// Tokens of its texts by the model's vocabulary, all of them counted.
    pub counted: u64,
    /// What the provider said, without what it adds around the texts.
    pub actual: u64,
}

/// Ratios that were learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ratios(HashMap<Arc<str>, Both>);

/// What was learned of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Both {
    median: Ratio,
    /// What nearly all prompts stay within.
    high: Ratio,
}

/// Takes lessons.
#[derive(Debug, Default)]
pub struct RatioLearner {
    models: HashMap<Arc<str>, Seen>,
    /// There were lessons since the ratios were last worked out.
    changed: bool,
}

#[derive(Debug)]
struct Seen {
    lessons: u32,
    weight: u32,
    buckets: [u16; BUCKETS],
}

/// What is kept of a model: how many lessons, and the buckets that aren't
/// empty.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    lessons: u32,
    buckets: BTreeMap<u16, u16>,
}

/// Why a text is no learner's.
#[derive(Debug, thiserror::Error)]
#[error("it is not what weir wrote: {0}")]
pub struct RatiosError(#[from] serde_json::Error);

impl Ratios {
    /// The ratio that counts for a model.
    pub fn of(&self, model: &Model) -> Ratio {
        let start = model.token_ratio;
        match self.0.get(&model.name) {
            Some(learned) if start.learned => learned.median.near(start.ratio),
            _ => start.ratio,
        }
    }

    /// The ratio at which a model's prompts are held: hardly any has more.
    pub fn held_of(&self, model: &Model) -> Ratio {
        let start = model.token_ratio;
        match (start.learned, self.0.get(&model.name)) {
            (false, _) => start.ratio,
            (true, Some(learned)) => learned.high.near(start.ratio),
            (true, None) => start.ratio.with_a_quarter(),
        }
    }
}

impl Ratios {
    /// What was learned of a model, by its name.
    pub fn named(&self, model: &str) -> Option<Ratio> {
        self.0.get(model).map(|learned| learned.median)
    }
}

impl FromIterator<(Arc<str>, Ratio)> for Ratios {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Ratio)>>(known: I) -> Self {
        let both = |ratio| Both {
            median: ratio,
            high: ratio,
        };
        Self(
            known
                .into_iter()
                .map(|(model, ratio)| (model, both(ratio)))
                .collect(),
        )
    }
}

impl RatioLearner {
    pub fn learn(&mut self, lesson: &RatioLesson) {
        if lesson.counted < COUNTED_MIN {
            return;
        }
        let full = self.models.len() >= MODELS_MAX;
        if full && !self.models.contains_key(&lesson.model) {
            return;
        }
        let model = Arc::clone(&lesson.model);
        self.models.entry(model).or_default().learn(lesson);
        self.changed = true;
    }

    /// The ratios now; `None` where nothing was learned since they were last
    /// asked for.
    pub fn news(&mut self) -> Option<Ratios> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let models = self.models.iter();
        let known = models.filter_map(|(model, seen)| {
            let both = Both {
                median: seen.percentile(50)?,
                high: seen.percentile(HELD_PERCENTILE)?,
            };
            Some((Arc::clone(model), both))
        });
        Some(Ratios(known.collect()))
    }

    /// All that was learned, to be kept.
    pub fn to_json(&self) -> String {
        let models = self.models.iter();
        let kept: BTreeMap<&str, Kept> =
            models.map(|(name, seen)| (&**name, seen.kept())).collect();
        // Names and numbers always serialise.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// Goes on from what [`RatioLearner::to_json`] wrote.
    ///
    /// # Errors
    /// Where the text is anything else.
    pub fn from_json(text: &str) -> Result<Self, RatiosError> {
        let kept: BTreeMap<Arc<str>, Kept> = serde_json::from_str(text)?;
        let models = kept.into_iter().take(MODELS_MAX);
        Ok(Self {
            models: models.map(|(name, kept)| (name, kept.into())).collect(),
            changed: true,
        })
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            lessons: 0,
            weight: 0,
            buckets: [0; BUCKETS],
        }
    }
}

impl Seen {
    fn learn(&mut self, lesson: &RatioLesson) {
        if self.weight >= WEIGHT_MAX {
            for bucket in &mut self.buckets {
                *bucket /= 2;
            }
            self.weight = self.buckets.iter().map(|bucket| u32::from(*bucket)).sum();
        }
        let per_mille = lesson.actual.saturating_mul(1_000) / lesson.counted.max(1);
        let weight = (1 + lesson.counted / TOKENS_A_WEIGHT).min(LESSON_WEIGHT_MAX);
        let (Some(bucket), Ok(weight)) = (
            self.buckets.get_mut(bucket(per_mille)),
            u16::try_from(weight),
        ) else {
            return;
        };
        *bucket = bucket.saturating_add(weight);
        self.weight = self.weight.saturating_add(u32::from(weight));
        self.lessons = self.lessons.saturating_add(1);
    }

    /// The ratio that so many percent of the weight lie within.
    fn percentile(&self, percent: u32) -> Option<Ratio> {
        if self.lessons < LESSONS_MIN {
            return None;
        }
        let mut below = 0;
        let place = self.buckets.iter().position(|bucket| {
            below += u32::from(*bucket);
            below * 100 >= self.weight * percent
        })?;
        Ratio::from_per_mille((usize::from(PER_MILLE_MIN) + place * BUCKET_PER_MILLE) as u64)
    }

    fn kept(&self) -> Kept {
        let buckets = (0..).zip(self.buckets);
        Kept {
            lessons: self.lessons,
            buckets: buckets.filter(|(_, weight)| *weight > 0).collect(),
        }
    }
}

impl From<Kept> for Seen {
    fn from(kept: Kept) -> Self {
        let mut seen = Seen {
            lessons: kept.lessons,
            ..Seen::default()
        };
        for (place, weight) in kept.buckets {
            if let Some(bucket) = seen.buckets.get_mut(usize::from(place)) {
                *bucket = weight;
                seen.weight += u32::from(weight);
            }
        }
        seen
    }
}

/// The nearest bucket.
fn bucket(per_mille: u64) -> usize {
    let clamped = per_mille.clamp(PER_MILLE_MIN.into(), PER_MILLE_MAX.into());
    let above = usize::try_from(clamped).unwrap_or(0) - usize::from(PER_MILLE_MIN);
    (above + BUCKET_PER_MILLE / 2) / BUCKET_PER_MILLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(model: &str, counted: u64, actual: u64) -> RatioLesson {
        RatioLesson {
            model: model.into(),
            counted,
            actual,
        }
    }

    fn of(learner: &mut RatioLearner, model: &str) -> Option<u64> {
        let news = learner.news().expect("something was learned");
        news.named(model).map(Ratio::per_mille)
    }

    #[test]
    fn the_median_is_learned_whatever_some_calls_say() {
        for per_mille in [500, 873, 1_000, 1_234, 2_999] {
            let mut learner = RatioLearner::default();
            for call in 0..1_000_u64 {
                // A tenth is off by far, as by files that a provider fetched.
                let actual = match call % 10 {
                    0 => 1_000_000,
                    _ => (1_000 + call) * per_mille / 1_000,
                };
                learner.learn(&lesson("m", 1_000 + call, actual));
            }
            let learned = of(&mut learner, "m").expect("enough");
            assert!(learned.abs_diff(per_mille) <= 10, "{per_mille}: {learned}");
        }
    }

    #[test]
    fn a_ratio_stays_within_bounds_and_needs_lessons() {
        let mut learner = RatioLearner::default();
        assert_eq!(learner.news(), None);
        for _ in 1..LESSONS_MIN {
            learner.learn(&lesson("m", 100, 90_000));
            learner.learn(&lesson("low", 100, 0));
            learner.learn(&lesson("tiny", 1, 1));
        }
        assert_eq!(of(&mut learner, "m"), None);
        learner.learn(&lesson("m", 100, 90_000));
        learner.learn(&lesson("low", 100, 0));
        let news = learner.news().expect("news");
        assert_eq!(news.named("m").unwrap().per_mille(), 3_000);
        assert_eq!(news.named("low").unwrap().per_mille(), 500);
        assert!(!news.0.contains_key("tiny"));
        assert_eq!(learner.news(), None, "nothing new");
    }

    #[test]
    fn what_a_model_counts_now_is_soon_what_counts() {
        let mut learner = RatioLearner::default();
        for (calls, per_mille) in [(100_000, 1_200), (2_000, 1_450)] {
            for _ in 0..calls {
                learner.learn(&lesson("m", 10_000, 10 * per_mille));
            }
            assert_eq!(of(&mut learner, "m"), Some(per_mille));
        }
    }

    #[test]
    fn models_are_bounded() {
        let mut learner = RatioLearner::default();
        for model in 0..2 * MODELS_MAX {
            learner.learn(&lesson(&model.to_string(), 100, 100));
        }
        assert_eq!(learner.models.len(), MODELS_MAX);
        learner.learn(&lesson("0", 100, 100));
        assert_eq!(learner.models["0"].lessons, 2);
    }

    #[test]
    fn what_was_learned_is_kept_and_other_texts_are_refused() {
        let mut learner = RatioLearner::default();
        for call in 0..5_000 {
            learner.learn(&lesson("a", 1_000, 1_100 + call % 100));
            learner.learn(&lesson("b", 50, 60));
        }
        let json = learner.to_json();
        assert!(json.len() < 2_000, "{}", json.len());
        let mut again = RatioLearner::from_json(&json).expect("as written");
        assert_eq!(again.news(), learner.news());
        assert_eq!(again.to_json(), json);
        for broken in [
            "",
            "[]",
            "{\"a\": 1}",
            &json[..json.len() / 2],
            r#"{"a":{"lessons":-1,"buckets":{}}}"#,
        ] {
            RatioLearner::from_json(broken).expect_err(broken);
        }
        // Numbers past the end are passed over.
        let odd = r#"{"a":{"lessons":99,"buckets":{"60000":7,"100":3}}}"#;
        let mut odd = RatioLearner::from_json(odd).expect("numbers");
        assert_eq!(of(&mut odd, "a"), Some(1_000));
    }
}
