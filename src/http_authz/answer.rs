//! What a gateway is answered.

use super::ask::AskError;
use crate::exchange::door::Passed;
use crate::exchange::message::{CALLER_HEADER, Judged, KEY_HEADER};
use crate::protocol::denial::Rendered;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

pub(super) type Answer = Full<Bytes>;

/// Which of the call's headers Envoy is to remove.
/// Source: Envoy's documentation of HTTP authorization servers.
const REMOVE: &str = "x-envoy-auth-headers-to-remove";

/// Whose call it is. Those that say nothing of a call are removed from it, so that
/// nobody's own pass for them.
const NAMES: [&str; 8] = [
    "x-weir-tenant",
    "x-weir-project",
    "x-weir-environment",
    "x-weir-user",
    "x-weir-plan",
    KEY_HEADER,
    CALLER_HEADER,
    "x-weir-decision-id",
];

/// A call that may go on, and whose it is.
pub(super) fn passed(passed: &Passed) -> Response<Answer> {
    let who = &passed.principal;
    let (key_id, caller) = match &passed.judged {
        Judged::Key(id) => (Some(id.clone()), None),
        Judged::Caller(caller) => (None, Some(caller.to_json().to_string())),
    };
    let text = |text: &str| Some(text.to_owned());
    let said = [
        text(&who.tenant),
        who.project.as_deref().and_then(text),
        who.environment.as_deref().and_then(text),
        who.user.as_deref().and_then(text),
        text(&who.plan),
        key_id,
        caller,
        Some(passed.id.to_string()),
    ];
    let mut response = Response::new(Answer::default());
    let headers = response.headers_mut();
    let mut remove = passed.edits.remove.clone();
    remove.retain(|name| !NAMES.contains(&name.as_str()));
    for (name, value) in NAMES.into_iter().zip(said) {
        // A name that no header can hold is left out, and the client's own too.
        match value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
            Some(value) => drop(headers.insert(HeaderName::from_static(name), value)),
            None => remove.push(name.to_owned()),
        }
    }
    if let Ok(value) = HeaderValue::from_str(&remove.join(",")) {
        headers.insert(HeaderName::from_static(REMOVE), value);
    }
    for (name, value) in &passed.rate_headers {
        put(&mut response, name, value);
    }
    response
}

/// As the caller is to be answered.
pub(super) fn refused(rendered: Rendered) -> Response<Answer> {
    let mut response = Response::new(Answer::from(rendered.body));
    *response.status_mut() = StatusCode::from_u16(rendered.status).unwrap_or(StatusCode::FORBIDDEN);
    for (name, value) in &rendered.headers {
        put(&mut response, name, value);
    }
    response
}

/// To a gateway that asks nothing.
pub(super) fn unanswerable(error: &AskError) -> Response<Answer> {
    let status = match error {
        AskError::NoSuchPath => StatusCode::NOT_FOUND,
        AskError::NotTold | AskError::NoBody => StatusCode::BAD_REQUEST,
        AskError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
    };
    plain(status, &error.to_string())
}

pub(super) fn not_now() -> Response<Answer> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "weir is shutting down")
}

fn plain(status: StatusCode, text: &str) -> Response<Answer> {
    let body = json!({ "error": text }).to_string();
    let mut response = Response::new(Answer::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn put(response: &mut Response<Answer>, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}
