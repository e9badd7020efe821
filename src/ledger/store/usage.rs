//! Reads reports: the sums of each segment of a query.

use super::columns::{AT_FROM_ID_MAX, id_from};
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::measure::{Dimension, Measure};
use super::query::{Condition, Level, Query, Segment};
use super::report::{GROUPS_MAX, Parts, Report, sums};
use super::served;
use super::value::{Dialect, Sql, Type, Value};
use crate::units::UnixMillis;
use std::fmt::Write;
use std::sync::Arc;

/// One page of a report, all of it as of one moment.
pub async fn usage(pool: &Pool, query: &Query) -> Result<Report, StoreError> {
    Ok(parts(pool, query).await?.page(query)?)
}

/// All groups of a report, before order and pages.
pub async fn parts(pool: &Pool, query: &Query) -> Result<Parts, StoreError> {
    let mut tx = pool.read().await?;
    let parts = parts_in(&mut tx, query).await?;
    tx.rollback().await?;
    Ok(parts)
}

/// The longest that a call may last to be looked for among those that had not ended
/// at some time.
const LONGEST_MS: i64 = 24 * 60 * 60 * 1_000;

/// All groups of the calls of a report that ended before a time, as of one moment.
/// The report must not divide time.
pub async fn ended(
    pool: &Pool,
    query: &Query,
    ended_before: UnixMillis,
) -> Result<Parts, StoreError> {
    let mut tx = pool.read().await?;
    let mut parts = parts_in(&mut tx, query).await?;
    let cut = wide(ended_before);
    let segment = Segment {
        level: Level::Rows,
        from_ms: wide(query.since).max(cut.saturating_sub(LONGEST_MS)),
        until_ms: wide(query.until),
        period: None,
    };
    if segment.from_ms < segment.until_ms {
        let mut open = Parts::default();
        let mut sql = of_rows(&tx, Source::Calls, &segment, query);
        sql.push(" AND c.ended_at_ms >= ");
        sql.push_value(Value::Int(cut));
        collect(&mut tx, sql, &segment, query, &mut open).await?;
        parts.take_out(&open);
    }
    tx.rollback().await?;
    Ok(parts)
}

async fn parts_in(tx: &mut Tx, query: &Query) -> Result<Parts, StoreError> {
    let kept = kept(tx).await?;
    let rolled_up_from = if query.asks_who_served() {
        let span = (wide(query.since), wide(query.until));
        let from_ms = served::told_from(tx, span, wide(kept.quarters_from)).await?;
        UnixMillis(u64::try_from(from_ms).unwrap_or(0))
    } else {
        UnixMillis(0)
    };
    let segments = query.segments(rolled_up_from)?;
    for (level, from) in [
        (Level::Rows, kept.rows_from),
        (Level::Quarters, kept.quarters_from),
        (Level::Days, kept.days_from),
    ] {
        let mut of_level = segments.iter().filter(|segment| segment.level == level);
        if of_level.any(|segment| segment.from_ms < wide(from)) {
            return Err(match level {
                Level::Rows => StoreError::NotKept(from),
                Level::Quarters => StoreError::QuartersNotKept(from),
                Level::Days => StoreError::DaysNotKept(from),
            });
        }
    }
    let mut parts = Parts::default();
    for segment in &segments {
        match segment.level {
            Level::Quarters => {
                rolled_up(tx, "usage_quarter", segment, query, &mut parts).await?;
            }
            Level::Days => rolled_up(tx, "usage_day", segment, query, &mut parts).await?,
            Level::Rows => {
                for source in [Source::Calls, Source::Refusals, Source::Adjustments] {
                    rows(tx, source, segment, query, &mut parts).await?;
                }
            }
        }
    }
    Ok(parts)
}

/// What is before these times may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub rows_from: UnixMillis,
    /// Rollups.
    pub quarters_from: UnixMillis,
    pub days_from: UnixMillis,
}

