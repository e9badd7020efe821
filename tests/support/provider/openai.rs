//! OpenAI's dialect: chat completions, completions, embeddings, responses; and
//! pictures, recordings and the rest. The answer to any other path is a
//! completion's.

mod media;

use super::received::Received;
use super::speech::{self, Speech, Stream, TOKEN, Task, pieces, text};
use base64::Engine;
use bytes::Bytes;
use serde_json::{Value, json};

pub struct OpenAi;

impl Speech for OpenAi {
    fn task(&self, call: &Received) -> Task {
        let ends = |end| call.path.ends_with(end);
        if ends("/embeddings") || ends("/rerank") {
            Task::Embed
        } else if ends("/moderations") || media::is_silent(call) {
            Task::NoTokens
        } else if ends("/responses/input_tokens") {
            Task::CountTokens
        } else {
            Task::Generate
        }
    }

    fn prompts(&self) -> &'static [&'static str] {
        &[
            "messages",
            "prompt",
            "input",
            "instructions",
            "query",
            "documents",
        ]
    }

    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value> {
        let fields = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        fields.map(|field| &call.body[field]).to_vec()
    }

    fn answer(&self, call: &Received) -> Value {
        let ends = |end| call.path.ends_with(end);
        let mut answer = if ends("/embeddings") {
            embeddings(call)
        } else if ends("/responses/input_tokens") {
            json!({"object": "response.input_tokens", "input_tokens": speech::input_tokens(call)})
        } else if ends("/responses") {
            response(call, "completed")
        } else if let Some(answer) = media::answer(call) {
            answer
        } else {
            choices(call)
        };
        if !call.says_usage() {
            answer.as_object_mut().unwrap().remove("usage");
        }
        answer
    }

    fn sound(&self, call: &Received) -> Option<(&'static str, Bytes)> {
        media::sound(call)
    }

    fn stream(&self, call: &Received) -> Option<Stream> {
        if let Some(stream) = media::stream(call) {
            return Some(stream);
        }
        if call.body["stream"] != true {
            return None;
        }
        Some(match call.path.ends_with("/responses") {
            true => response_events(call),
            false => chunks(call),
        })
    }

    fn error(&self, _: u16) -> Value {
        json!({"error": {"message": "made to fail", "type": "server_error", "code": null, "param": null}})
    }
}

fn is_chat(call: &Received) -> bool {
    call.path.ends_with("chat/completions")
}

fn usage(call: &Received) -> Value {
    let (input, output) = call.bills;
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn choices(call: &Received) -> Value {
    let (object, choice) = match is_chat(call) {
        true => (
            "chat.completion",
            json!({"index": 0, "message": {"role": "assistant", "content": text(call)}, "finish_reason": "stop"}),
        ),
        false => (
            "text_completion",
            json!({"index": 0, "text": text(call), "finish_reason": "stop"}),
        ),
    };
    json!({"id": "x", "object": object, "created": 1, "model": call.body["model"],
        "choices": [choice], "usage": usage(call)})
}

fn chunks(call: &Received) -> Stream {
    let chat = is_chat(call);
    let model = &call.body["model"];
    let tokens = pieces(call, |last| event(&chunk(chat, model, last)));
    let mut after = Vec::new();
    if call.body["stream_options"]["include_usage"] == true && call.says_usage() {
        after.push(event(
            &json!({"id": "x", "object": "chat.completion.chunk", "model": model, "choices": [], "usage": usage(call)}),
        ));
    }
    after.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Stream {
        content_type: "text/event-stream",
        before: Vec::new(),
        tokens,
        after,
    }
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

fn chunk(chat: bool, model: &Value, last: bool) -> Value {
    let finish = if last { json!("stop") } else { Value::Null };
    if chat {
        json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": [{"index": 0, "delta": {"content": TOKEN}, "finish_reason": finish}]})
    } else {
        json!({"id": "x", "object": "text_completion", "created": 1, "model": model,
            "choices": [{"index": 0, "text": TOKEN, "finish_reason": finish}]})
    }
}

/// One vector for each input, as numbers or as the SDK asks for them.
fn embeddings(call: &Received) -> Value {
    let vector = match call.body["encoding_format"] == "base64" {
        true => {
            let bytes: Vec<u8> = [0.5_f32, 0.25]
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        false => json!([0.5, 0.25]),
    };
    let count = call.body["input"].as_array().map_or(1, Vec::len);
    let data =
        (0..count).map(|index| json!({"object": "embedding", "index": index, "embedding": vector}));
    let input = call.bills.0;
    json!({"object": "list", "model": call.body["model"], "data": data.collect::<Vec<_>>(),
        "usage": {"prompt_tokens": input, "total_tokens": input}})
}

/// A response at this point of its life.
fn response(call: &Received, status: &str) -> Value {
    let done = status == "completed";
    let (input, output) = call.bills;
    let usage = json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input + output,
    });
    json!({"id": "resp_x", "object": "response", "created_at": 1, "status": status, "error": null,
        "incomplete_details": null, "model": call.body["model"], "parallel_tool_calls": true,
        "tool_choice": "auto", "tools": [],
        "output": if done { json!([item(call, status)]) } else { json!([]) },
        "usage": if done { usage } else { Value::Null }})
}

fn item(call: &Received, status: &str) -> Value {
    let content = match status {
        "completed" => json!([part(&text(call))]),
        _ => json!([]),
    };
    json!({"id": "msg_x", "type": "message", "status": status, "role": "assistant", "content": content})
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

/// Every event that OpenAI sends for an answer of text.
fn response_events(call: &Received) -> Stream {
    let at = json!({"item_id": "msg_x", "output_index": 0, "content_index": 0});
    let with = |kind: &str, more: Value| {
        let mut event = json!({"type": kind, "sequence_number": 0});
        for fields in [&at, &more] {
            let fields = fields.as_object().unwrap().clone();
            event.as_object_mut().unwrap().extend(fields);
        }
        named(&event)
    };
    let whole = |kind: &str, response: Value| {
        named(&json!({"type": kind, "sequence_number": 0, "response": response}))
    };
    let mut end = response(call, "completed");
    if !call.says_usage() {
        end["usage"] = Value::Null;
    }
    Stream {
        content_type: "text/event-stream",
        before: vec![
            whole("response.created", response(call, "in_progress")),
            whole("response.in_progress", response(call, "in_progress")),
            with(
                "response.output_item.added",
                json!({"item": item(call, "in_progress")}),
            ),
            with("response.content_part.added", json!({"part": part("")})),
        ],
        tokens: pieces(call, |_| {
            with(
                "response.output_text.delta",
                json!({"delta": TOKEN, "logprobs": []}),
            )
        }),
        after: vec![
            with(
                "response.output_text.done",
                json!({"text": text(call), "logprobs": []}),
            ),
            with(
                "response.content_part.done",
                json!({"part": part(&text(call))}),
            ),
            with(
                "response.output_item.done",
                json!({"item": item(call, "completed")}),
            ),
            whole("response.completed", end),
        ],
    }
}

fn named(event: &Value) -> Bytes {
    let kind = event["type"].as_str().unwrap();
    format!("event: {kind}\ndata: {event}\n\n").into()
}
