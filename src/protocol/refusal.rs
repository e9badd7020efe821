//! A [`Denial`] in the form of the API that was called, so that the caller's
//! SDK does the right thing: retries what will pass, at the right time, and
//! nothing else.
//!
//! What is said and when to retry is decided here, once; a dialect's own
//! `refusal` gives it a status, a body and the headers that its SDKs read.
//! Always holds: whoever is told to retry is told to wait at most
//! [`WAIT_MAX_MS`]; whoever would have to wait longer is told not to retry,
//! and no header to retry by names the time, as some SDKs sleep however long
//! one says.
//!
//! Sources: openai-python, openai-node, anthropic-sdk-python and
//! anthropic-sdk-typescript honour `x-should-retry`, then `retry-after-ms`,
//! then `retry-after`; cohere-python the latter two.

mod guess;
mod policy;
mod words;

pub(super) use words::{Fault, Said};

use super::denial::{Denial, PolicyKind, Rendered};
use super::{Dialect, Endpoint, anthropic, bedrock, cohere, gemini, ollama, openai};

/// The longest that an SDK is told to wait by itself, in milliseconds.
/// openai-python waits no longer than this; openai-node and Anthropic's would
/// sleep through an hour.
pub const WAIT_MAX_MS: u64 = 120_000;

/// The status of a call that is refused by a quota or budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaStatus {
    PaymentRequired,
    Forbidden,
    /// Some SDKs try again on it whatever else is said: AWS's, Cohere's.
    TooManyRequests,
}

impl QuotaStatus {
    /// As HTTP numbers it.
    pub fn code(self) -> u16 {
        match self {
            QuotaStatus::PaymentRequired => 402,
            QuotaStatus::Forbidden => 403,
            QuotaStatus::TooManyRequests => 429,
        }
    }
}

/// The form in which a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub dialect: Dialect,
    /// In place of the dialect's own.
    pub quota_status: Option<QuotaStatus>,
    /// The answer would have been a JSON array, item by item: its error is one
    /// item of such an array.
    pub array: bool,
}

impl Default for Form {
    /// What most clients understand.
    fn default() -> Self {
        Self {
            dialect: Dialect::OpenAi,
            quota_status: None,
            array: false,
        }
    }
}

impl Form {
    /// The form of a call whose endpoint is known, else this one.
    #[must_use]
    pub fn at(self, endpoint: Option<Endpoint>) -> Self {
        // One that is let through unread is of no dialect.
        let endpoint = endpoint.filter(|endpoint| *endpoint != Endpoint::Other);
        Self {
            dialect: endpoint.map_or(self.dialect, Endpoint::dialect),
            ..self
        }
    }
}

/// The answer to a refused call. `id` is weir's id of the call, by which it can
/// be looked up; dialects whose errors have an id of their own carry it.
pub fn render(form: Form, denial: &Denial, id: &str) -> Rendered {
    let said = Said::of(denial, form, id);
    let mut rendered = match form.dialect {
        Dialect::OpenAi => openai::refusal::render(&said),
        Dialect::Anthropic => anthropic::refusal::render(&said),
        Dialect::Gemini => gemini::refusal::render(&said, form.array),
        Dialect::Bedrock => bedrock::refusal::render(&said),
        Dialect::Cohere => cohere::refusal::render(&said),
        Dialect::Ollama => ollama::refusal::render(&said),
    };
    rendered.headers.extend(retry_headers(said.wait_ms));
    rendered.headers.extend(approval_header(denial));
    if said.fault == Fault::Encoding {
        // As RFC 7694 asks of a 415.
        let codings = "gzip, deflate, br, zstd".to_owned();
        rendered.headers.push(("accept-encoding", codings));
    }
    rendered
}

/// By which id an approval can be granted, so that tools needn't look for it in
/// the message.
fn approval_header(denial: &Denial) -> Option<(&'static str, String)> {
    let Denial::Policy(policy) = denial else {
        return None;
    };
    let PolicyKind::NeedsApproval { request_id, .. } = &policy.kind else {
        return None;
    };
    let is_value = request_id.bytes().all(|byte| byte.is_ascii_graphic());
    is_value.then(|| ("x-weir-approval", request_id.clone()))
}

/// `retry-after` counts whole seconds, so it is rounded up; the exact time is
/// in `retry-after-ms`, which the SDKs prefer.
fn retry_headers(wait_ms: Option<u64>) -> Vec<(&'static str, String)> {
    let Some(ms) = wait_ms else {
        return vec![("x-should-retry", "false".to_owned())];
    };
    vec![
        ("retry-after-ms", ms.to_string()),
        ("retry-after", ms.div_ceil(1_000).to_string()),
        ("x-should-retry", "true".to_owned()),
    ]
}

#[cfg(test)]
mod tests;
