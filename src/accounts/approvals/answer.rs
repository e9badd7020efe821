//! Requests looked at, and answered.

use super::{Asked, COLUMNS, DENIED_MAX, PAGE_ROWS_MAX, State, StoredRequest, TYPES};
use crate::accounts::audit::{self, Deed};
use crate::accounts::head::{self, Head};
use crate::accounts::{Accounts, AccountsError, Actor, row};
use crate::ledger::store::database::{Sql, Tx, Type, Value};
use crate::policy::grants::DENIALS_OF_TENANT_MAX;
use crate::units::UnixMillis;
use std::sync::Arc;

impl Accounts {
    /// A request, however it stands.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn approval(&self, id: &str) -> Result<Option<StoredRequest>, AccountsError> {
        let mut tx = self.pool.read().await?;
        let found = one(&mut tx, id).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// Requests by their ids, a page of at most [`PAGE_ROWS_MAX`].
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn approvals(&self, asked: &Asked) -> Result<Vec<StoredRequest>, AccountsError> {
        let mut tx = self.pool.read().await?;
        let after = asked.after.as_deref().unwrap_or("");
        let mut sql = select(&tx, "id > ").bind(Value::Text(after.to_owned()));
        let state = asked.state.map(State::as_str);
        for (column, value) in [("tenant", asked.tenant.as_deref()), ("state", state)] {
            if let Some(value) = value {
                sql.push(&format!(" AND {column} = "));
                sql.push_value(Value::Text(value.to_owned()));
            }
        }
        sql.push(" AND (state <> 'waiting' OR expires_at_ms > ");
        sql.push_value(row::at(Some(asked.now)));
        let limit = asked.limit.clamp(1, PAGE_ROWS_MAX);
        sql.push(&format!(") ORDER BY id LIMIT {limit}"));
        let rows = fetch(&mut tx, sql).await?;
        tx.rollback().await?;
        Ok(rows)
    }

    /// Denies a request: until a time it can't be asked for again.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`]; [`AccountsError::Over`] where it was granted;
    /// [`AccountsError::FullOfDenials`];
    /// [`AccountsError::Database`].
    pub async fn deny(
        &self,
        by: Actor<'_>,
        id: &str,
        until: UnixMillis,
        note: Option<Arc<str>>,
    ) -> Result<StoredRequest, AccountsError> {
        let (mut tx, mut head) = head::begin(&self.pool, by).await?;
        let before = to_answer(&mut tx, by, id).await?;
        let was_denied = before.denied_until.is_some_and(|until| by.at < until);
        if !was_denied {
            room(&mut tx, &before.request.tenant, by.at).await?;
        }
        let after = StoredRequest {
            state: State::Denied,
            denied_until: Some(until),
            note,
            ..before.clone()
        };
        let after = answer(&mut tx, &mut head, by, "approval.deny", &before, after).await?;
        head.keep(&mut tx).await?;
        tx.commit().await?;
        Ok(after)
    }
}

/// Whether there is room for one more denial that holds: those that sidecars don't know
/// of would be asked for again.
async fn room(tx: &mut Tx, tenant: &str, now: UnixMillis) -> Result<(), AccountsError> {
    let held = |tx: &Tx| {
        tx.sql(
            "SELECT COUNT(*) FROM approval_requests WHERE state = 'denied' AND denied_until_ms > ",
        )
        .bind(row::at(Some(now)))
    };
    let tenant = Value::Text(tenant.to_owned());
    let of_tenant = held(tx).and(" AND tenant = ").bind(tenant);
    let all = held(tx);
    for (sql, max) in [(of_tenant, DENIALS_OF_TENANT_MAX), (all, DENIED_MAX)] {
        let count = usize::try_from(tx.number(sql).await?).unwrap_or_default();
        if count >= max {
            return Err(AccountsError::FullOfDenials);
        }
    }
    Ok(())
}

/// A request that can be answered: one that waits, or was denied.
pub(in crate::accounts) async fn to_answer(
    tx: &mut Tx,
    by: Actor<'_>,
    id: &str,
) -> Result<StoredRequest, AccountsError> {
    let found = one(tx, id).await?;
    let unknown = AccountsError::Unknown("request for approval");
    let found = found.ok_or(unknown)?;
    match found.state {
        State::Granted => Err(AccountsError::Over(
            "was granted already; once that is used up, it waits again when it is asked for again",
        )),
        State::Waiting if found.request.expires_at <= by.at => {
            Err(AccountsError::Over("waits no more"))
        }
        State::Waiting | State::Denied => Ok(found),
    }
}

/// Writes an answer, and tells of it.
pub(in crate::accounts) async fn answer(
    tx: &mut Tx,
    head: &mut Head,
    by: Actor<'_>,
    action: &'static str,
    before: &StoredRequest,
    after: StoredRequest,
) -> Result<StoredRequest, AccountsError> {
    let after = StoredRequest {
        decided_at: Some(by.at),
        decided_by: Some(by.name.into()),
        changed: Some(head.next()),
        ..after
    };
    let text = |text: &Option<Arc<str>>| Value::text(text.as_deref());
    let sql = tx
        .sql("UPDATE approval_requests SET state = ")
        .bind(Value::Text(after.state.as_str().to_owned()))
        .and(", decided_at_ms = ")
        .bind(row::at(after.decided_at))
        .and(", decided_by = ")
        .bind(text(&after.decided_by))
        .and(", note = ")
        .bind(text(&after.note))
        .and(", denied_until_ms = ")
        .bind(row::at(after.denied_until))
        .and(", grant_id = ")
        .bind(text(&after.grant))
        .and(", changed = ")
        .bind(after.changed.map_or(Value::Null(Type::Int), Value::Int))
        .and(" WHERE id = ")
        .bind(Value::Text(after.request.id.to_string()));
    tx.execute(sql).await?;
    let deed = Deed {
        action,
        subject: &after.request.id,
        tenant: Some(&after.request.tenant),
        before: Some(before.to_json()),
        after: Some(after.to_json()),
    };
    audit::append(tx, head, by, vec![deed]).await?;
    Ok(after)
}

async fn one(tx: &mut Tx, id: &str) -> Result<Option<StoredRequest>, AccountsError> {
    let sql = select(tx, "id = ").bind(Value::Text(id.to_owned()));
    Ok(fetch(tx, sql).await?.pop())
}

fn select(tx: &Tx, which: &str) -> Sql {
    tx.sql(&format!(
        "SELECT {COLUMNS} FROM approval_requests WHERE {which}"
    ))
}

async fn fetch(tx: &mut Tx, sql: Sql) -> Result<Vec<StoredRequest>, AccountsError> {
    let rows = tx.fetch(sql, &TYPES).await?;
    rows.into_iter().map(StoredRequest::of_row).collect()
}
