//! What was added to budgets, as it is kept.
//!
//! Always holds: rows are never changed but to take them back; what is added, and
//! taken back, is told to the audit.

use super::audit::{self, Deed};
use super::error::AccountsError;
use super::head::{self, Head};
use super::lasting::{LastingAsked, page, room, state, take_back};
use super::row::{self, Reader};
use super::{Accounts, Actor};
use crate::ledger::store::database::{Sql, Tx, Type, Value};
use crate::limits::{Dimension, Unit};
use crate::policy::top_ups::{TOP_UPS_OF_TENANT_MAX, TopUp, TopUpChange};
use crate::units::UnixMillis;
use serde_json::{Map, json};
use std::sync::Arc;

/// A top-up that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTopUp {
    pub top_up: TopUp,
    pub revoked_at: Option<UnixMillis>,
    /// The number of its last change.
    pub changed: i64,
}

pub(super) const COLUMNS: &str = "id, tenant, budget, whose, unit, amount, from_ms, until_ms, \
     added_by, note, revoked_at_ms, changed";
pub(super) const TYPES: [Type; 12] = [
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Int,
];

impl StoredTopUp {
    /// What those who follow make of it.
    pub fn change(&self) -> TopUpChange {
        match self.revoked_at {
            Some(_) => TopUpChange::Revoked(Arc::clone(&self.top_up.id)),
            None => TopUpChange::Added(self.top_up.clone()),
        }
    }

    /// All of it, as it stands now: for the audit, and for whoever may see it.
    pub fn to_json(&self, now: UnixMillis) -> serde_json::Value {
        let of = &self.top_up;
        json!({
            "id": of.id,
            "state": state(self.revoked_at, of.until, now),
            "tenant": of.tenant,
            "budget": of.budget,
            "of": whose(&of.of),
            "unit": of.unit.as_str(),
            "amount": of.amount,
            "from_ms": of.from.0,
            "until_ms": of.until.0,
            "by": of.by,
            "note": of.note,
            "revoked_at_ms": self.revoked_at.map(|at| at.0),
        })
    }

    fn values(&self) -> Vec<Value> {
        let of = &self.top_up;
        let text = |text: &Arc<str>| Value::Text(text.to_string());
        vec![
            text(&of.id),
            text(&of.tenant),
            text(&of.budget),
            Value::text(whose_json(&of.of).as_deref()),
            Value::Text(of.unit.as_str().to_owned()),
            row::number(of.amount),
            row::at(Some(of.from)),
            row::at(Some(of.until)),
            text(&of.by),
            Value::text(of.note.as_deref()),
            row::at(self.revoked_at),
            Value::Int(self.changed),
        ]
    }

    /// Nothing is guessed: what isn't understood must not allow more.
    pub(super) fn of_row(row: Vec<Value>) -> Result<Self, AccountsError> {
        let unreadable = AccountsError::Unreadable;
        let mut row = Reader::of(row);
        let (id, tenant, budget) = (row.name()?, row.name()?, row.name()?);
        let of = match row.text() {
            None => Vec::new(),
            Some(text) => whose_of_json(&text).ok_or(unreadable("whose a top-up is"))?,
        };
        let unit = match &*row.name()? {
            "cost" => Unit::Cost,
            "tokens" => Unit::Tokens,
            _ => return Err(unreadable("a top-up's unit")),
        };
        let amount = row.int().and_then(|amount| u64::try_from(amount).ok());
        let amount = amount.ok_or(unreadable("a top-up's amount"))?;
        let time = |at: Option<UnixMillis>| at.ok_or(unreadable("a top-up's time"));
        let (from, until) = (time(row.at())?, time(row.at())?);
        Ok(Self {
            top_up: TopUp {
                counter: TopUp::counter_of(&budget, &tenant, &of),
                id,
                tenant,
                budget,
                of,
                unit,
                amount,
                from,
                until,
                by: row.name()?,
                note: row.text(),
            },
            revoked_at: row.at(),
            changed: row.int().unwrap_or_default(),
        })
    }
}

fn whose(of: &[(Dimension, Arc<str>)]) -> Map<String, serde_json::Value> {
    let each = of.iter();
    each.map(|(dimension, name)| (dimension.as_str().to_owned(), json!(name)))
        .collect()
}

/// `None`: the tenant's.
pub(super) fn whose_json(of: &[(Dimension, Arc<str>)]) -> Option<String> {
    (!of.is_empty()).then(|| json!(whose(of)).to_string())
}

