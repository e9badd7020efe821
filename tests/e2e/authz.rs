//! ext_authz through the real Envoy: alone, where it counts; before ext_proc, where
//! it is believed or not; over HTTP.

use super::calls::hello;
use super::limits::scripts_run;
use crate::support::authorizer;
use crate::support::stack::{Engine, FOREIGN_KEY, KEY, Setup, Stack};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use serde_json::json;
use weir::exchange::event::Outcome;

const ENGINES: [Engine; 2] = [Engine::Memory, Engine::Redis];

fn alone(engine: Engine, envoy_edits: Vec<(&'static str, &'static str)>) -> Setup {
    Setup {
        engine,
        envoy: "authz-alone.yaml",
        envoy_edits,
        limits: "[ { per: tenant, unit: requests, amount: 2, every: 100s }, \
            { per: [ tenant, model ], unit: requests, amount: 1, every: 100s, when: { model: gpt-4o-mini } }, \
            { per: tenant, unit: tokens, amount: 1, every: 1h } ]"
            .to_owned(),
        more: "server: { ext_authz_limits: requests }\n\
            limits: [ { per: global, unit: requests, amount: 100, every: 1h } ]"
            .to_owned(),
        ..Setup::default()
    }
}

fn of_model(model: &str) -> serde_json::Value {
    let mut body = hello();
    body["model"] = model.into();
    body
}

/// Of its limits those of requests hold, and no others. They last as long as an
/// SDK is told to wait.
#[tokio::test]
async fn the_door_alone_counts_requests_and_judges_by_path_and_model() {
    for engine in ENGINES {
        let stack = Stack::start(alone(engine, Vec::new())).await;
        let mini = of_model("gpt-4o-mini");
        for (body, status, left) in [
            (&mini, 200, Some("0")),
            // Its model's own limit; nothing of the others is taken.
            (&mini, 429, Some("0")),
            (&hello(), 200, Some("0")),
            (&hello(), 429, Some("0")),
        ] {
            let answer = stack.send(stack.chat(body, &[])).await;
            assert_eq!(answer.status, status, "{engine:?}: {answer:?}");
            let told = answer.header("x-ratelimit-remaining-requests");
            assert_eq!(told, left, "{engine:?}: {answer:?}");
            if status == 429 {
                assert!(answer.header("x-weir-decision-id").is_some());
                let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=120).contains(&wait), "{wait}");
                let error = &answer.json()["error"];
                assert_eq!(error["code"], "rate_limit_exceeded", "{error}");
            }
        }
        if engine == Engine::Redis {
            let before = scripts_run(&stack).await;
            let refused = stack.send(stack.chat(&hello(), &[])).await;
            assert_eq!(refused.status, 429);
            assert_eq!(scripts_run(&stack).await, before, "it is remembered");
        }
        let claude = json!({"model": "claude-haiku-4-5", "max_tokens": 3,
            "messages": [{"role": "user", "content": "hello"}]});
        let refused = stack
            .send(stack.post("/v1/messages", claude.to_string(), &[]))
            .await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
        let foreign = format!("Bearer {FOREIGN_KEY}");
        let foreign = [("authorization", &*foreign)];
        for (path, body, status, decision) in [
            (
                "/v1/chat/completions",
                of_model("gpt-9").to_string(),
                404,
                "unknown_model",
            ),
            (
                "/v1/chat/completions",
                r#"{"model":"gpt-4o","model":"gpt-4o-mini"}"#.to_owned(),
                400,
                "bad_body",
            ),
            (
                "/v1/elsewhere",
                hello().to_string(),
                404,
                "unknown_endpoint",
            ),
        ] {
            let answer = stack.send(stack.post(path, body, &foreign)).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.header("x-weir-decision"), Some(decision));
        }
        let log = stack.provider.log();
        assert_eq!(log.len(), 2, "{engine:?}");
        let key =
            |call: &crate::support::provider::Received| call.header("authorization").is_some();
        assert!(!log.iter().any(key));
        // A row for each check that passed, and for each that did not.
        let refused = 2 + usize::from(engine == Engine::Redis) + 1 + 3;
        let events = stack.wait_for_events(2 + refused).await;
        assert_eq!(events.len(), 2 + refused);
        let passed: Vec<_> = events
            .iter()
            .filter(|e| e.outcome != Outcome::Refused)
            .collect();
        assert_eq!(passed.len(), 2);
        for (event, model) in passed.iter().zip(["gpt-4o-mini", "gpt-4o"]) {
            assert_eq!(event.outcome, Outcome::Estimated);
            assert_eq!(event.model.as_deref(), Some(model));
            assert_eq!(event.input_tokens, None);
        }
        for series in ["weir_open_holds", "weir_unsettled_holds"] {
            assert_eq!(stack.metric(series).await, 0.0, "{engine:?} {series}");
        }
    }
}

