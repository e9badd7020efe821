//! Takes batches in: rows, rollups and the heads of chains in one transaction.
//!
//! A batch is written as if all its rows were new, the fastest way there is; if
//! one isn't (a replay after a crash, or another sidecar's row of the same id),
//! everything is rolled back and written again, row by row as far as ids are
//! concerned. Which rows really went in decides what the rollups get.
//!
//! Always holds: of two rows with one id the first counts. The other, if it
//! isn't the same row once more, is set aside, as its chain needs it.

use super::aside;
use super::columns::{self, COLUMNS, Columns};
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::known::Known;
use super::measure::{Dimension, Measure, Sums};
use super::partitions;
use super::rollup::{self, Deltas};
use super::told_twice;
use super::value::{Type, Value};
use crate::exchange::event::Outcome;
use crate::ledger::faults::die;
use crate::ledger::row::{ChainId, Hash, Link, Row};
use crate::ledger::wire;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// Why a row that lost its id to another is set aside.
pub const SAME_ID: &str = "another row has its id";

/// Where rows go by their outcome.
pub const TABLES: [&str; 2] = ["calls", "refusals"];

/// Writes a batch, and commits it if it is meant.
pub async fn write(
    pool: &Pool,
    known: &Known,
    rows: &[Row],
    commit: bool,
) -> Result<(), StoreError> {
    let done = match attempt(pool, known, rows, Manner::AllNew, commit).await {
        Err(StoreError::Unpartitioned) => {
            partitions::ensure(pool, rows.iter().map(|row| row.event.id)).await?;
            attempt(pool, known, rows, Manner::AllNew, commit).await
        }
        done => done,
    };
    match done {
        Err(StoreError::Taken) => attempt(pool, known, rows, Manner::SomeNew, commit).await,
        done => done,
    }
}

/// Writes a row that was set aside, and takes it out there. `false`: it is still
/// there, as another row has its id.
pub async fn again(pool: &Pool, known: &Known, row: &Row) -> Result<bool, StoreError> {
    partitions::ensure(pool, std::iter::once(row.event.id)).await?;
    let mut tx = pool.write().await?;
    if !aside::take_out(&mut tx, row).await? {
        tx.rollback().await?;
        return Ok(true);
    }
    let rows = std::slice::from_ref(row);
    let groups = write_in(&mut tx, known, rows, Manner::SomeNew).await?;
    let mut still = tx.sql("SELECT COUNT(*) FROM set_aside WHERE event_id = ");
    still.push_value(Value::Id(row.event.id.0));
    still.push(" AND chain = ");
    still.push_value(Value::Id(row.link.chain));
    let is_taken = tx.number(still).await? == 0;
    tx.commit().await?;
    known.add(groups);
    Ok(is_taken)
}

/// Sets a row aside.
pub async fn set_aside(pool: &Pool, row: &Row, why: &str) -> Result<(), StoreError> {
    let mut tx = pool.write().await?;
    insert_aside(&mut tx, &[row], why).await?;
    move_heads(&mut tx, std::slice::from_ref(row)).await?;
    tx.commit().await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    AllNew,
    SomeNew,
}

async fn attempt(
    pool: &Pool,
    known: &Known,
    rows: &[Row],
    manner: Manner,
    commit: bool,
) -> Result<(), StoreError> {
    let mut tx = pool.write().await?;
    let groups = match write_in(&mut tx, known, rows, manner).await {
        Ok(groups) => groups,
        Err(error) => {
            tx.give_up().await;
            return Err(error);
        }
    };
    if commit {
        die("die::uncommitted");
        tx.commit().await?;
        known.add(groups);
        Ok(())
    } else {
        tx.rollback().await
    }
}

/// Writes rows, what they add up to, and the heads of their chains; gives the
/// groups that are known once this is committed.
async fn write_in(
    tx: &mut Tx,
    known: &Known,
    rows: &[Row],
    manner: Manner,
) -> Result<Vec<Uuid>, StoreError> {
    let mut deltas = Deltas::default();
    let (told, lost) = told_twice::part(tx, rows).await?;
    insert_aside(tx, &lost, SAME_ID).await?;
    for table in TABLES {
        let of_table = |row: &&Row| table_of(row) == table;
        let rows: Vec<&Row> = told.iter().copied().filter(of_table).collect();
        if rows.is_empty() {
            continue;
        }
        match manner {
            Manner::AllNew => insert_all(tx, table, &rows, known, &mut deltas).await?,
            Manner::SomeNew => {
                for row in insert_new(tx, table, &rows).await? {
                    add(&mut deltas, known, row);
                }
            }
        }
    }
    let groups = known.retain_new(&deltas);
    add_groups(tx, &deltas, &groups).await?;
    add_up(tx, &deltas).await?;
    move_heads(tx, rows).await?;
    Ok(groups)
}

