//! `/v1/tenants`: whom the configuration knows, and how they stand.

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong};
use super::caller::Caller;
use super::limits::{Counter, Limits};
use crate::driver::Page;
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The rows of a page where nobody says how many.
const ROWS: usize = 100;

/// The most rows of a page.
const ROWS_MAX: usize = 1_000;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tenant {
    tenant: String,
    /// The plan that it is on.
    plan: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantPage {
    tenants: Vec<Tenant>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<String>,
}

/// How a tenant stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantState {
    tenant: String,
    plan: String,
    /// Whether the configuration names it; else it is on identity.default_plan.
    configured: bool,
    /// Its keys that count, of the configuration and of the database.
    keys: usize,
    /// How its limits stand: the first page of /v1/limits.
    limits: Vec<Counter>,
    /// Whether /v1/limits has more.
    more: bool,
}

/// A page of the configuration's tenants, by name; to a tenant-admin the own one.
#[utoipa::path(
    get, path = "/v1/tenants",
    params(
        ("after" = Option<String>, Query, description = "What the page before said is next"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "At most so many"),
    ),
    responses((status = 200, body = TenantPage))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<TenantPage> {
    let parameters = Parameters::read(query.as_deref(), &["after", "limit"])?;
    let limit = parameters.limit(ROWS, ROWS_MAX)?;
    let after = parameters.get("after").unwrap_or_default();
    let snapshot = state.limits.driver()?.snapshot();
    // The first few of many, in order, without ordering all.
    let mut first = BTreeMap::new();
    for (tenant, plan) in &*snapshot.tenants {
        if **tenant > *after && caller.role.may_see(Some(tenant)) {
            first.insert(tenant, plan);
            if first.len() > limit + 1 {
                first.pop_last();
            }
        }
    }
    let more = first.len() > limit;
    let tenants = first.into_iter().take(limit).map(|(tenant, plan)| Tenant {
        tenant: tenant.to_string(),
        plan: plan.plan.to_string(),
    });
    let tenants: Vec<Tenant> = tenants.collect();
    let last = tenants.last().map(|last| last.tenant.clone());
    Ok(Told(TenantPage {
        tenants,
        next: last.filter(|_| more),
    }))
}

/// How a tenant stands.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}",
    params(("tenant" = String, Path, description = "The tenant's name")),
    responses((status = 200, body = TenantState))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(tenant): Path<String>,
) -> Answer<TenantState> {
    caller.may_see(&tenant)?;
    let driver = state.limits.driver()?;
    let snapshot = driver.snapshot();
    let configured = snapshot
        .tenants
        .get(tenant.as_str())
        .map(|tenant| &tenant.plan);
    let own = snapshot.keys.iter();
    let keys = own.filter(|key| *key.account().tenant == *tenant).count();
    let default = snapshot.default_plan.as_ref().filter(|_| keys > 0);
    let plan = configured.or(default).ok_or_else(|| Wrong {
        parameter: Some("tenant"),
        ..Wrong::new(StatusCode::NOT_FOUND, "there is no such tenant")
    })?;
    let limits = match keys {
        // Whom nobody calls for has no counters.
        0 => None,
        _ => {
            let page = Page {
                tenant: &tenant,
                limit: None,
                after: None,
            };
            Some(Limits::of(driver, page, &caller).await?)
        }
    };
    Ok(Told(TenantState {
        plan: plan.to_string(),
        configured: configured.is_some(),
        keys,
        more: limits.as_ref().is_some_and(|limits| limits.more),
        limits: limits.map_or_else(Vec::new, |limits| limits.limits),
        tenant,
    }))
}
