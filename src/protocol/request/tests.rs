//! What is read of request bodies, and what is refused.

use super::*;
use crate::protocol::{json, json_edit};
use serde_json::Value;

mod changes;
mod dialects;
mod properties;
mod refused;
mod searches;
mod wants;

const CHAT: Endpoint = Endpoint::ChatCompletions;
const COMPLETIONS: Endpoint = Endpoint::Completions;
const EMBEDDINGS: Endpoint = Endpoint::Embeddings;

/// A body of an endpoint whose paths name no model.
fn read(endpoint: Endpoint, body: &[u8]) -> Result<CallFacts, BodyError> {
    super::read(endpoint, None, body, Wants::default())
}

/// A chat with further fields, which begin with a comma.
fn chat(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#)
}

/// A chat of one message with these fields besides its role.
fn message(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user",{fields}}}]}}"#)
}

fn completion(more: &str) -> String {
    format!(r#"{{"model":"m"{more}}}"#)
}

fn embedding(input: &str) -> String {
    format!(r#"{{"model":"m","input":{input}}}"#)
}

fn facts(endpoint: Endpoint, body: &str) -> CallFacts {
    read(endpoint, body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn texts(endpoint: Endpoint, body: &str) -> Vec<String> {
    let facts = facts(endpoint, body);
    let text = |span| json::text(body.as_bytes(), span).into_owned();
    facts.texts.iter().map(text).collect()
}

fn written<'c>(output_max: Option<(u64, CapPlace)>, include_usage: bool) -> Changes<'c> {
    Changes {
        output_max,
        include_usage,
        ..Changes::default()
    }
}

/// The body after its edits, as text and as the provider reads it.
fn edited(
    endpoint: Endpoint,
    body: &str,
    output_max: Option<(u64, &'static str)>,
    usage: bool,
) -> (String, Value) {
    let output_max = output_max.map(|(tokens, name)| (tokens, CapPlace::of_body(name)));
    let edits = edits(&facts(endpoint, body), &written(output_max, usage));
    let edited = String::from_utf8(json_edit::apply(body.as_bytes(), &edits)).unwrap();
    let value = serde_json::from_str(&edited).unwrap();
    (edited, value)
}

#[test]
fn a_plain_chat() {
    let body = r#" {"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true,"n":3,
        "max_tokens":16,"stream_options":{"include_usage":true},"temperature":0.5}"#;
    let facts = facts(CHAT, body);
    assert_eq!(facts.model, "gpt-4o");
    assert!(facts.stream && facts.include_usage);
    let max = facts.output_max.unwrap();
    assert_eq!((max.tokens, &body[max.span]), (16, "16"));
    assert_eq!((facts.answers, facts.choices), (3, 3));
    assert_eq!(
        (
            facts.messages,
            facts.names,
            facts.images.len(),
            facts.token_ids
        ),
        (1, 0, 0, 0)
    );
    assert_eq!(facts.anchors.open, 2);
    assert_eq!(texts(CHAT, body), ["user", "hi"]);
}

#[test]
fn names_are_compared_as_they_are_meant() {
    let body = r#"{"\u006dodel":"\u0067pt","messages":[{"r\u006fle":"user","content":"x"}],"max\u005ftokens":5}"#;
    let facts = facts(CHAT, body);
    assert_eq!(facts.model, "gpt");
    assert_eq!(facts.output_max.map(|max| max.tokens), Some(5));
    assert_eq!(texts(CHAT, body), ["user", "x"]);
}

#[test]
fn every_text_that_the_model_reads() {
    let table: &[(&str, &[&str])] = &[
        (r#""content":"a\nb""#, &["a\nb"]),
        (r#""content":null"#, &[]),
        (r#""content":"""#, &[]),
        (r#""content":"x","name":"bob""#, &["x", "bob"]),
        (r#""content":"x","name":null"#, &["x"]),
        (r#""content":[]"#, &[]),
        (
            r#""content":[{"type":"text","text":"a"},{"text":"b","type":"text"}]"#,
            &["a", "b"],
        ),
        (r#""content":[{"type":"refusal","refusal":"no"}]"#, &["no"]),
        (
            r#""content":[{"type":"text","text":"a","image_url":null,"cache_control":{"type":"x"}}]"#,
            &["a"],
        ),
        (
            r#""content":[{"type":"image_url","image_url":{"url":"data:"}}]"#,
            &[],
        ),
        (r#""refusal":"I can't""#, &["I can't"]),
        (
            r#""refusal":null,"audio":null,"tool_calls":null,"function_call":null"#,
            &[],
        ),
        (
            r#""tool_calls":[{"id":"c1","type":"function","index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}]"#,
            &["f", "{\"a\":1}"],
        ),
        (
            r#""tool_calls":[{"type":"custom","custom":{"name":"g","input":"i"},"thought":"t"}]"#,
            &["g", "i", "t"],
        ),
        (
            r#""tool_calls":[{"function":{"name":"f","arguments":{"a":1},"extra":"e"}}]"#,
            &["f", "{\"a\":1}", "e"],
        ),
        (
            r#""function_call":{"name":"f","arguments":"{}"}"#,
            &["f", "{}"],
        ),
        (r#""tool_call_id":"c1","content":"42""#, &["42"]),
        (
            r#""reasoning_content":"hm","weight":1,"prefix":true"#,
            &["hm"],
        ),
    ];
    for (fields, expected) in table {
        let body = message(fields);
        assert_eq!(texts(CHAT, &body)[1..], **expected, "{fields}");
    }
    let table: &[(&str, &[&str])] = &[
        (
            r#","tools":[{"type":"function"}]"#,
            &[r#"{"type":"function"}"#],
        ),
        (r#","functions": [ {} ] "#, &["{}"]),
        (
            r#","response_format":{"type":"json_object"}"#,
            &[r#"{"type":"json_object"}"#],
        ),
        (
            r#","tools":null,"response_format":null,"prediction":null"#,
            &[],
        ),
        (
            r#","prediction":{"type":"content","content":"\u0061b"}"#,
            &["ab"],
        ),
        (
            r#","prediction":{"type":"content","content":[{"type":"text","text":"p"}]}"#,
            &["p"],
        ),
        (r#","documents":[{"title":"t"}]"#, &[r#"[{"title":"t"}]"#]),
        (r#","modalities":["text"],"audio":null"#, &[]),
        (r#","metadata":{"a":"b"},"user":"u","stop":["s"]"#, &[]),
    ];
    for (more, expected) in table {
        assert_eq!(texts(CHAT, &chat(more))[2..], **expected, "{more}");
    }
}

#[test]
fn messages_names_and_images_are_counted() {
    let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
    let body = format!(
        r#"{{"messages":[{{"role":"system","content":"s","name":"n"}},{{"role":"user","content":[{image},{image}]}},
        {{"role":"user","content":[{image}],"name":"m"}}],"model":"m"}}"#
    );
    let facts = facts(CHAT, &body);
    assert_eq!((facts.messages, facts.names, facts.images.len()), (3, 2, 3));
}

#[test]
fn answers_are_choices_times_prompts() {
    let table: &[(Endpoint, String, u64, u64)] = &[
        (CHAT, chat(""), 1, 1),
        (CHAT, chat(r#","n":null"#), 1, 1),
        (CHAT, chat(r#","n":4"#), 4, 4),
        (CHAT, chat(r#","best_of":4"#), 4, 4),
        (
            COMPLETIONS,
            completion(r#","prompt":"p","n":2,"best_of":5"#),
            5,
            5,
        ),
        (
            COMPLETIONS,
            completion(r#","prompt":"p","n":5,"best_of":2"#),
            5,
            5,
        ),
        (COMPLETIONS, completion(r#","n":2"#), 2, 2),
        (COMPLETIONS, completion(r#","prompt":null"#), 1, 1),
        (COMPLETIONS, completion(r#","prompt":"""#), 1, 1),
        (
            COMPLETIONS,
            completion(r#","prompt":["a","","c"],"n":2"#),
            6,
            2,
        ),
        (COMPLETIONS, completion(r#","prompt":[1,2,3],"n":2"#), 2, 2),
        (
            COMPLETIONS,
            completion(r#","prompt":[[1],[2,3],[]],"n":2"#),
            6,
            2,
        ),
        (
            COMPLETIONS,
            completion(r#","prompt":["a","b","c"],"n":9007199254740991"#),
            27_021_597_764_222_973,
            INTEGER_MAX,
        ),
        (EMBEDDINGS, embedding(r#"["a","b"]"#), 1, 1),
    ];
    for (endpoint, body, answers, choices) in table {
        let facts = facts(*endpoint, body);
        assert_eq!(
            (facts.answers, facts.choices),
            (*answers, *choices),
            "{body}"
        );
    }
}

#[test]
fn prompts_and_inputs_of_every_kind() {
    let table: &[(&str, &[&str], u64)] = &[
        (r#""a\u0062""#, &["ab"], 0),
        (r#"["a","b"]"#, &["a", "b"], 0),
        (r#"["a",""]"#, &["a"], 0),
        ("[1, 2 ,0]", &[], 3),
        ("[[1,2],[3],[]]", &[], 3),
    ];
    for (value, expected, token_ids) in table {
        let prompt = completion(&format!(r#","prompt":{value}"#));
        for (endpoint, body) in [(COMPLETIONS, prompt), (EMBEDDINGS, embedding(value))] {
            assert_eq!(texts(endpoint, &body), *expected, "{body}");
            assert_eq!(facts(endpoint, &body).token_ids, *token_ids, "{body}");
        }
    }
    let body = completion(r#","prompt":"p","suffix":"s","echo":true,"logprobs":3"#);
    assert_eq!(texts(COMPLETIONS, &body), ["p", "s"]);
}

#[test]
fn caps_on_the_output() {
    let table: &[(&str, Option<u64>, usize)] = &[
        ("", None, 0),
        (r#","max_tokens":1"#, Some(1), 0),
        (
            r#","max_completion_tokens":9007199254740991"#,
            Some(INTEGER_MAX),
            0,
        ),
        (r#","max_tokens":null"#, None, 1),
        (
            r#","max_tokens":null,"max_completion_tokens":null"#,
            None,
            2,
        ),
        (
            r#","max_tokens":null,"max_completion_tokens":7"#,
            Some(7),
            1,
        ),
    ];
    for (more, tokens, nulls) in table {
        let facts = facts(CHAT, &chat(more));
        assert_eq!(facts.output_max.map(|max| max.tokens), *tokens, "{more}");
        assert_eq!(facts.anchors.output_null.len(), *nulls, "{more}");
    }
}

#[test]
fn edits_of_the_output_cap() {
    let rest = r#""messages":[{"role":"user","content":"hi"}]"#;
    let table = [
        (
            "",
            "max_tokens",
            format!(r#"{{"max_tokens":99,"model":"m",{rest}}}"#),
        ),
        (
            r#","max_tokens": 5 "#,
            "max_tokens",
            format!(r#"{{"model":"m",{rest},"max_tokens": 99 }}"#),
        ),
        // The client's own field stays, whatever the model's is called.
        (
            r#","max_tokens":5"#,
            "max_completion_tokens",
            format!(r#"{{"model":"m",{rest},"max_tokens":99}}"#),
        ),
        (
            r#","max_tokens":null"#,
            "max_tokens",
            format!(r#"{{"model":"m",{rest},"max_tokens":99}}"#),
        ),
        (
            r#","max_tokens":null"#,
            "max_completion_tokens",
            format!(r#"{{"max_completion_tokens":99,"model":"m",{rest},"max_tokens":null}}"#),
        ),
        (
            r#","max_tokens":null,"max_completion_tokens":null"#,
            "max_completion_tokens",
            format!(r#"{{"model":"m",{rest},"max_tokens":null,"max_completion_tokens":99}}"#),
        ),
    ];
    for (more, field, expected) in table {
        assert_eq!(
            edited(CHAT, &chat(more), Some((99, field)), false).0,
            expected
        );
    }
}

#[test]
fn edits_of_the_stream_options() {
    let with = |options: &str| format!(r#","stream":true,"stream_options":{options}"#);
    let table = [
        ("null", r#"{"include_usage":true}"#),
        ("{}", r#"{"include_usage":true}"#),
        ("{ }", r#"{"include_usage":true }"#),
        (r#"{ "x":1}"#, r#"{"include_usage":true, "x":1}"#),
        (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
        (
            r#"{"x":[],"include_usage": null ,"y":2}"#,
            r#"{"x":[],"include_usage": true ,"y":2}"#,
        ),
        (
            r#"{"include\u005fusage":false}"#,
            r#"{"include\u005fusage":true}"#,
        ),
        (r#"{"include_usage":true}"#, r#"{"include_usage":true}"#),
    ];
    for (options, expected) in table {
        let body = chat(&with(options));
        let (edited, _) = edited(CHAT, &body, None, true);
        assert_eq!(edited, chat(&with(expected)), "{options}");
        // Where nothing is to change, there is no edit.
        let none = edits(&facts(CHAT, &body), &Changes::default());
        assert_eq!(none, []);
    }
    let (both, value) = edited(
        COMPLETIONS,
        r#" { "model":"m"}"#,
        Some((9, "max_tokens")),
        true,
    );
    assert_eq!(
        both,
        r#" {"max_tokens":9,"stream_options":{"include_usage":true}, "model":"m"}"#
    );
    assert_eq!(value["stream_options"]["include_usage"], true);
    let (both, _) = edited(
        COMPLETIONS,
        r#"{"stream_options":{},"model":"m","max_tokens":8}"#,
        Some((7, "max_tokens")),
        true,
    );
    assert_eq!(
        both,
        r#"{"stream_options":{"include_usage":true},"model":"m","max_tokens":7}"#
    );
}

/// Anything quadratic would take hours here; there is no clock to ask.
#[test]
fn large_and_hostile_bodies_end_quickly() {
    let million = 1_000_000;
    let large = message(&format!(
        r#""content":"{}""#,
        "word \\n\\u00e9".repeat(million)
    ));
    assert!(large.len() > 10 * million);
    assert_eq!(facts(CHAT, &large).texts.len(), 2);
    for endpoint in [CHAT, COMPLETIONS, EMBEDDINGS] {
        assert!(read(endpoint, &vec![b'['; million]).is_err());
        assert!(read(endpoint, &vec![b'{'; million]).is_err());
    }
    let messages = format!(
        "{{\"messages\":[{}]}}",
        vec![r#"{"role":"u"}"#; million].join(",")
    );
    assert_eq!(
        read(CHAT, messages.as_bytes())
            .unwrap_err()
            .param
            .as_deref(),
        Some("messages")
    );
    let deep = format!("{{\"messages\":{}", "[".repeat(million));
    assert!(read(CHAT, deep.as_bytes()).is_err());
    let names: Vec<String> = (0..million).map(|n| format!("\"k{n}\":1")).collect();
    assert!(read(CHAT, format!("{{{}}}", names.join(",")).as_bytes()).is_err());
    // As many long names as are read, all alike but for their ends.
    let names: Vec<String> = (0..256)
        .map(|n| format!("\"{}{n:03}\":1", "k".repeat(253)))
        .collect();
    let more = format!(",{}", names.join(","));
    assert!(read(CHAT, chat(&more).as_bytes()).is_ok());
    let texts = embedding(&format!("[{}]", vec!["\"a\""; TEXTS_MAX].join(",")));
    assert_eq!(facts(EMBEDDINGS, &texts).texts.len(), TEXTS_MAX);
    let texts = embedding(&format!("[{}]", vec!["\"a\""; TEXTS_MAX + 1].join(",")));
    assert!(read(EMBEDDINGS, texts.as_bytes()).is_err());
}
