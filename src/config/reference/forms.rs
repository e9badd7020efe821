//! How values are written.

use super::Form;
use super::{Block, Written, choice, opt};

const TEXT_OR_NUMBER: &[&str] = &["string", "number"];

/// The words for what may be left out of a choice.
const OTHER: &str = "the other one is set";

pub static TEXT_WRITTEN: Written = Written {
    id: "text",
    doc: "a text of 1 to 4096 bytes without control characters",
    example: "text",
    types: TEXT_OR_NUMBER,
    pattern: "",
};
pub static NAME_WRITTEN: Written = Written {
    id: "name",
    doc: "a name of 1 to 128 bytes: no control characters, no white space at its ends, nothing that looks like an API key",
    example: "name",
    types: TEXT_OR_NUMBER,
    pattern: "",
};
pub static AMOUNT_WRITTEN: Written = Written {
    id: "amount",
    doc: "a whole number, with `k`, `M` or `G` for thousands, millions and billions, as `600`, `200k` or `5M`",
    example: "60",
    types: &["string", "integer"],
    pattern: "^[0-9]([0-9_]*[0-9])?[kMG]?$",
};
static DOLLARS_WRITTEN: Written = Written {
    id: "dollars",
    doc: "an amount of dollars with up to nine decimals, as `25`, `0.15` or `500 USD`",
    example: "1",
    types: TEXT_OR_NUMBER,
    pattern: r"^[0-9]([0-9_]*[0-9])?(\.[0-9]{1,9})?\s*(USD)?$",
};
pub static QUANTITY_WRITTEN: Written = Written {
    id: "quantity",
    doc: "dollars where the unit is `cost`, as `250` or `0.15`; else a whole number, as `600`, `200k` or `5M`",
    example: "1",
    types: TEXT_OR_NUMBER,
    pattern: r"^[0-9]([0-9_]*[0-9])?(\.[0-9]{1,9})?\s*(USD|[kMG])?$",
};
static SHARE_WRITTEN: Written = Written {
    id: "share",
    doc: "a number with up to three decimals, as `0.8` or `1.15`",
    example: "0.5",
    types: TEXT_OR_NUMBER,
    pattern: r"^[0-9]+(\.[0-9]{1,9})?$",
};
static SIZE_WRITTEN: Written = Written {
    id: "size",
    doc: "a number of bytes, as `512`, `64KiB`, `10MiB` or `1GiB`",
    example: "1MiB",
    types: &["string", "integer"],
    pattern: "^[0-9]([0-9_]*[0-9])?(B|KiB|MiB|GiB)?$",
};
pub static SPAN_WRITTEN: Written = Written {
    id: "span",
    doc: "a span of time with its unit, as `250ms`, `10s`, `1m`, `1h` or `1d`",
    example: "1d",
    types: &["string"],
    pattern: "^[0-9]([0-9_]*[0-9])?(ms|s|m|h|d)$",
};
static BOOLEAN_WRITTEN: Written = Written {
    id: "boolean",
    doc: "`true` or `false`",
    example: "true",
    types: &["boolean"],
    pattern: "",
};
static TRUE_WRITTEN: Written = Written {
    id: "true",
    doc: "`true`",
    example: "true",
    types: &["boolean"],
    pattern: "",
};
static DATE_WRITTEN: Written = Written {
    id: "date",
    doc: "a date, whose first moment in UTC counts, as `2027-01-31`, or a time, as `2027-01-31T08:00:00Z`",
    example: "2027-01-31",
    types: &["string"],
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$",
};
static PATTERN_WRITTEN: Written = Written {
    id: "pattern",
    doc: "a name, or its beginning with a `*`, as `gpt-4o*`",
    example: "a*",
    types: TEXT_OR_NUMBER,
    pattern: "",
};
static CONDITION_WRITTEN: Written = Written {
    id: "condition",
    doc: "a condition in CEL that is true or false, as `budget.monthly.used > 0.8 && model.tier == 'premium'`; it may speak of `principal`, `request`, `metadata`, `model`, `time`, and of `budget` and `limit` by their names",
    example: "request.stream",
    types: &["string"],
    pattern: "",
};
static EXPRESSION_WRITTEN: Written = Written {
    id: "expression",
    doc: "an expression in CEL that gives a text, as `claims.org`",
    example: "'text'",
    types: &["string"],
    pattern: "",
};
static ENDPOINT_WRITTEN: Written = Written {
    id: "endpoint",
    doc: "`chat_completions`, `completions`, `embeddings`, or an endpoint as usage events name it, as `/v1/messages`",
    example: "embeddings",
    types: &["string"],
    pattern: "",
};
static HEADER_WRITTEN: Written = Written {
    id: "header",
    doc: "a header's name in lower case that doesn't begin with `x-weir-`, as `x-team`",
    example: "x-team",
    types: &["string"],
    pattern: "^[a-z0-9_-]{1,64}$",
};
static PARAMETER_WRITTEN: Written = Written {
    id: "parameter",
    doc: "a field of request bodies that calls can do without, as `logit_bias` or `generationConfig.topK`",
    example: "logit_bias",
    types: &["string"],
    pattern: "^[A-Za-z0-9_.-]{1,128}$",
};
pub static MESSAGE_WRITTEN: Written = Written {
    id: "message",
    doc: "a text for callers of at most 200 characters, all of them printable ASCII",
    example: "ask the owners of the budget",
    types: TEXT_OR_NUMBER,
    pattern: "^[ -~]{1,200}$",
};
static NETWORK_WRITTEN: Written = Written {
    id: "network",
    doc: "an address or a network, as `10.0.0.0/8`",
    example: "10.0.0.0/8",
    types: &["string"],
    pattern: "",
};

