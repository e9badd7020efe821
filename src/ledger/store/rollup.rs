//! Rollups: sums by quarter of an hour and by day, kept with each batch.
//!
//! Two levels of time and one of dimensions:
//! - **Quarters of an hour** begin every hour and day of every time zone in use,
//!   so any zone's day is a sum of whole ones; **days** (UTC) make a month 30
//!   rows a group instead of 2 880.
//! - Both tell apart tenant, project, environment, plan, model, provider,
//!   endpoint, outcome and the model that served: a set that grows with what is
//!   configured, not with traffic ([`super::served`] bounds the names that it
//!   doesn't configure). User and key aren't told apart: a quarter of an hour of
//!   one user is often one call, so such rollups would be as large as the rows
//!   and cost more to keep than the rows themselves. Reports by them read rows,
//!   found by tenant and time through an index.
//!
//! A group's names stand once, in `usage_group`, under a hash of them; absent
//! names stay absent. Rollups outlive the rows (`retention`).
//!
//! Always holds: a rollup is the sum of the rows that were really inserted and
//! of their adjustments, as both are written in one transaction.

use super::columns::at;
use super::measure::{Dimension, Measure, Sums};
use super::value::{Type, Value};
use crate::exchange::UsageEvent;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// 15 minutes in milliseconds.
pub const QUARTER_MS: i64 = 15 * 60 * 1_000;
/// 24 hours in milliseconds.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The names of a group, in the order of [`Dimension::OF_ROLLUPS`].
pub type Names = [Option<String>; Dimension::OF_ROLLUPS.len()];

/// A group of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub names: Names,
    /// Whether it is of one model that served; else of any.
    pub tells_served: bool,
}

/// What a batch adds. Sorted, so that two writers lock rows in the same order.
#[derive(Debug, Default)]
pub struct Deltas {
    pub groups: BTreeMap<Uuid, Group>,
    pub quarters: BTreeMap<(i64, Uuid), Sums>,
}

/// A sum that a column can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl Deltas {
    /// Adds what an event, or a correction of it, is worth.
    pub fn add(&mut self, event: &UsageEvent, tells_served: bool, sums: &Sums) {
        let key = key(event, tells_served);
        self.groups
            .entry(key)
            .or_insert_with(|| group(event, tells_served));
        let at_ms = i64::try_from(at(event).0).unwrap_or(i64::MAX);
        let bucket = at_ms - at_ms.rem_euclid(QUARTER_MS);
        self.quarters.entry((bucket, key)).or_default().merge(sums);
    }

    /// The same by day.
    pub fn days(&self) -> BTreeMap<(i64, Uuid), Sums> {
        let mut days: BTreeMap<(i64, Uuid), Sums> = BTreeMap::new();
        for ((quarter, key), sums) in &self.quarters {
            let day = quarter - quarter.rem_euclid(DAY_MS);
            days.entry((day, *key)).or_default().merge(sums);
        }
        days
    }
}

/// A row of a rollup's table: bucket, group, and every measure.
///
/// # Errors
/// [`Overflow`].
pub fn values((bucket, key): (i64, Uuid), sums: &Sums) -> Result<Vec<Value>, Overflow> {
    let mut values = vec![Value::Int(bucket), Value::Id(key)];
    for measure in Measure::ALL {
        let sum = i64::try_from(sums.get(measure)).map_err(|_| Overflow)?;
        values.push(Value::Int(sum));
    }
    Ok(values)
}

/// A row of `usage_group`.
pub fn group_values(key: Uuid, group: &Group) -> Vec<Value> {
    let names = group.names.iter().map(|name| match name {
        Some(name) => Value::Text(name.clone()),
        None => Value::Null(Type::Text),
    });
    [Value::Id(key), Value::Bool(group.tells_served)]
        .into_iter()
        .chain(names)
        .collect()
}

/// The names of a group.
fn told(tells_served: bool) -> impl Iterator<Item = Dimension> {
    let of_all = move |dimension: &Dimension| tells_served || *dimension != Dimension::ModelServed;
    Dimension::OF_ROLLUPS.into_iter().filter(of_all)
}

/// The first half of the SHA-256 of the names, each with its length before it.
fn key(event: &UsageEvent, tells_served: bool) -> Uuid {
    let mut sha = Sha256::new();
    for dimension in told(tells_served) {
        match dimension.of(event) {
            None => sha.update([0]),
            Some(name) => {
                sha.update([1]);
                sha.update((name.len() as u64).to_be_bytes());
                sha.update(name);
            }
        }
    }
    let hash: [u8; 32] = sha.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(half)
}

fn group(event: &UsageEvent, tells_served: bool) -> Group {
    let mut names = Names::default();
    for (name, dimension) in names.iter_mut().zip(told(tells_served)) {
        *name = dimension.of(event).map(str::to_owned);
    }
    Group {
        names,
        tells_served,
    }
}
