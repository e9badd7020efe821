//! How much output calls really produce, learned from those that ended.
//!
//! Agents ask for a huge `max_tokens` and use little of it; to hold the most
//! that they could use would let few of them run at once. A plan may hold what
//! is expected instead: a high percentile of what this tenant's answers from
//! this model were.
//!
//! The [`Learner`] takes a [`Lesson`] from each call whose provider said what
//! it produced; calls are judged by the [`Expected`] that it makes, a value.
//!
//! Always holds: what is expected is never below the percentile of the lessons
//! that count, nor above it by more than an eighth; the learner remembers at
//! most [`PAIRS_MAX`] pairs of tenant and model, each in the same small room.

use std::collections::HashMap;
use std::sync::Arc;

/// Pairs of tenant and model that are learned of, at most: under 16 MB.
const PAIRS_MAX: usize = 32_768;

/// Lessons after which pairs that had none may be dropped, where there is no
/// room.
const DROPPED_EVERY: usize = 4 * PAIRS_MAX;

/// Lessons of a pair before the older ones count half: some hundreds are enough
/// for any percentile, and what calls are like changes.
const LESSONS_MAX: u32 = 2_048;

/// How many lessons must lie above a percentile before it is believed.
const ABOVE_MIN: u32 = 2;

/// Buckets of a doubling; a bucket is at most an eighth of its least number wide.
const STEPS: usize = 8;

/// Up to 2^21 tokens an answer; more is counted as that.
const BUCKETS: usize = (21 - 2) * STEPS;

/// What one call taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    pub tenant: Arc<str>,
    pub model: Arc<str>,
    /// What its plan holds, from 1 to 99.
    pub percentile: u8,
    /// Output tokens, of one answer.
    pub output_tokens: u64,
}

/// What answers are expected to produce.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected(HashMap<Arc<str>, HashMap<Arc<str>, u64>>);

/// Takes lessons.
#[derive(Debug, Default)]
pub struct Learner {
    pairs: HashMap<(Arc<str>, Arc<str>), Pair>,
    /// There were lessons since what is expected was last worked out.
    changed: bool,
    /// Lessons since pairs were last dropped.
    since_dropped: usize,
}

#[derive(Debug)]
struct Pair {
    percentile: u8,
    lessons: u32,
    counts: [u16; BUCKETS],
    /// There was a lesson since pairs were last dropped.
    alive: bool,
}

impl Expected {
    /// Output tokens of one answer; `None` where too little is known.
    pub fn output_tokens(&self, tenant: &str, model: &str) -> Option<u64> {
        self.0.get(tenant)?.get(model).copied()
    }
}

impl FromIterator<(Arc<str>, Arc<str>, u64)> for Expected {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<str>, u64)>>(known: I) -> Self {
        let mut expected = Self::default();
        for (tenant, model, tokens) in known {
            expected.0.entry(tenant).or_default().insert(model, tokens);
        }
        expected
    }
}

impl Learner {
    pub fn learn(&mut self, lesson: &Lesson) {
        let name = (Arc::clone(&lesson.tenant), Arc::clone(&lesson.model));
        self.since_dropped += 1;
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&name) {
            self.drop_silent();
            if self.pairs.len() >= PAIRS_MAX {
                return;
            }
        }
        let pair = self.pairs.entry(name).or_insert_with(Pair::new);
        pair.percentile = lesson.percentile;
        pair.learn(lesson.output_tokens);
        self.changed = true;
    }

    /// Makes room, though not before most had a chance to be heard of.
    fn drop_silent(&mut self) {
        if self.since_dropped < DROPPED_EVERY {
            return;
        }
        self.since_dropped = 0;
        self.pairs.retain(|_, pair| std::mem::take(&mut pair.alive));
    }

    /// What is expected now; `None` where nothing was learned since it was last
    /// asked.
    pub fn news(&mut self) -> Option<Expected> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let pairs = self.pairs.iter();
        Some(
            pairs
                .filter_map(|((tenant, model), pair)| {
                    Some((Arc::clone(tenant), Arc::clone(model), pair.expected()?))
                })
                .collect(),
        )
    }
}

impl Pair {
    fn new() -> Self {
        Self {
            percentile: 0,
            lessons: 0,
            counts: [0; BUCKETS],
            alive: true,
        }
    }

    fn learn(&mut self, tokens: u64) {
        self.alive = true;
        if self.lessons >= LESSONS_MAX {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.lessons = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        if let Some(count) = self.counts.get_mut(bucket(tokens)) {
            // Below LESSONS_MAX.
            *count += 1;
            self.lessons += 1;
        }
    }

    /// The end of the bucket that the percentile lies in.
    fn expected(&self) -> Option<u64> {
        let above = u32::from(100 - self.percentile.min(100)) * self.lessons / 100;
        if above < ABOVE_MIN {
            return None;
        }
        let within = self.lessons - above;
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += u32::from(*count);
            seen >= within
        })?;
        // The last is open to above.
        (place + 1 < BUCKETS).then(|| bucket_end(place))
    }
}

