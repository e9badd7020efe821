//! What a report asks for, and which rollups and rows answer it.
//!
//! Always holds: the [`Segment`]s of a query cover its time exactly once, so the
//! sum over them is the sum over its rows.

use super::measure::{Dimension, Measure};
use super::period::{Period, PeriodError, Unit, periods};
use super::rollup::{DAY_MS, QUARTER_MS};
use crate::units::UnixMillis;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// The most rows of a page.
pub const PAGE_ROWS_MAX: usize = 10_000;

/// What stands before the name of a label.
pub const LABEL_PREFIX: &str = "label:";

/// A report. Times are compared with the calls' own (`columns::at`).
#[derive(Debug, Clone)]
pub struct Query {
    /// From this millisecond on.
    pub since: UnixMillis,
    /// Before this one.
    pub until: UnixMillis,
    /// Whose hours, days and months.
    pub zone: TimeZone,
    pub unit: Option<Unit>,
    pub group_by: Vec<Dimension>,
    /// Labels whose values tell groups apart too, behind the names of `group_by`.
    pub labels: Vec<Arc<str>>,
    /// All must hold.
    pub only: Vec<Condition>,
    pub order: Order,
    /// The most rows of this page, at most [`PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Of the page before.
    pub after: Option<Cursor>,
}

/// What a call's name must, or must not, be among. `None` is its absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub dimension: Dimension,
    pub among: bool,
    pub names: Vec<Option<String>>,
}

/// How the rows of a report follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By time, then by names.
    Groups,
    /// The largest first, then as by [`Order::Groups`].
    Most(Measure),
    /// The same by input and output tokens together.
    MostTokens,
    /// The same by what calls cost after corrections.
    MostNet,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Where sums are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Rows,
    Quarters,
    Days,
}

/// A part of the time of a report, of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub level: Level,
    pub from_ms: i64,
    pub until_ms: i64,
    pub period: Option<Period>,
}

impl Condition {
    pub fn is(dimension: Dimension, name: &str) -> Self {
        Self {
            dimension,
            among: true,
            names: vec![Some(name.to_owned())],
        }
    }

    pub fn is_not(dimension: Dimension, name: &str) -> Self {
        Self {
            among: false,
            ..Self::is(dimension, name)
        }
    }

    /// Whether it holds of a call.
    pub fn holds(&self, name: Option<&str>) -> bool {
        let found = self.names.iter().any(|one| one.as_deref() == name);
        found == self.among
    }
}

impl Query {
    /// Everything of a span of time, in one row.
    pub fn of(since: UnixMillis, until: UnixMillis) -> Self {
        Self {
            since,
            until,
            zone: TimeZone::UTC,
            unit: None,
            group_by: Vec::new(),
            labels: Vec::new(),
            only: Vec::new(),
            order: Order::Groups,
            limit: PAGE_ROWS_MAX,
            after: None,
        }
    }

    /// What each of a group's names is of, in their order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let dimensions = self.group_by.iter().map(|one| one.as_str().to_owned());
        let labels = self.labels.iter();
        dimensions.chain(labels.map(|label| format!("{LABEL_PREFIX}{label}")))
    }

    /// How many names a group has.
    pub fn names_len(&self) -> usize {
        self.group_by.len() + self.labels.len()
    }

    /// The names that are asked for.
    fn asked(&self) -> impl Iterator<Item = Dimension> {
        let conditions = self.only.iter().map(|condition| condition.dimension);
        self.group_by.iter().copied().chain(conditions)
    }

    /// Whether rollups know every name that is asked for: they tell no labels apart,
    /// which are as many as keys are given.
    fn of_rollups(&self) -> bool {
        let of_rollups = |dimension| Dimension::OF_ROLLUPS.contains(&dimension);
        self.labels.is_empty() && self.asked().all(of_rollups)
    }

    /// Whether it hangs on what rollups tell which model served.
    pub fn asks_who_served(&self) -> bool {
        let mut asked = self.asked();
        self.of_rollups() && asked.any(|dimension| dimension == Dimension::ModelServed)
    }

    /// Where to read what. Before `rolled_up_from` rollups don't answer it.
    ///
    /// # Errors
    /// [`PeriodError`].
    pub fn segments(&self, rolled_up_from: UnixMillis) -> Result<Vec<Segment>, PeriodError> {
        let rollups = self.of_rollups().then_some(rolled_up_from);
        let Some(unit) = self.unit else {
            let mut all = Vec::new();
            divide(self.since, self.until, None, rollups, &mut all);
            return Ok(all);
        };
        let mut all = Vec::new();
        for period in periods(self.since, self.until, unit, &self.zone)? {
            let from = period.from.max(self.since);
            let until = period.until.min(self.until);
            divide(from, until, Some(period), rollups, &mut all);
        }
        Ok(all)
    }
}

