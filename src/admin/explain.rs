//! `POST /v1/explain`: what would become of a call, and why, by the counters as they
//! stand.
//!
//! Always holds: nothing is charged or recorded; the request is kept nowhere; of what
//! tenants share nobody who may see one tenant only is told how it stands.

use super::AdminState;
use super::answer::{Answer, Told, Wrong, read};
use super::caller::Caller;
use crate::exchange::explain::question::USUAL_PATH;
use crate::exchange::explain::{Explanation, Question, Whom};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use utoipa::ToSchema;

/// A call that is asked about: by a key, or by somebody of a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallWanted {
    /// The name of the key that makes it.
    key: Option<String>,
    /// The tenant that makes it, where no key is named.
    tenant: Option<String>,
    project: Option<String>,
    environment: Option<String>,
    user: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Where it goes; /v1/chat/completions, where that isn't said.
    path: Option<String>,
    /// What its head says besides; `host` is whom it is for.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The name of the route that Envoy chooses for it.
    envoy_route: Option<String>,
    /// The address that it comes from.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// Its body: as JSON, or as the very text that would be sent, which tells more (a
    /// field that is given twice, say).
    request: Value,
}

/// What would become of a call, and why: every limit, budget, rule and guardrail that
/// applies to it, with their values. Nothing is charged.
#[utoipa::path(
    post, path = "/v1/explain",
    request_body = CallWanted,
    responses((status = 200, body = Object))
)]
pub(super) async fn explain(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Explanation> {
    let wanted: CallWanted = read(&headers, &body)?;
    let driver = state.limits.driver()?;
    let whom = match (&wanted.key, &wanted.tenant) {
        (Some(key), None) => {
            let snapshot = driver.snapshot();
            let known = snapshot.keys.by_id(key);
            let known = known.filter(|known| caller.role.may_see(Some(&known.account().tenant)));
            known.ok_or_else(|| Wrong::nothing("key"))?;
            Whom::Key(key.clone())
        }
        (None, Some(tenant)) => {
            caller.may_see(tenant)?;
            let labels = wanted.labels.iter();
            let labels = labels.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
            let [project, environment, user] =
                [&wanted.project, &wanted.environment, &wanted.user].map(Option::as_deref);
            Whom::of_tenant(tenant, project, environment, user, labels.collect())
        }
        _ => {
            let error = "one of key and tenant is required: who makes the call";
            return Err(Wrong::parameter("tenant", error));
        }
    };
    let path = wanted.path.as_deref().unwrap_or(USUAL_PATH);
    let body = match wanted.request {
        Value::String(text) => text,
        json => json.to_string(),
    };
    let question = Question::new(
        whom,
        path,
        wanted.headers,
        wanted.address,
        body.into_bytes(),
    )
    .by_envoy_route(wanted.envoy_route);
    let told = driver
        .explain(question)
        .await
        .map_err(|error| Wrong::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(Told(seen(told, &caller)))
}

/// Of others' calls, so many of it aren't to be known.
fn seen(told: Explanation, caller: &Caller) -> Explanation {
    let mut told = told;
    if !caller.role.may_see(None) {
        told.limits.retain(|limit| limit.of != "shared");
    }
    told
}
