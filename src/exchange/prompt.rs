//! How many tokens a request's prompt has: its texts, counted as they stand in
//! the body, and what the provider adds around them.

use crate::policy::Model;
use crate::protocol::denial::Denial;
use crate::protocol::{BodyError, CallFacts, Detail, Dialect, TextSpan, json};
use crate::tokens::overhead::{Overhead, Parts, THINKING_TOKENS};
use crate::tokens::ratios::Ratio;
use crate::tokens::{Count, Counting, RawText, Texts, Vocabulary, count, images};
use serde::{Deserialize, Serialize};

/// The texts of a body.
struct BodyTexts<'a> {
    body: &'a [u8],
    spans: &'a [TextSpan],
}

/// How a model counts.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub model: &'a str,
    pub dialect: Dialect,
    pub vocabulary: Vocabulary,
    /// The model's tokens for each of the vocabulary's.
    pub ratio: Ratio,
    /// The same, as far as it is held.
    pub held_ratio: Ratio,
}

/// What is known of a prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prompt {
    /// The best estimate.
    pub tokens: u64,
    /// What is held for it: at least that, and hardly ever too little.
    pub held_tokens: u64,
    /// What it can teach; `None` where something of it was not counted.
    pub basis: Option<Basis>,
}

/// What a prompt's tokens were estimated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Tokens of the texts, by the model's vocabulary.
    pub counted: u64,
    /// Tokens beside them.
    pub overhead: u64,
}

impl Texts for BodyTexts<'_> {
    fn len(&self) -> usize {
        self.spans.len()
    }

    fn bytes(&self, index: usize) -> usize {
        self.spans.get(index).map_or(0, |text| text.span.len())
    }

    fn raw(&self, index: usize) -> RawText<'_> {
        let text = self.spans.get(index);
        RawText {
            bytes: text
                .and_then(|text| self.body.get(text.span.clone()))
                .unwrap_or_default(),
            escaped: text.is_some_and(|text| text.escaped),
        }
    }

    fn unescape(&self, raw: &str, out: &mut String) {
        json::unescape(raw, out);
    }
}

impl Prompt {
    /// Of a request that was read from `body`: its texts, and what stands around
    /// them.
    pub fn of(words: Words<'_>, facts: &CallFacts, body: &[u8], counting: &Counting) -> Self {
        let texts = BodyTexts {
            body,
            spans: &facts.texts,
        };
        let Count {
            tokens,
            exact,
            upper,
        } = count(words.vocabulary, &texts, counting);
        let repeated = repeated_tokens(words.vocabulary, facts, body, counting);
        let (tokens, upper) = (
            tokens.saturating_add(repeated),
            upper.saturating_add(repeated),
        );
        let parts = Parts {
            messages: facts.messages,
            names: facts.names,
            functions: facts.tools,
            ..Parts::default()
        };
        let overhead = Overhead::of(words.dialect.as_str(), words.model).tokens(parts);
        let thinking = u64::from(facts.thinks) * THINKING_TOKENS;
        let beside = overhead
            .saturating_add(facts.token_ids)
            .saturating_add(thinking);
        Self {
            tokens: words.ratio.nearest(tokens).saturating_add(beside),
            held_tokens: words.held_ratio.apply(upper).saturating_add(beside),
            basis: (exact && is_all_counted(facts)).then_some(Basis {
                counted: tokens,
                overhead: beside,
            }),
        }
    }

    /// With so many tokens more.
    pub fn and(mut self, tokens: u64) -> Self {
        self.tokens = self.tokens.saturating_add(tokens);
        self.held_tokens = self.held_tokens.saturating_add(tokens);
        self
    }

    /// With at least so many tokens.
    pub fn at_least(mut self, tokens: u64) -> Self {
        self.tokens = self.tokens.max(tokens);
        self.held_tokens = self.held_tokens.max(tokens);
        self
    }
}

/// Whether the texts are all there is, each read once and as it stands: what a
/// caller could write in two ways that the provider reads alike teaches nothing.
fn is_all_counted(facts: &CallFacts) -> bool {
    let counted_as_read = facts.tools == 0 && !facts.has_raw_json && facts.repeated.is_none();
    facts.images.is_empty() && !facts.unseen_input && counted_as_read
}

/// What a text that is read anew with each of others adds, beyond the once that
/// it is counted as one of the texts.
fn repeated_tokens(
    vocabulary: Vocabulary,
    facts: &CallFacts,
    body: &[u8],
    counting: &Counting,
) -> u64 {
    let Some((text, times)) = &facts.repeated else {
        return 0;
    };
    let spans = std::slice::from_ref(text);
    let once = count(vocabulary, &BodyTexts { body, spans }, counting).upper;
    once.saturating_mul(times.saturating_sub(1))
}

/// The prompt of a call, images and all that isn't shown included.
///
/// # Errors
/// There is something in it that nobody can say the tokens of.
pub(super) fn of_call(
    words: Words<'_>,
    model: &Model,
    facts: &CallFacts,
    body: &[u8],
    counting: &Counting,
) -> Result<Prompt, Denial> {
    let image_tokens = image_tokens(model, facts, body)?;
    let unseen_tokens = match (facts.unseen_input, model.max_input_tokens) {
        (false, _) => 0,
        // Whatever it is, the model takes no more.
        (true, Some(tokens)) => tokens,
        (true, None) => return Err(unseen_input()),
    };
    let prompt = Prompt::of(words, facts, body, counting).and(image_tokens);
    Ok(prompt.at_least(unseen_tokens))
}

/// What the images of a prompt are held at: as configured, else by the
/// provider's rule.
fn image_tokens(model: &Model, facts: &CallFacts, body: &[u8]) -> Result<u64, Denial> {
    if facts.images.is_empty() {
        return Ok(0);
    }
    if let Some(tokens) = model.image_tokens {
        return Ok(tokens.saturating_mul(facts.images.len() as u64));
    }
    let rule = images::Rule::of_model(&model.name).ok_or_else(unpriced_image)?;
    let tokens = facts.images.iter().map(|image| {
        let data = image.data.as_ref().and_then(|span| body.get(span.clone()));
        let size = data.and_then(images::size_of_base64);
        let detail = match image.detail {
            Detail::Low => images::Detail::Low,
            Detail::High | Detail::Unsaid => images::Detail::High,
        };
        images::tokens(rule, size, detail)
    });
    Ok(tokens.fold(0, u64::saturating_add))
}

fn unpriced_image() -> Denial {
    Denial::Body(BodyError {
        message: "Images are not enabled for this model at this gateway.".into(),
        param: Some("messages".into()),
    })
}

fn unseen_input() -> Denial {
    Denial::Body(BodyError {
        message: "The request refers to input that this gateway can't count (a file, a \
                  recording, or what an earlier call left with the provider), which is not \
                  enabled for this model."
            .into(),
        param: None,
    })
}
