//! What people have allowed beyond a plan's rules: grants, and requests that were
//! denied, by tenant. Followed from where they are kept; a call looks at those of
//! its snapshot.
//!
//! Always holds: what is over by its own time counts for nothing, however old the
//! snapshot is; of a tenant no more are held, or looked at for a call, than
//! [`GRANTS_OF_TENANT_MAX`] and [`DENIALS_OF_TENANT_MAX`].
//!
//! Left to others: who may grant (`admin`), where it is kept (`accounts`), and how
//! much of a grant is used up, which a counter of its own tells.

mod counter;
mod request;

pub use counter::{GRANT_PREFIX, action, grant_of_action};
pub use request::{ApprovalRequest, Approver};

use crate::identity::Principal;
use crate::units::UnixMillis;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The most grants of a tenant that hold at a time: each that a rule asks for is
/// compared with the call.
pub const GRANTS_OF_TENANT_MAX: usize = 1_000;

/// The most denied requests of a tenant that are known; one that isn't is asked for
/// again, and stays denied where it is kept.
pub const DENIALS_OF_TENANT_MAX: usize = 10_000;

/// The most models that a grant names: for more, name none, or make another.
pub const GRANT_MODELS_MAX: usize = 16;

/// The most bytes of all names of a grant: whose it is, its rule, its models. So a
/// hundred thousand of them are some 200 MB in memory, and less in a sidecar's copy.
pub const GRANT_BYTES_MAX: usize = 1_024;

/// How much a grant allows, of all calls together that it lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// So many calls, at least 1.
    Calls(u64),
    /// Nano-dollars, at least 1, at most [`crate::limits::AMOUNT_MAX`].
    CostNanos(u64),
    Unlimited,
}

/// A permission for calls that a rule would have approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: Arc<str>,
    pub tenant: Arc<str>,
    /// `None`: whatever project; and so on.
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub key_id: Option<Arc<str>>,
    /// The rule that it answers; `None`: whatever rule asks.
    pub rule: Option<Arc<str>>,
    /// Empty: any model.
    pub models: Vec<Arc<str>>,
    pub allowance: Allowance,
    pub from: UnixMillis,
    /// It holds no more then.
    pub until: UnixMillis,
    /// Who gave it, as the audit names them.
    pub granted_by: Arc<str>,
}

/// A request that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The request's id.
    pub request: Arc<str>,
    pub tenant: Arc<str>,
    /// Who denied it, as the audit names them.
    pub denied_by: Arc<str>,
    /// It may be asked for again then.
    pub until: UnixMillis,
}

/// Something that was granted, denied, or taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantChange {
    Granted(Grant),
    /// A grant of this id counts no more.
    Revoked(Arc<str>),
    Denied(Denial),
    /// A request of this id isn't denied any more.
    Undenied(Arc<str>),
}

/// All that are known, by tenant. Cheap to change: what a change doesn't touch is
/// shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    tenants: HashMap<Arc<str>, Arc<OfTenant>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OfTenant {
    grants: Vec<Grant>,
    denied: HashMap<Arc<str>, Denial>,
}

impl Grant {
    pub fn holds(&self, now: UnixMillis) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether it is for such a call, whenever.
    pub fn fits(&self, who: &Principal, rule: &str, model: &str) -> bool {
        let is = |wanted: &Option<Arc<str>>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|name| found == Some(name))
        };
        self.tenant == who.tenant
            && is(&self.project, who.project.as_deref())
            && is(&self.environment, who.environment.as_deref())
            && is(&self.user, who.user.as_deref())
            && is(&self.key_id, Some(&who.key_id))
            && is(&self.rule, Some(rule))
            && (self.models.is_empty() || self.models.iter().any(|named| **named == *model))
    }
}

