//! Bedrock's dialect: `converse` and `invoke`, plain and as an AWS event stream.
//!
//! A frame is its length, the length of its headers and a CRC of both; headers
//! and payload; and a CRC of all before it. Source: the Smithy specification,
//! "Amazon Event Stream Specification".

mod invoke;

use super::received::Received;
use super::speech::{Speech, Stream, TOKEN, Task, pieces, text};
use bytes::Bytes;
use serde_json::{Value, json};

pub struct Bedrock;

impl Speech for Bedrock {
    fn task(&self, call: &Received) -> Task {
        match call.path.contains("-embed-") {
            true => Task::Embed,
            false => Task::Generate,
        }
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["messages", "system", "prompt", "inputText", "message"]
    }

    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value> {
        let body = &call.body;
        vec![
            &body["inferenceConfig"]["maxTokens"],
            &body["inferenceConfig"]["max_new_tokens"],
            &body["textGenerationConfig"]["maxTokenCount"],
            &body["max_tokens"],
            &body["max_gen_len"],
        ]
    }

    fn answer(&self, call: &Received) -> Value {
        if let Some(maker) = invoke::maker(call) {
            return maker.answer(call);
        }
        let message = json!({"role": "assistant", "content": [{"text": text(call)}]});
        let mut answer = json!({"output": {"message": message}, "stopReason": "end_turn",
            "metrics": {"latencyMs": 1}});
        if call.says_usage() {
            answer["usage"] = usage(call);
        }
        answer
    }

    fn headers(&self, call: &Received) -> Vec<(&'static str, String)> {
        match invoke::maker(call) {
            Some(_) => invoke::headers(call),
            None => Vec::new(),
        }
    }

    fn stream(&self, call: &Received) -> Option<Stream> {
        if call.path.ends_with("/invoke-with-response-stream") {
            return invoke::maker(call).map(|maker| maker.stream(call));
        }
        if !call.path.ends_with("/converse-stream") {
            return None;
        }
        let mut metadata = json!({"metrics": {"latencyMs": 1}, "p": "abcdefgh"});
        if call.says_usage() {
            metadata["usage"] = usage(call);
        }
        Some(Stream {
            content_type: EVENT_STREAM,
            before: vec![frame("messageStart", &json!({"role": "assistant"}))],
            tokens: pieces(call, |_| {
                frame(
                    "contentBlockDelta",
                    &json!({"contentBlockIndex": 0, "delta": {"text": TOKEN}, "p": "abc"}),
                )
            }),
            after: vec![
                frame("contentBlockStop", &json!({"contentBlockIndex": 0})),
                frame("messageStop", &json!({"stopReason": "end_turn"})),
                frame("metadata", &metadata),
            ],
        })
    }

    fn error(&self, _: u16) -> Value {
        json!({"message": "made to fail"})
    }
}

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

fn usage(call: &Received) -> Value {
    let (input, output) = call.bills;
    json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output})
}

/// A header's value is a string.
const STRING: u8 = 7;

fn frame(kind: &str, payload: &Value) -> Bytes {
    let mut headers = Vec::new();
    for (name, value) in [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(STRING);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(12 + headers.len() + payload.len() + 4));
    frame.extend_from_slice(&length(headers.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.into()
}
