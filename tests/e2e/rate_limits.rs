//! Envoy's own ratelimit filter, pointed at weir.

use super::calls::hello;
use super::limits::scripts_run;
use super::outages::{redis_is_away, redis_is_back};
use crate::support::client::{self, Answer};
use crate::support::stack::{Engine, SOON, Setup, Stack};
use crate::support::until;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use std::net::SocketAddr;

async fn stack(engine: Engine, rule: &str) -> Stack {
    Stack::start(Setup {
        engine,
        envoy: "ratelimit.yaml",
        more: rules(rule),
        ..Setup::default()
    })
    .await
}

fn rules(rule: &str) -> String {
    format!("rate_limit_service: {{ domains: {{ edge: {{ rules: [ {rule} ] }} }} }}")
}

async fn call(stack: &Stack, user: &str) -> Answer {
    stack.send(stack.chat(&hello(), &[("x-user", user)])).await
}

const ENGINES: [Engine; 2] = [Engine::Memory, Engine::Redis];

#[tokio::test]
async fn the_filter_lets_through_so_many_and_answers_429_to_the_next() {
    for engine in ENGINES {
        let stack = stack(
            engine,
            "{ match: [ { key: user } ], limits: [ { unit: requests, amount: 3, every: 1d, algorithm: fixed_window, starts: first_hit } ] }",
        )
        .await;
        for left in ["2", "1", "0"] {
            let answer = call(&stack, "ada").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("x-ratelimit-remaining"), Some(left));
        }
        let refused = call(&stack, "ada").await;
        assert_eq!(refused.status, 429, "{engine:?}: {refused:?}");
        assert_eq!(
            refused.header("x-ratelimit-limit"),
            Some("3, 3;w=86400;name=\"user\"")
        );
        assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
        let reset: u64 = refused
            .header("x-ratelimit-reset")
            .unwrap()
            .parse()
            .unwrap();
        assert!((86_300..=86_400).contains(&reset), "{reset}");
        assert_eq!(refused.header("x-envoy-ratelimited"), Some("true"));
        assert_eq!(
            call(&stack, "bob").await.status,
            200,
            "a counter of his own"
        );
        let nameless = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(nameless.status, 200, "no descriptor that a rule matches");
        assert_eq!(stack.provider.received(), 5);
        let over = r#"weir_rate_limit_requests_total{code="over_limit"}"#;
        assert_eq!(stack.metric(over).await, 1.0);
        let open = stack.metric("weir_open_holds").await;
        assert_eq!(open, 0.0, "nothing is held");
    }
}

/// Asked before the request with no hits, told after it what it used.
#[tokio::test]
async fn what_is_told_when_a_stream_is_done_is_a_debt_of_later_requests() {
    for engine in ENGINES {
        let stack = stack(
            engine,
            "{ match: [ { key: counted, value: answer_bytes }, { key: remote_address } ], on_done: true,
               limits: [ { unit: requests, amount: 10, every: 1d } ] }",
        )
        .await;
        assert_eq!(call(&stack, "ada").await.status, 200, "nothing is used yet");
        until("the answer's bytes to be told", SOON, || async {
            let told = r#"weir_rate_limit_requests_total{code="ok"}"#;
            (stack.metric(told).await == 2.0).then_some(())
        })
        .await;
        let refused = call(&stack, "ada").await;
        assert_eq!(refused.status, 429, "{engine:?}: {refused:?}");
        assert_eq!(stack.metric("weir_shadow_refusals_total").await, 0.0);
    }
}

/// `failure_mode_deny` decides, as weir says that it doesn't know.
#[tokio::test]
async fn without_its_store_weir_says_that_it_does_not_know() {
    let mut stack = stack(
        Engine::Redis,
        "{ match: [ { key: user } ], limits: [ { unit: requests, amount: 3, every: 1d } ] }",
    )
    .await;
    assert_eq!(call(&stack, "ada").await.status, 200);
    stack.kill_redis();
    let refused = call(&stack, "ada").await;
    assert_eq!(refused.status, 500, "{refused:?}");
    let failed = r#"weir_rate_limit_requests_total{code="error"}"#;
    assert!(stack.metric(failed).await >= 1.0);
    assert_eq!(stack.provider.received(), 1);
}

/// By default each sidecar goes on within its share, and Redis is told of it.
#[tokio::test]
async fn without_its_store_weir_goes_on_within_its_share() {
    let five = "{ match: [ { key: user } ], limits: [ { unit: requests, amount: 5, every: 1d, algorithm: fixed_window, starts: first_hit } ] }";
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        link: true,
        redis: "response_timeout: 100ms, on_failure: share",
        envoy: "ratelimit.yaml",
        more: rules(five),
        ..Setup::default()
    })
    .await;
    let status = async |user: &str| call(&stack, user).await.status;
    for _ in 0..2 {
        assert_eq!(status("ada").await, 200);
    }
    stack.link.as_ref().unwrap().fall();
    for _ in 0..3 {
        assert_eq!(status("ada").await, 200, "two of five were used before");
    }
    redis_is_away(&stack).await;
    assert_eq!(status("ada").await, 429);
    assert_eq!(status("bob").await, 200, "a counter of his own");
    redis_is_back(&stack).await;
    // By Redis, which knows of all five.
    assert_eq!(status("ada").await, 429);
    for _ in 0..4 {
        assert_eq!(status("bob").await, 200);
    }
    assert_eq!(status("bob").await, 429);
    let alone = r#"weir_local_admissions_total"#;
    assert_eq!(stack.metric(alone).await, 4.0);
}

