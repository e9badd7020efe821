//! What a refused call is told: how its limits stand, and by which status a
//! quota refuses.

use super::calls::hello;
use crate::support::client::Answer;
use crate::support::stack::{Engine, FOREIGN_KEY, Setup, Stack};
use serde_json::{Value, json};

fn number(answer: &Answer, name: &str) -> Option<u64> {
    let value = answer.header(name)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

fn claude() -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 3,
        "messages": [{"role": "user", "content": "hello you"}]})
}

#[tokio::test]
async fn a_refused_call_is_told_how_its_limits_stand() {
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = Stack::start(Setup {
            engine,
            limits: "[ { per: tenant, unit: requests, amount: 2, every: 1h }, \
                { per: tenant, unit: tokens, amount: 100k, every: 1h, algorithm: sliding_window } ]"
                .to_owned(),
            more: "server: { ietf_rate_limit_headers: true }".to_owned(),
            ..Setup::default()
        })
        .await;
        for left in [1, 0] {
            let answer = stack.send(stack.chat(&hello(), &[])).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                number(&answer, "x-ratelimit-remaining-requests"),
                Some(left)
            );
        }
        stack.wait_for_events(2).await;
        // The first is refused by the store; of the second Redis isn't asked.
        for (nth, knows_tokens) in [(1, true), (2, engine == Engine::Memory)] {
            let answer = stack.send(stack.chat(&hello(), &[])).await;
            assert_eq!(answer.status, 429, "{answer:?}");
            assert_eq!(answer.header("x-weir-decision"), Some("tenant-requests"));
            assert_eq!(number(&answer, "x-ratelimit-limit-requests"), Some(2));
            assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), Some(0));
            let reset = answer.header("x-ratelimit-reset-requests").unwrap();
            assert!(reset.contains('m'), "most of an hour: {reset}");
            // What both calls really used, and nothing of the refused one.
            let tokens = number(&answer, "x-ratelimit-remaining-tokens");
            let known = knows_tokens.then_some(100_000 - 2 * 15);
            assert_eq!(tokens, known, "{engine:?} {nth}");
            let ietf = answer.header("ratelimit").unwrap();
            assert!(ietf.starts_with("\"tenant-requests\";r=0;t="), "{ietf}");
            let policy = answer.header("ratelimit-policy").unwrap();
            assert!(
                policy.starts_with("\"tenant-requests\";q=2;w=3600"),
                "{policy}"
            );
        }
        let anthropic = stack.post("/v1/messages", claude().to_string(), &[]);
        let answer = stack.send(anthropic).await;
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(
            number(&answer, "anthropic-ratelimit-requests-limit"),
            Some(2)
        );
        assert_eq!(
            number(&answer, "anthropic-ratelimit-requests-remaining"),
            Some(0)
        );
        let reset = answer.header("anthropic-ratelimit-requests-reset").unwrap();
        assert!(reset.starts_with("20") && reset.ends_with('Z'), "{reset}");
        assert_eq!(answer.header("x-ratelimit-limit-requests"), None);

        // A call that no limit refuses is told of none.
        let bad = stack.post("/v1/chat/completions", "{}", &[]);
        let answer = stack.send(bad).await;
        assert_eq!(answer.status, 400);
        let told = answer
            .headers
            .iter()
            .any(|(name, _)| name.contains("ratelimit"));
        assert!(!told, "{answer:?}");
        stack.wait_for_events(6).await;
        stack.settle_the_books().await;
    }
}

/// Of limits that tenants share, a refused call is told what an admitted one
/// would be: of each unit the limit that refused, else the one with the least
/// left.
#[tokio::test]
async fn a_shared_limit_that_refuses_is_told_beside_the_tenants_own() {
    let foreign = format!("Bearer {FOREIGN_KEY}");
    for engine in [Engine::Memory, Engine::Redis] {
        let stack = Stack::start(Setup {
            engine,
            limits: "[ { per: tenant, unit: requests, amount: 50, every: 1h }, \
                { per: tenant, unit: tokens, amount: 100k, every: 1h, algorithm: sliding_window } ]"
                .to_owned(),
            more: "limits: [ { per: global, unit: requests, amount: 1, every: 1h }, \
                { per: global, unit: tokens, amount: 300k, every: 1h } ]"
                .to_owned(),
            ..Setup::default()
        })
        .await;
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        stack.wait_for_events(1).await;
        let headers = [("authorization", &*foreign)];
        let answer = stack.send(stack.chat(&hello(), &headers)).await;
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(answer.header("x-weir-decision"), Some("global-requests"));
        assert_eq!(number(&answer, "x-ratelimit-limit-requests"), Some(1));
        assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), Some(0));
        // Its own, of which nothing is used: what was taken is given back.
        assert_eq!(number(&answer, "x-ratelimit-limit-tokens"), Some(100_000));
        assert_eq!(
            number(&answer, "x-ratelimit-remaining-tokens"),
            Some(100_000)
        );
        stack.wait_for_events(2).await;
        stack.settle_the_books().await;
    }
}

#[tokio::test]
async fn a_quotas_status_is_the_dialects_own_or_as_configured() {
    for (configured, openai, anthropic) in [
        (None, 429, 402),
        (Some(402), 402, 402),
        (Some(403), 403, 403),
        (Some(429), 429, 429),
    ] {
        let stack = Stack::start(Setup {
            limits: "[ { per: tenant, unit: requests, amount: 1, every: 24h } ]".to_owned(),
            more: configured.map_or(String::new(), |status: u16| {
                format!("server: {{ quota_status: {status} }}")
            }),
            ..Setup::default()
        })
        .await;
        assert_eq!(stack.send(stack.chat(&hello(), &[])).await.status, 200);
        let chat = stack.send(stack.chat(&hello(), &[])).await;
        let message = stack.post("/v1/messages", claude().to_string(), &[]);
        let message = stack.send(message).await;
        for (answer, status, word) in [
            (&chat, openai, "insufficient_quota"),
            (&message, anthropic, "billing_error"),
        ] {
            assert_eq!(answer.status, status, "{configured:?}: {answer:?}");
            assert_eq!(answer.json()["error"]["type"], word);
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            for name in ["retry-after", "retry-after-ms"] {
                assert_eq!(answer.header(name), None, "{configured:?}");
            }
        }
        // What isn't a quota's keeps its own.
        let unknown = stack.post("/v1/none", "{}", &[]);
        assert_eq!(stack.send(unknown).await.status, 404);
        let events = stack.wait_for_events(4).await;
        let statuses: Vec<_> = events.iter().map(|event| event.status).collect();
        assert_eq!(statuses, [200, openai, anthropic, 404].map(Some));
    }
}
