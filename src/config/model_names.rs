//! What a model's name tells when the configuration doesn't.
//!
//! The vocabularies follow the public table of OpenAI's tiktoken
//! (`tiktoken/model.py`); which field caps the output follows OpenAI's API
//! reference: reasoning models take `max_completion_tokens` only.

use crate::policy::{ModelRatio, OutputField, Vocabulary};

/// The first prefix that fits decides, so longer ones stand first.
const VOCABULARIES: &[(&str, Vocabulary)] = &[
    ("gpt-4o", Vocabulary::O200kBase),
    ("gpt-4.1", Vocabulary::O200kBase),
    ("gpt-4.5", Vocabulary::O200kBase),
    ("gpt-oss", Vocabulary::O200kBase),
    ("gpt-5", Vocabulary::O200kBase),
    ("o1", Vocabulary::O200kBase),
    ("o3", Vocabulary::O200kBase),
    ("o4", Vocabulary::O200kBase),
    ("chatgpt", Vocabulary::O200kBase),
    ("gpt-4", Vocabulary::Cl100kBase),
    ("gpt-3.5", Vocabulary::Cl100kBase),
    ("gpt-35", Vocabulary::Cl100kBase),
    ("text-embedding", Vocabulary::Cl100kBase),
    ("davinci-002", Vocabulary::Cl100kBase),
    ("babbage-002", Vocabulary::Cl100kBase),
    ("voyage", Vocabulary::Voyage3Base),
];

const REASONING: &[&str] = &["o1", "o3", "o4", "gpt-5"];

const EMBEDDING: &str = "text-embedding";

/// The vocabulary of a model; `o200k_base` where the name says nothing.
pub fn vocabulary(model: &str) -> Vocabulary {
    own_vocabulary(model).unwrap_or(Vocabulary::O200kBase)
}

/// A model's own tokens for each of the vocabulary's: one where it has that
/// vocabulary, else what is known of its family.
pub fn token_ratio(model: &str) -> ModelRatio {
    match own_vocabulary(model) {
        Some(_) => ModelRatio::EXACT,
        None => ModelRatio::guessed(model),
    }
}

fn own_vocabulary(model: &str) -> Option<Vocabulary> {
    let mut known = VOCABULARIES.iter();
    known
        .find(|(prefix, _)| begins_with(model, prefix))
        .map(|(_, vocabulary)| *vocabulary)
}

/// The field that caps a model's output.
pub fn output_field(model: &str) -> OutputField {
    if REASONING.iter().any(|prefix| begins_with(model, prefix)) {
        OutputField::MaxCompletionTokens
    } else if own_vocabulary(model).is_some() {
        OutputField::Either
    } else {
        OutputField::MaxTokens
    }
}

/// The most tokens that a model can produce, where its name tells: a model
/// that only embeds produces none.
pub fn max_output_tokens(model: &str) -> Option<u64> {
    begins_with(model, EMBEDDING).then_some(0)
}

/// Whether the name is the prefix, or goes on with something that is no letter
/// or digit (`o1-mini`, `gpt-4.1`, but not `gpt-4o` for `gpt-4`). A fine-tuned
/// model (`ft:gpt-4o:...`) goes by its base.
fn begins_with(model: &str, prefix: &str) -> bool {
    let base = model.strip_prefix("ft:").unwrap_or(model);
    base.strip_prefix(prefix)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_vocabulary_and_field() {
        use OutputField::{Either, MaxCompletionTokens, MaxTokens};
        use Vocabulary::{Cl100kBase, O200kBase};
        for (name, words, field) in [
            ("gpt-4o", O200kBase, Either),
            ("gpt-4o-mini", O200kBase, Either),
            ("gpt-4.1-nano", O200kBase, Either),
            ("gpt-4", Cl100kBase, Either),
            ("gpt-4-turbo", Cl100kBase, Either),
            ("gpt-3.5-turbo", Cl100kBase, Either),
            ("ft:gpt-4:org::1", Cl100kBase, Either),
            ("text-embedding-3-small", Cl100kBase, Either),
            ("o1", O200kBase, MaxCompletionTokens),
            ("o3-mini", O200kBase, MaxCompletionTokens),
            ("o4-mini", O200kBase, MaxCompletionTokens),
            ("gpt-5", O200kBase, MaxCompletionTokens),
            ("gpt-5.1-mini", O200kBase, MaxCompletionTokens),
            ("o1x", O200kBase, MaxTokens),
            ("llama-3.1-70b", O200kBase, MaxTokens),
        ] {
            assert_eq!(
                (vocabulary(name), output_field(name)),
                (words, field),
                "{name}"
            );
        }
        for (name, per_mille, learned) in [
            ("gpt-4o", 1_000, false),
            ("ft:gpt-4o-mini:org::1", 1_000, false),
            ("claude-sonnet-4-5", 1_200, true),
            ("my-model", 1_000, true),
        ] {
            let ratio = token_ratio(name);
            assert_eq!(
                (ratio.ratio.per_mille(), ratio.learned),
                (per_mille, learned),
                "{name}"
            );
        }
        assert_eq!(vocabulary("voyage-3-large"), Vocabulary::Voyage3Base);
        assert_eq!(max_output_tokens("text-embedding-3-small"), Some(0));
        assert_eq!(max_output_tokens("gpt-4o"), None);
    }
}
