//! Refusals as Anthropic's own API gives them.
//!
//! Source: Anthropic's reference "Errors", and what anthropic-sdk-python tells
//! apart. Its SDKs retry as `x-should-retry` says, whatever the status, and
//! sleep as long as `retry-after` says, so a quota that is used up is a
//! `billing_error` without one. Limits that can't be checked are an
//! `overloaded_error`, with 503 in place of Anthropic's 529: the SDKs retry
//! both alike, and 529 is no status that Envoy lets an extension answer with.

use crate::protocol::denial::Rendered;
use crate::protocol::refusal::{Fault, Said};
use serde_json::json;

pub fn render(said: &Said) -> Rendered {
    let body = json!({
        "type": "error",
        "error": {"type": kind(said.fault), "message": said.message},
        "request_id": said.id,
    });
    Rendered {
        status: said.status(said.fault.status()),
        headers: vec![("request-id", said.id.to_owned())],
        body: body.to_string().into_bytes(),
    }
}

fn kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Key(_) => "authentication_error",
        Fault::UnknownUrl | Fault::UnknownModel => "not_found_error",
        Fault::OutOfScope | Fault::Approval => "permission_error",
        Fault::Blocked(status) => blocked(status),
        Fault::TooLarge => "request_too_large",
        Fault::RateSoon | Fault::RateLater => "rate_limit_error",
        Fault::Quota => "billing_error",
        Fault::Unmetered => "api_error",
        Fault::Unavailable => "overloaded_error",
        Fault::Header
        | Fault::Method
        | Fault::MediaType
        | Fault::Encoding
        | Fault::Body
        | Fault::Guardrail
        | Fault::NeverFits => "invalid_request_error",
    }
}

/// The type that goes with a status that a rule says.
fn blocked(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        _ => "invalid_request_error",
    }
}
