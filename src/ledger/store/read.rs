//! Reads rows: one, those of a span of time, those of a chain.
//!
//! Always holds: whatever the number of rows, a page of them at most is in
//! memory, and no transaction is left open between pages.

use super::adjust::{Adjustment, of_event};
use super::columns;
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::query::Condition;
use super::usage::{push_conditions, push_span};
use super::value::{Sql, Type, Value};
use super::verify::{Entry, Place};
use super::write::{TABLES, names};
use crate::ledger::row::{ChainId, Hash, Row};
use crate::ledger::wire;
use crate::limits::HoldId;
use crate::units::UnixMillis;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use uuid::Uuid;

/// The rows of a page: some hundred kilobytes.
pub const SCAN_ROWS: usize = 1_000;

/// A call and its corrections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub row: Row,
    pub adjustments: Vec<Adjustment>,
}

/// Which rows a scan gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Calls that were let through.
    Calls,
    /// Calls that weren't.
    Refusals,
}

/// What is known of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    pub id: ChainId,
    /// Its last row.
    pub head: Place,
    /// The last row that retention dropped, where it did.
    pub dropped: Place,
    pub written_at: UnixMillis,
}

/// A walk through the rows of a span of time, by id.
#[derive(Debug, Clone)]
pub struct Scan {
    pool: Pool,
    of: Of,
    from_ms: i64,
    until_ms: i64,
    only: Vec<Condition>,
    after: Option<Uuid>,
    done: bool,
}

/// A walk along a chain.
#[derive(Debug, Clone)]
pub struct ChainRows {
    pool: Pool,
    chain: ChainId,
    /// The next one to read; `None` after the last.
    next: Option<i64>,
    seen: Option<Chain>,
}

pub async fn show(pool: &Pool, id: HoldId) -> Result<Option<Shown>, StoreError> {
    let mut tx = pool.read().await?;
    for table in TABLES {
        let mut sql = select(&tx, table);
        sql.push(" WHERE c.id = ");
        sql.push_value(Value::Id(id.0));
        if let Some(values) = tx.fetch(sql, &types()).await?.pop() {
            let row = columns::read(values)?;
            let adjustments = of_event(&mut tx, id).await?;
            tx.rollback().await?;
            return Ok(Some(Shown { row, adjustments }));
        }
    }
    tx.rollback().await?;
    Ok(None)
}

pub async fn chains(pool: &Pool) -> Result<Vec<Chain>, StoreError> {
    let mut tx = pool.read().await?;
    let sql = tx.sql(CHAIN).and(" ORDER BY chain");
    let rows = tx.fetch(sql, &CHAIN_TYPES).await?;
    let mut chains: Vec<Chain> = rows.into_iter().filter_map(chain).collect();
    // Rows of a chain without a head were written by somebody else.
    let known: HashSet<ChainId> = chains.iter().map(|chain| chain.id).collect();
    let mut found = BTreeSet::new();
    for table in TABLES {
        chains_of_rows(&mut tx, table, &mut found).await?;
    }
    tx.rollback().await?;
    let headless = found.into_iter().filter(|id| !known.contains(id));
    chains.extend(headless.map(|id| Chain {
        id,
        head: Place::START,
        dropped: Place::START,
        written_at: UnixMillis(0),
    }));
    Ok(chains)
}

/// From one chain to the next through the index: as many steps as chains.
async fn chains_of_rows(
    tx: &mut Tx,
    table: &str,
    found: &mut BTreeSet<ChainId>,
) -> Result<(), StoreError> {
    let mut after: Option<ChainId> = None;
    loop {
        let mut sql = tx.sql(&format!("SELECT chain FROM {table}"));
        if let Some(after) = after {
            sql.push(" WHERE chain > ");
            sql.push_value(Value::Id(after));
        }
        sql.push(" ORDER BY chain LIMIT 1");
        let row = tx.fetch(sql, &[Type::Id]).await?.pop();
        let Some(Value::Id(chain)) = row.and_then(|mut row| row.pop()) else {
            return Ok(());
        };
        found.insert(chain);
        after = Some(chain);
    }
}