impl Grants {
    /// Those that let such a call through now. Who has none costs a look-up.
    pub fn for_call<'g>(
        &'g self,
        who: &'g Principal,
        rule: &'g str,
        model: &'g str,
        now: UnixMillis,
    ) -> impl Iterator<Item = &'g Grant> {
        let of = self.tenants.get(&who.tenant);
        let grants = of.map_or(&[][..], |of| &of.grants);
        grants
            .iter()
            .filter(move |grant| grant.holds(now) && grant.fits(who, rule, model))
    }

    /// Who denied a request, where that still holds.
    pub fn denied(&self, tenant: &str, request: &str, now: UnixMillis) -> Option<&Denial> {
        let denial = self.tenants.get(tenant)?.denied.get(request)?;
        (now < denial.until).then_some(denial)
    }

    /// Grants and denials, in no order.
    pub fn len(&self) -> usize {
        let each = self.tenants.values();
        each.map(|of| of.grants.len() + of.denied.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// All of them, each as what brought it.
    pub fn iter(&self) -> impl Iterator<Item = GrantChange> {
        self.tenants.values().flat_map(|of| {
            let grants = of.grants.iter().cloned().map(GrantChange::Granted);
            grants.chain(of.denied.values().cloned().map(GrantChange::Denied))
        })
    }

    /// All grants, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Grant> {
        self.tenants.values().flat_map(|of| &of.grants)
    }

    /// What these changes make of it. Of a tenant that has as many as are held, the
    /// new ones count for nothing.
    #[must_use]
    pub fn changed(&self, changes: impl IntoIterator<Item = GrantChange>) -> Self {
        let mut after = self.clone();
        let (mut revoked, mut undenied) = (HashSet::new(), HashSet::new());
        for change in changes {
            match change {
                GrantChange::Granted(grant) => {
                    revoked.remove(&grant.id);
                    let of = after.of(&grant.tenant);
                    of.grants.retain(|known| known.id != grant.id);
                    if of.grants.len() < GRANTS_OF_TENANT_MAX {
                        of.grants.push(grant);
                    }
                }
                GrantChange::Denied(denial) => {
                    undenied.remove(&denial.request);
                    let of = after.of(&denial.tenant);
                    let is_known = of.denied.contains_key(&denial.request);
                    if is_known || of.denied.len() < DENIALS_OF_TENANT_MAX {
                        of.denied.insert(Arc::clone(&denial.request), denial);
                    }
                }
                // Whose they are isn't always told: all are looked for at once.
                GrantChange::Revoked(id) => drop(revoked.insert(id)),
                GrantChange::Undenied(id) => drop(undenied.insert(id)),
            }
        }
        if !revoked.is_empty() || !undenied.is_empty() {
            after.retain(
                |grant| !revoked.contains(&grant.id),
                |denial| !undenied.contains(&denial.request),
            );
        }
        after
    }

    /// Without what is over; `None` where nothing is.
    #[must_use]
    pub fn without_ended(&self, now: UnixMillis) -> Option<Self> {
        let ended = self.tenants.values().any(|of| {
            of.grants.iter().any(|grant| grant.until <= now)
                || of.denied.values().any(|denial| denial.until <= now)
        });
        ended.then(|| {
            let mut after = self.clone();
            after.retain(|grant| now < grant.until, |denial| now < denial.until);
            after
        })
    }

    fn of(&mut self, tenant: &Arc<str>) -> &mut OfTenant {
        let of = self.tenants.entry(Arc::clone(tenant)).or_default();
        Arc::make_mut(of)
    }

    fn retain(&mut self, grants: impl Fn(&Grant) -> bool, denied: impl Fn(&Denial) -> bool) {
        self.tenants.retain(|_, of| {
            let goes = of.grants.iter().any(|grant| !grants(grant))
                || of.denied.values().any(|denial| !denied(denial));
            if goes {
                let of = Arc::make_mut(of);
                of.grants.retain(&grants);
                of.denied.retain(|_, denial| denied(denial));
            }
            !of.grants.is_empty() || !of.denied.is_empty()
        });
    }
}

#[cfg(test)]
mod tests;
