//! Drops rows that are old enough: whole partitions of PostgreSQL, small batches
//! of SQLite; and, each by itself, rollups and what was set aside.
//!
//! Rollups outlive rows: reports on whole quarters of an hour are as before, and
//! once those are dropped, reports on whole days (UTC). Of each chain the last
//! dropped row's place is kept, from where what is left can be verified.
//! Corrections of dropped calls go with them. The names of groups stay: there are
//! few, and whoever writes takes them to be there.
//!
//! Always holds: what is no longer whole is said first, so that no report counts
//! on it.

use super::columns::{AT_FROM_ID_MAX, id_from};
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::migrations::lock;
use super::partitions;
use super::rollup::DAY_MS;
use super::usage::kept;
use super::value::{Dialect, Sql, Type, Value};
use super::write::TABLES;
use crate::ledger::row::ChainId;
use crate::units::UnixMillis;
use std::collections::HashMap;

/// Sums that are dropped by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    Quarters,
    Days,
}

/// The rows of one deletion: others wait for it some tens of milliseconds.
const DELETED_ROWS: usize = 2_000;

/// Drops rows of calls that began before this time: SQLite all of them,
/// PostgreSQL those of whole months. Gives the time from which all are kept.
pub async fn drop_before(pool: &Pool, before: UnixMillis) -> Result<UnixMillis, StoreError> {
    match pool.dialect() {
        Dialect::Sqlite => {
            let kept_from = keep_from(pool, before).await?;
            for table in TABLES {
                while delete_some(pool, table, before).await? {}
            }
            while forget_some(pool, before).await? {}
            Ok(kept_from)
        }
        Dialect::Postgres => drop_partitions(pool, before).await,
    }
}

/// A call's time may lie a little after its id's.
async fn keep_from(pool: &Pool, before: UnixMillis) -> Result<UnixMillis, StoreError> {
    let mut tx = pool.write().await?;
    let kept_from = set_kept_from(&mut tx, before).await?;
    tx.commit().await?;
    Ok(kept_from)
}

async fn set_kept_from(tx: &mut Tx, before: UnixMillis) -> Result<UnixMillis, StoreError> {
    let from = before + AT_FROM_ID_MAX;
    let from = i64::try_from(from.0).unwrap_or(i64::MAX);
    let sql = tx
        .sql("UPDATE retention SET kept_from_ms = ")
        .bind(Value::Int(from))
        .and(" WHERE kept_from_ms < ")
        .bind(Value::Int(from));
    tx.execute(sql).await?;
    Ok(kept(tx).await?.rows_from)
}

/// Whether there may be more.
async fn delete_some(pool: &Pool, table: &str, before: UnixMillis) -> Result<bool, StoreError> {
    let mut tx = pool.write().await?;
    let sql = tx
        .sql(&format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE id < "
        ))
        .bind(Value::Id(id_from(before)))
        .and(&format!(
            " ORDER BY id LIMIT {DELETED_ROWS}) RETURNING chain, sequence, hash"
        ));
    let rows = tx.fetch(sql, &LINK).await?;
    let more = rows.len() == DELETED_ROWS;
    let mut last: HashMap<ChainId, (i64, Value)> = HashMap::new();
    for row in rows {
        let Ok([Value::Id(chain), Value::Int(sequence), hash]) = <[Value; 3]>::try_from(row) else {
            continue;
        };
        let place = last.entry(chain).or_insert((sequence, hash.clone()));
        if sequence > place.0 {
            *place = (sequence, hash);
        }
    }
    for (chain, (sequence, hash)) in last {
        dropped_to(&mut tx, chain, sequence, hash).await?;
    }
    tx.commit().await?;
    Ok(more)
}

/// `chain, sequence, hash`.
const LINK: [Type; 3] = [Type::Id, Type::Int, Type::Bytes];

async fn dropped_to(
    tx: &mut Tx,
    chain: ChainId,
    sequence: i64,
    hash: Value,
) -> Result<(), StoreError> {
    let sql = tx
        .sql("UPDATE chains SET dropped_sequence = ")
        .bind(Value::Int(sequence))
        .and(", dropped_hash = ")
        .bind(hash)
        .and(" WHERE chain = ")
        .bind(Value::Id(chain))
        .and(" AND dropped_sequence < ")
        .bind(Value::Int(sequence));
    tx.execute(sql).await.map(drop)
}

/// Corrections of calls that are gone. Whether there may be more.
async fn forget_some(pool: &Pool, before: UnixMillis) -> Result<bool, StoreError> {
    let mut tx = pool.write().await?;
    let sql = tx
        .sql(
            "DELETE FROM adjustments WHERE (event_id, run_id) IN \
             (SELECT event_id, run_id FROM adjustments WHERE event_id < ",
        )
        .bind(Value::Id(id_from(before)))
        .and(&format!(" ORDER BY event_id, run_id LIMIT {DELETED_ROWS})"));
    let gone = tx.execute(sql).await?;
    tx.commit().await?;
    Ok(usize::try_from(gone).is_ok_and(|gone| gone >= DELETED_ROWS))
}

