//! Plans as they are written, and what stands below a plan in the same words.

use super::budgets::{self, RawBudget};
use super::limits::{self, RawLimit};
use super::policy::Name;
use super::rules::{self, RawRule};
use crate::config::reader::{Fields, Item, Located};
use crate::identity::scopes::Pattern;
use crate::limits::AMOUNT_MAX;
use crate::policy::plan::FORBIDDEN_MAX;
use crate::policy::{Hold, Over};
use crate::protocol::Endpoint;
use std::sync::Arc;

/// The most answers that a plan may let one call ask for: what the API itself
/// takes as `n`.
const CHOICES_MAX: u64 = 128;

/// The most names of a list of what may be used.
const ALLOWED_MAX: usize = 256;

/// One call of twenty produces more than what was held for it, which is charged
/// when it ends.
const PERCENTILE_DEFAULT: u8 = 95;

/// The fields of a plan but `extends`.
pub const FIELDS: &[&str] = &[
    "limits",
    "budgets",
    "output",
    "allow",
    "guardrails",
    "policies",
    "time_zone",
];

#[derive(Debug)]
pub struct RawPlan {
    pub name: Name,
    pub extends: Option<Name>,
    pub limits: Option<Located<Vec<RawLimit>>>,
    pub budgets: Option<Located<Vec<RawBudget>>>,
    pub policies: Option<Located<Vec<RawRule>>>,
    pub output: RawOutput,
    pub allow: RawAllow,
    pub guardrails: RawGuardrails,
    pub time_zone: Option<Located<String>>,
    /// Whether `limits`, but not each of them, was left out or could be read.
    pub limits_are_read: bool,
    /// Whether `output` was left out or could be read.
    pub output_is_read: bool,
    /// Whether the rest was.
    pub is_read: bool,
}

#[derive(Debug, Default)]
pub struct RawOutput {
    pub max_tokens_default: Option<Located<u64>>,
    pub max_tokens_cap: Option<Located<u64>>,
    pub max_tokens_required: Option<bool>,
    pub max_tokens_over: Option<Over>,
    pub choices_cap: Option<u64>,
    pub choices_over: Option<Over>,
    pub hold: Option<Hold>,
}

/// What may be used; `None`: all.
#[derive(Debug, Default)]
pub struct RawAllow {
    pub models: Option<Vec<Located<Pattern>>>,
    pub tiers: Option<Vec<Name>>,
    pub endpoints: Option<Vec<Endpoint>>,
    pub tools: Option<Vec<Pattern>>,
}

#[derive(Debug, Default)]
pub struct RawGuardrails {
    pub input_tokens_max: Option<u64>,
    pub body_bytes_max: Option<u64>,
    pub images_max: Option<u64>,
    pub tools_max: Option<u64>,
    pub forbid: Vec<Arc<str>>,
    pub drop: Vec<Arc<str>>,
}

const OVERS: &[(&str, Over)] = &[("clamp", Over::Clamp), ("refuse", Over::Refuse)];

pub fn plans(top: &Fields) -> Option<Located<Vec<RawPlan>>> {
    let item = top.required("plans", "what tenants may use")?;
    let plans = item.named()?.map(plan).collect();
    Some(Located {
        value: plans,
        at: item.at,
    })
}

impl RawPlan {
    /// Of which nothing is read yet.
    fn unread(name: Name) -> Self {
        Self {
            name,
            extends: None,
            limits: None,
            budgets: None,
            policies: None,
            output: RawOutput::default(),
            allow: RawAllow::default(),
            guardrails: RawGuardrails::default(),
            time_zone: None,
            limits_are_read: false,
            output_is_read: false,
            is_read: false,
        }
    }
}

fn plan((name, item): (Name, Item)) -> RawPlan {
    const WITH_EXTENDS: &[&str] = &[
        "extends",
        "limits",
        "budgets",
        "output",
        "allow",
        "guardrails",
        "policies",
        "time_zone",
    ];
    match item.fields(WITH_EXTENDS) {
        Some(fields) => {
            let extends = fields.optional("extends");
            let is_there = extends.is_some();
            let mut plan = terms(name, &fields);
            plan.extends = extends.and_then(|item| item.name());
            plan.is_read &= is_there == plan.extends.is_some();
            plan
        }
        None => RawPlan::unread(name),
    }
}

/// What [`FIELDS`] say.
pub fn terms(name: Name, fields: &Fields) -> RawPlan {
    let mut plan = RawPlan::unread(name);
    let mut is_read = true;
    let mut read = |ok: bool| is_read &= ok;
    let limits = fields.optional("limits");
    plan.limits_are_read = limits.is_none();
    plan.limits = limits.and_then(|item| limits::limits(&item));
    plan.limits_are_read |= plan.limits.is_some();
    if let Some(item) = fields.optional("budgets") {
        plan.budgets = budgets::budgets(&item);
        read(plan.budgets.is_some());
    }
    if let Some(item) = fields.optional("policies") {
        plan.policies = rules::rules(&item);
        read(plan.policies.is_some());
    }
    if let Some(item) = fields.optional("time_zone") {
        plan.time_zone = item.text();
        read(plan.time_zone.is_some());
    }
    if let Some(item) = fields.optional("allow") {
        let allow = allow(&item);
        read(allow.is_some());
        plan.allow = allow.unwrap_or_default();
    }
    if let Some(item) = fields.optional("guardrails") {
        let guardrails = guardrails(&item);
        read(guardrails.is_some());
        plan.guardrails = guardrails.unwrap_or_default();
    }
    let output = match fields.optional("output") {
        None => Some(()),
        Some(item) => output(&item, &mut plan.output),
    };
    plan.output_is_read = output.is_some();
    plan.is_read = is_read;
    plan
}

