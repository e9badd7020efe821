//! Request bodies of every endpoint: what is accepted is JSON that any reader
//! reads alike, the places that are named are in it, and edits leave it so.

use serde_json::Value;
use weir::protocol::request::{self, Changes, IMAGES_MAX, MODEL_BYTES_MAX, TEXTS_MAX, Wants};
use weir::protocol::{BodyError, CallFacts, Endpoint, json, json_edit};

/// The cap that is written into a body.
const CAP: u64 = 77;

/// Fields that hold a cap where the model says which.
const CAP_FIELDS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Whose body says whether it streams, and doesn't where it says nothing.
const STREAMING: [Endpoint; 5] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Responses,
    Endpoint::Messages,
    Endpoint::CohereChat,
];

/// How many of a body's fields are dropped to see what is left.
const DROPPED_MAX: usize = 8;

/// What stands between the parts of a form.
const BOUNDARY: &str = "B";

pub fn check(body: &[u8]) {
    for endpoint in Endpoint::all() {
        if endpoint.takes_forms() {
            match request::read_form(endpoint, BOUNDARY, body, Wants::ALL) {
                Ok(facts) => assert!(
                    facts
                        .texts
                        .iter()
                        .all(|t| body.get(t.span.clone()).is_some())
                ),
                Err(error) => refused(&error),
            }
            continue;
        }
        match request::read(endpoint, path_model(endpoint), body, Wants::ALL) {
            Ok(facts) => accepted(endpoint, body, &facts),
            Err(error) => refused(&error),
        }
    }
}

/// Of a model whose maker is known, so that there is a place for a cap.
fn path_model(endpoint: Endpoint) -> Option<&'static str> {
    let named = endpoint.path().contains("{model}");
    named.then_some("anthropic.claude-3")
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
    let named = path_model(endpoint).or(value["model"].as_str());
    assert!(named.is_none_or(|named| named == facts.model));
    assert!(facts.model.len() <= MODEL_BYTES_MAX);
    if STREAMING.contains(&endpoint) {
        assert_eq!(value["stream"].as_bool().unwrap_or(false), facts.stream);
    }
    assert!(facts.answers >= 1 && facts.choices >= 1 && facts.answers >= facts.choices);
    assert!(facts.texts.len() <= TEXTS_MAX && facts.images.len() <= IMAGES_MAX);
    texts(body, facts);
    for data in facts.images.iter().filter_map(|image| image.data.clone()) {
        assert!(body.get(data).is_some());
    }
    if let Some(set) = &facts.output_max {
        let number: u64 = serde_json::from_slice(&body[set.span.clone()]).expect("a number");
        assert_eq!(number, set.tokens);
    }
    for field in facts.fields.iter().take(DROPPED_MAX) {
        dropped(body, &value, facts, &field.path);
    }
    for field in CAP_FIELDS {
        for usage in [false, true] {
            edited(endpoint, body, &value, facts, field, usage);
        }
    }
}

/// Each is a string's content, or JSON as it stands, and none is counted twice.
fn texts(body: &[u8], facts: &CallFacts) {
    let mut texts: Vec<_> = facts.texts.iter().collect();
    texts.sort_by_key(|text| text.span.start);
    let mut behind = 0;
    for text in texts {
        assert!(
            behind <= text.span.start && text.span.start <= text.span.end,
            "apart"
        );
        behind = text.span.end;
        let before = text.span.start.checked_sub(1);
        match before.map(|from| &body[from..=behind]) {
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
}

/// The body without a field, and with another model, is JSON without just that.
fn dropped(body: &[u8], before: &Value, facts: &CallFacts, path: &str) {
    let edits = request::edits(
        facts,
        &Changes {
            model: Some("other"),
            drop_fields: &[path],
            ..Changes::default()
        },
    );
    let after = json_edit::apply(body, &edits);
    let now: Value = serde_json::from_slice(&after).expect("an edited body is JSON");
    let gone = |name: &String| {
        let fields = facts.fields.iter();
        let mut named = fields.filter(|field| field.object.is_none() && field.is_named(path));
        named.any(|field| field.is_named(name))
    };
    for (name, value) in before.as_object().into_iter().flatten() {
        let is_object_of = path.split_once('.').is_some() && value.is_object();
        if name == "model" || is_object_of || gone(name) {
            continue;
        }
        assert_eq!(now.get(name), Some(value), "{path}");
    }
}

/// The edited body says what was asked for, and beside it what it said before.
fn edited(
    endpoint: Endpoint,
    body: &[u8],
    before: &Value,
    facts: &CallFacts,
    field: &'static str,
    usage: bool,
) {
    let usage = usage && facts.stream && endpoint.is_asked_for_usage();
    let place = facts.cap_field.place(field);
    let edits = request::edits(
        facts,
        &Changes {
            output_max: place.map(|place| (CAP, place)),
            include_usage: usage,
            ..Changes::default()
        },
    );
    let after = json_edit::apply(body, &edits);
    let mut now: Value = serde_json::from_slice(&after).expect("an edited body is JSON");
    if usage {
        assert_eq!(now["stream_options"]["include_usage"], true);
    }
    // A field that the endpoint refuses beside another is refused; one that it
    // takes is read back.
    if let (Ok(read), Some(_)) = (
        request::read(endpoint, path_model(endpoint), &after, Wants::ALL),
        place,
    ) {
        assert_eq!(read.model, facts.model);
        assert_eq!(
            (read.answers, read.texts.len()),
            (facts.answers, facts.texts.len())
        );
        assert_eq!(read.output_max.map(|set| set.tokens), Some(CAP));
    }
    let mut before = before.clone();
    for value in [&mut before, &mut now] {
        forget(value, &["stream_options"]);
        forget(value, &CAP_FIELDS);
        forget(
            value,
            &["max_output_tokens", "generationConfig", "generation_config"],
        );
        forget(value, &["inferenceConfig", "options"]);
    }
    assert_eq!(before, now, "what no edit names stays");
}

fn forget(value: &mut Value, names: &[&str]) {
    let members = value.as_object_mut().expect("an object");
    for name in names {
        members.remove(*name);
    }
}
