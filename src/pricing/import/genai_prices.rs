//! The prices of genai-prices: a list of providers with their models.
//!
//! A model has one set of prices, or several with the day from which each
//! holds, and variants of them by tier of service. A figure is dollars for a
//! million tokens, or for a thousand calls or searches; where it is different
//! for long calls, it has a base and what it is above each length.
//!
//! Prices by the time of day are taken at the dearest.

use super::{Imported, rate, whole};
use crate::pricing::Kind;
use crate::pricing::price::{Price, ServiceTier, Tariff};
use crate::pricing::schedule::{Dated, Schedule};
use crate::pricing::{date, names};
use crate::units::UnixMillis;
use serde_json::Value;
use std::collections::BTreeSet;

/// Dollars for a million, and for a thousand, in nano-dollars per million.
const MILLION: i32 = 9;
const THOUSAND: i32 = 12;

const KINDS: &[(&str, Kind, i32)] = &[
    ("input_mtok", Kind::Input, MILLION),
    ("cache_read_mtok", Kind::CachedInput, MILLION),
    ("cache_write_mtok", Kind::CacheWrite, MILLION),
    ("cache_write_1h_mtok", Kind::CacheWrite1h, MILLION),
    ("input_audio_mtok", Kind::InputAudio, MILLION),
    ("input_image_mtok", Kind::InputImage, MILLION),
    ("cache_audio_read_mtok", Kind::CachedInputAudio, MILLION),
    ("cache_image_read_mtok", Kind::CachedInputImage, MILLION),
    ("output_mtok", Kind::Output, MILLION),
    ("output_reasoning_mtok", Kind::Reasoning, MILLION),
    ("output_audio_mtok", Kind::OutputAudio, MILLION),
    ("output_image_mtok", Kind::OutputImage, MILLION),
    ("requests_kcount", Kind::Request, THOUSAND),
    ("web_searches_kcount", Kind::Search, THOUSAND),
];

/// The words for a tier, and what they are words of.
const TIERS: &[(&str, &str, ServiceTier)] = &[
    ("processing", "batch", ServiceTier::Batch),
    ("service_tier", "flex", ServiceTier::Flex),
    ("service_tier", "priority", ServiceTier::Priority),
];

pub(super) fn read(providers: &[Value]) -> Imported {
    let mut imported = Imported::default();
    for provider in providers {
        let name = names::provider(provider["id"].as_str().unwrap_or("").trim());
        let models = provider["models"].as_array();
        for model in models.into_iter().flatten() {
            let Some(id) = model["id"].as_str() else {
                continue;
            };
            let key = format!("{name}/{id}");
            let mut others = BTreeSet::new();
            equals(&model["match"], &mut others);
            for other in others.into_iter().filter(|other| other != id) {
                imported
                    .names
                    .insert(format!("{name}/{other}"), key.clone());
            }
            imported.add(key, schedule(model));
        }
    }
    imported
}

/// The names that a model is matched by as they are.
fn equals(clause: &Value, names: &mut BTreeSet<String>) {
    if let Some(name) = clause["equals"].as_str() {
        names.insert(name.to_owned());
    }
    let alternatives = clause["or"].as_array();
    for clause in alternatives.into_iter().flatten() {
        if let Some(name) = clause["equals"].as_str() {
            names.insert(name.to_owned());
        }
    }
}

fn schedule(model: &Value) -> Option<Schedule> {
    let standard = standard(&model["prices"])?;
    let variants: Vec<Variant> = model["price_variants"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Variant::read)
        .collect();
    let mut dates: BTreeSet<UnixMillis> = standard.iter().map(|(from, _)| *from).collect();
    dates.extend(variants.iter().map(|variant| variant.from));
    let mut dated: Vec<Dated> = Vec::new();
    for from in dates {
        let now = standard.iter().rev().find(|(begun, _)| *begun <= from);
        let Some((_, tariff)) = now.or(standard.first()) else {
            continue;
        };
        let mut price = Price {
            standard: tariff.clone(),
            tiers: Vec::new(),
        };
        for variant in variants.iter().filter(|variant| variant.from <= from) {
            variant.apply(&mut price);
        }
        let price = whole(price)?;
        if dated.last().is_none_or(|last| last.price != price) {
            dated.push(Dated { from, price });
        }
    }
    Schedule::new(dated).ok()
}

