//! Grants as they are kept: made for a request or without one, and taken back.
//!
//! Always holds: a grant and the answer to its request are one transaction; rows are
//! never changed but to take them back; there is a bound to how many hold.

use super::approvals::answer::{answer, to_answer};
use super::approvals::{State, StoredRequest};
use super::error::AccountsError;
use super::head;
use super::lasting::{self, Lasting, room, state};
use super::row::{self, Reader};
use super::{Accounts, Actor};
use crate::ledger::store::database::{Type, Value};
use crate::policy::grants::{Allowance, GRANTS_OF_TENANT_MAX, Grant, GrantChange};
use crate::units::UnixMillis;
use serde_json::json;
use std::sync::Arc;

/// A grant that is to be made. Its `granted_by` is who does so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    pub grant: Grant,
    /// The id of the request that it answers.
    pub request: Option<Arc<str>>,
    pub note: Option<Arc<str>>,
}

/// A grant that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    pub grant: Grant,
    pub request: Option<Arc<str>>,
    pub granted_at: UnixMillis,
    pub note: Option<Arc<str>>,
    pub revoked_at: Option<UnixMillis>,
    /// The number of its last change.
    pub changed: i64,
}

impl StoredGrant {
    /// What those who follow make of it.
    pub fn change(&self) -> GrantChange {
        match self.revoked_at {
            Some(_) => GrantChange::Revoked(Arc::clone(&self.grant.id)),
            None => GrantChange::Granted(self.grant.clone()),
        }
    }
}

impl Lasting for StoredGrant {
    const NAMES: (&'static str, &'static str) = ("grant", "grants");
    const TABLE: &'static str = "approval_grants";
    const COLUMNS: &'static str = "id, request_id, tenant, project, environment, user_name, key_id, \
     rule, models, allowance, amount, from_ms, until_ms, granted_at_ms, granted_by, note, \
     revoked_at_ms, changed";
    const TYPES: &'static [Type] = &[
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Text,
        Type::Int,
        Type::Int,
        Type::Int,
        Type::Int,
        Type::Text,
        Type::Text,
        Type::Int,
        Type::Int,
    ];
    const DEEDS: (&'static str, &'static str) = ("grant.create", "grant.revoke");
    const OF_TENANT_MAX: usize = GRANTS_OF_TENANT_MAX;

    fn id(&self) -> &Arc<str> {
        &self.grant.id
    }

    fn tenant(&self) -> &Arc<str> {
        &self.grant.tenant
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
        let of = &self.grant;
        let (calls, cost_nanos) = match of.allowance {
            Allowance::Calls(calls) => (Some(calls), None),
            Allowance::CostNanos(nanos) => (None, Some(nanos)),
            Allowance::Unlimited => (None, None),
        };
        json!({
            "id": of.id,
            "state": state(self.revoked_at, of.until, now),
            "request": self.request,
            "tenant": of.tenant,
            "project": of.project,
            "environment": of.environment,
            "user": of.user,
            "key": of.key_id,
            "rule": of.rule,
            "models": of.models,
            "calls": calls,
            "cost_nanos": cost_nanos,
            "unlimited": of.allowance == Allowance::Unlimited,
            "from_ms": of.from.0,
            "until_ms": of.until.0,
            "granted_at_ms": self.granted_at.0,
            "granted_by": of.granted_by,
            "note": self.note,
            "revoked_at_ms": self.revoked_at.map(|at| at.0),
        })
    }

    fn values(&self) -> Vec<Value> {
        let of = &self.grant;
        let text = |text: &Arc<str>| Value::Text(text.to_string());
        let or_none = |text: &Option<Arc<str>>| Value::text(text.as_deref());
        let (allowance, amount) = match of.allowance {
            Allowance::Calls(calls) => ("calls", row::number(calls)),
            Allowance::CostNanos(nanos) => ("cost", row::number(nanos)),
            Allowance::Unlimited => ("unlimited", Value::Null(Type::Int)),
        };
        let models = (!of.models.is_empty()).then(|| json!(of.models).to_string());
        vec![
            text(&of.id),
            or_none(&self.request),
            text(&of.tenant),
            or_none(&of.project),
            or_none(&of.environment),
            or_none(&of.user),
            or_none(&of.key_id),
            or_none(&of.rule),
            Value::text(models.as_deref()),
            Value::Text(allowance.to_owned()),
            amount,
            row::at(Some(of.from)),
            row::at(Some(of.until)),
            row::at(Some(self.granted_at)),
            text(&of.granted_by),
            or_none(&self.note),
            row::at(self.revoked_at),
            Value::Int(self.changed),
        ]
    }

    fn of_row(row: Vec<Value>) -> Result<Self, AccountsError> {
        let unreadable = AccountsError::Unreadable;
        let mut row = Reader::of(row);
        let (id, request, tenant) = (row.name()?, row.text(), row.name()?);
        let (project, environment) = (row.text(), row.text());
        let (user, key_id, rule) = (row.text(), row.text(), row.text());
        let models = match row.text() {
            None => Vec::new(),
            Some(text) => {
                let models: Vec<Arc<str>> =
                    serde_json::from_str(&text).map_err(|_| unreadable("a grant's models"))?;
                // None would be any.
                let some = Some(models).filter(|models| !models.is_empty());
                some.ok_or(unreadable("a grant's models"))?
            }
        };
        let (kind, amount) = (row.name()?, row.int().and_then(|n| u64::try_from(n).ok()));
        let allowance = match (&*kind, amount) {
            ("calls", Some(calls)) => Allowance::Calls(calls),
            ("cost", Some(nanos)) => Allowance::CostNanos(nanos),
            ("unlimited", None) => Allowance::Unlimited,
            _ => return Err(unreadable("a grant's allowance")),
        };
        let time = |at: Option<UnixMillis>| at.ok_or(unreadable("a grant's time"));
        let (from, until) = (time(row.at())?, time(row.at())?);
        let (granted_at, granted_by) = (time(row.at())?, row.name()?);
        Ok(Self {
            grant: Grant {
                id,
                tenant,
                project,
                environment,
                user,
                key_id,
                rule,
                models,
                allowance,
                from,
                until,
                granted_by,
            },
            request,
            granted_at,
            note: row.text(),
            revoked_at: row.at(),
            changed: row.int().unwrap_or_default(),
        })
    }
}

