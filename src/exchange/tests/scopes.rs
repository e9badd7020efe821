//! What a key may be used for, judged on a whole exchange.

use super::*;
use crate::identity::scopes::{Pattern, Scopes};
use crate::identity::table::Change;
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
