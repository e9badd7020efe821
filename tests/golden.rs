//! Recorded answers of many providers, against the figures that a right meter
//! reports for them.
//!
//! The recordings are other projects' data and no part of this one:
//! `WEIR_FIXTURES` names the folder that holds them. Without it the test says
//! so and passes; with it, a missing folder fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

// A recording that can't be read is a failure of the test itself.

#[path = "golden/approvals.rs"]
mod approvals;
#[path = "golden/descriptors.rs"]
mod descriptors;
#[path = "golden/estimates.rs"]
mod estimates;
#[path = "golden/messages.rs"]
mod messages;
#[path = "golden/meter.rs"]
mod meter;
#[path = "golden/prices.rs"]
mod prices;
#[path = "golden/requests.rs"]
mod requests;

use serde_json::Value;
use std::path::{Path, PathBuf};
use weir::protocol::answer::{AnswerKind, AnswerReader, Pass};
use weir::protocol::inflate::Encoding;
use weir::protocol::{Answer, Dialect, Endpoint, Usage};

/// Folders of recordings, and whose form they have.
const FOLDERS: [(&str, Dialect); 23] = [
    ("anthropic-messages", Dialect::Anthropic),
    ("azure-openai", Dialect::OpenAi),
    ("bedrock-converse", Dialect::Bedrock),
    ("bedrock-converse-stream", Dialect::Bedrock),
    ("bedrock-invoke", Dialect::Bedrock),
    ("bedrock-invoke-stream", Dialect::Bedrock),
    ("cohere", Dialect::Cohere),
    ("deepseek", Dialect::OpenAi),
    ("gemini", Dialect::Gemini),
    ("groq", Dialect::OpenAi),
    ("mistral", Dialect::OpenAi),
    ("ollama", Dialect::Ollama),
    ("openai-audio", Dialect::OpenAi),
    ("openai-chat", Dialect::OpenAi),
    ("openai-completions", Dialect::OpenAi),
    ("openai-embeddings", Dialect::OpenAi),
    ("openai-images", Dialect::OpenAi),
    ("openai-responses", Dialect::OpenAi),
    ("openrouter", Dialect::OpenAi),
    ("other-openai-compat", Dialect::OpenAi),
    ("vertex", Dialect::Gemini),
    ("vllm", Dialect::OpenAi),
    ("xai", Dialect::OpenAi),
];

/// Answers that are not read rightly yet, and why. Exact: one that is read
/// rightly must leave the list.
const NOT_YET: [(&str, &str); 0] = [];

/// What we think is wrong in a case's `expected.json`, and what is read instead.
const THOUGHT_WRONG: [(&str, &str, &str); 4] = [
    (
        "anthropic-messages/stream-error-first-event",
        "complete",
        "the only event is an error, and its INDEX says that a stream with one is incomplete",
    ),
    (
        "openai-audio/transcription-stream-no-blank-lines",
        "model",
        "the model is not in the answer",
    ),
    (
        "openai-images/usage",
        "model",
        "the model is not in the answer",
    ),
    (
        "openai-images/usage-3-images",
        "model",
        "the model is not in the answer",
    ),
];

/// Fewer than this, and the folder isn't what it should be.
const CASES_MIN: usize = 151;

/// Up to this size an answer is split at every byte.
const SPLIT_EVERYWHERE_BYTES_MAX: usize = 6_000;

const RANDOM_SPLITS: u64 = 40;

struct Case {
    name: String,
    folder: PathBuf,
    endpoint: Endpoint,
    expected: Value,
    body: Vec<u8>,
}

#[test]
fn recorded_answers_give_the_right_usage() {
    let Some(cases) = all_cases() else {
        return;
    };
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());

    let wrong: Vec<(String, String)> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|why| (case.name.clone(), why)))
        .collect();
    let names: Vec<&str> = wrong.iter().map(|(name, _)| name.as_str()).collect();
    let listed: Vec<&str> = NOT_YET.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "wrong answers: {wrong:#?}");
    println!("{} recorded answers", cases.len());
}

/// None where there are no recordings, which is said.
fn all_cases() -> Option<Vec<Case>> {
    let Some(root) = std::env::var_os("WEIR_FIXTURES").map(PathBuf::from) else {
        println!("skipped: WEIR_FIXTURES is not set");
        return None;
    };
    assert!(root.is_dir(), "WEIR_FIXTURES names no folder: {root:?}");
    let folders = FOLDERS.iter();
    let cases = folders.flat_map(|(folder, dialect)| cases(&root, folder, *dialect));
    Some(cases.collect())
}

