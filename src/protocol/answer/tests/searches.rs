//! Searches of the web that answers show without counting them.

use super::*;
use crate::protocol::{gemini, openai};

fn item(kind: &str, status: &str, action: &str) -> String {
    format!(r#"{{"id":"ws_1","type":"{kind}","status":"{status}","action":{action}}}"#)
}

/// (item, searches)
fn items() -> [(String, u64); 8] {
    let search = r#"{"type":"search","query":"weirs","queries":["weirs","dams"]}"#;
    [
        (item("web_search_call", "completed", search), 1),
        (item("web_search_call", "completed", "null"), 1),
        (item("web_search_call", "completed", r#"{"type":"open_page","url":"https://x"}"#), 0),
        (item("web_search_call", "completed", r#"{"type":"find_in_page","pattern":"x"}"#), 0),
        (item("web_search_call", "in_progress", search), 0),
        (item("web_search_call", "failed", search), 0),
        (item("file_search_call", "completed", "null"), 0),
        (r#"{"type":"message","status":"completed","content":[{"type":"output_text","text":"web_search_call"}]}"#.to_owned(), 0),
    ]
}

fn answered(rules: &'static Rules, kind: AnswerKind, text: &str, chunk: usize) -> Answer {
    let mut reader = AnswerReader::new(rules, kind, Encoding::Identity, false);
    for chunk in text.as_bytes().chunks(chunk) {
        reader.push(chunk, false);
    }
    reader.push(b"", true);
    reader.answer().clone()
}

const USAGE: &str = r#""usage":{"input_tokens":10,"output_tokens":5}"#;

#[test]
fn a_response_shows_its_searches_item_by_item() {
    let rules = &openai::answers::RESPONSES;
    for (item, searches) in items() {
        let body = format!(r#"{{"status":"completed","output":[{item},{item}],{USAGE}}}"#);
        let answer = answered(rules, AnswerKind::Json, &body, usize::MAX);
        let shown = (searches > 0).then_some(2 * searches);
        assert_eq!(answer.searches, shown, "{item}");
        assert_eq!(answer.usage.unwrap().searches, shown, "{item}");
    }
}

#[test]
fn a_streamed_response_shows_each_search_once_wherever_it_is_cut() {
    let rules = &openai::answers::RESPONSES;
    let mut events = Vec::new();
    let mut expected = 0;
    for (item, searches) in items() {
        let added = item.replace("completed", "in_progress");
        events.push(format!(
            r#"{{"type":"response.output_item.added","item":{added}}}"#
        ));
        events.push(r#"{"type":"response.web_search_call.completed","item_id":"ws_1"}"#.to_owned());
        events.push(format!(
            r#"{{"type":"response.output_item.done","item":{item}}}"#
        ));
        expected += searches;
    }
    // The whole output again, which counts no second time.
    let all: Vec<String> = items().map(|(item, _)| item).to_vec();
    let all = all.join(",");
    let end = format!(
        r#"{{"type":"response.completed","response":{{"status":"completed","output":[{all}],{USAGE}}}}}"#
    );
    let cut = stream(&events.iter().map(String::as_str).collect::<Vec<_>>());
    events.push(end);
    let whole = stream(&events.iter().map(String::as_str).collect::<Vec<_>>());
    for chunk in [1, 7, 64, usize::MAX] {
        let answer = answered(rules, AnswerKind::Sse, &whole, chunk);
        assert!(answer.complete && !answer.unreadable);
        assert_eq!(answer.usage.unwrap().searches, Some(expected));
        let answer = answered(rules, AnswerKind::Sse, &cut, chunk);
        assert_eq!((answer.usage, answer.searches), (None, Some(expected)));
    }
}

fn grounded(model: &str, queries: &str) -> String {
    format!(
        r#"{{"candidates":[{{"index":0,"content":{{"parts":[{{"text":"x"}}]}},"groundingMetadata":{{"webSearchQueries":{queries},"searchEntryPoint":{{}}}}}}],"modelVersion":"{model}","usageMetadata":{{"promptTokenCount":10,"candidatesTokenCount":5}}}}"#
    )
}

#[test]
fn gemini_is_billed_by_call_or_by_query() {
    let rules = &gemini::answers::GENERATE;
    for (model, queries, searches) in [
        ("gemini-2.5-flash", r#"["a","b","c"]"#, Some(1)),
        ("models/gemini-2.0-flash-001", r#"["a","b"]"#, Some(1)),
        ("gemini-3-pro-preview", r#"["a","b","c"]"#, Some(3)),
        ("gemini-3-pro-preview", r#"["a",""," ",null,7]"#, Some(2)),
        ("gemini-2.5-flash", "[]", None),
        ("gemini-3-pro-preview", "null", None),
        ("gemini-3-pro-preview", r#""a""#, None),
        ("gemini-3-pro-preview", r#"{"a":1}"#, None),
    ] {
        let body = grounded(model, queries);
        let answer = answered(rules, AnswerKind::Json, &body, usize::MAX);
        assert_eq!(
            answer.usage.unwrap().searches,
            searches,
            "{model} {queries}"
        );
        assert!(!answer.unreadable, "{queries}");
    }
    // Chunks tell the same again, or one tells more than those before it.
    let model = "gemini-3-flash-preview";
    let chunks = [r#"["a"]"#, r#"["a","b"]"#, "[]", r#"["a","b"]"#].map(|q| grounded(model, q));
    let text = stream(&chunks.each_ref().map(String::as_str));
    for chunk in [1, 64, usize::MAX] {
        let answer = answered(rules, AnswerKind::Sse, &text, chunk);
        assert_eq!(answer.usage.unwrap().searches, Some(2));
    }
}
