//! Calls that pass unread where a route lets them: counted as requests, in each
//! of the shipped configurations; and nothing else does. And routes that are known by
//! those of Envoy's.

use crate::support::provider::Received;
use crate::support::stack::{KEY, SOON, Setup, Stack};
use crate::support::until;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use weir::exchange::event::Outcome;
use weir::protocol::Endpoint;

const LIMITS: &str = "
      - { per: tenant, unit: requests, amount: 2, every: 1h }
      - { per: tenant, unit: concurrency, amount: 5 }";

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "gateway")
        .header("authorization", format!("Bearer {KEY}"))
        .body(Full::default())
        .unwrap()
}

/// What passes unread is in nobody's books: the provider's log alone tells.
async fn passes_unread(envoy: &'static str) {
    let stack = Stack::start(Setup {
        envoy,
        limits: LIMITS.to_owned(),
        more: "routes: [ { host: other, dialect: ollama }, { unknown_endpoints: pass } ]\n"
            .to_owned(),
        ..Setup::default()
    })
    .await;
    for encoded in ["m%3AgenerateContent", "m%253AgenerateContent"] {
        let path = format!("/v1beta/models/{encoded}");
        assert_eq!(stack.send(get(&path)).await.status, 404, "{envoy}");
    }
    assert_eq!(stack.provider.received(), 0, "{envoy}");

    assert_eq!(
        stack.send(get("/v1/models?key=x&y=1")).await.status,
        200,
        "{envoy}"
    );
    let file = stack.post("/v1/files", "no JSON at all", &[]);
    assert_eq!(stack.send(file).await.status, 200, "{envoy}");
    let log = stack.provider.log();
    let paths: Vec<&str> = log.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths, ["/v1/models", "/v1/files"], "{envoy}");
    assert_eq!(log[0].query, "y=1", "{envoy}");
    assert_eq!(&log[1].raw_body[..], b"no JSON at all");
    assert!(
        log.iter()
            .all(|call| call.header("authorization").is_none())
    );
    // Both are counted.
    let third = stack.send(get("/v1/models")).await;
    assert_eq!(third.status, 429, "{envoy}");

    let passed = until("both events", SOON, || async {
        let events = stack.events();
        let passed = events
            .into_iter()
            .filter(|event| event.outcome == Outcome::Estimated);
        let passed: Vec<_> = passed.collect();
        (passed.len() == 2).then_some(passed)
    })
    .await;
    for event in passed {
        assert_eq!(event.endpoint, Some(Endpoint::Other), "{envoy}");
        assert_eq!(
            (event.model, event.input_tokens, event.status),
            (None, None, Some(200))
        );
    }
}

#[tokio::test]
async fn unknown_endpoints_pass_where_their_route_says_so() {
    for envoy in ["unix.yaml", "authz.yaml", "split.yaml"] {
        passes_unread(envoy).await;
    }
}

