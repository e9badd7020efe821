//! Which counters the calls of a tenant are charged to, to be looked at.

use super::budget::Budget;
use super::limit::{Naming, value};
use super::terms::WITHIN_PROJECT;
use super::{Call, Estimate, Model, PlanLimit, Snapshot};
use crate::identity::Principal;
use crate::limits::reservation::parts_of_counter_id;
use crate::limits::{Charge, Dimension, Limit};
use crate::protocol::Endpoint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A counter of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub limit: Arc<Limit>,
    /// Where it is a budget's.
    pub budget: Option<Arc<Budget>>,
    pub counter: Arc<str>,
    /// Whose calls it counts, besides the tenant's: `user` and a name, say.
    pub of: Vec<(Dimension, String)>,
}

/// Which counters are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub tenant: &'a str,
    /// Only this limit's.
    pub limit: Option<&'a str>,
    /// Those that come after the one of this name.
    pub after: Option<&'a str>,
    /// Those too that it shares with other tenants.
    pub shared: bool,
    /// At most so many, at least 1.
    pub max: usize,
}

/// Counters, in the order of their limits, and of whose calls they count.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The tenant's own.
    pub own: Vec<Counted>,
    /// Those that it shares with other tenants.
    pub shared: Vec<Counted>,
    /// There are more of what was asked for, after this one.
    pub next: Option<Arc<str>>,
}

/// Why none are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotListed {
    #[error("no key belongs to such a tenant")]
    Tenant,
    #[error("no counter of these limits has the name to go on after: begin anew")]
    After,
}

impl Counted {
    /// Takes nothing from the counter.
    pub fn look(&self) -> Charge {
        Charge::new(Arc::clone(&self.limit), Arc::clone(&self.counter), 0)
    }
}

/// Limits, and the callers that they are for.
struct Group<'s> {
    limits: &'s [PlanLimit],
    callers: Vec<&'s Principal>,
    /// Other tenants' calls count too.
    is_shared: bool,
    /// They are for all callers, and no others have limits of these names.
    is_for_all: bool,
}

/// The counters that calls with the tenant's keys may be charged to.
pub fn counters(snapshot: &Snapshot, asked: Asked) -> Result<Listed, NotListed> {
    let principals: Vec<Principal> = snapshot.principals_of(asked.tenant).collect();
    let groups = groups(snapshot, &principals, asked.shared)?;
    let after = asked
        .after
        .map(|name| parts_of_counter_id(name).ok_or(NotListed::After));
    let after = after.transpose()?;
    let all = groups
        .iter()
        .flat_map(|group| group.limits.iter().map(move |limit| (limit, group)));
    let mut all = all
        .filter(|(limit, _)| asked.limit.is_none_or(|only| *limit.limit.name == *only))
        .peekable();
    if let Some((name, values)) = &after {
        let is_it = |limit: &PlanLimit, group: &Group| {
            *limit.limit.name == **name && (group.is_for_all || group.has(snapshot, limit, values))
        };
        while all.next_if(|(limit, group)| !is_it(limit, group)).is_some() {}
        all.peek().ok_or(NotListed::After)?;
    }
    let mut after = after.map(|(_, values)| values);
    let (mut listed, mut room) = (Listed::default(), asked.max.max(1));
    let mut last = None;
    for (limit, group) in all {
        // One more than there is room for tells that there are more.
        let mut found = of_limit(snapshot, limit, &group.callers, after.take(), room + 1);
        let more = found.len() > room;
        found.truncate(room);
        room -= found.len();
        last = found
            .last()
            .map(|counted| Arc::clone(&counted.counter))
            .or(last);
        match group.is_shared {
            true => listed.shared.extend(found),
            false => listed.own.extend(found),
        }
        if more {
            listed.next = last;
            break;
        }
    }
    Ok(listed)
}

/// The plan's limits, those of what stands below it, of keys, and those that tenants
/// share, in this order.
fn groups<'s>(
    snapshot: &'s Snapshot,
    principals: &'s [Principal],
    shared: bool,
) -> Result<Vec<Group<'s>>, NotListed> {
    let first = principals.first().ok_or(NotListed::Tenant)?;
    let plan = snapshot.plans.get(&first.plan).ok_or(NotListed::Tenant)?;
    let of_all = |limits, is_shared| Group {
        limits,
        callers: principals.iter().collect(),
        is_shared,
        is_for_all: true,
    };
    let mut groups = vec![of_all(&plan.limits, false)];
    groups.extend(of_narrower(snapshot, principals));
    groups.extend(of_keys(snapshot, principals));
    if shared {
        groups.push(of_all(&snapshot.shared, true));
    }
    Ok(groups)
}

/// The limits of what stands below the tenant's plan, and for whom each of it does:
/// the widest first, then by name.
fn of_narrower<'s>(snapshot: &'s Snapshot, principals: &'s [Principal]) -> Vec<Group<'s>> {
    let mut all: BTreeMap<(usize, Option<&str>, &str), Group<'s>> = BTreeMap::new();
    for who in principals {
        let Some(terms) = snapshot.terms(who) else {
            continue;
        };
        for (layer, plan) in terms.below() {
            // Environments of different projects may have the same name.
            let project = who.project.as_deref().filter(|_| layer == WITHIN_PROJECT);
            let group = all.entry((layer, project, &*plan.name));
            let group = group.or_insert_with(|| Group {
                limits: &plan.limits,
                callers: Vec::new(),
                is_shared: false,
                is_for_all: false,
            });
            group.callers.push(who);
        }
    }
    all.into_values().collect()
}

