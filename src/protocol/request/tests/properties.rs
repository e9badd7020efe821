//! For any body: what is judged is what `serde_json` reads, and edits change
//! what they are meant to and nothing else.

use super::*;
use crate::protocol::json::tests::{json_string, mutate, mutations};
use proptest::prelude::*;
use proptest::sample::select;

/// One message's JSON.
fn message_json() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        json_string().prop_map(|text| format!(r#"{{"type":"text","text":{text}}}"#)),
        json_string().prop_map(|text| format!(r#"{{ "refusal" : {text},"type":"refusal"}}"#)),
        json_string()
            .prop_map(|url| format!(r#"{{"type":"image_url","image_url":{{"url":{url}}}}}"#)),
    ];
    let content = prop_oneof![
        json_string(),
        Just("null".to_owned()),
        prop::collection::vec(part, 0..4).prop_map(|parts| format!("[{}]", parts.join(" , "))),
    ];
    let name = prop_oneof![
        Just(String::new()),
        json_string().prop_map(|name| format!(r#","name":{name}"#)),
    ];
    let calls = prop_oneof![
        Just(String::new()),
        (json_string(), json_string()).prop_map(|(name, arguments)| format!(
            r#","tool_calls":[{{"id":"c","function":{{"name":{name},"arguments":{arguments}}}}}]"#
        )),
    ];
    (content, name, calls).prop_map(|(content, name, calls)| {
        format!(r#"{{"role":"user","content":{content}{name}{calls}}}"#)
    })
}

/// A chat's JSON with its fields in any order.
fn chat_json() -> impl Strategy<Value = String> {
    let messages = prop::collection::vec(message_json(), 1..4)
        .prop_map(|messages| format!("\"messages\":[{}]", messages.join(",")));
    let model = select(vec![r#""model":"gpt-4o""#, r#""\u006dodel" : "m\u00e9""#]);
    let cap = select(vec![
        "",
        "",
        r#""max_tokens":17"#,
        r#""max_tokens": null "#,
        r#""max_completion_tokens":9"#,
        r#""max_completion_tokens":null"#,
    ]);
    let stream = select(vec![
        "",
        r#""stream":true"#,
        r#""stream":false"#,
        r#""stream":null"#,
    ]);
    let options = select(vec![
        "",
        r#""stream_options":null"#,
        r#""stream_options":{}"#,
        r#""stream_options":{"a":[1]}"#,
        r#""stream_options":{"a":1,"include_usage":false}"#,
        r#""stream_options":{"include_usage":true,"b":{}}"#,
        r#""stream_options": { "include_usage" : null } "#,
    ]);
    let other = select(vec![
        "",
        r#""temperature":0.5"#,
        r#""user":"max_tokens\":1""#,
        r#""metadata":{"model":"x","model":"y"}"#,
        r#""n":2"#,
        r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
    ]);
    let space = select(vec!["", " ", "\n\t"]);
    (model, messages, cap, stream, options, other, space)
        .prop_flat_map(|(model, messages, cap, stream, options, other, space)| {
            let fields = [model, &messages, cap, stream, options, other];
            let fields: Vec<String> = fields
                .iter()
                .filter(|f| !f.is_empty())
                .map(|f| (*f).to_owned())
                .collect();
            (Just(fields).prop_shuffle(), Just(space))
        })
        .prop_map(|(fields, space)| {
            format!(
                "{space}{{{space}{}{space}}}{space}",
                fields.join(&format!("{space},{space}"))
            )
        })
}

/// The texts of a message, as the provider would find them.
fn message_texts(message: &Value) -> Vec<String> {
    let mut texts = vec![message["role"].as_str()];
    match &message["content"] {
        Value::Array(parts) => {
            for part in parts {
                texts.push(part["text"].as_str().or(part["refusal"].as_str()));
            }
        }
        content => texts.push(content.as_str()),
    }
    texts.push(message["name"].as_str());
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        texts.push(call["function"]["name"].as_str());
        texts.push(call["function"]["arguments"].as_str());
    }
    let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
    texts.map(str::to_owned).collect()
}

/// Everything that is decided on must be what another parser reads.
fn agrees(body: &[u8], facts: &CallFacts) -> Result<(), TestCaseError> {
    let value: Value = match serde_json::from_slice(body) {
        Err(error) if error.to_string().starts_with("number out of range") => return Ok(()),
        read => read.map_err(|error| TestCaseError::fail(error.to_string()))?,
    };
    prop_assert_eq!(value["model"].as_str(), Some(facts.model.as_str()));
    prop_assert_eq!(value["stream"].as_bool().unwrap_or(false), facts.stream);
    let cap = value["max_tokens"]
        .as_u64()
        .or(value["max_completion_tokens"].as_u64());
    prop_assert_eq!(cap, facts.output_max.as_ref().map(|max| max.tokens));
    prop_assert_eq!(
        value["stream_options"]["include_usage"]
            .as_bool()
            .unwrap_or(false),
        facts.include_usage
    );
    let choices = value["n"]
        .as_u64()
        .unwrap_or(1)
        .max(value["best_of"].as_u64().unwrap_or(1));
    prop_assert_eq!(choices, facts.choices);
    prop_assert_eq!(
        value["messages"].as_array().map(Vec::len),
        usize::try_from(facts.messages).ok()
    );
    let read: Vec<String> = facts
        .texts
        .iter()
        .map(|span| json::text(body, span).into_owned())
        .collect();
    for message in value["messages"].as_array().into_iter().flatten() {
        for text in message_texts(message) {
            prop_assert!(read.contains(&text), "{:?} was not read", text);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_judged_is_what_another_parser_reads(body in chat_json(), mutations in mutations()) {
        let facts = read(CHAT, body.as_bytes()).map_err(|error| TestCaseError::fail(format!("{body}: {error}")))?;
        agrees(body.as_bytes(), &facts)?;
        let value: Value = serde_json::from_str(&body).unwrap();
        let expected: Vec<String> = value["messages"].as_array().unwrap().iter().flat_map(message_texts).collect();
        let without_tools: Vec<String> = facts.texts.iter().map(|span| json::text(body.as_bytes(), span).into_owned())
            .filter(|text| !text.starts_with("{\"type\":\"function\"")).collect();
        prop_assert_eq!(without_tools, expected);
        let mut changed = body.into_bytes();
        mutate(&mut changed, mutations);
        if let Ok(facts) = read(CHAT, &changed) {
            agrees(&changed, &facts)?;
        }
    }

    #[test]
    fn edits_change_what_they_are_meant_to(
        body in chat_json(),
        tokens in prop::option::of(1..=INTEGER_MAX),
        field in select(vec!["max_tokens", "max_completion_tokens"]),
        usage in any::<bool>(),
    ) {
        let facts = read(CHAT, body.as_bytes()).unwrap();
        let edits = edits(&facts, &written(tokens.map(|tokens| (tokens, CapPlace::of_body(field))), usage));
        let edited = json_edit::apply(body.as_bytes(), &edits);

        // Every byte outside the edits is the client's.
        let (mut from, mut to) = (0, 0);
        for edit in &edits {
            prop_assert!(from <= edit.span.start);
            let kept = &body.as_bytes()[from..edit.span.start];
            prop_assert_eq!(&edited[to..to + kept.len()], kept);
            prop_assert_eq!(&edited[to + kept.len()..to + kept.len() + edit.text.len()], edit.text.as_bytes());
            from = edit.span.end;
            to += kept.len() + edit.text.len();
        }
        prop_assert_eq!(&edited[to..], &body.as_bytes()[from..]);

        // And another parser reads what was meant, all else unchanged.
        let mut expected: Value = serde_json::from_slice(body.as_bytes()).unwrap();
        if let Some(tokens) = tokens {
            let set = ["max_tokens", "max_completion_tokens"].into_iter().find(|name| expected[*name].is_u64());
            expected[set.unwrap_or(field)] = tokens.into();
        }
        if usage {
            if !expected["stream_options"].is_object() {
                expected["stream_options"] = serde_json::json!({});
            }
            expected["stream_options"]["include_usage"] = true.into();
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), expected);

        // weir itself reads them again, so a second pass changes nothing.
        let again = read(CHAT, &edited).map_err(|error| TestCaseError::fail(error.to_string()))?;
        if let Some(tokens) = tokens {
            prop_assert_eq!(again.output_max.map(|max| max.tokens), Some(tokens));
        }
        prop_assert!(!usage || again.include_usage);
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), mutations in mutations()) {
        for endpoint in [CHAT, COMPLETIONS, EMBEDDINGS] {
            let _ = read(endpoint, &body);
            for start in [completion(r#","prompt":["a",[1],2]"#), embedding("[[1,2],[3]]")] {
                let mut body = start.into_bytes();
                mutate(&mut body, mutations.clone());
                let _ = read(endpoint, &body);
            }
        }
    }
}
