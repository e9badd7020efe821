//! Guardrails: what a call may ask for at all.
//!
//! They say no in the dialect's own words, and which field is at fault; or lower what
//! is asked for, and the answer says so.

use super::planning::Planned;
use super::weigh::Ask;
use crate::policy::rule::Rule;
use crate::policy::{OutputRule, Over, Terms, plan};
use crate::protocol::denial::{Denial, Entitlement, PolicyDenial, PolicyKind};
use crate::protocol::{BodyError, CallFacts};
use std::sync::Arc;

/// A bound of the caller's plan, and how much of it a call asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub name: &'static str,
    pub asked: u64,
    /// `None`: there is none.
    pub most: Option<u64>,
    /// The field that is at fault where it is more.
    param: Option<&'static str>,
}

/// Bounds that hold whatever the call's model.
pub(super) fn bounds(terms: Terms, ask: &Ask) -> [Bound; 3] {
    type Most = fn(&plan::Guardrails) -> Option<u64>;
    let bound = |name, asked, most: Most, param| Bound {
        name,
        asked,
        most: terms.least(|plan| most(&plan.guardrails)),
        param,
    };
    let facts = &ask.facts;
    let images = facts.images_count();
    let tools = facts.tools.max(facts.tool_names.len() as u64);
    [
        bound(
            "body_bytes",
            ask.request.body_bytes,
            |g| g.body_bytes_max,
            None,
        ),
        bound("images", images, |g| g.images_max, None),
        bound("tools", tools, |g| g.tools_max, Some("tools")),
    ]
}

/// The bound on what the model reads.
pub(super) fn input_bound(terms: Terms, planned: &Planned) -> Bound {
    Bound {
        name: "input_tokens",
        asked: planned.prompt.tokens,
        most: terms.least(|plan| plan.guardrails.input_tokens_max),
        param: None,
    }
}

/// What can be told before a call is planned.
///
/// # Errors
/// The first that the call is against.
pub(super) fn before(terms: Terms, ask: &Ask) -> Result<(), Denial> {
    let facts = &ask.facts;
    for bound in bounds(terms, ask) {
        at_most(bound)?;
    }
    for name in &facts.tool_names {
        if !terms.allow_tool(name) {
            return Err(not_entitled(Entitlement::Tool));
        }
    }
    for plan in terms.layers() {
        let mut forbidden = plan.guardrails.forbidden.iter();
        if let Some(name) = forbidden.find(|name| has(facts, name)) {
            return Err(guardrail(
                "forbidden",
                format!("{name} may not be used here."),
                Some(name),
            ));
        }
    }
    Ok(())
}

/// What can be told once it is planned.
///
/// # Errors
/// As [`before`].
pub(super) fn after(terms: Terms, planned: &Planned) -> Result<(), Denial> {
    at_most(input_bound(terms, planned))
}

/// How many answers are asked for, where it is to be fewer than the client did.
///
/// # Errors
/// More than may be.
pub(super) fn choices(rule: &OutputRule, facts: &CallFacts) -> Result<Option<u64>, Denial> {
    let cap = rule.choices_cap.unwrap_or(plan::CHOICES_DEFAULT);
    if facts.choices <= cap {
        return Ok(None);
    }
    let can_be_written = !facts.anchors.choices.is_empty();
    let refused_over = rule.choices_refused_over;
    let may_be_clamped = refused_over.is_none_or(|most| facts.choices <= most);
    if rule.choices_over == Some(Over::Clamp) && can_be_written && may_be_clamped {
        return Ok(Some(cap));
    }
    Err(Denial::Body(BodyError {
        message: format!(
            "At most {cap} choices may be asked for at once (got {}).",
            facts.choices
        ),
        param: Some("n".into()),
    }))
}

/// Fields with which a call can't go to another model.
///
/// # Errors
/// It has one of them.
pub(super) fn lacks(
    ask: &Ask,
    fields: &[Arc<str>],
    model: &str,
    rule: &Rule,
) -> Result<(), Denial> {
    let mut fields = fields.iter();
    match fields.find(|name| has(&ask.facts, name)) {
        None => Ok(()),
        Some(name) => Err(guardrail(
            &rule.name,
            format!("{name} can't be used now: the call would go to {model}, which lacks it."),
            Some(name),
        )),
    }
}

/// The refusal of a call for what is not part of its caller's plan.
pub(super) fn not_entitled(what: Entitlement) -> Denial {
    let (rule, message) = match what {
        Entitlement::Model => ("models", "This model is not part of your plan."),
        Entitlement::Tier => ("tiers", "Models of this tier are not part of your plan."),
        Entitlement::Endpoint => ("endpoints", "This endpoint is not part of your plan."),
        Entitlement::Tool => ("tools", "A tool of this request is not part of your plan."),
    };
    Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::NotEntitled { what },
        rule: rule.into(),
        message: message.to_owned(),
    }))
}

fn has(facts: &CallFacts, path: &str) -> bool {
    facts.field(path).is_some()
}

fn at_most(bound: Bound) -> Result<(), Denial> {
    let Bound {
        name, asked, param, ..
    } = bound;
    match bound.most.filter(|most| asked > *most) {
        None => Ok(()),
        Some(most) => Err(guardrail(
            name,
            format!(
                "At most {most} {} may be sent in one call (got {asked}).",
                name.replace('_', " ")
            ),
            param,
        )),
    }
}

fn guardrail(rule: &str, message: String, param: Option<&str>) -> Denial {
    Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::Guardrail {
            param: param.map(str::to_owned),
        },
        rule: Arc::from(rule),
        message,
    }))
}
