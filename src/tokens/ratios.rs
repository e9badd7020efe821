//! Models whose vocabulary isn't public, or isn't built in: their tokens as a
//! share of a public vocabulary's.
//!
//! The table is a start. What calls of a model really used is learned from
//! their settlements, and counts instead (`policy::learned_ratios`).

use serde::{Deserialize, Serialize};

/// The table's version: the day of its last change.
pub const VERSION: &str = "2025-11-25";

/// The least and the most that a ratio may be.
pub const PER_MILLE_MIN: u16 = 500;
pub const PER_MILLE_MAX: u16 = 3_000;

/// Tokens of a model for each token of the vocabulary that its texts are
/// counted by, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Ratio(u16);

/// A model's ratio, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRatio {
    pub ratio: Ratio,
    /// It is a guess, for which what was learned counts instead.
    pub learned: bool,
}

/// Families by how their models' names begin, anywhere in a name where a word
/// begins; the first that fits decides, so longer ones stand first.
///
/// Of English prose, Markdown and Rust, measured against `o200k_base`: Llama 3
/// 1.00 to 1.01, Qwen 2 1.01 to 1.02, DeepSeek V3 1.02 to 1.09, Mistral v3
/// (Tekken) 1.04 to 1.05; other languages lie above. The others follow their
/// providers' word: Anthropic, "Migrating to Claude 4.7" (1.0 to 1.35 times the
/// tokens of its models before). Gemini: recorded prompts in English, 1.00 to
/// 1.12.
const FAMILIES: &[(&str, u16)] = &[
    ("claude-opus-4-7", 1_450),
    ("claude-opus-4.7", 1_450),
    ("claude", 1_200),
    ("gemini", 1_040),
    ("gemma", 1_040),
    ("llama2", 1_250),
    ("llama-2", 1_250),
    ("codellama", 1_250),
    ("llama", 1_050),
    ("qwen", 1_050),
    ("qwq", 1_050),
    ("deepseek", 1_080),
    ("mistral", 1_100),
    ("mixtral", 1_250),
    ("ministral", 1_100),
    ("codestral", 1_100),
    ("devstral", 1_100),
    ("magistral", 1_100),
    ("pixtral", 1_100),
    ("nova", 1_100),
    ("titan", 1_250),
    ("command", 1_080),
    ("embed", 1_080),
    ("rerank", 1_080),
    ("grok", 1_100),
    ("glm", 1_050),
    ("kimi", 1_050),
    ("jamba", 1_150),
    ("sonar", 1_050),
];

impl Ratio {
    pub const ONE: Ratio = Ratio(1_000);

    /// `None` outside [`PER_MILLE_MIN`] to [`PER_MILLE_MAX`].
    pub fn from_per_mille(per_mille: u64) -> Option<Self> {
        let known = u16::try_from(per_mille).ok()?;
        (PER_MILLE_MIN..=PER_MILLE_MAX)
            .contains(&known)
            .then_some(Self(known))
    }

    pub fn per_mille(self) -> u64 {
        u64::from(self.0)
    }

    /// So many tokens of the vocabulary are so many of the model, rounded up.
    /// A quarter more.
    #[must_use]
    pub fn with_a_quarter(self) -> Self {
        Self(self.0.saturating_add(self.0 / 4).min(PER_MILLE_MAX))
    }

    /// Between two thirds of a ratio and twice that.
    #[must_use]
    pub fn near(self, start: Ratio) -> Self {
        let most = start.0.saturating_mul(2).min(PER_MILLE_MAX);
        let least = (start.0 - start.0 / 3).max(PER_MILLE_MIN);
        Self(self.0.clamp(least.min(most), most))
    }

