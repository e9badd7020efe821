//! Upgrades: refused unless a route lets them pass; then bytes go both ways,
//! and the call is counted and keeps its slot for as long as it is open.

use super::calls::hello;
use crate::support::stack::{Engine, KEY, SOON, Setup, Stack};
use crate::support::until;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;
use weir::protocol::Endpoint;

/// What the shipped configurations need for upgrades to reach weir, and to pass
/// where it says so.
const ENVOY_EDITS: [(&str, &str); 2] = [
    (
        "          merge_slashes: true\n",
        "          merge_slashes: true\n          upgrade_configs: [ { upgrade_type: websocket } ]\n",
    ),
    (
        "              processing_mode:\n                request_header_mode: SEND\n",
        "              allow_mode_override: true\n              processing_mode:\n                request_header_mode: SEND\n",
    ),
];

/// One at a time.
const LIMITS: &str = "
      - { per: tenant, unit: concurrency, amount: 1 }";

/// A lease lives shorter than a connection.
const MORE: &str =
    "routes: [ { path: /v1/realtime, upgrades: allow }, { path: /own, dialect: cohere } ]
holds: { ttl: 2s, lease_ttl: 1s, renew_every: 250ms }";

async fn stack(envoy: &'static str, engine: Engine) -> Stack {
    Stack::start(Setup {
        envoy,
        engine,
        limits: LIMITS.to_owned(),
        more: MORE.to_owned(),
        envoy_edits: ENVOY_EDITS.to_vec(),
        ..Setup::default()
    })
    .await
}

/// The answer to a request for an upgrade.
struct Asked {
    status: u16,
    /// In lower case.
    head: String,
    connection: TcpStream,
}

async fn ask(stack: &Stack, path: &str, headers: &[(&str, &str)]) -> Asked {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut connection = TcpStream::connect(stack.front).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time(connection.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    Asked {
        status: head[9..12].parse().unwrap(),
        head,
        connection,
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(SOON, work).await;
    done.expect("in time")
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, v)| v)
    }

    /// The body of a refusal, however its end is told.
    async fn json(&mut self) -> Value {
        let mut body = Vec::new();
        loop {
            body.push(in_time(self.connection.read_u8()).await.unwrap());
            // Behind the length of a chunk, perhaps.
            let Some(begun) = body.iter().position(|byte| *byte == b'{') else {
                continue;
            };
            if let Ok(json) = serde_json::from_slice(&body[begun..]) {
                return json;
            }
        }
    }

    /// Sends bytes, and reads them again as the provider sends them back.
    async fn echoes(&mut self, bytes: &[u8]) {
        let mut back = vec![0; bytes.len()];
        let (mut reader, mut writer) = self.connection.split();
        let (sent, read) =
            in_time(async { tokio::join!(writer.write_all(bytes), reader.read_exact(&mut back)) })
                .await;
        sent.unwrap();
        read.unwrap();
        assert!(back == bytes, "{} bytes", bytes.len());
    }
}

fn bearer() -> (&'static str, String) {
    ("authorization", format!("Bearer {KEY}"))
}

/// So many events of connections that were let through.
async fn passed(stack: &Stack, count: usize) -> Vec<UsageEvent> {
    let what = format!("{count} events of connections");
    until(&what, SOON, || async move {
        let mut events = stack.events();
        events.retain(|event| event.outcome != Outcome::Refused);
        (events.len() >= count).then_some(events)
    })
    .await
}

