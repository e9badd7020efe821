//! What anybody may ask: probes and scrapers.

use super::AdminState;
use super::answer::{Told, json};
use super::described::{FileState, Readiness};
use crate::telemetry::metrics;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alive {
    status: &'static str,
}

/// 200 while the process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Alive)))]
pub(super) async fn healthz() -> Told<Alive> {
    Told(Alive { status: "alive" })
}

/// 200, or 503 while any part is not as it should be.
#[utoipa::path(
    get, path = "/readyz",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(super) async fn readyz(State(state): State<AdminState>) -> Response {
    let checks = state.readiness.checks();
    let body = Readiness {
        ready: checks.iter().all(|check| check.ok),
        checks: checks.iter().map(|check| (check.name, check.ok)).collect(),
        configuration: FileState::of(&state.readiness.configuration()),
    };
    let status = match body.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &body)
}

/// All metrics, as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn scrape(State(state): State<AdminState>) -> Response {
    state.metrics.parts(&state.readiness.checks());
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], state.metrics.encode()).into_response()
}
