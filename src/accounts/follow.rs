//! All keys, and then what changes: what every sidecar reads.
//!
//! Always holds: who has read up to a number has all that was changed before it,
//! as numbers come in the order of commits.

use super::error::AccountsError;
use super::head::{self, Head};
use super::key::StoredKey;
use super::row;
use crate::ledger::store::database::{Pool, Tx, Value};
use std::sync::Arc;

/// The keys of one page of a load: a few MB.
const PAGE_KEYS: usize = 4_096;

/// A walk over all keys that aren't withdrawn, as of one moment.
#[derive(Debug)]
pub struct Load {
    tx: Tx,
    head: Head,
    after: i64,
    /// About so many there are.
    pub count: usize,
}

/// What has changed.
#[derive(Debug)]
pub struct Changes {
    /// The database's own name: of another one all must be read anew.
    pub database: Arc<str>,
    /// In the order of their changes; one that isn't understood is an error of its
    /// own, and must count as withdrawn.
    pub keys: Vec<Result<StoredKey, Unread>>,
    /// The number of the last change there is. Of a database that was brought back
    /// to an earlier time it is smaller than before.
    pub head: i64,
}

/// A key whose row isn't understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub id: Arc<str>,
    pub changed: i64,
}

impl Load {
    pub(super) async fn begin(pool: &Pool) -> Result<Self, AccountsError> {
        let mut tx = pool.read().await?;
        let head = head::read(&mut tx).await?;
        let count = tx.sql("SELECT COUNT(*) FROM keys WHERE revoked_at_ms IS NULL");
        let count = tx.number(count).await?;
        Ok(Self {
            tx,
            head,
            after: 0,
            count: usize::try_from(count).unwrap_or_default(),
        })
    }

    /// The database's own name.
    pub fn database(&self) -> &Arc<str> {
        &self.head.name
    }

    /// The number of the last change that it has.
    pub fn changed(&self) -> i64 {
        self.head.changed
    }

    /// Some more keys; none at the end.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn next(&mut self) -> Result<Vec<Result<StoredKey, Unread>>, AccountsError> {
        let rows = page(
            &mut self.tx,
            self.after,
            PAGE_KEYS,
            " AND revoked_at_ms IS NULL",
        )
        .await?;
        if let Some(last) = rows.last() {
            self.after = changed_of(last);
        }
        Ok(rows)
    }
}

pub(super) async fn changes(pool: &Pool, after: i64, max: usize) -> Result<Changes, AccountsError> {
    let mut tx = pool.read().await?;
    let head = head::read(&mut tx).await?;
    let keys = match head.changed > after {
        true => page(&mut tx, after, max, "").await?,
        false => Vec::new(),
    };
    tx.rollback().await?;
    Ok(Changes {
        database: head.name,
        keys,
        head: head.changed,
    })
}

/// The number of a key's last change.
pub fn changed_of(key: &Result<StoredKey, Unread>) -> i64 {
    match key {
        Ok(key) => key.changed,
        Err(unread) => unread.changed,
    }
}

async fn page(
    tx: &mut Tx,
    after: i64,
    max: usize,
    only: &str,
) -> Result<Vec<Result<StoredKey, Unread>>, AccountsError> {
    let sql = tx
        .sql(&format!(
            "SELECT {} FROM keys WHERE changed > ",
            row::KEY_COLUMNS
        ))
        .bind(Value::Int(after))
        .and(&format!("{only} ORDER BY changed LIMIT {max}"));
    let rows = tx.fetch(sql, &row::KEY_TYPES).await?;
    rows.into_iter().map(key_or_name).collect()
}

fn key_or_name(row: Vec<Value>) -> Result<Result<StoredKey, Unread>, AccountsError> {
    let id = row::Reader::of(row.get(..1).unwrap_or_default().to_vec()).name()?;
    let changed = match row.last() {
        Some(Value::Int(changed)) => *changed,
        _ => return Err(AccountsError::Unreadable("a change has no number")),
    };
    Ok(row::to_key(row).map_err(|_| Unread { id, changed }))
}
