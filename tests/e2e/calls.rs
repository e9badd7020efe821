//! Calls that are let through: what reaches the provider, what reaches the
//! client, what is metered.

use crate::support::client;
use crate::support::stack::{AMPLE, Engine, KEY, Setup, Stack};
use serde_json::{Value, json};
use weir::exchange::event::{Known, Outcome};

pub fn hello() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello out there"}]})
}

async fn both_engines(test: impl AsyncFn(Stack)) {
    for engine in [Engine::Memory, Engine::Redis] {
        let setup = Setup {
            engine,
            limits: AMPLE.to_owned(),
            ..Setup::default()
        };
        test(Stack::start(setup).await).await;
    }
}

#[tokio::test]
async fn a_plain_call_passes_and_is_metered_exactly() {
    both_engines(async |stack: Stack| {
        let headers = [("x-weir-tenant", "other"), ("accept-encoding", "br, gzip")];
        let answer = stack.send(stack.chat(&hello(), &headers)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["usage"]["total_tokens"], 10 + 5);
        assert_eq!(
            answer.header("x-ratelimit-remaining-requests"),
            Some("99999")
        );
        assert!(answer.header("x-ratelimit-remaining-tokens").is_some());

        let received = &stack.provider.log()[0];
        assert_eq!(
            received.header("authorization"),
            None,
            "the caller's key stays here"
        );
        assert_eq!(received.header("x-weir-tenant"), None);
        assert_eq!(received.header("accept-encoding"), Some("identity"));
        assert_eq!(
            received.body["max_tokens"], 100,
            "the plan's default is written in"
        );
        // Every other byte is as the client sent it.
        let sent = String::from_utf8(received.raw_body.to_vec()).unwrap();
        assert_eq!(
            sent.replacen(r#""max_tokens":100,"#, "", 1),
            hello().to_string()
        );

        let events = stack.wait_for_events(1).await;
        let event = &events[0];
        assert_eq!(
            (event.outcome, event.known),
            (Outcome::Exact, Some(Known::Provider))
        );
        assert_eq!(
            (event.input_tokens, event.output_tokens),
            (Some(10), Some(5))
        );
        assert_eq!(event.tenant.as_deref(), Some("acme"));
        assert_eq!(event.user.as_deref(), Some("ada"));
        assert_eq!(event.key_id.as_deref(), Some("ada-key"));
        assert_eq!(event.status, Some(200));
        stack.settle_the_books().await;
        let log = stack.access_log();
        assert_eq!(log[0]["weir_decision"], "admitted");
        assert_eq!(log[0]["weir_outcome"], "exact");
        assert_eq!(log[0]["weir_tenant"], "acme");
        assert_eq!(log[0]["total_tokens"], 15);
        assert_eq!(log[0]["weir_id"], event.id.to_string());
    })
    .await;
}

#[tokio::test]
async fn a_stream_passes_chunk_by_chunk_and_its_extra_usage_stays_here() {
    both_engines(async |stack: Stack| {
        let mut body = hello();
        body["stream"] = true.into();
        // The provider sends two tokens and then waits: they must be here by then.
        let request = stack.chat(
            &body,
            &[("x-fake-gate", "rest"), ("x-fake-gate-after", "2")],
        );
        let mut open = stack.open(request).await;
        assert_eq!(open.status, 200);
        let mut text = String::new();
        while text.matches("apple").count() < 2 {
            let chunk = open.chunk().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        stack.provider.open_gate("rest");
        let (rest, whole) = open.rest().await;
        text.push_str(&rest);
        assert!(whole);
        assert_eq!(text.matches("apple").count(), 5);
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(
            !text.contains("prompt_tokens"),
            "the client didn't ask for usage: {text}"
        );
        assert_eq!(
            stack.provider.log()[0].body["stream_options"]["include_usage"],
            true
        );

        // One that asks for its usage gets it.
        body["stream_options"] = json!({"include_usage": true});
        let answer = stack.send(stack.chat(&body, &[])).await;
        assert!(answer.text().contains("prompt_tokens"));

        let events = stack.wait_for_events(2).await;
        for event in &events {
            assert_eq!((event.outcome, event.stream), (Outcome::Exact, true));
            assert_eq!(event.total_tokens(), 15);
            assert!(event.first_token_at_ms.unwrap() <= event.ended_at_ms);
        }
        stack.settle_the_books().await;
    })
    .await;
}

#[tokio::test]
async fn completions_and_embeddings_are_metered_too() {
    let stack = Stack::start(Setup::default()).await;
    let completion = json!({"model": "gpt-4o", "prompt": "once upon a time", "max_tokens": 3});
    let answer = stack
        .send(stack.post("/v1/completions", completion.to_string(), &[]))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut stream = completion.clone();
    stream["stream"] = true.into();
    let answer = stack
        .send(stack.post("/v1/completions", stream.to_string(), &[]))
        .await;
    assert_eq!(answer.text().matches("apple").count(), 3);
    let embedding = json!({"model": "text-embedding-3-small", "input": ["one two", "three"]});
    let answer = stack
        .send(stack.post("/v1/embeddings", embedding.to_string(), &[]))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let newer = json!({"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(stack.send(stack.chat(&newer, &[])).await.status, 200);
    assert_eq!(stack.provider.log()[3].body["max_completion_tokens"], 100);

    let events = stack.wait_for_events(4).await;
    let totals: Vec<u64> = events.iter().map(|event| event.total_tokens()).collect();
    assert_eq!(totals, [11 + 3, 11 + 3, 10, 8 + 5]);
    assert!(events.iter().all(|event| event.outcome == Outcome::Exact));
    stack.settle_the_books().await;
}

#[tokio::test]
async fn compressed_answers_and_answers_without_usage_are_metered() {
    let stack = Stack::start(Setup::default()).await;
    let answer = stack
        .send(stack.chat(&hello(), &[("x-fake-encoding", "gzip")]))
        .await;
    assert_eq!(
        answer.header("content-encoding"),
        Some("gzip"),
        "passed as it came"
    );
    let answer = stack
        .send(stack.chat(&hello(), &[("x-fake-no-usage", "1")]))
        .await;
    assert_eq!(answer.status, 200);
    let mut body = hello();
    body["stream"] = true.into();
    stack
        .send(stack.chat(&body, &[("x-fake-no-usage", "1"), ("x-fake-output", "40")]))
        .await;

    let events = stack.wait_for_events(3).await;
    assert_eq!(
        (events[0].outcome, events[0].total_tokens()),
        (Outcome::Exact, 15)
    );
    for (event, output) in [(&events[1], 5), (&events[2], 40)] {
        assert_eq!(
            (event.outcome, event.known),
            (Outcome::Estimated, Some(Known::Counted))
        );
        assert_eq!(
            event.output_tokens,
            Some(output),
            "weir counted the text itself"
        );
    }
    stack.settle_the_books().await;
}

#[tokio::test]
async fn no_prompt_answer_or_key_is_left_anywhere() {
    let stack = Stack::start(Setup {
        more: "telemetry: { log: { level: trace } }".into(),
        ..Setup::default()
    })
    .await;
    let body =
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "SECRETPROMPT"}]});
    stack.send(stack.chat(&body, &[])).await;
    stack
        .send(stack.chat(&body, &[("authorization", "Bearer SECRETKEY")]))
        .await;
    stack
        .send(stack.post(
            "/v1/chat/completions",
            r#"{"model":"gpt-4o","SECRETPROMPT"}"#,
            &[],
        ))
        .await;
    stack.wait_for_events(3).await;
    stack.wait_for_access_log(3).await;
    let metrics = client::get(stack.admin, "/metrics").await.text();
    let mut places = vec![("metrics".to_owned(), metrics)];
    for entry in std::fs::read_dir(stack.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(text) = std::fs::read_to_string(&path) {
            places.push((path.display().to_string(), text));
        }
    }
    for (place, text) in places {
        for secret in ["SECRETPROMPT", "SECRETKEY", KEY, "apple"] {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
    stack.settle_the_books().await;
}

/// Envoy sends such a body whole, though it isn't the request's end.
#[tokio::test]
async fn a_request_with_trailers_is_a_call_as_any_other() {
    for envoy in ["unix.yaml", "split.yaml"] {
        let stack = Stack::start(Setup {
            envoy,
            ..Setup::default()
        })
        .await;
        let (mut head, body) = stack.chat(&hello(), &[]).into_parts();
        head.uri = "http://gateway/v1/chat/completions".parse().unwrap();
        head.headers.remove("host");
        let mut trailers = hyper::HeaderMap::new();
        trailers.insert("x-checksum", "0".parse().unwrap());
        let request = hyper::Request::from_parts(head, body);
        let status = client::send_with_trailers(stack.front, request, trailers).await;
        assert_eq!(status, 200);
        assert_eq!(stack.provider.received(), 1);
        stack.settle_the_books().await;
    }
}
