//! Rows that were set aside: which, since when and why, and another try.
//!
//! Always holds: a row leaves `set_aside` in the transaction that puts it among
//! calls or refusals, so that it is in one of them at any time, and its chain
//! whole.

use super::columns;
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::known::Known;
use super::value::{Type, Value};
use super::write::{self, SAME_ID};
use super::{Store, in_time};
use crate::ledger::row::{ChainId, Row};
use crate::ledger::wire;
use crate::limits::HoldId;
use crate::units::UnixMillis;

/// Rows of a page: each may have some megabytes.
pub const ASIDE_ROWS: usize = 64;

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    pub chain: ChainId,
    pub sequence: u64,
    pub event: HoldId,
    /// By the database's clock.
    pub at: UnixMillis,
    pub why: String,
    /// `None`: what is kept of it is no row that this program can read.
    pub row: Option<Row>,
}

/// What became of another try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It is where it belongs, and in the sums of its time.
    Taken,
    /// It stays set aside, for this.
    Refused(String),
    /// It belongs there: another row has its id, and counts.
    Counted,
}

impl Aside {
    /// Whether another row has its id: it is kept for its chain alone.
    pub fn is_counted(&self) -> bool {
        self.why == SAME_ID
    }
}

impl Store {
    /// Rows that were set aside, at most [`ASIDE_ROWS`], by chain and sequence,
    /// after this place.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn set_asides(
        &self,
        after: Option<(ChainId, u64)>,
    ) -> Result<Vec<Aside>, StoreError> {
        page(&self.pool, after).await
    }

    /// Tries a row again that was set aside. However often, it counts once.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn take_again(&self, row: &Row) -> Result<Again, StoreError> {
        in_time(again(&self.pool, &self.known, row)).await
    }
}

/// The rows that are set aside after this place, by chain and sequence.
pub async fn page(pool: &Pool, after: Option<(ChainId, u64)>) -> Result<Vec<Aside>, StoreError> {
    let mut tx = pool.read().await?;
    let mut sql =
        tx.sql("SELECT chain, sequence, event_id, set_aside_at_ms, why, wire FROM set_aside");
    if let Some((chain, sequence)) = after {
        sql.push(" WHERE (chain, sequence) > (");
        sql.push_value(Value::Id(chain));
        sql.push(", ");
        sql.push_value(Value::Int(wide(sequence)));
        sql.push(")");
    }
    sql.push(&format!(" ORDER BY chain, sequence LIMIT {ASIDE_ROWS}"));
    let types = [
        Type::Id,
        Type::Int,
        Type::Id,
        Type::Int,
        Type::Text,
        Type::Bytes,
    ];
    let rows = tx.fetch(sql, &types).await?;
    tx.rollback().await?;
    Ok(rows.into_iter().filter_map(aside).collect())
}

fn aside(values: Vec<Value>) -> Option<Aside> {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    match <[Value; 6]>::try_from(values).ok()? {
        [
            Value::Id(chain),
            Value::Int(sequence),
            Value::Id(event),
            Value::Int(at),
            Value::Text(why),
            Value::Bytes(bytes),
        ] => Some(Aside {
            chain,
            sequence: number(sequence),
            event: HoldId(event),
            at: UnixMillis(number(at)),
            why,
            row: wire::decode(&bytes).ok(),
        }),
        _ => None,
    }
}

/// Tries a row again. One that isn't set aside any more is taken already.
pub async fn again(pool: &Pool, known: &Known, row: &Row) -> Result<Again, StoreError> {
    if let Err(why) = columns::check(row) {
        return Ok(Again::Refused(why.to_string()));
    }
    match write::again(pool, known, row).await {
        Ok(true) => Ok(Again::Taken),
        Ok(false) => Ok(Again::Counted),
        Err(error @ (StoreError::Data(_) | StoreError::Large)) => {
            Ok(Again::Refused(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Takes the row out; whether it was there.
pub async fn take_out(tx: &mut Tx, row: &Row) -> Result<bool, StoreError> {
    let mut sql = tx.sql("DELETE FROM set_aside WHERE chain = ");
    sql.push_value(Value::Id(row.link.chain));
    sql.push(" AND sequence = ");
    sql.push_value(Value::Int(wide(row.link.sequence)));
    Ok(tx.execute(sql).await? > 0)
}

fn wide(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