#[tokio::test]
async fn a_part_of_a_body_is_never_judged() {
    const WHOLE: &str = "max_request_bytes: 11534336, allow_partial_message: false";
    const PART: &str = "max_request_bytes: 40, allow_partial_message: true";
    for bytes in ["pack_as_bytes: true", "pack_as_bytes: false"] {
        let edits = vec![(WHOLE, PART), ("pack_as_bytes: true", bytes)];
        let stack = Stack::start(alone(Engine::Memory, edits)).await;
        // The part is good JSON to its end, but not all.
        let short = r#"{"model":"gpt-4o","messages":[]}        "#;
        assert_eq!(short.len(), 40);
        let body = format!("{short}{}", " ".repeat(100));
        let answer = stack
            .send(stack.post("/v1/chat/completions", body, &[]))
            .await;
        assert_eq!(answer.status, 413, "{bytes}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "request_too_large");
        assert_eq!(stack.provider.received(), 0);
        let edits = vec![("pack_as_bytes: true", bytes)];
        let stack = Stack::start(alone(Engine::Memory, edits)).await;
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 200, "{bytes}: {answer:?}");
        assert_eq!(stack.provider.received(), 1);
    }
}

/// Of a gateway's own metadata, as another ext_authz may fill it.
fn says(name: &str, kind: Kind) -> Struct {
    let value = Value { kind: Some(kind) };
    Struct {
        fields: [(name.to_owned(), value)].into(),
    }
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.to_owned())
}

/// Envoy asks another ext_authz than weir.
fn asks_another(metadata: Struct) -> (tempfile::TempDir, Vec<(&'static str, &'static str)>) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("authorizer.sock");
    authorizer::start(&socket, metadata);
    let cluster = format!(
        "  clusters:\n  - name: authorizer\n    type: STATIC\n    typed_extension_protocol_options:\n      \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        \
         explicit_http_config: {{ http2_protocol_options: {{}} }}\n    load_assignment:\n      \
         cluster_name: authorizer\n      endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: \
         {{ pipe: {{ path: {} }} }} }} }} ] }} ]\n",
        socket.display()
    );
    let edits = vec![
        (
            "envoy_grpc: { cluster_name: weir }\n                timeout: 0.5s",
            "envoy_grpc: { cluster_name: authorizer }\n                timeout: 0.5s",
        ),
        ("  clusters:\n", &*cluster.leak()),
    ];
    (dir, edits)
}

/// Whoever ext_authz names is believed where that is trusted, and else nobody is
/// but who brings a key.
#[tokio::test]
async fn ext_proc_judges_anew_where_ext_authz_is_not_trusted() {
    let caller = says("tenant", text("globex"));
    let mut caller_of_globex = caller.clone();
    caller_of_globex
        .fields
        .extend(says("id", text("sso")).fields);
    let as_json = r#"{"id":"sso","tenant":"globex"}"#;
    for (metadata, named) in [
        (says("weir_key_id", text("eve-key")), "eve-key"),
        (
            says("weir_caller", Kind::StructValue(caller_of_globex)),
            "sso",
        ),
        (says("x-weir-key-id", text("eve-key")), "eve-key"),
        (says("x-weir-caller", text(as_json)), "sso"),
    ] {
        for trusted in [true, false] {
            let (_dir, envoy_edits) = asks_another(metadata.clone());
            let stack = Stack::start(Setup {
                envoy: "authz.yaml",
                envoy_edits,
                identity: match trusted {
                    true => "  trust_ext_authz: true",
                    false => "  trust_ext_authz: false",
                },
                ..Setup::default()
            })
            .await;
            let keyed = stack.send(stack.chat(&hello(), &[])).await;
            assert_eq!(keyed.status, 200, "{keyed:?}");
            let keyless = stack.chat(&hello(), &[("authorization", "")]);
            let keyless = stack.send(keyless).await;
            assert_eq!(keyless.status, if trusted { 200 } else { 401 });
            let events = stack.wait_for_events(2).await;
            let expected = if trusted { named } else { "ada-key" };
            assert_eq!(events[0].key_id.as_deref(), Some(expected));
            let passed = events.iter().filter(|e| e.outcome != Outcome::Refused);
            assert_eq!(passed.count(), stack.provider.received());
            stack.log_and_events_agree().await;
        }
    }
}

