//! `/v1/approvals`: what calls ask approval for, and what people answer.
//!
//! Always holds: a tenant-admin sees the tenant's, and answers only those whose rule
//! says that a tenant's admin may.

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong, next_after, read};
use super::caller::Caller;
use super::grants::GrantShown;
use crate::accounts::approvals::{Asked, PAGE_ROWS_MAX, State as Standing, StoredRequest};
use crate::accounts::granting::{self, Breadth, DENIED_FOR, Terms, WrongTerms};
use crate::accounts::lasting::Lasting;
use crate::accounts::{Actor, making};
use crate::policy::grants::Approver;
use crate::units::UnixMillis;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// The rows of a page where nobody says how many.
pub(super) const ROWS: usize = 100;

/// A request for approval.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalShown {
    id: String,
    /// waiting, granted or denied.
    state: String,
    tenant: String,
    project: Option<String>,
    environment: Option<String>,
    user: Option<String>,
    key: String,
    plan: String,
    /// The rule that wants it approved.
    rule: String,
    model: String,
    endpoint: String,
    /// The most that the call may cost, in nano-dollars.
    cost_max_nanos: u64,
    /// How long a grant holds where its giver doesn't say.
    valid_for_ms: u64,
    /// Whom to ask, as the rule says it.
    approvers: Option<String>,
    /// operator, or tenant_admin: the tenant's own admin as well.
    approver_role: String,
    /// Since when it waits.
    asked_at_ms: u64,
    last_asked_at_ms: u64,
    asked_count: u64,
    /// It is forgotten then, unless it is asked for again.
    expires_at_ms: u64,
    decided_at_ms: Option<u64>,
    decided_by: Option<String>,
    note: Option<String>,
    /// It may be asked for again then.
    denied_until_ms: Option<u64>,
    /// The grant's id.
    grant: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalPage {
    approvals: Vec<ApprovalShown>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<String>,
}

/// How much is granted, and for how long.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantWanted {
    /// So many calls; without this, cost_nanos and unlimited, one.
    #[schema(minimum = 1)]
    calls: Option<u64>,
    /// So much money, in nano-dollars.
    #[schema(minimum = 1)]
    cost_nanos: Option<u64>,
    #[serde(default)]
    #[schema(required = false)]
    unlimited: bool,
    /// Without it, for as long as the rule says.
    until_ms: Option<u64>,
    /// Without it, the model that was asked for; empty: any.
    #[schema(max_items = 16)]
    models: Option<Vec<String>>,
    /// tenant, project or environment: for anyone of the asker's; without it, for who
    /// asked.
    anyone_of: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DenialWanted {
    /// It may be asked for again then; without it, in a day.
    until_ms: Option<u64>,
    note: Option<String>,
}

impl From<WrongTerms> for Wrong {
    fn from(wrong: WrongTerms) -> Self {
        Wrong::parameter(wrong.parameter(), wrong.to_string())
    }
}

/// Something as it is told; it is written in the same form for the audit.
pub(super) fn shown<T: DeserializeOwned>(json: Value) -> Result<T, Wrong> {
    let odd = |_| Wrong::new(StatusCode::INTERNAL_SERVER_ERROR, "it can't be shown");
    serde_json::from_value(json).map_err(odd)
}

/// A page of what calls ask approval for, by id; to a tenant-admin those of the
/// tenant.
#[utoipa::path(
    get, path = "/v1/approvals",
    params(
        ("tenant" = Option<String>, Query, description = "Only this tenant's"),
        ("state" = Option<String>, Query, description = "Only those that are waiting, granted or denied; without it, all"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 999, description = "At most so many"),
    ),
    responses((status = 200, body = ApprovalPage))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<ApprovalPage> {
    let known = &["tenant", "state", "after", "limit"];
    let parameters = Parameters::read(query.as_deref(), known)?;
    let limit = parameters.limit(ROWS, PAGE_ROWS_MAX - 1)?;
    let standing = parameters.get("state").map(Standing::parse);
    let asked = Asked {
        after: parameters.get("after").map(Arc::from),
        tenant: caller.narrowed(parameters.get("tenant"))?,
        state: standing
            .map(|state| {
                let wrong = || Wrong::parameter("state", "must be waiting, granted or denied");
                state.ok_or_else(wrong)
            })
            .transpose()?,
        now: state.access.now(),
        limit: limit + 1,
    };
    let rows = state
        .accounts
        .with(|accounts| async move { accounts.approvals(&asked).await });
    let mut rows = rows.await?;
    let next = next_after(&mut rows, limit, |row| row.request.id.to_string());
    let approvals = rows.iter().map(|row| shown(row.to_json()));
    Ok(Told(ApprovalPage {
        approvals: approvals.collect::<Result<_, _>>()?,
        next,
    }))
}

