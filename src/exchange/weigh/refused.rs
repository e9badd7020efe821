//! Refusals of calls by rules.

use super::Ask;
use crate::exchange::admit::Refused;
use crate::policy::grants::ApprovalRequest;
use crate::policy::rule::{Block, Rule};
use crate::protocol::denial::{Denial, PolicyDenial, PolicyKind};
use crate::units::Millis;
use std::sync::Arc;

/// A call that isn't let through, and the model that it was for by then.
pub(in crate::exchange) struct Against {
    pub denial: Denial,
    pub model: Option<Arc<str>>,
    /// What rules in shadow mode would have done.
    pub actions: Vec<Arc<str>>,
    /// What is to be approved.
    pub approval: Option<Box<ApprovalRequest>>,
}

impl From<Denial> for Against {
    fn from(denial: Denial) -> Self {
        Self {
            denial,
            model: None,
            actions: Vec::new(),
            approval: None,
        }
    }
}

/// The refusal, on the caller's account.
pub(super) fn refused(ask: &Ask, against: Against) -> Box<Refused> {
    let Against {
        denial,
        model,
        actions,
        approval,
    } = against;
    let who = &ask.who;
    let (principal, endpoint) = (Some(&who.principal), Some(who.endpoint));
    let mut refused = Refused::new(denial, principal, endpoint, who.started_at);
    refused.model = model;
    refused.actions = actions;
    refused.approval = approval;
    refused
}

pub(in crate::exchange) fn blocked(block: &Block, rule: &Rule) -> Denial {
    let message = block.message.as_deref();
    Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::Blocked {
            status: block.status,
            code: block.code.clone(),
        },
        rule: Arc::clone(&rule.name),
        message: message.map_or_else(
            || format!("This call is not allowed by the rule {}.", rule.name),
            str::to_owned,
        ),
    }))
}

/// The refusal of a call that can't be held back, as too many are already.
pub(in crate::exchange) fn crowded(rule: &Arc<str>, delay: Millis) -> Denial {
    Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::Throttled {
            retry_after_ms: delay.0,
        },
        rule: Arc::clone(rule),
        message: format!(
            "Calls are slowed down by the rule {rule}, and too many wait already. Try again later."
        ),
    }))
}
