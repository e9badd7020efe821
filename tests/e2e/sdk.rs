//! The official OpenAI SDK for Python, unchanged, against the whole path.

use crate::support::stack::{KEY, Setup, Stack, envoy_binary};
use std::path::{Path, PathBuf};
use std::process::Command;
use weir::exchange::event::Outcome;

/// The interpreter of the environment that Envoy was installed into.
fn python() -> PathBuf {
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
        .expect("the SDK's environment: run `make envoy`")
}

#[tokio::test]
async fn the_openai_sdk_calls_streams_and_waits_out_a_refusal() {
    // The third call comes too early and is told to wait about two seconds.
    let limits = "[ { per: tenant, unit: requests, amount: 3, every: 2s } ]".to_owned();
    let stack = Stack::start(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sdk.py");
    let url = format!("http://{}/v1", stack.front);
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python())
            .arg(script)
            .args([&url, KEY])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("plain: apple apple apple apple apple; 13 tokens"),
        "{text}"
    );
    assert!(
        text.contains("stream: apple apple apple apple apple"),
        "{text}"
    );
    assert!(text.contains("waited: ok"), "{text}");
    assert!(
        text.contains("wrong key: AuthenticationError invalid_api_key"),
        "{text}"
    );
    assert!(
        text.contains("not waited: RateLimitError requests"),
        "{text}"
    );
    stack.settle_the_books().await;
    let refused = stack
        .events()
        .iter()
        .filter(|event| event.outcome == Outcome::Refused)
        .count();
    assert!(
        refused >= 3,
        "one waited out, one not waited out, one wrong key: {refused}"
    );
}
