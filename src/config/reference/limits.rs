//! Limits and budgets.

use super::forms::*;
use super::{Block, Field, Form, block, def, opt, req};

pub static LIMITS: Form = Form::List(&LIMIT);
static LIMIT: Form = Form::Block(&LIMIT_BLOCK);

#[rustfmt::skip]
const SCOPES: Form = Form::Words(&["tenant", "project", "environment", "user", "key", "model", "tier", "endpoint", "provider"]);
static SCOPE: Form = SCOPES;
static SCOPES_OR_GLOBAL: Form = Form::Any(&[Form::Words(&["global"]), Form::Some(&SCOPE)]);

#[rustfmt::skip]
const EVERY: Field = opt("every", &SPAN, "required, unless `period` is there or the unit is `concurrency`", "The time that the amount is for, up to 400d; a sliding window takes 12ms or more.");
#[rustfmt::skip]
const PERIOD: Field = opt("period", &Form::Words(&["hour", "day", "week", "month"]), "`every` is there", "A calendar's unit in place of `every`.");
const ZONE: Field = def("zone", &TEXT, "UTC", "The IANA time zone of the period.");
#[rustfmt::skip]
const ANCHOR: Field = opt("anchor", &ANCHORS, "`monday`; `1`", "On which day the week or the month begins; 31 is a month's last day.");
static ANCHORS: Form = Form::Any(&[
    Form::Words(&[
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ]),
    Form::Written(&super::Written {
        id: "day_of_month",
        doc: "1 to 31",
        example: "1",
        types: &["integer"],
        pattern: "",
    }),
]);
#[rustfmt::skip]
const STARTS: Field = def("starts", &Form::Words(&["aligned", "first_hit"]), "aligned", "Of a fixed window of a span: when it begins, at multiples of it since 1970 or with the first call.");
#[rustfmt::skip]
const ALGORITHM: Field = opt("algorithm", &Form::Words(&["fixed_window", "sliding_window", "token_bucket", "leaky_bucket"]), "with `period`: `fixed_window`; else of requests: `sliding_window`, of other units: `token_bucket`", "How it counts.");
#[rustfmt::skip]
const BURST: Field = opt("burst", &QUANTITY, "`amount`; of a leaky bucket of requests 1", "Of buckets: how much may come at once.");
#[rustfmt::skip]
const MODE_OF_LIMIT: Field = def("mode", &MODE, "enforce", "`shadow`: counted past the amount, never refused; usage events say what it would have refused.");
#[rustfmt::skip]
const WHEN: Field = opt("when", &WHEN_FORM, "every call", "Which calls it is for. A condition can't speak of budgets and limits here.");
static WHEN_FORM: Form = Form::Any(&[Form::Written(&CONDITION_OF_LIMIT), Form::Block(&WHEN_BLOCK)]);
static CONDITION_OF_LIMIT: super::Written = super::Written {
    id: "limit_condition",
    doc: "a condition in CEL over all but `budget` and `limit`",
    example: "request.stream",
    types: &["string"],
    pattern: "",
};

#[rustfmt::skip]
static LIMIT_BLOCK: Block = block("limit", "So much in such a time, of the calls that are counted together.", &[
    opt("name", &NAME, "`<per>-<unit>`", "Unique in its plan; shown in refusals, and conditions speak of it. Not beginning with `own:`, `grant:`, `throttled:`, `tenant:`, `project:`, `environment:`, `project-environment:` or `user:`."),
    req("per", &SCOPES_OR_GLOBAL, "Whose calls are counted together, within each tenant; `global` only in the limits at the top."),
    req("unit", &Form::Words(&["requests", "input_tokens", "output_tokens", "tokens", "cost", "concurrency"]), "What is counted; `tokens` are input and output, `cost` dollars, `concurrency` calls in flight."),
    req("amount", &QUANTITY, "How much, from 1 (of `cost`: 0.000000001) to 9007199254740991 (9007199.254740991)."),
    EVERY, PERIOD, ZONE, ANCHOR, STARTS, ALGORITHM, BURST, MODE_OF_LIMIT,
    def("hard", &BOOLEAN, "false", "Of `tokens`, `output_tokens` and `cost`: room is needed for the most that a call can use, though a plan holds what is expected."),
    WHEN,
]);

/// Of the rate limit service.
pub static LIMITS_OF_HITS: Form = Form::List(&LIMIT_OF_HITS);
static LIMIT_OF_HITS: Form = Form::Block(&LIMIT_OF_HITS_BLOCK);
#[rustfmt::skip]
static LIMIT_OF_HITS_BLOCK: Block = block("limit_of_hits", "A limit of what a descriptor counts.", &[
    opt("name", &NAME, "the keys of `match` joined by `-`", "Unique in its rule."),
    req("unit", &Form::Words(&["requests"]), "Hits are counted."),
    req("amount", &AMOUNT, "How many, from 1."),
    EVERY, PERIOD, ZONE, ANCHOR, STARTS, ALGORITHM, BURST, MODE_OF_LIMIT,
]);

#[rustfmt::skip]
static WHEN_BLOCK: Block = block("when", "Calls that match all of these, each a name or a list.", &[
    opt("model", &SOME_NAMES, "any", "Models."),
    opt("tier", &SOME_NAMES, "any", "Tiers of models."),
    opt("endpoint", &SOME_ENDPOINTS, "any", "Endpoints."),
]);

pub static BUDGETS: Form = Form::List(&BUDGET);
static BUDGET: Form = Form::Block(&BUDGET_BLOCK);
static PERIOD_OR_SPAN: Form = Form::Any(&[
    Form::Words(&["hour", "day", "week", "month", "forever"]),
    SPAN_FORM,
]);
const SPAN_FORM: Form = Form::Written(&super::forms::SPAN_WRITTEN);

static QUANTITY_OR_PERCENT: Form = Form::Any(&[QUANTITY_FORM, PERCENT_FORM]);
const QUANTITY_FORM: Form = Form::Written(&super::forms::QUANTITY_WRITTEN);
const PERCENT_FORM: Form = Form::Written(&super::Written {
    id: "percent",
    doc: "a share of the amount, as `50%`",
    example: "50%",
    types: &["string"],
    pattern: "^[0-9]+ ?%$",
});

#[rustfmt::skip]
static BUDGET_BLOCK: Block = block("budget", "What may be spent in a period; never overspent while a call's estimate bounds it.", &[
    req("name", &NAME, "Unique among the plan's limits and budgets; conditions speak of it."),
    def("per", &SCOPES_OR_GLOBAL, "tenant", "Whose calls are counted together, within each tenant; not `global`."),
    def("unit", &Form::Words(&["cost", "tokens", "input_tokens", "output_tokens", "requests"]), "cost", "What is counted; `cost` is dollars."),
    req("amount", &QUANTITY, "How much, as `500 USD` or `2M`, from 1 (of `cost`: 0.000000001)."),
    req("every", &PERIOD_OR_SPAN, "How long it is for: a calendar's unit, a span of 1m to 400d, or `forever`: what is used then is never forgotten, as of a credit."),
    ZONE, ANCHOR,
    opt("warn_at", &SOME_SHARES, "never", "Shares of the amount, rising, at most 8, as `[0.5, 0.8]`: answers carry a warning from there on."),
    opt("rollover", &QUANTITY_OR_PERCENT, "nothing", "The most that is carried into a period of what the one before had left: an amount, or a share of it as `50%`, up to 3600%. Only for periods of a year at most; a debt and top-ups are not carried."),
    MODE_OF_LIMIT, WHEN,
]);
