//! LiteLLM's prices: an object of models, each with its figures by name.
//!
//! A figure's name says its kind, and behind that from which length and in
//! which tier of service it holds: `input_cost_per_token_above_200k_tokens_flex`.
//! Figures are dollars for one token, call or search.

use super::{Imported, rate, whole};
use crate::pricing::Kind;
use crate::pricing::names;
use crate::pricing::price::{Price, ServiceTier, Tariff};
use crate::pricing::schedule::Schedule;
use serde_json::{Map, Number, Value};

/// The entry that only describes the others.
const SAMPLE: &str = "sample_spec";

/// Dollars for one, in nano-dollars per million.
const EACH: i32 = 15;

const KINDS: &[(&str, Kind)] = &[
    ("input_cost_per_token", Kind::Input),
    ("cache_read_input_token_cost", Kind::CachedInput),
    ("cache_creation_input_token_cost", Kind::CacheWrite),
    (
        "cache_creation_input_token_cost_above_1hr",
        Kind::CacheWrite1h,
    ),
    ("input_cost_per_audio_token", Kind::InputAudio),
    ("input_cost_per_image_token", Kind::InputImage),
    ("cache_read_input_audio_token_cost", Kind::CachedInputAudio),
    ("cache_read_input_image_token_cost", Kind::CachedInputImage),
    ("output_cost_per_token", Kind::Output),
    ("output_cost_per_reasoning_token", Kind::Reasoning),
    ("output_cost_per_audio_token", Kind::OutputAudio),
    ("output_cost_per_image_token", Kind::OutputImage),
    ("input_cost_per_request", Kind::Request),
];

const TIERS: &[(&str, ServiceTier)] = &[
    ("_batches", ServiceTier::Batch),
    ("_flex", ServiceTier::Flex),
    ("_priority", ServiceTier::Priority),
];

pub(super) fn read(models: &Map<String, Value>) -> Imported {
    let mut imported = Imported::default();
    for (name, model) in models {
        let provider = model["litellm_provider"].as_str().map(provider);
        let Some(provider) = provider.filter(|_| name != SAMPLE) else {
            continue;
        };
        let bare = match name.split_once('/') {
            Some((prefix, rest)) if names::provider(prefix) == provider => rest,
            _ => name,
        };
        let price = model.as_object().and_then(price);
        imported.add(format!("{provider}/{bare}"), price.map(Schedule::always));
    }
    imported
}

/// Vertex and a few others have a word for each family of models.
fn provider(word: &str) -> String {
    let family = ["vertex_ai-", "fireworks_ai-"]
        .into_iter()
        .find(|family| word.starts_with(family));
    match (family, word) {
        (Some(family), _) => names::provider(family.trim_end_matches('-')),
        (None, "azure_text") => "azure".to_owned(),
        (None, word) => names::provider(word),
    }
}

fn price(model: &Map<String, Value>) -> Option<Price> {
    let mut price = Price::default();
    for (name, value) in model {
        let Value::Number(number) = value else {
            continue;
        };
        if let Some((kind, length, tier)) = figure(name)
            && let Some(rate) = rate(kind, number, EACH)
        {
            set(&mut price, tier, length, kind, rate);
        }
    }
    let standard = &mut price.standard.rates;
    if let Some(rate) = search(model.get("search_context_cost_per_query")) {
        standard.set(Kind::Search, rate);
    }
    let mode = model.get("mode").and_then(Value::as_str);
    let makes_no_tokens = mode.is_some_and(|mode| ["embedding", "rerank"].contains(&mode));
    if makes_no_tokens && standard.get(Kind::Output).is_none() {
        standard.set(Kind::Output, 0);
    }
    lengths(&mut price.standard, model.get("tiered_pricing"));
    whole(price)
}

/// Kind, length and tier by a figure's name; `None` for what isn't counted.
fn figure(name: &str) -> Option<(Kind, Option<u64>, ServiceTier)> {
    let tier = TIERS.iter().find(|(word, _)| name.ends_with(word));
    let (name, tier) = match tier {
        Some((word, tier)) => (name.strip_suffix(word)?, *tier),
        None => (name, ServiceTier::Standard),
    };
    let kind = |name: &str| KINDS.iter().find(|(word, _)| *word == name).map(|k| k.1);
    if let Some(kind) = kind(name) {
        return Some((kind, None, tier));
    }
    let (base, length) = name.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
    let thousands: u64 = length.parse().ok()?;
    Some((kind(base)?, thousands.checked_mul(1_000), tier))
}

fn set(price: &mut Price, tier: ServiceTier, length: Option<u64>, kind: Kind, rate: u64) {
    let tariff = match tier {
        ServiceTier::Standard => &mut price.standard,
        _ => {
            let place = price.tiers.iter().position(|(known, _)| *known == tier);
            let place = place.unwrap_or_else(|| {
                price.tiers.push((tier, Tariff::default()));
                price.tiers.len() - 1
            });
            let Some((_, tariff)) = price.tiers.get_mut(place) else {
                return;
            };
            tariff
        }
    };
    match length {
        None => tariff.rates.set(kind, rate),
        Some(input_tokens) => tariff.above(input_tokens).set(kind, rate),
    }
}

/// What a search costs: of three sizes, the one that is made unless another is
/// asked for.
fn search(sizes: Option<&Value>) -> Option<u64> {
    match sizes?.get("search_context_size_medium")? {
        Value::Number(number) => rate(Kind::Search, number, EACH).filter(|rate| *rate > 0),
        _ => None,
    }
}

/// Ranges of lengths, each with all its figures: the first is the base.
fn lengths(tariff: &mut Tariff, ranges: Option<&Value>) {
    for range in ranges.and_then(Value::as_array).into_iter().flatten() {
        let from = range["range"][0].as_f64().unwrap_or(-1.0);
        let Some(from) = whole_tokens(from) else {
            continue;
        };
        for (name, kind) in KINDS {
            let Some(Value::Number(number)) = range.get(*name) else {
                continue;
            };
            let Some(rate) = rate(*kind, number, EACH) else {
                continue;
            };
            match from {
                0 => tariff.rates.set(*kind, rate),
                from => tariff.above(from).set(*kind, rate),
            }
        }
    }
}

/// A length that is written as `256000.0`.
fn whole_tokens(length: f64) -> Option<u64> {
    let number = Number::from_f64(length)?.to_string();
    number.strip_suffix(".0").unwrap_or(&number).parse().ok()
}
