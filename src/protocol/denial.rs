//! Why a call is not let through, before it takes a dialect's form.
//!
//! `refusal` renders a [`Denial`] into a [`Rendered`] answer that the caller's
//! SDK understands. Nothing here repeats a prompt or a key.

mod policy;

use super::BodyError;
use std::sync::Arc;

pub use policy::{BLOCKED_STATUS, Entitlement, PolicyDenial, PolicyKind};

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No credential, several, or one that is not known.
    Unauthenticated(Credential),
    /// A header that can't be read or contradicts another; the text says which.
    BadHeader(&'static str),
    UnknownEndpoint,
    /// The query asks for what isn't read here.
    BadQuery,
    /// A WebSocket, or another upgrade.
    Upgrade,
    MethodNotAllowed,
    /// Not `application/json`, or not `multipart/form-data` where that is a
    /// `form`.
    UnsupportedMediaType {
        form: bool,
    },
    /// A body that can't be decoded.
    Encoding(EncodingFault),
    BodyTooLarge {
        bytes_max: usize,
    },
    Body(BodyError),
    UnknownModel,
    /// The key is not for such calls.
    OutOfScope(Scope),
    Rate(Box<RateDenial>),
    /// A rule or a guardrail of the operator's.
    Policy(Box<PolicyDenial>),
    /// The gateway didn't show weir the request's body.
    Unmetered,
    /// Whether the key is one isn't known now.
    KeysUnavailable,
    /// Limits can't be checked now; nothing is let through unseen.
    LimitsUnavailable,
}

/// What was wrong with a body's content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingFault {
    /// It is not known, or there are several.
    Unsupported,
    /// The body is no whole stream of it.
    Malformed,
    /// The body expands out of all proportion.
    Expands,
}

/// What was wrong with the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    Missing,
    Several,
    Malformed,
    /// The checksum of one of weir's own keys doesn't fit.
    Mistyped,
    Unknown,
    /// The key was one until some time ago.
    Ended,
    /// Who it is was verified, but names nobody.
    Unmapped,
}

/// What of a call a key is not for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Model,
    Endpoint,
    /// Where the call comes from.
    Address,
    /// What the route is for.
    Environment,
    /// Its tenant is on no plan.
    Plan,
    /// Its own limits can't be held to here.
    Limits,
}

/// A limit that refused a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateDenial {
    pub unit: RateUnit,
    /// The limit's name in the plan.
    pub limit_name: Arc<str>,
    /// Whose calls it counts together, as `user-model`.
    pub scope: String,
    pub tenant: Arc<str>,
    pub model: Arc<str>,
    pub limit: u64,
    pub used: u64,
    pub requested: u64,
    pub remaining: u64,
    /// How long its amount is for, or where a calendar says, about as long at
    /// least; `None` of calls in flight.
    pub window_ms: Option<u64>,
    pub retry: RateRetry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateUnit {
    Requests,
    InputTokens,
    OutputTokens,
    Tokens,
    /// Nano-dollars.
    Cost,
    Concurrency,
}

/// When the same call would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateRetry {
    AfterMillis(u64),
    /// Nobody can know; `hint_ms` is a polite pause.
    WhenOneEnds {
        hint_ms: u64,
    },
    /// Never: it asks for more than the limit can give.
    Never,
}

/// An answer in a dialect's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What a limit says in the headers of an answer that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RateStanding {
    pub limit: u64,
    pub remaining: u64,
    pub reset_ms: u64,
}

impl Denial {
    /// A short, fixed name for metrics, events and `x-weir-decision`; a limit and
    /// a rule go by their own names there.
    pub fn reason(&self) -> &'static str {
        match self {
            Denial::Unauthenticated(_) => "unauthenticated",
            Denial::BadHeader(_) => "bad_header",
            Denial::UnknownEndpoint => "unknown_endpoint",
            Denial::BadQuery => "bad_query",
            Denial::Upgrade => "upgrade",
            Denial::MethodNotAllowed => "method_not_allowed",
            Denial::UnsupportedMediaType { .. } => "unsupported_media_type",
            Denial::Encoding(EncodingFault::Unsupported) => "unsupported_encoding",
            Denial::Encoding(EncodingFault::Malformed) => "malformed_encoding",
            Denial::Encoding(EncodingFault::Expands) => "body_expands",
            Denial::BodyTooLarge { .. } => "body_too_large",
            Denial::Body(_) => "bad_body",
            Denial::UnknownModel => "unknown_model",
            Denial::OutOfScope(Scope::Model) => "model_not_allowed",
            Denial::OutOfScope(Scope::Endpoint) => "endpoint_not_allowed",
            Denial::OutOfScope(Scope::Address) => "address_not_allowed",
            Denial::OutOfScope(Scope::Environment) => "environment_not_allowed",
            Denial::OutOfScope(Scope::Plan) => "no_plan",
            Denial::OutOfScope(Scope::Limits) => "key_limits",
            Denial::KeysUnavailable => "keys_unavailable",
            Denial::Rate(rate) => rate.unit.as_str(),
            Denial::Policy(policy) => policy.kind.as_str(),
            Denial::Unmetered => "unmetered",
            Denial::LimitsUnavailable => "limits_unavailable",
        }
    }
}

impl RateUnit {
    pub fn as_str(self) -> &'static str {
        match self {
            RateUnit::Requests => "requests",
            RateUnit::InputTokens => "input_tokens",
            RateUnit::OutputTokens => "output_tokens",
            RateUnit::Tokens => "tokens",
            RateUnit::Cost => "cost",
            RateUnit::Concurrency => "concurrency",
        }
    }
}
