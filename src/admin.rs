//! Health, readiness and metrics over HTTP, for probes and scrapers.
//!
//! | path | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200, or 503 while any part is not as it should be; the parts as JSON |
//! | `GET /metrics` | all metrics, as OpenMetrics text |
//! | `/v1/limits` | a tenant's limits, for who brings the token: see `limits` |
//! | `/v1/usage`, `/v1/usage/top`, `/v1/usage/calls/{id}` | reports, for the same: see `usage` |
//! | `GET /openapi.json` | all of this, as an OpenAPI document |
//!
//! Anything else is 404 or 405, as JSON. Nothing secret is shown.
//!
//! Always holds: whatever peers do, at most [`CONNECTIONS_MAX`] are served at a
//! time, each for one request, for at most [`REQUEST_MAX`], with a head of at
//! most [`HEAD_BYTES_MAX`]. Bodies are not read.
//!
//! Where clients are verified, a request brings its client's
//! [`ClientNames`](crate::certificates::ClientNames) along, as an extension:
//! `Option<Extension<Arc<ClientNames>>>` to a handler.
//!
//! Left to others: a runtime of its own (`app`), so that a scrape never slows a
//! call; how connections come in (`transport`).

mod limits;
mod openapi;
mod usage;

pub use limits::LimitsApi;
pub use usage::UsageApi;

use crate::telemetry::metrics::{self, Metrics};
use crate::telemetry::readiness::Readiness;
use crate::transport::{Connection, Incoming};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The paths of [`router`], as OpenAPI writes them.
const PAGES: [&str; 8] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/limits",
    "/v1/usage",
    "/v1/usage/top",
    "/v1/usage/calls/{id}",
    "/openapi.json",
];

/// Probes and scrapers are few.
pub const CONNECTIONS_MAX: usize = 64;

/// From a connection's start to its end. A scrape takes milliseconds.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);

/// What a request's head may take, the request line included.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long open requests may take once the server is told to stop.
const STOP_MAX: Duration = Duration::from_secs(1);

/// What the pages show.
#[derive(Debug, Clone)]
pub struct AdminState {
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
    pub limits: LimitsApi,
    pub usage: UsageApi,
}

/// The pages.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/v1/limits", get(limits::show).delete(limits::reset))
        .route("/v1/usage", get(usage::report))
        .route("/v1/usage/top", get(usage::top))
        .route("/v1/usage/calls/{id}", get(usage::call))
        .route("/openapi.json", get(openapi::document))
        .route("/v1/limits/rebuild", post(limits::rebuild))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// Serves the pages until `shutdown` resolves, then lets open requests end.
pub async fn serve(incoming: Incoming, state: AdminState, shutdown: impl Future<Output = ()>) {
    serve_within(REQUEST_MAX, incoming, router(state), shutdown).await;
}

async fn serve_within(
    request_max: Duration,
    mut incoming: Incoming,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let service = TowerToHyperService::new(router);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            connection = incoming.next(), if connections.len() < CONNECTIONS_MAX => {
                let served = serve_one(connection, service.clone());
                connections.spawn(tokio::time::timeout(request_max, served));
            }
        }
    }
    drop(incoming);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is still open then is aborted with the set.
    let _ = tokio::time::timeout(STOP_MAX, all).await;
}

/// One connection, one request: nothing idles on this port.
async fn serve_one(connection: Connection, service: TowerToHyperService<Router>) {
    let client = connection.client().cloned();
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        if let Some(client) = &client {
            request.extensions_mut().insert(Arc::clone(client));
        }
        service.call(request)
    });
    // How long it may take is bounded by the caller, from its first byte to its
    // last.
    let served = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection failed");
    }
}

async fn healthz() -> Response {
    json_response(StatusCode::OK, &json!({ "status": "alive" }))
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let checks = state.readiness.checks();
    let ready = checks.iter().all(|check| check.ok);
    let parts: serde_json::Map<_, _> = checks
        .iter()
        .map(|check| (check.name.to_owned(), json!(check.ok)))
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json_response(status, &json!({ "ready": ready, "checks": parts }))
}

async fn scrape(State(state): State<AdminState>) -> Response {
    let headers = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static(metrics::CONTENT_TYPE),
    )];
    (headers, state.metrics.encode()).into_response()
}

async fn not_found() -> Response {
    json_response(
        StatusCode::NOT_FOUND,
        &json!({ "error": "no such page", "pages": PAGES }),
    )
}

async fn method_not_allowed() -> Response {
    let body = json!({ "error": "this method is not allowed here" });
    json_response(StatusCode::METHOD_NOT_ALLOWED, &body)
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests;
