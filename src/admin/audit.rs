//! `/v1/audit`: who did what, in the order in which it was done.

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong, next_after};
use super::caller::Caller;
use crate::accounts::audit::{Asked, Entry, PAGE_ROWS_MAX};
use axum::Extension;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// The rows of a page where nobody says how many.
const ROWS: usize = 100;

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deed {
    /// Its number, from 1, without gaps.
    sequence: u64,
    /// Of it and all before it, as 64 hexadecimal digits.
    hash: String,
    at_ms: u64,
    actor: String,
    /// As key.create, token.revoke, limits.reset.
    action: String,
    /// To which key, token, or tenant.
    subject: String,
    /// Of which tenant; null: of all.
    tenant: Option<String>,
    before: Value,
    after: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deeds {
    deeds: Vec<Deed>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<u64>,
}

impl From<&Entry> for Deed {
    fn from(entry: &Entry) -> Self {
        let json = |text: &Option<Arc<str>>| {
            let text = text.as_deref();
            text.map_or(Value::Null, |text| {
                serde_json::from_str(text).unwrap_or_default()
            })
        };
        let hash = entry.place.hash.iter();
        Self {
            sequence: entry.place.sequence,
            hash: hash.map(|byte| format!("{byte:02x}")).collect(),
            at_ms: entry.at.0,
            actor: entry.actor.to_string(),
            action: entry.action.to_string(),
            subject: entry.subject.to_string(),
            tenant: entry.tenant.as_deref().map(str::to_owned),
            before: json(&entry.before),
            after: json(&entry.after),
        }
    }
}

/// A page of what was done; to a tenant-admin what was done to the tenant's.
#[utoipa::path(
    get, path = "/v1/audit",
    params(
        ("tenant" = Option<String>, Query, description = "Only what was done to this tenant's"),
        ("subject" = Option<String>, Query, description = "Only what was done to this key, token or tenant"),
        ("after" = Option<u64>, Query, description = "The sequence that the page before ended with"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 999, description = "At most so many"),
    ),
    responses((status = 200, body = Deeds))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<Deeds> {
    let known = &["tenant", "subject", "after", "limit"];
    let parameters = Parameters::read(query.as_deref(), known)?;
    let limit = parameters.limit(ROWS, PAGE_ROWS_MAX - 1)?;
    let after = parameters.get("after").map(str::parse::<u64>);
    let after = after.unwrap_or(Ok(0));
    let asked = Asked {
        after: after.map_err(|_| Wrong::parameter("after", "must be a number"))?,
        subject: parameters.get("subject").map(Arc::from),
        tenant: caller.narrowed(parameters.get("tenant"))?,
        limit: limit + 1,
    };
    let rows = state
        .accounts
        .with(|accounts| async move { accounts.audit(&asked).await });
    let mut rows = rows.await?;
    let next = next_after(&mut rows, limit, |row| row.place.sequence);
    Ok(Told(Deeds {
        deeds: rows.iter().map(Deed::from).collect(),
        next,
    }))
}
