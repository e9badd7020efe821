//! Models as they are written, and names behind which one is chosen.

use super::prices::{self, RawPrice};
use super::rules;
use crate::config::reader::{Fields, Item, Located};
use crate::limits::AMOUNT_MAX;
use crate::policy::choice::WAYS_MAX;
use crate::policy::{OutputField, Ratio, Vocabulary};
use crate::pricing::ServiceTier;
use crate::tokens::ratios::{PER_MILLE_MAX, PER_MILLE_MIN};
use std::sync::Arc;

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
    /// It is chosen from others. The inner is `None` where that can't be read.
    pub choose: Option<Option<Located<Vec<RawWay>>>>,
}

/// Which models under which condition.
#[derive(Debug)]
pub struct RawWay {
    pub when: Option<Located<String>>,
    /// With their weights.
    pub models: Vec<(Name, u64)>,
}

/// The largest weight of a model.
const WEIGHT_MAX: u64 = 1_000_000;

pub fn models(top: &Fields) -> Option<Located<Vec<RawModel>>> {
    let item = top.required("models", "the models that calls may name")?;
    let models = item.named()?.map(model).collect();
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
            choose: None,
        }
    }
}

/// A name behind which a model is chosen, and nothing else.
fn virtual_model(name: Name, item: &Item) -> RawModel {
    let mut model = RawModel::unread(name);
    let ways = item.fields(&["choose"]).and_then(|fields| {
        let item = fields.required("choose", "which models, and when")?;
        let items = item.one_or_list()?;
        if items.is_empty() || items.len() > WAYS_MAX {
            return item.report(format!("must have 1 to {WAYS_MAX} ways"));
        }
        let ways: Vec<Option<RawWay>> = items.iter().map(way).collect();
        Some(Located {
            value: ways.into_iter().collect::<Option<_>>()?,
            at: item.at.clone(),
        })
    });
    model.choose = Some(ways);
    model
}

/// A model, several, several with weights, or one of these under a condition.
fn way(item: &Item) -> Option<RawWay> {
    if !item.is_mapping() {
        let names = rules::names(item)?;
        let models = names.into_iter().map(|name| (name, 1)).collect();
        return Some(RawWay { when: None, models });
    }
    let fields = item.fields(&["when", "use"])?;
    let when = match fields.optional("when") {
        Some(item) => Some(item.text()?),
        None => None,
    };
    let models = fields.required("use", "a model, a list of them, or weights of them")?;
    let models = match models.is_mapping() {
        true => {
            let named = models.named()?;
            let weighted = named.map(|(name, item)| {
                let weight = item.amount(1..=WEIGHT_MAX)?.value;
                Some((name, weight))
            });
            weighted.collect::<Option<Vec<_>>>()?
        }
        false => {
            let names = rules::names(&models)?;
            names.into_iter().map(|name| (name, 1)).collect()
        }
    };
    if models.is_empty() || models.len() > WAYS_MAX {
        return item.report(format!("must have 1 to {WAYS_MAX} models"));
    }
    Some(RawWay { when, models })
}

fn model((name, item): (Name, Item)) -> RawModel {
    if item.has("choose") {
        return virtual_model(name, &item);
    }
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
