//! Keys, one or a page.

use super::error::AccountsError;
use super::key::StoredKey;
use super::row;
use crate::ledger::store::database::{Pool, Tx, Value};
use std::sync::Arc;

/// The most keys of one page.
pub const PAGE_KEYS_MAX: usize = 1_000;

/// Which keys are asked for, by name.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Those after this name.
    pub after: Option<Arc<str>>,
    pub tenant: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub owner: Option<Arc<str>>,
    /// Those too that were revoked.
    pub revoked: bool,
    /// At most so many, up to [`PAGE_KEYS_MAX`].
    pub limit: usize,
}

pub async fn key(pool: &Pool, id: &str) -> Result<Option<StoredKey>, AccountsError> {
    let mut tx = pool.read().await?;
    let found = one(&mut tx, id).await?;
    tx.rollback().await?;
    Ok(found)
}

pub async fn one(tx: &mut Tx, id: &str) -> Result<Option<StoredKey>, AccountsError> {
    let sql = tx
        .sql(&format!(
            "SELECT {} FROM keys WHERE id = ",
            row::KEY_COLUMNS
        ))
        .bind(Value::Text(id.to_owned()));
    let rows = tx.fetch(sql, &row::KEY_TYPES).await?;
    rows.into_iter().next().map(row::to_key).transpose()
}

pub async fn list(pool: &Pool, listing: &Listing) -> Result<Vec<StoredKey>, AccountsError> {
    let mut tx = pool.read().await?;
    let after = listing.after.as_deref().unwrap_or("");
    let mut sql = tx
        .sql(&format!(
            "SELECT {} FROM keys WHERE id > ",
            row::KEY_COLUMNS
        ))
        .bind(Value::Text(after.to_owned()));
    for (column, value) in [
        ("tenant", &listing.tenant),
        ("user_name", &listing.user),
        ("owner", &listing.owner),
    ] {
        if let Some(value) = value {
            sql.push(&format!(" AND {column} = "));
            sql.push_value(Value::Text(value.to_string()));
        }
    }
    if !listing.revoked {
        sql.push(" AND revoked_at_ms IS NULL");
    }
    let limit = listing.limit.clamp(1, PAGE_KEYS_MAX);
    sql.push(&format!(" ORDER BY id LIMIT {limit}"));
    let rows = tx.fetch(sql, &row::KEY_TYPES).await?;
    tx.rollback().await?;
    rows.into_iter().map(row::to_key).collect()
}
