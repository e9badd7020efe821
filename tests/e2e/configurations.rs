//! Each shipped Envoy configuration, started and used.

use super::calls::hello;
use crate::support::stack::{Engine, Setup, Stack};
use crate::support::until;
use serde_json::Value;
use std::time::Duration;
use weir::exchange::event::{Known, Outcome};

fn streamed() -> Value {
    let mut body = hello();
    body["stream"] = true.into();
    body
}

/// Else whoever calls chooses the address that keys and gateways are judged by (see
/// `identities`), or Envoy's route (see `routes`).
#[test]
fn no_configuration_believes_callers_about_their_address_or_route() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let of_its_own = text.matches("  use_remote_address: true\n").count();
        assert_eq!(of_its_own, text.matches("stat_prefix:").count(), "{path:?}");
        if text.contains("ExternalProcessor\n") {
            let told = "  request_attributes: [ source.address, xds.route_name ]\n";
            assert_eq!(text.matches(told).count(), 1, "{path:?}");
            let removed = "mutations: [ { remove: x-weir-cluster }, { remove: x-weir-model } ]\n";
            assert_eq!(text.matches(removed).count(), 1, "{path:?}");
        }
        seen += of_its_own;
    }
    assert_eq!(seen, 10);
}

/// The same calls give the same books, whichever way weir is attached.
#[tokio::test]
async fn every_configuration_admits_meters_and_refuses() {
    for envoy in [
        "unix.yaml",
        "tcp.yaml",
        "authz.yaml",
        "authz-http.yaml",
        "jwt.yaml",
        "split.yaml",
    ] {
        for engine in [Engine::Memory, Engine::Redis] {
            let stack = Stack::start(Setup {
                envoy,
                engine,
                ..Setup::default()
            })
            .await;
            let answer = stack.send(stack.chat(&hello(), &[])).await;
            assert_eq!(answer.status, 200, "{envoy}: {answer:?}");
            assert_eq!(
                answer.header("x-ratelimit-remaining-requests"),
                Some("99999"),
                "{envoy}"
            );
            let answer = stack.send(stack.chat(&streamed(), &[])).await;
            assert_eq!(answer.text().matches("apple").count(), 5, "{envoy}");
            assert!(!answer.text().contains("prompt_tokens"), "{envoy}");
            // An event is written when the store has answered, not before the
            // answer ends: of calls that follow at once the order is open.
            stack.wait_for_events(2).await;
            let denied = stack
                .send(stack.chat(&hello(), &[("authorization", "Bearer no")]))
                .await;
            assert_eq!(denied.status, 401, "{envoy}");
            assert_eq!(denied.json()["error"]["code"], "invalid_api_key");
            let doubled = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
            assert_eq!(
                stack.send(stack.chat(&hello(), &doubled)).await.status,
                401,
                "{envoy}"
            );
            let events = stack.wait_for_events(4).await;
            let outcomes: Vec<_> = events.iter().map(|event| event.outcome).collect();
            assert_eq!(
                outcomes,
                [
                    Outcome::Exact,
                    Outcome::Exact,
                    Outcome::Refused,
                    Outcome::Refused
                ],
                "{envoy}"
            );
            assert_eq!(
                stack.provider.log()[0].header("authorization"),
                None,
                "{envoy}"
            );
            stack.settle_the_books().await;
            let log = stack.access_log();
            assert_eq!(log[0]["weir_outcome"], "exact", "{envoy}: {log:?}");
            assert_eq!(log[0]["total_tokens"], 15, "{envoy}");
        }
    }
}

/// Clients can't speak for ext_authz: what they send of that kind is ignored.
#[tokio::test]
async fn only_ext_authz_itself_is_believed() {
    let stack = Stack::start(Setup {
        envoy: "authz.yaml",
        ..Setup::default()
    })
    .await;
    let forged = [
        ("authorization", ""),
        ("x-weir-key-id", "ada-key"),
        ("weir_key_id", "ada-key"),
    ];
    assert_eq!(stack.send(stack.chat(&hello(), &forged)).await.status, 401);
    // Without ext_authz in front the same weir judges the key itself.
    let alone = Stack::start(Setup {
        envoy: "unix.yaml",
        ..Setup::default()
    })
    .await;
    assert_eq!(alone.send(alone.chat(&hello(), &[])).await.status, 200);
    assert_eq!(alone.send(alone.chat(&hello(), &forged)).await.status, 401);
    stack.settle_the_books().await;
    alone.settle_the_books().await;
}

/// The split profile's promise: answers under way outlive weir, new calls are
/// refused, and what nobody metered becomes an estimated event.
#[tokio::test]
async fn with_the_split_profile_answers_outlive_weir() {
    for engine in [Engine::Memory, Engine::Redis] {
        let more = "holds: { ttl: 2s, lease_ttl: 1s, renew_every: 500ms }".to_owned();
        let mut stack = Stack::start(Setup {
            envoy: "split.yaml",
            engine,
            more,
            ..Setup::default()
        })
        .await;
        let mut open = Vec::new();
        for _ in 0..5 {
            let request = stack.chat(
                &streamed(),
                &[("x-fake-gate", "rest"), ("x-fake-gate-after", "1")],
            );
            let mut call = stack.open(request).await;
            call.chunk().await.unwrap().unwrap();
            open.push(call);
        }
        stack.kill_weir();
        let refused = stack.send(stack.chat(&hello(), &[])).await;
        assert!(matches!(refused.status, 500 | 503), "{refused:?}");
        stack.provider.open_gate("rest");
        let mut finished = 0;
        for call in &mut open {
            let (text, whole) = call.rest().await;
            finished += usize::from(whole && text.ends_with("data: [DONE]\n\n"));
        }
        assert_eq!(finished, 5, "{engine:?}: all finish");
        assert_eq!(
            stack.provider.received(),
            5,
            "the refused call was not sent"
        );
        stack.restart_weir().await;
        let events = stack.wait_for_events(5).await;
        assert_eq!(events.len(), 5);
        assert!(
            events
                .iter()
                .all(|e| e.outcome == Outcome::Estimated && e.known == Some(Known::Reserved))
        );
        let stack = &stack;
        until("no hold to be open", Duration::from_secs(10), || async {
            (stack.metric("weir_open_holds").await == 0.0).then_some(())
        })
        .await;
        stack.settle_the_books().await;
    }
}
