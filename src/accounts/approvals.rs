//! Requests for approval as they are kept: asked by calls, answered by people.
//!
//! Always holds: asking changes no answer that still holds; of a tenant about
//! [`WAITING_OF_TENANT_MAX`] wait at most, the oldest make way. Each answer is told
//! to the audit; asking is not, as callers must not be able to make it grow.
//!
//! | module | for |
//! |---|---|
//! | [`asker`] | calls ask, and don't wait for it |
//! | `ask` | what was asked, kept; what is over, forgotten |
//! | `answer` | people look, and deny; they grant in [`super::grants`] |

pub(super) mod answer;
mod ask;
pub mod asker;

use super::error::AccountsError;
use super::row::{self, Reader};
use crate::ledger::store::database::{Type, Value};
use crate::policy::grants::{ApprovalRequest, Approver, Denial, GrantChange};
use crate::units::{Millis, UnixMillis};
use serde_json::json;
use std::sync::Arc;

/// The most requests of a tenant that wait: more than people answer.
pub const WAITING_OF_TENANT_MAX: usize = 1_000;

/// The most that wait at all.
pub const WAITING_MAX: usize = 100_000;

/// The most denials that hold at all: each is some hundred bytes in every sidecar.
pub const DENIED_MAX: usize = 100_000;

/// Who asks again so soon after a grant may not have heard of it: sidecars hear of
/// it within 5 s. Later, the grant is used up or over.
pub const GRANT_HEARD_AFTER: Millis = Millis::from_secs(10);

/// How long what was answered, or is over, stays to be looked at.
pub const KEPT_FOR: Millis = Millis::from_mins(30 * 24 * 60);

/// The most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// How a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Waiting,
    Granted,
    Denied,
}

/// A request that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// As it was asked last; `asked_at` is since when it waits, or waited.
    pub request: ApprovalRequest,
    pub last_asked_at: UnixMillis,
    pub asked_count: u64,
    pub state: State,
    pub decided_at: Option<UnixMillis>,
    pub decided_by: Option<Arc<str>>,
    pub note: Option<Arc<str>>,
    /// Of a denied one: it may be asked for again then.
    pub denied_until: Option<UnixMillis>,
    /// Of a granted one: the grant's id.
    pub grant: Option<Arc<str>>,
    /// The number of the last answer.
    pub changed: Option<i64>,
}

/// Which requests are asked for, by id.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Those after this id.
    pub after: Option<Arc<str>>,
    pub tenant: Option<Arc<str>>,
    /// `None`: whatever their state.
    pub state: Option<State>,
    /// Those that wait no more by then are left out.
    pub now: UnixMillis,
    /// At most so many, up to [`PAGE_ROWS_MAX`].
    pub limit: usize,
}

pub(super) const COLUMNS: &str = "id, tenant, project, environment, user_name, key_id, plan, rule, \
     model, endpoint, cost_max_nanos, valid_for_ms, approvers, approver_role, asked_at_ms, \
     last_asked_at_ms, asked_count, expires_at_ms, state, decided_at_ms, decided_by, note, \
     denied_until_ms, grant_id, changed";
pub(super) const TYPES: [Type; 25] = [
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
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Int,
];

