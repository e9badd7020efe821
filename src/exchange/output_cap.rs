//! How much one answer may produce: the call's own cap, the plan's guardrails
//! and the model's maximum, together.
//!
//! Always holds: a call that passes here is bounded.

use crate::policy::{Model, Plan};
use crate::protocol::denial::Denial;
use crate::protocol::{BodyError, CallFacts, Endpoint};

/// The cap on one answer's output.
pub(super) struct Cap<'a> {
    pub tokens: u64,
    /// What is written into the body, and under which field.
    pub written: Option<(u64, &'a str)>,
}

impl Cap<'_> {
    pub fn of(
        plan: &Plan,
        model: &Model,
        facts: &CallFacts,
        endpoint: Endpoint,
    ) -> Result<Self, Denial> {
        if endpoint.is_without_output() {
            return Ok(Cap {
                tokens: 0,
                written: None,
            });
        }
        if model.max_output_tokens == Some(0) {
            return Err(no_output());
        }
        let rule = plan.output;
        if facts.choices > rule.choices_cap {
            return Err(Denial::Body(BodyError {
                message: format!(
                    "At most {} choices may be asked for at once (got {}).",
                    rule.choices_cap, facts.choices
                ),
                param: Some("n".into()),
            }));
        }
        let field = match endpoint {
            Endpoint::ChatCompletions => model.output_field.as_str(),
            _ => "max_tokens",
        };
        let asked = facts.output_max.as_ref().map(|max| max.tokens);
        let capped = |tokens: u64| rule.max_tokens_cap.map_or(tokens, |cap| tokens.min(cap));
        let written = match (asked, rule.max_tokens_default) {
            (Some(asked), _) => (capped(asked) < asked).then(|| capped(asked)),
            (None, Some(default)) => Some(capped(default)),
            (None, None) => rule.max_tokens_cap,
        };
        // Configuration sees to it that one of these is known for every plan
        // and model; without any, the call can't be bounded.
        let bound = written
            .or(asked)
            .or(model.max_output_tokens)
            .ok_or_else(unbounded_output)?;
        let tokens = model.max_output_tokens.map_or(bound, |max| bound.min(max));
        Ok(Cap {
            tokens,
            written: written.map(|tokens| (tokens, field)),
        })
    }
}

fn no_output() -> Denial {
    Denial::Body(BodyError {
        message: "This model produces no text; it can't be used with this endpoint.".into(),
        param: Some("model".into()),
    })
}

fn unbounded_output() -> Denial {
    Denial::Body(BodyError {
        message: "max_tokens is required for this model.".into(),
        param: Some("max_tokens".into()),
    })
}
