//! Request bodies of every endpoint: what is accepted is JSON that any reader
//! reads alike, the places that are named are in it, and edits leave it so.

use serde_json::Value;
use weir::protocol::json_edit;
use weir::protocol::openai::request::{self, MODEL_BYTES_MAX, TEXTS_MAX};
use weir::protocol::{BodyError, CallFacts, Endpoint, json};

/// The cap that is written into a body.
const CAP: u64 = 77;

/// Fields that hold a cap, where the client set none.
const CAP_FIELDS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

pub fn check(body: &[u8]) {
    for endpoint in Endpoint::all() {
        match request::read(endpoint, body) {
            Ok(facts) => accepted(endpoint, body, &facts),
            Err(error) => refused(&error),
        }
    }
}

fn refused(error: &BodyError) {
    assert!(!error.message.is_empty() && error.message.len() < 1_000);
}

fn accepted(endpoint: Endpoint, body: &[u8], facts: &CallFacts) {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        // JSON numbers have no bound; this reader's do. No such number is read.
        Err(error) if error.to_string().starts_with("number out of range") => return,
        Err(error) => panic!("what is accepted is JSON: {error}"),
    };
    assert_eq!(value["model"].as_str(), Some(facts.model.as_str()));
    assert!(facts.model.len() <= MODEL_BYTES_MAX);
    assert_eq!(value["stream"].as_bool().unwrap_or(false), facts.stream);
    assert!(facts.answers >= 1 && facts.choices >= 1 && facts.answers >= facts.choices);
    assert!(facts.texts.len() <= TEXTS_MAX);
    let mut behind = 0;
    for text in &facts.texts {
        assert!(
            behind <= text.span.start && text.span.start <= text.span.end,
            "in order"
        );
        behind = text.span.end;
        let around = text
            .span
            .start
            .checked_sub(1)
            .map(|from| &body[from..=behind]);
        match around {
            // The content of a string.
            Some(quoted @ [b'"', .., b'"']) if quoted.len() >= 2 => {
                let read: String = serde_json::from_slice(quoted).expect("a string");
                assert_eq!(json::text(body, text), read);
            }
            // JSON that the model reads as it stands: a tool's schema.
            _ => {
                let bytes = &body[text.span.clone()];
                let _: Value = serde_json::from_slice(bytes).expect("a value");
            }
        }
    }
    if let Some(set) = &facts.output_max {
        let number: u64 = serde_json::from_slice(&body[set.span.clone()]).expect("a number");
        assert_eq!(number, set.tokens);
    }
    for field in CAP_FIELDS {
        for usage in [false, true] {
            edited(endpoint, body, &value, facts, field, usage);
        }
    }
}

/// The edited body says what was asked for, and beside it what it said before.
fn edited(
    endpoint: Endpoint,
    body: &[u8],
    before: &Value,
    facts: &CallFacts,
    field: &str,
    usage: bool,
) {
    // Usage is asked for in streams alone, a cap where there is output.
    let usage = usage && facts.stream;
    let cap = (!endpoint.is_without_output()).then_some((CAP, field));
    let edits = request::edits(facts, cap, usage);
    let after = json_edit::apply(body, &edits);
    let mut now: Value = serde_json::from_slice(&after).expect("an edited body is JSON");
    if usage {
        assert_eq!(now["stream_options"]["include_usage"], true);
    }
    let read = request::read(endpoint, &after);
    // A field that the endpoint has no use for is refused or passed over; one
    // that it has is read back.
    if let (Ok(read), Some(_)) = (&read, cap) {
        assert_eq!(read.model, facts.model);
        assert_eq!(
            (read.answers, read.texts.len()),
            (facts.answers, facts.texts.len())
        );
        if let Some(set) = &read.output_max {
            assert_eq!(set.tokens, CAP);
        }
    }
    let mut before = before.clone();
    for value in [&mut before, &mut now] {
        let members = value.as_object_mut().expect("an object");
        for edited in CAP_FIELDS.into_iter().chain(["stream_options"]) {
            members.remove(edited);
        }
    }
    assert_eq!(before, now, "what no edit names stays");
}
