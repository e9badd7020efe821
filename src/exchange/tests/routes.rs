//! Calls that pass unread, and routes that say whose form calls have.

use super::*;
use crate::expressions::condition::Condition;
use crate::identity::scopes::Pattern;
use crate::limits::Decision;
use crate::policy::facts::Names;
use crate::policy::route::{EnvoyRoute, Host, Route};
use crate::policy::rule::{Action, Block, Rule, Rules};
use crate::protocol::Dialect;

fn exchange_with(role: Role, routes: Vec<Route>) -> Exchange {
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    snapshot.routes = routes.into();
    let hold = HoldId::new(NOW, &[7; 10]);
    Exchange::new(
        role,
        settings(),
        Arc::new(snapshot),
        Learned::default(),
        hold,
        Counting::unbounded(),
    )
}

fn pass_and_allow() -> Vec<Route> {
    vec![Route {
        pass_unknown: true,
        allow_upgrades: true,
        ..Route::default()
    }]
}

/// A head with another method, and more headers.
fn head(method: &str, path: &str, more: &[(&str, &str)], end: bool) -> Event {
    let mut head = request_head(path);
    head.headers.retain(|(name, _)| name != "content-type");
    head.headers[0].1 = method.as_bytes().to_vec();
    head.headers
        .push((":authority".into(), b"api.example.com".to_vec()));
    head.headers.extend(headers(more));
    head.end = end;
    Event::RequestHeaders(head)
}

fn reservation(step: &Step) -> &crate::limits::Reservation {
    match &step.effects[..] {
        [Effect::Reserve(reservation)] => reservation,
        other => panic!("expected a reservation: {other:?}"),
    }
}

#[test]
fn an_unknown_endpoint_is_refused_unless_its_route_lets_it_pass() {
    for (method, path, end) in [
        ("GET", "/v1/models", true),
        ("POST", "/v1/files", false),
        ("DELETE", "/v1/files/f", true),
    ] {
        let event = head(method, path, &[], end);
        let mut refusing = exchange_with(Role::Full, Vec::new());
        let step = refusing.step(event.clone(), NOW);
        assert_eq!(refusal(&step), (404, "unknown_url".to_owned()), "{path}");

        let mut exchange = exchange_with(Role::Full, pass_and_allow());
        let step = exchange.step(event, NOW);
        let units: Vec<_> = reservation(&step)
            .charges
            .iter()
            .map(|c| (c.limit.unit, c.amount))
            .collect();
        assert_eq!(
            units,
            [
                (Unit::Requests, 1),
                (Unit::Tokens, 0),
                (Unit::Concurrency, 1)
            ]
        );
        let step = exchange.step(admitted(), NOW);
        let Some(Reply::RequestHeaders {
            edits,
            without_bodies,
            ..
        }) = &step.reply
        else {
            panic!("{step:?}");
        };
        assert!(edits.remove.iter().any(|name| name == "authorization"));
        assert!(!without_bodies);
        if !end {
            let step = exchange.step(body(b"anything".to_vec()), NOW);
            assert_eq!(
                step.reply,
                Some(Reply::RequestBody {
                    body: None,
                    head: HeaderEdits::default(),
                    metadata: None
                })
            );
        }
        let steps = run(
            &mut exchange,
            vec![
                response_head("200", "application/json"),
                chunk(r#"{"usage":{"prompt_tokens":99}}"#, true),
            ],
        );
        let settled = settlements(&steps);
        assert_eq!(settled.len(), 1);
        assert_eq!(
            (settled[0].actual.requests, settled[0].actual.input_tokens),
            (1, 0)
        );
        let event = settled[0].event.as_ref().unwrap();
        assert_eq!(
            (event.outcome, event.model.as_deref(), event.input_tokens),
            (Outcome::Estimated, None, None)
        );
        assert_eq!(event.endpoint, Some(crate::protocol::Endpoint::Other));
        assert!(exchange.is_over());
    }
}

/// Whatever a lenient provider may take for a call that can be metered.
#[test]
fn nothing_that_resembles_a_known_path_passes_unread() {
    for path in [
        "/v1/Chat/Completions",
        "/V1/CHAT/COMPLETIONS",
        "//v1/chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat/completions/",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions;x",
        "/v1beta/models/m:GENERATECONTENT",
        "/v1beta/models/m%3AgenerateContent",
        "/v1beta/models/m%253AgenerateContent",
        "/openai/deployments/m%2Fchat%2Fcompletions",
        "/v1/models/x%2F..%2F..%2Fchat%2Fcompletions",
        "/v1/threads/runs",
        "/v1/realtime/client_secrets",
        "/v1beta/models/m:batchGenerateContent",
        "/v1/messages/batches",
        "/model/m/async-invoke",
        "/api/copy",
    ] {
        let mut exchange = exchange_with(Role::Full, pass_and_allow());
        let step = exchange.step(head("POST", path, &[], false), NOW);
        assert!(
            matches!(step.reply, Some(Reply::Refuse { .. })),
            "{path}: {step:?}"
        );
        assert_eq!(records(&[step]).len(), 1, "{path}");
    }
}

#[test]
fn an_upgrade_is_refused_unless_its_route_allows_it() {
    let upgrade = || {
        head(
            "GET",
            "/v1/realtime",
            &[("upgrade", "websocket"), ("connection", "Upgrade")],
            false,
        )
    };
    let connect = || {
        head(
            "CONNECT",
            "/v1/realtime",
            &[(":protocol", "websocket")],
            false,
        )
    };
    // An upgrade of a known endpoint is none that can be metered either.
    let known = || head("POST", "/v1/chat/completions", &[("upgrade", "h2c")], false);
    for event in [upgrade(), connect(), known()] {
        let mut refusing = exchange_with(Role::Full, Vec::new());
        let steps = [refusing.step(event, NOW)];
        assert_eq!(refusal(&steps[0]).0, 404);
        assert_eq!(records(&steps)[0].refusal.as_deref(), Some("upgrade"));
    }
    for event in [upgrade(), connect()] {
        let mut exchange = exchange_with(Role::Full, pass_and_allow());
        reservation(&exchange.step(event, NOW));
        let step = exchange.step(admitted(), NOW);
        assert!(matches!(
            step.reply,
            Some(Reply::RequestHeaders {
                without_bodies: true,
                ..
            })
        ));
        // The bodies aren't seen; the stream ends when the connection does.
        let steps = run(&mut exchange, vec![response_head("101", ""), Event::Closed]);
        let settled = settlements(&steps);
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].actual.requests, 1);
        assert_eq!(settled[0].event.as_ref().unwrap().status, Some(101));
    }
}