/// The prices without a tier, by their dates; the first counts from the start.
fn standard(prices: &Value) -> Option<Vec<(UnixMillis, Tariff)>> {
    let Some(list) = prices.as_array() else {
        return Some(vec![(UnixMillis(0), tariff(prices)?)]);
    };
    let mut dated: Vec<(UnixMillis, Tariff)> = Vec::new();
    let mut by_time: Vec<Tariff> = Vec::new();
    for item in list {
        let tariff = tariff(&item["prices"])?;
        let constraint = &item["constraint"];
        if constraint["start_time"].is_string() {
            by_time.push(tariff);
            continue;
        }
        let from = match constraint["start_date"].as_str() {
            Some(text) if !dated.is_empty() => date::read(text)?,
            _ => UnixMillis(0),
        };
        // A later one of the same day takes its place.
        dated.retain(|(other, _)| *other != from);
        dated.push((from, tariff));
    }
    dated.sort_by_key(|(from, _)| *from);
    for (_, tariff) in &mut dated {
        for other in &by_time {
            tariff.rates = tariff.rates.dearer(&other.rates);
        }
    }
    Some(dated)
}

/// A set of prices. What one produces costs nothing where nothing is said of it.
fn tariff(prices: &Value) -> Option<Tariff> {
    let mut tariff = read_tariff(prices);
    let rates = &mut tariff.rates;
    if rates.get(Kind::Input).is_some() && rates.get(Kind::Output).is_none() {
        rates.set(Kind::Output, 0);
    }
    prices.is_object().then_some(tariff)
}

fn read_tariff(prices: &Value) -> Tariff {
    let mut tariff = Tariff::default();
    for (word, kind, power) in KINDS {
        let figure = &prices[*word];
        let base = figure.get("base").unwrap_or(figure);
        let Some(base) = number(*kind, base, *power) else {
            continue;
        };
        tariff.rates.set(*kind, base);
        let tiers = figure.get("tiers").and_then(Value::as_array);
        for tier in tiers.into_iter().flatten() {
            let start = tier["start"].as_u64();
            let price = number(*kind, &tier["price"], *power);
            if let (Some(input_tokens), Some(rate)) = (start, price) {
                tariff.above(input_tokens).set(*kind, rate);
            }
        }
    }
    tariff
}

fn number(kind: Kind, value: &Value, power: i32) -> Option<u64> {
    match value {
        Value::Number(number) => rate(kind, number, power),
        _ => None,
    }
}

/// Prices of a tier of service, from a day on.
struct Variant {
    from: UnixMillis,
    tier: ServiceTier,
    tariff: Tariff,
}

impl Variant {
    fn read(variant: &Value) -> Option<Self> {
        let when = variant["when"].as_object().filter(|when| when.len() == 1)?;
        let (what, word) = when.iter().next()?;
        let tier = TIERS
            .iter()
            .find(|(known, tier, _)| known == what && Some(*tier) == word.as_str());
        let constraint = &variant["constraint"];
        let from = match constraint["start_date"].as_str() {
            Some(text) => date::read(text)?,
            None if constraint.is_object() => return None,
            None => UnixMillis(0),
        };
        Some(Self {
            from,
            tier: tier?.2,
            tariff: read_tariff(&variant["prices"]),
        })
    }

    /// Takes the place of the standard figure at every length, where an earlier
    /// variant of the tier hasn't.
    fn apply(&self, price: &mut Price) {
        let mut tariff = self.tariff.clone();
        for longer in &price.standard.longer {
            for (kind, _) in longer.rates.said() {
                let own = tariff.above(longer.input_tokens);
                let base = self.tariff.rates.get(kind);
                let tiered = self
                    .tariff
                    .longer
                    .iter()
                    .any(|l| l.rates.get(kind).is_some());
                if let (Some(base), None, false) = (base, own.get(kind), tiered) {
                    own.set(kind, base);
                }
            }
        }
        match price.tiers.iter_mut().find(|(tier, _)| *tier == self.tier) {
            None => price.tiers.push((self.tier, tariff)),
            Some((_, known)) => {
                known.rates = known.rates.over(&tariff.rates);
                for longer in &tariff.longer {
                    let own = known.above(longer.input_tokens);
                    *own = own.over(&longer.rates);
                }
            }
        }
    }
}
