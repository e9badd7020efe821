//! Plans: what tenants may use.

use super::forms::*;
use super::{Block, Field, Form, block, def, limits, opt, rules};

pub static PLAN: Form = Form::Block(&PLAN_BLOCK);

#[rustfmt::skip]
static PLAN_BLOCK: Block = block("plan", "What tenants on it may use.", &[
    opt("extends", &NAME, "nothing", "Another plan: what isn't said here counts as there, and limits, budgets and policies are added to its own; one of the same name takes its place. At most 8 plans in a row."),
    LIMITS, BUDGETS, OUTPUT, ALLOW, GUARDRAILS, POLICIES, TIME_ZONE,
]);

#[rustfmt::skip]
pub const LIMITS: Field = opt("limits", &limits::LIMITS, "none", "At most 32 limits and budgets together.");
#[rustfmt::skip]
pub const BUDGETS: Field = opt("budgets", &limits::BUDGETS, "none", "What may be spent.");
#[rustfmt::skip]
pub const OUTPUT: Field = opt("output", &OUTPUT_FORM, "the defaults of its fields", "How much answers may have.");
#[rustfmt::skip]
pub const ALLOW: Field = opt("allow", &ALLOW_FORM, "everything", "What may be used.");
#[rustfmt::skip]
pub const GUARDRAILS: Field = opt("guardrails", &GUARDRAILS_FORM, "none", "What one call may have in it.");
#[rustfmt::skip]
pub const POLICIES: Field = opt("policies", &rules::RULES, "none", "At most 64 rules; all whose condition holds count.");
#[rustfmt::skip]
const TIME_ZONE: Field = def("time_zone", &TEXT, "UTC", "The IANA time zone of `time` in conditions.");

static OUTPUT_FORM: Form = Form::Block(&OUTPUT_BLOCK);
#[rustfmt::skip]
static OUTPUT_BLOCK: Block = block("output", "How much answers may have, and how much of it is held while a call runs.", &[
    opt("max_tokens", &Form::Block(&MAX_TOKENS), "none", "The most tokens of one answer, in the field that the call's API has for it."),
    opt("choices", &Form::Block(&CHOICES), "the defaults of its fields", "The most answers of one call (`n`, `best_of`)."),
    def("hold", &Form::Words(&["maximum", "expected"]), "maximum", "How much output is held: the most that the call can produce, or what is expected of it by the tenant's answers so far."),
    def("percentile", &AMOUNT, "95", "Of `hold: expected`, 50 to 99: so many percent of the answers produced no more."),
]);

#[rustfmt::skip]
static MAX_TOKENS: Block = block("max_tokens", "The most tokens of one answer.", &[
    opt("default", &AMOUNT, "none; a plan that tenants are on needs it unless every model has `max_output_tokens`", "Written into a call that says nothing, from 1."),
    opt("cap", &AMOUNT, "none", "What a call may ask for at most, from 1."),
    def("required", &BOOLEAN, "false", "Calls must say how much they want."),
    def("over", &Form::Words(&["clamp", "refuse"]), "clamp", "What becomes of a call that asks for more than the cap."),
]);

#[rustfmt::skip]
static CHOICES: Block = block("choices", "The most answers of one call.", &[
    def("cap", &AMOUNT, "8", "1 to 128."),
    def("over", &Form::Words(&["clamp", "refuse"]), "refuse", "What becomes of a call that asks for more."),
]);

static ALLOW_FORM: Form = Form::Block(&ALLOW_BLOCK);
#[rustfmt::skip]
static ALLOW_BLOCK: Block = block("allow", "What may be used; a list that is left out allows all, an empty one nothing. At most 256 entries each.", &[
    opt("models", &SOME_PATTERNS, "all", "Models, by the names that calls send."),
    opt("tiers", &SOME_NAMES, "all", "Tiers of models."),
    opt("endpoints", &SOME_ENDPOINTS, "all", "Endpoints."),
    opt("tools", &SOME_PATTERNS, "all", "Tools, by their names."),
]);

static GUARDRAILS_FORM: Form = Form::Block(&GUARDRAILS_BLOCK);
#[rustfmt::skip]
static GUARDRAILS_BLOCK: Block = block("guardrails", "What one call may have in it; more is refused in its API's own form. `forbid` and `drop` together at most 64 fields.", &[
    opt("input_tokens_max", &AMOUNT, "no bound", "The most input tokens."),
    opt("body_bytes_max", &SIZE, "`server.body_bytes_max`", "The largest body, from 1 byte."),
    opt("images_max", &AMOUNT, "no bound", "The most images."),
    opt("tools_max", &AMOUNT, "no bound", "The most tools."),
    opt("forbid", &SOME_PARAMETERS, "none", "Fields of the body with which a call is refused, at most 32."),
    opt("drop", &SOME_PARAMETERS, "none", "Fields that are taken out of the body, at most 32."),
]);
