//! Refusals as Google's own API gives them: a `google.rpc.Status` in JSON.
//!
//! Source: Google's AIP-193 and `google/rpc/error_details.proto`; the quotas'
//! names as the Gemini API writes them. Clients wait for `retryDelay`, give up
//! for the day where a `quotaId` has `PerDay`, and look for `API_KEY_INVALID`.
//! google-genai retries a 429 only if it is told to, and then by a backoff of
//! its own.

use crate::protocol::denial::{RateDenial, RateUnit, Rendered};
use crate::protocol::refusal::{Fault, Said};
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// `array`: the call asked for a stream that isn't of server-sent events, so
/// its error is the only item of an array, as google-genai expects.
pub fn render(said: &Said, array: bool) -> Rendered {
    let status = match said.fault {
        Fault::Quota => 429,
        other => other.status(),
    };
    let status = said.status(status);
    let mut error = json!({
        "code": status,
        "message": said.message,
        "status": word(said.fault),
    });
    let details = details(said);
    if !details.is_empty() {
        error["details"] = Value::Array(details);
    }
    let mut body = json!({"error": error});
    if array {
        body = json!([body]);
    }
    Rendered {
        status,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    }
}

/// The name of the `google.rpc.Code`. It has none for a wrong method or type.
fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::Key(_) => "UNAUTHENTICATED",
        Fault::UnknownUrl | Fault::UnknownModel => "NOT_FOUND",
        Fault::OutOfScope | Fault::Approval => "PERMISSION_DENIED",
        Fault::Blocked(status) => blocked(status),
        Fault::RateSoon | Fault::RateLater | Fault::Quota => "RESOURCE_EXHAUSTED",
        Fault::Unmetered => "INTERNAL",
        Fault::Unavailable => "UNAVAILABLE",
        Fault::Header
        | Fault::Method
        | Fault::MediaType
        | Fault::Encoding
        | Fault::TooLarge
        | Fault::Body
        | Fault::Guardrail
        | Fault::NeverFits => "INVALID_ARGUMENT",
    }
}

/// The code that goes with a status that a rule says: the reverse of
/// `google/rpc/code.proto`'s own table.
fn blocked(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 429 => "RESOURCE_EXHAUSTED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        400 => "INVALID_ARGUMENT",
        _ => "FAILED_PRECONDITION",
    }
}

fn details(said: &Said) -> Vec<Value> {
    let mut details = Vec::new();
    if let Fault::Key(_) = said.fault {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        }));
    }
    if let Some(field) = said.field {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "description": said.message}],
        }));
    }
    if let Some(rate) = said.rate.filter(|_| said.fault != Fault::NeverFits) {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{
                "quotaMetric": format!("weir/{}", rate.limit_name),
                "quotaId": quota_id(rate),
                "quotaDimensions": {"model": rate.model},
                "quotaValue": rate.limit.to_string(),
            }],
        }));
    }
    if let Some(ms) = said.wait_ms {
        // Whole seconds, as Google's servers tell it and clients read it.
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", ms.div_ceil(1_000)),
        }));
    }
    details
}

fn quota_id(rate: &RateDenial) -> String {
    let what = match rate.unit {
        RateUnit::Requests => "Requests",
        RateUnit::InputTokens => "InputTokens",
        RateUnit::OutputTokens => "OutputTokens",
        RateUnit::Tokens => "Tokens",
        RateUnit::Cost => "Cost",
        RateUnit::Concurrency => "ConcurrentRequests",
    };
    let per = match rate.window_ms {
        None => "",
        Some(ms) if ms <= MINUTE_MS => "PerMinute",
        Some(ms) if ms < DAY_MS => "PerHour",
        Some(_) => "PerDay",
    };
    format!("Generate{what}{per}PerProject")
}
