//! Refusals as Amazon Bedrock's runtime gives them: the error's name in a
//! header, its message in the body.
//!
//! Source: Bedrock's API reference and service model (names and statuses), the
//! errors common to AWS services. botocore retries 429, 500 and 503, by a
//! backoff of its own, whatever `retry-after` and `x-should-retry` say, and
//! raises it to `x-amz-retry-after` in its newer mode. So what is not to be
//! retried is a 400 or 403.

use crate::protocol::denial::{Credential, Rendered};
use crate::protocol::refusal::{Fault, Said};
use serde_json::json;

pub fn render(said: &Said) -> Rendered {
    let (status, name) = status_and_name(said.fault);
    let mut headers = vec![
        ("x-amzn-errortype", name.to_owned()),
        ("x-amzn-requestid", said.id.to_owned()),
    ];
    if let Some(ms) = said.wait_ms {
        headers.push(("x-amz-retry-after", ms.to_string()));
    }
    Rendered {
        status: said.status(status),
        headers,
        body: json!({"message": said.message}).to_string().into_bytes(),
    }
}

fn status_and_name(fault: Fault) -> (u16, &'static str) {
    match fault {
        Fault::Key(Credential::Missing) => (403, "MissingAuthenticationTokenException"),
        Fault::Key(_) => (403, "UnrecognizedClientException"),
        Fault::UnknownUrl => (404, "UnknownOperationException"),
        Fault::UnknownModel => (404, "ResourceNotFoundException"),
        Fault::OutOfScope | Fault::Approval => (403, "AccessDeniedException"),
        Fault::Blocked(status) => (status, blocked(status)),
        Fault::TooLarge => (413, "RequestEntityTooLargeException"),
        Fault::RateSoon | Fault::RateLater => (429, "ThrottlingException"),
        Fault::Quota => (400, "ServiceQuotaExceededException"),
        Fault::Unmetered => (500, "InternalServerException"),
        Fault::Unavailable => (503, "ServiceUnavailableException"),
        Fault::Header
        | Fault::Method
        | Fault::MediaType
        | Fault::Encoding
        | Fault::Body
        | Fault::Guardrail
        | Fault::NeverFits => (400, "ValidationException"),
    }
}

/// The error that goes with a status that a rule says.
fn blocked(status: u16) -> &'static str {
    match status {
        401 => "UnrecognizedClientException",
        402 => "ServiceQuotaExceededException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        409 => "ConflictException",
        413 => "RequestEntityTooLargeException",
        429 => "ThrottlingException",
        _ => "ValidationException",
    }
}
