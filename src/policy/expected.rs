//! How much output calls really produce, learned from those that ended.
//!
//! Agents ask for a huge `max_tokens` and use little of it; to hold the most
//! that they could use would let few of them run at once. A plan may hold what
//! is expected instead: a high percentile of what this tenant's answers from
//! this model were.
//!
//! The [`Learner`] takes a [`Lesson`] from each call that tells what it
//! produced, and gives [`News`] of what changed, a little at a time; calls are
//! judged by the [`Expected`] that is made of it, a value.
//!
//! Always holds: what is expected is never below the percentile of the lessons
//! that count, nor above it by more than an eighth; the learner remembers at
//! most [`PAIRS_MAX`] pairs of tenant and model, each in the same small room.
//! What a lesson or a piece of news costs doesn't grow with the number of
//! pairs, but where silent pairs give way to new ones.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Pairs of tenant and model that are learned of, at most: under 16 MB.
const PAIRS_MAX: usize = 32_768;

/// Parts of what is expected: news of one pair copies the part that it is in.
const PARTS: usize = 256;

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

/// What answers are expected to produce. Copies share what didn't change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(Vec<Arc<Part>>);

/// By tenant and model.
type Part = HashMap<Arc<str>, HashMap<Arc<str>, u64>>;

/// What is now expected of a pair; `None` where too little is known, or no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub tenant: Arc<str>,
    pub model: Arc<str>,
    pub output_tokens: Option<u64>,
}

/// Takes lessons.
#[derive(Debug, Default)]
pub struct Learner {
    pairs: HashMap<(Arc<str>, Arc<str>), Pair>,
    /// Those of which there is news, once each, or twice where one was dropped and
    /// is back; at most three times [`PAIRS_MAX`].
    changed: Vec<(Arc<str>, Arc<str>)>,
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
    /// There was a lesson since news of it was last given.
    changed: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Arc::default()).collect())
    }
}

impl Expected {
    /// Output tokens of one answer; `None` where too little is known.
    pub fn output_tokens(&self, tenant: &str, model: &str) -> Option<u64> {
        let part = self.0.get(part(tenant, model))?;
        part.get(tenant)?.get(model).copied()
    }

    /// The same, but for what is new.
    #[must_use]
    pub fn with(&self, news: impl IntoIterator<Item = News>) -> Self {
        let mut parts = self.0.clone();
        for piece in news {
            let News { tenant, model, .. } = piece;
            let Some(part) = parts.get_mut(part(&tenant, &model)) else {
                continue;
            };
            // Copied once: from then on it is this one's own.
            let part = Arc::make_mut(part);
            match piece.output_tokens {
                Some(tokens) => {
                    part.entry(tenant).or_default().insert(model, tokens);
                }
                None => {
                    if let Some(models) = part.get_mut(&tenant) {
                        models.remove(&model);
                        if models.is_empty() {
                            part.remove(&tenant);
                        }
                    }
                }
            }
        }
        Self(parts)
    }
}

fn part(tenant: &str, model: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    (tenant, model).hash(&mut hasher);
    let parts = u64::try_from(PARTS).unwrap_or(1);
    usize::try_from(hasher.finish() % parts).unwrap_or(0)
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
        let pair = self.pairs.entry(name.clone()).or_insert_with(Pair::new);
        pair.percentile = lesson.percentile;
        pair.learn(lesson.output_tokens);
        if !std::mem::replace(&mut pair.changed, true) {
            self.changed.push(name);
        }
    }

    /// Makes room, though not before most had a chance to be heard of, and not
    /// while nobody asks for news.
    fn drop_silent(&mut self) {
        if self.since_dropped < DROPPED_EVERY || self.changed.len() > PAIRS_MAX {
            return;
        }
        self.since_dropped = 0;
        let changed = &mut self.changed;
        self.pairs.retain(|name, pair| {
            let kept = std::mem::take(&mut pair.alive);
            if !kept && !pair.changed {
                changed.push(name.clone());
            }
            kept
        });
    }

    /// What changed since it was last told, of at most so many pairs; ask again
    /// until nothing is left.
    pub fn news(&mut self, max: usize) -> Vec<News> {
        let from = self.changed.len().saturating_sub(max);
        let told = self.changed.drain(from..);
        told.map(|(tenant, model)| {
            let name = (tenant, model);
            let pair = self.pairs.get_mut(&name);
            let output_tokens = pair.and_then(|pair| {
                pair.changed = false;
                pair.expected()
            });
            let (tenant, model) = name;
            News {
                tenant,
                model,
                output_tokens,
            }
        })
        .collect()
    }
}

