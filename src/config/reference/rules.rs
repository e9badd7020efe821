//! Policies: what becomes of calls under conditions.

use super::forms::*;
use super::{Block, Form, block, def, opt, req};

pub static RULES: Form = Form::List(&RULE);
static RULE: Form = Form::Block(&RULE_BLOCK);

#[rustfmt::skip]
static RULE_BLOCK: Block = block("policy", "A rule. What several rules do is put together: the longest delay, the smallest clamp, the first downgrade; block wins.", &[
    req("name", &NAME, "Unique in its plan; refusals and the ledger call the rule by it."),
    opt("when", &CONDITION, "every call", "For which calls."),
    req("then", &Form::Block(&THEN), "What it does."),
    def("mode", &MODE, "enforce", "`shadow`: nothing is done; the ledger says what would have been."),
]);

#[rustfmt::skip]
static THEN: Block = block("then", "At least one of these.", &[
    opt("warn", &Form::Any(&[OR_TRUE, Form::Written(&MESSAGE_WRITTEN)]), "no warning", "The answer carries a warning: the rule's name, or a text."),
    opt("throttle", &Form::Block(&THROTTLE), "no delay", "The call is slowed down."),
    opt("clamp_output", &Form::Any(&[Form::Written(&AMOUNT_WRITTEN), Form::Block(&CLAMP)]), "no clamp", "One answer has so many tokens at most."),
    opt("downgrade", &Form::Any(&[Form::Written(&DOWNGRADE_TO), Form::List(&NAME), Form::Block(&DOWNGRADE)]), "the model that was asked for", "Another model is served: the first that the caller may use and that speaks the call's dialect."),
    opt("route", &Form::Any(&[Form::Written(&NAME_WRITTEN), Form::Block(&ROUTE)]), "no other cluster", "`x-weir-cluster` says so to Envoy."),
    opt("require_approval", &Form::Any(&[OR_TRUE, Form::Block(&APPROVAL)]), "no approval", "The call is refused until somebody grants it."),
    opt("block", &Form::Any(&[OR_TRUE, Form::Block(&BLOCK)]), "no refusal", "The call is refused."),
]);

static DOWNGRADE_TO: super::Written = super::Written {
    id: "downgrade_to",
    doc: "the name of a model that isn't itself chosen from others",
    example: "m",
    types: &["string", "number"],
    pattern: "",
};

#[rustfmt::skip]
static THROTTLE: Block = block("throttle", "At least one of these.", &[
    opt("delay", &SPAN, "none", "The call is held back for so long, 1ms to 30s."),
    opt("limits", &SHARE, "all of each limit", "Such calls pass only within this share of each limit but budgets and `concurrency`, counted apart as `throttled:<name>`, 0.001 to 0.999."),
]);

#[rustfmt::skip]
static CLAMP: Block = block("clamp_output", "As a number alone.", &[
    req("max_tokens", &AMOUNT, "The most tokens of one answer, from 1."),
]);

#[rustfmt::skip]
static DOWNGRADE: Block = block("downgrade", "Another model, and fields that it lacks.", &[
    req("to", &SOME_NAMES, "1 to 32 models, the best first; none that is itself chosen from others."),
    opt("drop", &SOME_PARAMETERS, "none", "Fields of the body that are left out, at most 32."),
    opt("refuse", &SOME_PARAMETERS, "none", "Fields of the body with which the call is refused, at most 32."),
]);

#[rustfmt::skip]
static ROUTE: Block = block("route", "As a name alone.", &[
    req("cluster", &NAME, "What `x-weir-cluster` says."),
]);

#[rustfmt::skip]
static APPROVAL: Block = block("require_approval", "What differs from usual.", &[
    def("valid_for", &SPAN, "1h", "How long a grant lasts unless it says otherwise, 1s to 366d."),
    opt("approvers", &MESSAGE, "not said", "Who may be asked, in words; the caller reads it."),
    def("by", &Form::Words(&["operator", "tenant_admin"]), "operator", "Who may grant it: operators alone, or admins of the tenant too."),
    opt("message", &MESSAGE, "weir's own words", "What the caller is told."),
]);

#[rustfmt::skip]
static BLOCK: Block = block("block", "What differs from usual.", &[
    def("status", &AMOUNT, "403", "The status of the refusal, 400 to 499."),
    opt("code", &NAME, "weir's own", "The refusal's code, in the form of the call's API."),
    opt("message", &MESSAGE, "weir's own words", "What the caller is told."),
]);