/// Where a row goes.
pub fn table_of(row: &Row) -> &'static str {
    let [calls, refusals] = TABLES;
    if row.event.outcome == Outcome::Refused {
        refusals
    } else {
        calls
    }
}

async fn insert_all(
    tx: &mut Tx,
    table: &str,
    rows: &[&Row],
    known: &Known,
    deltas: &mut Deltas,
) -> Result<(), StoreError> {
    let mut add = |row: &Row| add(deltas, known, row);
    match tx {
        Tx::Postgres(remote) => super::copy::rows(remote, table, rows, add).await,
        Tx::Sqlite(_) => {
            rows.iter().for_each(|row| add(row));
            let values = rows.iter().map(|row| values(row)).collect();
            tx.insert(&into(table), values, "", &[]).await.map(drop)
        }
    }
}

fn add(deltas: &mut Deltas, known: &Known, row: &Row) {
    let event = &row.event;
    let tells_served = known.tells_served(event.model_served.as_deref());
    deltas.add(event, tells_served, &Sums::of(event));
}

/// Gives those that went in.
async fn insert_new<'a>(
    tx: &mut Tx,
    table: &str,
    rows: &[&'a Row],
) -> Result<Vec<&'a Row>, StoreError> {
    // Sorted, so that two writers wait for each other and not in a circle.
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.event.id);
    let all = rows.iter().map(|row| values(row)).collect();
    let after = "ON CONFLICT (id) DO NOTHING RETURNING id, chain, sequence";
    let went_in = tx.insert(&into(table), all, after, &PLACE).await?;
    let went_in: Vec<_> = went_in.into_iter().map(place).collect();
    let went_in: HashSet<_> = went_in.into_iter().flatten().collect();
    let (new, others): (Vec<&Row>, Vec<&Row>) = rows
        .into_iter()
        .partition(|row| went_in.contains(&(row.event.id.0, row.link.chain, row.link.sequence)));
    let there = links(tx, table, &others).await?;
    let lost: Vec<&Row> = others
        .into_iter()
        .filter(|row| there.get(&row.event.id.0) != Some(&row.link))
        .collect();
    insert_aside(tx, &lost, SAME_ID).await?;
    Ok(new)
}

/// `id, chain, sequence`.
const PLACE: [Type; 3] = [Type::Id, Type::Id, Type::Int];

fn place(values: Vec<Value>) -> Option<(Uuid, ChainId, u64)> {
    match values.as_slice() {
        [Value::Id(id), Value::Id(chain), Value::Int(sequence)] => {
            Some((*id, *chain, u64::try_from(*sequence).ok()?))
        }
        _ => None,
    }
}

/// The links of the rows that have these rows' ids.
async fn links(tx: &mut Tx, table: &str, rows: &[&Row]) -> Result<HashMap<Uuid, Link>, StoreError> {
    const IDS: usize = 256;
    let mut links = HashMap::new();
    for rows in rows.chunks(IDS) {
        let mut sql = tx.sql("SELECT id, chain, sequence, hash FROM ");
        sql.push(table);
        sql.push(" WHERE id IN ");
        sql.push_tuple(rows.iter().map(|row| Value::Id(row.event.id.0)));
        let types = [Type::Id, Type::Id, Type::Int, Type::Bytes];
        for mut values in tx.fetch(sql, &types).await? {
            let hash = match values.pop() {
                Some(Value::Bytes(hash)) => Hash::try_from(hash.as_slice()).unwrap_or_default(),
                _ => Hash::default(),
            };
            if let Some((id, chain, sequence)) = place(values) {
                let link = Link {
                    chain,
                    sequence,
                    hash,
                };
                links.insert(id, link);
            }
        }
    }
    Ok(links)
}

async fn insert_aside(tx: &mut Tx, rows: &[&Row], why: &str) -> Result<(), StoreError> {
    let why = why.replace('\0', " ");
    for row in rows {
        let mut sql = tx.sql(
            "INSERT INTO set_aside (chain, sequence, event_id, why, wire, set_aside_at_ms) VALUES (",
        );
        for value in [
            Value::Id(row.link.chain),
            Value::Int(i64::try_from(row.link.sequence).unwrap_or(i64::MAX)),
            Value::Id(row.event.id.0),
            Value::Text(why.clone()),
            Value::Bytes(wire::encode(row)),
        ] {
            sql.push_value(value);
            sql.push(", ");
        }
        sql.push(tx.now_ms());
        sql.push(") ON CONFLICT (chain, sequence) DO NOTHING");
        tx.execute(sql).await?;
    }
    Ok(())
}

