//! Ollama's dialect: chat, completion and embedding. It streams one object a
//! line, unless it is told not to.

use super::received::Received;
use super::speech::{Speech, Stream, TOKEN, Task, pieces, text};
use bytes::Bytes;
use serde_json::{Value, json};

pub struct Ollama;

impl Speech for Ollama {
    fn task(&self, call: &Received) -> Task {
        match call.path.ends_with("/embed") {
            true => Task::Embed,
            false => Task::Generate,
        }
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["messages", "prompt", "system", "input"]
    }

    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value> {
        vec![&call.body["options"]["num_predict"]]
    }

    fn answer(&self, call: &Received) -> Value {
        if self.task(call) == Task::Embed {
            let count = call.body["input"].as_array().map_or(1, Vec::len);
            let mut answer = json!({"model": call.body["model"],
                "embeddings": vec![[0.5, 0.25]; count], "total_duration": 1});
            if call.says_usage() {
                answer["prompt_eval_count"] = json!(call.bills.0);
            }
            return answer;
        }
        ended(call, &text(call))
    }

    fn stream(&self, call: &Received) -> Option<Stream> {
        if call.body["stream"] == false || self.task(call) == Task::Embed {
            return None;
        }
        Some(Stream {
            content_type: "application/x-ndjson",
            before: Vec::new(),
            tokens: pieces(call, |_| line(&said(call, TOKEN))),
            after: vec![line(&ended(call, ""))],
        })
    }

    fn error(&self, _: u16) -> Value {
        json!({"error": "made to fail"})
    }
}

fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

fn said(call: &Received, text: &str) -> Value {
    let mut said =
        json!({"model": call.body["model"], "created_at": "2025-01-01T00:00:00Z", "done": false});
    match call.path.ends_with("/chat") {
        true => said["message"] = json!({"role": "assistant", "content": text}),
        false => said["response"] = json!(text),
    }
    said
}

/// The last object, with what was used.
fn ended(call: &Received, text: &str) -> Value {
    let mut end = said(call, text);
    end["done"] = json!(true);
    end["done_reason"] = json!("stop");
    if call.says_usage() {
        let (input, output) = call.bills;
        end["prompt_eval_count"] = json!(input);
        end["eval_count"] = json!(output);
        end["total_duration"] = json!(1);
    }
    end
}
