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
//! Always holds: without the configured token, as `authorization: Bearer`,
//! nothing is told and nothing done; where none is configured, nobody may.

use super::{AdminState, json_response};
use crate::driver::{Driver, InspectError, Inspected, Page, RebuildError, Rebuilt};
use crate::policy::standing::NotListed;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long who asks to rebuild waits for it: less than a request may take. It goes
/// on all the same.
const REBUILD_MAX: Duration = Duration::from_secs(8);

/// Who may ask, and whom.
#[derive(Clone)]
pub struct LimitsApi {
    /// The hash of the token.
    token: Option<[u8; 32]>,
    /// There once the process serves calls.
    driver: Arc<OnceLock<Arc<Driver>>>,
}

impl fmt::Debug for LimitsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitsApi").finish_non_exhaustive()
    }
}

impl LimitsApi {
    pub fn new(token: Option<&str>, driver: Arc<OnceLock<Arc<Driver>>>) -> Self {
        Self {
            token: token.map(|token| Sha256::digest(token).into()),
            driver,
        }
    }

    /// Whether who asks may; else the answer.
    pub(super) fn permit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            let error = "this is switched off: set listen.admin_token to switch it on";
            return Err((StatusCode::FORBIDDEN, error.to_owned()));
        };
        let brought = headers.get(header::AUTHORIZATION);
        let brought = brought.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let fits = brought.is_some_and(|brought| {
            // Hashed, so that the time it takes tells nothing of the token.
            let brought: [u8; 32] = Sha256::digest(brought).into();
            brought.ct_eq(token).into()
        });
        if !fits {
            let error = "listen.admin_token is needed, as authorization: Bearer";
            return Err((StatusCode::UNAUTHORIZED, error.to_owned()));
        }
        Ok(())
    }

    /// Who asks, if they may; else the answer.
    fn driver(&self, headers: &HeaderMap) -> Result<&Driver, Refusal> {
        self.permit(headers)?;
        let driver = self.driver.get().map(|driver| &**driver);
        let starting = || {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "weir is starting".to_owned(),
            )
        };
        driver.ok_or_else(starting)
    }
}

/// Whose counters, of which limit, and from where on.
struct Asked {
    tenant: String,
    limit: Option<String>,
    after: Option<String>,
}

impl Asked {
    fn page(&self) -> Page<'_> {
        Page {
            tenant: &self.tenant,
            limit: self.limit.as_deref(),
            after: self.after.as_deref(),
        }
    }
}

/// `GET`.
pub(super) async fn show(
    State(state): State<AdminState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(shown(&state, query, &headers).await)
}

/// `DELETE`.
pub(super) async fn reset(
    State(state): State<AdminState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(put_at_rest(&state, query, &headers).await)
}

/// `POST`.
pub(super) async fn rebuild(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let driver = match state.limits.driver(&headers) {
        Ok(driver) => driver,
        Err(refusal) => return answer(Err(refusal)),
    };
    let Ok(outcome) = tokio::time::timeout(REBUILD_MAX, driver.rebuild()).await else {
        let error = "it takes long, and goes on; weir's log tells when it is done";
        return json_response(StatusCode::ACCEPTED, &json!({ "error": error }));
    };
    answer(match &*outcome {
        Ok(None) => Ok(json!({ "lost": false })),
        Ok(Some(rebuilt)) => Ok(rebuilt_row(rebuilt)),
        Err(error @ RebuildError::NoLedger) => Err((StatusCode::CONFLICT, error.to_string())),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    })
}

fn rebuilt_row(rebuilt: &Rebuilt) -> Value {
    let limits = rebuilt.limits.iter().map(|of| {
        json!({
            "limit": of.limit,
            "plan": of.plan,
            "unit": of.unit.as_str(),
            "counters": of.counters,
            "amount": of.amount,
        })
    });
    let left_out = rebuilt.left_out.iter();
    let left_out = left_out.map(|of| json!({ "limit": of.limit, "plan": of.plan, "why": of.why }));
    json!({
        "lost": true,
        "limits": limits.collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
        "already": rebuilt.already,
        "may_lack": rebuilt.may_lack,
    })
}

/// What is wrong, and whose fault it is.
pub(super) type Refusal = (StatusCode, String);

fn answer(done: Result<Value, Refusal>) -> Response {
    match done {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err((status, error)) => json_response(status, &json!({ "error": error })),
    }
}

async fn shown(
    state: &AdminState,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<Value, Refusal> {
    let (driver, asked) = permitted(state, query, headers)?;
    let standings = driver.standings(asked.page()).await.map_err(refusal)?;
    let limits: Vec<Value> = standings.counters.iter().map(row).collect();
    Ok(json!({
        "tenant": asked.tenant,
        "limits": limits,
        "more": standings.next.is_some(),
        "next": standings.next,
    }))
}

async fn put_at_rest(
    state: &AdminState,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<Value, Refusal> {
    let (driver, asked) = permitted(state, query, headers)?;
    let reset = driver.reset(asked.page()).await.map_err(refusal)?;
    tracing::warn!(
        tenant = asked.tenant,
        limit = asked.limit,
        counters = reset.counters,
        "limits were reset"
    );
    Ok(json!({
        "tenant": asked.tenant,
        "reset": reset.counters,
        "kept": reset.kept,
        "idle": reset.idle,
        "more": reset.next.is_some(),
        "next": reset.next,
    }))
}

fn permitted<'s>(
    state: &'s AdminState,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<(&'s Driver, Asked), Refusal> {
    let driver = state.limits.driver(headers)?;
    let asked = asked(&query.unwrap_or_default());
    let asked = asked.map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    Ok((driver, asked))
}

fn asked(query: &str) -> Result<Asked, String> {
    let (mut tenant, mut limit, mut after) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "tenant" => &mut tenant,
            "limit" => &mut limit,
            "after" => &mut after,
            _ => return Err("only tenant, limit and after can be asked for".to_owned()),
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    let tenant = tenant.ok_or("tenant is required: whose limits, as in ?tenant=acme")?;
    Ok(Asked {
        tenant,
        limit,
        after,
    })
}

fn row(inspected: &Inspected) -> Value {
    let (counted, standing) = (&inspected.counted, &inspected.standing);
    let limit = &counted.limit;
    let of: Map<String, Value> = counted
        .of
        .iter()
        .map(|(dimension, name)| (dimension.as_str().to_owned(), json!(name)))
        .collect();
    json!({
        "limit": limit.name,
        "of": of,
        "shared": inspected.shared,
        "unit": limit.unit.as_str(),
        "amount": limit.amount,
        "most": limit.most(),
        "used": standing.used,
        "held": inspected.held,
        "remaining": standing.remaining,
        "reset_after_ms": standing.reset_after.map(|span| span.0),
        "shadow": limit.mode == crate::limits::Mode::Shadow,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "as what errors are mapped by"
)]
fn refusal(error: InspectError) -> Refusal {
    let status = match error {
        InspectError::NotListed(NotListed::Tenant) => StatusCode::NOT_FOUND,
        InspectError::NotListed(NotListed::After) => StatusCode::BAD_REQUEST,
        InspectError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}