const CHAIN: &str = "SELECT chain, sequence, hash, dropped_sequence, dropped_hash, written_at_ms \
                     FROM chains";
const CHAIN_TYPES: [Type; 6] = [
    Type::Id,
    Type::Int,
    Type::Bytes,
    Type::Int,
    Type::Bytes,
    Type::Int,
];

fn chain(values: Vec<Value>) -> Option<Chain> {
    let [
        Value::Id(id),
        Value::Int(sequence),
        hash,
        Value::Int(dropped),
        dropped_hash,
        Value::Int(at),
    ] = values.as_slice()
    else {
        return None;
    };
    let place = |sequence: &i64, hash: &Value| Place {
        sequence: u64::try_from(*sequence).unwrap_or(0),
        hash: hash_of(hash),
    };
    Some(Chain {
        id: *id,
        head: place(sequence, hash),
        dropped: place(dropped, dropped_hash),
        written_at: UnixMillis(u64::try_from(*at).unwrap_or(0)),
    })
}

/// What isn't a hash is one that nothing has.
fn hash_of(value: &Value) -> Hash {
    match value {
        Value::Bytes(bytes) => Hash::try_from(bytes.as_slice()).unwrap_or_default(),
        _ => Hash::default(),
    }
}

impl Scan {
    pub fn new(
        pool: Pool,
        of: Of,
        since: UnixMillis,
        until: UnixMillis,
        only: Vec<Condition>,
    ) -> Self {
        let wide = |at: UnixMillis| i64::try_from(at.0).unwrap_or(i64::MAX);
        Self {
            pool,
            of,
            from_ms: wide(since),
            until_ms: wide(until),
            only,
            after: None,
            done: false,
        }
    }

    /// The next rows, at most [`SCAN_ROWS`], by id; none after the last.
    ///
    /// # Errors
    /// The same page may be asked for again after one.
    pub async fn next_rows(&mut self) -> Result<Vec<Row>, StoreError> {
        if self.done {
            return Ok(Vec::new());
        }
        let mut tx = self.pool.read().await?;
        let [calls, refusals] = TABLES;
        let table = match self.of {
            Of::Calls => calls,
            Of::Refusals => refusals,
        };
        let mut sql = select(&tx, table);
        sql.push(" WHERE ");
        push_span(&mut sql, "c", self.from_ms, self.until_ms);
        push_conditions(&mut sql, "c", &self.only);
        if let Some(after) = self.after {
            sql.push(" AND c.id > ");
            sql.push_value(Value::Id(after));
        }
        sql.push(&format!(" ORDER BY c.id LIMIT {SCAN_ROWS}"));
        let rows = tx.fetch(sql, &types()).await?;
        tx.rollback().await?;
        let rows: Result<Vec<Row>, _> = rows.into_iter().map(columns::read).collect();
        let rows = rows?;
        self.done = rows.len() < SCAN_ROWS;
        self.after = rows.last().map(|row| row.event.id.0);
        Ok(rows)
    }
}

impl ChainRows {
    pub fn new(pool: Pool, chain: ChainId, from_sequence: u64) -> Self {
        // No number is below 1, unless somebody else wrote it.
        let from = match from_sequence {
            0 => i64::MIN,
            from => i64::try_from(from).unwrap_or(i64::MAX),
        };
        Self {
            pool,
            chain,
            next: Some(from),
            seen: None,
        }
    }

    /// The chain as of the moment of the last page.
    pub fn chain(&self) -> Option<&Chain> {
        self.seen.as_ref()
    }

