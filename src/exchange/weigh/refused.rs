//! Refusals of calls by rules.

use crate::policy::rule::{Block, Rule};
use crate::protocol::denial::{Denial, PolicyDenial, PolicyKind};
use crate::units::Millis;
use std::sync::Arc;

pub(super) fn blocked(block: &Block, rule: &Rule) -> Denial {
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