pub async fn kept(tx: &mut Tx) -> Result<Kept, StoreError> {
    let sql = tx.sql("SELECT kept_from_ms, quarters_from_ms, days_from_ms FROM retention");
    let row = tx.fetch(sql, &[Type::Int; 3]).await?.pop();
    let mut times = row.into_iter().flatten().map(|value| match value {
        Value::Int(ms) => UnixMillis(u64::try_from(ms).unwrap_or(0)),
        _ => UnixMillis(0),
    });
    let mut next = || times.next().unwrap_or(UnixMillis(0));
    Ok(Kept {
        rows_from: next(),
        quarters_from: next(),
        days_from: next(),
    })
}

async fn rolled_up(
    tx: &mut Tx,
    table: &str,
    segment: &Segment,
    query: &Query,
    into: &mut Parts,
) -> Result<(), StoreError> {
    let mut sql = tx.sql("SELECT ");
    push_columns(&mut sql, "g", &query.group_by);
    for (at, measure) in Measure::ALL.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        push_sum(&mut sql, comma, &format!("r.{}", measure.as_str()));
    }
    // Of some tenants' groups through the index by group. SQLite, which knows no
    // statistics here, takes tables in the order of a cross join.
    let of_tenants = |only: &Condition| only.among && only.dimension == Dimension::Tenant;
    let from = match query.only.iter().any(of_tenants) {
        true => format!("usage_group g CROSS JOIN {table} r"),
        false => format!("{table} r JOIN usage_group g ON TRUE"),
    };
    sql.push(&format!(
        " FROM {from} WHERE r.group_key = g.group_key AND r.bucket_ms >= "
    ));
    sql.push_value(Value::Int(segment.from_ms));
    sql.push(" AND r.bucket_ms < ");
    sql.push_value(Value::Int(segment.until_ms));
    push_conditions(&mut sql, "g", &query.only);
    collect(tx, sql, segment, query, into).await
}

/// What rows a ragged end is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Calls,
    Refusals,
    Adjustments,
}

async fn rows(
    tx: &mut Tx,
    source: Source,
    segment: &Segment,
    query: &Query,
    into: &mut Parts,
) -> Result<(), StoreError> {
    let sql = of_rows(tx, source, segment, query);
    collect(tx, sql, segment, query, into).await
}

/// What a segment's rows are summed with, without groups.
fn of_rows(tx: &Tx, source: Source, segment: &Segment, query: &Query) -> Sql {
    let mut sql = tx.sql("SELECT ");
    push_columns(&mut sql, "c", &query.group_by);
    push_labels(&mut sql, &query.labels);
    for (at, measure) in Measure::ALL.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        push_sum(&mut sql, comma, &of_row(source, *measure));
    }
    sql.push(match source {
        Source::Calls => " FROM calls c WHERE ",
        Source::Refusals => " FROM refusals c WHERE ",
        Source::Adjustments => " FROM adjustments a JOIN calls c ON c.id = a.event_id WHERE ",
    });
    push_span(&mut sql, "c", segment.from_ms, segment.until_ms);
    if source == Source::Adjustments {
        // The same span again, for the table that has no time.
        sql.push(" AND ");
        push_ids(&mut sql, "a.event_id", segment.from_ms, segment.until_ms);
    }
    push_conditions(&mut sql, "c", &query.only);
    sql
}

/// What a row adds to a measure.
fn of_row(source: Source, measure: Measure) -> String {
    let text = match (source, measure) {
        (Source::Calls, Measure::Calls) | (Source::Refusals, Measure::Refused) => "1",
        (Source::Calls, Measure::Unpriced) => {
            "CASE WHEN c.cost_nanos IS NULL AND c.outcome <> 'void' THEN 1 ELSE 0 END"
        }
        (Source::Calls, Measure::Refused | Measure::AdjustmentNanos) => "0",
        (Source::Calls, measure) => return format!("COALESCE(c.{}, 0)", measure.as_str()),
        (Source::Adjustments, Measure::AdjustmentNanos) => "a.delta_nanos",
        _ => "0",
    };
    text.to_owned()
}

