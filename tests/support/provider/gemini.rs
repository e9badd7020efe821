//! Gemini's dialect: `generateContent`, `streamGenerateContent` as events or as
//! an array, embeddings, and counting tokens.

use super::received::Received;
use super::speech::{self, Speech, Stream, TOKEN, Task, text};
use bytes::Bytes;
use serde_json::{Value, json};

pub struct Gemini;

impl Speech for Gemini {
    fn task(&self, call: &Received) -> Task {
        match verb(call) {
            "embedContent" | "batchEmbedContents" => Task::Embed,
            "countTokens" => Task::CountTokens,
            _ => Task::Generate,
        }
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["contents", "systemInstruction", "content", "requests"]
    }

    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value> {
        vec![&call.body["generationConfig"]["maxOutputTokens"]]
    }

    fn answer(&self, call: &Received) -> Value {
        let vector = json!({"values": [0.5, 0.25]});
        let mut answer = match verb(call) {
            "countTokens" => return json!({"totalTokens": speech::input_tokens(call)}),
            "embedContent" => json!({"embedding": vector}),
            "batchEmbedContents" => {
                let count = call.body["requests"].as_array().map_or(0, Vec::len);
                json!({"embeddings": vec![vector; count]})
            }
            _ => return response(call, &text(call), Some("STOP"), call.bills.1),
        };
        if call.says_usage() {
            answer["usageMetadata"] = json!({"promptTokenCount": call.bills.0});
        }
        answer
    }

    /// Each chunk brings the usage so far; the last one has no text.
    fn stream(&self, call: &Received) -> Option<Stream> {
        if verb(call) != "streamGenerateContent" {
            return None;
        }
        let sse = call.query.split('&').any(|pair| pair == "alt=sse");
        let output = call.bills.1;
        let framed = |chunk: &Value, first: bool, end: &str| -> Bytes {
            match (sse, first) {
                (true, _) => format!("data: {chunk}\r\n\r\n").into(),
                (false, true) => format!("[{chunk}{end}").into(),
                (false, false) => format!(",\r\n{chunk}{end}").into(),
            }
        };
        let tokens = (1..=output).map(|nth| {
            let chunk = response(call, TOKEN, None, nth);
            framed(&chunk, nth == 1, "")
        });
        let end = response(call, "", Some("STOP"), output);
        Some(Stream {
            content_type: match sse {
                true => "text/event-stream",
                false => "application/json; charset=UTF-8",
            },
            before: Vec::new(),
            tokens: tokens.collect(),
            after: vec![framed(&end, output == 0, "]")],
        })
    }

    fn error(&self, status: u16) -> Value {
        json!({"error": {"code": status, "message": "made to fail", "status": "INTERNAL"}})
    }
}

/// What is asked of the model.
fn verb(call: &Received) -> &str {
    call.path.rsplit(':').next().unwrap_or("")
}

fn model(call: &Received) -> &str {
    let name = call.path.rsplit('/').next().unwrap_or("");
    name.split(':').next().unwrap_or("")
}

/// `output`: tokens so far.
fn response(call: &Received, text: &str, finish: Option<&str>, output: u64) -> Value {
    let input = call.bills.0;
    let mut candidate =
        json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    let mut response = json!({"candidates": [candidate],
        "modelVersion": model(call), "responseId": "x"});
    if call.says_usage() {
        response["usageMetadata"] = json!({"promptTokenCount": input,
            "candidatesTokenCount": output, "totalTokenCount": input + output});
    }
    response
}
