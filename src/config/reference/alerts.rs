//! Who is told of what, besides callers.

use super::forms::*;
use super::{Block, Form, block, def, opt, req};

#[rustfmt::skip]
pub static ALERTS: Block = block("alerts", "Who is told when a budget passes a threshold, a call waits for approval, or a tenant is refused too often: once for each threshold and period.", &[
    req("webhooks", &WEBHOOKS, "Whom to tell, 1 to 16."),
    opt("refusals", &Form::Block(&REFUSALS), "they aren't counted", "From how many refusals on to tell, as each sidecar counts them."),
]);

#[rustfmt::skip]
static REFUSALS: Block = block("refusals", "How many refusals are too many.", &[
    opt("per", &Form::Words(&["tenant"]), "`tenant`", "Whose are counted together."),
    req("above", &AMOUNT, "More than so many are told of."),
    req("every", &SPAN, "Within so long, 1s to 1d."),
]);

static WEBHOOKS: Form = Form::List(&WEBHOOK);
static WEBHOOK: Form = Form::Block(&WEBHOOK_BLOCK);

#[rustfmt::skip]
static WEBHOOK_BLOCK: Block = block("webhook", "An address that alerts are posted to; redirects are not followed.", &[
    req("name", &NAME, "What it is called in lists and logs."),
    opt("url", &TEXT_OR_SECRET, "of `pagerduty` its Events API; else required", "`https://host/path`, or where it is kept; `http://` only with `allow_private`."),
    req("form", &Form::Words(&["json", "slack", "pagerduty"]), "What it takes."),
    opt("secret", &SECRET, "required of `json`", "`whsec_` and base64, which signs each alert as Standard Webhooks has it."),
    opt("routing_key", &SECRET, "required of `pagerduty`", "Of the service there."),
    opt("on", &SOME_KINDS, "all", "What it is told of."),
    opt("tenants", &SOME_OF_NAMES, "all", "Whose alerts it is told of, up to 1,000."),
    def("allow_private", &BOOLEAN, "false", "It may be in a private network, or on this machine."),
    opt("ca_file", &TEXT, "whom the system believes", "The PEM file of whom to believe the server's certificate."),
    def("timeout", &SPAN, "10s", "For a request and its answer, 100ms to 5m."),
]);

static SOME_KINDS: Form = Form::Some(&KIND);
static KIND: Form = Form::Words(&["budget", "approval", "refusals"]);
static SOME_OF_NAMES: Form = Form::List(&NAME);
static TEXT_OR_SECRET: Form = Form::Any(&[TEXT_FORM, SECRET_FORM]);
const TEXT_FORM: Form = Form::Written(&TEXT_WRITTEN);
const SECRET_FORM: Form = Form::Block(&SECRET_BLOCK);
