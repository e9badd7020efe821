//! What a refusal says, in words that fit every dialect, and whether the same
//! call is worth another try.

use super::{Form, QuotaStatus, WAIT_MAX_MS, policy};
use crate::protocol::denial::{
    Credential, Denial, EncodingFault, PolicyKind, RateDenial, RateRetry, RateUnit, Scope,
};
use crate::protocol::openai::rate_headers::{duration, seconds};
use crate::protocol::{Dialect, Endpoint};

/// How long weir may need until it can check its limits again.
const UNAVAILABLE_WAIT_MS: u64 = 1_000;

const DAY_MS: u64 = 24 * 3_600_000;

/// What is wrong, as far as dialects tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Fault {
    Key(Credential),
    Header,
    UnknownUrl,
    Method,
    MediaType,
    Encoding,
    TooLarge,
    Body,
    UnknownModel,
    OutOfScope,
    /// A limit that has room again within [`WAIT_MAX_MS`].
    RateSoon,
    /// A limit that hasn't, but will within a day.
    RateLater,
    /// A quota or budget that is used up: nothing to wait for.
    Quota,
    /// More than the limit can ever give.
    NeverFits,
    /// By a rule, which says the status.
    Blocked(u16),
    /// Somebody has to grant it first.
    Approval,
    /// The request asks for what it may not.
    Guardrail,
    Unmetered,
    Unavailable,
}

/// A refusal before it takes a dialect's form.
#[derive(Debug)]
pub(in crate::protocol) struct Said<'d> {
    pub fault: Fault,
    pub message: String,
    /// The request's field at fault, in the dialect's notation.
    pub field: Option<&'d str>,
    /// After how long the same call is worth another try: at most
    /// [`WAIT_MAX_MS`]. `None` where it isn't, or not so soon.
    pub wait_ms: Option<u64>,
    /// The limit that refused.
    pub rate: Option<&'d RateDenial>,
    /// The rule's own code of the error.
    pub code: Option<&'d str>,
    /// weir's id of the call.
    pub id: &'d str,
    quota_status: Option<QuotaStatus>,
}

impl Fault {
    /// The HTTP status, where a dialect has none of its own.
    pub fn status(self) -> u16 {
        match self {
            Fault::Header | Fault::Body | Fault::NeverFits | Fault::Guardrail => 400,
            Fault::Key(_) => 401,
            Fault::Quota => 402,
            Fault::UnknownUrl | Fault::UnknownModel => 404,
            Fault::OutOfScope | Fault::Approval => 403,
            Fault::Blocked(status) => status,
            Fault::Method => 405,
            Fault::TooLarge => 413,
            Fault::MediaType | Fault::Encoding => 415,
            Fault::RateSoon | Fault::RateLater => 429,
            Fault::Unmetered => 500,
            Fault::Unavailable => 503,
        }
    }

    fn of_rate(rate: &RateDenial) -> Self {
        let is_quota = rate.unit == RateUnit::Cost || rate.window_ms >= Some(DAY_MS);
        match rate.retry {
            RateRetry::Never => Fault::NeverFits,
            RateRetry::AfterMillis(ms) if ms > WAIT_MAX_MS && is_quota => Fault::Quota,
            RateRetry::AfterMillis(ms) if ms > WAIT_MAX_MS => Fault::RateLater,
            RateRetry::AfterMillis(_) | RateRetry::WhenOneEnds { .. } => Fault::RateSoon,
        }
    }
}

impl<'d> Said<'d> {
    pub fn of(denial: &'d Denial, form: Form, id: &'d str) -> Self {
        let (fault, message) = words(denial, form.dialect);
        let wait_ms = match (fault, denial) {
            (Fault::Unavailable, _) => Some(UNAVAILABLE_WAIT_MS),
            (Fault::RateSoon, Denial::Rate(rate)) => match rate.retry {
                RateRetry::AfterMillis(ms) | RateRetry::WhenOneEnds { hint_ms: ms } => Some(ms),
                RateRetry::Never => None,
            },
            (Fault::RateSoon, Denial::Policy(policy)) => match policy.kind {
                PolicyKind::Throttled { retry_after_ms } => Some(retry_after_ms),
                _ => None,
            },
            _ => None,
        };
        Self {
            fault,
            message,
            field: match denial {
                Denial::Body(body) => body.param.as_deref(),
                Denial::Policy(policy) => match &policy.kind {
                    PolicyKind::Guardrail { param } => param.as_deref(),
                    _ => None,
                },
                _ => None,
            },
            wait_ms: wait_ms.map(|ms| ms.min(WAIT_MAX_MS)),
            rate: match denial {
                Denial::Rate(rate) => Some(rate),
                _ => None,
            },
            code: match denial {
                Denial::Policy(policy) => match &policy.kind {
                    PolicyKind::Blocked { code, .. } => code.as_deref(),
                    _ => None,
                },
                _ => None,
            },
            id,
            quota_status: form.quota_status,
        }
    }

