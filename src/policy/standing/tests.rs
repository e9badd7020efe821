//! Which counters are listed, for whom, and page by page.

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
        tenants: Arc::new(tenants.into_iter().collect()),
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

/// What stands below a plan applies to some, and is listed for them alone, behind the
/// plan's own; as are budgets with what makes them such.
#[test]
fn the_limits_of_what_stands_below_a_plan_are_listed_for_those_they_apply_to() {
    use crate::policy::budget::Budget;
    use crate::policy::terms::{Narrower, Project, Tenant};
    let mut snapshot = snapshot();
    let below = |name: &str, limits: Vec<PlanLimit>| {
        Arc::new(Plan {
            name: name.into(),
            limits,
            ..Plan::default()
        })
    };
    let of_user = |amount| {
        let mut of = limit(
            "user:day",
            &[Dimension::Tenant, Dimension::User],
            When::default(),
        );
        Arc::make_mut(&mut of.limit).amount = amount;
        of
    };
    let budget = PlanLimit {
        budget: Some(Arc::new(Budget {
            warn_at_per_mille: vec![500],
        })),
        ..limit("tenant:month", &[Dimension::Tenant], When::default())
    };
    let of_project = limit(
        "project:rpm",
        &[Dimension::Tenant, Dimension::Project],
        When::default(),
    );
    let narrower = Narrower {
        tenant: Some(below("acme", vec![budget])),
        projects: [(
            "web".into(),
            Project {
                plan: Some(below("web", vec![of_project])),
                ..Project::default()
            },
        )]
        .into(),
        users: [
            ("ada".into(), below("ada", vec![of_user(7)])),
            ("bob".into(), below("bob", vec![of_user(9)])),
            ("eve".into(), below("eve", vec![of_user(11)])),
        ]
        .into_iter()
        .collect(),
        ..Narrower::default()
    };
    let tenant = Tenant {
        narrower: Some(Arc::new(narrower)),
        ..Tenant::from("team")
    };
    Arc::make_mut(&mut snapshot.tenants).insert("acme".into(), tenant);
    use crate::identity::table::Change;
    let mut of_web = key(5, "acme", Some("bob"));
    of_web.account.project = Some("web".into());
    let table = snapshot.keys.configured.changed([Change::Put(of_web)]);
    snapshot.keys.configured = Arc::new(table);
    let whole = counters(&snapshot, asked("acme", None, 100)).unwrap();
    let all = names(&whole.own);
    let from = all
        .iter()
        .position(|name| name.contains("tenant:"))
        .unwrap();
    assert_eq!(from, 7, "behind the plan's: {all:?}");
    assert_eq!(
        all[from..],
        [
            "12:tenant:month,4:acme,",
            "11:project:rpm,4:acme,3:web,",
            "8:user:day,4:acme,8:user=ada,",
            "8:user:day,4:acme,8:user=bob,",
        ]
    );
    let amounts: Vec<u64> = whole
        .own
        .iter()
        .rev()
        .take(2)
        .map(|c| c.limit.amount)
        .collect();
    assert_eq!(amounts, [9, 7]);
    let budgets = whole.own.iter().filter(|counted| counted.budget.is_some());
    assert_eq!(budgets.count(), 1);
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
