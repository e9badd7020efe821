//! Limits as they are written.

use super::policy::Name;
use crate::config::problem::{At, shown};
use crate::config::quantity::SPAN_MS_MAX;
use crate::config::reader::{Fields, Item, Located};
use crate::limits::{AMOUNT_MAX, Dimension, Mode, Unit};
use crate::protocol::Endpoint;
use crate::units::Millis;
use jiff::civil::Weekday;

/// How a limit counts, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmWord {
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    LeakyBucket,
}

/// A calendar's unit, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodWord {
    Hour,
    Day,
    Week,
    Month,
    /// Of budgets alone.
    Forever,
}

/// When a window of a fixed length begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartsWord {
    Aligned,
    FirstHit,
}

/// A day on which a week or a month begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Weekday(Weekday),
    DayOfMonth(u8),
}

#[derive(Debug)]
pub struct RawLimit {
    pub at: At,
    pub name: Option<Name>,
    /// Empty: global.
    pub scope: Option<Located<Vec<Dimension>>>,
    pub unit: Option<Located<Unit>>,
    pub amount: Option<Located<u64>>,
    pub every: Option<Located<Millis>>,
    pub period: Option<Located<PeriodWord>>,
    /// Neither `every` nor `period` is there.
    pub length_is_missing: bool,
    pub zone: Option<Located<String>>,
    pub anchor: Option<Located<Anchor>>,
    pub starts: Option<Located<StartsWord>>,
    pub algorithm: Option<Located<AlgorithmWord>>,
    pub burst: Option<Located<u64>>,
    pub mode: Option<Located<Mode>>,
    /// Room is needed for the most that a call can use.
    pub hard: Option<Located<bool>>,
    pub when: RawWhen,
    /// All that is there could be read.
    pub is_read: bool,
}

#[derive(Debug, Default)]
pub struct RawWhen {
    pub models: Vec<Name>,
    pub tiers: Vec<Name>,
    pub endpoints: Vec<Endpoint>,
    /// An expression in place of all these.
    pub condition: Option<Located<String>>,
}

const SCOPES: &[(&str, Dimension)] = &[
    ("tenant", Dimension::Tenant),
    ("project", Dimension::Project),
    ("environment", Dimension::Environment),
    ("user", Dimension::User),
    ("key", Dimension::Key),
    ("model", Dimension::Model),
    ("tier", Dimension::Tier),
    ("endpoint", Dimension::Endpoint),
    ("provider", Dimension::Provider),
];

/// In place of all others, where tenants may share a counter.
const GLOBAL: &str = "global";

const UNITS: &[(&str, Unit)] = &[
    ("requests", Unit::Requests),
    ("input_tokens", Unit::InputTokens),
    ("output_tokens", Unit::OutputTokens),
    ("tokens", Unit::Tokens),
    ("cost", Unit::Cost),
    ("concurrency", Unit::Concurrency),
];

const ALGORITHMS: &[(&str, AlgorithmWord)] = &[
    ("fixed_window", AlgorithmWord::FixedWindow),
    ("sliding_window", AlgorithmWord::SlidingWindow),
    ("token_bucket", AlgorithmWord::TokenBucket),
    ("leaky_bucket", AlgorithmWord::LeakyBucket),
];

pub const PERIODS: &[(&str, PeriodWord)] = &[
    ("hour", PeriodWord::Hour),
    ("day", PeriodWord::Day),
    ("week", PeriodWord::Week),
    ("month", PeriodWord::Month),
];

const STARTS: &[(&str, StartsWord)] = &[
    ("aligned", StartsWord::Aligned),
    ("first_hit", StartsWord::FirstHit),
];

pub const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

const WEEKDAYS: &[(&str, Anchor)] = &[
    ("monday", Anchor::Weekday(Weekday::Monday)),
    ("tuesday", Anchor::Weekday(Weekday::Tuesday)),
    ("wednesday", Anchor::Weekday(Weekday::Wednesday)),
    ("thursday", Anchor::Weekday(Weekday::Thursday)),
    ("friday", Anchor::Weekday(Weekday::Friday)),
    ("saturday", Anchor::Weekday(Weekday::Saturday)),
    ("sunday", Anchor::Weekday(Weekday::Sunday)),
];