/// Days in the middle, quarters of an hour around them, rows at both ends.
fn divide(
    from: UnixMillis,
    until: UnixMillis,
    period: Option<Period>,
    rollups: Option<UnixMillis>,
    into: &mut Vec<Segment>,
) {
    let wide = |at: UnixMillis| i64::try_from(at.0).unwrap_or(i64::MAX);
    let (from, until) = (wide(from), wide(until));
    let rolled_up_from = rollups.map_or(i64::MAX, wide);
    let mut push = |level, from_ms, until_ms| {
        if from_ms < until_ms {
            into.push(Segment {
                level,
                from_ms,
                until_ms,
                period,
            });
        }
    };
    let first = up(from.max(rolled_up_from), QUARTER_MS);
    let last = down(until, QUARTER_MS);
    if first >= last {
        push(Level::Rows, from, until);
        return;
    }
    push(Level::Rows, from, first);
    let (first_day, last_day) = (up(first, DAY_MS), down(last, DAY_MS));
    if first_day < last_day {
        push(Level::Quarters, first, first_day);
        push(Level::Days, first_day, last_day);
        push(Level::Quarters, last_day, last);
    } else {
        push(Level::Quarters, first, last);
    }
    push(Level::Rows, last, until);
}

fn down(at_ms: i64, step_ms: i64) -> i64 {
    at_ms - at_ms.rem_euclid(step_ms)
}

fn up(at_ms: i64, step_ms: i64) -> i64 {
    down(at_ms.saturating_add(step_ms - 1), step_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segments_cover_the_time_once(
            since in 0u64..400_000_000_000, long in 0u64..300_000_000_000, wide in any::<bool>(),
            unit in proptest::option::of(0..2usize), told in 0u64..800_000_000_000,
        ) {
            let mut query = Query::of(UnixMillis(since), UnixMillis(since + long));
            query.zone = TimeZone::get("Asia/Kathmandu").unwrap();
            query.unit = unit.map(|n| [Unit::Day, Unit::Month][n]);
            if wide {
                match told % 2 {
                    0 => query.group_by.push(Dimension::User),
                    _ => query.labels.push("team".into()),
                }
            }
            let segments = query.segments(UnixMillis(told)).unwrap();
            let mut at = since as i64;
            for segment in segments {
                prop_assert_eq!(segment.from_ms, at);
                prop_assert!(segment.until_ms > at);
                at = segment.until_ms;
                let step = match segment.level {
                    Level::Rows => 1,
                    Level::Quarters => QUARTER_MS,
                    Level::Days => DAY_MS,
                };
                prop_assert_eq!(segment.from_ms % step, 0);
                prop_assert_eq!(segment.until_ms % step, 0);
                prop_assert!(!wide || segment.level == Level::Rows);
                prop_assert!(segment.from_ms >= told as i64 || segment.level == Level::Rows);
            }
            prop_assert_eq!(at, (since + long) as i64);
        }
    }
}