/// Numbers below [`STEPS`] have a bucket each; of the others each doubling has
/// [`STEPS`].
fn bucket(tokens: u64) -> usize {
    let place = match tokens.checked_ilog2() {
        Some(log) if log >= 3 => u64::from(log - 2) * 8 + ((tokens >> (log - 3)) & 7),
        _ => tokens,
    };
    usize::try_from(place).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The greatest number of a bucket.
fn bucket_end(place: usize) -> u64 {
    let (doubling, step) = (place / STEPS, (place % STEPS) as u64);
    match doubling {
        0 => step,
        _ => ((STEPS as u64 + step + 1) << (doubling - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(tenant: &str, percentile: u8, output_tokens: u64) -> Lesson {
        Lesson {
            tenant: tenant.into(),
            model: "m".into(),
            percentile,
            output_tokens,
        }
    }

    fn of(learner: &mut Learner, tenant: &str) -> Option<u64> {
        let news = learner.news().expect("something was learned");
        news.output_tokens(tenant, "m")
    }

    #[test]
    fn each_number_lies_in_a_bucket_that_is_an_eighth_wide_at_most() {
        let mut last = (0, 0);
        for tokens in (0..5_000).chain((5_000..1 << 21).step_by(997)) {
            let place = bucket(tokens);
            let end = bucket_end(place);
            assert!(
                end >= tokens && end <= tokens + tokens / 8,
                "{tokens}: {end}"
            );
            assert!((place, end) >= last, "in order");
            last = (place, end);
        }
        assert_eq!(bucket((1 << 21) - 1), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_percentile_of_what_was_produced_is_expected() {
        for percentile in [50, 90, 95, 99] {
            let mut learner = Learner::default();
            for tokens in 1..=1_000 {
                learner.learn(&lesson("acme", percentile, tokens));
            }
            let exact = u64::from(percentile) * 10;
            let expected = of(&mut learner, "acme").expect("a thousand are enough");
            assert!(
                (exact..=exact + exact / 8).contains(&expected),
                "{percentile}: {expected}"
            );
        }
    }

    #[test]
    fn too_few_lessons_teach_nothing() {
        let mut learner = Learner::default();
        assert_eq!(learner.news(), None);
        for _ in 1..40 {
            learner.learn(&lesson("acme", 95, 7));
        }
        assert_eq!(of(&mut learner, "acme"), None);
        learner.learn(&lesson("acme", 95, 7));
        assert_eq!(of(&mut learner, "acme"), Some(7));
        assert_eq!(learner.news(), None, "nothing new");
    }

    #[test]
    fn what_calls_are_like_now_is_soon_what_counts() {
        let mut learner = Learner::default();
        for _ in 0..100_000 {
            learner.learn(&lesson("acme", 95, 10));
        }
        assert_eq!(of(&mut learner, "acme"), Some(10));
        // A twentieth of the lessons that are remembered, and a few.
        for _ in 0..120 {
            learner.learn(&lesson("acme", 95, 1_000));
        }
        assert_eq!(of(&mut learner, "acme"), Some(1_023));
    }

    #[test]
    fn each_tenant_is_learned_of_alone_and_only_so_many() {
        let mut learner = Learner::default();
        for tenant in 0..PAIRS_MAX + 10 {
            for _ in 0..4 {
                learner.learn(&lesson(&tenant.to_string(), 50, tenant as u64 % 5));
            }
        }
        assert!(learner.pairs.len() <= PAIRS_MAX);
        let news = learner.news().expect("news");
        assert_eq!(news.output_tokens("3", "m"), Some(3));
        assert_eq!(news.output_tokens("4", "m"), Some(4));
        assert_eq!(news.output_tokens("4", "other"), None);
        // All were alive; in time those that are silent give way.
        for _ in 0..4 {
            learner.learn(&lesson("new", 50, 9));
        }
        assert_eq!(learner.news(), None, "there is no room");
        for _ in 0..DROPPED_EVERY {
            learner.learn(&lesson("3", 50, 3));
        }
        for _ in 0..4 {
            learner.learn(&lesson("new", 50, 9));
        }
        assert_eq!(learner.pairs.len(), 2);
        assert_eq!(of(&mut learner, "new"), Some(9));
    }

    #[test]
    fn answers_beyond_all_buckets_are_held_at_their_maximum() {
        let mut learner = Learner::default();
        for _ in 0..100 {
            learner.learn(&lesson("acme", 90, 1 << 30));
        }
        assert_eq!(of(&mut learner, "acme"), None);
    }
}