/// `None` where something couldn't be read.
fn output(item: &Item, output: &mut RawOutput) -> Option<()> {
    let fields = item.fields(&["max_tokens", "choices", "hold", "percentile"])?;
    output.hold = Some(hold(&fields)?).filter(|_| {
        let written = fields.optional("hold").or(fields.optional("percentile"));
        written.is_some()
    });
    let mut whole = true;
    let mut over = |fields: &Fields| {
        let item = fields.optional("over")?;
        let over = item.word(OVERS);
        whole &= over.is_some();
        over.map(|over| over.value)
    };
    if let Some(item) = fields.optional("choices") {
        let choices = item.fields(&["cap", "over"])?;
        output.choices_over = over(&choices);
        let cap = choices.optional("cap");
        output.choices_cap = match cap {
            Some(item) => Some(item.amount(1..=CHOICES_MAX)?.value),
            None => None,
        };
    }
    if let Some(item) = fields.optional("max_tokens") {
        let max_tokens = item.fields(&["default", "cap", "required", "over"])?;
        output.max_tokens_over = over(&max_tokens);
        let amount = |name| match max_tokens.optional(name) {
            Some(item) => item.amount(1..=AMOUNT_MAX).map(Some),
            None => Some(None),
        };
        let (default, cap) = (amount("default"), amount("cap"));
        let required = max_tokens.optional("required").map(|item| item.boolean());
        output.max_tokens_default = default?;
        output.max_tokens_cap = cap?;
        if let Some(required) = required {
            output.max_tokens_required = Some(required?.value);
        }
    }
    whole.then_some(())
}

/// `None` after a problem.
fn hold(fields: &Fields) -> Option<Hold> {
    const HOLDS: &[(&str, bool)] = &[("maximum", false), ("expected", true)];
    let expected = match fields.optional("hold") {
        Some(item) => item.word(HOLDS)?.value,
        None => false,
    };
    let percentile = fields.optional("percentile");
    match (expected, percentile) {
        (false, None) => Some(Hold::Maximum),
        (false, Some(item)) => item.report("is only for hold: expected".to_owned()),
        (true, None) => Some(Hold::Expected {
            percentile: PERCENTILE_DEFAULT,
        }),
        (true, Some(item)) => {
            let percentile = u8::try_from(item.amount(50..=99)?.value).ok()?;
            Some(Hold::Expected { percentile })
        }
    }
}

fn allow(item: &Item) -> Option<RawAllow> {
    let fields = item.fields(&["models", "tiers", "endpoints", "tools"])?;
    let (models, tiers) = (
        each(&fields, "models", located_pattern),
        each(&fields, "tiers", |item| item.name()),
    );
    let endpoints = each(&fields, "endpoints", limits::endpoint);
    let tools = each(&fields, "tools", |item| Some(located_pattern(item)?.value));
    Some(RawAllow {
        models: models?,
        tiers: tiers?,
        endpoints: endpoints?,
        tools: tools?,
    })
}

/// The outer `None` after a problem, the inner where nothing is written.
fn each<T>(
    fields: &Fields,
    name: &str,
    read: impl Fn(&Item) -> Option<T>,
) -> Option<Option<Vec<T>>> {
    let Some(item) = fields.optional(name) else {
        return Some(None);
    };
    let items = item.one_or_list()?;
    if items.len() > ALLOWED_MAX {
        return item.report(format!("must have at most {ALLOWED_MAX} entries"));
    }
    let all: Vec<Option<T>> = items.iter().map(read).collect();
    all.into_iter().collect::<Option<Vec<T>>>().map(Some)
}

fn located_pattern(item: &Item) -> Option<Located<Pattern>> {
    let text = item.text()?;
    match Pattern::new(&text.value) {
        Ok(value) => Some(Located { value, at: text.at }),
        Err(error) => item.report(error.to_string()),
    }
}

fn guardrails(item: &Item) -> Option<RawGuardrails> {
    let fields = item.fields(&[
        "input_tokens_max",
        "body_bytes_max",
        "images_max",
        "tools_max",
        "forbid",
        "drop",
    ])?;
    let amount = |name| match fields.optional(name) {
        None => Some(None),
        Some(item) => item.amount(0..=AMOUNT_MAX).map(|most| Some(most.value)),
    };
    let body = match fields.optional("body_bytes_max") {
        None => Some(None),
        Some(item) => item.size_bytes(1..=AMOUNT_MAX).map(|most| Some(most.value)),
    };
    let list = |name, read: fn(&Item) -> Option<Vec<Arc<str>>>| match fields.optional(name) {
        None => Some(Vec::new()),
        Some(item) => read(&item),
    };
    let (forbid, drop) = (
        list("forbid", rules::parameters),
        list("drop", rules::dropped),
    );
    let (input, images, tools) = (
        amount("input_tokens_max"),
        amount("images_max"),
        amount("tools_max"),
    );
    let guardrails = RawGuardrails {
        input_tokens_max: input?,
        body_bytes_max: body?,
        images_max: images?,
        tools_max: tools?,
        forbid: forbid?,
        drop: drop?,
    };
    if guardrails.forbid.len() + guardrails.drop.len() > FORBIDDEN_MAX {
        return item.report(format!("must name at most {FORBIDDEN_MAX} fields"));
    }
    Some(guardrails)
}