#[test]
fn a_door_hands_over_a_call_that_passes_unread() {
    let mut door = exchange_with(Role::Door, pass_and_allow());
    door.step(head("GET", "/v1/models", &[], true), NOW);
    let step = door.step(admitted(), NOW);
    let Some(Reply::RequestHeaders {
        metadata: Some(metadata),
        ..
    }) = step.reply
    else {
        panic!("{step:?}");
    };
    assert!(metadata.handover.is_some() && door.is_over());
}

#[test]
fn a_refused_call_that_would_pass_unread_is_told_so() {
    let mut exchange = exchange_with(Role::Full, pass_and_allow());
    exchange.step(head("GET", "/v1/models", &[], true), NOW);
    let refused = crate::limits::Refusal {
        charge: 0,
        used: 10,
        requested: 1,
        remaining: 0,
        reset_after: Some(Millis(900)),
        retry: crate::limits::Retry::After(Millis(500)),
    };
    let step = exchange.step(
        Event::Decided(Some(Decision::Refused(refused, Vec::new()))),
        NOW,
    );
    assert_eq!(refusal(&step).0, 429);
}

#[test]
fn a_route_says_whose_form_its_calls_have() {
    let anthropic = || {
        vec![
            Route {
                host: Some(Host::Is("other.example.com".into())),
                dialect: Some(Dialect::Ollama),
                ..Route::default()
            },
            Route {
                host: Some(Host::Under(".example.com".into())),
                dialect: Some(Dialect::Anthropic),
                ..Route::default()
            },
        ]
    };
    // Another dialect's endpoint is none here, and is refused in its words.
    let mut exchange = exchange_with(Role::Full, anthropic());
    let step = exchange.step(head("POST", "/v1/chat/completions", &[], false), NOW);
    let Some(Reply::Refuse { rendered, .. }) = &step.reply else {
        panic!("{step:?}");
    };
    let body: serde_json::Value = serde_json::from_slice(&rendered.body).unwrap();
    assert_eq!((rendered.status, &body["type"]), (404, &"error".into()));
    // Its own is.
    let mut exchange = exchange_with(Role::Full, anthropic());
    let json = [("content-type", "application/json")];
    let step = exchange.step(head("POST", "/v1/messages", &json, false), NOW);
    assert!(
        matches!(step.reply, Some(Reply::RequestHeaders { .. })),
        "{step:?}"
    );
}

