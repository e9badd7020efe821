//! Alerts as they are kept until they are delivered, and for a while after.
//!
//! Always holds: of one series and period an alert is kept once, whoever makes it
//! and however often, and none that goes no further than one before it; a delivery
//! is tried by one sidecar at a time, but again where nobody knows what came of it,
//! under the same id; there is a bound to how many are kept.
//!
//! | module | for |
//! |---|---|
//! | `deliver` | who tries next, and what came of it |
//! | `look` | people look |

mod deliver;
mod look;

pub use deliver::Delivery;
pub use look::{AlertsAsked, DeliveryState, StoredAlert, StoredDelivery};

use super::row::{self, Reader};
use super::{Accounts, AccountsError, head};
use crate::alerts::{Alert, Facts, Kind};
use crate::ledger::store::database::{Tx, Type, Value};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// Ends of one period, as several sidecars tell them, are no further apart; those of
/// two periods are a minute apart at least.
const SAME_END: Millis = Millis::from_secs(20);

/// How long what was delivered, or can't be, stays to be looked at.
pub const KEPT_FOR: Millis = Millis::from_mins(30 * 24 * 60);

/// The most alerts that are kept: the oldest make way.
pub const ALERTS_MAX: usize = 100_000;

/// The most of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

const COLUMNS: &str = "id, kind, tenant, at_ms, series, level, ends_at_ms, facts";
const TYPES: [Type; 8] = [
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Text,
];

/// An alert, and the webhooks that are to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    pub alert: Alert,
    pub webhooks: Vec<Arc<str>>,
}

impl Accounts {
    /// Keeps alerts to be delivered, in one transaction: a few hundred at most. Those
    /// that are there, or go no further than one that is, change nothing. How many
    /// are new.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn raise(&self, all: &[Raised]) -> Result<usize, AccountsError> {
        // One after the other, so that of two thresholds the lower isn't told last.
        let (mut tx, _) = head::begin_late(&self.pool).await?;
        let mut new = 0;
        for raised in all {
            new += usize::from(keep(&mut tx, raised).await?);
        }
        tx.commit().await?;
        Ok(new)
    }

    /// Forgets what is over for long, gives up what nobody delivers any more, and
    /// keeps the bound.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn forget_alerts(&self, now: UnixMillis) -> Result<(), AccountsError> {
        let (mut tx, _) = head::begin_late(&self.pool).await?;
        // Each try gives up by itself; this is of webhooks that are no more.
        let given_up = now - crate::alerts::retry::GIVE_UP_AFTER - Millis::from_mins(60);
        let dead = tx
            .sql(
                "UPDATE alert_deliveries SET state = 'dead', last_error = \
                 'nobody sends there any more', done_at_ms = ",
            )
            .bind(row::at(Some(now)))
            .and(" WHERE state = 'waiting' AND alert_id IN (SELECT id FROM alerts WHERE at_ms < ")
            .bind(row::at(Some(given_up)))
            .and(") AND next_at_ms < ")
            .bind(row::at(Some(now)));
        tx.execute(dead).await?;
        forget(&mut tx, now - KEPT_FOR, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Keeps an alert to be delivered, where it is new; whether it is. In a transaction
/// that keeps others out.
pub(super) async fn keep(tx: &mut Tx, raised: &Raised) -> Result<bool, AccountsError> {
    let Raised { alert, webhooks } = raised;
    if is_told(tx, alert).await? {
        return Ok(false);
    }
    let into = format!("alerts ({COLUMNS})");
    let after = "ON CONFLICT (id) DO NOTHING RETURNING id";
    let values = vec![values(alert)?];
    let added = tx.insert(&into, values, after, &[Type::Text]).await?;
    if added.is_empty() {
        return Ok(false);
    }
    let deliveries = webhooks.iter().map(|webhook| {
        vec![
            Value::Text(alert.id.to_string()),
            Value::Text(webhook.to_string()),
            Value::Text("waiting".to_owned()),
            Value::Int(0),
            row::at(Some(alert.at)),
        ]
    });
    let into = "alert_deliveries (alert_id, webhook, state, tries, next_at_ms)";
    tx.insert(into, deliveries.collect(), "", &[]).await?;
    Ok(true)
}

/// Whether this period's alert went as far. Only budgets' ends are told by counters,
/// some time after they asked the clock.
async fn is_told(tx: &mut Tx, alert: &Alert) -> Result<bool, AccountsError> {
    let slack = match alert.kind() {
        Kind::Budget => SAME_END,
        _ => Millis(0),
    };
    let sql = tx
        .sql("SELECT COUNT(*) FROM alerts WHERE series = ")
        .bind(Value::Text(alert.series.to_string()))
        .and(" AND level >= ")
        .bind(row::number(alert.level))
        .and(" AND ends_at_ms >= ")
        .bind(row::at(Some(alert.ends_at - slack)))
        .and(" AND ends_at_ms <= ")
        .bind(row::at(Some(alert.ends_at + slack)));
    Ok(tx.number(sql).await? > 0)
}

/// What is older and of a period that is over, or else it would be told again; and what
/// is beyond the bound. Deliveries go with their alerts.
async fn forget(tx: &mut Tx, before: UnixMillis, now: UnixMillis) -> Result<(), AccountsError> {
    let which = "SELECT id FROM alerts WHERE at_ms < ";
    for (table, column) in [("alert_deliveries", "alert_id"), ("alerts", "id")] {
        let over = tx
            .sql(&format!("DELETE FROM {table} WHERE {column} IN ({which}"))
            .bind(row::at(Some(before)))
            .and(" AND ends_at_ms < ")
            .bind(row::at(Some(now)))
            .and(")");
        tx.execute(over).await?;
    }
    // SQLite knows no OFFSET without a LIMIT.
    let which = format!(
        "SELECT id FROM alerts ORDER BY at_ms DESC, id LIMIT {} OFFSET {ALERTS_MAX}",
        i64::MAX
    );
    for (table, column) in [("alert_deliveries", "alert_id"), ("alerts", "id")] {
        let sql = tx.sql(&format!("DELETE FROM {table} WHERE {column} IN ({which})"));
        tx.execute(sql).await?;
    }
    Ok(())
}

fn values(alert: &Alert) -> Result<Vec<Value>, AccountsError> {
    let facts = serde_json::to_string(&alert.facts);
    let facts = facts.map_err(|_| AccountsError::Unreadable("an alert's facts"))?;
    Ok(vec![
        Value::Text(alert.id.to_string()),
        Value::Text(alert.kind().as_str().to_owned()),
        Value::text(alert.tenant.as_deref()),
        row::at(Some(alert.at)),
        Value::Text(alert.series.to_string()),
        row::number(alert.level),
        row::at(Some(alert.ends_at)),
        Value::Text(facts),
    ])
}

fn of_row(row: &mut Reader) -> Result<Alert, AccountsError> {
    let (id, _kind, tenant) = (row.name()?, row.name()?, row.text());
    let (at, series, level) = (row.at().unwrap_or_default(), row.name()?, row.number());
    let ends_at = row.at().unwrap_or_default();
    let facts: Option<Facts> = serde_json::from_str(&row.name()?).ok();
    Ok(Alert {
        id,
        tenant,
        at,
        series,
        level,
        ends_at,
        facts: facts.ok_or(AccountsError::Unreadable("an alert's facts"))?,
    })
}
