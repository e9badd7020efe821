//! What isn't a chat: pictures, recordings, speech, moderations, and documents
//! by rank.

use super::super::received::Received;
use super::super::speech::{Stream, TOKEN, pieces, text};
use bytes::Bytes;
use serde_json::{Value, json};

/// Whether it answers with sound alone, which says nothing of what it used.
pub fn is_silent(call: &Received) -> bool {
    call.path.ends_with("/audio/speech") && call.body["stream_format"] != "sse"
}

pub fn sound(call: &Received) -> Option<(&'static str, Bytes)> {
    // No text in any coding.
    let bytes: Vec<u8> = (0..4_000_u32).map(|n| (n * 167 % 251) as u8).collect();
    is_silent(call).then(|| ("audio/mpeg", bytes.into()))
}

/// A whole answer, where the call is one of these.
pub fn answer(call: &Received) -> Option<Value> {
    let ends = |end| call.path.ends_with(end);
    if is_of_pictures(call) {
        Some(json!({"created": 1, "data": [{"b64_json": "aGVsbG8="}], "usage": usage(call)}))
    } else if is_of_recordings(call) {
        Some(json!({"text": text(call), "usage": usage(call)}))
    } else if ends("/moderations") {
        Some(json!({"id": "modr-x", "model": call.body["model"],
            "results": [{"flagged": false, "categories": {}, "category_scores": {}}]}))
    } else if ends("/rerank") {
        Some(json!({"object": "list", "model": call.body["model"],
            "results": [{"index": 0, "relevance_score": 0.5}],
            "usage": {"total_tokens": call.bills.0}}))
    } else {
        None
    }
}

/// An answer in events, where the call is one of these and asks for that.
pub fn stream(call: &Received) -> Option<Stream> {
    let asked = call.body["stream"] == true || call.body["stream"] == "true";
    let (token, after) = if call.body["stream_format"] == "sse" {
        (
            json!({"type": "speech.audio.delta", "audio": "aGVsbG8="}),
            json!({"type": "speech.audio.done", "usage": usage(call)}),
        )
    } else if asked && is_of_pictures(call) {
        let kind = match call.path.ends_with("/edits") {
            true => "image_edit",
            false => "image_generation",
        };
        (
            json!({"type": format!("{kind}.partial_image"), "b64_json": "aGVsbG8=",
                "partial_image_index": 0}),
            json!({"type": format!("{kind}.completed"), "b64_json": "aGVsbG8=",
                "usage": usage(call)}),
        )
    } else if asked && is_of_recordings(call) {
        (
            json!({"type": "transcript.text.delta", "delta": TOKEN}),
            json!({"type": "transcript.text.done", "text": text(call), "usage": usage(call)}),
        )
    } else {
        return None;
    };
    Some(Stream {
        content_type: "text/event-stream; charset=utf-8",
        before: Vec::new(),
        tokens: pieces(call, |_| super::event(&token)),
        after: vec![super::event(&after)],
    })
}

fn is_of_pictures(call: &Received) -> bool {
    call.path.contains("/images/")
}

fn is_of_recordings(call: &Received) -> bool {
    call.path.contains("/audio/tran")
}

fn usage(call: &Received) -> Value {
    let (input, output) = call.bills;
    json!({"type": "tokens", "input_tokens": input, "output_tokens": output,
        "total_tokens": input + output})
}