    /// The HTTP status: the dialect's `own`, unless configuration says another.
    pub fn status(&self, own: u16) -> u16 {
        match (self.fault, self.quota_status) {
            (Fault::Quota, Some(configured)) => configured.code(),
            _ => own,
        }
    }
}

const KEYS_UNAVAILABLE: &str =
    "This gateway can't tell right now whether the API key is valid. Try again shortly.";

fn words(denial: &Denial, dialect: Dialect) -> (Fault, String) {
    let (fault, fixed) = match denial {
        Denial::Unauthenticated(credential) => {
            return (Fault::Key(*credential), of_key(*credential, dialect));
        }
        Denial::BadHeader(what) => {
            return (Fault::Header, format!("A header can't be read: {what}."));
        }
        Denial::UnknownEndpoint => {
            let message = format!("Unknown request URL.{}", served(dialect));
            return (Fault::UnknownUrl, message);
        }
        Denial::BodyTooLarge { bytes_max } => {
            let message = format!("The request body is larger than {bytes_max} bytes.");
            return (Fault::TooLarge, message);
        }
        Denial::Body(body) => return (Fault::Body, body.message.clone()),
        Denial::Rate(rate) => {
            let fault = Fault::of_rate(rate);
            return (fault, of_rate(rate, fault, dialect));
        }
        Denial::Policy(denial) => return policy::words(denial, dialect),
        Denial::BadQuery => (
            Fault::Header,
            "The query of the URL may only hold alt (sse or json), key and prettyPrint here.",
        ),
        Denial::Upgrade => (
            Fault::UnknownUrl,
            "WebSockets and other upgrades are not served here.",
        ),
        Denial::MethodNotAllowed => (Fault::Method, "Only POST is allowed here."),
        Denial::UnsupportedMediaType { form: false } => (
            Fault::MediaType,
            "The request needs exactly one Content-Type, which must be application/json.",
        ),
        Denial::UnsupportedMediaType { form: true } => (
            Fault::MediaType,
            "The request needs exactly one Content-Type, which must be multipart/form-data with \
             its boundary.",
        ),
        Denial::Encoding(encoding) => of_encoding(*encoding),
        Denial::OutOfScope(scope) => (Fault::OutOfScope, of_scope(*scope)),
        Denial::UnknownModel => (
            Fault::UnknownModel,
            "The model does not exist or is not available here.",
        ),
        Denial::Unmetered => (
            Fault::Unmetered,
            "This gateway is set up wrongly: its request_body_mode must be BUFFERED and its \
             response_body_mode STREAMED, so that calls can be metered.",
        ),
        Denial::KeysUnavailable => (Fault::Unavailable, KEYS_UNAVAILABLE),
        Denial::LimitsUnavailable => (
            Fault::Unavailable,
            "The limits of this gateway can't be checked right now. Try again shortly.",
        ),
    };
    (fault, fixed.to_owned())
}

fn of_scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Model => "This API key may not use the model.",
        Scope::Endpoint => "This API key may not be used at this endpoint.",
        Scope::Address => "This API key may not be used from this address.",
        Scope::Environment => "This API key is for another environment.",
        Scope::Plan => "This API key's organization has no plan here.",
        Scope::Limits => "This API key's own limits can't be applied here.",
    }
}

fn of_encoding(fault: EncodingFault) -> (Fault, &'static str) {
    match fault {
        EncodingFault::Unsupported => (
            Fault::Encoding,
            "The request body may have one Content-Encoding: gzip, deflate, br or zstd.",
        ),
        EncodingFault::Malformed => (
            Fault::Body,
            "The request body is not whole, or not in the coding that its Content-Encoding says.",
        ),
        EncodingFault::Expands => (
            Fault::TooLarge,
            "The request body expands more than this gateway allows; send it uncompressed.",
        ),
    }
}

