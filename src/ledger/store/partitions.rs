//! PostgreSQL's partitions: a month (UTC) of ids each, of `calls` and
//! `refusals`.
//!
//! They are made when the store is opened, for this month and the next, and by
//! whoever has a row that falls into none. Always holds: the same id falls into
//! the same partition, whoever writes it and whenever.

use super::columns::id_from;
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::migrations::lock;
use super::value::{Type, Value};
use super::write::TABLES;
use crate::limits::HoldId;
use crate::units::UnixMillis;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::collections::BTreeSet;

/// The years that have partitions of months. Ids of other times are of clocks
/// that are far off; they go to partitions that are always there (`_early` and
/// `_late`, see the tables' SQL).
const YEARS: std::ops::Range<i16> = 2020..2100;

/// Makes what these ids need, unless it is there.
pub async fn ensure(pool: &Pool, ids: impl Iterator<Item = HoldId>) -> Result<(), StoreError> {
    let months: BTreeSet<Date> = ids.filter_map(|id| month(id.made_at())).collect();
    make(pool, months).await
}

/// Makes this month's, by the server's clock, and the next one's.
pub async fn ahead(pool: &Pool) -> Result<(), StoreError> {
    let mut tx = pool.read().await?;
    let now = tx.sql("SELECT ").and(tx.now_ms());
    let now = tx.number(now).await?;
    tx.rollback().await?;
    let this = month(UnixMillis(u64::try_from(now).unwrap_or(0)));
    let next = this.and_then(|month| month.checked_add(1.month()).ok());
    make(pool, this.into_iter().chain(next).collect()).await
}

/// The first day of a moment's month, if it has a partition.
fn month(at: UnixMillis) -> Option<Date> {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    let first = at.to_zoned(TimeZone::UTC).date().first_of_month();
    YEARS.contains(&first.year()).then_some(first)
}

async fn make(pool: &Pool, months: BTreeSet<Date>) -> Result<(), StoreError> {
    let Pool::Postgres(_) = pool else {
        return Ok(());
    };
    // One transaction a month, so that the lock on the tables is short.
    for month in months {
        let mut tx = pool.write().await?;
        lock(&mut tx).await?;
        for table in TABLES {
            make_one(&mut tx, table, month).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Made beside the table and then attached, which lets others read and write it
/// meanwhile.
async fn make_one(tx: &mut Tx, table: &str, month: Date) -> Result<(), StoreError> {
    let name = name(table, month);
    let there = tx.sql("SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass(");
    let there = there.bind(Value::Text(name.clone())).and(")");
    if tx.number(there).await? > 0 {
        return Ok(());
    }
    let (from, until) = (bound(month), bound(after(month)));
    tx.script(&format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS); \
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{until}')"
    ))
    .await
}

fn name(table: &str, month: Date) -> String {
    format!("{table}_{:04}_{:02}", month.year(), month.month())
}

fn after(month: Date) -> Date {
    month.checked_add(1.month()).unwrap_or(Date::MAX)
}

/// The time that a month begins.
fn begin(month: Date) -> UnixMillis {
    let begin = month.to_zoned(TimeZone::UTC).map(|at| at.timestamp());
    let ms = begin.map_or(0, Timestamp::as_millisecond);
    UnixMillis(u64::try_from(ms).unwrap_or(0))
}

/// The first id of a month.
fn bound(month: Date) -> uuid::Uuid {
    id_from(begin(month))
}

/// A partition of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    pub until: UnixMillis,
}

/// The partitions of months of a table, the oldest first.
pub async fn all(tx: &mut Tx, table: &str) -> Result<Vec<Partition>, StoreError> {
    let sql = tx.sql(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = to_regclass(",
    );
    let sql = sql.bind(Value::Text(table.to_owned())).and(") ORDER BY 1");
    let names = tx.fetch(sql, &[Type::Text]).await?;
    let names = names.into_iter().flatten().filter_map(|value| match value {
        Value::Text(name) => Some(name),
        _ => None,
    });
    Ok(names.filter_map(|name| parse(table, name)).collect())
}

fn parse(table: &str, name: String) -> Option<Partition> {
    let month = name.strip_prefix(table)?.strip_prefix('_')?;
    let (year, month) = month.split_once('_')?;
    let month = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
    let until = begin(after(month));
    Some(Partition { name, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_meet_and_have_a_name_that_says_which() {
        let date = |y, m| Date::new(y, m, 1).unwrap();
        assert_eq!(
            bound(date(2020, 1)).to_string(),
            "016f5e66-e800-0000-0000-000000000000"
        );
        assert_eq!(
            bound(date(2100, 1)).to_string(),
            "03bb2cc3-d800-0000-0000-000000000000"
        );
        assert_eq!(name("calls", date(2026, 3)), "calls_2026_03");
        let parsed = parse("calls", "calls_2026_03".into()).unwrap();
        assert_eq!(parsed.until, begin(date(2026, 4)));
        assert_eq!(parse("calls", "calls_early".into()), None);
        let last = UnixMillis(begin(date(2026, 4)).0 - 1);
        assert_eq!(month(last), Some(date(2026, 3)));
        assert_eq!(month(begin(date(2026, 4))), Some(date(2026, 4)));
        assert_eq!(month(UnixMillis(0)), None);
        assert_eq!(month(UnixMillis(u64::MAX)), None);
    }
}
