//! What rules ask for beside what every call needs: tools, metadata, fields.

use super::*;
use Endpoint::*;

fn read_all(endpoint: Endpoint, body: &str) -> Result<CallFacts, BodyError> {
    let path_model = endpoint.path().contains("{model}").then_some("m");
    super::super::read(endpoint, path_model, body.as_bytes(), Wants::ALL)
}

fn all(endpoint: Endpoint, body: &str) -> CallFacts {
    read_all(endpoint, body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The least that a body of the endpoint has.
fn front(endpoint: Endpoint) -> &'static str {
    match endpoint {
        GenerateContent => r#""contents":[]"#,
        Converse => r#""messages":[{"role":"user"}]"#,
        Invoke => r#""max_tokens":1"#,
        CohereChatV1 => r#""model":"m","message":"a""#,
        Responses => r#""model":"m","input":"a""#,
        _ => r#""model":"m","messages":[{"role":"user","content":"a"}]"#,
    }
}

fn with(endpoint: Endpoint, more: &str) -> String {
    format!("{{{},{more}}}", front(endpoint))
}

#[test]
fn tools_are_named_in_every_dialect() {
    let rows: &[(Endpoint, &str, &[&str])] = &[
        (
            ChatCompletions,
            r#""tools":[{"type":"function","function":{"name":"f","parameters":{"name":"x"}}},
                {"type":"custom","custom":{"name":"\u0063"}},{"type":"web_search"}],
                "functions":[{"name":"old"}],"web_search_options":{}"#,
            &["f", "c", "web_search", "old", "web_search"],
        ),
        (
            ChatCompletions,
            r#""tools":null,"web_search_options":null"#,
            &[],
        ),
        // No tool of a provider's.
        (ChatCompletions, r#""tools":["{\"name\":\"f\"}",5,[]]"#, &[]),
        (
            Responses,
            r#""tools":[{"type":"function","name":"f"},{"type":"web_search_preview_2025_03_11"},
                {"type":"mcp","server_label":"s","tools":null},{"type":"custom","name":"x"},
                {"type":"namespace","name":"crm","tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}]},
                {"type":"image_generation","name":"harmless"},{"type":"mcp_v2"},{"type":"20250305"}]"#,
            &[
                "f",
                "web_search_preview",
                "mcp",
                "x",
                "a",
                "b",
                "image_generation",
                "mcp_v2",
                "20250305",
            ],
        ),
        (
            Messages,
            r#""tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"custom","name":"g"},
                {"type":null,"name":"h"},
                {"type":"web_search_20250305","name":"web_search","max_uses":2},
                {"type":"bash_20250124","name":"bash"}],"mcp_servers":[{"url":"u"}]"#,
            &["f", "g", "h", "web_search", "bash", "mcp"],
        ),
        (Messages, r#""mcp_servers":[]"#, &[]),
        (
            GenerateContent,
            r#""tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]},{"google_search":{}},
                {"codeExecution":{},"urlContext":null,"function_declarations":{"name":"h"}}]"#,
            &["f", "g", "googleSearch", "h", "codeExecution"],
        ),
        (
            GenerateContent,
            r#""tools":{"google_search_retrieval":{"a":1}}"#,
            &["googleSearchRetrieval"],
        ),
        (
            Converse,
            r#""toolConfig":{"toolChoice":{"auto":{}},"tools":[{"toolSpec":{"name":"f","inputSchema":{}}},
                {"cachePoint":{"type":"default"}},{"systemTool":{"name":"nova_grounding"}}]}"#,
            &["f", "nova_grounding"],
        ),
        (
            Invoke,
            r#""tools":[{"name":"f"},{"type":"bash_20250124","name":"bash"}]"#,
            &["f", "bash"],
        ),
        (
            CohereChat,
            r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
            &["f"],
        ),
        (
            CohereChatV1,
            r#""tools":[{"name":"f","parameter_definitions":{"a":{"type":"str"}}}],
                "connectors":[{"id":"web-search"}]"#,
            &["f", "connectors"],
        ),
        (
            OllamaChat,
            r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
            &["f"],
        ),
    ];
    for (endpoint, tools, names) in rows {
        let body = with(*endpoint, tools);
        assert_eq!(all(*endpoint, &body).tool_names, *names, "{body}");
        let path_model = endpoint.path().contains("{model}").then_some("m");
        let plain = super::super::read(*endpoint, path_model, body.as_bytes(), Wants::default());
        let plain = plain.unwrap();
        assert!(plain.tool_names.is_empty() && plain.metadata.is_empty());
        assert!(plain.fields.is_empty());
    }
}

