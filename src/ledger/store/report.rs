//! Puts the parts of a report together: merges, orders and pages.

use super::measure::{Measure, Sums};
use super::period::Period;
use super::query::{Cursor, Order, PAGE_ROWS_MAX, Query};
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::cmp::Ordering;
use std::collections::HashMap;

/// The most groups that a report may have over all its pages: some hundred
/// megabytes.
pub const GROUPS_MAX: usize = 1_000_000;

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The whole hour, day or month, even where the report has only a part.
    pub period: Option<Period>,
    /// In the order of [`Query::names`].
    pub names: Vec<Option<String>>,
    pub sums: Sums,
}

/// One page of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub rows: Vec<UsageRow>,
    /// Where the next page goes on, if there may be one.
    pub next: Option<Cursor>,
}

/// Why a report can't be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("a report has at most {GROUPS_MAX} groups; ask for a shorter time or fewer names")]
    Groups,
    #[error("not a cursor of this report")]
    Cursor,
}

type Group = (Option<Period>, Vec<Option<String>>);

/// The groups so far.
#[derive(Debug, Default)]
pub struct Parts(HashMap<Group, Sums>);

impl Parts {
    /// # Errors
    /// [`ReportError::Groups`].
    pub fn add(
        &mut self,
        period: Option<Period>,
        names: Vec<Option<String>>,
        sums: &Sums,
    ) -> Result<(), ReportError> {
        if sums.is_zero() {
            return Ok(());
        }
        self.0.entry((period, names)).or_default().merge(sums);
        if self.0.len() > GROUPS_MAX {
            return Err(ReportError::Groups);
        }
        Ok(())
    }

    /// Takes the sums of groups out of these.
    pub fn take_out(&mut self, other: &Parts) {
        for (group, sums) in &other.0 {
            if let Some(own) = self.0.get_mut(group) {
                for measure in Measure::ALL {
                    own.add(measure, sums.get(measure).saturating_neg());
                }
            }
        }
        self.0.retain(|_, sums| !sums.is_zero());
    }

    /// All groups.
    pub fn rows(self, order: Order) -> Vec<UsageRow> {
        let row = |((period, names), sums)| UsageRow {
            period,
            names,
            sums,
        };
        let mut rows: Vec<UsageRow> = self.0.into_iter().map(row).collect();
        rows.sort_unstable_by(|a, b| compare(a, b, order));
        rows
    }

    /// The page that the query asks for.
    ///
    /// # Errors
    /// [`ReportError::Cursor`].
    pub fn page(self, query: &Query) -> Result<Report, ReportError> {
        let mut rows = self.rows(query.order);
        if let Some(after) = &query.after {
            let last = last_row(after, query).ok_or(ReportError::Cursor)?;
            rows.retain(|row| compare(row, &last, query.order) == Ordering::Greater);
        }
        let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|row| cursor(row, query.order));
        Ok(Report { rows, next })
    }
}

fn compare(a: &UsageRow, b: &UsageRow, order: Order) -> Ordering {
    let by_group = || (a.period, &a.names).cmp(&(b.period, &b.names));
    let largest = ranked_by(&b.sums, order).cmp(&ranked_by(&a.sums, order));
    largest.then_with(by_group)
}

/// What the largest comes first of; nothing where names order the rows.
fn ranked_by(sums: &Sums, order: Order) -> i128 {
    match order {
        Order::Groups => 0,
        Order::Most(measure) => sums.get(measure),
        Order::MostTokens => sums.total_tokens(),
        Order::MostNet => sums.net_nanos(),
    }
}

/// What a cursor holds of the last row of its page.
type Held = (Option<(u64, u64)>, Vec<Option<String>>, String);

fn cursor(row: &UsageRow, order: Order) -> Cursor {
    let value = ranked_by(&row.sums, order);
    let period = row.period.map(|period| (period.from.0, period.until.0));
    // As text, since JSON's numbers are narrower.
    let held: Held = (period, row.names.clone(), value.to_string());
    // The only error is of a map whose keys aren't text.
    let json = serde_json::to_vec(&held).unwrap_or_default();
    Cursor(URL_SAFE_NO_PAD.encode(json))
}

fn last_row(cursor: &Cursor, query: &Query) -> Option<UsageRow> {
    let json = URL_SAFE_NO_PAD.decode(&cursor.0).ok()?;
    let (period, names, value): Held = serde_json::from_slice(&json).ok()?;
    if names.len() != query.names_len() || period.is_some() != query.unit.is_some() {
        return None;
    }
    let mut sums = Sums::default();
    let measure = match query.order {
        Order::Groups => None,
        Order::Most(measure) => Some(measure),
        // Of a sum of two it doesn't matter which has it.
        Order::MostTokens => Some(Measure::InputTokens),
        Order::MostNet => Some(Measure::CostNanos),
    };
    if let Some(measure) = measure {
        sums.add(measure, value.parse().ok()?);
    }
    let period = period.map(|(from, until)| Period {
        from: UnixMillis(from),
        until: UnixMillis(until),
    });
    Some(UsageRow {
        period,
        names,
        sums,
    })
}

/// The sums of a row of results, in the order of [`Measure::ALL`].
pub fn sums(numbers: impl Iterator<Item = i64>) -> Sums {
    let mut sums = Sums::default();
    for (measure, number) in Measure::ALL.into_iter().zip(numbers) {
        sums.add(measure, i128::from(number));
    }
    sums
}