/// The limits that keys have of their own, and whose each is, by their names.
fn of_keys<'s>(snapshot: &'s Snapshot, principals: &'s [Principal]) -> Vec<Group<'s>> {
    let mut callers: Vec<&Principal> = principals.iter().collect();
    callers.retain(|who| who.limits.is_some());
    callers.sort_unstable_by(|a, b| a.key_id.cmp(&b.key_id));
    let each = callers.into_iter().map(|who| Group {
        limits: snapshot.own_limits(who).unwrap_or_default(),
        callers: vec![who],
        is_shared: false,
        is_for_all: false,
    });
    each.collect()
}

impl Group<'_> {
    /// Whether one of its callers is charged to a counter of the limit with these
    /// values.
    fn has(&self, snapshot: &Snapshot, limit: &PlanLimit, counter: &[&str]) -> bool {
        let kinds = kinds(snapshot, limit);
        let Some(kind) = kinds.first() else {
            return false;
        };
        let dimensions = limit.limit.scope.dimensions();
        let of_caller: Vec<Dimension> = dimensions.filter(|d| d.is_of_the_caller()).collect();
        self.callers.iter().any(|who| {
            let values = values(&of_caller, a_call(who, *kind));
            counter.iter().take(values.len()).eq(values.iter())
        })
    }
}

/// The counters of one limit by their values, at most `max`: those of the
/// callers that it tells apart, each with those of the calls that it does.
fn of_limit(
    snapshot: &Snapshot,
    limit: &PlanLimit,
    callers: &[&Principal],
    after: Option<Vec<&str>>,
    max: usize,
) -> Vec<Counted> {
    let kinds = kinds(snapshot, limit);
    let (Some(one_caller), Some(one_kind)) = (callers.first(), kinds.first()) else {
        return Vec::new();
    };
    let scope = limit.limit.scope;
    let (of_caller, of_kind): (Vec<Dimension>, Vec<Dimension>) = scope
        .dimensions()
        .partition(|dimension| dimension.is_of_the_caller());
    // Where callers aren't told apart, one stands for all.
    let told_apart = of_caller
        .iter()
        .any(|dimension| *dimension != Dimension::Tenant);
    let callers = callers.iter().take(if told_apart { usize::MAX } else { 1 });
    let callers: BTreeMap<Vec<String>, &Principal> = callers
        .map(|who| (values(&of_caller, a_call(who, *one_kind)), *who))
        .collect();
    let kinds: BTreeMap<Vec<String>, (&Model, Endpoint)> = kinds
        .into_iter()
        .map(|kind| (values(&of_kind, a_call(one_caller, kind)), kind))
        .collect();
    // Later callers than the one to go on after have all of their counters left.
    let from = after.iter().flatten().take(of_caller.len());
    let from: Vec<String> = from.map(|value| (*value).to_owned()).collect();
    let pairs = callers.range(from..).flat_map(|(whose, who)| {
        let kinds = kinds.iter();
        kinds.map(move |(what, kind)| (whose, what, a_call(who, *kind)))
    });
    let is_left = |whose: &[String], what: &[String]| {
        let after = after.as_ref();
        let all = whose.iter().chain(what).map(String::as_str);
        after.is_none_or(|after| all.gt(after.iter().copied()))
    };
    pairs
        .filter(|(whose, what, _)| is_left(whose, what))
        .take(max)
        .map(|(_, _, call)| Counted {
            limit: Arc::clone(&limit.limit),
            budget: limit.budget.clone(),
            counter: Naming::of(call).counter(&limit.limit),
            of: of(&limit.limit, call),
        })
        .collect()
}

fn a_call<'c>(who: &'c Principal, (model, endpoint): (&'c Model, Endpoint)) -> Call<'c> {
    Call {
        who,
        model,
        endpoint,
        estimate: Estimate::default(),
        most: Estimate::default(),
    }
}

/// What a call is in each of these dimensions.
fn values(dimensions: &[Dimension], call: Call) -> Vec<String> {
    let user = call.who.user_or_key();
    let each = dimensions.iter();
    each.map(|dimension| value(*dimension, call, &user).to_owned())
        .collect()
}

/// The models and endpoints that a limit tells apart, or one that stands for
/// all; none where it is for no call at all.
fn kinds<'s>(snapshot: &'s Snapshot, limit: &PlanLimit) -> Vec<(&'s Model, Endpoint)> {
    let scope = limit.limit.scope;
    let models = snapshot.models.values();
    let mut all = models.flat_map(|model| Endpoint::all().map(|endpoint| (&**model, endpoint)));
    let fits = |(model, endpoint): &(&Model, Endpoint)| limit.when.holds(model, *endpoint);
    let told_apart = [
        Dimension::Model,
        Dimension::Tier,
        Dimension::Endpoint,
        Dimension::Provider,
    ];
    match told_apart.iter().any(|dimension| scope.has(*dimension)) {
        true => all.filter(fits).collect(),
        false => all.find(fits).into_iter().collect(),
    }
}

fn of(limit: &Limit, call: Call) -> Vec<(Dimension, String)> {
    let user = call.who.user_or_key();
    let dimensions = limit.scope.dimensions();
    dimensions
        .filter(|dimension| *dimension != Dimension::Tenant)
        .map(|dimension| (dimension, value(dimension, call, &user).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests;