/// weir's own ext_authz leaves a key to whoever judges it anew, who keeps it from
/// the provider.
#[tokio::test]
async fn a_key_is_judged_twice_where_the_first_judgement_is_not_trusted() {
    for envoy in ["authz.yaml", "authz-http.yaml"] {
        let stack = Stack::start(Setup {
            envoy,
            identity: "  trust_ext_authz: false",
            ..Setup::default()
        })
        .await;
        let answer = stack
            .send(stack.chat(&hello(), &[("x-weir-tenant", "globex")]))
            .await;
        assert_eq!(answer.status, 200, "{envoy}: {answer:?}");
        let refused = stack.chat(&hello(), &[("authorization", "Bearer no")]);
        assert_eq!(stack.send(refused).await.status, 401);
        let log = stack.provider.log();
        let told = log[0].headers.iter().any(|(_, value)| value.contains(KEY));
        assert!(!told, "{:?}", log[0].headers);
        assert_eq!(
            stack.wait_for_events(2).await[0].user.as_deref(),
            Some("ada")
        );
        stack.settle_the_books().await;
    }
}

/// Whoever ext_authz has found is handed on: the key itself isn't there any more
/// for ext_proc to judge.
#[tokio::test]
async fn callers_without_keys_are_handed_on() {
    const SOURCES: &str =
        "  sources: [ { api_key: {} }, { anonymous: { tenant: globex, user: guest } } ]";
    for envoy in ["authz.yaml", "authz-http.yaml", "unix.yaml"] {
        let stack = Stack::start(Setup {
            envoy,
            identity: SOURCES,
            ..Setup::default()
        })
        .await;
        let forged = [
            ("authorization", ""),
            (
                "x-weir-caller",
                r#"{"id":"x","tenant":"acme","user":"root"}"#,
            ),
            ("x-weir-key-id", "ada-key"),
        ];
        for headers in [&forged[..1], &forged] {
            let answer = stack.send(stack.chat(&hello(), headers)).await;
            assert_eq!(answer.status, 200, "{envoy}: {answer:?}");
        }
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        // Rubbish is nobody, not a guest.
        let rubbish = stack.chat(&hello(), &[("authorization", "Bearer no")]);
        assert_eq!(stack.send(rubbish).await.status, 401, "{envoy}");
        let events = stack.wait_for_events(4).await;
        let mut who: Vec<_> = events
            .iter()
            .map(|e| (e.tenant.as_deref(), e.user.as_deref()))
            .collect();
        who.sort_unstable();
        let guest = (Some("globex"), Some("guest"));
        assert_eq!(
            who,
            [(None, None), (Some("acme"), Some("ada")), guest, guest],
            "{envoy}"
        );
        let internal = |name: &str| name.starts_with("x-weir-");
        for call in stack.provider.log() {
            assert!(
                !call.headers.iter().any(|(name, _)| internal(name)),
                "{call:?}"
            );
        }
        stack.settle_the_books().await;
    }
}

/// What this way of asking can't remove, it refuses.
#[tokio::test]
async fn over_http_a_key_in_the_query_is_refused() {
    let stack = Stack::start(Setup {
        envoy: "authz-http.yaml",
        ..Setup::default()
    })
    .await;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).to_string();
    let path = format!("/v1beta/models/gemini-2.5-pro:generateContent?key={KEY}");
    let answer = stack
        .send(stack.post(&path, body.clone(), &[("authorization", "")]))
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.header("x-weir-decision"), Some("bad_query"));
    let headers = [("authorization", ""), ("x-goog-api-key", KEY)];
    let path = path.split('?').next().unwrap();
    assert_eq!(
        stack.send(stack.post(path, body, &headers)).await.status,
        200
    );
    stack.settle_the_books().await;
}
