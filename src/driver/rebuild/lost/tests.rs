//! Which limits are asked for, and where rows are counted.

use super::*;
use crate::limits::period::{Calendar, CalendarUnit, Period};
use crate::limits::{HoldId, Limit, Mode, Scope};
use crate::policy::{ModelRatio, OutputField, Plan, Tenant, Vocabulary, When};
use crate::units::Millis;
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn at(text: &str) -> UnixMillis {
    let ms = text.parse::<Timestamp>().unwrap().as_millisecond();
    UnixMillis(u64::try_from(ms).unwrap())
}

fn month(anchor: u8, zone: &str) -> Algorithm {
    Algorithm::FixedWindow {
        period: Arc::new(Period::calendar(Calendar {
            unit: CalendarUnit::Month(anchor),
            zone: TimeZone::get(zone).unwrap(),
        })),
        rollover: None,
    }
}

fn limit(name: &str, by: &[Dimension], unit: Unit, algorithm: Algorithm) -> PlanLimit {
    PlanLimit::from(Limit {
        name: name.into(),
        scope: Scope::of(by.iter().copied()),
        unit,
        amount: 1_000,
        algorithm,
        mode: Mode::Enforce,
    })
}

/// `acme` is on the plan `team`, `globex` on `free`.
fn snapshot(limits: Vec<PlanLimit>, shared: Vec<PlanLimit>) -> Snapshot {
    let tenants = [("acme", "team"), ("globex", "free")];
    let tenants = tenants.map(|(tenant, plan)| (tenant.into(), Tenant::from(plan)));
    let mut snapshot = Snapshot {
        tenants: Arc::new(tenants.into_iter().collect()),
        shared: shared.into(),
        ..Snapshot::default()
    };
    let plan = Plan {
        name: "team".into(),
        limits,
        ..Plan::default()
    };
    Arc::make_mut(&mut snapshot.plans).insert("team".into(), Arc::new(plan));
    for (name, tier) in [("big", Some("large")), ("small", None)] {
        let model = Model {
            service_tier: None,
            name: name.into(),
            tier: tier.map(Arc::from),
            provider: Some("p".into()),
            price: None,
            vocabulary: Vocabulary::O200kBase,
            max_input_tokens: None,
            token_ratio: ModelRatio::EXACT,
            max_output_tokens: None,
            output_field: OutputField::MaxTokens,
            image_tokens: None,
            inject_include_usage: true,
        };
        Arc::make_mut(&mut snapshot.models).insert(name.into(), Arc::new(model));
    }
    snapshot
}

