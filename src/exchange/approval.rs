//! Calls that need someone's consent: by which grant they go on, or whom to ask.
//!
//! A grant is a limit like others: what it allows is counted in the tenant's own
//! slot, reserved and settled with all else that a call is charged to. So it is used
//! up exactly, by however many sidecars at once.

use crate::limits::{Charge, Unit};
use crate::policy::Snapshot;
use crate::policy::facts::Facts;
use crate::policy::grants::{Allowance, ApprovalRequest, Approver, Grant, action};
use crate::policy::rule::{Approval, Rule};
use crate::protocol::denial::{Denial, PolicyDenial, PolicyKind};
use crate::units::Millis;
use std::sync::Arc;

/// How long a request waits for an answer, after it was made last.
const REQUEST_TTL: Millis = Millis::from_mins(7 * 24 * 60);

/// A call that may go on by a grant.
#[derive(Debug)]
pub(super) struct Granted {
    /// The action that the call's row tells it by.
    pub action: Arc<str>,
    /// `None` where the grant is without bounds.
    pub charge: Option<Charge>,
    /// What becomes of the call where the grant is used up.
    pub otherwise: Box<Needed>,
}

/// Consent that a call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub denial: Denial,
    /// `None`: it was denied, and nobody is asked again while that holds.
    pub request: Option<Box<ApprovalRequest>>,
}

/// The grant that a call goes on by: of those that fit, one without bounds, or else the
/// newest whose whole allowance is enough for it.
///
/// # Errors
/// No grant fits.
pub(super) fn granted(
    snapshot: &Snapshot,
    approval: &Approval,
    rule: &Rule,
    facts: &Facts,
) -> Result<Granted, Box<Needed>> {
    let (who, model) = (facts.call.who, &facts.call.model.name);
    let grants = snapshot.grants.for_call(who, &rule.name, model, facts.now);
    let most = facts.call.most.cost_nanos;
    let best = grants.max_by_key(|grant| (reach(grant.allowance, most), grant.from));
    let otherwise = Box::new(needed(snapshot, approval, rule, facts));
    match best {
        Some(grant) => Ok(Granted {
            action: action(&rule.name, &grant.id),
            charge: charge(grant, facts),
            otherwise,
        }),
        None => Err(otherwise),
    }
}

/// How far an allowance reaches for a call of at most this cost, if nothing of it were
/// used.
fn reach(allowance: Allowance, most_nanos: u64) -> u8 {
    match allowance {
        Allowance::Unlimited => 2,
        Allowance::CostNanos(nanos) if nanos < most_nanos => 0,
        Allowance::CostNanos(_) | Allowance::Calls(_) => 1,
    }
}

/// What a call takes of a grant.
fn charge(grant: &Grant, facts: &Facts) -> Option<Charge> {
    let (limit, counter) = grant.limit()?;
    let taken = match limit.unit {
        Unit::Cost => facts.call.most.cost_nanos,
        _ => 1,
    };
    Some(Charge::new(Arc::new(limit), counter, taken))
}

/// The refusal, by which consent can be asked for.
fn needed(snapshot: &Snapshot, approval: &Approval, rule: &Rule, facts: &Facts) -> Needed {
    let request = request(approval, rule, facts);
    let who = facts.call.who;
    let denied = snapshot.grants.denied(&who.tenant, &request.id, facts.now);
    let denied_by = denied.map(|denial| &denial.denied_by);
    let message = match (&denied_by, &approval.message, &approval.approvers) {
        (Some(by), ..) => format!(
            "This call was not approved by {by} (request {}).",
            request.id
        ),
        (None, Some(message), _) => format!("{message} (approval request {})", request.id),
        (None, None, Some(approvers)) => format!(
            "This call needs an approval: ask {approvers} to approve request {}.",
            request.id
        ),
        (None, None, None) => format!(
            "This call needs an approval: ask for request {} to be approved.",
            request.id
        ),
    };
    let denial = Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::NeedsApproval {
            request_id: request.id.to_string(),
            approvers: approval.approvers.clone(),
            denied_by: denied_by.cloned(),
        },
        rule: Arc::clone(&rule.name),
        message,
    }));
    let request = denied.is_none().then(|| Box::new(request));
    Needed { denial, request }
}

/// What is to be approved.
fn request(approval: &Approval, rule: &Rule, facts: &Facts) -> ApprovalRequest {
    let call = facts.call;
    let who = call.who;
    ApprovalRequest {
        id: ApprovalRequest::id_of(who, &rule.name, &call.model.name),
        asked_at: facts.now,
        tenant: Arc::clone(&who.tenant),
        project: who.project.clone(),
        environment: who.environment.clone(),
        user: who.user.clone(),
        key_id: Arc::clone(&who.key_id),
        plan: Arc::clone(&who.plan),
        rule: Arc::clone(&rule.name),
        model: Arc::clone(&call.model.name),
        endpoint: call.endpoint.path().into(),
        cost_max_nanos: call.most.cost_nanos,
        valid_for: approval.valid_for,
        approvers: approval.approvers.clone(),
        approver: match approval.by_tenant_admin {
            true => Approver::TenantAdmin,
            false => Approver::Operator,
        },
        expires_at: facts.now + REQUEST_TTL,
    }
}
