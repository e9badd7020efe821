//! What a refused call is told: by which status a quota refuses.

use super::calls::hello;
use crate::support::stack::{Setup, Stack};
use serde_json::{Value, json};

fn claude() -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 3,
        "messages": [{"role": "user", "content": "hello you"}]})
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
