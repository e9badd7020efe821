//! Which counters the calls of a tenant are charged to, to be looked at.

use super::limit::{counter, value};
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

/// The counters that calls with the tenant's keys may be charged to.
pub fn counters(snapshot: &Snapshot, asked: Asked) -> Result<Listed, NotListed> {
    let principals: Vec<Principal> = snapshot.principals_of(asked.tenant).collect();
    let first = principals.first().ok_or(NotListed::Tenant)?;
    let plan = snapshot.plans.get(&first.plan).ok_or(NotListed::Tenant)?;
    let callers: Vec<&Principal> = principals.iter().collect();
    let after = asked
        .after
        .map(|name| parts_of_counter_id(name).ok_or(NotListed::After));
    let after = after.transpose()?;
    let shared = snapshot.shared.iter().filter(|_| asked.shared);
    let own = plan.limits.iter().map(|limit| (limit, None, false));
    let of_keys = of_keys(snapshot, &callers);
    let of_keys = of_keys
        .iter()
        .map(|(limit, who)| (*limit, Some(who), false));
    let all = own.chain(of_keys);
    let all = all.chain(shared.map(|limit| (limit, None, true)));
    let mut all = all
        .filter(|(limit, ..)| asked.limit.is_none_or(|only| *limit.limit.name == *only))
        .peekable();
    if let Some((name, values)) = &after {
        let is_it = |limit: &PlanLimit, who: Option<&&Principal>| {
            let of_key = who.is_none_or(|who| values.last() == Some(&&*who.key_id));
            *limit.limit.name == **name && of_key
        };
        while all.next_if(|(limit, who, _)| !is_it(limit, *who)).is_some() {}
        all.peek().ok_or(NotListed::After)?;
    }
    let mut after = after.map(|(_, values)| values);
    let (mut listed, mut room) = (Listed::default(), asked.max.max(1));
    let mut last = None;
    for (limit, who, is_shared) in all {
        let callers = who.map_or(&callers[..], std::slice::from_ref);
        // One more than there is room for tells that there are more.
        let mut found = of_limit(snapshot, limit, callers, after.take(), room + 1);
        let more = found.len() > room;
        found.truncate(room);
        room -= found.len();
        last = found
            .last()
            .map(|counted| Arc::clone(&counted.counter))
            .or(last);
        match is_shared {
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

/// The limits that keys have of their own, and whose each is, by their names.
fn of_keys<'s>(
    snapshot: &'s Snapshot,
    callers: &[&'s Principal],
) -> Vec<(&'s PlanLimit, &'s Principal)> {
    let mut callers: Vec<&Principal> = callers.to_vec();
    callers.retain(|who| who.limits.is_some());
    callers.sort_unstable_by(|a, b| a.key_id.cmp(&b.key_id));
    let each = callers.into_iter().flat_map(|who| {
        let own = snapshot.own_limits(who).unwrap_or_default();
        own.iter().map(move |limit| (limit, who))
    });
    each.collect()
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
            counter: counter(&limit.limit, call).into(),
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
mod tests {
    use super::*;
    use crate::identity::table::{Account, Key};
    use crate::identity::{KeyDigest, KeyRing, KeyTable};
    use crate::limits::{Algorithm, Mode, Scope, Unit};
    use crate::policy::{OutputField, Plan, Vocabulary, When};
    use crate::units::Millis;

    fn key(n: u8, tenant: &str, user: Option<&str>) -> Key {
        Key {
            digest: KeyDigest([n; 32]),
            id: format!("k{n}").into(),
            user: user.map(Arc::from),
            account: Account {
                tenant: tenant.into(),
                ..Account::default()
            },
            ends_at: None,
            replaced: false,
        }
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
        let keys = KeyTable::of([
            key(1, "acme", Some("ada")),
            key(2, "acme", Some("ada")),
            key(3, "acme", None),
            key(4, "globex", Some("eve")),
        ]);
        let tenants = ["acme", "globex"].map(|tenant| (tenant.into(), "team".into()));
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
            ..Plan::default()
        };
        let model = |name: &str| Model {
            name: name.into(),
            tier: None,
            provider: Some("p".into()),
            price: None,
            service_tier: None,
            vocabulary: Vocabulary::O200kBase,
            max_input_tokens: None,
            token_ratio: crate::policy::ModelRatio::EXACT,
            max_output_tokens: None,
            output_field: OutputField::MaxTokens,
            image_tokens: None,
            inject_include_usage: true,
        };
        let mut snapshot = Snapshot {
            keys: KeyRing {
                configured: Arc::new(keys.unwrap()),
                ..KeyRing::default()
            },
            tenants: Arc::new(tenants.into()),
            shared: [limit("upstream", &[Dimension::Provider], When::default())].into(),
            ..Snapshot::default()
        };
        Arc::make_mut(&mut snapshot.plans).insert("team".into(), Arc::new(plan));
        for name in ["big", "small"] {
            Arc::make_mut(&mut snapshot.models).insert(name.into(), Arc::new(model(name)));
        }
        snapshot
    }

    fn asked<'a>(tenant: &'a str, limit: Option<&'a str>, max: usize) -> Asked<'a> {
        Asked {
            tenant,
            limit,
            after: None,
            shared: true,
            max,
        }
    }

    fn names(counted: &[Counted]) -> Vec<&str> {
        counted.iter().map(|counted| &*counted.counter).collect()
    }

    #[test]
    fn each_counter_is_listed_once() {
        let listed = counters(&snapshot(), asked("acme", None, 100)).unwrap();
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
        assert_eq!(listed.next, None);
        let of_ada = &listed.own[2].of;
        assert_eq!(*of_ada, [(Dimension::User, "user=ada".to_owned())]);
        assert_eq!(listed.own[0].of, []);
    }

    #[test]
    fn the_limits_of_keys_are_listed_behind_their_plans() {
        use crate::identity::table::Change;
        let mut snapshot = snapshot();
        let with = |n: u8| {
            let mut key = key(n, "acme", Some("ada"));
            key.account.limits = Some("two".into());
            Change::Put(key)
        };
        let table = snapshot.keys.configured.changed([with(2), with(1)]);
        snapshot.keys.configured = Arc::new(table);
        let own = |name| limit(name, &[Dimension::Tenant, Dimension::Key], When::default());
        let own = [own("own:b"), own("own:a")];
        Arc::make_mut(&mut snapshot.own_limits).insert("two".into(), own.into());
        let whole = counters(&snapshot, asked("acme", None, 100)).unwrap();
        let all = names(&whole.own);
        let expected = [
            "5:own:b,4:acme,2:k1,",
            "5:own:a,4:acme,2:k1,",
            "5:own:b,4:acme,2:k2,",
            "5:own:a,4:acme,2:k2,",
        ];
        assert_eq!(all[6..], expected);
        for max in 1..=all.len() {
            let (mut found, mut after) = (Vec::new(), None::<Arc<str>>);
            loop {
                let part = Asked {
                    after: after.as_deref(),
                    shared: false,
                    ..asked("acme", None, max)
                };
                let part = counters(&snapshot, part).unwrap();
                found.extend(names(&part.own).into_iter().map(str::to_owned));
                after = part.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, all, "by {max}");
        }
    }

    /// Page by page, whatever their size, each counter comes once, in one order.
    #[test]
    fn all_are_reached_page_by_page() {
        let snapshot = snapshot();
        let of = |counted: &[Counted]| -> Vec<String> {
            names(counted).into_iter().map(str::to_owned).collect()
        };
        for (limit, shared, all) in [
            (None, true, 7),
            (None, false, 6),
            (Some("by-user"), true, 2),
            (Some("upstream"), true, 1),
            (Some("idle"), true, 0),
        ] {
            let whole = Asked {
                shared,
                ..asked("acme", limit, 100)
            };
            let whole = counters(&snapshot, whole).unwrap();
            let expected = [of(&whole.own), of(&whole.shared)].concat();
            assert_eq!((expected.len(), whole.next), (all, None));
            for max in 1..=all + 1 {
                let (mut found, mut after) = (Vec::new(), None::<Arc<str>>);
                for page in 1.. {
                    let part = Asked {
                        after: after.as_deref(),
                        shared,
                        ..asked("acme", limit, max)
                    };
                    let part = counters(&snapshot, part).unwrap();
                    found.extend([of(&part.own), of(&part.shared)].concat());
                    assert_eq!(part.next.is_some(), found.len() < all, "exactly");
                    after = part.next;
                    if after.is_none() {
                        assert_eq!(page, all.div_ceil(max).max(1));
                        break;
                    }
                }
                assert_eq!(found, expected, "{limit:?} by {max}");
            }
        }
    }

    /// Keys come and go between two pages.
    #[test]
    fn a_page_goes_on_after_a_counter_that_is_gone() {
        let page = |after| {
            let asked = Asked {
                after: Some(after),
                ..asked("acme", Some("by-user"), 9)
            };
            counters(&snapshot(), asked).map(|listed| names(&listed.own).join(" "))
        };
        let ada = "7:by-user,4:acme,8:user=ada,";
        assert_eq!(page("7:by-user,4:acme,9:key=k3aaa,").as_deref(), Ok(ada));
        assert_eq!(
            page("7:by-user,").as_deref(),
            Ok("7:by-user,4:acme,6:key=k3, 7:by-user,4:acme,8:user=ada,")
        );
        assert_eq!(page(ada).as_deref(), Ok(""));
        for odd in ["", "by-user", "3:rpm,4:acme,", "4:gone,"] {
            assert_eq!(page(odd), Err(NotListed::After), "{odd}");
        }
    }

    #[test]
    fn one_limit_may_be_asked_for() {
        let listed = counters(&snapshot(), asked("acme", Some("by-user"), 9)).unwrap();
        assert_eq!((listed.own.len(), listed.shared.len()), (2, 0));
        let listed = counters(&snapshot(), asked("acme", Some("upstream"), 9)).unwrap();
        assert_eq!((listed.own.len(), listed.shared.len()), (0, 1));
        let none = counters(&snapshot(), asked("acme", Some("none"), 9)).unwrap();
        assert_eq!(none, Listed::default());
    }

    #[test]
    fn a_tenant_without_keys_has_no_counters() {
        let nobody = counters(&snapshot(), asked("nobody", None, 9));
        assert_eq!(nobody, Err(NotListed::Tenant));
    }
}
