//! Answers with a giant string in them: an image in base64, a long argument of a
//! tool. What stands beside it is read, memory stays small, and the client gets
//! its bytes.

use super::*;
use crate::protocol::Endpoint;
use crate::protocol::event_stream::tests::frame;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a reader holds at most while a giant string passes through a stream.
const STREAM_HELD_BYTES_MAX: usize = 64 << 10;

/// The same of a JSON answer.
const JSON_HELD_BYTES_MAX: usize = 3 << 20;

struct Case {
    name: &'static str,
    endpoint: Endpoint,
    kind: AnswerKind,
    body: Vec<u8>,
    usage: Usage,
    model: Option<&'static str>,
    finish: Option<&'static str>,
    /// Of output text, kept or not.
    text_bytes: u64,
}

/// Base64 of so many KiB.
fn image(kib: usize) -> String {
    "iVBORw0KGgo/+A==".repeat(kib << 6)
}

fn events(all: &[String]) -> Vec<u8> {
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    stream(&all).into_bytes()
}

fn aws(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":message-type", "event")];
    frame(&headers, payload.as_bytes())
}

fn gemini(kind: AnswerKind, kib: usize) -> Case {
    let event = format!(
        r#"{{"candidates":[{{"index":0,"content":{{"parts":[{{"text":"Here: "}},{{"inlineData":{{"mimeType":"image/png","data":"{}"}}}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":7,"candidatesTokenCount":1290,"totalTokenCount":1297}},"modelVersion":"gemini-2.5-flash-image"}}"#,
        image(kib)
    );
    Case {
        name: "gemini, inlineData before usageMetadata",
        endpoint: Endpoint::StreamGenerateContent,
        body: match kind {
            AnswerKind::Sse => events(&[event]),
            _ => format!("[{event}\r\n]").into_bytes(),
        },
        kind,
        usage: tokens(7, 1290),
        model: Some("gemini-2.5-flash-image"),
        finish: Some("STOP"),
        text_bytes: 6,
    }
}

