//! `/v1/limits`: how a tenant's limits stand, and putting them at rest.
//!
//! | request | does |
//! |---|---|
//! | `GET /v1/limits?tenant=acme[&limit=NAME][&after=NEXT]` | tells of the tenant's counters |
//! | `DELETE /v1/limits?tenant=acme[&limit=NAME][&after=NEXT]` | puts them at rest, but those of calls in flight |
//! | `POST /v1/limits/rebuild` | rebuilds from the ledger what the store lost, whosever it is |
//!
//! The first two do so for a page of them: where there are more, `next` of the answer is
//! what to ask `after` for the page that follows.
//!
//! Always holds: nothing is put at rest that the audit wasn't told of before, and not
//! by who may change one tenant only: that one's budgets are set by others. What
//! tenants share is shown to nobody who may see one tenant only, in the audit
//! neither.

mod counter;

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong, json};
use super::caller::Caller;
use super::stored::Change;
use crate::driver::{Driver, InspectError, Page, RebuildError, Rebuilt};
use crate::policy::standing::NotListed;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
pub(super) use counter::Counter;
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use utoipa::ToSchema;

/// How long who asks to rebuild waits for it: less than a request may take. It goes
/// on all the same.
const REBUILD_MAX: Duration = Duration::from_secs(8);

/// Whom to ask how limits stand.
#[derive(Clone, Default)]
pub struct LimitsApi {
    /// There once the process serves calls.
    driver: Arc<OnceLock<Arc<Driver>>>,
}

impl fmt::Debug for LimitsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitsApi").finish_non_exhaustive()
    }
}

impl LimitsApi {
    pub fn new(driver: Arc<OnceLock<Arc<Driver>>>) -> Self {
        Self { driver }
    }

    pub(super) fn driver(&self) -> Result<&Driver, Wrong> {
        let driver = self.driver.get().map(|driver| &**driver);
        driver.ok_or_else(|| Wrong::busy("weir is starting"))
    }
}

/// A page of a tenant's counters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limits {
    tenant: String,
    pub limits: Vec<Counter>,
    pub more: bool,
    /// What to ask `after` for the page that follows.
    next: Option<String>,
}

/// What was put at rest.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reset {
    tenant: String,
    /// So many counters.
    reset: usize,
    /// Counters of calls in flight, which are as they were.
    kept: usize,
    /// Those that count calls in flight, of which there are none.
    idle: usize,
    more: bool,
    next: Option<String>,
}

/// What was rebuilt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RebuiltLimits {
    /// Whether the store had lost anything; else all that follows is left out.
    lost: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limits: Option<Vec<RebuiltLimit>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    left_out: Option<Vec<LeftOut>>,
    /// So many counters counted again already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    already: Option<usize>,
    /// Whether the ledger may lack calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    may_lack: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RebuiltLimit {
    limit: String,
    plan: Option<String>,
    unit: &'static str,
    counters: usize,
    amount: u64,
}

/// A limit that can't be rebuilt.
#[derive(Debug, Serialize, ToSchema)]
struct LeftOut {
    limit: String,
    plan: Option<String>,
    why: String,
}

impl Limits {
    pub async fn of(driver: &Driver, page: Page<'_>, caller: &Caller) -> Result<Self, Wrong> {
        let standings = driver.standings(page).await?;
        let seen = standings.counters.iter();
        // Of others' calls, so many of it aren't to be known.
        let seen = seen.filter(|counter| !counter.shared || caller.role.may_see(None));
        Ok(Self {
            tenant: page.tenant.to_owned(),
            limits: seen.map(Counter::of).collect(),
            more: standings.next.is_some(),
            next: standings.next.as_deref().map(str::to_owned),
        })
    }
}

