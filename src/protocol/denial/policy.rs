//! What the operator's own rules and guardrails refuse.

use std::sync::Arc;

/// The status of a blocked call where a rule says none, or one that is none of a
/// client's errors.
pub const BLOCKED_STATUS: u16 = 403;

/// A rule or a guardrail that refused a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDenial {
    pub kind: PolicyKind,
    /// Its name, which is also the decision's.
    pub rule: Arc<str>,
    /// For the client; where it is empty, each kind has words of its own.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyKind {
    Blocked {
        /// From 400 to 499, else [`BLOCKED_STATUS`]. Some SDKs try again on 408,
        /// 409 and 429 whatever else is said: AWS's, Cohere's.
        status: u16,
        /// Of the error, in dialects whose errors have one: OpenAI's.
        code: Option<Arc<str>>,
    },
    /// Somebody has to grant it first.
    NeedsApproval {
        request_id: String,
        approvers: Option<Arc<str>>,
        /// Who said no to it already.
        denied_by: Option<Arc<str>>,
    },
    /// Too many wait already. Beyond [`WAIT_MAX_MS`] the client isn't told to
    /// wait by itself.
    ///
    /// [`WAIT_MAX_MS`]: crate::protocol::refusal::WAIT_MAX_MS
    Throttled { retry_after_ms: u64 },
    /// The request asks for what it may not, in this field.
    Guardrail { param: Option<String> },
    /// The plan doesn't have it.
    NotEntitled { what: Entitlement },
}

/// What a plan can be without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entitlement {
    Model,
    Endpoint,
    Tool,
    /// The tier of service.
    Tier,
}

impl PolicyKind {
    /// As [`Denial::reason`](super::Denial::reason).
    pub fn as_str(&self) -> &'static str {
        match self {
            PolicyKind::Blocked { .. } => "blocked",
            PolicyKind::NeedsApproval { .. } => "approval_required",
            PolicyKind::Throttled { .. } => "throttled",
            PolicyKind::Guardrail { .. } => "guardrail",
            PolicyKind::NotEntitled { what } => match what {
                Entitlement::Model => "model_not_allowed",
                Entitlement::Endpoint => "endpoint_not_allowed",
                Entitlement::Tool => "tool_not_allowed",
                Entitlement::Tier => "tier_not_allowed",
            },
        }
    }
}