fn cases(root: &Path, name: &str, dialect: Dialect) -> Vec<Case> {
    let folder = root.join(name);
    let mut cases: Vec<Case> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
        .map(|entry| case(name, dialect, &entry.unwrap().path()))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn case(parent: &str, dialect: Dialect, folder: &Path) -> Case {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    };
    let expected: Value = serde_json::from_slice(&read("expected.json")).unwrap();
    let path = expected["endpoint"].as_str().unwrap();
    let path = path.split('?').next().unwrap();
    // Some paths are given by their end alone.
    let path = match path.starts_with(':') {
        true => format!("/models/m{path}"),
        false => path.to_owned(),
    };
    let (endpoint, _) = Endpoint::of_path(&path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(endpoint.dialect(), dialect, "{path}");
    Case {
        name: format!("{parent}/{}", folder.file_name().unwrap().display()),
        folder: folder.to_owned(),
        endpoint,
        body: read(expected["response_file"].as_str().unwrap()),
        expected,
    }
}

/// The whole answer is read rightly, and every split of it the same way.
fn check(case: &Case) -> Result<(), String> {
    let strips = case.expected["stream"] == true;
    let (answer, seen) = read(case, [case.body.as_slice()], strips);
    agrees(case, &answer)?;
    let same = |chunks: Vec<&[u8]>, how: String| {
        let (split, split_seen) = read(case, chunks, strips);
        if split == answer && split_seen == seen {
            Ok(())
        } else {
            Err(format!("split {how}: {split:?}"))
        }
    };
    if case.body.len() <= SPLIT_EVERYWHERE_BYTES_MAX {
        for at in 0..=case.body.len() {
            let (a, b) = case.body.split_at(at);
            same(vec![a, b], format!("at {at}"))?;
        }
    }
    same(case.body.chunks(1).collect(), "into bytes".into())?;
    for seed in 0..RANDOM_SPLITS {
        same(random_chunks(&case.body, seed), format!("by seed {seed}"))?;
    }
    Ok(())
}

/// Reads an answer by chunks: what was understood, and what the client saw.
fn read<'a>(
    case: &Case,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    strip_usage: bool,
) -> (Answer, Vec<u8>) {
    let mut reader = AnswerReader::new(
        case.endpoint.rules(),
        kind(case),
        Encoding::Identity,
        strip_usage,
    );
    if let Some(headers) = case.expected["response_headers"].as_object() {
        for (name, value) in headers {
            reader.header(name, value.as_str().unwrap());
        }
    }
    let mut seen = Vec::new();
    for chunk in chunks {
        match reader.push(chunk, false) {
            Pass::Unchanged => seen.extend_from_slice(chunk),
            Pass::Replace(bytes) => seen.extend_from_slice(&bytes),
        }
    }
    if let Pass::Replace(bytes) = reader.push(&[], true) {
        seen.extend_from_slice(&bytes);
    }
    (reader.answer().clone(), seen)
}

fn kind(case: &Case) -> AnswerKind {
    case.endpoint.answer_kind(content_type(case))
}

fn content_type(case: &Case) -> &str {
    let said = &case.expected["response_headers"]["content-type"];
    let file = case.expected["response_file"].as_str().unwrap();
    said.as_str().unwrap_or(match file {
        "response.sse" => "text/event-stream",
        "response.ndjson" => "application/x-ndjson",
        "response.bin" => "application/vnd.amazon.eventstream",
        _ => "application/json",
    })
}

fn is_thought_wrong(case: &Case, field: &str) -> bool {
    let mut all = THOUGHT_WRONG.iter();
    all.any(|(name, wrong, _)| *name == case.name && *wrong == field)
}

fn agrees(case: &Case, answer: &Answer) -> Result<(), String> {
    let expected = &case.expected;
    let said = answer.usage.unwrap_or_default();
    let usage = expected["usage"].as_object().map(|usage| {
        let tokens = |name: &str| usage[name].as_u64();
        Usage {
            input_tokens: tokens("input_tokens"),
            cached_input_tokens: tokens("cached_input_tokens"),
            cache_write_tokens: tokens("cache_write_tokens"),
            output_tokens: tokens("output_tokens"),
            reasoning_tokens: tokens("reasoning_tokens"),
            // What recordings say of these has tests of its own.
            cache_write_1h_tokens: said.cache_write_1h_tokens,
            input_audio_tokens: said.input_audio_tokens,
            input_image_tokens: said.input_image_tokens,
            cached_input_audio_tokens: said.cached_input_audio_tokens,
            cached_input_image_tokens: said.cached_input_image_tokens,
            output_audio_tokens: said.output_audio_tokens,
            output_image_tokens: said.output_image_tokens,
            searches: said.searches,
        }
    });
    // Figures of other units alone (searches, seconds) are none of tokens.
    let usage = usage.filter(|usage| *usage != Usage::default());
    let finish = match &expected["finish"] {
        Value::Array(all) => all.first().cloned(),
        Value::Number(word) => Some(word.to_string().into()),
        one => Some(one.clone()),
    };
    let finish = finish.as_ref().and_then(Value::as_str);
    // Bedrock's errors show in the status alone.
    let status_says = case.endpoint.dialect() == Dialect::Bedrock;
    for (field, right) in [
        ("usage", answer.usage == usage),
        (
            "complete",
            answer.complete == expected["complete"].as_bool().unwrap(),
        ),
        (
            "model",
            answer.model.as_deref() == expected["model"].as_str(),
        ),
        ("finish", answer.finish_reason.as_deref() == finish),
        (
            "failed",
            expected["http_status"] == 200 || answer.failed || status_says,
        ),
    ] {
        if right == is_thought_wrong(case, field) {
            return Err(format!(
                "{field}: read {answer:?}, expected {usage:?}, {expected}"
            ));
        }
    }
    Ok(())
}

/// Chunks of 1 to 64 bytes, the same ones for the same seed.
fn random_chunks(mut body: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut chunks = Vec::new();
    while !body.is_empty() {
        // Knuth's linear congruence; its high bits are random enough here.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let size = 1 + usize::try_from(state >> 58).unwrap();
        let (chunk, rest) = body.split_at(size.min(body.len()));
        chunks.push(chunk);
        body = rest;
    }
    chunks
}