/// How a dialect's clients send their key.
fn key_header(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "x-api-key: YOUR_KEY",
        Dialect::Gemini => "x-goog-api-key: YOUR_KEY",
        Dialect::OpenAi | Dialect::Bedrock | Dialect::Cohere | Dialect::Ollama => {
            "Authorization: Bearer YOUR_KEY"
        }
    }
}

fn of_key(credential: Credential, dialect: Dialect) -> String {
    let problem = match credential {
        Credential::Missing => "You didn't provide an API key.",
        Credential::Several => "You provided more than one API key.",
        Credential::Malformed => "The API key can't be read.",
        Credential::Mistyped => "The API key is mistyped or incomplete.",
        Credential::Unknown => "Incorrect API key provided.",
        Credential::Ended => "The API key has expired.",
        Credential::Unmapped => return "Your identity is not one that may call here.".to_owned(),
    };
    format!(
        "{problem} Send it as one header, and no other key: {}.",
        key_header(dialect)
    )
}

/// The endpoints of a dialect that can be called here, as a sentence.
fn served(dialect: Dialect) -> String {
    let served = Endpoint::all().filter(|endpoint| *endpoint != Endpoint::Other);
    let of_dialect = served.filter(|endpoint| endpoint.dialect() == dialect);
    let mut paths: Vec<&str> = of_dialect.map(Endpoint::path).collect();
    let Some(last) = paths.pop() else {
        return String::new();
    };
    let before = match paths.is_empty() {
        true => String::new(),
        false => format!("{} and ", paths.join(", ")),
    };
    format!(" This gateway serves POST {before}{last}.")
}

/// In OpenAI's words, which clients look for; the time to wait is in Google's
/// for Google's clients, who read it from there.
fn of_rate(rate: &RateDenial, fault: Fault, dialect: Dialect) -> String {
    let amount = |amount: u64| match rate.unit {
        RateUnit::Cost => dollars(amount),
        _ => amount.to_string(),
    };
    let (limit, used) = (amount(rate.limit), amount(rate.used));
    let (requested, left) = (amount(rate.requested), amount(rate.remaining));
    let (name, scope, what) = (&rate.limit_name, &rate.scope, what(rate.unit));
    let of_whom = format!("{} in organization {} on {what}", rate.model, rate.tenant);
    if fault == Fault::NeverFits {
        return format!(
            "Request too large for {of_whom} ({name}, per {scope}): Limit {limit}, Requested \
             {requested}. The input or output tokens must be reduced in order to run successfully."
        );
    }
    let reached = match fault {
        Fault::Quota => "Quota exceeded",
        _ => "Rate limit reached",
    };
    let when = match (fault, rate.retry) {
        (Fault::Quota, RateRetry::AfterMillis(ms)) => {
            format!("It has room for this call in {}.", duration(ms))
        }
        (_, RateRetry::AfterMillis(ms)) => again(fault, ms, dialect),
        _ => "Please try again when another request has ended.".to_owned(),
    };
    format!(
        "{reached} for {of_whom} ({name}, per {scope}, {left} left): Limit {limit}, Used {used}, \
         Requested {requested}. {when}"
    )
}

/// When to try again, as a dialect's clients read it.
pub(super) fn again(fault: Fault, ms: u64, dialect: Dialect) -> String {
    match (fault, dialect) {
        (Fault::RateSoon, Dialect::Gemini) => format!("Please retry in {}s.", seconds(ms)),
        _ => format!("Please try again in {}.", duration(ms)),
    }
}

fn what(unit: RateUnit) -> &'static str {
    match unit {
        RateUnit::Requests => "requests",
        RateUnit::InputTokens => "input tokens",
        RateUnit::OutputTokens => "output tokens",
        RateUnit::Tokens => "tokens",
        RateUnit::Cost => "cost",
        RateUnit::Concurrency => "concurrent requests",
    }
}

/// Nano-dollars with as many decimals as they need, at least two.
fn dollars(nanos: u64) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let decimals = format!("{rest:09}");
    let (cents, finer) = decimals.split_at(2);
    format!("${whole}.{cents}{}", finer.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::dollars;

    #[test]
    fn dollars_have_the_decimals_that_they_need() {
        for (nanos, text) in [
            (12_300_000_000, "$12.30"),
            (1, "$0.000000001"),
            (0, "$0.00"),
            (u64::MAX, "$18446744073.709551615"),
        ] {
            assert_eq!(dollars(nanos), text);
        }
    }
}