    /// So many of the model's tokens, to the nearest.
    pub fn nearest(self, tokens: u64) -> u64 {
        let scaled = (u128::from(tokens) * u128::from(self.0) + 500) / 1_000;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    /// So many of the model's tokens, rounded up.
    pub fn apply(self, tokens: u64) -> u64 {
        let scaled = (u128::from(tokens) * u128::from(self.0)).div_ceil(1_000);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<u16> for Ratio {
    type Error = String;

    fn try_from(per_mille: u16) -> Result<Self, String> {
        let known = Self::from_per_mille(per_mille.into());
        known.ok_or_else(|| format!("no ratio: {per_mille}"))
    }
}

impl From<Ratio> for u16 {
    fn from(ratio: Ratio) -> u16 {
        ratio.0
    }
}

impl ModelRatio {
    /// Counting by the model's own vocabulary.
    pub const EXACT: ModelRatio = ModelRatio {
        ratio: Ratio::ONE,
        learned: false,
    };

    /// Said by whoever runs weir.
    pub fn fixed(ratio: Ratio) -> Self {
        Self {
            ratio,
            learned: false,
        }
    }

    /// The start for a model that is counted by a vocabulary that isn't its
    /// own.
    pub fn guessed(model: &str) -> Self {
        let mut families = FAMILIES.iter();
        let family = families.find(|(name, _)| names(model, name));
        Self {
            ratio: family.map_or(Ratio::ONE, |(_, per_mille)| Ratio(*per_mille)),
            learned: true,
        }
    }
}

/// Whether a word of a model's name begins so (`us.anthropic.claude-3-haiku`
/// for `claude`), and what follows begins another word or is its version
/// (`llama3`, `o1-mini`, but not `gpt-4o` for `gpt-4`).
pub(super) fn names(model: &str, begins: &str) -> bool {
    let (model, begins) = (model.as_bytes(), begins.as_bytes());
    let ends_in_digit = begins.last().is_some_and(u8::is_ascii_digit);
    let goes_on = |byte: &u8| match ends_in_digit {
        true => byte.is_ascii_alphanumeric(),
        false => byte.is_ascii_alphabetic(),
    };
    let is_word = |at: usize| {
        let (before, rest) = model.split_at(at);
        let behind = rest.get(begins.len());
        !before.last().is_some_and(u8::is_ascii_alphanumeric) && !behind.is_some_and(goes_on)
    };
    // Each call asks this of several names: nothing is allocated.
    let mut parts = model.windows(begins.len().max(1)).enumerate();
    parts.any(|(at, part)| part.eq_ignore_ascii_case(begins) && is_word(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_family() {
        for (model, per_mille) in [
            ("claude-sonnet-4-5", 1_200),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 1_200),
            ("anthropic/claude-opus-4.7", 1_450),
            ("models/gemini-2.5-flash", 1_040),
            ("meta.llama3-1-70b-instruct-v1:0", 1_050),
            ("meta-llama/Llama-3.3-70B-Instruct", 1_050),
            ("llama-2-7b", 1_250),
            ("Qwen/Qwen2.5-7B", 1_050),
            ("deepseek-chat", 1_080),
            ("amazon.nova-micro-v1:0", 1_100),
            ("command-r-plus", 1_080),
            ("supernova", 1_000),
            ("my-model", 1_000),
        ] {
            let guessed = ModelRatio::guessed(model);
            assert_eq!(guessed.ratio.per_mille(), per_mille, "{model}");
            assert!(guessed.learned);
        }
        assert!(names("gpt-4-turbo", "gpt-4") && !names("gpt-4o", "gpt-4"));
    }

    #[test]
    fn a_ratio_stays_within_its_bounds_and_rounds_up() {
        assert_eq!(Ratio::from_per_mille(499), None);
        assert_eq!(Ratio::from_per_mille(3_001), None);
        let ratio = Ratio::from_per_mille(1_150).expect("within");
        assert_eq!(
            [0, 1, 100, 1_000].map(|tokens| ratio.apply(tokens)),
            [0, 2, 115, 1_150]
        );
        assert_eq!(ratio.apply(u64::MAX), u64::MAX);
        assert!(serde_json::from_str::<Ratio>("4000").is_err());
    }

    #[test]
    fn the_table_is_within_its_bounds_and_every_row_can_be_reached() {
        for (place, (name, per_mille)) in FAMILIES.iter().enumerate() {
            assert!(
                Ratio::from_per_mille(u64::from(*per_mille)).is_some(),
                "{name}"
            );
            let first = FAMILIES.iter().position(|(begins, _)| names(name, begins));
            assert_eq!(first, Some(place), "{name}");
        }
    }
}
