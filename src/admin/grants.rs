//! `/v1/grants`: what people have allowed beyond rules.

use super::AdminState;
use super::answer::{Answer, Told, Wrong, read};
use super::approvals::shown;
use super::caller::Caller;
use super::lasting::page;
use super::tokens::Revoked;
use super::withdrawn::{Kind, withdrawn};
use crate::accounts::granting::{self, Terms, Whom};
use crate::accounts::grants::StoredGrant;
use crate::accounts::lasting::Lasting;
use crate::accounts::{Actor, making};
use crate::units::UnixMillis;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A grant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantShown {
    id: String,
    /// active, ended or revoked.
    state: String,
    /// The request that it answers.
    request: Option<String>,
    tenant: String,
    /// null: whatever project; and so on.
    project: Option<String>,
    environment: Option<String>,
    user: Option<String>,
    key: Option<String>,
    /// null: whatever rule asks.
    rule: Option<String>,
    /// Empty: any.
    models: Vec<String>,
    calls: Option<u64>,
    /// Nano-dollars.
    cost_nanos: Option<u64>,
    unlimited: bool,
    from_ms: u64,
    until_ms: u64,
    granted_at_ms: u64,
    granted_by: String,
    note: Option<String>,
    revoked_at_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantPage {
    grants: Vec<GrantShown>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<String>,
}

/// A grant that answers no request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FreeGrantWanted {
    tenant: String,
    /// Without it, whatever project; and so on.
    project: Option<String>,
    environment: Option<String>,
    user: Option<String>,
    key: Option<String>,
    /// Without it, whatever rule asks.
    rule: Option<String>,
    /// Without it, or empty: any.
    #[schema(max_items = 64)]
    models: Option<Vec<String>>,
    /// So many calls; without this, cost_nanos and unlimited, one.
    #[schema(minimum = 1)]
    calls: Option<u64>,
    /// So much money, in nano-dollars.
    #[schema(minimum = 1)]
    cost_nanos: Option<u64>,
    #[serde(default)]
    #[schema(required = false)]
    unlimited: bool,
    until_ms: u64,
    note: Option<String>,
}

/// A page of grants, by id; to a tenant-admin those of the tenant.
#[utoipa::path(
    get, path = "/v1/grants",
    params(
        ("tenant" = Option<String>, Query, description = "Only this tenant's"),
        ("all" = Option<bool>, Query, description = "Those too that have ended or were revoked"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 999, description = "At most so many"),
    ),
    responses((status = 200, body = GrantPage))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<GrantPage> {
    let (grants, next) = page::<StoredGrant, _>(&state, &caller, query.as_deref()).await?;
    Ok(Told(GrantPage { grants, next }))
}

/// A grant.
#[utoipa::path(
    get, path = "/v1/grants/{id}",
    params(("id" = String, Path, description = "The grant's id")),
    responses((status = 200, body = GrantShown))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<GrantShown> {
    let found = seen(&state, &caller, &id).await?;
    shown(found.to_json(state.access.now())).map(Told)
}

/// A grant that the caller may see; others are as good as not there.
async fn seen(state: &AdminState, caller: &Caller, id: &str) -> Result<StoredGrant, Wrong> {
    let found = state
        .accounts
        .with(|accounts| async move { accounts.find_grant(id).await });
    let found = found.await?;
    let found = found.filter(|found| caller.role.may_see(Some(&found.grant.tenant)));
    found.ok_or_else(|| Wrong::nothing("grant"))
}

/// Makes a grant that nobody asked for.
#[utoipa::path(
    post, path = "/v1/grants",
    request_body = FreeGrantWanted,
    responses((status = 200, body = GrantShown))
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<GrantShown> {
    let wanted: FreeGrantWanted = read(&headers, &body)?;
    let now = state.access.now();
    let arc = |text: Option<String>| text.map(Arc::from);
    let whom = Whom {
        tenant: wanted.tenant.into(),
        project: arc(wanted.project),
        environment: arc(wanted.environment),
        user: arc(wanted.user),
        key_id: arc(wanted.key),
        rule: arc(wanted.rule),
    };
    let models = wanted.models.unwrap_or_default();
    let terms = Terms {
        calls: wanted.calls,
        cost_nanos: wanted.cost_nanos,
        unlimited: wanted.unlimited,
        until: Some(UnixMillis(wanted.until_ms)),
        models: Some(models.into_iter().map(Arc::from).collect()),
        note: arc(wanted.note),
    };
    let id = making::grant_id().map_err(|error| Wrong::busy(error.to_string()))?;
    let new = granting::without_request(id.into(), whom, terms, now)?;
    let name = &caller.name;
    let made = state
        .accounts
        .with(|accounts| async move { accounts.grant(Actor { name, at: now }, new).await });
    shown(made.await?.to_json(now)).map(Told)
}

/// Takes a grant back: it counts nowhere a few seconds later. While the database is
/// away it counts no more here, and the database is told when it is back.
#[utoipa::path(
    delete, path = "/v1/grants/{id}",
    params(("id" = String, Path, description = "The grant's id")),
    responses((status = 200, body = Revoked))
)]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Revoked> {
    let revoked = revoked(&state, &caller, &id).await;
    withdrawn(&state, &caller, &id, Kind::Grant, revoked).await
}

async fn revoked(state: &AdminState, caller: &Caller, id: &str) -> Result<bool, Wrong> {
    let found = seen(state, caller, id).await?;
    caller.may_change(&found.grant.tenant)?;
    let (name, at) = (&caller.name, state.access.now());
    let revoked = state
        .accounts
        .with(|accounts| async move { accounts.revoke_grant(Actor { name, at }, id).await });
    revoked.await
}