/// In the order of [`Dimension::ALL`]; `None` where anything isn't understood.
pub(super) fn whose_of_json(text: &str) -> Option<Vec<(Dimension, Arc<str>)>> {
    let all: Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let mut of = Vec::new();
    for dimension in Dimension::ALL {
        if let Some(name) = all.get(dimension.as_str()) {
            of.push((dimension, name.as_str()?.into()));
        }
    }
    (of.len() == all.len() && !of.is_empty()).then_some(of)
}

impl Accounts {
    /// Adds to a budget. Its `by` is who does so.
    ///
    /// # Errors
    /// [`AccountsError::Taken`] where another has its id; [`AccountsError::Full`];
    /// [`AccountsError::Database`].
    pub async fn top_up(&self, by: Actor<'_>, new: TopUp) -> Result<StoredTopUp, AccountsError> {
        let (mut tx, mut head) = head::begin(&self.pool, by).await?;
        let tenant = &new.tenant;
        room(
            &mut tx,
            "budget_top_ups",
            "top-ups",
            tenant,
            TOP_UPS_OF_TENANT_MAX,
            by.at,
        )
        .await?;
        let stored = StoredTopUp {
            top_up: TopUp {
                by: by.name.into(),
                ..new
            },
            revoked_at: None,
            changed: head.next(),
        };
        let into = format!("budget_top_ups ({COLUMNS})");
        let after = "ON CONFLICT (id) DO NOTHING RETURNING id";
        let added = tx
            .insert(&into, vec![stored.values()], after, &[Type::Text])
            .await?;
        if added.is_empty() {
            return Err(AccountsError::Taken("top-up"));
        }
        let deed = Deed {
            action: "budget.top-up",
            subject: &stored.top_up.id,
            tenant: Some(&stored.top_up.tenant),
            before: None,
            after: Some(stored.to_json(by.at)),
        };
        audit::append(&mut tx, &mut head, by, vec![deed]).await?;
        head.keep(&mut tx).await?;
        tx.commit().await?;
        Ok(stored)
    }

    /// A top-up, whether it holds or not.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn find_top_up(&self, id: &str) -> Result<Option<StoredTopUp>, AccountsError> {
        let mut tx = self.pool.read().await?;
        let sql = select(&tx, "id = ").bind(Value::Text(id.to_owned()));
        let found = fetch(&mut tx, sql).await?.pop();
        tx.rollback().await?;
        Ok(found)
    }

    /// Top-ups by their ids, a page.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn top_ups(&self, asked: &LastingAsked) -> Result<Vec<StoredTopUp>, AccountsError> {
        let mut tx = self.pool.read().await?;
        let sql = page(select(&tx, ""), asked);
        let found = fetch(&mut tx, sql).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// Takes a top-up back; whether it wasn't before. What was used of it stays used.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`], [`AccountsError::Database`].
    pub async fn revoke_top_up(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        revoke_in(head::begin(&self.pool, by).await?, by, id).await
    }

    /// Takes back one that was taken back elsewhere before, whatever became of who did
    /// it since.
    ///
    /// # Errors
    /// As [`Accounts::revoke_top_up`].
    pub async fn revoke_top_up_late(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        revoke_in(head::begin_late(&self.pool).await?, by, id).await
    }
}

async fn revoke_in(
    (mut tx, mut head): (Tx, Head),
    by: Actor<'_>,
    id: &str,
) -> Result<bool, AccountsError> {
    let sql = select(&tx, "id = ").bind(Value::Text(id.to_owned()));
    let old = fetch(&mut tx, sql).await?.pop();
    let old = old.ok_or(AccountsError::Unknown("top-up"))?;
    if old.revoked_at.is_some() {
        return Ok(false);
    }
    let revoked = StoredTopUp {
        revoked_at: Some(by.at),
        changed: head.next(),
        ..old.clone()
    };
    take_back(&mut tx, "budget_top_ups", id, by.at, revoked.changed).await?;
    let deed = Deed {
        action: "budget.revoke-top-up",
        subject: id,
        tenant: Some(&old.top_up.tenant),
        before: Some(old.to_json(by.at)),
        after: Some(revoked.to_json(by.at)),
    };
    audit::append(&mut tx, &mut head, by, vec![deed]).await?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

fn select(tx: &Tx, which: &str) -> Sql {
    tx.sql(&format!(
        "SELECT {COLUMNS} FROM budget_top_ups WHERE {which}"
    ))
}

async fn fetch(tx: &mut Tx, sql: Sql) -> Result<Vec<StoredTopUp>, AccountsError> {
    let rows = tx.fetch(sql, &TYPES).await?;
    rows.into_iter().map(StoredTopUp::of_row).collect()
}