/// Those that a limit may be for.
pub const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("chat_completions", Endpoint::ChatCompletions),
    ("completions", Endpoint::Completions),
    ("embeddings", Endpoint::Embeddings),
];

const FIELDS: &[&str] = &[
    "name",
    "per",
    "unit",
    "amount",
    "every",
    "period",
    "zone",
    "anchor",
    "starts",
    "algorithm",
    "burst",
    "mode",
    "hard",
    "when",
];

/// Of a descriptor's rule, which says itself what is counted together, and when.
const FIELDS_OF_DESCRIPTORS: &[&str] = &[
    "name",
    "unit",
    "amount",
    "every",
    "period",
    "zone",
    "anchor",
    "starts",
    "algorithm",
    "burst",
    "mode",
];

/// All limits of a list.
pub fn limits(item: &Item) -> Option<Located<Vec<RawLimit>>> {
    let read = |item: &Item| {
        let fields = item.fields(FIELDS)?;
        let unit = fields
            .required(
                "unit",
                "what is counted: requests, tokens, cost, concurrency, ...",
            )
            .and_then(|item| item.word(UNITS));
        let scope = fields
            .required("per", "whose calls are counted together: tenant, user, ...")
            .and_then(|item| scope(&item));
        Some(limit(&fields, unit, scope))
    };
    all(item, read)
}

/// All limits of a descriptor's rule, which count hits.
pub fn of_descriptors(item: &Item) -> Option<Located<Vec<RawLimit>>> {
    let read = |item: &Item| {
        let fields = item.fields(FIELDS_OF_DESCRIPTORS)?;
        let unit = fields
            .required("unit", "requests, as what a descriptor counts are hits")
            .and_then(|item| {
                let unit = item.word(UNITS)?;
                let rule = "must be requests: what a descriptor counts are hits";
                match unit.value {
                    Unit::Requests => Some(unit),
                    other => item.report(format!("{rule} (got {})", other.as_str())),
                }
            });
        let global = Located {
            value: Vec::new(),
            at: item.at.clone(),
        };
        Some(limit(&fields, unit, Some(global)))
    };
    all(item, read)
}

/// Gives its name to limits that were written without one.
pub fn name_after(limits: &mut Located<Vec<RawLimit>>, name: &str) {
    for limit in &mut limits.value {
        limit.name.get_or_insert_with(|| Located {
            value: name.into(),
            at: limit.at.clone(),
        });
    }
}

fn all(item: &Item, read: impl Fn(&Item) -> Option<RawLimit>) -> Option<Located<Vec<RawLimit>>> {
    Some(Located {
        value: item.list()?.iter().filter_map(read).collect(),
        at: item.at.clone(),
    })
}

fn limit(
    fields: &Fields,
    unit: Option<Located<Unit>>,
    scope: Option<Located<Vec<Dimension>>>,
) -> RawLimit {
    let mut is_read = true;
    let mut read = |ok: bool| is_read &= ok;
    let is_cost = unit.as_ref().is_some_and(|unit| unit.value == Unit::Cost);
    let number = |item: Item| match is_cost {
        true => item.dollars(1..=AMOUNT_MAX),
        false => item.amount(1..=AMOUNT_MAX),
    };
    let period = word(fields, "period", PERIODS, &mut read);
    let anchor = anchor(fields, period.as_ref(), &mut read);
    if let (None, Some(item)) = (fields.optional("period"), fields.optional("anchor")) {
        read(false);
        item.report::<()>("has a meaning only with a period");
    }
    let every = fields.optional("every");
    RawLimit {
        at: fields.at.clone(),
        name: fields.optional("name").and_then(|item| item.name()),
        amount: fields.required("amount", "how many").and_then(number),
        length_is_missing: every.is_none() && fields.optional("period").is_none(),
        every: every.and_then(|item| item.span(1..=SPAN_MS_MAX)),
        zone: fields.optional("zone").and_then(|item| item.text()),
        starts: word(fields, "starts", STARTS, &mut read),
        algorithm: word(fields, "algorithm", ALGORITHMS, &mut read),
        burst: fields.optional("burst").and_then(number),
        mode: word(fields, "mode", MODES, &mut read),
        hard: hard(fields, &mut read),
        when: when(fields, &mut read),
        unit,
        period,
        anchor,
        scope,
        is_read,
    }
}