fn openai_images(kib: usize) -> [Case; 2] {
    let usage = r#""usage":{"input_tokens":50,"output_tokens":4160,"total_tokens":4210}"#;
    let image = image(kib);
    let case = |name, kind, body| Case {
        name,
        endpoint: Endpoint::ImageGenerations,
        kind,
        body,
        usage: tokens(50, 4160),
        model: None,
        finish: None,
        text_bytes: 0,
    };
    let streamed = events(&[
        format!(
            r#"{{"type":"image_generation.partial_image","b64_json":"{image}","partial_image_index":0}}"#
        ),
        format!(r#"{{"type":"image_generation.completed","b64_json":"{image}",{usage}}}"#),
    ]);
    let item = format!(r#"{{"b64_json":"{image}"}},"#).repeat(12);
    let whole = format!(r#"{{"created":1,"data":[{item}{{"url":null}}],{usage}}}"#);
    [
        case("images, streamed", AnswerKind::Sse, streamed),
        case("images, twelve of them", AnswerKind::Json, whole.into()),
    ]
}

fn tool_argument(kind: AnswerKind, kib: usize) -> Case {
    let lines = kib << 8;
    let long = r#"\"x\": \n"#.repeat(lines);
    let name = match kind {
        AnswerKind::Sse => "delta",
        _ => "message",
    };
    let body = format!(
        r#"{{"model":"m","choices":[{{"index":0,"{name}":{{"tool_calls":[{{"function":{{"name":"f","arguments":"{long}"}}}}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":3,"completion_tokens":4}}}}"#
    );
    let body = match kind {
        AnswerKind::Sse => events(&[body, "[DONE]".into()]),
        _ => body.into_bytes(),
    };
    Case {
        name: "chat, a tool's argument",
        endpoint: Endpoint::ChatCompletions,
        kind,
        body,
        usage: tokens(3, 4),
        model: Some("m"),
        finish: Some("tool_calls"),
        text_bytes: 6 * lines as u64,
    }
}

fn bedrock(kib: usize) -> [Case; 2] {
    let long = "tool arg".repeat(kib << 7);
    let text_bytes = (kib << 10) as u64;
    let case = |name, endpoint, body, finish, model| Case {
        name,
        endpoint,
        kind: AnswerKind::EventStream,
        body,
        usage: tokens(5, 6),
        model,
        finish: Some(finish),
        text_bytes,
    };
    let converse = [
        aws(
            "contentBlockDelta",
            &format!(r#"{{"delta":{{"toolUse":{{"input":"{long}"}}}},"p":"abc"}}"#),
        ),
        aws("messageStop", r#"{"stopReason":"tool_use"}"#),
        aws(
            "metadata",
            r#"{"usage":{"inputTokens":5,"outputTokens":6}}"#,
        ),
    ];
    let inner = format!(
        r#"{{"type":"message_delta","model":"claude","delta":{{"partial_json":"{long}","stop_reason":"end_turn"}},"usage":{{"input_tokens":5,"output_tokens":6}}}}"#
    );
    let invoke = format!(r#"{{"bytes":"{}","p":"abcdef"}}"#, STANDARD.encode(inner));
    [
        case(
            "converse, a tool's argument",
            Endpoint::ConverseStream,
            converse.concat(),
            "tool_use",
            None,
        ),
        case(
            "invoke, a wrapped event",
            Endpoint::InvokeStream,
            aws("chunk", &invoke),
            "end_turn",
            Some("claude"),
        ),
    ]
}

/// Answers with strings of so many KiB: in streams, and in JSON.
fn cases(stream_kib: usize, json_kib: usize) -> Vec<Case> {
    let mut cases = vec![
        gemini(AnswerKind::Sse, stream_kib),
        gemini(AnswerKind::JsonStream, stream_kib),
        tool_argument(AnswerKind::Sse, stream_kib),
        tool_argument(AnswerKind::Json, json_kib),
    ];
    let [streamed, _] = openai_images(stream_kib);
    let [_, whole] = openai_images(json_kib);
    cases.extend([streamed, whole]);
    cases.extend(bedrock(stream_kib));
    cases
}

/// Reads a case by chunks, and checks all of it.
fn check<'a>(case: &Case, chunks: impl IntoIterator<Item = &'a [u8]>, strip: bool, how: &str) {
    let name = case.name;
    let mut reader = AnswerReader::new(case.endpoint.rules(), case.kind, Encoding::Identity, strip);
    let held_max = match case.kind {
        AnswerKind::Json => JSON_HELD_BYTES_MAX,
        _ => STREAM_HELD_BYTES_MAX,
    };
    let mut seen = Vec::new();
    for chunk in chunks {
        match reader.push(chunk, false) {
            Pass::Unchanged => seen.extend_from_slice(chunk),
            Pass::Replace(bytes) => seen.extend_from_slice(&bytes),
        }
        let held = reader.bytes_held();
        assert!(held <= held_max, "{name}, {how}: {held} bytes held");
    }
    if let Pass::Replace(bytes) = reader.push(b"", true) {
        seen.extend_from_slice(&bytes);
    }
    assert!(seen == case.body, "{name}, {how}: bytes changed");
    let answer = reader.answer();
    assert_eq!(answer.usage, Some(case.usage), "{name}, {how}: {answer:?}");
    assert_eq!(answer.model.as_deref(), case.model, "{name}, {how}");
    assert_eq!(
        answer.finish_reason.as_deref(),
        case.finish,
        "{name}, {how}"
    );
    assert!(answer.complete, "{name}, {how}");
    assert!(!answer.unreadable && !answer.failed, "{name}, {how}");
    let kept = reader.text_len() as u64;
    let all = kept + reader.text_dropped_bytes();
    assert_eq!(all, case.text_bytes, "{name}, {how}");
    assert!(kept >= all.min(6_000), "{name}, {how}: {kept}");
}

#[test]
fn what_stands_beside_a_giant_string_is_read() {
    for case in cases(5 << 10, 3 << 10) {
        check(&case, [case.body.as_slice()], false, "whole");
        check(&case, case.body.chunks(16_384), true, "in chunks");
    }
}

#[test]
fn a_giant_string_may_be_cut_anywhere() {
    for case in cases(32, 1 << 8) {
        let bytes = &case.body;
        let end = bytes.len();
        // Where the event begins, grows long, its string is cut, and it ends.
        let near = |at: usize| at.saturating_sub(3)..(at + 4).min(end);
        let places = [
            0,
            40,
            EVENT_PLAIN_BYTES_MAX,
            12 << 10,
            1 << 20,
            end - 200,
            end - 60,
            end - 4,
        ];
        for at in places.into_iter().flat_map(near) {
            let (a, b) = bytes.split_at(at);
            check(&case, [a, b], true, &format!("cut at {at}"));
        }
        // Byte by byte around the string's front and behind its end.
        let dull = EVENT_PLAIN_BYTES_MAX + 100..end - 600;
        let chunks = bytes[..dull.start]
            .chunks(1)
            .chain([&bytes[dull.clone()]])
            .chain(bytes[dull.end..].chunks(1));
        check(&case, chunks, false, "byte by byte");
        let mut rest = bytes.as_slice();
        let mut state = 7u64;
        let random = std::iter::from_fn(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let size = 1 + (state >> 47) as usize % (bytes.len() / 20);
            let (chunk, behind) = rest.split_at(size.min(rest.len()));
            rest = behind;
            (!chunk.is_empty()).then_some(chunk)
        });
        check(&case, random, true, "at random");
    }
}

#[test]
fn a_giant_text_without_a_usage_is_counted_and_an_image_is_not() {
    let text = "é".repeat(1 << 16);
    let image = image(1 << 10);
    let event = format!(
        r#"{{"choices":[{{"delta":{{"content":"{text}","images":[{{"image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}}}]}}"#
    );
    let reader = sse(&[
        &event,
        r#"{"choices":[{"delta":{"content":"!"},"finish_reason":"stop"}]}"#,
    ]);
    assert!(reader.answer().complete && reader.answer().usage.is_none());
    let counted = reader.text_len() as u64 + reader.text_dropped_bytes();
    assert_eq!(counted, (2 << 16) + 1);
    // An escape stands for three bytes at most.
    let escaped = sse(&[&event.replace('é', "\\u00e9")]);
    let counted = escaped.text_len() as u64 + escaped.text_dropped_bytes();
    assert!((2 << 16..3 << 16).contains(&counted), "{counted}");
}

#[test]
fn a_usage_event_behind_a_giant_one_is_still_removed() {
    let giant = tool_argument(AnswerKind::Sse, 100).body;
    let usage = stream(&[r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9}}"#]);
    let body = [giant.as_slice(), usage.as_bytes(), giant.as_slice()].concat();
    for size in [1 << 12, 1 << 16, 500_011] {
        let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, true);
        let mut seen = Vec::new();
        for chunk in body.chunks(size) {
            match reader.push(chunk, false) {
                Pass::Unchanged => seen.extend_from_slice(chunk),
                Pass::Replace(bytes) => seen.extend_from_slice(&bytes),
            }
        }
        assert!(
            seen == [giant.as_slice(), giant.as_slice()].concat(),
            "{size}"
        );
        assert_eq!(reader.answer().usage, Some(tokens(9, 9)));
    }
}

#[test]
fn an_event_that_is_long_without_long_strings_is_bounded_and_said_to_be_unreadable() {
    let numbers = format!(
        r#"{{"choices":[],"logprobs":[{}1]}}"#,
        "-0.25,".repeat(1 << 20)
    );
    let reader = sse(&[&numbers, r#"{"model":"m"}"#]);
    assert!(reader.answer().unreadable);
    assert_eq!(reader.answer().model.as_deref(), Some("m"));
    let mut reader = AnswerReader::new(&CHOICES, AnswerKind::Sse, Encoding::Identity, false);
    for chunk in stream(&[&numbers]).as_bytes().chunks(1 << 16) {
        reader.push(chunk, false);
        assert!(reader.bytes_held() <= 3 << 20);
    }
}
