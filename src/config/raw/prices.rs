//! Prices as they are written: of a model, and those that stand in.

use crate::config::reader::{Fields, Item, Located};
use crate::pricing::price::Tariff;
use crate::pricing::rates::{PER_UNITS, Rates};
use crate::pricing::schedule::DATES_MAX;
use crate::pricing::{Dated, Kind, Price, Schedule, ServiceTier, date, notation};
use crate::units::UnixMillis;

/// What a model's `price` says.
#[derive(Debug, Clone)]
pub enum RawPrice {
    /// Its calls have no cost, and no limit on cost holds them.
    Unpriced,
    Own(Box<Schedule>),
}

/// What becomes of models without a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    Refuse,
    Fallback,
    Unpriced,
}

#[derive(Debug, Default)]
pub struct RawPrices {
    pub file: Option<Located<String>>,
    pub unknown: Option<Located<Unknown>>,
    pub fallback: Option<Schedule>,
    /// Whether `fallback` was left out or could be read.
    pub fallback_is_read: bool,
}

/// Fields of a price, one for each kind, and those around them.
const PRICE_FIELDS: &[&str] = &[
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "cached_input_audio",
    "cached_input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
    "request",
    "search",
    "above",
    "batch",
    "flex",
    "priority",
    "from",
];

const TARIFF_FIELDS: &[&str] = &[
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "cached_input_audio",
    "cached_input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
    "request",
    "search",
    "above",
];

const LONGER_FIELDS: &[&str] = &[
    "input_tokens",
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "cached_input_audio",
    "cached_input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
    "request",
    "search",
];

const TIERS: [(&str, ServiceTier); 3] = [
    ("batch", ServiceTier::Batch),
    ("flex", ServiceTier::Flex),
    ("priority", ServiceTier::Priority),
];

/// The words that tiers of service go by here.
pub const SERVICE_TIERS: &[(&str, ServiceTier)] = &[
    ("standard", ServiceTier::Standard),
    ("batch", ServiceTier::Batch),
    ("flex", ServiceTier::Flex),
    ("priority", ServiceTier::Priority),
];

pub fn prices(top: &Fields) -> Option<RawPrices> {
    const UNKNOWN: &[(&str, Unknown)] = &[
        ("refuse", Unknown::Refuse),
        ("fallback", Unknown::Fallback),
        ("unpriced", Unknown::Unpriced),
    ];
    let fields = top
        .optional("prices")?
        .fields(&["file", "unknown", "fallback"])?;
    let fallback = fields.optional("fallback");
    let read = fallback.as_ref().and_then(schedule);
    Some(RawPrices {
        file: fields.optional("file").and_then(|item| item.text()),
        unknown: fields
            .optional("unknown")
            .and_then(|item| item.word(UNKNOWN)),
        fallback_is_read: fallback.is_none() || read.is_some(),
        fallback: read,
    })
}

/// A model's price: dollars per million tokens, one after another where dates
/// are given, or a word.
pub fn price(item: &Item) -> Option<RawPrice> {
    if item.is_word("unpriced") {
        return Some(RawPrice::Unpriced);
    }
    schedule(item).map(|own| RawPrice::Own(Box::new(own)))
}

fn schedule(item: &Item) -> Option<Schedule> {
    if item.is_word("free") {
        return Some(Schedule::always(Price::free()));
    }
    let items = item.one_or_list()?;
    if items.is_empty() || items.len() > DATES_MAX {
        return item.report(format!("must have 1 to {DATES_MAX} prices"));
    }
    let mut dated: Vec<Dated> = Vec::with_capacity(items.len());
    let mut whole = true;
    for item in &items {
        let Some(next) = one(item, dated.is_empty()) else {
            whole = false;
            continue;
        };
        if dated.last().is_some_and(|last| last.from >= next.from) {
            let last = dated.last().map_or(UnixMillis(0), |last| last.from);
            let last = date::Written(last);
            item.report::<()>(format!("must begin later than the one before it ({last})"));
            whole = false;
            continue;
        }
        dated.push(next);
    }
    match Schedule::new(dated) {
        Ok(schedule) if whole => Some(schedule),
        Err(error) if whole => item.report(error.to_string()),
        _ => None,
    }
}

/// The first price of a list needs no date; the others do.
fn one(item: &Item, first: bool) -> Option<Dated> {
    let fields = item.fields(PRICE_FIELDS)?;
    let from = match fields.optional("from") {
        None if first => Some(UnixMillis(0)),
        None => {
            fields.required("from", "the day from which it holds, as in 2026-01-31");
            None
        }
        Some(item) => from(&item),
    };
    let (standard, whole) = tariff(&fields);
    let mut price = Price {
        standard,
        tiers: Vec::new(),
    };
    let by_call = fields.optional("request").is_some();
    for (name, what) in [
        ("input", "dollars per million input tokens"),
        ("output", "dollars per million output tokens"),
    ] {
        if !by_call {
            fields.required(name, what);
        }
    }
    let mut whole = whole;
    for (name, tier) in TIERS {
        if let Some(item) = fields.optional(name) {
            match item.fields(TARIFF_FIELDS).map(|fields| tariff(&fields)) {
                Some((tariff, true)) => price.tiers.push((tier, tariff)),
                _ => whole = false,
            }
        }
    }
    whole &= notation::complete(&price).is_ok();
    let from = from?;
    whole.then_some(Dated { from, price })
}

fn from(item: &Item) -> Option<UnixMillis> {
    let text = item.text()?;
    let read = date::read(&text.value);
    match read {
        Some(from) => Some(from),
        None => item.report("must be a date as 2026-01-31, or with its time, 2026-01-31T08:00:00Z"),
    }
}

/// What is said of one tier, and whether all of it could be read.
fn tariff(fields: &Fields) -> (Tariff, bool) {
    let (rates, mut whole) = rates(fields);
    let mut tariff = Tariff {
        rates,
        longer: Vec::new(),
    };
    let Some(item) = fields.optional("above") else {
        return (tariff, whole);
    };
    let items = item.one_or_list().unwrap_or_default();
    if items.is_empty() || items.len() > notation::LENGTHS_MAX {
        item.report::<()>(format!("must have 1 to {} lengths", notation::LENGTHS_MAX));
        whole = false;
    }
    for item in items.iter().take(notation::LENGTHS_MAX) {
        whole &= longer(item, &mut tariff).is_some();
    }
    (tariff, whole)
}

fn longer(item: &Item, tariff: &mut Tariff) -> Option<()> {
    let fields = item.fields(LONGER_FIELDS)?;
    let length = fields
        .required("input_tokens", "of calls with more input tokens than that")
        .and_then(|item| item.amount(1..=crate::limits::AMOUNT_MAX));
    let (rates, whole) = rates(&fields);
    let length = length.filter(|_| whole)?;
    let known = tariff.longer.last().map_or(0, |last| last.input_tokens);
    if length.value <= known {
        let text = format!("must be more than that of the one before it ({known})");
        return item.report(text);
    }
    *tariff.above(length.value) = rates;
    Some(())
}

fn rates(fields: &Fields) -> (Rates, bool) {
    let (mut rates, mut whole) = (Rates::default(), true);
    for kind in Kind::ALL {
        let Some(item) = fields.optional(kind.as_str()) else {
            continue;
        };
        let each = if kind.is_priced_each() { PER_UNITS } else { 1 };
        let dollars = item.dollars(0..=kind.rate_max() / each);
        match dollars {
            Some(dollars) => rates.set(kind, dollars.value.saturating_mul(each)),
            None => whole = false,
        }
    }
    (rates, whole)
}
