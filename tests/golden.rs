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

#[path = "golden/descriptors.rs"]
mod descriptors;
#[path = "golden/requests.rs"]
mod requests;

use serde_json::Value;
use std::path::{Path, PathBuf};
use weir::protocol::inflate::Encoding;
use weir::protocol::openai::answer::{AnswerKind, AnswerReader, Pass};
use weir::protocol::{Answer, Usage};

/// Dialects that answer in OpenAI's form.
const DIALECTS: [&str; 11] = [
    "openai-chat",
    "openai-completions",
    "openai-embeddings",
    "azure-openai",
    "deepseek",
    "groq",
    "mistral",
    "openrouter",
    "other-openai-compat",
    "vllm",
    "xai",
];

const ENDPOINTS: [&str; 3] = ["/chat/completions", "/completions", "/embeddings"];

/// Answers that are not read rightly yet, and why. Exact: one that is read
/// rightly must leave the list.
const NOT_YET: [(&str, &str); 0] = [];

/// Fewer than this, and the folder isn't what it should be.
const CASES_MIN: usize = 55;

/// Up to this size an answer is split at every byte.
const SPLIT_EVERYWHERE_BYTES_MAX: usize = 6_000;

const RANDOM_SPLITS: u64 = 40;

struct Case {
    name: String,
    expected: Value,
    body: Vec<u8>,
}

#[test]
fn recorded_answers_give_the_right_usage() {
    let Some(root) = std::env::var_os("WEIR_FIXTURES").map(PathBuf::from) else {
        println!("skipped: WEIR_FIXTURES is not set");
        return;
    };
    assert!(root.is_dir(), "WEIR_FIXTURES names no folder: {root:?}");
    let cases: Vec<Case> = DIALECTS
        .iter()
        .flat_map(|dialect| cases(&root, dialect))
        .collect();
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

fn cases(root: &Path, dialect: &str) -> Vec<Case> {
    let folder = root.join(dialect);
    let mut cases: Vec<Case> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
        .map(|entry| case(dialect, &entry.unwrap().path()))
        .filter(|case| {
            let endpoint = case.expected["endpoint"].as_str().unwrap();
            ENDPOINTS.iter().any(|known| endpoint.ends_with(known))
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn case(dialect: &str, folder: &Path) -> Case {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    };
    let expected: Value = serde_json::from_slice(&read("expected.json")).unwrap();
    Case {
        name: format!("{dialect}/{}", folder.file_name().unwrap().display()),
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
    let kind = if case.expected["stream"] == true {
        AnswerKind::Sse
    } else {
        AnswerKind::Json
    };
    let mut reader = AnswerReader::new(kind, Encoding::Identity, strip_usage);
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

fn agrees(case: &Case, answer: &Answer) -> Result<(), String> {
    let expected = &case.expected;
    let usage = expected["usage"].as_object().map(|usage| {
        let tokens = |name: &str| usage[name].as_u64();
        Usage {
            input_tokens: tokens("input_tokens"),
            cached_input_tokens: tokens("cached_input_tokens"),
            cache_write_tokens: tokens("cache_write_tokens"),
            output_tokens: tokens("output_tokens"),
            reasoning_tokens: tokens("reasoning_tokens"),
        }
    });
    let mut got = answer.usage;
    if expected["endpoint"]
        .as_str()
        .unwrap()
        .ends_with("/embeddings")
    {
        // Embeddings report no output, as they have none: the caller, who
        // knows the endpoint, says 0.
        if let Some(usage) = &mut got {
            assert_eq!(usage.output_tokens, None);
            usage.output_tokens = Some(0);
        }
    }
    let finish = match &expected["finish"] {
        Value::Array(all) => all.first().and_then(Value::as_str),
        one => one.as_str(),
    };
    let right = got == usage
        && answer.complete == expected["complete"].as_bool().unwrap()
        && answer.model.as_deref() == expected["model"].as_str()
        && answer.finish_reason.as_deref() == finish
        && (expected["http_status"].as_u64() == Some(200) || answer.failed);
    if right {
        Ok(())
    } else {
        Err(format!("read {answer:?}, expected {usage:?}, {expected}"))
    }
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