async fn drop_partitions(pool: &Pool, before: UnixMillis) -> Result<UnixMillis, StoreError> {
    let mut until = None;
    for table in TABLES {
        let mut tx = pool.read().await?;
        let all = partitions::all(&mut tx, table).await?;
        tx.rollback().await?;
        for partition in all.into_iter().filter(|p| p.until <= before) {
            drop_one(pool, table, &partition).await?;
            until = until.max(Some(partition.until));
        }
    }
    if let Some(until) = until {
        while forget_some(pool, until).await? {}
    }
    let mut tx = pool.read().await?;
    let kept = kept(&mut tx).await?;
    tx.rollback().await?;
    Ok(kept.rows_from)
}

/// Where its rows' chains end is noted in the transaction that drops them.
async fn drop_one(
    pool: &Pool,
    table: &str,
    partition: &partitions::Partition,
) -> Result<(), StoreError> {
    let mut tx = pool.write().await?;
    lock(&mut tx).await?;
    let there = partitions::all(&mut tx, table).await?;
    if !there.contains(partition) {
        return tx.rollback().await;
    }
    let name = &partition.name;
    // Nobody may add a row to it after its last ones were noted.
    tx.script(&format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        .await?;
    set_kept_from(&mut tx, partition.until).await?;
    let last = tx.sql(&format!(
        "SELECT c.chain, p.sequence, p.hash FROM chains c CROSS JOIN LATERAL \
         (SELECT sequence, hash FROM {name} WHERE chain = c.chain \
          ORDER BY sequence DESC LIMIT 1) p"
    ));
    for row in tx.fetch(last, &LINK).await? {
        if let Ok([Value::Id(chain), Value::Int(sequence), hash]) = <[Value; 3]>::try_from(row) {
            dropped_to(&mut tx, chain, sequence, hash).await?;
        }
    }
    tx.script(&format!("DROP TABLE {name}")).await?;
    tx.commit().await
}

/// Drops the sums of whole days before this time. Gives the time from which they
/// are kept.
pub async fn drop_rollups_before(
    pool: &Pool,
    rollup: Rollup,
    before: UnixMillis,
) -> Result<UnixMillis, StoreError> {
    let (table, from) = match rollup {
        Rollup::Quarters => ("usage_quarter", "quarters_from_ms"),
        Rollup::Days => ("usage_day", "days_from_ms"),
    };
    let before = i64::try_from(before.0).unwrap_or(i64::MAX);
    let before = Value::Int(before - before.rem_euclid(DAY_MS));
    let mut tx = pool.write().await?;
    let sql = tx.sql(&format!("UPDATE retention SET {from} = "));
    let sql = sql.bind(before.clone());
    let sql = sql.and(&format!(" WHERE {from} < ")).bind(before.clone());
    tx.execute(sql).await?;
    let kept = kept(&mut tx).await?;
    tx.commit().await?;
    let condition = |sql: Sql| sql.and("bucket_ms < ").bind(before.clone());
    while delete(pool, table, "bucket_ms, group_key", condition).await? > 0 {}
    Ok(match rollup {
        Rollup::Quarters => kept.quarters_from,
        Rollup::Days => kept.days_from,
    })
}

/// Drops what was set aside before this time and is before what is kept of its
/// chain.
pub async fn drop_set_aside_before(pool: &Pool, before: UnixMillis) -> Result<u64, StoreError> {
    let before = Value::Int(i64::try_from(before.0).unwrap_or(i64::MAX));
    let condition = |sql: Sql| {
        sql.and("set_aside_at_ms < ").bind(before.clone()).and(
            " AND sequence <= (SELECT c.dropped_sequence FROM chains c \
             WHERE c.chain = set_aside.chain)",
        )
    };
    let mut dropped = 0;
    loop {
        match delete(pool, "set_aside", "chain, sequence", condition).await? {
            0 => return Ok(dropped),
            some => dropped += some,
        }
    }
}

/// Deletes some of the rows that a condition holds of; how many.
async fn delete(
    pool: &Pool,
    table: &str,
    key: &str,
    condition: impl Fn(Sql) -> Sql,
) -> Result<u64, StoreError> {
    let mut tx = pool.write().await?;
    let sql = tx.sql(&format!(
        "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE "
    ));
    let sql = condition(sql).and(&format!(" ORDER BY {key} LIMIT {DELETED_ROWS})"));
    let gone = tx.execute(sql).await?;
    tx.commit().await?;
    Ok(gone)
}
