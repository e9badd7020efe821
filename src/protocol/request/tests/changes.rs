//! Edits together: fields that go, a model, numbers of answers, a cap. Whatever
//! the body, the result is what `serde_json` makes of the same changes.

use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

/// Bodies of one endpoint, and what may be changed in them.
struct Bodies {
    endpoint: Endpoint,
    path_model: Option<&'static str>,
    /// The variants of each field; an empty one is none. `@` is any space.
    fields: &'static [&'static [&'static str]],
    droppable: &'static [&'static str],
    /// Fields of the body that hold a cap.
    caps: &'static [&'static str],
    places: &'static [CapPlace],
    choices: &'static [&'static str],
}

const BODIES: [Bodies; 3] = [
    Bodies {
        endpoint: Endpoint::ChatCompletions,
        path_model: None,
        fields: &[
            &[r#""model"@:@"m""#, r#""\u006dodel":"\u006d""#],
            &[r#""messages"@:@[@{"role":"user","content":"hi"}]"#],
            &[
                "",
                "",
                r#""max_tokens"@:@17"#,
                r#""max_tokens":@null"#,
                r#""max_completion_tokens"@:@9"#,
                r#""max_completion_tokens":null"#,
            ],
            &["", r#""n":3"#, r#""n":@null"#, r#""n"@:1"#],
            &["", r#""best_of":@5"#],
            &[
                "",
                r#""stream_options":null"#,
                r#""stream_options"@:{@}"#,
                r#""stream_options":{@"a"@:@1@,"include_usage":false}"#,
                r#""stream_options":{"include_usage":true@,@"b":{}@}"#,
                r#""stream_options":{@"b":[]}"#,
            ],
            &["", r#""logit_bias"@:@{"5":1}"#, r#""logit\u005fbias":{}"#],
            &["", r#""temperature"@:-0.5"#],
            &["", r#""user":"u\n,}]\\\"""#],
            &["", r#""x\u0020y":[1,{"model":"q"}]"#],
            &["", r#""a.b":{}"#],
            &["", r#""\"q":true"#],
            &["", r#""Seed":7"#],
        ],
        droppable: &[
            "logit_bias",
            "temperature",
            "user",
            "x y",
            "a.b",
            "\"q",
            "seed",
            "n",
            "best_of",
            "max_tokens",
            "max_completion_tokens",
            "stream_options",
            "stream_options.b",
            "stream_options.include_usage",
            "model",
            "messages",
            "absent",
        ],
        caps: &["max_tokens", "max_completion_tokens"],
        places: &[
            CapPlace::of_body("max_tokens"),
            CapPlace::of_body("max_completion_tokens"),
        ],
        choices: &["n", "best_of"],
    },
    Bodies {
        endpoint: Endpoint::GenerateContent,
        path_model: Some("m"),
        fields: &[
            &[r#""contents":[@]"#],
            &["", r#""model":"models/m""#, r#""model"@:@"m""#],
            &[
                "",
                r#""generationConfig"@:@null"#,
                r#""generationConfig":{@}"#,
                r#""generationConfig":{@"topK"@:@1@}"#,
                r#""generationConfig":{"topK":1@,@"maxOutputTokens"@:9}"#,
                r#""generation_config":{@"maxOutputTokens":9,"top_k":1@,"stopSequences":["a"]}"#,
                r#""generation_config":{"candidateCount"@:4,@"max_output_tokens":null@,"topK":{}}"#,
                r#""generationConfig":{"stopSequences":[],@"candidate_count":2@,@"seed":3@,"topK":1}"#,
            ],
            &["", r#""labels":{"a":"b"}"#],
            &["", r#""safetySettings"@:@[]"#, r#""safety_settings":[{}]"#],
            &["", r#""x":1"#],
        ],
        droppable: &[
            "contents",
            "generationConfig",
            "generationConfig.topK",
            "generationConfig.maxOutputTokens",
            "generationConfig.stopSequences",
            "generationConfig.candidateCount",
            "generationConfig.seed",
            "labels",
            "safetySettings",
            "x",
        ],
        caps: &[],
        places: &[CapPlace {
            object: Some("generationConfig"),
            name: "maxOutputTokens",
        }],
        choices: &["generationConfig.candidateCount"],
    },
    Bodies {
        endpoint: Endpoint::OllamaChat,
        path_model: None,
        fields: &[
            &[r#""model"@:@"m""#],
            &["", r#""messages"@:@[]"#],
            &[
                "",
                r#""options"@:@{@"num_predict"@:@-1@}"#,
                r#""options":{"top_k":1,"num_predict":5@,@"seed":2}"#,
                r#""options":{@"seed":2@,"TOP_K":1}"#,
            ],
            &["", r#""keep_alive":0"#],
            &["", r#""think"@:true"#],
        ],
        droppable: &[
            "model",
            "messages",
            "options",
            "options.num_predict",
            "options.top_k",
            "options.seed",
            "keep_alive",
            "think",
        ],
        caps: &[],
        places: &[CapPlace {
            object: Some("options"),
            name: "num_predict",
        }],
        choices: &[],
    },
];

/// A body, of the fields that were picked, with these spaces.
fn body(bodies: &Bodies, picks: &[Index], order: &[Index], spaces: &[&str]) -> String {
    let picked = bodies.fields.iter().zip(picks);
    let fields = picked.map(|(variants, pick)| *pick.get(variants));
    let mut fields: Vec<&str> = fields.filter(|field| !field.is_empty()).collect();
    for (at, other) in order.iter().enumerate().take(fields.len()) {
        let other = other.index(fields.len());
        fields.swap(at, other);
    }
    let mut spaces = spaces.iter().cycle();
    let template = format!("@{{@{}@}}@", fields.join("@,@"));
    let mut body = String::new();
    for piece in template.split_inclusive('@') {
        match piece.strip_suffix('@') {
            Some(piece) => {
                body += piece;
                body += spaces.next().unwrap();
            }
            None => body += piece,
        }
    }
    body
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

/// The member of this name, however it is spelt.
fn key_of(value: &Value, name: &str) -> Option<String> {
    let mut keys = value.as_object()?.keys();
    keys.find(|key| plain(key) == plain(name)).cloned()
}

fn member<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let (object, name) = path.split_once('.').unwrap_or(("", path));
    let inner = match object {
        "" => value,
        _ => {
            let key = key_of(value, object)?;
            &mut value[key]
        }
    };
    let key = key_of(inner, name)?;
    Some(&mut inner[key])
}

fn drop_field(value: &mut Value, path: &str) {
    if let Some(key) = key_of(value, path) {
        value.as_object_mut().unwrap().remove(&key);
    }
    let Some((object, name)) = path.split_once('.') else {
        return;
    };
    if let Some(key) = key_of(value, object) {
        let inner = &mut value[key];
        if let Some(key) = key_of(inner, name) {
            inner.as_object_mut().unwrap().remove(&key);
        }
    }
}

/// What the changes make of a body, as another parser reads it.
fn expected(bodies: &Bodies, before: &str, changes: &Changes) -> Value {
    let mut value: Value = serde_json::from_str(before).unwrap();
    for path in changes.drop_fields {
        drop_field(&mut value, path);
    }
    for path in bodies.choices {
        let most = changes.choices.unwrap_or(u64::MAX);
        if let Some(count) = member(&mut value, path).filter(|v| v.as_u64() > Some(most)) {
            *count = most.into();
        }
    }
    if let Some((tokens, place)) = changes.output_max {
        let mut caps = bodies.caps.iter();
        let set = caps.find(|cap| value[**cap].is_u64());
        match place.object {
            None => value[*set.unwrap_or(&place.name)] = tokens.into(),
            Some(object) => {
                let key = key_of(&value, object).unwrap_or_else(|| object.to_owned());
                let inner = &mut value[key];
                if !inner.is_object() {
                    *inner = json!({});
                }
                let key = key_of(inner, place.name).unwrap_or_else(|| place.name.to_owned());
                inner[key] = tokens.into();
            }
        }
    }
    if changes.include_usage {
        if !value["stream_options"].is_object() {
            value["stream_options"] = json!({});
        }
        value["stream_options"]["include_usage"] = true.into();
    }
    if let Some(model) = changes.model {
        match (bodies.path_model, value["model"].as_str()) {
            (Some(_), None) => {}
            (Some(_), Some(named)) if named.starts_with("models/") => {
                value["model"] = format!("models/{model}").into();
            }
            _ => value["model"] = model.into(),
        }
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_body_differs_in_just_what_was_changed(
        which in 0..BODIES.len(),
        picks in prop::collection::vec(any::<Index>(), 13),
        order in prop::collection::vec(any::<Index>(), 13),
        spaces in prop::collection::vec(select(vec!["", " ", "\n\t", "  \r\n"]), 1..20),
        dropped in prop::collection::vec(prop::bool::weighted(0.4), 17),
        tokens in prop::option::of(1..=INTEGER_MAX),
        place in any::<Index>(),
        usage in any::<bool>(),
        model in prop::option::of(select(vec!["m", "gpt-x", "a\"b\\c", "m\u{e9}/1", "\u{2028}"])),
        choices in prop::option::of(1_u64..6),
    ) {
        let bodies = &BODIES[which];
        let before = body(bodies, &picks, &order, &spaces);
        let droppable = bodies.droppable.iter().zip(&dropped);
        let drop_fields: Vec<&str> = droppable.filter(|(_, goes)| **goes).map(|(path, _)| *path).collect();
        let changes = Changes {
            moves_cap: false,
            output_max: tokens.map(|tokens| (tokens, *place.get(bodies.places))),
            include_usage: usage && bodies.endpoint.is_asked_for_usage(),
            model,
            choices,
            drop_fields: &drop_fields,
        };
        let read = |body: &[u8]| super::super::read(bodies.endpoint, bodies.path_model, body, Wants::ALL);
        let facts = read(before.as_bytes()).map_err(|error| TestCaseError::fail(format!("{before}: {error}")))?;
        let after = json_edit::apply(before.as_bytes(), &edits(&facts, &changes));
        let after = String::from_utf8(after).unwrap();
        let value: Value = serde_json::from_str(&after)
            .map_err(|error| TestCaseError::fail(format!("{before} -> {after}: {error}")))?;
        prop_assert_eq!(value, expected(bodies, &before, &changes), "{} -> {}", before, after);
        // And weir reads it so, unless what it needs has gone.
        if let Ok(again) = read(after.as_bytes()) {
            if let (Some(model), None) = (model, bodies.path_model) {
                prop_assert_eq!(again.model.as_str(), model);
            }
            prop_assert!(choices.is_none_or(|most| again.choices <= most));
            // What was dropped may have been written again.
            let written = |path: &str| tokens.is_some() || usage || path == "model";
            let gone = drop_fields.iter().all(|path| again.field(path).is_none() || written(path));
            prop_assert!(gone, "{} -> {}", before, after);
            if let Some(tokens) = tokens {
                prop_assert_eq!(again.output_max.map(|max| max.tokens), Some(tokens));
            }
        } else {
            let needed = ["model", "messages", "contents"];
            prop_assert!(drop_fields.iter().any(|path| needed.contains(path)) || bodies.path_model.is_some(), "{}", after);
        }
    }
}

fn changed(endpoint: Endpoint, path_model: Option<&str>, body: &str, changes: &Changes) -> String {
    let facts = super::super::read(endpoint, path_model, body.as_bytes(), Wants::ALL);
    let facts = facts.unwrap_or_else(|error| panic!("{body}: {error}"));
    let edited = json_edit::apply(body.as_bytes(), &edits(&facts, changes));
    String::from_utf8(edited).unwrap()
}

#[test]
fn a_field_goes_with_one_comma() {
    let endpoint = Endpoint::OllamaChat;
    for (body, drop_fields, expected) in [
        (
            r#"{"a":1, "model":"m", "b":2}"#,
            &["a"][..],
            r#"{"model":"m", "b":2}"#,
        ),
        (
            r#"{"model":"m" , "a":1 , "b":2}"#,
            &["a"],
            r#"{"model":"m" , "b":2}"#,
        ),
        (
            r#"{"model":"m", "a":1 , "b":2 }"#,
            &["b"],
            r#"{"model":"m", "a":1 }"#,
        ),
        (
            r#"{"model":"m", "a":1 , "b":2 }"#,
            &["a", "b"],
            r#"{"model":"m" }"#,
        ),
        (
            r#"{"a":1 , "b":2, "model":"m"}"#,
            &["b", "a"],
            r#"{"model":"m"}"#,
        ),
        (r#"{ "model":"m" }"#, &["model"], "{  }"),
        (
            r#"{"model":"m","options":{"a":1}}"#,
            &["options.a"],
            r#"{"model":"m","options":{}}"#,
        ),
        (
            r#"{"model":"m","options":{"a":1}}"#,
            &["options", "options.a"],
            r#"{"model":"m"}"#,
        ),
        (
            r#"{"model":"m","a":1}"#,
            &["absent"],
            r#"{"model":"m","a":1}"#,
        ),
        (r#"{"model":"m","a":1}"#, &[], r#"{"model":"m","a":1}"#),
    ] {
        let changes = Changes {
            drop_fields,
            ..Changes::default()
        };
        assert_eq!(changed(endpoint, None, body, &changes), expected, "{body}");
    }
}

#[test]
fn nothing_goes_that_was_not_asked_for_when_it_was_read() {
    let changes = Changes {
        drop_fields: &["messages"],
        ..Changes::default()
    };
    assert!(edits(&facts(CHAT, &chat("")), &changes).is_empty());
}

#[test]
fn a_model_is_written_where_it_stands() {
    use Endpoint::*;
    let text = r#""contents":[{"parts":[{"text":"a"}]}]"#;
    let embed = r#"{"model":"models/m","content":{"parts":[{"text":"a"}]}}"#;
    for (endpoint, path_model, body, expected) in [
        (
            ChatCompletions,
            None,
            chat(""),
            Some(chat("").replace("\"m\"", "\"new\"")),
        ),
        // Azure's body may name it beside its path.
        (
            ChatCompletions,
            Some("m"),
            chat(""),
            Some(chat("").replace("\"m\"", "\"new\"")),
        ),
        (
            ChatCompletions,
            Some("m"),
            r#"{"messages":[{"role":"user"}]}"#.to_owned(),
            Some(r#"{"messages":[{"role":"user"}]}"#.to_owned()),
        ),
        (
            Messages,
            None,
            r#"{"messages":[{"role":"user","content":"a"}],"model" : "\u006d"}"#.to_owned(),
            Some(r#"{"messages":[{"role":"user","content":"a"}],"model" : "new"}"#.to_owned()),
        ),
        (
            GenerateContent,
            Some("m"),
            format!(r#"{{{text},"model":"models\/m"}}"#),
            Some(format!(r#"{{{text},"model":"models/new"}}"#)),
        ),
        (
            GenerateContent,
            Some("m"),
            format!("{{{text}}}"),
            Some(format!("{{{text}}}")),
        ),
        (
            Converse,
            Some("m"),
            r#"{"messages":[{"role":"user"}]}"#.to_owned(),
            Some(r#"{"messages":[{"role":"user"}]}"#.to_owned()),
        ),
        // The provider has one of its own where none is named.
        (
            Moderations,
            None,
            r#"{"input":"a"}"#.to_owned(),
            Some(r#"{"model":"new","input":"a"}"#.to_owned()),
        ),
        (
            ImageGenerations,
            None,
            r#"{"model":null,"prompt":"a"}"#.to_owned(),
            Some(r#"{"model":"new","prompt":"a"}"#.to_owned()),
        ),
        (
            BatchEmbedContents,
            Some("m"),
            format!(r#"{{"requests":[{embed}]}}"#),
            Some(format!(r#"{{"requests":[{embed}]}}"#).replace("models/m", "models/new")),
        ),
        // Several that would have to change together.
        (
            BatchEmbedContents,
            Some("m"),
            format!(r#"{{"requests":[{embed},{embed}]}}"#),
            None,
        ),
    ] {
        let facts =
            super::super::read(endpoint, path_model, body.as_bytes(), Wants::default()).unwrap();
        assert_eq!(facts.model_is_rewritable(), expected.is_some(), "{body}");
        let changes = Changes {
            model: Some("new"),
            ..Changes::default()
        };
        let after = changed(endpoint, path_model, &body, &changes);
        assert_eq!(after, expected.unwrap_or(body), "{endpoint:?}");
    }
}

/// Bedrock's makers name the number of answers in several ways; all are held to.
#[test]
fn every_number_of_answers_is_clamped() {
    let body = r#"{"prompt":"a","n":2,"num_generations":7,"numResults":5}"#;
    let changes = Changes {
        choices: Some(3),
        ..Changes::default()
    };
    let after = changed(Endpoint::Invoke, Some("cohere.command"), body, &changes);
    assert_eq!(
        after,
        r#"{"prompt":"a","n":2,"num_generations":3,"numResults":3}"#
    );
    let facts = facts(
        COMPLETIONS,
        &completion(r#","prompt":["a","b"],"n":2,"best_of":5"#),
    );
    assert_eq!((facts.answers, facts.prompts), (10, 2));
    for (most, answers) in [(0, 2), (1, 2), (4, 8), (5, 10), (9, 10)] {
        assert_eq!(facts.answers_at(most), answers, "{most}");
    }
}

#[test]
fn a_form_is_changed_part_by_part() {
    let part = |name: &str, content: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let file =
        "--B\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"a\"\r\n\r\npng\r\n";
    let form = |parts: &[String]| format!("{}--B--\r\n", parts.concat());
    let (model, n) = (part("model", "m"), part("n", "4"));
    let (size, user) = (part("size", "9x9"), part("user", "u"));
    let body = form(&[
        size.clone(),
        model.clone(),
        file.into(),
        n.clone(),
        user.clone(),
    ]);
    let read = |body: &str| {
        super::super::read_form(Endpoint::ImageEdits, "B", body.as_bytes(), Wants::ALL).unwrap()
    };
    let facts = read(&body);
    assert!(facts.model_is_rewritable());
    let paths: Vec<&str> = facts
        .fields
        .iter()
        .map(|field| field.path.as_str())
        .collect();
    assert_eq!(paths, ["size", "model", "image", "n", "user"]);
    for (changes, expected) in [
        (Changes::default(), body.clone()),
        (
            Changes {
                model: Some("a\"b"),
                choices: Some(2),
                include_usage: true,
                output_max: Some((5, CapPlace::of_body("max_tokens"))),
                ..Changes::default()
            },
            form(&[
                size.clone(),
                part("model", "a\"b"),
                file.into(),
                part("n", "2"),
                user.clone(),
            ]),
        ),
        (
            Changes {
                drop_fields: &["user", "size", "n"],
                model: Some("new"),
                choices: Some(2),
                ..Changes::default()
            },
            form(&[part("model", "new"), file.into()]),
        ),
        // It could end its part.
        (
            Changes {
                model: Some("a\r\n--B--\r\n"),
                ..Changes::default()
            },
            body.clone(),
        ),
    ] {
        let after = json_edit::apply(body.as_bytes(), &edits(&facts, &changes));
        let after = String::from_utf8(after).unwrap();
        assert_eq!(after, expected);
        read(&after);
    }
    let unnamed = form(&[file.into()]);
    assert!(!read(&unnamed).model_is_rewritable());
    let changes = Changes {
        model: Some("new"),
        ..Changes::default()
    };
    assert!(edits(&read(&unnamed), &changes).is_empty());
}
