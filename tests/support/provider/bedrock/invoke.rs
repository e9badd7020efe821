//! `invoke`: each maker's own form, in JSON or in the frames of an event stream;
//! what it used stands in the form itself, in headers that Bedrock adds, or in
//! the last event.

use super::super::received::Received;
use super::super::speech::{Speech, Stream, TOKEN, Task, pieces, text};
use super::{EVENT_STREAM, frame};
use base64::Engine;
use bytes::Bytes;
use serde_json::{Value, json};

/// Whose form a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    Anthropic,
    /// Says nothing of what it used.
    Cohere,
    Llama,
    Nova,
    Titan,
}

/// The maker of the model that is invoked; `None`: none is.
pub fn maker(call: &Received) -> Option<Maker> {
    let (before, verb) = call.path.rsplit_once('/')?;
    let makers = [
        ("anthropic.", Maker::Anthropic),
        ("cohere.", Maker::Cohere),
        ("meta.llama", Maker::Llama),
        ("amazon.nova", Maker::Nova),
        ("amazon.titan", Maker::Titan),
    ];
    let mut known = makers.iter().filter(|(name, _)| before.contains(name));
    let known = known.next().filter(|_| verb.starts_with("invoke"));
    known.map(|(_, maker)| *maker)
}

/// What Bedrock counted.
pub fn headers(call: &Received) -> Vec<(&'static str, String)> {
    let mut headers = vec![("x-amzn-bedrock-invocation-latency", "1".to_owned())];
    if call.says_usage() {
        let (input, output) = call.bills;
        headers.push(("x-amzn-bedrock-input-token-count", input.to_string()));
        if super::Bedrock.task(call) == Task::Generate {
            headers.push(("x-amzn-bedrock-output-token-count", output.to_string()));
        }
    }
    headers
}

impl Maker {
    pub fn answer(self, call: &Received) -> Value {
        let (input, output) = call.bills;
        let text = text(call);
        let (mut answer, usage) = match self {
            Maker::Anthropic => (
                json!({"id": "msg_x", "type": "message", "role": "assistant", "model": "claude-x",
                    "content": [{"type": "text", "text": text}],
                    "stop_reason": "end_turn", "stop_sequence": null}),
                json!({"usage": {"input_tokens": input, "output_tokens": output}}),
            ),
            Maker::Cohere => (
                json!({"response_id": "x", "text": text, "generation_id": "x", "chat_history": [],
                    "finish_reason": "COMPLETE"}),
                json!({}),
            ),
            Maker::Llama => (
                json!({"generation": text, "stop_reason": "stop"}),
                json!({"prompt_token_count": input, "generation_token_count": output}),
            ),
            Maker::Nova => (
                json!({"output": {"message": {"content": [{"text": text}], "role": "assistant"}},
                    "stopReason": "end_turn"}),
                json!({"usage": {"inputTokens": input, "outputTokens": output,
                    "totalTokens": input + output, "cacheReadInputTokenCount": 0}}),
            ),
            Maker::Titan if super::Bedrock.task(call) == Task::Embed => (
                json!({"embedding": [0.5, 0.25]}),
                json!({"inputTextTokenCount": input}),
            ),
            Maker::Titan => {
                let mut result = json!({"outputText": text, "completionReason": "FINISH"});
                if call.says_usage() {
                    result["tokenCount"] = json!(output);
                }
                (
                    json!({"results": [result]}),
                    json!({"inputTextTokenCount": input}),
                )
            }
        };
        if call.says_usage() {
            extend(&mut answer, usage);
        }
        answer
    }

    pub fn stream(self, call: &Received) -> Stream {
        let (before, token, after) = self.events(call);
        let mut after = after;
        if call.says_usage() {
            let (input, output) = call.bills;
            let metrics = json!({"inputTokenCount": input, "outputTokenCount": output,
                "invocationLatency": 1, "firstByteLatency": 1});
            let last = after.last_mut().unwrap();
            extend(last, json!({"amazon-bedrock-invocationMetrics": metrics}));
        }
        Stream {
            content_type: EVENT_STREAM,
            before: before.iter().map(chunk).collect(),
            tokens: pieces(call, |_| chunk(&token)),
            after: after.iter().map(chunk).collect(),
        }
    }

    /// What comes before the tokens, each token, and what comes after.
    fn events(self, call: &Received) -> (Vec<Value>, Value, Vec<Value>) {
        let (input, output) = call.bills;
        let told = |usage: Value| match call.says_usage() {
            true => usage,
            false => json!({}),
        };
        match self {
            Maker::Anthropic => {
                let mut begun = json!({"id": "msg_x", "type": "message", "role": "assistant",
                    "model": "claude-x", "content": [], "stop_reason": null});
                let usage = json!({"usage": {"input_tokens": input, "output_tokens": 1}});
                extend(&mut begun, told(usage));
                let mut ended = json!({"type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": null}});
                extend(
                    &mut ended,
                    told(json!({"usage": {"output_tokens": output}})),
                );
                (
                    vec![
                        json!({"type": "message_start", "message": begun}),
                        json!({"type": "content_block_start", "index": 0,
                            "content_block": {"type": "text", "text": ""}}),
                    ],
                    json!({"type": "content_block_delta", "index": 0,
                        "delta": {"type": "text_delta", "text": TOKEN}}),
                    vec![
                        json!({"type": "content_block_stop", "index": 0}),
                        ended,
                        json!({"type": "message_stop"}),
                    ],
                )
            }
            Maker::Nova => (
                vec![json!({"messageStart": {"role": "assistant"}})],
                json!({"contentBlockDelta": {"delta": {"text": TOKEN}, "contentBlockIndex": 0}}),
                vec![
                    json!({"contentBlockStop": {"contentBlockIndex": 0}}),
                    json!({"messageStop": {"stopReason": "end_turn"}}),
                    json!({"metadata": told(json!({"usage":
                        {"inputTokens": input, "outputTokens": output}}))}),
                ],
            ),
            Maker::Cohere => (
                vec![json!({"is_finished": false, "event_type": "stream-start"})],
                json!({"is_finished": false, "event_type": "text-generation", "text": TOKEN}),
                vec![json!({"is_finished": true, "event_type": "stream-end",
                    "finish_reason": "COMPLETE", "response": {"text": text(call)}})],
            ),
            Maker::Llama => (
                Vec::new(),
                json!({"generation": TOKEN, "stop_reason": null}),
                vec![json!({"generation": "", "stop_reason": "stop"})],
            ),
            Maker::Titan => (
                Vec::new(),
                json!({"outputText": TOKEN, "index": 0, "completionReason": null}),
                vec![json!({"outputText": "", "index": 0, "completionReason": "FINISH"})],
            ),
        }
    }
}

/// A maker's event in Bedrock's own, padded as Bedrock does it.
fn chunk(event: &Value) -> Bytes {
    let bytes = base64::engine::general_purpose::STANDARD.encode(event.to_string());
    frame("chunk", &json!({"bytes": bytes, "p": "abcdefgh"}))
}

fn extend(object: &mut Value, more: Value) {
    let more = more.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(more);
}
