//! What grants and top-ups have in common: they hold for a while, unless they are
//! taken back.

use super::approvals::PAGE_ROWS_MAX;
use super::error::AccountsError;
use super::row;
use crate::ledger::store::database::{Sql, Tx, Value};
use crate::units::UnixMillis;
use std::sync::Arc;

/// The most grants, or top-ups, that hold at a time: all sidecars have all of them.
pub const LASTING_MAX: usize = 100_000;

/// Which grants, or top-ups, are asked for, by id.
#[derive(Debug, Clone, Default)]
pub struct LastingAsked {
    /// Those after this id.
    pub after: Option<Arc<str>>,
    pub tenant: Option<Arc<str>>,
    /// Those too that are over by `now`, or were taken back.
    pub all: bool,
    pub now: UnixMillis,
    /// At most so many, up to [`PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// How something stands that holds for a while.
pub(super) fn state(
    revoked_at: Option<UnixMillis>,
    until: UnixMillis,
    now: UnixMillis,
) -> &'static str {
    match revoked_at {
        Some(_) => "revoked",
        None if until <= now => "ended",
        None => "active",
    }
}

/// Whether there is room for one more that holds.
pub(super) async fn room(
    tx: &mut Tx,
    table: &str,
    what: &'static str,
    tenant: &str,
    of_tenant_max: usize,
    now: UnixMillis,
) -> Result<(), AccountsError> {
    let held = |tx: &Tx| {
        tx.sql(&format!(
            "SELECT COUNT(*) FROM {table} WHERE revoked_at_ms IS NULL AND until_ms > "
        ))
        .bind(row::at(Some(now)))
    };
    let of_tenant = held(tx)
        .and(" AND tenant = ")
        .bind(Value::Text(tenant.to_owned()));
    let all = held(tx);
    for (sql, max) in [(of_tenant, of_tenant_max), (all, LASTING_MAX)] {
        let count = usize::try_from(tx.number(sql).await?).unwrap_or_default();
        if count >= max {
            return Err(AccountsError::Full(what));
        }
    }
    Ok(())
}

/// Notes that something was taken back.
pub(super) async fn take_back(
    tx: &mut Tx,
    table: &str,
    id: &str,
    at: UnixMillis,
    changed: i64,
) -> Result<(), AccountsError> {
    let sql = tx
        .sql(&format!("UPDATE {table} SET revoked_at_ms = "))
        .bind(row::at(Some(at)))
        .and(", changed = ")
        .bind(Value::Int(changed))
        .and(" WHERE id = ")
        .bind(Value::Text(id.to_owned()));
    tx.execute(sql).await?;
    Ok(())
}

/// The rest of a statement that asks for a page.
pub(super) fn page(mut sql: Sql, asked: &LastingAsked) -> Sql {
    sql.push("id > ");
    sql.push_value(Value::Text(asked.after.as_deref().unwrap_or("").to_owned()));
    if let Some(tenant) = &asked.tenant {
        sql.push(" AND tenant = ");
        sql.push_value(Value::Text(tenant.to_string()));
    }
    if !asked.all {
        sql.push(" AND revoked_at_ms IS NULL AND until_ms > ");
        sql.push_value(row::at(Some(asked.now)));
    }
    let limit = asked.limit.clamp(1, PAGE_ROWS_MAX);
    sql.push(&format!(" ORDER BY id LIMIT {limit}"));
    sql
}
