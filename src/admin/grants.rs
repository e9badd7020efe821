//! `/v1/grants`: what people have allowed beyond rules.

use super::AdminState;
use super::answer::{Answer, Told, Wrong, read};
use super::approvals::shown;
use super::caller::Caller;
use super::lasting::stored;
use super::tokens::Revoked;
use super::withdrawn::{Kind, withdrawn};
use crate::accounts::granting::{self, Terms, Whom};
use crate::accounts::grants::StoredGrant;
use crate::accounts::lasting::Lasting;
use crate::accounts::{Actor, making};
use crate::policy::grants::Grant;
use crate::units::UnixMillis;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A counter store that takes longer is away: what is left isn't told then.
const COUNTERS_MAX: Duration = Duration::from_secs(1);

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
    /// What of it is used, what open calls hold included: calls or nano-dollars. null:
    /// it is unlimited, holds no more, or the counters can't be asked.
    used: Option<u64>,
    left: Option<u64>,
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
    #[schema(max_items = 16)]
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
    let (rows, next) = stored::<StoredGrant>(&state, &caller, query.as_deref()).await?;
    let grants = told(&state, rows).await?;
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
    let mut told = told(&state, vec![found]).await?;
    told.pop().map(Told).ok_or_else(|| Wrong::nothing("grant"))
}

/// Grants as they are shown, with what is left of those that hold.
async fn told(state: &AdminState, rows: Vec<StoredGrant>) -> Result<Vec<GrantShown>, Wrong> {
    let now = state.access.now();
    let mut tenants: BTreeMap<Arc<str>, Vec<&Grant>> = BTreeMap::new();
    let holding = rows.iter().filter(|row| row.revoked_at.is_none());
    for grant in holding.map(|row| &row.grant).filter(|of| of.holds(now)) {
        let of = tenants.entry(Arc::clone(&grant.tenant));
        of.or_default().push(grant);
    }
    let mut used: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    // Nobody waits for a weir that is starting.
    let driver = state.limits.driver().ok();
    for (tenant, grants) in &tenants {
        let Some(driver) = driver else { break };
        let asked = driver.grants_used(tenant, grants);
        let Ok(Ok(all)) = tokio::time::timeout(COUNTERS_MAX, asked).await else {
            tracing::debug!("counters can't be asked what is left of grants");
            break;
        };
        let each = grants.iter().zip(all);
        used.extend(each.filter_map(|(grant, of)| Some((Arc::clone(&grant.id), of?))));
    }
    let each = rows.iter().map(|row| {
        let of = used.get(&row.grant.id);
        Ok(GrantShown {
            used: of.map(|(used, _)| *used),
            left: of.map(|(_, left)| *left),
            ..shown::<GrantShown>(row.to_json(now))?
        })
    });
    each.collect()
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
