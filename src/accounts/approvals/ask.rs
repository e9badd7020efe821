//! What calls ask, kept; and what is over, forgotten.

use super::{COLUMNS, KEPT_FOR, State, StoredRequest, TYPES, WAITING_MAX, WAITING_OF_TENANT_MAX};
use crate::accounts::alerts::{self, Raised};
use crate::accounts::{Accounts, AccountsError, head, row};
use crate::alerts::Alert;
use crate::ledger::store::database::{Tx, Type, Value};
use crate::policy::grants::ApprovalRequest;
use crate::units::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What of a row asking again changes.
const CHANGING: [&str; 20] = [
    "project",
    "environment",
    "user_name",
    "key_id",
    "plan",
    "endpoint",
    "cost_max_nanos",
    "valid_for_ms",
    "approvers",
    "approver_role",
    "asked_at_ms",
    "last_asked_at_ms",
    "asked_count",
    "expires_at_ms",
    "state",
    "decided_at_ms",
    "decided_by",
    "note",
    "denied_until_ms",
    "grant_id",
];

impl Accounts {
    /// Notes what calls ask, in one transaction: a few hundred at most. What was
    /// answered and still holds stays so; else it waits (again).
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn ask(&self, requests: Vec<ApprovalRequest>) -> Result<(), AccountsError> {
        self.ask_and_tell(requests, |_| Vec::new()).await.map(drop)
    }

    /// As [`Accounts::ask`]; with what begins to wait, an alert of it is kept for the
    /// webhooks that want one of its tenant: one for each wait, whoever asks, and
    /// however many do. How many were kept. Where a tenant has so much waiting that
    /// the oldest make way, nobody is told of more.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn ask_and_tell(
        &self,
        requests: Vec<ApprovalRequest>,
        wanting: impl Fn(&str) -> Vec<Arc<str>>,
    ) -> Result<usize, AccountsError> {
        if requests.is_empty() {
            return Ok(0);
        }
        // Asks and answers come one after the other.
        let (mut tx, _) = head::begin_late(&self.pool).await?;
        let ids: BTreeSet<&str> = requests.iter().map(|request| &*request.id).collect();
        let known = of_ids(&mut tx, ids).await?;
        let mut after: BTreeMap<Arc<str>, StoredRequest> = BTreeMap::new();
        // By tenant, the ids of those that begin to wait.
        let mut grown: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for request in requests {
            let id = Arc::clone(&request.id);
            let before = after.get(&id).or(known.get(&id));
            let waited = before.is_some_and(|before| before.state == State::Waiting);
            let stored = match before {
                Some(before) => before.asked_again(request),
                None => StoredRequest::new(request),
            };
            if !waited && stored.state == State::Waiting {
                let of = grown.entry(Arc::clone(&stored.request.tenant));
                of.or_default().insert(Arc::clone(&id));
            }
            after.insert(id, stored);
        }
        keep(&mut tx, after.values()).await?;
        let mut told = 0;
        for (tenant, ids) in grown {
            let gone = make_way(&mut tx, Some(&tenant), WAITING_OF_TENANT_MAX).await?;
            let webhooks = wanting(&tenant);
            if gone > 0 || webhooks.is_empty() {
                continue;
            }
            for stored in ids.iter().filter_map(|id| after.get(id)) {
                let waits_since = stored.request.asked_at;
                let raised = Raised {
                    alert: Alert::approval(&stored.request, waits_since),
                    webhooks: webhooks.clone(),
                };
                told += usize::from(alerts::keep(&mut tx, &raised).await?);
            }
        }
        tx.commit().await?;
        Ok(told)
    }

    /// Forgets what was asked and waits no more, and what was answered or is over
    /// for long.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn forget_ended(&self, now: UnixMillis) -> Result<(), AccountsError> {
        let (mut tx, _) = head::begin_late(&self.pool).await?;
        let (now, long_ago) = (row::at(Some(now)), row::at(Some(now - KEPT_FOR)));
        let requests = tx
            .sql("DELETE FROM approval_requests WHERE expires_at_ms <= ")
            .bind(now.clone())
            .and(" AND (state = 'waiting' OR (decided_at_ms <= ")
            .bind(long_ago.clone())
            .and(" AND COALESCE(denied_until_ms, 0) <= ")
            .bind(now)
            .and("))");
        tx.execute(requests).await?;
        for table in ["approval_grants", "budget_top_ups"] {
            let ended = tx
                .sql(&format!("DELETE FROM {table} WHERE until_ms <= "))
                .bind(long_ago.clone())
                .and(" OR revoked_at_ms <= ")
                .bind(long_ago.clone());
            tx.execute(ended).await?;
        }
        make_way(&mut tx, None, WAITING_MAX).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn of_ids(
    tx: &mut Tx,
    ids: BTreeSet<&str>,
) -> Result<BTreeMap<Arc<str>, StoredRequest>, AccountsError> {
    let mut sql = tx.sql(&format!(
        "SELECT {COLUMNS} FROM approval_requests WHERE id IN "
    ));
    sql.push_tuple(ids.into_iter().map(|id| Value::Text(id.to_owned())));
    let rows = tx.fetch(sql, &TYPES).await?;
    // One that isn't understood is asked for anew.
    let rows = rows
        .into_iter()
        .filter_map(|row| StoredRequest::of_row(row).ok());
    Ok(rows.map(|row| (Arc::clone(&row.request.id), row)).collect())
}

/// Writes requests in the place of those of the same ids.
async fn keep<'r>(
    tx: &mut Tx,
    requests: impl Iterator<Item = &'r StoredRequest>,
) -> Result<(), AccountsError> {
    let rows = requests.map(StoredRequest::values).collect();
    let columns = CHANGING.map(|column| format!("{column} = excluded.{column}"));
    let after = format!(
        "ON CONFLICT (id) DO UPDATE SET {} RETURNING id",
        columns.join(", ")
    );
    let into = format!("approval_requests ({COLUMNS})");
    tx.insert(&into, rows, &after, &[Type::Text]).await?;
    Ok(())
}

/// The oldest of those that wait make way for the newest; how many did.
async fn make_way(tx: &mut Tx, tenant: Option<&str>, max: usize) -> Result<u64, AccountsError> {
    let mut sql = tx.sql(
        "DELETE FROM approval_requests WHERE id IN \
         (SELECT id FROM approval_requests WHERE state = 'waiting'",
    );
    if let Some(tenant) = tenant {
        sql.push(" AND tenant = ");
        sql.push_value(Value::Text(tenant.to_owned()));
    }
    // SQLite knows no OFFSET without a LIMIT.
    sql.push(&format!(
        " ORDER BY last_asked_at_ms DESC, id LIMIT {} OFFSET {max})",
        i64::MAX
    ));
    Ok(tx.execute(sql).await?)
}
