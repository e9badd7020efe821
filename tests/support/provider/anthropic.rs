//! Anthropic's dialect: messages, plain and streamed, and counting tokens.

use super::received::Received;
use super::speech::{self, Speech, Stream, TOKEN, Task, pieces, text};
use bytes::Bytes;
use serde_json::{Value, json};

pub struct Anthropic;

impl Speech for Anthropic {
    fn task(&self, call: &Received) -> Task {
        match call.path.ends_with("/count_tokens") {
            true => Task::CountTokens,
            false => Task::Generate,
        }
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["messages", "system"]
    }

    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value> {
        vec![&call.body["max_tokens"]]
    }

    fn answer(&self, call: &Received) -> Value {
        if self.task(call) == Task::CountTokens {
            return json!({"input_tokens": speech::input_tokens(call)});
        }
        let (input, output) = call.bills;
        let mut answer = message(call);
        answer["content"] = json!([{"type": "text", "text": text(call)}]);
        answer["stop_reason"] = json!("end_turn");
        answer["usage"] = json!({"input_tokens": input, "output_tokens": output});
        without_usage(call, answer)
    }

    fn stream(&self, call: &Received) -> Option<Stream> {
        if call.body["stream"] != true {
            return None;
        }
        let (input, output) = call.bills;
        let mut begun = message(call);
        begun["usage"] = json!({"input_tokens": input, "output_tokens": 1});
        let begun = without_usage(call, begun);
        let ended = json!({"type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": output}});
        let block = json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}});
        Some(Stream {
            content_type: "text/event-stream; charset=utf-8",
            before: vec![
                event(&json!({"type": "message_start", "message": begun})),
                event(&block),
                event(&json!({"type": "ping"})),
            ],
            tokens: pieces(call, |_| {
                event(&json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "text_delta", "text": TOKEN}}))
            }),
            after: vec![
                event(&json!({"type": "content_block_stop", "index": 0})),
                event(&without_usage(call, ended)),
                event(&json!({"type": "message_stop"})),
            ],
        })
    }

    fn error(&self, _: u16) -> Value {
        json!({"type": "error", "error": {"type": "api_error", "message": "made to fail"}, "request_id": "req_x"})
    }
}

/// A message that has only begun.
fn message(call: &Received) -> Value {
    json!({"id": "msg_x", "type": "message", "role": "assistant", "model": call.body["model"],
        "content": [], "stop_reason": null, "stop_sequence": null})
}

fn without_usage(call: &Received, mut value: Value) -> Value {
    if !call.says_usage() {
        value.as_object_mut().unwrap().remove("usage");
    }
    value
}

fn event(value: &Value) -> Bytes {
    let kind = value["type"].as_str().unwrap();
    format!("event: {kind}\ndata: {value}\n\n").into()
}