/// What was asked.
#[utoipa::path(
    get, path = "/v1/approvals/{id}",
    params(("id" = String, Path, description = "The request's id")),
    responses((status = 200, body = ApprovalShown))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<ApprovalShown> {
    let request = seen(&state, &caller, &id).await?;
    shown(request.to_json()).map(Told)
}

/// A request that the caller may see; others are as good as not there.
async fn seen(state: &AdminState, caller: &Caller, id: &str) -> Result<StoredRequest, Wrong> {
    let found = state
        .accounts
        .with(|accounts| async move { accounts.approval(id).await });
    let found = found.await?;
    let found = found.filter(|found| caller.role.may_see(Some(&found.request.tenant)));
    found.ok_or_else(|| Wrong::nothing("request for approval"))
}

/// The same, where they may answer it.
async fn answerable(state: &AdminState, caller: &Caller, id: &str) -> Result<StoredRequest, Wrong> {
    let found = seen(state, caller, id).await?;
    caller.may_change(&found.request.tenant)?;
    let by_tenants = found.request.approver == Approver::TenantAdmin;
    if caller.role.tenant().is_some() && !by_tenants {
        let error = "its rule wants an operator's approval: a tenant-admin may not answer it";
        return Err(Wrong::forbidden(error));
    }
    Ok(found)
}

/// Grants what was asked: such calls pass a few seconds later.
#[utoipa::path(
    post, path = "/v1/approvals/{id}/grant",
    params(("id" = String, Path, description = "The request's id")),
    request_body = GrantWanted,
    responses((status = 200, body = GrantShown))
)]
pub(super) async fn grant(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<GrantShown> {
    let wanted: GrantWanted = read(&headers, &body)?;
    let found = answerable(&state, &caller, &id).await?;
    let now = state.access.now();
    let breadth = wanted.anyone_of.as_deref().map(Breadth::parse);
    let breadth = breadth.unwrap_or(Some(Breadth::Asker));
    let breadth = breadth
        .ok_or_else(|| Wrong::parameter("anyone_of", "must be tenant, project or environment"))?;
    let id = making::grant_id().map_err(|error| Wrong::busy(error.to_string()))?;
    let new = granting::for_request(id.into(), &found.request, breadth, wanted.terms(), now)?;
    let name = &caller.name;
    let made = state
        .accounts
        .with(|accounts| async move { accounts.grant(Actor { name, at: now }, new).await });
    shown(made.await?.to_json(now)).map(Told)
}

impl GrantWanted {
    fn terms(self) -> Terms {
        let arcs = |models: Vec<String>| models.into_iter().map(Arc::from).collect();
        Terms {
            calls: self.calls,
            cost_nanos: self.cost_nanos,
            unlimited: self.unlimited,
            until: self.until_ms.map(UnixMillis),
            models: self.models.map(arcs),
            note: self.note.map(Arc::from),
        }
    }
}

/// Denies what was asked: until then it can't be asked for again.
#[utoipa::path(
    post, path = "/v1/approvals/{id}/deny",
    params(("id" = String, Path, description = "The request's id")),
    request_body = DenialWanted,
    responses((status = 200, body = ApprovalShown))
)]
pub(super) async fn deny(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<ApprovalShown> {
    let wanted: DenialWanted = read(&headers, &body)?;
    answerable(&state, &caller, &id).await?;
    let now = state.access.now();
    let until = wanted.until_ms.map_or(now + DENIED_FOR, UnixMillis);
    let until = granting::end(until, now)?;
    let note = granting::noted(wanted.note.map(Arc::from))?;
    let (name, at) = (&caller.name, now);
    let denied = state
        .accounts
        .with(|accounts| async move { accounts.deny(Actor { name, at }, &id, until, note).await });
    shown(denied.await?.to_json()).map(Told)
}
