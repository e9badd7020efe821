//! Which counters the calls of a tenant are charged to, to be looked at.

use super::limit::{counter, value};
use super::{Call, Estimate, Model, PlanLimit, Snapshot};
use crate::identity::Principal;
use crate::limits::{Charge, Dimension, Limit};
use crate::protocol::Endpoint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A counter of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub limit: Arc<Limit>,
    pub counter: Arc<str>,
    /// Whose calls it counts, besides the tenant's: `user` and a name, say.
    pub of: Vec<(Dimension, String)>,
}

/// Counters, in the order of their limits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The tenant's own.
    pub own: Vec<Counted>,
    /// Those that it shares with other tenants.
    pub shared: Vec<Counted>,
    /// There are more than were asked for.
    pub more: bool,
}

impl Counted {
    /// Takes nothing from the counter.
    pub fn look(&self) -> Charge {
        Charge::new(Arc::clone(&self.limit), Arc::clone(&self.counter), 0)
    }
}

/// All counters that calls with the tenant's keys may be charged to, at most
/// `max`; those of one limit, where its name is given. `None` where no key is
/// the tenant's.
pub fn counters(
    snapshot: &Snapshot,
    tenant: &str,
    max: usize,
    only: Option<&str>,
) -> Option<Listed> {
    let mut principals = snapshot.keys.of_tenant(tenant).peekable();
    let plan = snapshot.plans.get(&principals.peek()?.plan)?;
    let callers: Vec<&Principal> = principals.map(|who| &**who).collect();
    let wanted = |limit: &&PlanLimit| only.is_none_or(|only| *limit.limit.name == *only);
    let mut listed = Listed::default();
    let all = plan
        .limits
        .iter()
        .filter(wanted)
        .map(|limit| (limit, false));
    let shared = snapshot.shared.iter().filter(wanted);
    for (limit, is_shared) in all.chain(shared.map(|limit| (limit, true))) {
        let room = max - listed.own.len() - listed.shared.len();
        // One more than there is room for tells that there are more.
        let mut found = of_limit(snapshot, limit, &callers, room + 1);
        listed.more |= found.len() > room;
        found.truncate(room);
        match is_shared {
            true => listed.shared.extend(found),
            false => listed.own.extend(found),
        }
    }
    Some(listed)
}

/// The counters of one limit by name, at most `max`.
fn of_limit(
    snapshot: &Snapshot,
    limit: &PlanLimit,
    callers: &[&Principal],
    max: usize,
) -> Vec<Counted> {
    let mut found = BTreeMap::new();
    let kinds = kinds(snapshot, limit);
    // Where callers aren't told apart, one stands for all.
    let told_apart = limit.limit.scope.dimensions().any(|dimension| {
        matches!(
            dimension,
            Dimension::Project | Dimension::Environment | Dimension::User | Dimension::Key
        )
    });
    let callers = callers.iter().take(if told_apart { usize::MAX } else { 1 });
    let calls = callers.flat_map(|who| {
        kinds.iter().map(|(model, endpoint)| Call {
            who,
            model,
            endpoint: *endpoint,
            estimate: Estimate::default(),
            most: Estimate::default(),
        })
    });
    for call in calls {
        if found.len() == max {
            break;
        }
        let id = counter(&limit.limit, call);
        found.entry(id).or_insert_with(|| of(&limit.limit, call));
    }
    let counted = found.into_iter().map(|(id, of)| Counted {
        limit: Arc::clone(&limit.limit),
        counter: id.into(),
        of,
    });
    counted.collect()
}