impl Accounts {
    /// Makes a grant, and answers the request that it is for.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`] and [`AccountsError::Over`] of the request;
    /// [`AccountsError::Taken`] where another has its id; [`AccountsError::Full`];
    /// [`AccountsError::Database`].
    pub async fn grant(&self, by: Actor<'_>, new: NewGrant) -> Result<StoredGrant, AccountsError> {
        let (mut tx, mut head) = head::begin(&self.pool, by).await?;
        let tenant = &new.grant.tenant;
        room::<StoredGrant>(&mut tx, tenant, by.at).await?;
        if let Some(request) = &new.request {
            let before = to_answer(&mut tx, by, request).await?;
            if before.request.tenant != *tenant {
                return Err(AccountsError::Unknown("request for approval"));
            }
            let after = StoredRequest {
                state: State::Granted,
                denied_until: None,
                note: new.note.clone(),
                grant: Some(Arc::clone(&new.grant.id)),
                ..before.clone()
            };
            answer(&mut tx, &mut head, by, "approval.grant", &before, after).await?;
        }
        let stored = StoredGrant {
            grant: Grant {
                granted_by: by.name.into(),
                ..new.grant
            },
            request: new.request,
            granted_at: by.at,
            note: new.note,
            revoked_at: None,
            changed: head.next(),
        };
        lasting::keep((tx, head), by, &stored).await?;
        Ok(stored)
    }

    /// A grant, whether it holds or not.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn find_grant(&self, id: &str) -> Result<Option<StoredGrant>, AccountsError> {
        lasting::find(&self.pool, id).await
    }

    /// Takes a grant back; whether it wasn't before.
    ///
    /// # Errors
    /// [`AccountsError::Unknown`], [`AccountsError::Database`].
    pub async fn revoke_grant(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        lasting::take_back::<StoredGrant>(head::begin(&self.pool, by).await?, by, id).await
    }

    /// Takes back one that was taken back elsewhere before, whatever became of who did
    /// it since.
    ///
    /// # Errors
    /// As [`Accounts::revoke_grant`].
    pub async fn revoke_grant_late(&self, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
        lasting::take_back::<StoredGrant>(head::begin_late(&self.pool).await?, by, id).await
    }
}