pub static TEXT: Form = Form::Written(&TEXT_WRITTEN);
pub static TEXTS: Form = Form::List(&TEXT);
pub static SOME_TEXTS: Form = Form::Some(&TEXT);
pub static NAME: Form = Form::Written(&NAME_WRITTEN);
pub static SOME_NAMES: Form = Form::Some(&NAME);
pub static AMOUNT: Form = Form::Written(&AMOUNT_WRITTEN);
pub static DOLLARS: Form = Form::Written(&DOLLARS_WRITTEN);
pub static QUANTITY: Form = Form::Written(&QUANTITY_WRITTEN);
pub static SHARE: Form = Form::Written(&SHARE_WRITTEN);
pub static SOME_SHARES: Form = Form::Some(&SHARE);
pub static SIZE: Form = Form::Written(&SIZE_WRITTEN);
pub static SPAN: Form = Form::Written(&SPAN_WRITTEN);
pub static BOOLEAN: Form = Form::Written(&BOOLEAN_WRITTEN);
pub static DATE: Form = Form::Written(&DATE_WRITTEN);
pub static SOME_PATTERNS: Form = Form::Some(&PATTERN);
pub static PATTERN: Form = Form::Written(&PATTERN_WRITTEN);
pub static CONDITION: Form = Form::Written(&CONDITION_WRITTEN);
pub static EXPRESSION: Form = Form::Written(&EXPRESSION_WRITTEN);
pub static SOME_ENDPOINTS: Form = Form::Some(&ENDPOINT);
static ENDPOINT: Form = Form::Written(&ENDPOINT_WRITTEN);
pub static SOME_HEADERS: Form = Form::Some(&HEADER);
static HEADER: Form = Form::Written(&HEADER_WRITTEN);
pub static SOME_PARAMETERS: Form = Form::Some(&PARAMETER);
static PARAMETER: Form = Form::Written(&PARAMETER_WRITTEN);
pub static MESSAGE: Form = Form::Written(&MESSAGE_WRITTEN);
pub static SOME_NETWORKS: Form = Form::Some(&NETWORK);
static NETWORK: Form = Form::Written(&NETWORK_WRITTEN);
/// As [`TRUE`] among several forms.
pub const OR_TRUE: Form = Form::Written(&TRUE_WRITTEN);

pub static MODE: Form = Form::Words(&["enforce", "shadow"]);

pub static SECRET: Form = Form::Block(&SECRET_BLOCK);
#[rustfmt::skip]
pub static SECRET_BLOCK: Block = choice("secret", "A secret that is kept elsewhere: exactly one of these.", &[
    opt("env", &TEXT, OTHER, "The environment variable that holds it."),
    opt("file", &TEXT, OTHER, "The file that holds it; one line end at its end doesn't count."),
]);
