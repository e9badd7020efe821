//! Official SDKs for Python, unchanged, against the whole path. Each script
//! tells what its SDK got; the provider's log and the usage events tell the
//! rest.

use crate::support::stack::{AMPLE, KEY, Setup, Stack, envoy_binary};
use std::path::{Path, PathBuf};
use std::process::Command;
use weir::exchange::UsageEvent;
use weir::exchange::event::{Known, Outcome};
use weir::protocol::Endpoint;

/// The interpreter of the environment that Envoy was installed into.
pub fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if own.is_file() {
        return own;
    }
    let beside = envoy_binary()
        .ancestors()
        .nth(6)
        .map(|venv| venv.join("bin/python"));
    beside
        .filter(|path| path.is_file())
        .expect("the SDKs' environment: run `make envoy`")
}

/// A path on which one model is limited to three calls in six seconds.
async fn stack(model_limited: &str) -> Stack {
    let limits = format!(
        "{AMPLE}\n      - {{ name: short, per: tenant, unit: requests, amount: 3, every: 6s, algorithm: token_bucket, \
         when: {{ model: [ {model_limited} ] }} }}"
    );
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    Stack::start(setup).await
}

/// What a script of this folder says.
pub async fn run(script: &str, stack: &Stack) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e")
        .join(script);
    let url = format!("http://{}", stack.front);
    let mut command = Command::new(python());
    command.arg(script).args([&url, KEY]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

/// Books that balance, and the events that a script left, as (endpoint,
/// streamed, outcome), sorted; refused ones as their reasons.
async fn events(stack: &Stack) -> (Vec<(&'static str, bool, Outcome)>, Vec<String>) {
    stack.settle_the_books().await;
    let received = stack.provider.received();
    let events = stack.events();
    let (refused, sent): (Vec<UsageEvent>, _) = events
        .into_iter()
        .partition(|event| event.outcome == Outcome::Refused);
    // The books' own probe is the provider's last call.
    assert_eq!(sent.len(), received);
    for call in stack.provider.log() {
        let keys = ["authorization", "x-api-key", "x-goog-api-key"];
        assert!(
            keys.iter().all(|name| call.header(name).is_none()),
            "{call:?}"
        );
    }
    for event in &sent {
        let free = event.endpoint.is_some_and(Endpoint::is_free);
        let counted = event.known == Some(Known::Counted) && event.output_tokens == Some(2);
        let right = event.outcome == Outcome::Exact || counted && event.stream;
        assert!(free && event.total_tokens() == 0 || right, "{event:?}");
    }
    let mut known: Vec<_> = sent
        .iter()
        .filter(|event| !event.endpoint.is_some_and(Endpoint::is_free))
        .map(|event| (event.endpoint.unwrap().path(), event.stream, event.outcome))
        .collect();
    known.sort_by_key(|(path, stream, outcome)| (*path, *stream, outcome.as_str()));
    let reason = |event: &UsageEvent| event.refusal.as_deref().unwrap_or("").to_owned();
    let mut reasons: Vec<_> = refused.iter().map(reason).collect();
    reasons.sort();
    reasons.dedup();
    (known, reasons)
}

fn times<T: Copy>(count: usize, item: T) -> impl Iterator<Item = T> {
    std::iter::repeat_n(item, count)
}

/// How often a call to a limited model got through where its SDK gave up: from
/// none to three, as a slow machine may have waited enough.
fn let_through<T: PartialEq>(found: &[T], item: &T, others: usize) -> usize {
    let count = found.iter().filter(|other| *other == item).count();
    assert!(
        (others..=others + 3).contains(&count),
        "{count} of {others}"
    );
    count
}

#[tokio::test]
async fn the_openai_sdk_calls_streams_and_waits_out_a_refusal() {
    let stack = stack("gpt-4o-mini").await;
    let text = run("sdk_openai.py", &stack).await;
    let expected = "\
chat: apple apple apple apple apple; 13 tokens
chat streamed: apple apple apple apple apple; 13 tokens
chat streamed without usage: apple apple apple apple apple; 0 usages
response: apple apple apple apple apple; 16 tokens
response streamed: apple apple apple; True; 12 tokens
counted: 9 tokens
embeddings: [[0.5, 0.25], [0.5, 0.25]]; 10 tokens
waited: ok
not waited: RateLimitError 429 requests rate_limit_exceeded
wrong key: AuthenticationError 401 invalid_api_key
unknown model: NotFoundError 404 model_not_found model
bad parameter: BadRequestError 400 max_tokens
chat left: apple apple
response left: apple apple
";
    assert_eq!(text, expected);

    let (found, reasons) = events(&stack).await;
    let chat = ("/v1/chat/completions", false, Outcome::Exact);
    // One, the four that were waited for, and the books' probe.
    let plain = let_through(&found, &chat, 6);
    let expected: Vec<_> = times(plain, chat)
        .chain([
            ("/v1/chat/completions", true, Outcome::Estimated),
            ("/v1/chat/completions", true, Outcome::Exact),
            ("/v1/chat/completions", true, Outcome::Exact),
            ("/v1/embeddings", false, Outcome::Exact),
            ("/v1/responses", false, Outcome::Exact),
            ("/v1/responses", true, Outcome::Estimated),
            ("/v1/responses", true, Outcome::Exact),
        ])
        .collect();
    assert_eq!(found, expected);
    assert_eq!(
        reasons,
        ["bad_body", "requests", "unauthenticated", "unknown_model"]
    );
}

#[tokio::test]
async fn anthropics_sdk_calls_streams_and_waits_out_a_refusal() {
    let stack = stack("claude-haiku-4-5").await;
    let text = run("sdk_anthropic.py", &stack).await;
    let expected = "\
message: apple apple apple apple apple; end_turn; 8 + 5 tokens
message of blocks: apple apple apple; 12 + 3 tokens
message streamed: apple apple apple apple apple; True; 8 + 5 tokens
events: message_start content_block_start content_block_delta content_block_delta \
content_block_stop message_delta message_stop
counted: 8 tokens
waited: ok
not waited: RateLimitError 429 rate_limit_error
wrong key: AuthenticationError 401 authentication_error
unknown model: NotFoundError 404 not_found_error
bad parameter: BadRequestError 400 invalid_request_error True
message left: apple apple
";
    assert_eq!(text, expected);

    let (found, reasons) = events(&stack).await;
    let message = ("/v1/messages", false, Outcome::Exact);
    let plain = let_through(&found, &message, 6);
    let expected: Vec<_> = [("/v1/chat/completions", false, Outcome::Exact)]
        .into_iter()
        .chain(times(plain, message))
        .chain([
            ("/v1/messages", true, Outcome::Estimated),
            ("/v1/messages", true, Outcome::Exact),
            ("/v1/messages", true, Outcome::Exact),
        ])
        .collect();
    assert_eq!(found, expected);
    assert_eq!(
        reasons,
        ["bad_body", "requests", "unauthenticated", "unknown_model"]
    );
}

#[tokio::test]
async fn googles_sdk_calls_streams_and_is_told_when_to_retry() {
    let stack = stack("gemini-2.5-flash").await;
    let text = run("sdk_google_genai.py", &stack).await;
    let expected = "\
content: apple apple apple apple apple; gemini-2.5-pro; 8 + 5 tokens
content with instruction: apple apple apple; 10 + 3 tokens
content streamed: apple apple apple apple apple; 6 chunks; 8 + 5 tokens
embeddings: [[0.5, 0.25], [0.5, 0.25]]
counted: 9 tokens
not waited: ClientError 429 RESOURCE_EXHAUSTED; GenerateRequestsPerMinutePerProject; True
waited: ok
wrong key: ClientError 401 UNAUTHENTICATED API_KEY_INVALID
unknown model: ClientError 404 NOT_FOUND
bad parameter: ClientError 400 INVALID_ARGUMENT generationConfig.maxOutputTokens
content left: apple apple
";
    assert_eq!(text, expected);

    let (found, reasons) = events(&stack).await;
    let generate = "/models/{model}:generateContent";
    let stream = "/models/{model}:streamGenerateContent";
    let expected: Vec<_> = [("/models/{model}:batchEmbedContents", false, Outcome::Exact)]
        .into_iter()
        // Two, the three up to the limit, and the one that was waited for.
        .chain(times(6, (generate, false, Outcome::Exact)))
        .chain([
            (stream, true, Outcome::Estimated),
            (stream, true, Outcome::Exact),
            ("/v1/chat/completions", false, Outcome::Exact),
        ])
        .collect();
    assert_eq!(found, expected);
    assert_eq!(
        reasons,
        ["bad_body", "requests", "unauthenticated", "unknown_model"]
    );
}