/// Writes these groups' names, unless they are there.
pub async fn add_groups(tx: &mut Tx, deltas: &Deltas, keys: &[Uuid]) -> Result<(), StoreError> {
    let row = |key: &Uuid| Some(rollup::group_values(*key, deltas.groups.get(key)?));
    let groups = keys.iter().filter_map(row).collect();
    let names: Vec<&str> = Dimension::OF_ROLLUPS.iter().map(|d| d.column()).collect();
    let into = format!(
        "usage_group (group_key, tells_served, {})",
        names.join(", ")
    );
    let after = "ON CONFLICT (group_key) DO NOTHING";
    tx.insert(&into, groups, after, &[]).await.map(drop)
}

/// Adds to the rollups.
pub async fn add_up(tx: &mut Tx, deltas: &Deltas) -> Result<(), StoreError> {
    add_to(tx, "usage_quarter", &deltas.quarters).await?;
    add_to(tx, "usage_day", &deltas.days()).await
}

async fn add_to(
    tx: &mut Tx,
    table: &str,
    sums: &BTreeMap<(i64, Uuid), Sums>,
) -> Result<(), StoreError> {
    let rows: Result<Vec<_>, _> = sums
        .iter()
        .map(|(key, sums)| rollup::values(*key, sums))
        .collect();
    let rows = rows.map_err(|_| StoreError::Large)?;
    let measures: Vec<&str> = Measure::ALL.iter().map(|m| m.as_str()).collect();
    let into = format!("{table} (bucket_ms, group_key, {})", measures.join(", "));
    let sums: Vec<String> = measures
        .iter()
        .map(|m| format!("{m} = {table}.{m} + excluded.{m}"))
        .collect();
    let after = format!(
        "ON CONFLICT (bucket_ms, group_key) DO UPDATE SET {}",
        sums.join(", ")
    );
    tx.insert(&into, rows, &after, &[]).await.map(drop)
}

/// Moves the head of each chain to the last of these rows, unless it is farther.
async fn move_heads(tx: &mut Tx, rows: &[Row]) -> Result<(), StoreError> {
    let mut heads: BTreeMap<ChainId, Link> = BTreeMap::new();
    // A number beyond a column is in a row that was set aside for it.
    let fitting = |row: &&Row| i64::try_from(row.link.sequence).is_ok();
    for row in rows.iter().filter(fitting) {
        let head = heads.entry(row.link.chain).or_insert(row.link);
        if row.link.sequence > head.sequence {
            *head = row.link;
        }
    }
    for (chain, link) in heads {
        let mut sql = tx.sql("INSERT INTO chains (chain, sequence, hash, written_at_ms) VALUES (");
        for value in [
            Value::Id(chain),
            Value::Int(i64::try_from(link.sequence).unwrap_or(i64::MAX)),
            Value::Bytes(link.hash.to_vec()),
        ] {
            sql.push_value(value);
            sql.push(", ");
        }
        sql.push(tx.now_ms());
        sql.push(
            ") ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, \
             hash = excluded.hash, written_at_ms = excluded.written_at_ms \
             WHERE excluded.sequence > chains.sequence",
        );
        tx.execute(sql).await?;
    }
    Ok(())
}

/// `table (columns)`.
fn into(table: &str) -> String {
    format!("{table} ({})", names())
}

/// Every column, with commas between.
pub fn names() -> String {
    COLUMNS.map(|(name, _)| name).join(", ")
}

/// The columns of a row as values.
fn values(row: &Row) -> Vec<Value> {
    let mut values = Values(Vec::with_capacity(COLUMNS.len()));
    columns::write(row, &mut values);
    values.0
}

struct Values(Vec<Value>);

impl Columns for Values {
    fn id(&mut self, id: Uuid) {
        self.0.push(Value::Id(id));
    }

    fn int(&mut self, number: Option<i64>) {
        self.0
            .push(number.map_or(Value::Null(Type::Int), Value::Int));
    }

    fn bool(&mut self, truth: bool) {
        self.0.push(Value::Bool(truth));
    }

    fn text(&mut self, text: Option<&str>) {
        self.0.push(Value::text(text));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.push(Value::Bytes(bytes.to_vec()));
    }
}