#[test]
fn tools_that_two_servers_name_differently_are_refused() {
    let named = |name: &str| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#);
    let long = named(&"n".repeat(TOOL_NAME_BYTES_MAX + 1));
    let many = vec![named("f"); TOOL_NAMES_MAX + 1].join(",");
    let one = |members: usize| {
        let members: Vec<String> = (0..members).map(|n| format!("\"a{n}\":{{}}")).collect();
        format!("{{{}}}", members.join(","))
    };
    for (tools, refused) in [
        (r#"{"name":"f","name":"g"}"#.to_owned(), true),
        (
            r#"{"type":"function","function":{"name":"f","name":"g"}}"#.to_owned(),
            true,
        ),
        (r#"{"name":"f","Name":"g"}"#.to_owned(), true),
        (long, true),
        (named(&"n".repeat(TOOL_NAME_BYTES_MAX)), false),
        (many.clone(), true),
        (many[..many.len() - named("f").len() - 1].to_owned(), false),
        (one(TOOL_NAMES_MAX + 1), true),
        (one(TOOL_NAMES_MAX), false),
    ] {
        let body = with(ChatCompletions, &format!("\"tools\":[{tools}]"));
        let read = read_all(ChatCompletions, &body);
        assert_eq!(read.is_err(), refused, "{body}");
        if let Err(error) = read {
            assert!(
                error.param.unwrap().starts_with("tools"),
                "{}",
                error.message
            );
        }
        // Whoever has no rules on tools takes them as before.
        assert!(super::read(ChatCompletions, body.as_bytes()).is_ok());
    }
}

#[test]
fn metadata_is_short_texts() {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        owned.collect()
    };
    let (long_name, long_value) = ("n".repeat(65), "v".repeat(513));
    let mixed = format!(
        r#"{{"task":"sum\u006d","n":1,"x":null,"{long_name}":"a","b":"{long_value}","c":{{"d":"e"}},"e":""}}"#
    );
    for (endpoint, name) in [
        (ChatCompletions, "metadata"),
        (Responses, "metadata"),
        (Messages, "metadata"),
        (GenerateContent, "labels"),
        (Converse, "requestMetadata"),
    ] {
        let read =
            |value: &str| read_all(endpoint, &with(endpoint, &format!("\"{name}\":{value}")));
        let metadata = read(&mixed).unwrap().metadata;
        assert_eq!(
            metadata,
            pairs(&[("task", "summ"), ("e", "")]),
            "{endpoint:?}"
        );
        for other in ["null", "[]", "\"a\"", "5", "{}"] {
            assert!(read(other).unwrap().metadata.is_empty(), "{other}");
        }
        let twice = read(r#"{"a":"b","\u0061":"c"}"#).unwrap_err();
        assert_eq!(twice.param.as_deref(), Some(name));
        let many: Vec<String> = (0..20).map(|n| format!("\"k{n}\":\"v\"")).collect();
        let many = read(&format!("{{{}}}", many.join(","))).unwrap().metadata;
        assert_eq!(many.len(), METADATA_PAIRS_MAX);
    }
    let other = all(OllamaChat, &with(OllamaChat, r#""metadata":{"a":"b"}"#));
    assert!(other.metadata.is_empty());
}

/// A body, and its fields by path with what they cover.
type Row<'r> = (Endpoint, &'r str, &'r [(&'r str, &'r str)]);

#[test]
fn every_field_has_its_place() {
    let rows: &[Row] = &[
        (
            ChatCompletions,
            r#"{ "logit\u005fbias" : {"5":1} ,"model":"m","messages":[{"role":"user"}],"n":2}"#,
            &[
                ("logit_bias", r#""logit\u005fbias" : {"5":1}"#),
                ("model", r#""model":"m""#),
                ("messages", r#""messages":[{"role":"user"}]"#),
                ("n", r#""n":2"#),
            ],
        ),
        (
            GenerateContent,
            r#"{"generation_config":{"top_k": 1 ,"max_output_tokens":2},"contents":[]}"#,
            &[
                (
                    "generationConfig",
                    r#""generation_config":{"top_k": 1 ,"max_output_tokens":2}"#,
                ),
                ("generationConfig.top_k", r#""top_k": 1"#),
                (
                    "generationConfig.maxOutputTokens",
                    r#""max_output_tokens":2"#,
                ),
                ("contents", r#""contents":[]"#),
            ],
        ),
        (
            Converse,
            r#"{"messages":[{"role":"user"}],"inferenceConfig":{"topP":0.5},"x":[]}"#,
            &[
                ("messages", r#""messages":[{"role":"user"}]"#),
                ("inferenceConfig", r#""inferenceConfig":{"topP":0.5}"#),
                ("inferenceConfig.topP", r#""topP":0.5"#),
                ("x", r#""x":[]"#),
            ],
        ),
        (
            OllamaChat,
            r#"{"model":"m","options":{"seed":1}}"#,
            &[
                ("model", r#""model":"m""#),
                ("options", r#""options":{"seed":1}"#),
                ("options.seed", r#""seed":1"#),
            ],
        ),
    ];
    for (endpoint, body, fields) in rows {
        let facts = all(*endpoint, body);
        let read = facts.fields.iter();
        let read: Vec<_> = read
            .map(|field| (field.path.as_str(), &body[field.span.clone()]))
            .collect();
        assert_eq!(read, *fields, "{body}");
    }
}

/// A rule on a field holds however its name is written for a server that is
/// lenient.
#[test]
fn a_field_is_found_by_all_its_names() {
    let body = r#"{"contents":[],"generation_config":{"top_k":1},"Safety_Settings":[]}"#;
    let facts = all(GenerateContent, body);
    for (path, found) in [
        ("generationConfig.topK", true),
        ("generation_config.TOP_K", true),
        ("safetySettings", true),
        ("topK", false),
        ("generationConfig.", false),
        ("", false),
    ] {
        assert_eq!(facts.field(path).is_some(), found, "{path}");
    }
}

#[test]
fn fields_without_number_are_refused() {
    let options = |count: usize| {
        let options: Vec<String> = (0..count).map(|n| format!("\"o{n}\":1")).collect();
        with(
            OllamaChat,
            &format!("\"options\":{{{}}}", options.join(",")),
        )
    };
    // The body's own three stand beside them.
    assert_eq!(
        all(OllamaChat, &options(FIELDS_MAX - 3)).fields.len(),
        FIELDS_MAX
    );
    assert!(read_all(OllamaChat, &options(FIELDS_MAX - 2)).is_err());
    assert!(read(OllamaChat, options(FIELDS_MAX).as_bytes()).is_ok());
    let long = format!("\"options\":{{\"{}\":1}}", "o".repeat(257));
    assert!(read_all(OllamaChat, &with(OllamaChat, &long)).is_err());
}
