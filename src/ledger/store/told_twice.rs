//! Calls that are told of as refused and as let through.
//!
//! A counter store that doesn't answer in time may have taken what a call was
//! refused for then. If nobody can tell it so before the hold expires, it hands
//! the hold over as an open call, which is recorded under the same id. Tables
//! keep ids apart by themselves, but refusals have one of their own.
//!
//! Always holds: of two such rows the first counts, whichever it is, but for two
//! sidecars that deliver them at the same moment.

use super::engine::Tx;
use super::error::StoreError;
use super::value::{Type, Value};
use super::write::{TABLES, table_of};
use crate::exchange::event::{Known, Outcome};
use crate::ledger::row::Row;
use std::collections::HashMap;
use uuid::Uuid;

/// Parts rows from those whose id is of another row in the other table, there
/// or before them in the batch.
pub async fn part<'a>(
    tx: &mut Tx,
    rows: &'a [Row],
) -> Result<(Vec<&'a Row>, Vec<&'a Row>), StoreError> {
    let [calls, refusals] = TABLES;
    let mut told: HashMap<Uuid, &str> = HashMap::new();
    for (table, other) in [(calls, refusals), (refusals, calls)] {
        let of_table = |row: &&Row| table_of(row) == table && may_be(row);
        let ids = rows.iter().filter(of_table).map(|row| row.event.id.0);
        let there = ids_in(tx, other, ids.collect()).await?;
        told.extend(there.into_iter().map(|id| (id, other)));
    }
    let own = |row: &&Row| {
        let table = table_of(row);
        *told.entry(row.event.id.0).or_insert(table) == table
    };
    Ok(rows.iter().partition(own))
}

/// What expired or was interrupted may have been refused before.
fn may_be(row: &Row) -> bool {
    row.event.outcome == Outcome::Refused || row.event.known == Some(Known::Reserved)
}

/// Which of these ids a table has.
async fn ids_in(tx: &mut Tx, table: &str, ids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
    const IDS: usize = 256;
    let mut there = Vec::new();
    for ids in ids.chunks(IDS) {
        let mut sql = tx.sql("SELECT id FROM ").and(table).and(" WHERE id IN ");
        sql.push_tuple(ids.iter().copied().map(Value::Id));
        let rows = tx.fetch(sql, &[Type::Id]).await?;
        let ids = rows.into_iter().flatten().filter_map(|value| match value {
            Value::Id(id) => Some(id),
            _ => None,
        });
        there.extend(ids);
    }
    Ok(there)
}