pub fn word<T: Copy>(
    fields: &Fields,
    name: &str,
    words: &[(&str, T)],
    read: &mut impl FnMut(bool),
) -> Option<Located<T>> {
    let word = fields.optional(name)?.word(words);
    read(word.is_some());
    word
}

fn hard(fields: &Fields, read: &mut impl FnMut(bool)) -> Option<Located<bool>> {
    let hard = fields.optional("hard")?.boolean();
    read(hard.is_some());
    hard
}

/// `global`, a dimension, or a list of them.
pub fn scope(item: &Item) -> Option<Located<Vec<Dimension>>> {
    if item.is_word(GLOBAL) {
        return Some(Located {
            value: Vec::new(),
            at: item.at.clone(),
        });
    }
    let dimensions = item.one_or_list()?;
    let words: Option<Vec<_>> = dimensions.iter().map(|item| item.word(SCOPES)).collect();
    let value = words?.into_iter().map(|word| word.value).collect();
    Some(Located {
        value,
        at: item.at.clone(),
    })
}

/// A dimension that isn't written.
pub fn scope_of(word: &str, at: &At) -> Option<Located<Vec<Dimension>>> {
    let mut scopes = SCOPES.iter();
    let (_, dimension) = scopes.find(|(known, _)| *known == word)?;
    Some(Located {
        value: vec![*dimension],
        at: at.clone(),
    })
}

/// How a budget counts, which nobody writes.
pub fn fixed_window(at: &At) -> Located<AlgorithmWord> {
    Located {
        value: AlgorithmWord::FixedWindow,
        at: at.clone(),
    }
}

/// A weekday or a day of the month, as the period asks for.
pub fn anchor(
    fields: &Fields,
    period: Option<&Located<PeriodWord>>,
    read: &mut impl FnMut(bool),
) -> Option<Located<Anchor>> {
    let item = fields.optional("anchor")?;
    let anchor = match period?.value {
        PeriodWord::Week => item.word(WEEKDAYS),
        PeriodWord::Month => item.amount(1..=31).and_then(|day| {
            Some(Located {
                value: Anchor::DayOfMonth(u8::try_from(day.value).ok()?),
                at: day.at,
            })
        }),
        PeriodWord::Hour | PeriodWord::Day | PeriodWord::Forever => {
            item.report("has a meaning only with period: week or month")
        }
    };
    read(anchor.is_some());
    anchor
}

/// By a word, or as usage events name it.
pub fn endpoint(item: &Item) -> Option<Endpoint> {
    let text = item.text()?.value;
    let mut words = ENDPOINTS.iter();
    let word = words.find(|(word, _)| *word == text);
    let named = || Endpoint::all().find(|endpoint| endpoint.path() == text);
    word.map(|(_, endpoint)| *endpoint)
        .or_else(named)
        .or_else(|| {
            let rule = "must be chat_completions, completions, embeddings, or an endpoint as usage \
                    events name it, such as /v1/messages";
            item.report(format!("{rule} (got {})", shown(&text)))
        })
}

pub fn when(fields: &Fields, read: &mut impl FnMut(bool)) -> RawWhen {
    let mut when = RawWhen::default();
    let Some(item) = fields.optional("when") else {
        return when;
    };
    if item.is_text() {
        when.condition = item.text();
        read(when.condition.is_some());
        return when;
    }
    let conditions = match item.is_mapping() {
        true => item.fields(&["model", "tier", "endpoint"]),
        false => item.report("must be a condition in CEL, or a mapping of model, tier, endpoint"),
    };
    let Some(conditions) = conditions else {
        read(false);
        return when;
    };
    let mut names = |field| {
        let items = conditions.optional(field).map(|item| item.one_or_list());
        let names: Option<Vec<Name>> = match items {
            None => Some(Vec::new()),
            Some(items) => items.and_then(|items| items.iter().map(Item::name).collect()),
        };
        read(names.is_some());
        names.unwrap_or_default()
    };
    when.models = names("model");
    when.tiers = names("tier");
    if let Some(item) = conditions.optional("endpoint") {
        let items = item.one_or_list().unwrap_or_default();
        let words: Option<Vec<_>> = items.iter().map(endpoint).collect();
        read(words.is_some());
        when.endpoints = words.unwrap_or_default();
    }
    when
}