impl State {
    pub const ALL: [State; 3] = [State::Waiting, State::Granted, State::Denied];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Granted => "granted",
            State::Denied => "denied",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl StoredRequest {
    fn new(request: ApprovalRequest) -> Self {
        Self {
            last_asked_at: request.asked_at,
            asked_count: 1,
            state: State::Waiting,
            decided_at: None,
            decided_by: None,
            note: None,
            denied_until: None,
            grant: None,
            changed: None,
            request,
        }
    }

    /// What asking again makes of it.
    #[must_use]
    pub fn asked_again(&self, request: ApprovalRequest) -> Self {
        let now = request.asked_at;
        let counted = self.asked_count.saturating_add(1);
        let holds = match self.state {
            State::Waiting => false,
            State::Granted => self
                .decided_at
                .is_some_and(|at| now.since(at) <= GRANT_HEARD_AFTER),
            State::Denied => self.denied_until.is_some_and(|until| now < until),
        };
        let expires_at = request.expires_at.max(self.request.expires_at);
        let last_asked_at = now.max(self.last_asked_at);
        if holds {
            let mut same = self.clone();
            same.request.expires_at = expires_at;
            return Self {
                last_asked_at,
                asked_count: counted,
                ..same
            };
        }
        let waits_since = match self.state {
            State::Waiting => self.request.asked_at,
            State::Granted | State::Denied => now,
        };
        Self {
            last_asked_at,
            asked_count: counted,
            // Its last answer was followed; that it waits is nobody's to follow.
            changed: self.changed,
            ..Self::new(ApprovalRequest {
                asked_at: waits_since,
                expires_at,
                ..request
            })
        }
    }

    /// What those who follow make of its answer.
    pub fn change(&self) -> GrantChange {
        match (self.state, self.denied_until) {
            (State::Denied, Some(until)) => GrantChange::Denied(Denial {
                request: Arc::clone(&self.request.id),
                tenant: Arc::clone(&self.request.tenant),
                denied_by: self.decided_by.clone().unwrap_or_default(),
                until,
            }),
            _ => GrantChange::Undenied(Arc::clone(&self.request.id)),
        }
    }

    /// All of it: for the audit, and for whoever may see it.
    pub fn to_json(&self) -> serde_json::Value {
        let of = &self.request;
        json!({
            "id": of.id,
            "state": self.state.as_str(),
            "tenant": of.tenant,
            "project": of.project,
            "environment": of.environment,
            "user": of.user,
            "key": of.key_id,
            "plan": of.plan,
            "rule": of.rule,
            "model": of.model,
            "endpoint": of.endpoint,
            "cost_max_nanos": of.cost_max_nanos,
            "valid_for_ms": of.valid_for.0,
            "approvers": of.approvers,
            "approver_role": of.approver.as_str(),
            "asked_at_ms": of.asked_at.0,
            "last_asked_at_ms": self.last_asked_at.0,
            "asked_count": self.asked_count,
            "expires_at_ms": of.expires_at.0,
            "decided_at_ms": self.decided_at.map(|at| at.0),
            "decided_by": self.decided_by,
            "note": self.note,
            "denied_until_ms": self.denied_until.map(|at| at.0),
            "grant": self.grant,
        })
    }

    fn values(&self) -> Vec<Value> {
        let of = &self.request;
        let text = |text: &Arc<str>| Value::Text(text.to_string());
        let or_none = |text: &Option<Arc<str>>| Value::text(text.as_deref());
        vec![
            text(&of.id),
            text(&of.tenant),
            or_none(&of.project),
            or_none(&of.environment),
            or_none(&of.user),
            text(&of.key_id),
            text(&of.plan),
            text(&of.rule),
            text(&of.model),
            text(&of.endpoint),
            row::number(of.cost_max_nanos),
            row::number(of.valid_for.0),
            or_none(&of.approvers),
            Value::Text(of.approver.as_str().to_owned()),
            row::at(Some(of.asked_at)),
            row::at(Some(self.last_asked_at)),
            row::number(self.asked_count),
            row::at(Some(of.expires_at)),
            Value::Text(self.state.as_str().to_owned()),
            row::at(self.decided_at),
            or_none(&self.decided_by),
            or_none(&self.note),
            row::at(self.denied_until),
            or_none(&self.grant),
            self.changed.map_or(Value::Null(Type::Int), Value::Int),
        ]
    }

    pub(super) fn of_row(row: Vec<Value>) -> Result<Self, AccountsError> {
        let mut row = Reader::of(row);
        let id = row.name()?;
        let (tenant, project, environment) = (row.name()?, row.text(), row.text());
        let (user, key_id, plan, rule) = (row.text(), row.name()?, row.name()?, row.name()?);
        let (model, endpoint) = (row.name()?, row.name()?);
        let (cost_max_nanos, valid_for) = (row.number(), Millis(row.number()));
        let (approvers, approver) = (row.text(), Approver::parse(&row.name()?));
        let asked_at = row.at().unwrap_or_default();
        let (last_asked_at, asked_count) = (row.at().unwrap_or_default(), row.number());
        let (expires_at, state) = (row.at().unwrap_or_default(), State::parse(&row.name()?));
        Ok(Self {
            request: ApprovalRequest {
                id,
                asked_at,
                tenant,
                project,
                environment,
                user,
                key_id,
                plan,
                rule,
                model,
                endpoint,
                cost_max_nanos,
                valid_for,
                approvers,
                approver: approver.ok_or(AccountsError::Unreadable("an approver's role"))?,
                expires_at,
            },
            last_asked_at,
            asked_count,
            state: state.ok_or(AccountsError::Unreadable("a request's state"))?,
            decided_at: row.at(),
            decided_by: row.text(),
            note: row.text(),
            denied_until: row.at(),
            grant: row.text(),
            changed: row.int(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
