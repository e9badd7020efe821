//! What is said to stand, held to what there is: a name that nothing has would change
//! nothing, and a test would pass by that.

use crate::config::cases::State;
use crate::config::problem::{did_you_mean, shown};
use crate::exchange::explain::Whom;
use crate::identity::Principal;
use crate::policy::rule::Action;
use crate::policy::{PlanLimit, Snapshot, Terms};
use anyhow::bail;

/// # Errors
/// A limit or budget that the caller's calls are not charged to, a rule that asks it
/// for no approval, a model that there isn't.
pub(super) fn check(snapshot: &Snapshot, by: &Whom, state: &State) -> anyhow::Result<()> {
    let principal = principal(snapshot, by);
    let terms = principal.as_ref().and_then(|who| snapshot.terms(who));
    for name in state.used.keys() {
        if !has_limit(snapshot, name) {
            bail!("no plan has a limit or budget of the name {name}");
        }
        if let (Some(who), Some(terms)) = (&principal, terms) {
            let own = snapshot.own_limits(who).unwrap_or_default();
            let mut all = terms.limits().chain(own).chain(&*snapshot.shared);
            if !all.any(|limit| is_named(limit, name)) {
                bail!(
                    "the caller's plan, {}, has no limit or budget of the name {name}: others have",
                    who.plan
                );
            }
        }
    }
    for grant in &state.grants {
        if let (Some(rule), Some(terms)) = (&grant.rule, terms) {
            asks(terms, rule)?;
        }
        grant
            .models
            .iter()
            .try_for_each(|name| model(snapshot, name))?;
    }
    state
        .failures
        .keys()
        .try_for_each(|name| model(snapshot, name))
}

fn principal(snapshot: &Snapshot, by: &Whom) -> Option<Principal> {
    match by {
        Whom::Key(id) => snapshot.principal(snapshot.keys.by_id(id)?),
        Whom::Caller(caller) => {
            snapshot.principal_of(&caller.account, caller.user.as_ref(), &caller.id)
        }
    }
}

fn has_limit(snapshot: &Snapshot, name: &str) -> bool {
    let tenants = snapshot.tenants.values();
    let narrower = tenants.flat_map(|tenant| &tenant.narrower);
    let below = narrower.flat_map(|narrower| narrower.plans());
    let plans = snapshot.plans.values().chain(below);
    let own = snapshot.own_limits.values().flat_map(|own| own.iter());
    let of_plans = plans.flat_map(|plan| &plan.limits);
    let mut limits = of_plans.chain(&*snapshot.shared).chain(own);
    limits.any(|limit| is_named(limit, name))
}

fn is_named(limit: &PlanLimit, name: &str) -> bool {
    *limit.limit.name == *name
}

/// That a rule of this name asks for approval.
fn asks(terms: Terms, name: &str) -> anyhow::Result<()> {
    let rules = terms.rules().flat_map(|rules| &rules.list);
    let asking = rules.filter(|rule| {
        let mut then = rule.then.iter();
        then.any(|action| matches!(action, Action::RequireApproval(_)))
    });
    let names: Vec<&str> = asking.map(|rule| &*rule.name).collect();
    if !names.contains(&name) {
        let meant = did_you_mean(name, names.into_iter());
        bail!(
            "no rule of the name {} asks the caller for approval{meant}",
            shown(name)
        );
    }
    Ok(())
}

fn model(snapshot: &Snapshot, name: &str) -> anyhow::Result<()> {
    if !snapshot.models.contains_key(name) {
        let known = snapshot.models.keys().map(|name| &**name);
        let meant = did_you_mean(name, known);
        bail!("there is no model {}{meant}", shown(name));
    }
    Ok(())
}
