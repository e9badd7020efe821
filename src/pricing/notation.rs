//! Prices in one line of text, as catalogues and open calls hold them.
//!
//! ```text
//! input=2.5 cached_input=1.25 output=10 search=0.01 >200000 input=5 output=15 /batch input=1.25 output=5
//! ```
//! Words are [`Kind`]'s, figures dollars: for a million tokens, or for one call
//! or search. `>N`: what differs for calls with more than N input tokens.
//! `/batch`, `/flex`, `/priority`: what differs in that tier of service. `free`
//! is a price of nothing. Figures are decimals of nine places at most, so that
//! each is a whole number of nano-dollars.

use super::Kind;
use super::price::{Longer, Price, ServiceTier, Tariff};
use super::rates::{PER_UNITS, Rates};
use std::fmt;

/// The longest line that is read: a price has twelve figures in each of a few
/// tiers and lengths.
pub const PRICE_BYTES_MAX: usize = 16 << 10;

/// The most lengths of one tier from which something differs.
pub const LENGTHS_MAX: usize = 16;

/// Decimals of a dollar that are counted.
const DECIMALS: usize = 9;

/// Why a text is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    #[error("{0:?} is no kind, tier or length; a price reads as in \"input=2.5 output=10\"")]
    Word(String),
    #[error("{0:?} is no amount of dollars with at most nine decimals")]
    Number(String),
    #[error(
        "{0:?} costs more than any model: at most a million dollars per million tokens, or ten thousand for one call or search"
    )]
    TooMuch(String),
    #[error("{0:?} stands there twice")]
    Twice(String),
    #[error("lengths must rise, and be at most {LENGTHS_MAX} for a tier: {0:?}")]
    Length(String),
    #[error("says nothing of what {0} costs")]
    Missing(&'static str),
    #[error("is longer than {PRICE_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads a price.
///
/// # Errors
/// See [`NotationError`].
pub fn read(text: &str) -> Result<Price, NotationError> {
    if text.len() > PRICE_BYTES_MAX {
        return Err(NotationError::TooLong);
    }
    if text.trim() == "free" {
        return Ok(Price::free());
    }
    let mut price = Price::default();
    let mut tier = ServiceTier::Standard;
    for word in text.split_ascii_whitespace() {
        if let Some(name) = word.strip_prefix('/') {
            tier = begin_tier(&mut price, name, word)?;
        } else if let Some(tokens) = word.strip_prefix('>') {
            begin_length(tariff(&mut price, tier), tokens, word)?;
        } else {
            figure(tariff(&mut price, tier), word)?;
        }
    }
    complete(&price)?;
    Ok(price)
}

/// A price says what tokens cost each way, or else what a call costs.
pub fn complete(price: &Price) -> Result<(), NotationError> {
    let rates = &price.standard.rates;
    let by_call = rates.get(Kind::Request).is_some();
    let missing = [Kind::Input, Kind::Output]
        .into_iter()
        .find(|kind| rates.get(*kind).is_none() && !by_call);
    match missing {
        Some(kind) => Err(NotationError::Missing(kind.as_str())),
        None => Ok(()),
    }
}

fn tariff(price: &mut Price, tier: ServiceTier) -> &mut Tariff {
    match price.tiers.last_mut() {
        Some((_, tariff)) if tier != ServiceTier::Standard => tariff,
        _ => &mut price.standard,
    }
}

fn begin_tier(price: &mut Price, name: &str, word: &str) -> Result<ServiceTier, NotationError> {
    let tier = ServiceTier::of_word(name).filter(|tier| *tier != ServiceTier::Standard);
    let tier = tier.ok_or_else(|| NotationError::Word(word.to_owned()))?;
    // In order, so that equal prices are equal texts.
    if price.tiers.last().is_some_and(|(last, _)| *last >= tier) {
        return Err(NotationError::Twice(word.to_owned()));
    }
    price.tiers.push((tier, Tariff::default()));
    Ok(tier)
}

fn begin_length(tariff: &mut Tariff, tokens: &str, word: &str) -> Result<(), NotationError> {
    let tokens: Option<u64> = tokens.parse().ok();
    let wrong = || NotationError::Length(word.to_owned());
    let tokens = tokens.filter(|_| tariff.longer.len() < LENGTHS_MAX);
    let input_tokens = tokens.ok_or_else(wrong)?;
    let rises = tariff
        .longer
        .last()
        .is_none_or(|last| last.input_tokens < input_tokens);
    if !rises {
        return Err(wrong());
    }
    tariff.longer.push(Longer {
        input_tokens,
        rates: Rates::default(),
    });
    Ok(())
}

fn figure(tariff: &mut Tariff, word: &str) -> Result<(), NotationError> {
    let said = word.split_once('=');
    let said = said.and_then(|(kind, figure)| Some((Kind::of_word(kind)?, figure)));
    let (kind, figure) = said.ok_or_else(|| NotationError::Word(word.to_owned()))?;
    let rate = rate(kind, figure).ok_or_else(|| NotationError::Number(word.to_owned()))?;
    if rate > kind.rate_max() {
        return Err(NotationError::TooMuch(word.to_owned()));
    }
    let rates = match tariff.longer.last_mut() {
        Some(longer) => &mut longer.rates,
        None => &mut tariff.rates,
    };
    if rates.get(kind).is_some() {
        return Err(NotationError::Twice(word.to_owned()));
    }
    rates.set(kind, rate);
    Ok(())
}

/// The rate that a figure stands for.
fn rate(kind: Kind, figure: &str) -> Option<u64> {
    let nanos = nanos(figure)?;
    match kind.is_priced_each() {
        true => nanos.checked_mul(PER_UNITS),
        false => Some(nanos),
    }
}

/// Dollars as digits, perhaps with decimals, in nano-dollars.
fn nanos(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let decimals: u64 = format!("{decimals:0<DECIMALS$}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(decimals)
}

/// Nano-dollars as dollars.
pub struct Dollars(pub u64);

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let decimals = format!("{rest:09}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

/// A rate as the dollars that stand for it: rounded up where one for each is no
/// whole number of nano-dollars.
pub fn dollars(kind: Kind, rate: u64) -> Dollars {
    Dollars(match kind.is_priced_each() {
        true => rate.div_ceil(PER_UNITS),
        false => rate,
    })
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, rate)) in self.said().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{}={}", kind.as_str(), dollars(kind, rate))?;
        }
        Ok(())
    }
}

impl fmt::Display for Tariff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rates.fmt(f)?;
        for (index, longer) in self.longer.iter().enumerate() {
            let first = index == 0 && self.rates.is_empty();
            let space = if first { "" } else { " " };
            write!(f, "{space}>{} {}", longer.input_tokens, longer.rates)?;
        }
        Ok(())
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Price::free() {
            return f.write_str("free");
        }
        self.standard.fmt(f)?;
        for (tier, tariff) in &self.tiers {
            write!(f, " /{tier} {tariff}")?;
        }
        Ok(())
    }
}
