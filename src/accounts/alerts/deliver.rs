//! Deliveries: one sidecar takes one, tries it, and says what came of it.

use super::{of_row, row};
use crate::accounts::row::Reader;
use crate::accounts::{Accounts, AccountsError};
use crate::alerts::Alert;
use crate::ledger::store::database::{Dialect, Tx, Type, Value};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// The longest error that is kept.
const ERROR_CHARS_MAX: usize = 300;

/// An alert that is to be sent to a webhook now, by whoever took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub alert: Alert,
    pub webhook: Arc<str>,
    /// How many tries were begun, this one included.
    pub tries: u64,
}

impl Accounts {
    /// Takes the delivery to a webhook that has waited longest. Nobody else gets it
    /// for as long as `lease`; then its taker is taken to be dead, and another tries
    /// again.
    ///
    /// # Errors
    /// [`AccountsError::Unreadable`]: it isn't as this program writes it, and is
    /// dead; [`AccountsError::Database`].
    pub async fn take_delivery(
        &self,
        webhook: &Arc<str>,
        now: UnixMillis,
        lease: Millis,
    ) -> Result<Option<Delivery>, AccountsError> {
        if !self.has_delivery(webhook, now).await? {
            return Ok(None);
        }
        let mut tx = self.pool.write().await?;
        let Some((id, tries)) = first_due(&mut tx, webhook, now).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let sql = tx
            .sql("UPDATE alert_deliveries SET tries = ")
            .bind(row::number(tries))
            .and(", next_at_ms = ")
            .bind(row::at(Some(now + lease)))
            .and(" WHERE alert_id = ")
            .bind(Value::Text(id.to_string()))
            .and(" AND webhook = ")
            .bind(Value::Text(webhook.to_string()));
        tx.execute(sql).await?;
        let sql = tx
            .sql(&format!(
                "SELECT {} FROM alerts WHERE id = ",
                super::COLUMNS
            ))
            .bind(Value::Text(id.to_string()));
        let found = tx.fetch(sql, &super::TYPES).await?.pop();
        tx.commit().await?;
        let found = found.ok_or(AccountsError::Unreadable("an alert"));
        match found.and_then(|row| of_row(&mut Reader::of(row))) {
            Ok(alert) => Ok(Some(Delivery {
                alert,
                webhook: Arc::clone(webhook),
                tries,
            })),
            Err(error) => {
                let why = error.to_string();
                self.ended(&id, webhook, None, ("dead", Some(&why)), now)
                    .await?;
                Err(error)
            }
        }
    }

    /// Most looks find nothing: they take no lock.
    async fn has_delivery(&self, webhook: &str, now: UnixMillis) -> Result<bool, AccountsError> {
        let mut tx = self.pool.read().await?;
        let sql = tx
            .sql("SELECT COUNT(*) FROM alert_deliveries WHERE state = 'waiting' AND webhook = ")
            .bind(Value::Text(webhook.to_owned()))
            .and(" AND next_at_ms <= ")
            .bind(row::at(Some(now)));
        let waiting = tx.number(sql).await?;
        tx.rollback().await?;
        Ok(waiting > 0)
    }

    /// It arrived: nobody tries again, even where somebody else has begun to.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn delivered(&self, of: &Delivery, now: UnixMillis) -> Result<(), AccountsError> {
        self.ended(&of.alert.id, &of.webhook, None, ("sent", None), now)
            .await
    }

    /// It did not arrive. It is tried again at `next`; `None`: never. Where somebody
    /// else has begun to try, theirs is the word.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn not_delivered(
        &self,
        of: &Delivery,
        error: &str,
        next: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), AccountsError> {
        let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
        let Some(next) = next else {
            let end = ("dead", Some(error.as_str()));
            return self
                .ended(&of.alert.id, &of.webhook, Some(of.tries), end, now)
                .await;
        };
        let mut tx = self.pool.write().await?;
        let sql = tx
            .sql("UPDATE alert_deliveries SET last_error = ")
            .bind(Value::Text(error))
            .and(", next_at_ms = ")
            .bind(row::at(Some(next)))
            .and(" WHERE state = 'waiting' AND alert_id = ")
            .bind(Value::Text(of.alert.id.to_string()))
            .and(" AND webhook = ")
            .bind(Value::Text(of.webhook.to_string()))
            .and(" AND tries = ")
            .bind(row::number(of.tries));
        tx.execute(sql).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn ended(
        &self,
        alert: &str,
        webhook: &str,
        tries: Option<u64>,
        (state, error): (&str, Option<&str>),
        now: UnixMillis,
    ) -> Result<(), AccountsError> {
        let mut tx = self.pool.write().await?;
        let mut sql = tx
            .sql("UPDATE alert_deliveries SET state = ")
            .bind(Value::Text(state.to_owned()))
            .and(", last_error = ")
            .bind(Value::text(error))
            .and(", done_at_ms = ")
            .bind(row::at(Some(now)))
            .and(" WHERE state = 'waiting' AND alert_id = ")
            .bind(Value::Text(alert.to_owned()))
            .and(" AND webhook = ")
            .bind(Value::Text(webhook.to_owned()));
        if let Some(tries) = tries {
            sql = sql.and(" AND tries = ").bind(row::number(tries));
        }
        tx.execute(sql).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The one that has waited longest, locked, and which try the next is.
async fn first_due(
    tx: &mut Tx,
    webhook: &str,
    now: UnixMillis,
) -> Result<Option<(Arc<str>, u64)>, AccountsError> {
    let skip = match tx.dialect() {
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        // Its writers take turns.
        Dialect::Sqlite => "",
    };
    let sql = tx
        .sql("SELECT alert_id, tries FROM alert_deliveries WHERE state = 'waiting' AND webhook = ")
        .bind(Value::Text(webhook.to_owned()))
        .and(" AND next_at_ms <= ")
        .bind(row::at(Some(now)))
        .and(&format!(" ORDER BY next_at_ms, alert_id LIMIT 1{skip}"));
    let Some(found) = tx.fetch(sql, &[Type::Text, Type::Int]).await?.pop() else {
        return Ok(None);
    };
    let mut found = Reader::of(found);
    Ok(Some((found.name()?, found.number().saturating_add(1))))
}