/// Three routes of Envoy's with the same paths, told apart by their hosts: two with a
/// name, one without. `PER_FILTER` stands for what the first tells its filters.
const ENVOY_ROUTES: &str = "              - name: night/batch
                match: { prefix: /, headers: [ { name: \":authority\", string_match: { exact: batch } } ] }
                route: { cluster: provider, timeout: 600s }
PER_FILTER              - name: claude
                match: { prefix: /, headers: [ { name: \":authority\", string_match: { exact: claude } } ] }
                route: { cluster: provider, timeout: 600s }
              - match: { prefix: / }
";

/// In the place of the shipped file's route.
const SHIPPED_ROUTE: &str = "              - name: llm\n                match: { prefix: / }\n";

const TELLS_EXT_AUTHZ: &str = "                typed_per_filter_config:
                  envoy.filters.http.ext_authz:
                    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: { context_extensions: { route: night/batch } }
";

async fn by_envoys_routes(envoy: &'static str, per_filter: &str) -> Stack {
    let routes = ENVOY_ROUTES.replace("PER_FILTER", per_filter);
    let more = "routes:
  - { name: batch, envoy_route: '*/batch', path: /v1 }
  - { name: claude, envoy_route: 'clau*', dialect: anthropic }
  - { name: rest, path: /v1/chat }
server: { ext_authz_limits: requests }
";
    Stack::start(Setup {
        envoy,
        envoy_edits: vec![(SHIPPED_ROUTE, routes.leak())],
        plan: "    policies: [ { name: not-by-day, when: 'request.route == \"batch\"', then: { block: true } }, \
               { name: is-rest, when: 'request.route == \"rest\"', then: { warn: rest } } ]"
            .to_owned(),
        more: more.to_owned(),
        ..Setup::default()
    })
    .await
}

/// What callers could say of their route, to no avail.
const FORGED: [(&str, &str); 6] = [
    ("xds.route_name", "night/batch"),
    ("route", "night/batch"),
    ("x-envoy-route", "night/batch"),
    ("x-weir-route", "batch"),
    ("x-weir-envoy-route", "night/batch"),
    ("x-envoy-original-path", "/batch"),
];

fn to(host: &str, path: &str, forged: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::post(path)
        .header("host", host)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {KEY}"));
    for (name, value) in forged {
        request = request.header(*name, *value);
    }
    let model = match path {
        "/v1/messages" => "claude-haiku-4-5",
        _ => "gpt-4o",
    };
    let body = json!({ "model": model, "max_tokens": 20,
        "messages": [{ "role": "user", "content": "hello" }] });
    request.body(Full::new(body.to_string().into())).unwrap()
}

#[tokio::test]
async fn what_holds_by_envoys_own_route_holds_whatever_a_caller_says() {
    const CHAT: &str = "/v1/chat/completions";
    for (envoy, per_filter, is_claude_told) in [
        ("unix.yaml", "", true),
        ("split.yaml", "", true),
        ("authz.yaml", TELLS_EXT_AUTHZ, true),
        // Nobody tells it of the second.
        ("authz-alone.yaml", TELLS_EXT_AUTHZ, false),
    ] {
        let stack = by_envoys_routes(envoy, per_filter).await;
        for forged in [&[][..], &FORGED] {
            let batch = stack.send(to("batch", CHAT, forged)).await;
            assert_eq!(batch.status, 403, "{envoy}: {batch:?}");
            assert_eq!(batch.header("x-weir-decision"), Some("not-by-day"));

            let claude = stack.send(to("claude", "/v1/messages", forged)).await;
            assert_eq!(claude.status, 200, "{envoy}: {claude:?}");
            let other = stack.send(to("claude", CHAT, forged)).await;
            let expected = if is_claude_told { 404 } else { 200 };
            assert_eq!(other.status, expected, "{envoy}: {other:?}");
            if is_claude_told {
                assert_eq!(other.json()["type"], "error", "its dialect's words");
            }

            // A route without a name falls to the next entry that fits.
            let rest = stack.send(to("elsewhere", CHAT, forged)).await;
            assert_eq!(rest.status, 200, "{envoy}: {rest:?}");
            assert_eq!(rest.header("x-weir-warning"), Some("rest"), "{envoy}");
            let none = stack.send(to("elsewhere", "/v1/messages", forged)).await;
            assert_eq!((none.status, none.header("x-weir-warning")), (200, None));
        }
        let log = stack.provider.log();
        let is_batch = |call: &Received| call.header("host") == Some("batch");
        assert!(!log.iter().any(is_batch), "{envoy}");
    }
}

/// Envoy chooses a route before weir sees the call: by headers that only weir may set
/// too, where a caller sends them.
#[tokio::test]
async fn a_caller_chooses_no_route_by_the_headers_that_weir_sets() {
    let by_header = "              - name: cheap
                match: { prefix: /, headers: [ { name: x-weir-cluster, string_match: { exact: cheap } } ] }
                route: { cluster: provider, timeout: 600s }
                response_headers_to_add: [ { header: { key: x-went-to, value: cheap } } ]
              - name: llm
                match: { prefix: / }
";
    let forged = [("x-weir-cluster", "cheap")];
    const CHAT: &str = "/v1/chat/completions";
    const EARLY: &str = "mutations: [ { remove: x-weir-cluster }, { remove: x-weir-model } ]";
    const TOO_LATE: &str = "mutations: [ { remove: x-nothing } ]";
    let (known_by_it, by_others) = ("routes: [ { envoy_route: cheap } ]\n", "");
    for (envoy, early, routes, status) in [
        ("unix.yaml", EARLY, by_others, 200),
        ("unix.yaml", EARLY, known_by_it, 200),
        ("split.yaml", EARLY, known_by_it, 200),
        ("authz.yaml", EARLY, known_by_it, 200),
        ("authz-alone.yaml", EARLY, known_by_it, 200),
        // Of an Envoy that doesn't remove them itself.
        ("unix.yaml", TOO_LATE, by_others, 200),
        ("split.yaml", TOO_LATE, by_others, 200),
        ("unix.yaml", TOO_LATE, known_by_it, 400),
        ("split.yaml", TOO_LATE, known_by_it, 400),
        ("authz.yaml", TOO_LATE, known_by_it, 400),
        ("authz-alone.yaml", TOO_LATE, known_by_it, 400),
    ] {
        let stack = Stack::start(Setup {
            envoy,
            envoy_edits: vec![(SHIPPED_ROUTE, by_header), (EARLY, early)],
            more: routes.to_owned(),
            ..Setup::default()
        })
        .await;
        let answer = stack.send(to("h", CHAT, &forged)).await;
        assert_eq!(answer.status, status, "{envoy} {early} {routes}");
        // A refusal has the headers of the route that Envoy chose first.
        if status == 200 {
            assert_eq!(answer.header("x-went-to"), None, "{envoy} {early}");
        }
        let log = stack.provider.log();
        assert_eq!(log.len(), usize::from(status == 200));
        let brings = |call: &Received| call.header("x-weir-cluster").is_some();
        assert!(!log.iter().any(brings), "{envoy}");
    }
}
