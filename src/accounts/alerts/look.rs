//! People look at alerts, and at what became of them.

use super::{COLUMNS, PAGE_ROWS_MAX, TYPES, of_row, row};
use crate::accounts::row::Reader;
use crate::accounts::{Accounts, AccountsError};
use crate::alerts::{Alert, body};
use crate::ledger::store::database::{Type, Value};
use crate::units::UnixMillis;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    Waiting,
    Sent,
    /// Nobody tries any more.
    Dead,
}

/// An alert to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    pub webhook: Arc<str>,
    pub state: DeliveryState,
    pub tries: u64,
    /// Of one that waits.
    pub next_at: UnixMillis,
    pub last_error: Option<Arc<str>>,
    pub done_at: Option<UnixMillis>,
}

/// An alert that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    pub alert: Alert,
    /// By webhook.
    pub deliveries: Vec<StoredDelivery>,
}

/// Which alerts are asked for, the newest first.
#[derive(Debug, Clone, Default)]
pub struct AlertsAsked {
    /// Those after this one, of which [`StoredAlert::place`] told.
    pub after: Option<(UnixMillis, Arc<str>)>,
    pub tenant: Option<Arc<str>>,
    /// Only those of which a delivery stands so.
    pub state: Option<DeliveryState>,
    /// At most so many, up to [`PAGE_ROWS_MAX`].
    pub limit: usize,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 3] = [
        DeliveryState::Waiting,
        DeliveryState::Sent,
        DeliveryState::Dead,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Sent => "sent",
            DeliveryState::Dead => "dead",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl StoredAlert {
    /// Where it stands in a list.
    pub fn place(&self) -> (UnixMillis, Arc<str>) {
        (self.alert.at, Arc::clone(&self.alert.id))
    }

    /// All of it, for whoever may see it.
    pub fn to_json(&self) -> serde_json::Value {
        let deliveries = self.deliveries.iter().map(|of| {
            let waits = of.state == DeliveryState::Waiting;
            json!({
                "webhook": of.webhook,
                "state": of.state.as_str(),
                "tries": of.tries,
                "next_at_ms": waits.then_some(of.next_at.0),
                "last_error": of.last_error,
                "done_at_ms": of.done_at.map(|at| at.0),
            })
        });
        json!({
            "id": self.alert.id,
            "kind": self.alert.kind().as_str(),
            "tenant": self.alert.tenant,
            "at_ms": self.alert.at.0,
            "summary": body::summary(&self.alert),
            "deliveries": deliveries.collect::<Vec<_>>(),
        })
    }
}

impl Accounts {
    /// Alerts and their deliveries, a page. One that can't be read is left out.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn alerts(&self, asked: &AlertsAsked) -> Result<Vec<StoredAlert>, AccountsError> {
        let mut tx = self.pool.read().await?;
        let mut sql = tx.sql(&format!("SELECT {COLUMNS} FROM alerts WHERE 1 = 1"));
        if let Some((at, id)) = &asked.after {
            sql = sql.and(" AND (at_ms < ").bind(row::at(Some(*at)));
            sql = sql.and(" OR (at_ms = ").bind(row::at(Some(*at)));
            sql = sql.and(" AND id > ").bind(Value::Text(id.to_string()));
            sql.push("))");
        }
        if let Some(tenant) = &asked.tenant {
            sql = sql
                .and(" AND tenant = ")
                .bind(Value::Text(tenant.to_string()));
        }
        if let Some(state) = asked.state {
            sql.push(" AND id IN (SELECT alert_id FROM alert_deliveries WHERE state = ");
            sql = sql.bind(Value::Text(state.as_str().to_owned())).and(")");
        }
        let limit = asked.limit.clamp(1, PAGE_ROWS_MAX);
        sql.push(&format!(" ORDER BY at_ms DESC, id LIMIT {limit}"));
        let rows = tx.fetch(sql, &TYPES).await?.into_iter();
        let alerts = rows.filter_map(|row| of_row(&mut Reader::of(row)).ok());
        let alerts: Vec<Alert> = alerts.collect();
        let mut deliveries: BTreeMap<Arc<str>, Vec<StoredDelivery>> = BTreeMap::new();
        if !alerts.is_empty() {
            let mut sql = tx.sql(
                "SELECT alert_id, webhook, state, tries, next_at_ms, last_error, done_at_ms \
                 FROM alert_deliveries WHERE alert_id IN ",
            );
            sql.push_tuple(alerts.iter().map(|of| Value::Text(of.id.to_string())));
            sql.push(" ORDER BY webhook");
            for row in tx.fetch(sql, &DELIVERY_TYPES).await? {
                let (alert, delivery) = delivery_of(row)?;
                deliveries.entry(alert).or_default().push(delivery);
            }
        }
        tx.rollback().await?;
        let stored = alerts.into_iter().map(|alert| StoredAlert {
            deliveries: deliveries.remove(&alert.id).unwrap_or_default(),
            alert,
        });
        Ok(stored.collect())
    }
}

const DELIVERY_TYPES: [Type; 7] = [
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Text,
    Type::Int,
];

fn delivery_of(row: Vec<Value>) -> Result<(Arc<str>, StoredDelivery), AccountsError> {
    let mut row = Reader::of(row);
    let (alert, webhook) = (row.name()?, row.name()?);
    let state = DeliveryState::parse(&row.name()?);
    let delivery = StoredDelivery {
        webhook,
        state: state.ok_or(AccountsError::Unreadable("a delivery's state"))?,
        tries: row.number(),
        next_at: row.at().unwrap_or_default(),
        last_error: row.text(),
        done_at: row.at(),
    };
    Ok((alert, delivery))
}
