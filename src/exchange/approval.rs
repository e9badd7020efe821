//! Calls that need someone's consent: by which grant they go on, or whom to ask.
//!
//! A grant is a limit like others: what it allows is counted in the tenant's own
//! slot, reserved and settled with all else that a call is charged to. So it is used
//! up exactly, by however many sidecars at once.

use crate::limits::{Charge, Unit};
use crate::policy::Snapshot;
use crate::policy::facts::Facts;
use crate::policy::grants::{Allowance, ApprovalRequest, Approver, GRANT_PREFIX, Grant, action};
use crate::policy::rule::{Approval, Rule};
use crate::protocol::denial::{Denial, PolicyDenial, PolicyKind};
use crate::units::Millis;
use std::sync::Arc;

/// How long a request waits for an answer, after it was made last.
const REQUEST_TTL: Millis = Millis::from_mins(7 * 24 * 60);

/// By which grants a call may go on: one for each rule that asks for consent, or one
/// for several.
#[derive(Debug, Default)]
pub(super) struct Consent {
    /// The actions that the call's row tells them by, one for each rule.
    pub actions: Vec<Arc<str>>,
    /// None for grants without bounds; one for each other grant.
    pub charges: Vec<Charge>,
    pub otherwise: Otherwise,
}

/// What becomes of a call where a grant is used up, by the name of its limit.
#[derive(Debug, Default)]
pub(super) struct Otherwise(Vec<(Arc<str>, Needed)>);

impl Otherwise {
    /// Whether any grant may be found used up.
    pub fn is_some(&self) -> bool {
        !self.0.is_empty()
    }

    /// The grant whose limit has this name, if it is one of these.
    pub fn grant(&self, name: &str) -> Option<&Arc<str>> {
        let mut all = self.0.iter();
        all.find(|(grant, _)| **grant == *name)
            .map(|(grant, _)| grant)
    }

    /// Where the limit of this name refused it, if that is one of its grants.
    pub fn without(self, name: &str) -> Option<Needed> {
        let mut all = self.0.into_iter();
        all.find(|(grant, _)| **grant == *name)
            .map(|(_, needed)| needed)
    }
}

/// Consent that a call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub denial: Denial,
    /// `None`: it was denied, and nobody is asked again while that holds.
    pub request: Option<Box<ApprovalRequest>>,
}

/// The grants that a call goes on by: for each rule, of those that fit, one without
/// bounds, or else the newest whose whole allowance is enough for it. Not one of
/// `used_up`, as their limits are named.
///
/// # Errors
/// No grant fits what one of the rules asks.
pub(super) fn granted(
    snapshot: &Snapshot,
    approvals: &[(&Approval, &Rule)],
    facts: &Facts,
    used_up: &[Arc<str>],
) -> Result<Consent, Box<Needed>> {
    let mut consent = Consent::default();
    let most = facts.call.most.cost_nanos;
    for (approval, rule) in approvals {
        let (who, model) = (facts.call.who, &facts.call.model.name);
        let grants = snapshot.grants.for_call(who, &rule.name, model, facts.now);
        let is_used_up = |grant: &Grant| {
            let mut ids = used_up
                .iter()
                .filter_map(|name| name.strip_prefix(GRANT_PREFIX));
            ids.any(|id| *id == *grant.id)
        };
        let left = grants.filter(|grant| !is_used_up(grant));
        let best = left.max_by_key(|grant| (reach(grant.allowance, most), grant.from));
        let otherwise = needed(snapshot, approval, rule, facts);
        let Some(grant) = best else {
            return Err(Box::new(otherwise));
        };
        consent.actions.push(action(&rule.name, &grant.id));
        let charge = charge(grant, facts);
        // One that answers several rules is used once.
        let is_new = |charge: &Charge| {
            let mut known = consent.charges.iter();
            !known.any(|known| known.counter == charge.counter)
        };
        if let Some(charge) = charge.filter(is_new) {
            let name = Arc::clone(&charge.limit.name);
            consent.otherwise.0.push((name, otherwise));
            consent.charges.push(charge);
        }
    }
    Ok(consent)
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
