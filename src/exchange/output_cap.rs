//! How much one answer may produce: the call's own cap, the plan's guardrails
//! and the model's maximum, together.
//!
//! Always holds: a call that passes here is bounded.

use crate::policy::{Model, OutputField, OutputRule, Over};
use crate::protocol::denial::Denial;
use crate::protocol::request::{CapField, CapPlace};
use crate::protocol::{BodyError, CallFacts, Endpoint};

/// The most tokens of one answer that may be asked for. No model is known to
/// produce a tenth of it.
const OUTPUT_TOKENS_MAX: u64 = 10_000_000;

/// The cap on one answer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cap {
    pub tokens: u64,
    /// What is written into the body, and where.
    pub written: Option<(u64, CapPlace)>,
    /// The client asked for more.
    pub lowered: bool,
    /// The client's own is written under the name of this place.
    pub moves: bool,
}

impl Cap {
    /// `clamp` is the most by a rule, besides the plan's own.
    pub fn of(
        rule: &OutputRule,
        model: &Model,
        facts: &CallFacts,
        endpoint: Endpoint,
        clamp: Option<u64>,
    ) -> Result<Self, Denial> {
        if endpoint.is_without_output() {
            return Ok(Self::unwritten(0));
        }
        let Some(place) = facts.cap_field.place(model.output_field.as_str()) else {
            return Self::without_field(rule, model, facts, (endpoint, clamp));
        };
        if model.max_output_tokens == Some(0) {
            return Err(no_output());
        }
        if unknown_cap(model, facts) {
            return Err(Denial::Body(BodyError {
                message: "max_completion_tokens is not known to bound this model; set max_tokens."
                    .into(),
                param: Some("max_completion_tokens".into()),
            }));
        }
        let asked = facts.output_max.as_ref().map(|max| max.tokens);
        is_within(rule, asked, place.name)?;
        let moves = moves(model, facts);
        let cap = [rule.max_tokens_cap, clamp].into_iter().flatten().min();
        // What the model doesn't have its provider refuses, or has more than is held.
        let most = cap.into_iter().chain(model.max_output_tokens).min();
        let capped = |tokens: u64| most.map_or(tokens, |most| tokens.min(most));
        let written = match (asked, rule.max_tokens_default) {
            (Some(asked), _) => (moves || capped(asked) < asked).then(|| capped(asked)),
            (None, Some(default)) => Some(capped(default)),
            (None, None) => cap.map(capped),
        };
        // Configuration sees to it that one of these is known for every plan
        // and model; without any, the call can't be bounded.
        let bound = written
            .or(asked)
            .or(model.max_output_tokens)
            .ok_or_else(|| unbounded_output(place.name))?;
        let tokens = model.max_output_tokens.map_or(bound, |max| bound.min(max));
        within_reason(tokens, place.name)?;
        let missing = asked.is_none() && endpoint.needs_cap();
        let written = written.or(missing.then_some(tokens));
        Ok(Self {
            tokens,
            written: written.map(|tokens| (tokens, place)),
            lowered: asked.is_some_and(|asked| capped(asked) < asked),
            moves,
        })
    }

    /// What the client's own cap was lowered to.
    pub fn lowered_to(&self) -> Option<u64> {
        let (tokens, _) = self.written.filter(|_| self.lowered)?;
        Some(tokens)
    }

    /// Of an endpoint that takes no cap, as far as is known.
    fn without_field(
        rule: &OutputRule,
        model: &Model,
        facts: &CallFacts,
        (endpoint, clamp): (Endpoint, Option<u64>),
    ) -> Result<Self, Denial> {
        let asked = facts.output_max.as_ref().map(|max| max.tokens);
        let most = model
            .max_output_tokens
            .or(asked)
            .or(endpoint.usual_output_tokens_max());
        if let Some(tokens) = most {
            let field = facts.output_max.as_ref().map_or("model", |max| max.name);
            within_reason(tokens, field)?;
        }
        // One that the client brings is held to the plan, though nobody knows
        // whether the model reads it.
        if let Some(set) = &facts.output_max {
            is_within(rule, asked, set.name)?;
            let cap = [rule.max_tokens_cap, clamp].into_iter().flatten().min();
            if let Some(cap) = cap.filter(|cap| *cap < set.tokens) {
                return Ok(Self {
                    tokens: most.unwrap_or(cap),
                    written: Some((cap, CapPlace::of_body(set.name))),
                    lowered: true,
                    moves: false,
                });
            }
        }
        most.map(Self::unwritten).ok_or_else(|| {
            Denial::Body(BodyError {
                message: "Nothing bounds what this model may produce here, so this gateway \
                          can't let the call through."
                    .into(),
                param: Some("model".into()),
            })
        })
    }

    fn unwritten(tokens: u64) -> Self {
        Self {
            tokens,
            written: None,
            lowered: false,
            moves: false,
        }
    }
}

/// Whether a plan lets a call ask for so much.
fn is_within(rule: &OutputRule, asked: Option<u64>, field: &str) -> Result<(), Denial> {
    let refused = |message| {
        Err(Denial::Body(BodyError {
            message,
            param: Some(field.to_owned()),
        }))
    };
    match (asked, rule.max_tokens_cap) {
        (None, _) if rule.max_tokens_required => refused(format!("{field} is required.")),
        (Some(asked), Some(cap)) if asked > cap && rule.max_tokens_over == Some(Over::Refuse) => {
            refused(format!("{field} must be at most {cap} (got {asked})."))
        }
        _ => Ok(()),
    }
}

/// A call that is lost is charged what it held: nobody may put a tenant into debt
/// by a number that no model could come to.
fn within_reason(tokens: u64, field: &str) -> Result<(), Denial> {
    if tokens <= OUTPUT_TOKENS_MAX {
        return Ok(());
    }
    Err(Denial::Body(BodyError {
        message: format!("At most {OUTPUT_TOKENS_MAX} tokens may be asked for (got {tokens})."),
        param: Some(field.to_owned()),
    }))
}

/// Servers that know only the older field answer without a cap.
fn unknown_cap(model: &Model, facts: &CallFacts) -> bool {
    let set = facts.output_max.as_ref().map(|max| max.name);
    facts.cap_field == CapField::OfModel
        && model.output_field == OutputField::MaxTokens
        && set == Some("max_completion_tokens")
        && !moves(model, facts)
}

/// Whether a cap has to stand in another field, as the call goes to another model than
/// the client wrote it for.
fn moves(model: &Model, facts: &CallFacts) -> bool {
    let set = facts.output_max.as_ref().map(|max| max.name);
    facts.cap_field == CapField::OfModel
        && *facts.model != *model.name
        && model.output_field != OutputField::Either
        && set.is_some_and(|set| set != model.output_field.as_str())
}

fn no_output() -> Denial {
    Denial::Body(BodyError {
        message: "This model produces no text; it can't be used with this endpoint.".into(),
        param: Some("model".into()),
    })
}

fn unbounded_output(field: &str) -> Denial {
    Denial::Body(BodyError {
        message: format!("{field} is required for this model."),
        param: Some(field.into()),
    })
}
