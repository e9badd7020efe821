//! Budgets as they are written.

use super::limits::{self, Anchor, PeriodWord, RawLimit};
use super::{MINUTE_MS, policy::Name};
use crate::config::problem::{nearest, shown, shown_bare};
use crate::config::quantity::SPAN_MS_MAX;
use crate::config::reader::{Fields, Item, Located};
use crate::limits::rollover::AMOUNTS_MAX;
use crate::limits::{AMOUNT_MAX, Unit};
use crate::policy::budget::THRESHOLDS_MAX;
use crate::units::Millis;

#[derive(Debug)]
pub struct RawBudget {
    /// What it counts, as a limit.
    pub limit: RawLimit,
    /// Thousandths of its amount.
    pub warn_at: Vec<Located<u64>>,
    /// The most of what a period has left that the next one gets.
    pub rollover: Option<Located<RawRollover>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawRollover {
    /// Of the budget's unit.
    Amount(u64),
    /// Hundredths of the budget's amount.
    Share(u64),
}

const FIELDS: &[&str] = &[
    "name", "per", "unit", "amount", "every", "zone", "anchor", "warn_at", "rollover", "mode",
    "when",
];

const UNITS: &[(&str, Unit)] = &[
    ("cost", Unit::Cost),
    ("tokens", Unit::Tokens),
    ("input_tokens", Unit::InputTokens),
    ("output_tokens", Unit::OutputTokens),
    ("requests", Unit::Requests),
];

const PERIODS: &[(&str, PeriodWord)] = &[
    ("hour", PeriodWord::Hour),
    ("day", PeriodWord::Day),
    ("week", PeriodWord::Week),
    ("month", PeriodWord::Month),
    ("forever", PeriodWord::Forever),
];

/// Where nothing is said.
const PER_DEFAULT: &str = "tenant";

/// All budgets of a list.
pub fn budgets(item: &Item) -> Option<Located<Vec<RawBudget>>> {
    Some(Located {
        value: item.list()?.iter().filter_map(budget).collect(),
        at: item.at.clone(),
    })
}

fn budget(item: &Item) -> Option<RawBudget> {
    let fields = item.fields(FIELDS)?;
    let mut is_read = true;
    let mut read = |ok: bool| is_read &= ok;
    let name = fields.required("name", "conditions speak of it by its name");
    let unit = match fields.optional("unit") {
        Some(item) => item.word(UNITS),
        None => Some(Located {
            value: Unit::Cost,
            at: fields.at.clone(),
        }),
    };
    let is_cost = unit.as_ref().is_some_and(|unit| unit.value == Unit::Cost);
    let amount = fields.required("amount", "how much, as 500 USD or 2M (tokens)");
    let amount = amount.and_then(|item| match is_cost {
        true => item.dollars(1..=AMOUNT_MAX),
        false => item.amount(1..=AMOUNT_MAX),
    });
    let scope = match fields.optional("per") {
        Some(item) => limits::scope(&item),
        None => limits::scope_of(PER_DEFAULT, &fields.at),
    };
    let lasting = lasting(&fields, &mut read);
    let warn_at = warn_at(&fields, &mut read);
    let rollover = fields.optional("rollover");
    let rollover = rollover.map(|item| self::rollover(&item, is_cost));
    read(rollover.as_ref().is_none_or(Option::is_some));
    Some(RawBudget {
        limit: RawLimit {
            at: fields.at.clone(),
            name: name.and_then(|item| item.name()),
            scope,
            unit,
            amount,
            length_is_missing: false,
            every: lasting.length,
            period: lasting.period,
            zone: lasting.zone,
            anchor: lasting.anchor,
            starts: None,
            algorithm: Some(limits::fixed_window(&fields.at)),
            burst: None,
            mode: limits::word(&fields, "mode", limits::MODES, &mut read),
            hard: None,
            when: limits::when(&fields, &mut read),
            is_read,
        },
        warn_at,
        rollover: rollover.flatten(),
    })
}

/// How long a budget is for.
struct Lasting {
    length: Option<Located<Millis>>,
    period: Option<Located<PeriodWord>>,
    zone: Option<Located<String>>,
    anchor: Option<Located<Anchor>>,
}

fn lasting(fields: &Fields, read: &mut impl FnMut(bool)) -> Lasting {
    const WHAT: &str = "how long it is for: hour, day, week, month, 30d or forever";
    let every = fields.required("every", WHAT);
    let is_period = |item: &Item| PERIODS.iter().any(|(word, _)| item.is_word(word));
    let period = every.clone().filter(is_period);
    let period = period.and_then(|item| item.word(PERIODS));
    let is_forever = |period: &Located<PeriodWord>| period.value == PeriodWord::Forever;
    if period.as_ref().is_some_and(is_forever) {
        without_calendar(fields, read);
    }
    let of_calendar = period.as_ref().filter(|period| !is_forever(period));
    let anchor = of_calendar.and_then(|period| limits::anchor(fields, Some(period), read));
    let zone = fields.optional("zone").filter(|_| of_calendar.is_some());
    let span = every.filter(|item| !is_period(item));
    Lasting {
        length: span.and_then(|item| length(&item, fields, read)),
        zone: zone.and_then(|item| item.text()),
        period,
        anchor,
    }
}

/// An amount of the budget's unit, or a share of its amount, as 50%.
fn rollover(item: &Item, is_cost: bool) -> Option<Located<RawRollover>> {
    let text = item.is_text().then(|| item.text()).flatten();
    if let Some(text) = text.as_ref()
        && !text.value.starts_with(|first: char| first.is_ascii_digit())
    {
        let got = shown_bare(&text.value);
        return item.report(format!(
            "must be an amount, or a share of the budget's such as 50% (got {got})"
        ));
    }
    if let Some(share) = text.and_then(|text| share(&text)) {
        return match (1..=100 * AMOUNTS_MAX).contains(&share.value) {
            true => Some(Located {
                value: RawRollover::Share(share.value),
                at: share.at,
            }),
            false => {
                let most = 100 * AMOUNTS_MAX;
                let text = format!("must be 1% to {most}% of the amount (got {}%)", share.value);
                item.report(text)
            }
        };
    }
    let amount = match is_cost {
        true => item.dollars(1..=AMOUNT_MAX),
        false => item.amount(1..=AMOUNT_MAX),
    };
    amount.map(|amount| Located {
        value: RawRollover::Amount(amount.value),
        at: amount.at,
    })
}

/// `None` where it isn't written as one.
fn share(text: &Located<String>) -> Option<Located<u64>> {
    let digits = text.value.strip_suffix('%')?;
    let value = digits.trim_end().parse().ok()?;
    Some(Located {
        value,
        at: text.at.clone(),
    })
}

/// What isn't a period by its word; only a calendar's periods have zones and anchors.
fn length(item: &Item, fields: &Fields, read: &mut impl FnMut(bool)) -> Option<Located<Millis>> {
    let length = span(item);
    read(length.is_some());
    if length.is_some() {
        without_calendar(fields, read);
    }
    length
}

fn without_calendar(fields: &Fields, read: &mut impl FnMut(bool)) {
    for name in ["zone", "anchor"] {
        if let Some(item) = fields.optional(name) {
            read(false);
            item.report::<()>("has a meaning only with every: hour, day, week or month");
        }
    }
}

fn span(item: &Item) -> Option<Located<Millis>> {
    let begins_as_one = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if !item.is_text() || begins_as_one(&item.text()?.value) {
        return item.span(MINUTE_MS..=SPAN_MS_MAX);
    }
    let text = item.text()?.value;
    let hint = nearest(&text, PERIODS.iter().map(|(word, _)| *word))
        .map(|word| format!("; did you mean {word:?}?"))
        .unwrap_or_default();
    let rule = "must be hour, day, week, month, a span of time such as 30d, or forever";
    item.report(format!("{rule} (got {}){hint}", shown(&text)))
}

/// Shares of the amount, as `[0.5, 0.8]`, rising.
fn warn_at(fields: &Fields, read: &mut impl FnMut(bool)) -> Vec<Located<u64>> {
    let Some(item) = fields.optional("warn_at") else {
        return Vec::new();
    };
    let shares = item.one_or_list().and_then(|items| {
        if items.len() > THRESHOLDS_MAX {
            return item.report(format!("must have at most {THRESHOLDS_MAX} thresholds"));
        }
        let shares = items.iter().map(|item| item.per_mille(1..=1_000));
        shares.collect::<Option<Vec<_>>>()
    });
    let rises = |shares: &Vec<Located<u64>>| shares.windows(2).all(|w| w[0].value < w[1].value);
    let shares = shares.and_then(|shares| match rises(&shares) {
        true => Some(shares),
        false => item.report("must rise: 0.5 before 0.8"),
    });
    read(shares.is_some());
    shares.unwrap_or_default()
}

impl RawBudget {
    pub fn name(&self) -> Option<&Name> {
        self.limit.name.as_ref()
    }
}
