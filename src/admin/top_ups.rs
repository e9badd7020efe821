//! `/v1/budgets/top-ups`: what was added to budgets once. Nobody adds to their own:
//! a tenant-admin only sees them.

use super::AdminState;
use super::answer::{Answer, Told, Wrong, read};
use super::approvals::shown;
use super::caller::Caller;
use super::lasting::page;
use super::tokens::Revoked;
use super::withdrawn::{Kind, withdrawn};
use crate::accounts::granting::{self, Addition};
use crate::accounts::lasting::Lasting;
use crate::accounts::top_ups::StoredTopUp;
use crate::accounts::{Actor, making};
use crate::limits::{Dimension, Unit};
use crate::policy::top_ups::{NoBudget, budget_of, fitting};
use crate::units::UnixMillis;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// What was added to a budget.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TopUpShown {
    id: String,
    /// active, ended or revoked.
    state: String,
    tenant: String,
    budget: String,
    /// Whose, within the tenant: names by dimension. Empty: the tenant's.
    of: BTreeMap<String, String>,
    /// cost or tokens.
    unit: String,
    /// Nano-dollars or tokens.
    amount: u64,
    from_ms: u64,
    until_ms: u64,
    by: String,
    note: Option<String>,
    revoked_at_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TopUpPage {
    top_ups: Vec<TopUpShown>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TopUpWanted {
    tenant: String,
    /// A budget of the tenant's plan.
    budget: String,
    /// Whose, within the tenant, as the budget tells calls apart: names by dimension,
    /// as { "user": "ada" }.
    #[serde(default)]
    #[schema(required = false)]
    of: BTreeMap<String, String>,
    /// Nano-dollars; this or `tokens`, as the budget counts.
    #[schema(minimum = 1)]
    cost_nanos: Option<u64>,
    #[schema(minimum = 1)]
    tokens: Option<u64>,
    /// Without it, the end of the budget's period.
    until_ms: Option<u64>,
    note: Option<String>,
}

impl From<NoBudget> for Wrong {
    fn from(error: NoBudget) -> Self {
        Wrong::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    }
}

/// A page of what was added to budgets, by id; to a tenant-admin what was added to
/// the tenant's.
#[utoipa::path(
    get, path = "/v1/budgets/top-ups",
    params(
        ("tenant" = Option<String>, Query, description = "Only this tenant's"),
        ("all" = Option<bool>, Query, description = "Those too that have ended or were revoked"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 999, description = "At most so many"),
    ),
    responses((status = 200, body = TopUpPage))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<TopUpPage> {
    let (top_ups, next) = page::<StoredTopUp, _>(&state, &caller, query.as_deref()).await?;
    Ok(Told(TopUpPage { top_ups, next }))
}

/// Adds to a budget, until a time.
#[utoipa::path(
    post, path = "/v1/budgets/top-ups",
    request_body = TopUpWanted,
    responses((status = 200, body = TopUpShown))
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<TopUpShown> {
    let wanted: TopUpWanted = read(&headers, &body)?;
    let now = state.access.now();
    let (unit, amount) = match (wanted.cost_nanos, wanted.tokens) {
        (Some(nanos), None) => (Unit::Cost, nanos),
        (None, Some(tokens)) => (Unit::Tokens, tokens),
        _ => {
            return Err(Wrong::parameter(
                "amount",
                "say cost_nanos or tokens, one of them",
            ));
        }
    };
    let of = dimensions(&wanted.of)?;
    let snapshot = state.limits.driver()?.snapshot();
    let budget = budget_of(&snapshot, &wanted.tenant, &wanted.budget)?;
    let until = wanted.until_ms.map(UnixMillis);
    let until = fitting(budget, &of, unit, until, now)?;
    let addition = Addition {
        tenant: wanted.tenant.into(),
        budget: wanted.budget.into(),
        of,
        unit,
        amount,
        until,
        note: wanted.note.map(Arc::from),
    };
    let id = making::top_up_id().map_err(|error| Wrong::busy(error.to_string()))?;
    let new = granting::addition(id.into(), addition, now)?;
    let name = &caller.name;
    let made = state
        .accounts
        .with(|accounts| async move { accounts.top_up(Actor { name, at: now }, new).await });
    shown(made.await?.to_json(now)).map(Told)
}

fn dimensions(of: &BTreeMap<String, String>) -> Result<Vec<(Dimension, Arc<str>)>, Wrong> {
    let known = |name: &str| {
        let mut all = Dimension::ALL.into_iter();
        all.find(|known| known.as_str() == name && *known != Dimension::Tenant)
    };
    let each = of.iter().map(|(name, value)| {
        let wrong =
            || Wrong::parameter("of", "must be names by dimension, as { \"user\": \"ada\" }");
        Ok((known(name).ok_or_else(wrong)?, value.as_str().into()))
    });
    each.collect()
}

/// What was added to a budget.
#[utoipa::path(
    get, path = "/v1/budgets/top-ups/{id}",
    params(("id" = String, Path, description = "The top-up's id")),
    responses((status = 200, body = TopUpShown))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<TopUpShown> {
    let found = state
        .accounts
        .with(|accounts| async move { accounts.find_top_up(&id).await });
    let found = found.await?;
    // Another tenant's is as good as not there.
    let found = found.filter(|found| caller.role.may_see(Some(&found.top_up.tenant)));
    let found = found.ok_or_else(|| Wrong::nothing("top-up"))?;
    shown(found.to_json(state.access.now())).map(Told)
}

/// Takes back what was added: it counts nowhere a few seconds later. What was used of
/// it stays used. While the database is away it counts no more here, and the database
/// is told when it is back.
#[utoipa::path(
    delete, path = "/v1/budgets/top-ups/{id}",
    params(("id" = String, Path, description = "The top-up's id")),
    responses((status = 200, body = Revoked))
)]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Revoked> {
    let (name, at, top_up) = (&caller.name, state.access.now(), &id);
    let revoked = state
        .accounts
        .with(|accounts| async move { accounts.revoke_top_up(Actor { name, at }, top_up).await });
    let revoked = revoked.await;
    withdrawn(&state, &caller, &id, Kind::TopUp, revoked).await
}
