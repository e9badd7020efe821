//! Calls that pass unread where a route lets them: counted as requests, in each
//! of the shipped configurations; and nothing else does.

use crate::support::stack::{KEY, SOON, Setup, Stack};
use crate::support::until;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
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