impl Pair {
    fn new() -> Self {
        Self {
            percentile: 0,
            lessons: 0,
            counts: [0; BUCKETS],
            alive: true,
            changed: false,
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
        let news = learner.news(usize::MAX);
        assert!(!news.is_empty(), "something was learned");
        Expected::default().with(news).output_tokens(tenant, "m")
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
        assert_eq!(learner.news(9), []);
        for _ in 1..40 {
            learner.learn(&lesson("acme", 95, 7));
        }
        assert_eq!(of(&mut learner, "acme"), None);
        learner.learn(&lesson("acme", 95, 7));
        assert_eq!(of(&mut learner, "acme"), Some(7));
        assert_eq!(learner.news(9), [], "nothing new");
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
        let news = Expected::default().with(learner.news(usize::MAX));
        assert_eq!(news.output_tokens("3", "m"), Some(3));
        assert_eq!(news.output_tokens("4", "m"), Some(4));
        assert_eq!(news.output_tokens("4", "other"), None);
        // All were alive; in time those that are silent give way.
        for _ in 0..4 {
            learner.learn(&lesson("new", 50, 9));
        }
        assert_eq!(learner.news(9), [], "there is no room");
        for _ in 0..DROPPED_EVERY {
            learner.learn(&lesson("3", 50, 3));
        }
        for _ in 0..4 {
            learner.learn(&lesson("new", 50, 9));
        }
        assert_eq!(learner.pairs.len(), 2);
        let after = news.with(learner.news(usize::MAX));
        assert_eq!(after.output_tokens("new", "m"), Some(9));
        assert_eq!(after.output_tokens("3", "m"), Some(3));
        assert_eq!(after.output_tokens("4", "m"), None, "it was dropped");
        assert_eq!(after.0.iter().map(|part| part.len()).sum::<usize>(), 2);
    }

    /// So that nobody who teaches waits for long: what is asked for at a time is
    /// all that is worked out.
    #[test]
    fn news_is_told_piece_by_piece_and_of_what_changed_alone() {
        let mut learner = Learner::default();
        for tenant in 0..1_000 {
            for _ in 0..4 {
                learner.learn(&lesson(&tenant.to_string(), 50, 7));
            }
        }
        let mut known = Expected::default();
        let mut told = 0;
        loop {
            let news = learner.news(64);
            if news.is_empty() {
                break;
            }
            assert!(news.len() <= 64);
            told += news.len();
            known = known.with(news);
        }
        assert_eq!(told, 1_000, "each once");
        for tenant in 0..1_000 {
            assert_eq!(known.output_tokens(&tenant.to_string(), "m"), Some(7));
        }
        for _ in 0..9 {
            learner.learn(&lesson("5", 50, 3));
        }
        let news = learner.news(64);
        assert_eq!(news.len(), 1);
        let after = known.with(news);
        assert_eq!(after.output_tokens("5", "m"), Some(3));
        assert_eq!(known.output_tokens("5", "m"), Some(7), "a value stays");
        let shared = known.0.iter().zip(&after.0);
        let copied = shared.filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 1, "the rest is the same in memory");
    }

    /// Though nobody asks for news, what is kept of it is bounded.
    #[test]
    fn news_that_nobody_asks_for_is_bounded() {
        let mut learner = Learner::default();
        let mut most = 0;
        for n in 0..8 * DROPPED_EVERY {
            learner.learn(&lesson(&(n / 2).to_string(), 50, 7));
            most = most.max(learner.changed.len());
        }
        assert!(most <= 3 * PAIRS_MAX, "{most}");
        assert!(learner.pairs.len() <= PAIRS_MAX);
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
