//! How often a call may have the provider search.

use super::*;

/// (endpoint, path's model, fields of the body, searches)
const CALLS: &[(Endpoint, Option<&str>, &str, u64)] = &[
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"name":"f","input_schema":{}}]"#,
        0,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3}]"#,
        3,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"max_uses":3,"\u0074ype":"web_sear\u0063h_20250305"}]"#,
        3,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305"}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305","max_uses":null}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305","max_uses":"3"}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305","max_uses":-3}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305","max_uses":2},{"type":"web_search_20260209","max_uses":18446744073709551615}]"#,
        SEARCHES_MAX,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_search_20250305","max_uses":1001}]"#,
        SEARCHES_MAX,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":[{"type":"web_fetch_20250910","max_uses":3}]"#,
        0,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":["web_search"],"max_tool_calls":4"#,
        0,
    ),
    (
        Endpoint::Messages,
        None,
        r#""tools":["{\"type\":\"web_search_20250305\"}"]"#,
        0,
    ),
    (
        Endpoint::Responses,
        None,
        r#""tools":[{"type":"web_search"}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::Responses,
        None,
        r#""tools":[{"type":"web_search_preview"}],"max_tool_calls":4"#,
        4,
    ),
    (
        Endpoint::Responses,
        None,
        r#""max_tool_calls":40,"tools":[{"type":"web_search"},{"type":"function","name":"f"}]"#,
        40,
    ),
    (
        Endpoint::Responses,
        None,
        r#""max_tool_calls":922337203685,"tools":[{"type":"web_search"}]"#,
        SEARCHES_MAX,
    ),
    (
        Endpoint::Responses,
        None,
        r#""max_tool_calls":null,"tools":[{"type":"web_search","max_uses":1}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::Responses,
        None,
        r#""max_tool_calls":4,"tools":[{"type":"file_search"}]"#,
        0,
    ),
    (
        Endpoint::ChatCompletions,
        None,
        r#""web_search_options":{}"#,
        1,
    ),
    (
        Endpoint::ChatCompletions,
        None,
        r#""web_search_options":null"#,
        0,
    ),
    (
        Endpoint::ChatCompletions,
        None,
        r#""tools":[{"type":"web_search"}]"#,
        0,
    ),
    (
        Endpoint::GenerateContent,
        Some("gemini-2.5-pro"),
        r#""tools":[{"googleSearch":{}}]"#,
        1,
    ),
    (
        Endpoint::GenerateContent,
        Some("gemini-1.5-pro"),
        r#""tools":{"google_search_retrieval":{}}"#,
        1,
    ),
    (
        Endpoint::GenerateContent,
        Some("gemini-3-pro"),
        r#""tools":[{"functionDeclarations":[]},{"google_search":{}}]"#,
        SEARCHES_GUESSED,
    ),
    (
        Endpoint::GenerateContent,
        Some("gemini-3-pro"),
        r#""tools":[{"googleSearch":null},{"urlContext":{}}]"#,
        0,
    ),
    (
        Endpoint::GenerateContent,
        Some("gemini-3-pro"),
        r#""tools":null"#,
        0,
    ),
];

fn body(endpoint: Endpoint, more: &str) -> String {
    let asks = match endpoint {
        Endpoint::GenerateContent => r#""contents":[{"parts":[{"text":"hi"}]}]"#,
        Endpoint::Responses => r#""model":"m","input":"hi""#,
        _ => r#""model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#,
    };
    format!("{{{asks},{more}}}")
}

#[test]
fn searches_are_bounded_by_what_the_call_says() {
    for (endpoint, model, more, searches) in CALLS {
        let body = body(*endpoint, more);
        let facts = super::super::read(*endpoint, *model, body.as_bytes(), Wants::default());
        let facts = facts.unwrap_or_else(|error| panic!("{more}: {error}"));
        assert_eq!(facts.searches, *searches, "{more}");
    }
}

/// Servers differ in which of two they read.
#[test]
fn a_bound_that_is_there_twice_is_refused() {
    for (endpoint, more) in [
        (
            Endpoint::Messages,
            r#""tools":[{"type":"web_search_20250305","max_uses":1,"max_uses":9}]"#,
        ),
        (
            Endpoint::Messages,
            r#""tools":[{"type":"web_search_20250305","type":"custom"}]"#,
        ),
        (
            Endpoint::Messages,
            r#""tools":[{"type":"web_search_20250305","max_uses":1,"Max_Uses":9}]"#,
        ),
        (
            Endpoint::Responses,
            r#""max_tool_calls":1,"max_tool_calls":9"#,
        ),
        (
            Endpoint::GenerateContent,
            r#""tools":[{"googleSearch":null,"google_search":{}}]"#,
        ),
    ] {
        let body = body(endpoint, more);
        let model = (endpoint == Endpoint::GenerateContent).then_some("gemini-3-pro");
        let read = super::super::read(endpoint, model, body.as_bytes(), Wants::default());
        assert!(read.is_err(), "{more}");
    }
}
