//! Recorded requests of all dialects: each is read as its provider read it, but
//! for those that are listed with the field at fault.

use crate::all_cases;
use serde_json::Value;
use weir::protocol::request::{self, Wants};
use weir::protocol::{CallFacts, Endpoint};

/// Requests that are refused, and for which field.
const REFUSED: [(&str, &str); 3] = [
    ("openai-chat/error-400", "max_tokens"),
    ("openai-completions/error-400", "max_tokens"),
    ("openai-responses/stream-background-queued", "background"),
];

/// Requests that refer to what weir isn't shown.
const UNSEEN: [&str; 3] = [
    "bedrock-converse/cache-write",
    "gemini/explicit-cache",
    "openai-chat/audio-input",
];

/// Fewer than this, and the folder isn't what it should be.
const CASES_MIN: usize = 93;

#[test]
fn recorded_requests_are_read() {
    let Some(cases) = all_cases() else {
        return;
    };
    let mut read = 0;
    let (mut refused, mut unseen) = (Vec::new(), Vec::new());
    for case in &cases {
        let Ok(body) = std::fs::read(case.folder.join("request.json")) else {
            continue;
        };
        read += 1;
        let url = case.expected["url"].as_str().unwrap();
        let path = path_of(url);
        let (endpoint, model) = Endpoint::of_request_path(path, None)
            .unwrap_or_else(|| panic!("{}: {path}", case.name));
        assert_eq!(endpoint, case.endpoint, "{}", case.name);
        match request::read(endpoint, model.as_deref(), &body, Wants::ALL) {
            Ok(facts) => {
                check(&case.name, &case.expected, &body, &facts);
                if facts.unseen_input {
                    unseen.push(case.name.as_str());
                }
            }
            Err(error) => refused.push((case.name.as_str(), error.param.unwrap_or_default())),
        }
    }
    let refused: Vec<_> = refused.iter().map(|(n, p)| (*n, p.as_str())).collect();
    assert_eq!(refused, REFUSED);
    assert_eq!(unseen, UNSEEN);
    assert!(read >= CASES_MIN, "only {read} requests");
    println!("{read} recorded requests");
}

/// The path of a recorded address, without its query.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| {
        rest.find('/').map_or("/", |at| &rest[at..])
    });
    rest.split_once('?').map_or(rest, |(path, _)| path)
}

fn check(name: &str, expected: &Value, body: &[u8], facts: &CallFacts) {
    assert_eq!(
        Some(facts.model.as_str()),
        expected["request_model"].as_str(),
        "{name}: model"
    );
    assert_eq!(
        Some(facts.stream),
        expected["request_stream"].as_bool(),
        "{name}: stream"
    );
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        facts.output_max.as_ref().map(|max| max.tokens),
        cap(&body),
        "{name}: cap"
    );
    let asked = !facts.texts.is_empty() || facts.token_ids > 0;
    let free = name.contains("count");
    assert!(asked || free, "{name}: nothing is read of what it asks");
}

/// The cap on the output, wherever a dialect has it.
fn cap(body: &Value) -> Option<u64> {
    [
        "/max_tokens",
        "/max_completion_tokens",
        "/max_output_tokens",
        "/max_gen_len",
        "/generationConfig/maxOutputTokens",
        "/inferenceConfig/maxTokens",
        "/inferenceConfig/max_new_tokens",
        "/textGenerationConfig/maxTokenCount",
        "/options/num_predict",
    ]
    .iter()
    .find_map(|place| body.pointer(place)?.as_u64())
}