#[tokio::test]
async fn an_upgrade_is_refused_in_its_callers_dialect() {
    let (name, bearer) = bearer();
    let bearer = (name, &*bearer);
    for envoy in ["unix.yaml", "authz.yaml", "split.yaml"] {
        let stack = stack(envoy, Engine::Memory).await;
        let google = ("x-goog-api-key", KEY);
        let version = ("anthropic-version", "2023-06-01");
        let gemini =
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
        for (count, (path, headers, dialect, at, word)) in [
            (
                "/v1/other?model=gpt-4o",
                &[bearer][..],
                "openai",
                "/error/code",
                "unknown_url",
            ),
            // A call that can be metered is none that passes unread, wherever.
            (
                "/v1/realtime/v1/responses",
                &[bearer],
                "openai",
                "/error/code",
                "unknown_url",
            ),
            (
                "/v1/other",
                &[bearer, version],
                "anthropic",
                "/error/type",
                "not_found_error",
            ),
            (gemini, &[google], "gemini", "/error/status", "NOT_FOUND"),
            (
                "/own/socket",
                &[bearer],
                "cohere",
                "/message",
                "WebSockets and other upgrades are not served here.",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let mut refused = ask(&stack, path, headers).await;
            assert_eq!(refused.status, 404, "{envoy} {path}: {}", refused.head);
            assert_eq!(
                refused.header("x-weir-decision"),
                Some("upgrade"),
                "{envoy} {path}"
            );
            assert_eq!(refused.header("x-should-retry"), Some("false"));
            let body = refused.json().await;
            assert_eq!(
                body.pointer(at),
                Some(&word.into()),
                "{envoy} {path}: {body}"
            );
            let event = stack.wait_for_events(count + 1).await.pop().unwrap();
            assert_eq!(event.outcome, Outcome::Refused, "{envoy} {path}");
            assert_eq!(event.refusal.as_deref(), Some("upgrade"));
            assert_eq!((&*event.dialect, event.status), (dialect, Some(404)));
        }
        assert_eq!(stack.provider.received(), 0, "{envoy}");
        stack.settle_the_books().await;
    }
}

/// As it is shipped, Envoy itself knows no upgrade.
#[tokio::test]
async fn the_shipped_configuration_lets_no_upgrade_pass() {
    let stack = Stack::start(Setup {
        more: MORE.to_owned(),
        ..Setup::default()
    })
    .await;
    let (name, bearer) = bearer();
    let refused = ask(&stack, "/v1/realtime", &[(name, &bearer)]).await;
    assert_eq!(refused.status, 403, "{}", refused.head);
    assert_eq!(stack.provider.received(), 0);
    stack.settle_the_books().await;
}

#[tokio::test]
async fn an_upgrade_that_is_allowed_passes_both_ways_and_keeps_its_slot() {
    for (envoy, engine) in [
        ("unix.yaml", Engine::Memory),
        ("unix.yaml", Engine::Redis),
        ("tcp.yaml", Engine::Memory),
        ("authz.yaml", Engine::Memory),
        ("split.yaml", Engine::Memory),
    ] {
        an_upgrade_passes(stack(envoy, engine).await, envoy).await;
    }
}

async fn an_upgrade_passes(stack: Stack, envoy: &str) {
    let (name, bearer) = bearer();
    let headers = [(name, &*bearer), ("x-weir-tenant", "other")];
    let path = "/v1/realtime?model=gpt-realtime";
    let mut first = ask(&stack, path, &headers).await;
    assert_eq!(first.status, 101, "{envoy}: {}", first.head);
    assert_eq!(first.header("upgrade"), Some("websocket"));
    first.echoes(b"\x81\x05hello").await;
    let binary: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7 % 253) as u8).collect();
    first.echoes(&binary).await;
    let received = stack.provider.log().remove(0);
    assert_eq!(
        (&*received.path, &*received.query),
        ("/v1/realtime", "model=gpt-realtime")
    );
    for name in ["authorization", "x-weir-tenant"] {
        assert_eq!(received.header(name), None, "{envoy}: {name} stays here");
    }
    assert_eq!(received.sent.len(), binary.len() + 7, "{envoy}: all of it");

    // Longer than a lease lives that nobody renews, its slot is taken.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2_500) {
        let mut second = ask(&stack, path, &headers).await;
        assert_eq!(second.status, 429, "{envoy}: {}", second.head);
        assert_eq!(second.header("x-weir-decision"), Some("tenant-concurrency"));
        assert_eq!(second.json().await["error"]["code"], "rate_limit_exceeded");
        first.echoes(b"still here").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let of_others = stack.events();
    assert!(
        of_others
            .iter()
            .all(|event| event.outcome == Outcome::Refused),
        "{envoy}: {of_others:#?}"
    );
    assert_eq!(stack.metric("weir_open_calls").await, 1.0, "{envoy}");

    drop(first);
    let event = passed(&stack, 1).await.remove(0);
    assert_eq!(event.outcome, Outcome::Estimated, "{envoy}: {event:?}");
    assert_eq!(event.endpoint, Some(Endpoint::Other));
    assert_eq!((event.status, event.stream), (Some(101), false));
    assert_eq!(
        (event.model, event.input_tokens, event.cost_nanos),
        (None, None, None)
    );
    assert_eq!(event.tenant.as_deref(), Some("acme"));
    let open_for = event.ended_at_ms.since(event.started_at_ms);
    assert!(open_for.0 >= 2_500, "{envoy}: {open_for:?}");

    // The slot is free by now, and is again when the provider closes.
    let mut third = ask(&stack, path, &headers).await;
    assert_eq!(third.status, 101, "{envoy}: {}", third.head);
    third.echoes(b"hello").await;
    third.connection.write_all(b"bye").await.unwrap();
    let mut rest = Vec::new();
    let _ = in_time(third.connection.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{envoy}");
    passed(&stack, 2).await;
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(answer.status, 200, "{envoy}: {answer:?}");
    stack.settle_the_books().await;
}