/// How the counters of a tenant stand.
#[utoipa::path(
    get, path = "/v1/limits",
    params(
        ("tenant" = String, Query, description = "Whose"),
        ("limit" = Option<String>, Query, description = "Only this limit's"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
    ),
    responses((status = 200, body = Limits))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<Limits> {
    let asked = Parameters::read(query.as_deref(), &["tenant", "limit", "after"])?;
    let page = page(&asked)?;
    caller.may_see(page.tenant)?;
    Limits::of(state.limits.driver()?, page, &caller)
        .await
        .map(Told)
}

/// Puts a tenant's counters at rest, but those of calls in flight.
#[utoipa::path(
    delete, path = "/v1/limits",
    params(
        ("tenant" = String, Query, description = "Whose"),
        ("limit" = Option<String>, Query, description = "Only this limit's"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
    ),
    responses((status = 200, body = Reset))
)]
pub(super) async fn reset(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<Reset> {
    let asked = Parameters::read(query.as_deref(), &["tenant", "limit", "after"])?;
    let page = page(&asked)?;
    caller.may_change(page.tenant)?;
    let driver = state.limits.driver()?;
    let mut before = Limits::of(driver, page, &caller).await?;
    // They aren't put at rest, and a tenant's audit is the tenant's to see.
    before.limits.retain(|counter| !counter.shared);
    let change = |action, before, after| Change {
        action,
        subject: page.tenant,
        tenant: Some(page.tenant),
        before,
        after,
    };
    let told = Some(json!({ "limit": page.limit, "after": page.after, "limits": before.limits }));
    let begun = change("limits.reset", told, None);
    state
        .accounts
        .note(&caller, state.access.now(), begun)
        .await?;
    let reset = driver.reset(page).await?;
    let done = Reset {
        tenant: page.tenant.to_owned(),
        reset: reset.counters,
        kept: reset.kept,
        idle: reset.idle,
        more: reset.next.is_some(),
        next: reset.next.as_deref().map(str::to_owned),
    };
    let told = serde_json::to_value(&done).ok();
    tell_end(&state, &caller, change("limits.reset.done", None, told)).await;
    Ok(Told(done))
}

/// The audit knows already what was begun.
pub(super) async fn tell_end(state: &AdminState, caller: &Caller, change: Change<'_>) {
    let now = state.access.now();
    if let Err(wrong) = state.accounts.note(caller, now, change).await {
        tracing::error!(
            error = wrong.error,
            "the audit wasn't told what came of a change"
        );
    }
}

/// Rebuilds from the ledger what the counter store lost.
#[utoipa::path(
    post, path = "/v1/limits/rebuild",
    responses(
        (status = 200, body = RebuiltLimits),
        (status = 202, description = "It takes long, and goes on", body = super::answer::Error),
    )
)]
pub(super) async fn rebuild(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
) -> Response {
    match rebuilt(&state, &caller).await {
        Ok(Some(told)) => told.into_response(),
        Ok(None) => {
            let error = "it takes long, and goes on; weir's log tells when it is done";
            json(StatusCode::ACCEPTED, &json!({ "error": error }))
        }
        Err(wrong) => wrong.into_response(),
    }
}

/// `None`: it goes on.
async fn rebuilt(
    state: &AdminState,
    caller: &Caller,
) -> Result<Option<Told<RebuiltLimits>>, Wrong> {
    let driver = state.limits.driver()?;
    let change = |action, after| Change {
        action,
        subject: "limits",
        tenant: None,
        before: None,
        after,
    };
    let now = state.access.now();
    state
        .accounts
        .note(caller, now, change("limits.rebuild", None))
        .await?;
    let Ok(outcome) = tokio::time::timeout(REBUILD_MAX, driver.rebuild()).await else {
        return Ok(None);
    };
    let done = match &*outcome {
        Ok(rebuilt) => RebuiltLimits::of(rebuilt.as_ref()),
        Err(error @ RebuildError::NoLedger) => {
            return Err(Wrong::new(StatusCode::CONFLICT, error.to_string()));
        }
        Err(error) => return Err(Wrong::busy(error.to_string())),
    };
    let told = serde_json::to_value(&done).ok();
    tell_end(state, caller, change("limits.rebuild.done", told)).await;
    Ok(Some(Told(done)))
}

fn page(asked: &Parameters) -> Result<Page<'_>, Wrong> {
    let tenant = asked.get("tenant").ok_or_else(|| {
        let error = "tenant is required: whose limits, as in ?tenant=acme";
        Wrong::parameter("tenant", error)
    })?;
    Ok(Page {
        tenant,
        limit: asked.get("limit"),
        after: asked.get("after"),
    })
}

impl From<InspectError> for Wrong {
    fn from(error: InspectError) -> Self {
        let status = match error {
            InspectError::NotListed(NotListed::Tenant) => StatusCode::NOT_FOUND,
            InspectError::NotListed(NotListed::After) => StatusCode::BAD_REQUEST,
            InspectError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Wrong::new(status, error.to_string())
    }
}

impl RebuiltLimits {
    fn of(rebuilt: Option<&Rebuilt>) -> Self {
        let limits = rebuilt.map(|rebuilt| rebuilt.limits.iter());
        let left_out = rebuilt.map(|rebuilt| rebuilt.left_out.iter());
        let plan = |plan: &Option<Arc<str>>| plan.as_deref().map(str::to_owned);
        Self {
            lost: rebuilt.is_some(),
            limits: limits.map(|limits| {
                limits
                    .map(|of| RebuiltLimit {
                        limit: of.limit.to_string(),
                        plan: plan(&of.plan),
                        unit: of.unit.as_str(),
                        counters: of.counters,
                        amount: of.amount,
                    })
                    .collect()
            }),
            left_out: left_out.map(|all| {
                all.map(|of| LeftOut {
                    limit: of.limit.to_string(),
                    plan: plan(&of.plan),
                    why: of.why.to_string(),
                })
                .collect()
            }),
            already: rebuilt.map(|rebuilt| rebuilt.already),
            may_lack: rebuilt.map(|rebuilt| rebuilt.may_lack),
        }
    }
}
