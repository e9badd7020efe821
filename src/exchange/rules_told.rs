//! What the answer of a call, and its row, tell of what policy did to it.

use super::message::Notice;
use super::open_call::ToldHeader;
use super::planning::Planned;
use crate::policy::rule::{Judgement, Shape, Taken};
use std::sync::Arc;

/// Headers of answers; all of them are known to [`known`].
pub(super) const MODEL: &str = "x-weir-model";
pub(super) const DOWNGRADED_FROM: &str = "x-weir-downgraded-from";
pub(super) const WARNING: &str = "x-weir-warning";
pub(super) const CLAMPED: &str = "x-weir-clamped";

/// What is told of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Told {
    pub headers: Vec<ToldHeader>,
    /// As the ledger has them.
    pub actions: Vec<Arc<str>>,
    /// Where the gateway is to send it.
    pub cluster: Option<Arc<str>>,
}

/// The name of a header that policy gives, if it is one.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let mut names = [MODEL, DOWNGRADED_FROM, WARNING, CLAMPED].into_iter();
    names.find(|known| *known == name)
}

/// What rules and guardrails did to a call that named this model.
pub(super) fn told(shape: &Shape, judgement: &Judgement, planned: &Planned, named: &str) -> Told {
    let mut told = Told::default();
    if let Some((_, rule)) = shape.swap {
        told.took(rule, "downgrade");
        told.header(DOWNGRADED_FROM, named);
    }
    let written = planned.cap.written.map(|(tokens, _)| tokens);
    if let Some((most, rule)) = shape.clamp
        && written == Some(most)
    {
        told.took(rule, "clamp_output");
    }
    if let Some((route, rule)) = shape.route {
        told.took(rule, "route");
        told.cluster = Some(Arc::clone(&route.cluster));
    }
    if let Some(tokens) = planned.cap.lowered_to() {
        told.header(CLAMPED, &format!("max_tokens={tokens}"));
    }
    if let Some(choices) = planned.choices {
        told.header(CLAMPED, &format!("n={choices}"));
    }
    for (message, rule) in &judgement.warnings {
        told.took(rule, "warn");
        told.header(WARNING, message.map_or(&rule.name, |message| message));
    }
    if let Some((_, rule)) = judgement.delay {
        told.took(rule, "throttle");
    }
    if let Some((_, rule)) = judgement.limits_per_mille
        && judgement
            .delay
            .is_none_or(|(_, other)| other.name != rule.name)
    {
        told.took(rule, "throttle");
    }
    for (_, rule) in &judgement.approvals {
        told.took(rule, "require_approval");
    }
    if let Some((_, rule)) = judgement.block {
        told.took(rule, "block");
    }
    told
}

/// Warns of a budget that has passed a threshold.
pub(super) fn warn(headers: &mut Vec<ToldHeader>, notice: &Notice) {
    if let Notice::Budget { passed, .. } = notice {
        let percent = passed.threshold_per_mille / 10;
        let text = format!("budget {} is over {percent}%", passed.budget);
        add(headers, WARNING, &text);
    }
}

/// A header is set once.
fn add(headers: &mut Vec<ToldHeader>, name: &'static str, value: &str) {
    match headers.iter_mut().find(|(known, _)| known == name) {
        Some((_, values)) => {
            values.push_str(", ");
            values.push_str(value);
        }
        None => headers.push((name.into(), value.to_owned())),
    }
}

impl Told {
    fn took(&mut self, rule: &crate::policy::rule::Rule, action: &'static str) {
        self.actions.push(Taken { rule, action }.written());
    }

    fn header(&mut self, name: &'static str, value: &str) {
        add(&mut self.headers, name, value);
    }

    /// Of a call that goes to another model than it names.
    pub fn goes_to(&mut self, model: &str, named: &str) {
        if model != named {
            self.header(MODEL, model);
        }
    }

    /// And what rules in shadow mode would have done.
    pub fn with(mut self, shadows: &[Taken]) -> Self {
        self.actions
            .extend(shadows.iter().map(|taken| taken.written()));
        self
    }
}
