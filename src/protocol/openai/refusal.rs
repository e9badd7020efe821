//! Refusals as OpenAI's own API gives them.
//!
//! Source: OpenAI's guide "Error codes", and what openai-python tells apart.
//! What waiting can't cure is told by the code, not by the status: a quota that
//! is used up and a call that is too large for its limit are both a 429.

use crate::protocol::denial::{RateUnit, Rendered};
use crate::protocol::refusal::{Fault, Said};
use serde_json::json;

pub fn render(said: &Said) -> Rendered {
    let status = match said.fault {
        Fault::Quota | Fault::NeverFits => 429,
        other => other.status(),
    };
    let status = said.status(status);
    let (kind, code) = kind_and_code(said);
    let param = match said.fault {
        Fault::UnknownModel => Some("model"),
        _ => said.field,
    };
    let body = json!({
        "error": {"message": said.message, "type": kind, "param": param, "code": code}
    });
    Rendered {
        status,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    }
}

fn kind_and_code<'s>(said: &'s Said) -> (&'static str, &'s str) {
    let kind = match said.fault {
        Fault::Quota => return ("insufficient_quota", "insufficient_quota"),
        Fault::Approval => return (PERMISSION, "approval_required"),
        Fault::Blocked(status) => return (blocked_kind(status), said.code.unwrap_or("blocked")),
        Fault::RateSoon | Fault::RateLater | Fault::NeverFits => {
            return (rate_kind(said), "rate_limit_exceeded");
        }
        Fault::Unmetered | Fault::Unavailable => "server_error",
        _ => "invalid_request_error",
    };
    let code = match said.fault {
        Fault::Key(_) => "invalid_api_key",
        Fault::Header => "invalid_header",
        Fault::UnknownUrl => "unknown_url",
        Fault::Method => "method_not_allowed",
        Fault::MediaType => "unsupported_content_type",
        Fault::Encoding => "unsupported_content_encoding",
        Fault::TooLarge => "request_too_large",
        Fault::Body => "invalid_request_body",
        Fault::Guardrail => "guardrail",
        Fault::UnknownModel => "model_not_found",
        Fault::OutOfScope | Fault::Approval | Fault::Blocked(_) => "permission_denied",
        Fault::Unmetered => "unmetered",
        Fault::Unavailable => "limits_unavailable",
        Fault::RateSoon | Fault::RateLater | Fault::NeverFits | Fault::Quota => {
            "rate_limit_exceeded"
        }
    };
    (kind, code)
}

const PERMISSION: &str = "permission_error";

/// The type of what a rule blocks, by the status that it says.
fn blocked_kind(status: u16) -> &'static str {
    match status {
        402 => "insufficient_quota",
        403 => PERMISSION,
        429 => "requests",
        _ => "invalid_request_error",
    }
}

fn rate_kind(said: &Said) -> &'static str {
    match said.rate.map(|rate| rate.unit) {
        Some(RateUnit::InputTokens | RateUnit::OutputTokens | RateUnit::Tokens) => "tokens",
        Some(RateUnit::Cost) => "cost",
        Some(RateUnit::Requests | RateUnit::Concurrency) | None => "requests",
    }
}
