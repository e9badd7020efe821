//! Prices out of the two public data sets, for our own catalogue.
//!
//! Both are read as their projects publish them: LiteLLM's
//! `model_prices_and_context_window.json`, and the `data.json` of genai-prices.
//! Both projects are under the MIT licence; facts are taken, not their text.
//!
//! Always holds: figures are decimals of the file and never go through binary
//! fractions further than their shortest text; what costs less than a
//! nano-dollar is rounded up; a model of which tokens have no price, or which
//! would cost nothing, is left out and counted.

mod genai_prices;
mod litellm;

use super::Kind;
use super::catalogue::{self, is_key};
use super::notation;
use super::price::{Price, Tariff};
use super::schedule::{Dated, Schedule};
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// A data set's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    LiteLlm,
    GenaiPrices,
}

impl Format {
    pub const ALL: [Format; 2] = [Format::LiteLlm, Format::GenaiPrices];

    pub fn as_str(self) -> &'static str {
        match self {
            Format::LiteLlm => "litellm",
            Format::GenaiPrices => "genai-prices",
        }
    }

    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// The form that a file has: an object of models, or a list of providers.
    fn of(file: &Value) -> Option<Self> {
        match file {
            Value::Object(_) => Some(Format::LiteLlm),
            Value::Array(_) => Some(Format::GenaiPrices),
            _ => None,
        }
    }
}

/// Why a file is no data set.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("is neither an object of models (litellm) nor a list of providers (genai-prices)")]
    Form,
    #[error("is not of the form of {0}")]
    Other(&'static str),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    pub models: BTreeMap<String, Schedule>,
    /// Other names, and what they stand for.
    pub names: BTreeMap<String, String>,
    /// Models without a price by token or call.
    pub left_out: usize,
}

/// Reads a data set; its form is seen where none is given.
///
/// # Errors
/// See [`ImportError`].
pub fn read(text: &[u8], format: Option<Format>) -> Result<(Format, Imported), ImportError> {
    let file: Value = serde_json::from_slice(text)?;
    let seen = Format::of(&file).ok_or(ImportError::Form)?;
    if let Some(asked) = format.filter(|asked| *asked != seen) {
        return Err(ImportError::Other(asked.as_str()));
    }
    let mut imported = match &file {
        Value::Object(models) => litellm::read(models),
        Value::Array(providers) => genai_prices::read(providers),
        _ => return Err(ImportError::Form),
    };
    let models = &imported.models;
    imported
        .names
        .retain(|name, target| !models.contains_key(name) && models.contains_key(target));
    Ok((seen, imported))
}

impl Imported {
    /// Takes in what only `other` knows. Of a model that both have, this one's
    /// prices count; where both agree on what tokens cost, the last of them is
    /// filled up with the kinds and tiers that only the other one prices.
    pub fn join(&mut self, other: Imported) {
        for (key, schedule) in other.models {
            if self.names.contains_key(&key) {
                continue;
            }
            match self.models.get_mut(&key) {
                Some(own) => fill(own, &schedule),
                None => {
                    self.models.insert(key, schedule);
                }
            }
        }
        for (name, target) in other.names {
            if !self.models.contains_key(&name) && self.models.contains_key(&target) {
                self.names.entry(name).or_insert(target);
            }
        }
        self.left_out += other.left_out;
    }

    /// All of it as a text of prices.
    pub fn write(&self, version: &str, sources: &[String]) -> String {
        let mut text = catalogue::write_head(version, sources);
        let models = self.models.keys().map(|key| (key, None));
        let names = self.names.iter().map(|(name, target)| (name, Some(target)));
        let mut all: Vec<(&String, Option<&String>)> = models.chain(names).collect();
        all.sort_unstable();
        for (key, target) in all {
            match (target, self.models.get(key)) {
                (Some(target), _) => catalogue::write_name(&mut text, key, target),
                (None, Some(schedule)) => catalogue::write_lines(&mut text, key, schedule),
                (None, None) => {}
            }
        }
        text
    }

    fn add(&mut self, key: String, schedule: Option<Schedule>) {
        match schedule.filter(|_| is_key(&key)) {
            Some(schedule) => {
                self.models.entry(key).or_insert(schedule);
            }
            None => self.left_out += 1,
        }
    }
}

fn fill(own: &mut Schedule, other: &Schedule) {
    let (mut dated, last): (Vec<Dated>, _) = (own.iter().cloned().collect(), other.last());
    let Some(own_last) = dated.last_mut() else {
        return;
    };
    let (ours, theirs) = (&mut own_last.price, &last.price);
    let tokens = [Kind::Input, Kind::Output];
    let agree = tokens
        .iter()
        .all(|kind| ours.standard.rates.get(*kind) == theirs.standard.rates.get(*kind));
    if !agree {
        return;
    }
    ours.standard.rates = ours.standard.rates.over(&theirs.standard.rates);
    for (tier, tariff) in &theirs.tiers {
        if ours.tariff(*tier).is_none() {
            ours.tiers.push((*tier, tariff.clone()));
        }
    }
    ours.tiers.sort_by_key(|(tier, _)| *tier);
    if let Ok(filled) = Schedule::new(dated) {
        *own = filled;
    }
}

/// A price, if it says what tokens or calls cost, and that it is more than
/// nothing; without tiers and lengths that say nothing new.
fn whole(mut price: Price) -> Option<Price> {
    notation::complete(&price).ok()?;
    let costs = price.standard.rates.said().any(|(_, rate)| rate > 0);
    tidy(&mut price.standard);
    price.tiers.iter_mut().for_each(|(_, tariff)| tidy(tariff));
    price
        .tiers
        .retain(|(_, tariff)| !tariff.rates.is_empty() || !tariff.longer.is_empty());
    price.tiers.sort_by_key(|(tier, _)| *tier);
    costs.then_some(price)
}

fn tidy(tariff: &mut Tariff) {
    tariff.longer.retain(|longer| !longer.rates.is_empty());
    tariff.longer.sort_by_key(|longer| longer.input_tokens);
    tariff.longer.truncate(notation::LENGTHS_MAX);
}

/// A number of dollars times a power of ten, rounded up to a whole number that
/// the kind's price may be.
fn rate(kind: Kind, number: &Number, power: i32) -> Option<u64> {
    let rate = scaled(&number.to_string(), power)?;
    let rate = match kind.is_priced_each() {
        // Whole nano-dollars for each.
        true => rate
            .div_ceil(super::rates::PER_UNITS)
            .checked_mul(super::rates::PER_UNITS)?,
        false => rate,
    };
    (rate <= kind.rate_max()).then_some(rate)
}

/// A decimal as JSON writes it, times a power of ten, rounded up.
fn scaled(text: &str, power: i32) -> Option<u64> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let mantissa: u128 = format!("{whole}{decimals}").parse().ok()?;
    let shift = power
        .checked_add(exponent)?
        .checked_sub(i32::try_from(decimals.len()).ok()?)?;
    let factor = |shift: u32| 10_u128.checked_pow(shift);
    let number = match u32::try_from(shift) {
        Ok(shift) => mantissa.checked_mul(factor(shift)?)?,
        // So small that a divisor too large for a number leaves next to nothing.
        Err(_) => match factor(shift.unsigned_abs()) {
            Some(divisor) => mantissa.div_ceil(divisor),
            None => u128::from(mantissa > 0),
        },
    };
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests;