/// By the name of Envoy's own route: its dialect, and what conditions see.
#[test]
fn a_route_of_envoys_says_whose_form_its_calls_have_and_conditions_see_its_name() {
    let named = |name: &str| Some(EnvoyRoute::Named(Pattern::new(name).unwrap()));
    let routes = || {
        vec![
            Route {
                name: Some("batch".into()),
                envoy_route: named("batch-*"),
                dialect: Some(Dialect::Anthropic),
                ..Route::default()
            },
            Route {
                envoy_route: named("bare"),
                ..Route::default()
            },
            Route {
                name: Some("rest".into()),
                ..Route::default()
            },
        ]
    };
    let seen = |wanted: &str, path: &str, route: Option<&str>, forged: &[(&str, &str)]| {
        let mut exchange = exchange_with(Role::Full, routes());
        let snapshot = Arc::make_mut(&mut exchange.snapshot);
        let plan = Arc::make_mut(&mut snapshot.plans).get_mut("team").unwrap();
        let when = format!("request.route == {wanted:?}");
        let rule = Rule {
            name: "stop".into(),
            when: Some(Condition::compile(&when, &Names::default()).unwrap()),
            needs_counters: false,
            then: vec![Action::Block(Block {
                status: 403,
                code: None,
                message: None,
            })],
            mode: Mode::Enforce,
        };
        Arc::make_mut(plan).rules = Rules::new(vec![rule], Arc::default());
        let mut head = request_head(path);
        head.envoy_route = route.map(str::to_owned);
        head.headers.extend(headers(forged));
        let step = exchange.step(Event::RequestHeaders(head), NOW);
        if matches!(step.reply, Some(Reply::Refuse { .. })) {
            return records(&[step])[0].refusal.as_deref().unwrap().to_owned();
        }
        let step = exchange.step(body(chat(r#","max_tokens":5"#)), NOW);
        match step.reply {
            Some(Reply::Refuse { .. }) => {
                records(&[step])[0].refusal.as_deref().unwrap().to_owned()
            }
            _ => "reserved".to_owned(),
        }
    };
    const OPENAI: &str = "/v1/chat/completions";
    const MESSAGES: &str = "/v1/messages";
    for (wanted, path, route, decided) in [
        ("batch", MESSAGES, Some("batch-1"), "blocked"),
        ("rest", MESSAGES, Some("batch-1"), "reserved"),
        ("batch", OPENAI, Some("batch-1"), "unknown_endpoint"),
        // What has no name, and what fits nothing, is seen as an empty text.
        ("", OPENAI, Some("bare"), "blocked"),
        ("rest", OPENAI, Some("bare"), "reserved"),
        // An entry that asks for a route fits no call whose route isn't told.
        ("rest", OPENAI, Some("elsewhere"), "blocked"),
        ("rest", OPENAI, Some(""), "blocked"),
        ("rest", OPENAI, None, "blocked"),
        ("batch", OPENAI, None, "reserved"),
    ] {
        let forged = [
            ("xds.route_name", "batch-1"),
            ("x-weir-route", "batch-1"),
            ("route", "batch-1"),
        ];
        for forged in [&[][..], &forged] {
            assert_eq!(
                seen(wanted, path, route, forged),
                decided,
                "{wanted} {path} {route:?}"
            );
        }
    }
}

/// Envoy may have chosen by it, and chooses anew without it.
#[test]
fn a_client_that_sets_what_routes_go_by_is_refused_where_they_are_known_by_name() {
    for (envoy_route, status) in [(None, None), (Some("batch"), Some(400))] {
        for name in ["x-weir-cluster", "x-weir-model"] {
            let routes = vec![Route {
                envoy_route: envoy_route.map(|name| EnvoyRoute::Named(Pattern::new(name).unwrap())),
                ..Route::default()
            }];
            let mut exchange = exchange_with(Role::Full, routes);
            let mut head = request_head("/v1/chat/completions");
            head.headers.push((name.to_owned(), b"cheap".to_vec()));
            let step = exchange.step(Event::RequestHeaders(head), NOW);
            match (&step.reply, status) {
                (Some(Reply::RequestHeaders { edits, .. }), None) => {
                    assert!(edits.remove.iter().any(|removed| removed == name));
                }
                (Some(Reply::Refuse { rendered, .. }), Some(status)) => {
                    assert_eq!(rendered.status, status, "{name}");
                }
                other => panic!("{name} {envoy_route:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn counting_tokens_is_free() {
    let mut exchange = exchange(Role::Full);
    let step = exchange.step(
        Event::RequestHeaders(request_head("/v1/messages/count_tokens")),
        NOW,
    );
    assert!(matches!(step.reply, Some(Reply::RequestHeaders { .. })));
    let asked = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}"#;
    let step = exchange.step(body(asked.to_vec()), NOW);
    let tokens: Vec<_> = reservation(&step)
        .charges
        .iter()
        .map(|charge| charge.amount)
        .collect();
    assert_eq!(tokens, [1, 0, 1]);
    exchange.step(admitted(), NOW);
    let steps = run(
        &mut exchange,
        vec![
            response_head("200", "application/json"),
            chunk(r#"{"input_tokens":9}"#, true),
        ],
    );
    let settled = settlements(&steps);
    assert_eq!(
        (settled[0].actual.requests, settled[0].actual.input_tokens),
        (1, 0)
    );
    assert_eq!(ended_as(settled[0]), Outcome::Exact);
}

#[test]
fn what_is_not_seen_is_held_at_the_models_maximum_or_refused() {
    let with_file = br#"{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}"#;
    for max in [None, Some(500)] {
        let mut snapshot = Arc::into_inner(snapshot()).unwrap();
        let model = Arc::make_mut(&mut snapshot.models)
            .get_mut("gpt-4o")
            .unwrap();
        Arc::make_mut(model).max_input_tokens = max;
        let hold = HoldId::new(NOW, &[7; 10]);
        let mut exchange = Exchange::new(
            Role::Full,
            settings(),
            Arc::new(snapshot),
            Learned::default(),
            hold,
            Counting::unbounded(),
        );
        exchange.step(
            Event::RequestHeaders(request_head("/v1/chat/completions")),
            NOW,
        );
        let step = exchange.step(body(with_file.to_vec()), NOW);
        match max {
            None => assert_eq!(refusal(&step), (400, "invalid_request_body".to_owned())),
            Some(max) => assert_eq!(reservation(&step).charges[1].amount, max + 100),
        }
    }
}

/// Whoever ignores the upgrade would answer the call that it came with.
#[test]
fn an_upgrade_of_a_call_that_can_be_metered_is_refused_even_where_they_are_allowed() {
    for (method, path) in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/realtime"),
        ("GET", "/v1/chat/completions"),
        // Nor does what never passes unread pass by saying so.
        ("GET", "/v1/realtime/sessions"),
        ("GET", "/v1/batches/b1"),
        ("CONNECT", "/v1beta/models/m:batchGenerateContent"),
    ] {
        let event = head(method, path, &[("upgrade", "websocket")], false);
        let mut exchange = exchange_with(Role::Full, pass_and_allow());
        let steps = [exchange.step(event, NOW)];
        assert_eq!(
            records(&steps)[0].refusal.as_deref(),
            Some("upgrade"),
            "{method} {path}"
        );
    }
}

#[test]
fn a_query_of_googles_says_how_the_answer_is_written_and_nothing_else() {
    const PATH: &str = "/v1beta/models/gpt-4o:generateContent";
    for (query, passes) in [
        ("", true),
        ("?alt=sse", true),
        ("?%24alt=json%3Benum-encoding%3Dint&prettyPrint=false", true),
        ("?fields=candidates", false),
        ("?%24fields=candidates", false),
        ("?alt=proto", false),
        ("?callback=f", false),
        ("?Key=k", false),
        ("?%6bey=k", false),
    ] {
        let mut exchange = exchange(Role::Full);
        let mut head = request_head(&format!("{PATH}{query}"));
        head.headers
            .push(("x-goog-fieldmask".into(), b"candidates".to_vec()));
        let step = exchange.step(Event::RequestHeaders(head), NOW);
        match &step.reply {
            Some(Reply::RequestHeaders { edits, .. }) => {
                assert!(passes, "{query}");
                assert!(edits.remove.iter().any(|name| name == "x-goog-fieldmask"));
            }
            Some(Reply::Refuse { rendered, .. }) => {
                assert!(
                    !passes && rendered.status == 400,
                    "{query}: {}",
                    rendered.status
                );
            }
            other => panic!("{query}: {other:?}"),
        }
    }
}

/// Some bill for moderations, and say so.
#[test]
fn what_is_usually_free_is_held_and_charged_where_it_is_said() {
    for (usage, outcome, tokens) in [
        ("", Outcome::Exact, 0),
        (
            r#","usage":{"prompt_tokens":7,"total_tokens":7}"#,
            Outcome::Exact,
            7,
        ),
    ] {
        let mut exchange = exchange(Role::Full);
        exchange.step(Event::RequestHeaders(request_head("/v1/moderations")), NOW);
        let step = exchange.step(
            body(br#"{"model":"gpt-4o","input":"hello there"}"#.to_vec()),
            NOW,
        );
        assert!(reservation(&step).charges[1].amount >= 2);
        exchange.step(admitted(), NOW);
        let answer = format!(r#"{{"id":"m","model":"gpt-4o","results":[]{usage}}}"#);
        let steps = run(
            &mut exchange,
            vec![
                response_head("200", "application/json"),
                chunk(&answer, true),
            ],
        );
        let settled = settlements(&steps);
        assert_eq!(
            (ended_as(settled[0]), settled[0].actual.input_tokens),
            (outcome, tokens)
        );
    }
}

/// As Voyage counts it.
#[test]
fn a_query_is_held_once_for_each_document() {
    let held = |documents: &str| {
        let mut exchange = exchange(Role::Full);
        exchange.step(Event::RequestHeaders(request_head("/v1/rerank")), NOW);
        let asked =
            format!(r#"{{"model":"gpt-4o","query":"one two three","documents":{documents}}}"#);
        let step = exchange.step(body(asked.into_bytes()), NOW);
        reservation(&step).charges[1].amount
    };
    let one = held(r#"["a"]"#);
    assert_eq!(held(r#"["a","a","a","a"]"#), one + 3 * (3 + 1));
}

/// Whatever a client does so that nothing of an answer can be seen.
#[test]
fn an_answer_that_shows_nothing_is_charged_the_most_that_it_could_be() {
    for (content_type, answer) in [
        ("application/x-protobuf", "\u{1}\u{2}"),
        ("application/json", r#"{"request_id":"r"}"#),
        ("application/json", "f({})"),
    ] {
        let mut exchange = exchange(Role::Full);
        let steps = run(
            &mut exchange,
            vec![
                Event::RequestHeaders(request_head("/v1/chat/completions")),
                body(chat(r#","max_tokens":50"#)),
                admitted(),
                response_head("200", content_type),
                chunk(answer, true),
            ],
        );
        let settled = settlements(&steps);
        assert_eq!(
            (ended_as(settled[0]), settled[0].actual.output_tokens),
            (Outcome::Estimated, 50),
            "{answer}"
        );
    }
}

#[test]
fn a_cap_in_a_field_that_may_not_be_read_is_refused() {
    for (field, status) in [
        (OutputField::MaxTokens, Some(400)),
        (OutputField::Either, None),
    ] {
        let mut snapshot = Arc::into_inner(snapshot()).unwrap();
        Arc::make_mut(
            Arc::make_mut(&mut snapshot.models)
                .get_mut("gpt-4o")
                .unwrap(),
        )
        .output_field = field;
        let hold = HoldId::new(NOW, &[7; 10]);
        let mut exchange = Exchange::new(
            Role::Full,
            settings(),
            Arc::new(snapshot),
            Learned::default(),
            hold,
            Counting::unbounded(),
        );
        exchange.step(
            Event::RequestHeaders(request_head("/v1/chat/completions")),
            NOW,
        );
        let step = exchange.step(body(chat(r#","max_completion_tokens":50"#)), NOW);
        let refused = match &step.reply {
            Some(Reply::Refuse { rendered, .. }) => Some(rendered.status),
            _ => None,
        };
        assert_eq!(refused, status);
    }
}
