//! Recorded requests in OpenAI's form: all are read, but for those that are
//! listed with the field at fault.

use std::path::PathBuf;
use weir::protocol::Endpoint;
use weir::protocol::openai::request;

/// Requests that are refused, and for which field.
const REFUSED: [(&str, &str); 3] = [
    ("openai-chat/audio-input", "messages[0].content[1].type"),
    ("openai-chat/error-400", "max_tokens"),
    ("openai-completions/error-400", "max_tokens"),
];

/// Fewer than this, and the folder isn't what it should be.
const CASES_MIN: usize = 18;

#[test]
fn recorded_requests_are_read() {
    let Some(root) = std::env::var_os("WEIR_FIXTURES").map(PathBuf::from) else {
        println!("skipped: WEIR_FIXTURES is not set");
        return;
    };
    let mut read = 0;
    let mut refused = Vec::new();
    for (folder, endpoint) in [
        ("openai-chat", Endpoint::ChatCompletions),
        ("openai-completions", Endpoint::Completions),
        ("openai-embeddings", Endpoint::Embeddings),
    ] {
        for case in std::fs::read_dir(root.join(folder)).unwrap() {
            let case = case.unwrap().path();
            let Ok(body) = std::fs::read(case.join("request.json")) else {
                continue;
            };
            read += 1;
            if let Err(error) = request::read(endpoint, &body) {
                let name = format!("{folder}/{}", case.file_name().unwrap().display());
                refused.push((name, error.param.unwrap_or_default()));
            }
        }
    }
    refused.sort();
    let refused: Vec<(&str, &str)> = refused
        .iter()
        .map(|(n, p)| (n.as_str(), p.as_str()))
        .collect();
    assert_eq!(refused, REFUSED);
    assert!(read >= CASES_MIN, "only {read} requests");
}
