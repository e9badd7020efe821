//! What was added to budgets, as it is kept.
//!
//! Always holds: rows are never changed but to take them back; what is added, and
//! taken back, is told to the audit.

use super::error::AccountsError;
use super::head;
use super::lasting::{self, Lasting, room, state};
use super::row::{self, Reader};
use super::{Accounts, Actor};
use crate::ledger::store::database::{Type, Value};
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

impl StoredTopUp {
    /// What those who follow make of it.
    pub fn change(&self) -> TopUpChange {
        match self.revoked_at {
            Some(_) => TopUpChange::Revoked(Arc::clone(&self.top_up.id)),
            None => TopUpChange::Added(self.top_up.clone()),
        }
    }
}

impl Lasting for StoredTopUp {
    const NAMES: (&'static str, &'static str) = ("top-up", "top-ups");
    const TABLE: &'static str = "budget_top_ups";
    const COLUMNS: &'static str = "id, tenant, budget, whose, unit, amount, from_ms, until_ms, \
     added_by, note, revoked_at_ms, changed";
    const TYPES: &'static [Type] = &[
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
    const DEEDS: (&'static str, &'static str) = ("budget.top-up", "budget.revoke-top-up");
    const OF_TENANT_MAX: usize = TOP_UPS_OF_TENANT_MAX;

    fn id(&self) -> &Arc<str> {
        &self.top_up.id
    }

    fn tenant(&self) -> &Arc<str> {
        &self.top_up.tenant
    }

    fn revoked_at(&self) -> Option<UnixMillis> {
        self.revoked_at
    }

    fn revoked(&self, at: UnixMillis, changed: i64) -> Self {
        Self {
            revoked_at: Some(at),
            changed,
            ..self.clone()
        }
    }

    fn to_json(&self, now: UnixMillis) -> serde_json::Value {
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

    fn of_row(row: Vec<Value>) -> Result<Self, AccountsError> {
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
        room::<StoredTopUp>(&mut tx, &new.tenant, by.at).await?;
        let stored = StoredTopUp {
            top_up: TopUp {
                by: by.name.into(),
                ..new
            },
            revoked_at: None,
            changed: head.next(),
        };
        lasting::keep((tx, head), by, &stored).await?;
        Ok(stored)
    }

    /// A top-up, whether it holds or not.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn find_top_up(&self, id: &str) -> Result<Option<StoredTopUp>, AccountsError> {
        lasting::find(&self.pool, id).await
    }

    /// Takes a top-up back; whether it wasn't before. What was used of it stays used.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`], [`AccountsError::Database`].
    pub async fn revoke_top_up(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        lasting::take_back::<StoredTopUp>(head::begin(&self.pool, by).await?, by, id).await
    }

    /// Takes back one that was taken back elsewhere before, whatever became of who did
    /// it since.
    ///
    /// # Errors
    /// As [`Accounts::revoke_top_up`].
    pub async fn revoke_top_up_late(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        lasting::take_back::<StoredTopUp>(head::begin_late(&self.pool).await?, by, id).await
    }
}
