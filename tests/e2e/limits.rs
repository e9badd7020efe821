//! Refusals: by each limit, for whom, in which words; and exactness under fire.

use super::calls::hello;
use crate::support::stack::{Engine, FOREIGN_KEY, OTHER_KEY, Setup, Stack};
use crate::support::until;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;

async fn stack(engine: Engine, limit: &str) -> Stack {
    Stack::start(Setup {
        engine,
        limits: format!("[ {limit} ]"),
        ..Setup::default()
    })
    .await
}

const ENGINES: [Engine; 2] = [Engine::Memory, Engine::Redis];

#[tokio::test]
async fn the_request_limit_refuses_in_openais_words() {
    for engine in ENGINES {
        let stack = stack(
            engine,
            "{ per: tenant, unit: requests, amount: 2, every: 1h }",
        )
        .await;
        for _ in 0..2 {
            assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        }
        let answer = stack
            .send(stack.chat(
                &hello(),
                &[("authorization", &format!("Bearer {OTHER_KEY}"))],
            ))
            .await;
        assert_eq!(
            answer.status, 429,
            "the tenant's limit holds for all its users"
        );
        let error = &answer.json()["error"];
        assert_eq!(
            (error["type"].as_str(), error["code"].as_str()),
            (Some("requests"), Some("rate_limit_exceeded"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("Limit 2, Used 2, Requested 1. Please try again in"),
            "{message}"
        );
        assert_eq!(
            answer.header("x-should-retry"),
            Some("false"),
            "no SDK should sleep for an hour"
        );
        assert_eq!(answer.header("x-weir-decision"), Some("tenant-requests"));
        for name in ["retry-after", "retry-after-ms"] {
            assert_eq!(answer.header(name), None, "{name}");
        }

        let events = stack.wait_for_events(3).await;
        let refused = |event: &&UsageEvent| event.outcome == Outcome::Refused;
        let refused = events.iter().find(refused).unwrap();
        assert_eq!(refused.refused_by.as_deref(), Some("tenant-requests"));
        assert_eq!(refused.user.as_deref(), Some("bob"));
        assert_eq!(
            Some(refused.id.to_string().as_str()),
            answer.header("x-weir-decision-id")
        );
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn the_token_limit_counts_what_a_call_can_use_before_it_is_sent() {
    for engine in ENGINES {
        let limit = "{ per: user, unit: tokens, amount: 300, every: 1h, burst: 300 }";
        let stack = stack(engine, limit).await;
        let ask = |max_tokens: u64| json!({"model": "gpt-4o", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hi"}]});
        // Held: 8 counted tokens and the 200; used: 8 and 5.
        assert_eq!(stack.send(stack.chat(&ask(200), &[])).await.status, 200);
        // What was not used has come back.
        assert_eq!(stack.send(stack.chat(&ask(250), &[])).await.status, 200);
        let too_much = stack.send(stack.chat(&ask(290), &[])).await;
        assert_eq!(too_much.status, 429);
        assert_eq!(too_much.json()["error"]["type"], "tokens");
        let never = stack.send(stack.chat(&ask(999), &[])).await;
        assert_eq!(never.status, 429);
        assert!(
            never.json()["error"]["message"]
                .as_str()
                .unwrap()
                .starts_with("Request too large")
        );
        assert_eq!(never.header("x-should-retry"), Some("false"));
        assert_eq!(never.header("retry-after"), None);
        // Another user of the same tenant has a bucket of his own.
        let bob = [("authorization", &*format!("Bearer {OTHER_KEY}"))];
        assert_eq!(stack.send(stack.chat(&ask(290), &bob)).await.status, 200);
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_slot_is_free_the_moment_its_call_ends() {
    for engine in ENGINES {
        let stack = stack(engine, "{ per: tenant, unit: concurrency, amount: 1 }").await;
        let first = stack
            .open(stack.chat(
                &streamed(),
                &[("x-fake-gate", "end"), ("x-fake-gate-after", "1")],
            ))
            .await;
        let second = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(second.status, 429);
        assert!(
            second.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains("concurrent requests")
        );
        assert_eq!(second.header("retry-after-ms"), Some("1000"));
        stack.provider.open_gate("end");
        let mut first = first;
        assert!(first.rest().await.1);
        // No waiting: the slot was given back before the last byte was passed on.
        for _ in 0..20 {
            assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        }
        stack.settle_the_books().await;
    }
}

fn streamed() -> Value {
    let mut body = hello();
    body["stream"] = true.into();
    body
}

#[tokio::test]
async fn of_fifty_calls_at_once_exactly_ten_pass() {
    for engine in ENGINES {
        for limit in [
            "{ per: tenant, unit: requests, amount: 10, every: 1h }",
            "{ per: tenant, unit: concurrency, amount: 10 }",
            // Each call holds 10 and 90.
            "{ per: tenant, unit: tokens, amount: 1000, every: 24h, burst: 1000 }",
        ] {
            let stack = Arc::new(stack(engine, limit).await);
            let body = json!({"model": "gpt-4o", "max_tokens": 90, "messages": [{"role": "user", "content": "hello out there"}]});
            let calls: Vec<_> = (0..50)
                .map(|_| {
                    let (stack, body) = (Arc::clone(&stack), body.clone());
                    tokio::spawn(async move {
                        stack
                            .send(stack.chat(&body, &[("x-fake-gate", "all")]))
                            .await
                            .status
                    })
                })
                .collect();
            // The other forty have been refused while these ten are open.
            until("forty refusals", Duration::from_secs(20), || async {
                (stack.events().len() >= 40).then_some(())
            })
            .await;
            stack.provider.open_gate("all");
            let mut statuses = Vec::new();
            for call in calls {
                statuses.push(call.await.unwrap());
            }
            let passed = statuses.iter().filter(|status| **status == 200).count();
            let refused = statuses.iter().filter(|status| **status == 429).count();
            assert_eq!((passed, refused), (10, 40), "{engine:?} {limit}");
            assert_eq!(stack.provider.received(), 10);
            stack.settle_the_books().await;
        }
    }
}

fn sized(max_tokens: u64) -> Value {
    json!({"model": "gpt-4o", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hi"}]})
}

/// Each call holds 8 input tokens and its cap, and uses 8 and 5.
#[tokio::test]
async fn each_unit_is_held_before_and_corrected_after() {
    // The limit, a third call's cap that is too much, and what its refusal says.
    let table = [
        (
            "{ per: tenant, unit: input_tokens, amount: 20, period: month, zone: Europe/Berlin }",
            10,
            "input tokens (tenant-input-tokens, per tenant, 4 left): Limit 20, Used 16, Requested 8.",
        ),
        (
            "{ per: [model, environment], unit: output_tokens, amount: 100, every: 1d, algorithm: fixed_window }",
            91,
            "output tokens (environment-model-output-tokens, per environment-model, 90 left): Limit 100, Used 10, Requested 91.",
        ),
        // 8 * $2.50 + 5 * $10 per million are $0.00007.
        (
            "{ per: [tier, provider], unit: cost, amount: 0.001, period: week, anchor: sunday }",
            85,
            "cost (tier-provider-cost, per tier-provider, $0.00086 left): Limit $0.001, Used $0.00014, Requested $0.00087.",
        ),
    ];
    for engine in ENGINES {
        for (limit, too_much, words) in table {
            let stack = stack(engine, limit).await;
            for max_tokens in [90, 80] {
                let answer = stack.send(stack.chat(&sized(max_tokens), &[])).await;
                assert_eq!(answer.status, 200, "{limit}: {answer:?}");
            }
            let answer = stack.send(stack.chat(&sized(too_much), &[])).await;
            assert_eq!(answer.status, 429, "{limit}: {answer:?}");
            let message = answer.json()["error"]["message"].to_string();
            assert!(message.contains(words), "{message}");
            for event in stack.wait_for_events(3).await {
                let used = event.outcome == Outcome::Exact;
                assert_eq!(event.cost_nanos, used.then_some(70_000));
            }
            stack.settle_the_books().await;
        }
    }
}

#[tokio::test]
async fn a_limit_counts_only_the_calls_that_it_is_for() {
    for engine in ENGINES {
        let limit = "{ name: chats, per: tenant, unit: requests, amount: 1, every: 1h, \
                     when: { model: gpt-4o, endpoint: chat_completions } }";
        let stack = stack(engine, limit).await;
        let mut other = hello();
        other["model"] = "gpt-5".into();
        for (body, status) in [
            (other.clone(), 200),
            (hello(), 200),
            (hello(), 429),
            (other, 200),
        ] {
            let answer = stack.send(stack.chat(&body, &[])).await;
            assert_eq!(answer.status, status, "{body}");
        }
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_limit_in_shadow_mode_is_told_of_and_refuses_nothing() {
    for engine in ENGINES {
        let limit = "{ per: tenant, unit: requests, amount: 1, every: 1h, mode: shadow }";
        let stack = stack(engine, limit).await;
        for _ in 0..3 {
            let answer = stack.send(stack.chat(&hello(), &[])).await;
            assert_eq!(answer.status, 200);
            let shown = answer.header("x-ratelimit-limit-requests");
            assert_eq!(shown, Some("200000"), "the client sees what holds");
        }
        let mut told: Vec<_> = stack
            .wait_for_events(3)
            .await
            .into_iter()
            .map(|event| event.would_refuse)
            .collect();
        told.sort();
        let name: Arc<str> = "tenant-requests".into();
        assert_eq!(told, [vec![], vec![Arc::clone(&name)], vec![name]]);
        assert_eq!(stack.metric("weir_shadow_refusals_total").await, 2.0);
        stack.settle_the_books().await;
    }
}

/// A stack with ample plans and a limit beside them.
async fn stack_with_top_limit(engine: Engine, limit: &str) -> Stack {
    Stack::start(Setup {
        engine,
        more: format!("limits: [ {limit} ]"),
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn tenants_share_the_limits_that_name_no_tenant() {
    let foreign = format!("Bearer {FOREIGN_KEY}");
    let foreign = [("authorization", &*foreign)];
    for engine in ENGINES {
        let limit = "{ per: provider, unit: requests, amount: 3, every: 1h }";
        let stack = stack_with_top_limit(engine, limit).await;
        for (headers, status) in [
            (&[][..], 200),
            (&foreign[..], 200),
            (&[], 200),
            (&[], 429),
            (&foreign, 429),
        ] {
            let answer = stack.send(stack.chat(&hello(), headers)).await;
            assert_eq!(answer.status, status, "{answer:?}");
            let named = (status == 429).then_some("provider-requests");
            assert_eq!(answer.header("x-weir-decision"), named);
        }
        // What was refused there is not charged to the tenants either.
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_shared_slot_is_held_as_long_as_its_call_and_then_free_at_once() {
    let foreign = format!("Bearer {FOREIGN_KEY}");
    let foreign = [("authorization", &*foreign)];
    for engine in ENGINES {
        for envoy in ["unix.yaml", "split.yaml"] {
            let stack = Stack::start(Setup {
                engine,
                envoy,
                more: "limits: [ { per: global, unit: concurrency, amount: 1 } ]\n\
                       holds: { ttl: 2s, lease_ttl: 1s, renew_every: 250ms }"
                    .into(),
                ..Setup::default()
            })
            .await;
            // Asked about for three times a lease's life, and open for longer,
            // should the machine be busy.
            let long = [("x-fake-output", "50"), ("x-fake-delay-ms", "100")];
            let mut first = stack.open(stack.chat(&streamed(), &long)).await;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(3) {
                first.chunk().await.unwrap().unwrap();
                let answer = stack.send(stack.chat(&hello(), &foreign)).await;
                assert_eq!(answer.status, 429);
                assert_eq!(answer.header("x-weir-decision"), Some("global-concurrency"));
            }
            assert!(first.rest().await.1);
            for headers in [&foreign[..], &[]] {
                let answer = stack.send(stack.chat(&hello(), headers)).await;
                assert_eq!(answer.status, 200);
            }
            stack.settle_the_books().await;
        }
    }
}

#[tokio::test]
async fn the_ietfs_headers_are_sent_where_they_are_switched_on() {
    for on in [true, false] {
        let stack = Stack::start(Setup {
            more: format!("server: {{ ietf_rate_limit_headers: {on} }}"),
            ..Setup::default()
        })
        .await;
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("x-ratelimit-limit-requests").is_some());
        let policy = answer.header("ratelimit-policy");
        let standing = answer.header("ratelimit");
        assert_eq!((policy.is_some(), standing.is_some()), (on, on));
        if let (Some(policy), Some(standing)) = (policy, standing) {
            let requests = "\"tenant-requests\";q=100000;w=3600, ";
            assert!(policy.starts_with(requests), "{policy}");
            assert!(policy.contains(";qu=\"concurrency\""), "{policy}");
            let left = "\"tenant-requests\";r=99999;t=";
            assert!(standing.starts_with(left), "{standing}");
        }
        stack.settle_the_books().await;
    }
}

/// How many scripts Redis has run.
pub async fn scripts_run(stack: &Stack) -> u64 {
    let info: String = stack
        .ask_redis(redis::cmd("INFO").arg("commandstats"))
        .await;
    let line = info.lines().find(|line| line.contains("cmdstat_evalsha:"));
    let calls = line.and_then(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn hammering_a_limit_costs_no_round_trips() {
    // As long as an SDK is told to wait.
    let limit = "{ per: tenant, unit: requests, amount: 1, every: 100s }";
    let stack = stack(Engine::Redis, limit).await;
    assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
    stack.wait_for_events(1).await;
    let before = scripts_run(&stack).await;
    let mut waits = Vec::new();
    for _ in 0..100 {
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 429);
        waits.push(
            answer
                .header("retry-after-ms")
                .unwrap()
                .parse::<u64>()
                .unwrap(),
        );
    }
    // One each two seconds, however slow this machine is.
    let run = scripts_run(&stack).await - before;
    assert!((1..20).contains(&run), "{run} scripts");
    assert!(waits.is_sorted_by(|a, b| a + 5 >= *b), "{waits:?}");
    stack.wait_for_events(101).await;
    stack.settle_the_books().await;
}

/// Calls of other sizes: of a bucket, the wait of a larger one can be told by that
/// of a smaller.
#[tokio::test]
async fn hammering_a_limit_with_larger_calls_costs_no_round_trips() {
    // A token each 10 s.
    let limit = "{ per: tenant, unit: tokens, amount: 360, every: 1h, burst: 400 }";
    let stack = stack(Engine::Redis, limit).await;
    assert_eq!(stack.send(stack.chat(&sized(100), &[])).await.status, 200);
    stack.wait_for_events(1).await;
    let (before, begun) = (scripts_run(&stack).await, Instant::now());
    let mut passes_at: Vec<u64> = Vec::new();
    for n in 0..100 {
        // With the input, at most the whole bucket: it fits in the end.
        let answer = stack.send(stack.chat(&sized(388 + n % 4), &[])).await;
        assert_eq!(answer.status, 429);
        let wait: u64 = answer.header("retry-after-ms").unwrap().parse().unwrap();
        passes_at.push(begun.elapsed().as_millis() as u64 + wait);
    }
    // One each two seconds, however slow this machine is.
    let run = scripts_run(&stack).await - before;
    assert!((1..20).contains(&run), "{run} scripts");
    for (n, passes_at_n) in passes_at.iter().enumerate() {
        let later = n as u64 % 4 * 10_000;
        let off = passes_at_n.abs_diff(passes_at[0] + later);
        assert!(off < 2_000, "{n}: {passes_at:?}");
    }
    stack.wait_for_events(101).await;
    stack.settle_the_books().await;
}

#[tokio::test]
async fn what_a_call_gives_back_is_there_for_one_that_was_just_refused() {
    for engine in ENGINES {
        let limit = "{ per: tenant, unit: tokens, amount: 300, every: 1h, burst: 300 }";
        let stack = stack(engine, limit).await;
        let mut large = sized(200);
        large["stream"] = true.into();
        let gate = [("x-fake-gate", "end"), ("x-fake-gate-after", "1")];
        let mut first = stack.open(stack.chat(&large, &gate)).await;
        for _ in 0..2 {
            assert_eq!(stack.send(stack.chat(&sized(150), &[])).await.status, 429);
        }
        stack.provider.open_gate("end");
        assert!(first.rest().await.1);
        stack.wait_for_events(3).await;
        assert_eq!(stack.send(stack.chat(&sized(150), &[])).await.status, 200);
        stack.settle_the_books().await;
    }
}

/// Agents that always ask for a huge `max_tokens` and use little of it.
#[tokio::test]
async fn nearly_all_of_a_limit_is_usable_where_the_expected_output_is_held() {
    const LIMIT: u64 = 3_000;
    // Held at most: 8 of input and 1,000; used: 8 and 30.
    let ask = sized(1_000);
    let reserved = |event: &UsageEvent| event.reserved_tokens.unwrap_or(u64::MAX);
    for engine in ENGINES {
        for (output, least, most) in [
            ("", 0, LIMIT - 900),
            (
                ", hold: expected, percentile: 50",
                LIMIT * 95 / 100,
                LIMIT + 100,
            ),
        ] {
            let stack = Stack::start(Setup {
                engine,
                limits: format!("[ {{ per: tenant, unit: tokens, amount: {LIMIT}, every: 1h }} ]"),
                output,
                ..Setup::default()
            })
            .await;
            let call = async || {
                let request = stack.chat(&ask, &[("x-fake-output", "30")]);
                stack.send(request).await.status
            };
            // Four lessons, the fewest; they count from the next second on.
            for sent in 0..40 {
                assert_eq!(call().await, 200);
                let events = stack.wait_for_events(sent + 1).await;
                if output.is_empty() || events.iter().any(|event| reserved(event) < 100) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            while call().await == 200 {}
            let used: u64 = stack
                .provider
                .log()
                .iter()
                .map(|call| call.bills.0 + call.bills.1)
                .sum();
            assert!(
                (least..=most).contains(&used),
                "{used} of {LIMIT}: {output}"
            );
            stack.settle_the_books().await;
        }
    }
}