    /// The next entries, at most [`SCAN_ROWS`] of each table, by sequence; none
    /// after the last.
    ///
    /// # Errors
    /// The same page may be asked for again after one.
    pub async fn next_entries(&mut self) -> Result<Vec<Entry>, StoreError> {
        let Some(from) = self.next else {
            return Ok(Vec::new());
        };
        let mut tx = self.pool.read().await?;
        let mut entries: BTreeMap<i64, Vec<Entry>> = BTreeMap::new();
        // A page that is full may end before another row of its last sequence.
        let mut known_to = i64::MAX;
        for table in [Some(TABLES[0]), Some(TABLES[1]), None] {
            let rows = match table {
                Some(table) => self.stored(&mut tx, table, from).await?,
                None => self.set_aside(&mut tx, from).await?,
            };
            if rows.len() >= SCAN_ROWS {
                let last = rows.last().map_or(i64::MAX, |(at, _)| *at);
                known_to = known_to.min(last.saturating_sub(1).max(from));
            }
            for (at, entry) in rows {
                entries.entry(at).or_default().push(entry);
            }
        }
        let sql = tx.sql(CHAIN).and(" WHERE chain = ");
        let sql = sql.bind(Value::Id(self.chain));
        let seen = tx.fetch(sql, &CHAIN_TYPES).await?.pop();
        tx.rollback().await?;
        self.seen = seen.and_then(chain);
        self.next = (known_to < i64::MAX).then_some(known_to.saturating_add(1));
        let known = entries.into_iter().filter(|(at, _)| *at <= known_to);
        Ok(known.flat_map(|(_, entries)| entries).collect())
    }

    async fn stored(
        &self,
        tx: &mut Tx,
        table: &str,
        from: i64,
    ) -> Result<Vec<(i64, Entry)>, StoreError> {
        let mut sql = select(tx, table);
        self.push_page(&mut sql, "c", "id", from);
        let rows = tx.fetch(sql, &types()).await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    async fn set_aside(&self, tx: &mut Tx, from: i64) -> Result<Vec<(i64, Entry)>, StoreError> {
        let mut sql = tx.sql("SELECT s.sequence, s.wire FROM set_aside s");
        self.push_page(&mut sql, "s", "event_id", from);
        let rows = tx.fetch(sql, &[Type::Int, Type::Bytes]).await?;
        Ok(rows.into_iter().filter_map(aside).collect())
    }

    fn push_page(&self, sql: &mut Sql, alias: &str, id: &str, from: i64) {
        sql.push(&format!(" WHERE {alias}.chain = "));
        sql.push_value(Value::Id(self.chain));
        sql.push(&format!(" AND {alias}.sequence >= "));
        sql.push_value(Value::Int(from));
        sql.push(&format!(
            " ORDER BY {alias}.sequence, {alias}.{id} LIMIT {SCAN_ROWS}"
        ));
    }
}

/// A stored row as it stands in its chain. What can't be read has no message.
fn entry(values: Vec<Value>) -> (i64, Entry) {
    let at = match values.get(3) {
        Some(Value::Int(at)) => *at,
        _ => 0,
    };
    let hash = values.get(4).map(hash_of).unwrap_or_default();
    let place = Place {
        sequence: u64::try_from(at).unwrap_or(0),
        hash,
    };
    let row = columns::read(values).ok();
    let message = row.map(|row| wire::encode_event(&row.event));
    (at, Entry { place, message })
}

fn aside(values: Vec<Value>) -> Option<(i64, Entry)> {
    let [Value::Int(at), Value::Bytes(bytes)] = values.as_slice() else {
        return None;
    };
    let row = wire::decode(bytes).ok();
    let place = Place {
        sequence: u64::try_from(*at).unwrap_or(0),
        hash: row.as_ref().map(|row| row.link.hash).unwrap_or_default(),
    };
    let message = row.map(|row| wire::encode_event(&row.event));
    Some((*at, Entry { place, message }))
}

/// Every column of a table `c`.
fn select(tx: &Tx, table: &str) -> Sql {
    tx.sql(&format!("SELECT {} FROM {table} c", names()))
}

fn types() -> Vec<Type> {
    columns::COLUMNS.map(|(_, kind)| kind).to_vec()
}