/// The models and endpoints that a limit tells apart, or one that stands for
/// all; none where it is for no call at all.
fn kinds<'s>(snapshot: &'s Snapshot, limit: &PlanLimit) -> Vec<(&'s Model, Endpoint)> {
    let scope = limit.limit.scope;
    let models = snapshot.models.values();
    let mut all = models.flat_map(|model| Endpoint::SERVED.map(|endpoint| (&**model, endpoint)));
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
mod tests {
    use super::*;
    use crate::identity::{KeyDigest, KeyTable, Pepper};
    use crate::limits::{Algorithm, Mode, Scope, Unit};
    use crate::policy::{OutputField, OutputRule, Plan, Vocabulary, When};
    use crate::units::Millis;

    fn principal(tenant: &str, user: Option<&str>, key: &str) -> Arc<Principal> {
        Arc::new(Principal {
            tenant: tenant.into(),
            project: None,
            environment: None,
            user: user.map(Arc::from),
            key_id: key.into(),
            plan: "team".into(),
        })
    }

    fn limit(name: &str, dimensions: &[Dimension], when: When) -> PlanLimit {
        let limit = Limit {
            name: name.into(),
            scope: Scope::of(dimensions.iter().copied()),
            unit: Unit::Requests,
            amount: 1,
            algorithm: Algorithm::SlidingWindow {
                every: Millis(60_000),
            },
            mode: Mode::Enforce,
        };
        PlanLimit {
            when,
            ..PlanLimit::from(limit)
        }
    }

    fn snapshot() -> Snapshot {
        use Dimension::{Model as ByModel, Tenant, User};
        let mut keys = KeyTable::new(Pepper::new(&[1; 32]).unwrap());
        for (n, who) in [
            principal("acme", Some("ada"), "k1"),
            principal("acme", Some("ada"), "k2"),
            principal("acme", None, "k3"),
            principal("globex", Some("eve"), "k4"),
        ]
        .into_iter()
        .enumerate()
        {
            keys.insert(KeyDigest([n as u8; 32]), who).unwrap();
        }
        let only_big = When {
            models: vec!["big".into()],
            ..When::default()
        };
        let of_none = When {
            models: vec!["none".into()],
            ..When::default()
        };
        let plan = Plan {
            name: "team".into(),
            limits: vec![
                limit("rpm", &[Tenant], When::default()),
                limit("by-user", &[User], When::default()),
                limit("by-model", &[Tenant, ByModel], When::default()),
                limit("big-only", &[Tenant, ByModel], only_big),
                limit("idle", &[Tenant], of_none),
            ],
            output: OutputRule::default(),
        };
        let model = |name: &str| Model {
            name: name.into(),
            tier: None,
            provider: Some("p".into()),
            price: None,
            vocabulary: Vocabulary::O200kBase,
            token_ratio: crate::policy::ModelRatio::EXACT,
            max_output_tokens: None,
            output_field: OutputField::MaxTokens,
            image_tokens: None,
            inject_include_usage: true,
        };
        let mut snapshot = Snapshot {
            keys,
            shared: vec![limit("upstream", &[Dimension::Provider], When::default())],
            ..Snapshot::default()
        };
        snapshot.plans.insert("team".into(), Arc::new(plan));
        for name in ["big", "small"] {
            snapshot.models.insert(name.into(), Arc::new(model(name)));
        }
        snapshot
    }

    fn names(counted: &[Counted]) -> Vec<&str> {
        counted.iter().map(|counted| &*counted.counter).collect()
    }

    #[test]
    fn each_counter_is_listed_once() {
        let listed = counters(&snapshot(), "acme", 100, None).unwrap();
        let expected = [
            "3:rpm,4:acme,",
            "7:by-user,4:acme,6:key=k3,",
            "7:by-user,4:acme,8:user=ada,",
            "8:by-model,4:acme,3:big,",
            "8:by-model,4:acme,5:small,",
            "8:big-only,4:acme,3:big,",
        ];
        assert_eq!(names(&listed.own), expected);
        assert_eq!(names(&listed.shared), ["8:upstream,1:p,"]);
        assert!(!listed.more);
        let of_ada = &listed.own[2].of;
        assert_eq!(*of_ada, [(Dimension::User, "user=ada".to_owned())]);
        assert_eq!(listed.own[0].of, []);
    }

    #[test]
    fn no_more_are_listed_than_are_asked_for() {
        let count = |max| {
            let listed = counters(&snapshot(), "acme", max, None).unwrap();
            (listed.own.len(), listed.shared.len(), listed.more)
        };
        assert_eq!(count(3), (3, 0, true));
        assert_eq!(count(6), (6, 0, true));
        assert_eq!(count(7), (6, 1, false));
    }

    #[test]
    fn one_limit_may_be_asked_for() {
        let listed = counters(&snapshot(), "acme", 9, Some("by-user")).unwrap();
        assert_eq!((listed.own.len(), listed.shared.len()), (2, 0));
        let listed = counters(&snapshot(), "acme", 9, Some("upstream")).unwrap();
        assert_eq!((listed.own.len(), listed.shared.len()), (0, 1));
        let none = counters(&snapshot(), "acme", 9, Some("none")).unwrap();
        assert_eq!(none, Listed::default());
    }

    #[test]
    fn a_tenant_without_keys_has_no_counters() {
        assert_eq!(counters(&snapshot(), "nobody", 9, None), None);
    }
}
