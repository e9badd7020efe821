//! What grants and top-ups have in common: they hold for a while, unless they are
//! taken back.

use super::approvals::PAGE_ROWS_MAX;
use super::audit::{self, Deed};
use super::error::AccountsError;
use super::head::Head;
use super::row;
use super::{Accounts, Actor};
use crate::ledger::store::database::{Pool, Sql, Tx, Type, Value};
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

/// A grant or a top-up as it is kept.
pub trait Lasting: Sized {
    /// What errors call one, and several.
    const NAMES: (&'static str, &'static str);
    const TABLE: &'static str;
    const COLUMNS: &'static str;
    const TYPES: &'static [Type];
    /// What the audit calls it to make one, and to take one back.
    const DEEDS: (&'static str, &'static str);
    /// The most of a tenant that hold at a time.
    const OF_TENANT_MAX: usize;

    fn id(&self) -> &Arc<str>;
    fn tenant(&self) -> &Arc<str>;
    fn revoked_at(&self) -> Option<UnixMillis>;
    /// The same, taken back by that change.
    fn revoked(&self, at: UnixMillis, changed: i64) -> Self;
    /// All of it, as it stands now: for the audit, and for whoever may see it.
    fn to_json(&self, now: UnixMillis) -> serde_json::Value;
    fn values(&self) -> Vec<Value>;
    /// # Errors
    /// [`AccountsError::Unreadable`]: nothing is guessed, as what isn't understood must
    /// not allow more.
    fn of_row(row: Vec<Value>) -> Result<Self, AccountsError>;
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

impl Accounts {
    /// Grants or top-ups by their ids, a page.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn lasting<T: Lasting>(&self, asked: &LastingAsked) -> Result<Vec<T>, AccountsError> {
        let mut tx = self.pool.read().await?;
        let sql = page(select::<T>(&tx, ""), asked);
        let found = fetch(&mut tx, sql).await?;
        tx.rollback().await?;
        Ok(found)
    }
}

/// One, whether it holds or not.
pub(super) async fn find<T: Lasting>(pool: &Pool, id: &str) -> Result<Option<T>, AccountsError> {
    let mut tx = pool.read().await?;
    let found = by_id(&mut tx, id).await?;
    tx.rollback().await?;
    Ok(found)
}

/// Keeps a new one, and ends what was begun.
pub(super) async fn keep<T: Lasting>(
    (mut tx, head): (Tx, Head),
    by: Actor<'_>,
    stored: &T,
) -> Result<(), AccountsError> {
    let into = format!("{} ({})", T::TABLE, T::COLUMNS);
    let after = "ON CONFLICT (id) DO NOTHING RETURNING id";
    let added = tx
        .insert(&into, vec![stored.values()], after, &[Type::Text])
        .await?;
    if added.is_empty() {
        return Err(AccountsError::Taken(T::NAMES.0));
    }
    let deed = Deed {
        action: T::DEEDS.0,
        subject: stored.id(),
        tenant: Some(stored.tenant()),
        before: None,
        after: Some(stored.to_json(by.at)),
    };
    done(tx, head, by, deed).await
}

/// Takes one back; whether it wasn't before.
pub(super) async fn take_back<T: Lasting>(
    (mut tx, mut head): (Tx, Head),
    by: Actor<'_>,
    id: &str,
) -> Result<bool, AccountsError> {
    let old: T = by_id(&mut tx, id)
        .await?
        .ok_or(AccountsError::Unknown(T::NAMES.0))?;
    if old.revoked_at().is_some() {
        return Ok(false);
    }
    let changed = head.next();
    let sql = tx
        .sql(&format!("UPDATE {} SET revoked_at_ms = ", T::TABLE))
        .bind(row::at(Some(by.at)))
        .and(", changed = ")
        .bind(Value::Int(changed))
        .and(" WHERE id = ")
        .bind(Value::Text(id.to_owned()));
    tx.execute(sql).await?;
    let deed = Deed {
        action: T::DEEDS.1,
        subject: id,
        tenant: Some(old.tenant()),
        before: Some(old.to_json(by.at)),
        after: Some(old.revoked(by.at, changed).to_json(by.at)),
    };
    done(tx, head, by, deed).await?;
    Ok(true)
}

async fn done(
    mut tx: Tx,
    mut head: Head,
    by: Actor<'_>,
    deed: Deed<'_>,
) -> Result<(), AccountsError> {
    audit::append(&mut tx, &mut head, by, vec![deed]).await?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn by_id<T: Lasting>(tx: &mut Tx, id: &str) -> Result<Option<T>, AccountsError> {
    let sql = select::<T>(tx, "id = ").bind(Value::Text(id.to_owned()));
    Ok(fetch(tx, sql).await?.pop())
}

fn select<T: Lasting>(tx: &Tx, which: &str) -> Sql {
    let (columns, table) = (T::COLUMNS, T::TABLE);
    tx.sql(&format!("SELECT {columns} FROM {table} WHERE {which}"))
}

async fn fetch<T: Lasting>(tx: &mut Tx, sql: Sql) -> Result<Vec<T>, AccountsError> {
    let rows = tx.fetch(sql, T::TYPES).await?;
    rows.into_iter().map(T::of_row).collect()
}

/// Whether there is room for one more that holds.
pub(super) async fn room<T: Lasting>(
    tx: &mut Tx,
    tenant: &str,
    now: UnixMillis,
) -> Result<(), AccountsError> {
    let held = |tx: &Tx| {
        let table = T::TABLE;
        tx.sql(&format!(
            "SELECT COUNT(*) FROM {table} WHERE revoked_at_ms IS NULL AND until_ms > "
        ))
        .bind(row::at(Some(now)))
    };
    let of_tenant = held(tx)
        .and(" AND tenant = ")
        .bind(Value::Text(tenant.to_owned()));
    let all = held(tx);
    for (sql, max) in [(of_tenant, T::OF_TENANT_MAX), (all, LASTING_MAX)] {
        let count = usize::try_from(tx.number(sql).await?).unwrap_or_default();
        if count >= max {
            return Err(AccountsError::Full(T::NAMES.1));
        }
    }
    Ok(())
}

/// The rest of a statement that asks for a page.
fn page(mut sql: Sql, asked: &LastingAsked) -> Sql {
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