/// Names of a group, its calls and its tokens.
type Named<'n> = (&'n [(Name, &'n str)], i128, i128);

/// A group of rows by these names, with so many calls and tokens.
fn row(by: &[Name], names: &[(Name, &str)], calls: i128, tokens: i128) -> UsageRow {
    let name = |wanted: &Name| {
        let found = names.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    };
    let mut sums = Sums::default();
    sums.add(Measure::Calls, calls);
    sums.add(Measure::InputTokens, tokens);
    UsageRow {
        period: None,
        names: by.iter().map(name).collect(),
        sums,
    }
}

#[test]
fn windows_are_those_of_the_limits_own_calendar() {
    let now = at("2026-06-10T12:00Z");
    for (algorithm, since, until) in [
        (month(1, "UTC"), "2026-06-01T00:00Z", "2026-07-01T00:00Z"),
        // Half an hour off, and a month that has no 31st.
        (
            month(31, "Asia/Kolkata"),
            "2026-05-30T18:30Z",
            "2026-06-29T18:30Z",
        ),
        (
            month(15, "Australia/Lord_Howe"),
            "2026-05-14T13:30Z",
            "2026-06-14T13:30Z",
        ),
    ] {
        let limits = vec![limit("l", &[Dimension::Tenant], Unit::Tokens, algorithm)];
        let snapshot = snapshot(limits, Vec::new());
        let (asked, left_out) = lost(&snapshot, now, now);
        assert!(left_out.is_empty());
        assert_eq!((asked[0].since, asked[0].until), (at(since), at(until)));
        let epoch = Epoch {
            id: HoldId::new(now, &[1; 10]),
            since: at("2026-06-09T00:00Z"),
        };
        let queries = asked[0].queries(epoch, &Tenants::of(&snapshot));
        assert_eq!(queries.len(), 1);
        let query = &queries[0];
        assert_eq!((query.since, query.until), (at(since), epoch.since));
    }
}

#[test]
fn each_tenant_of_a_plan_is_asked_for_once_and_few_of_them_together() {
    let now = at("2026-06-10T12:00Z");
    let limits = vec![limit(
        "l",
        &[Dimension::User],
        Unit::Tokens,
        month(1, "UTC"),
    )];
    let shared = vec![limit("all", &[], Unit::Requests, month(1, "UTC"))];
    let mut snapshot = snapshot(limits, shared);
    let names: Vec<Arc<str>> = (0..600).map(|n| format!("t{n:03}").into()).collect();
    let tenants = names
        .iter()
        .map(|name| (Arc::clone(name), Tenant::from("team")));
    Arc::make_mut(&mut snapshot.tenants).extend(tenants);
    let tenants = Tenants::of(&snapshot);
    let (asked, _) = lost(&snapshot, now, now);
    let epoch = Epoch {
        id: HoldId::new(now, &[1; 10]),
        since: now,
    };
    let queries = asked[0].queries(epoch, &tenants);
    let mut told: Vec<String> = Vec::new();
    for query in &queries {
        let of_tenants = |condition: &&Condition| condition.dimension == Name::Tenant;
        let tenants = query.only.iter().find(of_tenants).unwrap();
        assert!(tenants.among && tenants.names.len() <= TENANTS_TOGETHER_MAX);
        told.extend(tenants.names.iter().flatten().cloned());
    }
    told.sort();
    // Not `globex`, which is on another plan.
    let all = std::iter::once("acme").chain(names.iter().map(|name| &**name));
    assert!(told.iter().map(String::as_str).eq(all));
    assert_eq!(queries.len(), 3);
    // Of all tenants together.
    let shared = asked[1].queries(epoch, &tenants);
    assert_eq!(shared.len(), 1);
    let by_tenant = |condition: &Condition| condition.dimension == Name::Tenant;
    assert!(!shared[0].only.iter().any(by_tenant));
}

#[test]
fn what_the_ledger_cannot_tell_of_is_left_out_and_said_so() {
    let now = at("2026-06-10T12:00Z");
    let every = Millis(60_000);
    let by = [Dimension::Tenant];
    let limits = vec![
        limit(
            "sliding",
            &by,
            Unit::Tokens,
            Algorithm::SlidingWindow { every },
        ),
        limit(
            "bucket",
            &by,
            Unit::Tokens,
            Algorithm::TokenBucket { every, burst: 1 },
        ),
        limit(
            "first",
            &by,
            Unit::Tokens,
            Algorithm::FixedWindow {
                period: Arc::new(Period::first_hit(every)),
                rollover: None,
            },
        ),
        limit("slots", &by, Unit::Concurrency, Algorithm::Concurrency),
        limit("month", &by, Unit::Tokens, month(1, "UTC")),
    ];
    let snapshot = snapshot(limits, Vec::new());
    let names = |(asked, left_out): (Vec<Lost>, Vec<LeftOut>)| {
        let asked = asked.iter().map(|lost| lost.limit.limit.name.to_string());
        let left_out = left_out.iter().map(|left| left.limit.to_string());
        (asked.collect::<Vec<_>>(), left_out.collect::<Vec<_>>())
    };
    let (asked, left_out) = names(lost(&snapshot, now, now));
    assert_eq!(asked, ["month"]);
    assert_eq!(left_out, ["sliding", "bucket", "first"]);
    // Nothing of this month was lost.
    let (asked, _) = names(lost(&snapshot, at("2026-06-01T00:00Z"), now));
    assert!(asked.is_empty());
    // What belongs to this month must not be charged to the next.
    let end = at("2026-06-30T23:59:57Z");
    let (asked, left_out) = names(lost(&snapshot, end, end));
    assert!(asked.is_empty());
    assert_eq!(left_out, ["sliding", "bucket", "first", "month"]);
}

#[test]
fn each_row_is_counted_where_its_call_would_be_and_nowhere_else() {
    let now = at("2026-06-10T12:00Z");
    let large = When {
        tiers: vec!["large".into()],
        ..When::default()
    };
    let by_user = [Dimension::User];
    let by_tier = [Dimension::Tenant, Dimension::Tier];
    let limits = vec![
        limit("user", &by_user, Unit::Requests, month(1, "UTC")),
        limit("tier", &by_tier, Unit::Tokens, month(1, "UTC")),
        PlanLimit {
            when: large,
            ..limit("large", &[Dimension::Tenant], Unit::Tokens, month(1, "UTC"))
        },
    ];
    let shared = vec![limit("all", &[], Unit::Requests, month(1, "UTC"))];
    let snapshot = snapshot(limits, shared);
    let tenants = Tenants::of(&snapshot);
    let (asked, _) = lost(&snapshot, now, now);
    let counted = |place: usize, rows: &[Named]| {
        let lost: &Lost = &asked[place];
        let rows: Vec<UsageRow> = rows
            .iter()
            .map(|(names, calls, tokens)| row(&lost.by, names, *calls, *tokens))
            .collect();
        let mut counters = Counters::new();
        lost.add(&tenants, &rows, &mut counters);
        let mut counters: Vec<(String, String, u64)> = counters
            .into_iter()
            .map(|((slot, counter), amount)| (slot.to_string(), counter, amount))
            .collect();
        counters.sort();
        counters
    };
    let found = |slot: &str, counter: &str, amount| (slot.to_owned(), counter.to_owned(), amount);
    use Name::{Endpoint as ByEndpoint, Key, Model as ByModel, Tenant, User};
    let users = counted(
        0,
        &[
            (&[(Tenant, "acme"), (User, "ada"), (Key, "k1")], 2, 0),
            (&[(Tenant, "acme"), (User, "ada"), (Key, "k2")], 3, 0),
            (&[(Tenant, "acme"), (Key, "k3")], 4, 0),
            // On another plan by now, gone, and nobody's.
            (&[(Tenant, "globex"), (User, "eve"), (Key, "k4")], 5, 0),
            (&[(Tenant, "initech"), (User, "bob"), (Key, "k5")], 6, 0),
            (&[(User, "ada"), (Key, "k1")], 7, 0),
        ],
    );
    assert_eq!(
        users,
        [
            found("acme", "4:user,4:acme,6:key=k3,", 4),
            found("acme", "4:user,4:acme,8:user=ada,", 5),
        ]
    );
    let tiers = counted(
        1,
        &[
            (&[(Tenant, "acme"), (ByModel, "big")], 1, 10),
            (&[(Tenant, "acme"), (ByModel, "small")], 1, 20),
            (&[(Tenant, "acme"), (ByModel, "gone")], 1, 40),
            (&[(Tenant, "acme")], 1, 80),
        ],
    );
    assert_eq!(
        tiers,
        [
            found("acme", "4:tier,4:acme,0:,", 20),
            found("acme", "4:tier,4:acme,5:large,", 10),
        ]
    );
    let chat = Endpoint::all().next().unwrap().path();
    let only_large = counted(
        2,
        &[
            (
                &[(Tenant, "acme"), (ByModel, "big"), (ByEndpoint, chat)],
                1,
                10,
            ),
            (
                &[(Tenant, "acme"), (ByModel, "small"), (ByEndpoint, chat)],
                1,
                20,
            ),
            (&[(Tenant, "acme"), (ByEndpoint, chat)], 1, 40),
        ],
    );
    assert_eq!(only_large, [found("acme", "5:large,4:acme,", 10)]);
    assert_eq!(counted(3, &[(&[], 9, 0)]), [found("", "3:all,", 9)]);
}

#[test]
fn the_limits_of_keys_are_asked_for_and_only_those_who_have_them_are_counted() {
    use crate::identity::table::{Account, Key};
    use crate::identity::{KeyDigest, KeyTable};
    let now = at("2026-06-10T12:00Z");
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    snapshot.default_plan = Some("team".into());
    let key = |id: &str, n: u8, limits: Option<&str>| Key {
        digest: KeyDigest([n; 32]),
        id: id.into(),
        user: None,
        account: Account {
            tenant: "initech".into(),
            limits: limits.map(Arc::from),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    };
    let keys = [key("with", 1, Some("own")), key("without", 2, None)];
    snapshot.keys.stored = Arc::new(KeyTable::of(keys).unwrap());
    let by = [Dimension::Tenant, Dimension::Key];
    let own = limit("own:month", &by, Unit::Tokens, month(1, "UTC"));
    Arc::make_mut(&mut snapshot.own_limits).insert("own".into(), [own].into());
    let (asked, left_out) = lost(&snapshot, now, now);
    assert!(left_out.is_empty() && asked.len() == 1);
    let names = |key: &'static str| [(Name::Tenant, "initech"), (Name::Key, key)];
    let rows: Vec<UsageRow> = ["with", "without", "gone"]
        .map(|key| row(&asked[0].by, &names(key), 1, 70))
        .into();
    let mut counters = Counters::new();
    asked[0].add(&Tenants::of(&snapshot), &rows, &mut counters);
    let counter = counter_id("own:month", &["initech", "with"]);
    let expected = [(("initech".into(), counter), 70)];
    assert_eq!(counters, expected.into_iter().collect::<Counters>());
}

/// What stands below a plan is asked for by whom it stands there for; what no row
/// tells of is left out, and so is what was carried.
#[test]
fn limits_below_a_plan_are_asked_for_by_those_they_apply_to() {
    use crate::policy::terms::{Narrower, Project};
    let now = at("2026-06-10T12:00Z");
    let below = |name: &str, limit: PlanLimit| {
        Arc::new(Plan {
            name: name.into(),
            limits: vec![limit],
            ..Plan::default()
        })
    };
    let by = [Dimension::Tenant, Dimension::Project, Dimension::User];
    let of =
        |name, dimensions: &[Dimension]| limit(name, dimensions, Unit::Tokens, month(1, "UTC"));
    let carries = match month(1, "UTC") {
        Algorithm::FixedWindow { period, .. } => Algorithm::FixedWindow {
            period,
            rollover: Some(crate::limits::Rollover {
                amount: 1_000,
                most: 500,
            }),
        },
        other => other,
    };
    let narrower = Narrower {
        tenant: Some(below(
            "acme",
            limit("tenant:b", &by[..1], Unit::Tokens, carries),
        )),
        projects: [(
            "web".into(),
            Project {
                plan: Some(below("web", of("project:b", &by[..2]))),
                ..Project::default()
            },
        )]
        .into(),
        users: [("ada".into(), below("ada", of("user:b", &[by[0], by[2]])))]
            .into_iter()
            .collect(),
        ..Narrower::default()
    };
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    let tenant = Tenant {
        narrower: Some(Arc::new(narrower)),
        ..Tenant::from("team")
    };
    Arc::make_mut(&mut snapshot.tenants).insert("acme".into(), tenant);
    let (asked, left_out) = lost(&snapshot, now, now);
    let left_out: Vec<_> = left_out.iter().map(|of| (&*of.limit, &*of.why)).collect();
    assert_eq!(left_out, [("tenant:b", NOT_CARRIED)]);
    let epoch = Epoch {
        id: HoldId::new(now, &[1; 10]),
        since: now,
    };
    let tenants = Tenants::of(&snapshot);
    let of_acme = Condition::is(Name::Tenant, "acme");
    let not_void = Condition::is_not(Name::Outcome, "void");
    let mut places = Counters::new();
    for (lost, name, whose) in [
        (&asked[0], "tenant:b", None),
        (&asked[1], "project:b", Some((Name::Project, "web"))),
        (&asked[2], "user:b", Some((Name::User, "ada"))),
    ] {
        assert_eq!(*lost.limit.limit.name, *name);
        let queries = lost.queries(epoch, &tenants);
        let more = whose.map(|(of, name)| Condition::is(of, name));
        let only: Vec<_> = [not_void.clone(), of_acme.clone()]
            .into_iter()
            .chain(more)
            .collect();
        assert_eq!((queries.len(), &queries[0].only), (1, &only));
        let names = [
            (Name::Tenant, "acme"),
            (Name::Project, "web"),
            (Name::User, "ada"),
            (Name::Key, "k"),
        ];
        lost.add(
            &tenants,
            &[row(&queries[0].group_by, &names, 1, 30)],
            &mut places,
        );
    }
    let mut places: Vec<_> = places
        .into_iter()
        .map(|((_, counter), sum)| (counter, sum))
        .collect();
    places.sort();
    let expected = [
        ("6:user:b,4:acme,8:user=ada,", 30),
        ("8:tenant:b,4:acme,", 30),
        ("9:project:b,4:acme,3:web,", 30),
    ];
    assert_eq!(
        places,
        expected.map(|(counter, sum)| (counter.to_owned(), sum))
    );
}
