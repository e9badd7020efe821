//! What a refusal by the operator's own rules says.

use super::WAIT_MAX_MS;
use super::words::{Fault, again};
use crate::protocol::Dialect;
use crate::protocol::denial::{BLOCKED_STATUS, Entitlement, PolicyDenial, PolicyKind};

/// What is wrong, as dialects tell it apart, and the sentences that say it.
pub(super) fn words(denial: &PolicyDenial, dialect: Dialect) -> (Fault, String) {
    let fault = match &denial.kind {
        PolicyKind::Blocked { status, .. } => Fault::Blocked(match status {
            400..=499 => *status,
            _ => BLOCKED_STATUS,
        }),
        PolicyKind::NeedsApproval { .. } => Fault::Approval,
        PolicyKind::Throttled { retry_after_ms } => match *retry_after_ms <= WAIT_MAX_MS {
            true => Fault::RateSoon,
            false => Fault::RateLater,
        },
        PolicyKind::Guardrail { .. } => Fault::Guardrail,
        PolicyKind::NotEntitled { .. } => Fault::OutOfScope,
    };
    let mut message = match denial.message.as_str() {
        "" => usual(&denial.kind).to_owned(),
        given => given.to_owned(),
    };
    if let Some(more) = more(&denial.kind, fault, dialect) {
        message.push(' ');
        message.push_str(&more);
    }
    (fault, message)
}

/// Where the rule has no words.
fn usual(kind: &PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Blocked { .. } => "This call is blocked by a rule of this gateway.",
        PolicyKind::NeedsApproval { .. } => "This call needs an approval.",
        PolicyKind::Throttled { .. } => "Too many calls are waiting here.",
        PolicyKind::Guardrail { .. } => "The request asks for more than this gateway allows.",
        PolicyKind::NotEntitled { what } => match what {
            Entitlement::Model => "The plan does not include the model.",
            Entitlement::Endpoint => "The plan does not include this endpoint.",
            Entitlement::Tool => "The plan does not include one of the request's tools.",
            Entitlement::Tier => "The plan does not include this tier of service.",
        },
    }
}

/// What only the refusal itself knows: by which id, by whom, when.
fn more(kind: &PolicyKind, fault: Fault, dialect: Dialect) -> Option<String> {
    match kind {
        PolicyKind::NeedsApproval {
            request_id,
            approvers,
            denied_by,
        } => Some(match (denied_by, approvers) {
            (Some(who), _) => format!("Approval request {request_id} was denied by {who}."),
            (None, Some(who)) => format!("Approval request {request_id} can be granted by {who}."),
            (None, None) => format!("It waits as approval request {request_id}."),
        }),
        PolicyKind::Throttled { retry_after_ms } => Some(again(fault, *retry_after_ms, dialect)),
        PolicyKind::Blocked { .. }
        | PolicyKind::Guardrail { .. }
        | PolicyKind::NotEntitled { .. } => None,
    }
}
