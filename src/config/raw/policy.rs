//! Keys, models, plans and tenants as they are written.

use crate::config::quantity::SPAN_MS_MAX;
use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::Secret;
use crate::limits::{AMOUNT_MAX, Scope, Unit};
use crate::policy::{OutputField, Vocabulary};
use crate::units::Millis;
use std::sync::Arc;

/// The most answers that a plan may let one call ask for: what the API itself
/// takes as `n`.
const CHOICES_MAX: u64 = 128;

type Name = Located<Arc<str>>;

#[derive(Debug)]
pub struct RawKey {
    pub id: Option<Name>,
    pub hash: Option<Located<Secret>>,
    pub tenant: Option<Name>,
    pub project: Option<Name>,
    pub user: Option<Name>,
}

#[derive(Debug)]
pub struct RawModel {
    pub name: Name,
    pub tier: Option<Name>,
    pub vocabulary: Option<Vocabulary>,
    pub max_output_tokens: Option<u64>,
    pub output_field: Option<OutputField>,
    pub image_tokens: Option<u64>,
    pub inject_include_usage: Option<bool>,
    /// Whether `max_output_tokens` was left out or could be read.
    pub max_output_is_read: bool,
}

#[derive(Debug)]
pub struct RawPlan {
    pub name: Name,
    pub limits: Option<Located<Vec<RawLimit>>>,
    pub max_tokens_default: Option<Located<u64>>,
    pub max_tokens_cap: Option<Located<u64>>,
    pub choices_cap: Option<u64>,
    /// Whether `limits`, but not each of them, was left out or could be read.
    pub limits_are_read: bool,
    /// Whether `output` was left out or could be read.
    pub output_is_read: bool,
}

/// How a limit counts, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmWord {
    SlidingWindow,
    TokenBucket,
}

#[derive(Debug)]
pub struct RawLimit {
    pub at: crate::config::problem::At,
    pub name: Option<Name>,
    pub scope: Option<Located<Scope>>,
    pub unit: Option<Located<Unit>>,
    pub amount: Option<Located<u64>>,
    pub every: Option<Located<Millis>>,
    pub every_is_missing: bool,
    pub algorithm: Option<Located<AlgorithmWord>>,
    pub burst: Option<Located<u64>>,
}

#[derive(Debug)]
pub struct RawTenant {
    pub name: Name,
    pub plan: Option<Name>,
}

pub fn keys(identity: &Fields) -> Option<Located<Vec<RawKey>>> {
    let item = identity.required("keys", "without a key nobody can call")?;
    let keys = item.list()?.iter().filter_map(key).collect();
    Some(Located {
        value: keys,
        at: item.at,
    })
}

fn key(item: &Item) -> Option<RawKey> {
    let fields = item.fields(&["id", "hash", "tenant", "project", "user"])?;
    let name = |field| fields.optional(field).and_then(|item: Item| item.name());
    Some(RawKey {
        id: fields
            .required("id", "the name of the key in events and logs")
            .and_then(|item| item.name()),
        hash: fields
            .required("hash", "what `weir keys hash` prints for the key")
            .and_then(|item| item.secret()),
        tenant: fields
            .required("tenant", "on whose account the key's calls go")
            .and_then(|item| item.name()),
        project: name("project"),
        user: name("user"),
    })
}

pub fn models(top: &Fields) -> Option<Located<Vec<RawModel>>> {
    let item = top.required("models", "the models that calls may name")?;
    let models = item.named()?.into_iter().map(model).collect();
    Some(Located {
        value: models,
        at: item.at,
    })
}

fn model((name, item): (Name, Item)) -> RawModel {
    let mut model = RawModel {
        name,
        tier: None,
        vocabulary: None,
        max_output_tokens: None,
        output_field: None,
        image_tokens: None,
        inject_include_usage: None,
        max_output_is_read: false,
    };
    let Some(fields) = item.fields(&[
        "tier",
        "vocabulary",
        "max_output_tokens",
        "output_field",
        "image_tokens",
        "inject_include_usage",
    ]) else {
        return model;
    };
    let vocabularies = &[
        ("o200k_base", Vocabulary::O200kBase),
        ("cl100k_base", Vocabulary::Cl100kBase),
    ];
    let output_fields = &[
        ("max_tokens", OutputField::MaxTokens),
        ("max_completion_tokens", OutputField::MaxCompletionTokens),
    ];
    let amount = |name, min| {
        let item = fields.optional(name)?;
        item.amount(min..=AMOUNT_MAX).map(|amount| amount.value)
    };
    model.tier = fields.optional("tier").and_then(|item| item.name());
    model.vocabulary = fields
        .optional("vocabulary")
        .and_then(|item| item.word(vocabularies))
        .map(|word| word.value);
    model.max_output_tokens = amount("max_output_tokens", 0);
    model.output_field = fields
        .optional("output_field")
        .and_then(|item| item.word(output_fields))
        .map(|word| word.value);
    model.image_tokens = amount("image_tokens", 1);
    model.inject_include_usage = fields
        .optional("inject_include_usage")
        .and_then(|item| item.boolean())
        .map(|inject| inject.value);
    model.max_output_is_read =
        fields.optional("max_output_tokens").is_none() || model.max_output_tokens.is_some();
    model
}

