//! Models, plans and tenants as they are written.

use super::limits::{self, RawLimit};
use super::prices::{self, RawPrice};
use crate::config::reader::{Fields, Item, Located};
use crate::limits::AMOUNT_MAX;
use crate::policy::{Hold, OutputField, Ratio, Vocabulary};
use crate::pricing::ServiceTier;
use crate::tokens::ratios::{PER_MILLE_MAX, PER_MILLE_MIN};
use std::sync::Arc;

/// The most answers that a plan may let one call ask for: what the API itself
/// takes as `n`.
const CHOICES_MAX: u64 = 128;

/// One call of twenty produces more than what was held for it, which is charged
/// when it ends.
const PERCENTILE_DEFAULT: u8 = 95;

pub type Name = Located<Arc<str>>;

#[derive(Debug)]
pub struct RawModel {
    pub name: Name,
    pub tier: Option<Name>,
    pub provider: Option<Name>,
    pub price: Option<RawPrice>,
    /// Whether `price` was left out or could be read.
    pub price_is_read: bool,
    /// The name that its price is looked up by, if not its own.
    pub price_as: Option<Name>,
    pub service_tier: Option<ServiceTier>,
    pub vocabulary: Option<Vocabulary>,
    pub max_input_tokens: Option<u64>,
    pub token_ratio: Option<Ratio>,
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
    pub hold: Option<Hold>,
    /// Whether `limits`, but not each of them, was left out or could be read.
    pub limits_are_read: bool,
    /// Whether `output` was left out or could be read.
    pub output_is_read: bool,
}

#[derive(Debug)]
pub struct RawTenant {
    pub name: Name,
    pub plan: Option<Name>,
}

pub fn models(top: &Fields) -> Option<Located<Vec<RawModel>>> {
    let item = top.required("models", "the models that calls may name")?;
    let models = item.named()?.into_iter().map(model).collect();
    Some(Located {
        value: models,
        at: item.at,
    })
}

impl RawModel {
    /// Of which nothing is read yet.
    fn unread(name: Name) -> Self {
        Self {
            name,
            tier: None,
            provider: None,
            price: None,
            price_is_read: false,
            price_as: None,
            service_tier: None,
            vocabulary: None,
            max_input_tokens: None,
            token_ratio: None,
            max_output_tokens: None,
            output_field: None,
            image_tokens: None,
            inject_include_usage: None,
            max_output_is_read: false,
        }
    }
}

fn model((name, item): (Name, Item)) -> RawModel {
    let mut model = RawModel::unread(name);
    let Some(fields) = item.fields(&[
        "tier",
        "provider",
        "price",
        "price_as",
        "service_tier",
        "vocabulary",
        "max_input_tokens",
        "token_ratio",
        "max_output_tokens",
        "output_field",
        "image_tokens",
        "inject_include_usage",
    ]) else {
        return model;
    };
    let output_fields = &[
        ("max_tokens", OutputField::MaxTokens),
        ("max_completion_tokens", OutputField::MaxCompletionTokens),
        ("either", OutputField::Either),
    ];
    let amount = |name, min| {
        let item = fields.optional(name)?;
        item.amount(min..=AMOUNT_MAX).map(|amount| amount.value)
    };
    model.tier = fields.optional("tier").and_then(|item| item.name());
    model.provider = fields.optional("provider").and_then(|item| item.name());
    model.price = fields
        .optional("price")
        .and_then(|item| prices::price(&item));
    model.price_is_read = fields.optional("price").is_none() || model.price.is_some();
    model.price_as = price_as(&fields);
    model.service_tier = fields
        .optional("service_tier")
        .and_then(|item| item.word(prices::SERVICE_TIERS))
        .map(|tier| tier.value);
    model.vocabulary = vocabulary(&fields);
    model.max_input_tokens = amount("max_input_tokens", 1);
    model.token_ratio = token_ratio(&fields);
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

fn price_as(fields: &Fields) -> Option<Name> {
    let item = fields.optional("price_as")?;
    match fields.optional("price") {
        Some(_) => item.report("stands beside price: only one of them may be set"),
        None => item.name(),
    }
}

fn vocabulary(fields: &Fields) -> Option<Vocabulary> {
    const VOCABULARIES: &[(&str, Vocabulary)] = &[
        ("o200k_base", Vocabulary::O200kBase),
        ("cl100k_base", Vocabulary::Cl100kBase),
        ("voyage3_base", Vocabulary::Voyage3Base),
    ];
    let item = fields.optional("vocabulary")?;
    item.word(VOCABULARIES).map(|word| word.value)
}

fn token_ratio(fields: &Fields) -> Option<Ratio> {
    let item = fields.optional("token_ratio")?;
    let per_mille = item.per_mille(PER_MILLE_MIN.into()..=PER_MILLE_MAX.into())?;
    Ratio::from_per_mille(per_mille.value)
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
        hold: None,
        limits_are_read: false,
        output_is_read: false,
    };
    let Some(fields) = item.fields(&["limits", "output"]) else {
        return plan;
    };
    plan.limits = fields
        .optional("limits")
        .and_then(|item| limits::limits(&item));
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
    let fields = item.fields(&["max_tokens", "choices", "hold", "percentile"])?;
    plan.hold = hold(&fields);
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