/// Groups, reads and adds to the parts of the report.
async fn collect(
    tx: &mut Tx,
    mut sql: Sql,
    segment: &Segment,
    query: &Query,
    into: &mut Parts,
) -> Result<(), StoreError> {
    let names = query.names_len();
    for at in 1..=names {
        sql.push(if at == 1 { " GROUP BY " } else { ", " });
        sql.push(&at.to_string());
    }
    // Writing to a string can't fail.
    let _ = write!(sql.text, " LIMIT {}", GROUPS_MAX + 1);
    let mut types = vec![Type::Text; names];
    types.extend([Type::Int; Measure::ALL.len()]);
    for mut row in tx.fetch(sql, &types).await? {
        let numbers = row.split_off(names.min(row.len()));
        let names = row.into_iter().map(|value| match value {
            Value::Text(name) => Some(name),
            _ => None,
        });
        let sums = sums(numbers.into_iter().map(|value| match value {
            Value::Int(number) => number,
            _ => 0,
        }));
        into.add(segment.period, names.collect(), &sums)?;
    }
    Ok(())
}

fn push_columns(sql: &mut Sql, alias: &str, dimensions: &[Dimension]) {
    for dimension in dimensions {
        sql.push(&format!("{alias}.{}, ", dimension.column()));
    }
}

/// What rows say of some labels. Their names are bound, whatever they are.
fn push_labels(sql: &mut Sql, labels: &[Arc<str>]) {
    for label in labels {
        let (before, after) = match sql.dialect() {
            Dialect::Sqlite => ("(SELECT value FROM json_each(c.labels) WHERE key = ", "), "),
            Dialect::Postgres => ("(c.labels::json ->> CAST(", " AS TEXT)), "),
        };
        sql.push(before);
        sql.push_value(Value::text(Some(label)));
        sql.push(after);
    }
}

fn push_sum(sql: &mut Sql, comma: &str, what: &str) {
    sql.push(&format!("{comma}CAST(COALESCE(SUM({what}), 0) AS BIGINT)"));
}

/// Rows of a span of time: found by their ids, told by their time.
pub fn push_span(sql: &mut Sql, alias: &str, from_ms: i64, until_ms: i64) {
    push_ids(sql, &format!("{alias}.id"), from_ms, until_ms);
    sql.push(&format!(" AND {alias}.at_ms >= "));
    sql.push_value(Value::Int(from_ms));
    sql.push(&format!(" AND {alias}.at_ms < "));
    sql.push_value(Value::Int(until_ms));
}

fn push_ids(sql: &mut Sql, column: &str, from_ms: i64, until_ms: i64) {
    let at = |ms: i64| UnixMillis(u64::try_from(ms).unwrap_or(0));
    sql.push(&format!("{column} >= "));
    sql.push_value(Value::Id(id_from(at(from_ms) - AT_FROM_ID_MAX)));
    // Ids as large as there are have no bound above them.
    let until = at(until_ms) + AT_FROM_ID_MAX + crate::units::Millis(1);
    if until.0 < 1 << 48 {
        sql.push(&format!(" AND {column} < "));
        sql.push_value(Value::Id(id_from(until)));
    }
}

/// ` AND ...` for each condition. An absent name is among names or not, as any
/// other; SQL's own comparison would let it be neither.
pub fn push_conditions(sql: &mut Sql, alias: &str, conditions: &[Condition]) {
    for condition in conditions {
        let column = format!("{alias}.{}", condition.dimension.column());
        let absent = condition.names.iter().any(Option::is_none);
        let names = condition.names.iter().flatten();
        let mut names = names.map(|name| Value::text(Some(name))).peekable();
        sql.push(if condition.among {
            " AND ("
        } else {
            " AND NOT ("
        });
        if names.peek().is_none() {
            sql.push("FALSE");
        } else {
            // In this form an index is of use.
            let not_absent = if condition.among {
                String::new()
            } else {
                format!("{column} IS NOT NULL AND ")
            };
            sql.push(&format!("{not_absent}{column} IN "));
            sql.push_tuple(names);
        }
        if absent {
            sql.push(&format!(" OR {column} IS NULL"));
        }
        sql.push(")");
    }
}

fn wide(at: UnixMillis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
