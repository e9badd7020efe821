//! Cohere's dialect: chats of both versions, plain and streamed, embeddings,
//! and documents by rank. What it bills is less than what its model saw, which
//! is what counts.

use super::received::Received;
use super::speech::{Speech, Stream, TOKEN, Task, pieces, text};
use bytes::Bytes;
use serde_json::{Value, json};

pub struct Cohere;

impl Speech for Cohere {
    fn task(&self, call: &Received) -> Task {
        match call.path.rsplit('/').next() {
            Some("embed") => Task::Embed,
            // By the search.
            Some("rerank") => Task::NoTokens,
            _ => Task::Generate,
        }
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["messages", "message", "texts", "inputs"]
    }

    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value> {
        vec![&call.body["max_tokens"]]
    }

    fn answer(&self, call: &Received) -> Value {
        let version = json!({"version": if is_first(call) { "1" } else { "2" }});
        match self.task(call) {
            Task::Embed => {
                let mut meta = json!({"api_version": version});
                if call.says_usage() {
                    meta["billed_units"] = json!({"input_tokens": call.bills.0});
                }
                json!({"id": "x", "texts": call.body["texts"],
                    "embeddings": {"float": [[0.5, 0.25]]},
                    "meta": meta, "response_type": "embeddings_by_type"})
            }
            Task::NoTokens => json!({"id": "x",
                "results": [{"index": 0, "relevance_score": 0.999_071}],
                "meta": {"api_version": version, "billed_units": {"search_units": 1}}}),
            _ if is_first(call) => ended_first(call),
            _ => {
                let content = json!([{"type": "text", "text": text(call)}]);
                let mut answer = json!({"id": "x", "finish_reason": "COMPLETE",
                    "message": {"role": "assistant", "content": content}});
                if call.says_usage() {
                    answer["usage"] = usage(call);
                }
                answer
            }
        }
    }

    fn stream(&self, call: &Received) -> Option<Stream> {
        if call.body["stream"] != true {
            return None;
        }
        Some(match is_first(call) {
            true => lines(call),
            false => events(call),
        })
    }

    fn error(&self, _: u16) -> Value {
        json!({"id": "x", "message": "made to fail"})
    }
}

fn is_first(call: &Received) -> bool {
    call.path.ends_with("/v1/chat")
}

fn usage(call: &Received) -> Value {
    let (input, output) = call.bills;
    json!({
        "billed_units": {"input_tokens": input - 7, "output_tokens": output},
        "tokens": {"input_tokens": input, "output_tokens": output},
    })
}

/// The first version's whole answer.
fn ended_first(call: &Received) -> Value {
    let mut answer = json!({"response_id": "x", "text": text(call), "generation_id": "x",
        "chat_history": [], "finish_reason": "COMPLETE", "meta": {"api_version": {"version": "1"}}});
    if call.says_usage() {
        let usage = usage(call).as_object().unwrap().clone();
        answer["meta"].as_object_mut().unwrap().extend(usage);
    }
    answer
}

fn events(call: &Received) -> Stream {
    let event = |value: &Value| -> Bytes {
        let kind = value["type"].as_str().unwrap();
        format!("event: {kind}\ndata: {value}\n\n").into()
    };
    let begun = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let mut end = json!({"finish_reason": "COMPLETE"});
    if call.says_usage() {
        end["usage"] = usage(call);
    }
    Stream {
        content_type: "text/event-stream",
        before: vec![
            event(&json!({"id": "x", "type": "message-start", "delta": {"message": begun}})),
            event(&json!({"type": "content-start", "index": 0,
                "delta": {"message": {"content": {"type": "text", "text": ""}}}})),
        ],
        tokens: pieces(call, |_| {
            event(&json!({"type": "content-delta", "index": 0,
                "delta": {"message": {"content": {"text": TOKEN}}}}))
        }),
        after: vec![
            event(&json!({"type": "content-end", "index": 0})),
            event(&json!({"type": "message-end", "delta": end})),
            Bytes::from_static(b"data: [DONE]\n\n"),
        ],
    }
}

fn lines(call: &Received) -> Stream {
    let line = |value: Value| -> Bytes { format!("{value}\n").into() };
    Stream {
        content_type: "application/stream+json",
        before: vec![line(
            json!({"is_finished": false, "event_type": "stream-start", "generation_id": "x"}),
        )],
        tokens: pieces(call, |_| {
            line(json!({"is_finished": false, "event_type": "text-generation", "text": TOKEN}))
        }),
        after: vec![line(
            json!({"is_finished": true, "event_type": "stream-end", "finish_reason": "COMPLETE",
                "response": ended_first(call)}),
        )],
    }
}