pub fn plans(top: &Fields) -> Option<Located<Vec<RawPlan>>> {
    let item = top.required("plans", "what tenants may use")?;
    let plans = item.named()?.into_iter().map(plan).collect();
    Some(Located {
        value: plans,
        at: item.at,
    })
}

fn plan((name, item): (Name, Item)) -> RawPlan {
    let mut plan = RawPlan {
        name,
        limits: None,
        max_tokens_default: None,
        max_tokens_cap: None,
        choices_cap: None,
        limits_are_read: false,
        output_is_read: false,
    };
    let Some(fields) = item.fields(&["limits", "output"]) else {
        return plan;
    };
    plan.limits = fields.optional("limits").and_then(|item| {
        let limits = item.list()?.iter().filter_map(limit).collect();
        Some(Located {
            value: limits,
            at: item.at,
        })
    });
    plan.limits_are_read = fields.optional("limits").is_none() || plan.limits.is_some();
    let Some(item) = fields.optional("output") else {
        plan.output_is_read = true;
        return plan;
    };
    plan.output_is_read = output(&item, &mut plan).is_some();
    plan
}

/// `None` where something couldn't be read.
fn output(item: &Item, plan: &mut RawPlan) -> Option<()> {
    let fields = item.fields(&["max_tokens", "choices"])?;
    let choices = fields
        .optional("choices")
        .and_then(|item| item.fields(&["cap"]));
    plan.choices_cap = choices
        .and_then(|choices| choices.optional("cap"))
        .and_then(|item| item.amount(1..=CHOICES_MAX))
        .map(|cap| cap.value);
    let Some(item) = fields.optional("max_tokens") else {
        return Some(());
    };
    let max_tokens = item.fields(&["default", "cap"])?;
    let default = max_tokens.optional("default");
    let cap = max_tokens.optional("cap");
    let set = (default.is_some(), cap.is_some());
    plan.max_tokens_default = default.and_then(|item| item.amount(1..=AMOUNT_MAX));
    plan.max_tokens_cap = cap.and_then(|item| item.amount(1..=AMOUNT_MAX));
    let read = (
        plan.max_tokens_default.is_some(),
        plan.max_tokens_cap.is_some(),
    );
    (set == read).then_some(())
}

fn limit(item: &Item) -> Option<RawLimit> {
    let fields = item.fields(&[
        "name",
        "per",
        "unit",
        "amount",
        "every",
        "algorithm",
        "burst",
    ])?;
    let scopes = &[("tenant", Scope::Tenant), ("user", Scope::User)];
    let units = &[
        ("requests", Unit::Requests),
        ("tokens", Unit::Tokens),
        ("concurrency", Unit::Concurrency),
    ];
    let algorithms = &[
        ("sliding_window", AlgorithmWord::SlidingWindow),
        ("token_bucket", AlgorithmWord::TokenBucket),
    ];
    let every = fields.optional("every");
    Some(RawLimit {
        at: item.at.clone(),
        name: fields.optional("name").and_then(|item| item.name()),
        scope: fields
            .required("per", "whose calls are counted together, tenant or user")
            .and_then(|item| item.word(scopes)),
        unit: fields
            .required("unit", "what is counted: requests, tokens or concurrency")
            .and_then(|item| item.word(units)),
        amount: fields
            .required("amount", "how many")
            .and_then(|item| item.amount(1..=AMOUNT_MAX)),
        every_is_missing: every.is_none(),
        every: every.and_then(|item| item.span(1..=SPAN_MS_MAX)),
        algorithm: fields
            .optional("algorithm")
            .and_then(|item| item.word(algorithms)),
        burst: fields
            .optional("burst")
            .and_then(|item| item.amount(1..=AMOUNT_MAX)),
    })
}

pub fn tenants(top: &Fields) -> Option<Located<Vec<RawTenant>>> {
    let item = top.required("tenants", "who may call, and on which plan")?;
    let tenants = item
        .named()?
        .into_iter()
        .map(|(name, item)| RawTenant {
            name,
            plan: item.fields(&["plan"]).and_then(|fields| {
                fields
                    .required("plan", "the name of one of the plans")?
                    .name()
            }),
        })
        .collect();
    Some(Located {
        value: tenants,
        at: item.at,
    })
}