#[tokio::test]
async fn hammering_a_rate_limit_costs_no_round_trips() {
    let rule = "{ match: [ { key: user } ], limits: [ { unit: requests, amount: 1, every: 1d } ] }";
    let stack = stack(Engine::Redis, rule).await;
    assert_eq!(call(&stack, "ada").await.status, 200);
    let before = scripts_run(&stack).await;
    for _ in 0..100 {
        let refused = call(&stack, "ada").await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    }
    // One each two seconds, and signs of life.
    let run = scripts_run(&stack).await - before;
    assert!((1..30).contains(&run), "{run} scripts");
    assert_eq!(call(&stack, "bob").await.status, 200);
}

/// Another path each time.
#[tokio::test]
async fn hammering_a_rate_limit_with_other_paths_costs_no_round_trips() {
    let rules =
        "{ match: [ { key: user } ], limits: [ { unit: requests, amount: 1, every: 1d } ] },
        { match: [ { key: path } ], limits: [ { unit: requests, amount: 9, every: 1d } ] }";
    let stack = stack(Engine::Redis, rules).await;
    let grpc = stack.grpc;
    let ask = |path: usize| async move {
        let path = format!("/{path}");
        answered(grpc, &[("user", "ada"), ("path", &path)]).await
    };
    assert_eq!(ask(0).await.overall_code(), Code::Ok);
    let before = scripts_run(&stack).await;
    let mut unasked = 0;
    for path in 1..100 {
        let answer = ask(path).await;
        assert_eq!(answer.overall_code(), Code::OverLimit);
        let [user, path] = &answer.statuses[..] else {
            panic!("two statuses")
        };
        assert_eq!((user.code(), user.limit_remaining), (Code::OverLimit, 0));
        match &path.current_limit {
            Some(_) => assert_eq!((path.code(), path.limit_remaining), (Code::Ok, 9)),
            None => {
                assert_eq!(path.code(), Code::Unknown);
                unasked += 1;
            }
        }
    }
    // One each two seconds, and signs of life.
    let run = scripts_run(&stack).await - before;
    assert!((1..30).contains(&run) && unasked > 50, "{run}, {unasked}");
}

/// Asks one weir by itself, as an Envoy would.
async fn ask(grpc: SocketAddr, user: &str) -> bool {
    let answer = answered(grpc, &[("user", user)]).await;
    answer.overall_code() == Code::Ok
}

/// Each entry is a descriptor.
async fn answered(grpc: SocketAddr, entries: &[(&str, &str)]) -> RateLimitResponse {
    let endpoint = tonic::transport::Endpoint::new(format!("http://{grpc}")).unwrap();
    let mut client = RateLimitServiceClient::new(endpoint.connect().await.unwrap());
    let request = RateLimitRequest {
        domain: "edge".to_owned(),
        descriptors: entries
            .iter()
            .map(|(key, value)| RateLimitDescriptor {
                entries: vec![Entry {
                    key: (*key).to_owned(),
                    value: (*value).to_owned(),
                }],
                ..RateLimitDescriptor::default()
            })
            .collect(),
        hits_addend: 1,
    };
    let answer = client.should_rate_limit(request).await.unwrap();
    answer.into_inner()
}

/// Two weirs over one Redis: together they stay within the limit while it is
/// away, and it knows of all afterwards.
#[tokio::test]
async fn a_fleet_stays_within_its_limits_without_its_store() {
    let ten = "{ match: [ { key: user } ], limits: [ { unit: requests, amount: 10, every: 1d, algorithm: fixed_window, starts: first_hit } ] }";
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        link: true,
        redis: "response_timeout: 100ms, on_failure: share",
        envoy: "ratelimit.yaml",
        more: rules(ten),
        ..Setup::default()
    })
    .await;
    let (another, other, other_admin) = stack.another_weir().await;
    until("both to know of each other", SOON, || async {
        (stack.metric("weir_sidecars").await == 2.0).then_some(())
    })
    .await;
    let fleet = [stack.grpc, other];
    for grpc in fleet {
        assert!(ask(grpc, "ada").await && ask(grpc, "ada").await);
    }
    stack.link.as_ref().unwrap().fall();
    let mut admitted = 4;
    for grpc in fleet {
        while ask(grpc, "ada").await {
            admitted += 1;
        }
    }
    // Each gave out half, less what it had used itself.
    assert_eq!(admitted, 10, "{}", another.tail());
    redis_is_back(&stack).await;
    until("the other one to find Redis", SOON, || async {
        let text = client::get(other_admin, "/metrics").await.text();
        text.contains("weir_counter_store_away 0\n").then_some(())
    })
    .await;
    for grpc in fleet {
        assert!(!ask(grpc, "ada").await, "Redis knows of all ten");
        assert!(ask(grpc, "bob").await);
    }
}
