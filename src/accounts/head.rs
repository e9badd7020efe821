//! The one row that every change locks first: changes come one after the other,
//! and each has a number.

use super::error::AccountsError;
use super::row::Reader;
use super::{Actor, token};
use crate::ledger::store::database::{Dialect, Pool, Tx, Type, Value};
use crate::ledger::store::verify::Place;

/// How far the changes and the audit are.
#[derive(Debug, Clone)]
pub struct Head {
    /// The database's own.
    pub name: std::sync::Arc<str>,
    /// The number of the last change.
    pub changed: i64,
    /// The last row of the audit.
    pub audit: Place,
}

const SELECT: &str =
    "SELECT name, changed, audit_sequence, audit_hash FROM accounts_head WHERE one = 1";

/// As it is.
pub async fn read(tx: &mut Tx) -> Result<Head, AccountsError> {
    let sql = tx.sql(SELECT);
    let types = [Type::Text, Type::Int, Type::Int, Type::Bytes];
    let rows = tx.fetch(sql, &types).await?;
    let row = rows.into_iter().next();
    let mut row = Reader::of(row.ok_or(AccountsError::Unreadable("its head is missing"))?);
    let (name, changed, sequence) = (row.name()?, row.int(), row.int());
    Ok(Head {
        name,
        changed: changed.unwrap_or_default(),
        audit: Place {
            sequence: u64::try_from(sequence.unwrap_or_default()).unwrap_or_default(),
            hash: row.bytes()?,
        },
    })
}

/// A transaction that changes something, for who still may: a token that was
/// withdrawn since it was let in does nothing more.
pub async fn begin(pool: &Pool, by: Actor<'_>) -> Result<(Tx, Head), AccountsError> {
    let (mut tx, head) = begin_late(pool).await?;
    match token::is_revoked(&mut tx, by.name).await? {
        false => Ok((tx, head)),
        true => Err(AccountsError::Over(
            "is asked with a token that was revoked",
        )),
    }
}

/// A transaction that writes down what was done before, by whoever might then.
pub async fn begin_late(pool: &Pool) -> Result<(Tx, Head), AccountsError> {
    let mut tx = pool.write().await?;
    let head = lock(&mut tx).await?;
    Ok((tx, head))
}

/// As it is, and nobody else changes anything until the transaction ends. A
/// writing transaction of SQLite keeps others out by itself.
async fn lock(tx: &mut Tx) -> Result<Head, AccountsError> {
    if tx.dialect() == Dialect::Postgres {
        let sql = tx.sql("SELECT changed FROM accounts_head WHERE one = 1 FOR UPDATE");
        tx.number(sql).await?;
    }
    read(tx).await
}

impl Head {
    /// The number of the next change.
    pub fn next(&mut self) -> i64 {
        self.changed = self.changed.saturating_add(1);
        self.changed
    }

    pub async fn keep(&self, tx: &mut Tx) -> Result<(), AccountsError> {
        let sequence = i64::try_from(self.audit.sequence).unwrap_or(i64::MAX);
        let sql = tx
            .sql("UPDATE accounts_head SET changed = ")
            .bind(Value::Int(self.changed))
            .and(", audit_sequence = ")
            .bind(Value::Int(sequence))
            .and(", audit_hash = ")
            .bind(Value::Bytes(self.audit.hash.to_vec()))
            .and(" WHERE one = 1");
        tx.execute(sql).await?;
        Ok(())
    }
}
