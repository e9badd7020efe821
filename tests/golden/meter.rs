//! `weir meter` says of each recorded answer what a right meter says, however
//! it is split.

use crate::{Case, all_cases, content_type, is_thought_wrong};
use serde_json::Value;
use std::process::{Command, Output};
use weir::protocol::Dialect;

#[test]
fn the_command_says_what_was_used() {
    let Some(cases) = all_cases() else {
        return;
    };
    for case in &cases {
        let whole = metered(case, &[]);
        agrees(case, &whole);
        assert_eq!(
            metered(case, &["--split", "random"]),
            whole,
            "{}",
            case.name
        );
    }
    println!("{} answers", cases.len());
}

/// A stream that was cut: what went by is more than what was said of it.
#[test]
fn a_cut_stream_is_counted() {
    let cut = "tests/golden/answers/anthropic-cut.sse";
    let asked = [
        "--dialect",
        "anthropic",
        "--content-type",
        "text/event-stream",
    ];
    let output = weir(&[&asked[..], &["--response", cut]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "model                 claude-sonnet-4-6",
        "complete              no",
        "input tokens          1015 (provider)",
        "  cached              1000 (provider)",
        "output tokens         9 (counted)",
        "  reasoning           -",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}: {text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let cut = "tests/golden/answers/anthropic-cut.sse";
    for (dialect, more, error) in [
        (
            "claude",
            vec![],
            "there is no \"claude\"; known are openai,",
        ),
        (
            "anthropic",
            vec!["--endpoint", "/v1/chat"],
            "none of anthropic's; known are /v1/messages,",
        ),
        (
            "anthropic",
            vec!["--header", "x"],
            "must be a name, a colon and a value",
        ),
        (
            "anthropic",
            vec!["--split", "0"],
            "must be a number of bytes above 0, or random",
        ),
        (
            "anthropic",
            vec!["--header", "content-encoding: lzma"],
            "\"lzma\" is none that weir undoes",
        ),
        (
            "anthropic",
            vec!["--config", "none.yaml"],
            "none.yaml: can't be read",
        ),
    ] {
        let output = weir(&[&["--dialect", dialect, "--response", cut][..], &more].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(error), "{said}");
        assert!(!output.status.success());
    }
}

fn weir(more: &[&str]) -> Output {
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    weir.arg("meter").args(more);
    weir.current_dir(env!("CARGO_MANIFEST_DIR"));
    weir.output().unwrap()
}

fn metered(case: &Case, more: &[&str]) -> Value {
    let file = case.expected["response_file"].as_str().unwrap();
    let status = case.expected["http_status"].to_string();
    let path = case.endpoint.path().replace("{model}", "m");
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    weir.args(["meter", "--json", "--dialect", provider(case)])
        .args(["--endpoint", &path, "--status", &status])
        .args(["--content-type", content_type(case)])
        .arg("--response")
        .arg(case.folder.join(file))
        .args(more);
    if let Some(headers) = case.expected["response_headers"].as_object() {
        // What is stored has no coding any more.
        let said = headers
            .iter()
            .filter(|(name, _)| *name != "content-encoding");
        for (name, value) in said {
            weir.args(["--header", &format!("{name}: {}", value.as_str().unwrap())]);
        }
    }
    let output = weir.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", case.name);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn provider(case: &Case) -> &'static str {
    match case.endpoint.dialect() {
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Gemini => "gemini",
        Dialect::Bedrock => "bedrock",
        Dialect::Cohere => "cohere",
        Dialect::Ollama => "ollama",
    }
}

fn agrees(case: &Case, metered: &Value) {
    let (name, expected) = (&case.name, &case.expected);
    for field in ["stream", "complete", "model"] {
        let right = metered[field] == expected[field];
        assert_ne!(
            right,
            is_thought_wrong(case, field),
            "{name}: {field}: {metered}"
        );
    }
    let usage = expected["usage"].as_object();
    for kind in [
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
    ] {
        let tokens = usage.map_or(&Value::Null, |usage| &usage[kind]);
        assert_eq!(metered["usage"][kind], *tokens, "{name}: {kind}: {metered}");
        let known = &metered["known"][kind];
        assert_eq!(known == "provider", !tokens.is_null(), "{name}: {known}");
    }
}
