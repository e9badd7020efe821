//! How things stand when a call is made: what is used of limits and budgets, what is
//! granted, how models do, and at which time.

use crate::config::reader::{Fields, Item};
use crate::limits::{AMOUNT_MAX, Limit, Unit};
use crate::policy::grants::Allowance;
use crate::units::UnixMillis;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a budget may be used to, in thousandths: ten times over.
const USED_PER_MILLE_MAX: u64 = 10_000;

const UNIT_BILLIONTHS: u64 = 1_000_000_000;

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// `None`: now.
    pub time: Option<UnixMillis>,
    /// What is used of limits and budgets, by their names.
    pub used: BTreeMap<Arc<str>, UsedOf>,
    pub grants: Vec<GrantGiven>,
    /// How often models failed of late, in thousandths, by name.
    pub failures: BTreeMap<Arc<str>, u64>,
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedOf {
    /// Thousandths of its amount.
    PerMille(u64),
    /// So much, in billionths of the unit: of dollars, of tokens, of calls.
    Billionths(u64),
}

/// A grant that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantGiven {
    pub rule: Option<Arc<str>>,
    pub models: Vec<Arc<str>>,
    pub allowance: Allowance,
}

/// The fields that it is read from.
pub(super) const STATE: &[&str] = &["time", "budgets", "limits", "grants", "failures"];

pub(super) fn state(fields: &Fields) -> Option<State> {
    let time = match fields.optional("time") {
        Some(item) => moment(&item).map(Some),
        None => Some(None),
    };
    let used_of = |name: &str, share: bool| match fields.optional(name) {
        Some(item) => entries(&item, |item| used(item, share)),
        None => Some(BTreeMap::new()),
    };
    let (budgets, limits) = (used_of("budgets", true), used_of("limits", false));
    let grants = match fields.optional("grants") {
        Some(item) => {
            let grants: Vec<Option<GrantGiven>> = item.list()?.iter().map(grant).collect();
            grants.into_iter().collect::<Option<Vec<_>>>()
        }
        None => Some(Vec::new()),
    };
    let failures = match fields.optional("failures") {
        Some(item) => entries(&item, |item| {
            item.per_mille(0..=1_000).map(|share| share.value)
        }),
        None => Some(BTreeMap::new()),
    };
    let mut used = budgets?;
    used.extend(limits?);
    Some(State {
        time: time?,
        used,
        grants: grants?,
        failures: failures?,
    })
}

pub(super) fn entries<T>(
    item: &Item,
    each: impl Fn(&Item) -> Option<T>,
) -> Option<BTreeMap<Arc<str>, T>> {
    let all: Vec<Option<(Arc<str>, T)>> = item
        .named()?
        .map(|(name, item)| Some((name.value, each(&item)?)))
        .collect();
    all.into_iter().collect()
}

fn moment(item: &Item) -> Option<UnixMillis> {
    let text = item.text()?.value;
    let millis = text
        .parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond);
    let millis = millis.and_then(|millis| u64::try_from(millis).ok());
    match millis {
        Some(millis) => Some(UnixMillis(millis)),
        None => item.report("must be a time with its offset, as 2026-11-16T12:00:00Z"),
    }
}

/// `used` of a budget is a share of it, as in conditions; of a limit, and `taken` of
/// both, an amount.
fn used(item: &Item, share: bool) -> Option<UsedOf> {
    let fields = item.fields(&["used", "taken"])?;
    let billionths = |item: &Item| Some(UsedOf::Billionths(item.dollars(0..=u64::MAX)?.value));
    match fields.one_kind(&["used", "taken"])? {
        ("used", item) if share => {
            let share = item.per_mille(0..=USED_PER_MILLE_MAX)?;
            Some(UsedOf::PerMille(share.value))
        }
        (_, item) => billionths(&item),
    }
}

fn grant(item: &Item) -> Option<GrantGiven> {
    let fields = item.fields(&["rule", "models", "calls", "cost"])?;
    let rule = match fields.optional("rule") {
        Some(item) => Some(item.name()?.value),
        None => None,
    };
    let mut models = Vec::new();
    if let Some(item) = fields.optional("models") {
        for item in item.one_or_list()? {
            models.push(item.name()?.value);
        }
    }
    let most = AMOUNT_MAX;
    let allowance = match (fields.optional("calls"), fields.optional("cost")) {
        (Some(item), None) => Allowance::Calls(item.amount(1..=most)?.value),
        (None, Some(item)) => Allowance::CostNanos(item.dollars(1..=most)?.value),
        (None, None) => Allowance::Unlimited,
        (Some(_), Some(_)) => return item.report("allows calls or cost, not both"),
    };
    Some(GrantGiven {
        rule,
        models,
        allowance,
    })
}

impl UsedOf {
    /// How much of a limit of this amount, in its own unit.
    pub fn of(self, limit: &Limit) -> u64 {
        match self {
            UsedOf::PerMille(share) => {
                let used = u128::from(limit.amount) * u128::from(share) / 1_000;
                u64::try_from(used).unwrap_or(u64::MAX)
            }
            UsedOf::Billionths(used) if limit.unit == Unit::Cost => used,
            UsedOf::Billionths(used) => used / UNIT_BILLIONTHS,
        }
    }
}
