//! What a key may be used for, judged on a whole exchange.

use super::*;
use crate::identity::scopes::{Pattern, Scopes};
use crate::identity::table::Change;
use crate::limits::{CHARGES_MAX, Dimension};
use crate::policy::route::Route;

fn step_of(key: impl FnOnce(&mut Key), environment: Option<&str>, from: Option<&str>) -> Step {
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    let pepper = snapshot.keys.peppers.clone().unwrap().now;
    let mut scoped = Key {
        digest: pepper.digest(KEY.as_bytes()),
        id: "key-1".into(),
        user: None,
        account: Account {
            tenant: "acme".into(),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    };
    key(&mut scoped);
    let table = snapshot.keys.configured.changed([Change::Put(scoped)]);
    snapshot.keys.configured = Arc::new(table);
    snapshot.routes = [Route {
        environment: environment.map(Arc::from),
        ..Route::default()
    }]
    .into();
    let own = |count: usize| -> Arc<[PlanLimit]> {
        let limit = |n| {
            PlanLimit::from(Limit {
                name: format!("own:{n}").into(),
                scope: Scope::of([Dimension::Tenant, Dimension::Key]),
                unit: Unit::Requests,
                amount: 1,
                algorithm: Algorithm::Concurrency,
                mode: Mode::Enforce,
            })
        };
        (0..count).map(limit).collect()
    };
    let most = CHARGES_MAX - snapshot.plans["team"].limits.len();
    snapshot.own_limits = Arc::new(
        [
            ("two", own(2)),
            ("most", own(most)),
            ("too many", own(most + 1)),
        ]
        .map(|(name, limits)| (name.into(), limits))
        .into_iter()
        .collect(),
    );
    let hold = HoldId::new(NOW, &[7; 10]);
    let (learned, counting) = (Learned::default(), Counting::unbounded());
    let snapshot = Arc::new(snapshot);
    let mut exchange = Exchange::new(Role::Full, settings(), snapshot, learned, hold, counting);
    let mut head = request_head("/v1/chat/completions");
    head.peer.address = from.map(|text| text.parse().unwrap());
    let step = exchange.step(Event::RequestHeaders(head), NOW);
    match step.reply {
        Some(Reply::RequestHeaders { .. }) => exchange.step(
            Event::RequestBody {
                body: chat(""),
                end: true,
            },
            NOW,
        ),
        _ => step,
    }
}

fn scoped(change: impl FnOnce(&mut Scopes)) -> impl FnOnce(&mut Key) {
    let mut scopes = Scopes::default();
    change(&mut scopes);
    move |key| key.account.scopes = Some(Arc::new(scopes))
}

fn only(pattern: &str) -> Vec<Pattern> {
    vec![Pattern::new(pattern).unwrap()]
}

fn is_admitted(step: &Step) -> bool {
    matches!(step.effects[..], [Effect::Reserve(_)])
}

#[test]
fn a_key_calls_what_it_is_for_and_nothing_else() {
    for (models, allowed) in [("gpt-4*", true), ("gpt-4o", true), ("gpt-5", false)] {
        let step = step_of(scoped(|s| s.models = only(models)), None, None);
        assert_eq!(is_admitted(&step), allowed, "{models}");
    }
    for (endpoints, allowed) in [("/v1/chat/*", true), ("/v1/embeddings", false)] {
        let step = step_of(scoped(|s| s.endpoints = only(endpoints)), None, None);
        assert_eq!(is_admitted(&step), allowed, "{endpoints}");
    }
    for (route, allowed) in [(None, true), (Some("prod"), true), (Some("test"), false)] {
        let step = step_of(
            scoped(|s| s.environments = vec!["prod".into()]),
            route,
            None,
        );
        assert_eq!(is_admitted(&step), allowed, "{route:?}");
    }
    for (from, allowed) in [
        (Some("10.1.2.3"), true),
        (Some("192.0.2.1"), false),
        (None, false),
    ] {
        let nets = scoped(|s| s.addresses = vec!["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(is_admitted(&step_of(nets, None, from)), allowed, "{from:?}");
    }
}

#[test]
fn what_is_out_of_scope_is_refused_as_not_permitted_and_costs_nothing() {
    let step = step_of(scoped(|s| s.models = only("gpt-5")), None, None);
    assert_eq!(refusal(&step), (403, "permission_denied".to_owned()));
    let [Effect::Record(event)] = &step.effects[..] else {
        panic!("{:?}", step.effects)
    };
    assert_eq!(event.outcome, Outcome::Refused);
    assert_eq!(event.refusal.as_deref(), Some("model_not_allowed"));
    let of_no_plan = |key: &mut Key| key.account.tenant = "globex".into();
    assert_eq!(refusal(&step_of(of_no_plan, None, None)).0, 403);
}

#[test]
fn a_key_that_has_ended_is_refused() {
    let ended = |at: u64| move |key: &mut Key| key.ends_at = Some(UnixMillis(at));
    assert!(is_admitted(&step_of(ended(NOW.0 + 1), None, None)));
    let step = step_of(ended(NOW.0), None, None);
    assert_eq!(refusal(&step), (401, "invalid_api_key".to_owned()));
}

#[test]
fn a_keys_own_limits_are_charged_besides_its_plans() {
    let with = |limits: &'static str| {
        let key = move |key: &mut Key| key.account.limits = Some(limits.into());
        step_of(key, None, None)
    };
    let step = with("two");
    let [Effect::Reserve(reservation)] = &step.effects[..] else {
        panic!("{:?}", step.effects)
    };
    let charged: Vec<(&str, &str)> = reservation
        .charges
        .iter()
        .map(|charge| (&*charge.limit.name, &*charge.counter))
        .collect();
    let names: Vec<&str> = charged.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["rpm", "tpm", "slots", "own:0", "own:1"]);
    assert!(charged[3].1.contains("key-1"), "{charged:?}");
    assert!(is_admitted(&with("most")));
    // What can't be held to its limits isn't let through without them.
    for limits in ["too many", "unknown"] {
        let step = with(limits);
        assert_eq!(
            refusal(&step),
            (403, "permission_denied".to_owned()),
            "{limits}"
        );
        let [Effect::Record(event)] = &step.effects[..] else {
            panic!("{:?}", step.effects)
        };
        assert_eq!(event.refusal.as_deref(), Some("key_limits"));
    }
}

#[test]
fn a_tenant_that_is_not_configured_is_on_the_default_plan_if_there_is_one() {
    let of_another = |key: &mut Key| key.account.tenant = "initech".into();
    assert_eq!(refusal(&step_of(of_another, None, None)).0, 403);
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    snapshot.default_plan = Some("team".into());
    let table = KeyTable::of([Key {
        digest: crate::identity::KeyDigest([0; 32]),
        id: "k".into(),
        user: None,
        account: Account {
            tenant: "initech".into(),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    }]);
    let table = table.unwrap();
    let principal = snapshot.principal(table.by_id("k").unwrap()).unwrap();
    assert_eq!((&*principal.tenant, &*principal.plan), ("initech", "team"));
}

#[test]
fn while_nobody_knows_which_stored_keys_count_a_caller_is_told_to_try_again() {
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    snapshot.keys.stored = std::mem::take(&mut snapshot.keys.configured);
    let snapshot = |stale| {
        let mut snapshot = snapshot.clone();
        snapshot.keys.stored_is_stale = stale;
        Arc::new(snapshot)
    };
    for (stale, judged, status) in [
        (false, None, None),
        (true, None, Some(503)),
        (true, Some("key-1"), Some(503)),
        (false, Some("no-key"), Some(401)),
    ] {
        let hold = HoldId::new(NOW, &[7; 10]);
        let (learned, counting) = (Learned::default(), Counting::unbounded());
        let mut exchange = Exchange::new(
            Role::Full,
            settings(),
            snapshot(stale),
            learned,
            hold,
            counting,
        );
        let mut head = request_head("/v1/chat/completions");
        head.judged = judged.map(|id| crate::exchange::message::Judged::Key(id.to_owned()));
        let step = exchange.step(Event::RequestHeaders(head), NOW);
        let refused = match &step.reply {
            Some(Reply::Refuse { rendered, .. }) => Some(rendered.status),
            _ => None,
        };
        assert_eq!(refused, status, "{stale} {judged:?}");
    }
}
