//! What sets a dialect's calls and answers apart, and what all have in common:
//! how words are counted, what is billed.

use super::received::Received;
use super::{anthropic, bedrock, cohere, gemini, ollama, openai};
use bytes::Bytes;
use serde_json::Value;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Generate,
    /// Reads, and produces no tokens.
    Embed,
    /// How many tokens a prompt has; nothing is billed.
    CountTokens,
    /// Billed by something else than tokens, or not at all.
    NoTokens,
}

/// How a dialect's calls are understood and answered.
pub trait Speech: Sync {
    fn task(&self, call: &Received) -> Task;

    /// Where the body holds what the model reads.
    fn prompts(&self) -> &'static [&'static str];

    /// The call's own caps on its output, in each place where one may stand.
    fn caps<'c>(&self, call: &'c Received) -> Vec<&'c Value>;

    /// A whole answer in one JSON object.
    fn answer(&self, call: &Received) -> Value;

    /// A whole answer that isn't JSON: its content type and its bytes.
    fn sound(&self, _: &Received) -> Option<(&'static str, Bytes)> {
        None
    }

    /// Headers of a whole answer, besides its content type.
    fn headers(&self, _: &Received) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The answer in pieces, where the call asks for that.
    fn stream(&self, call: &Received) -> Option<Stream>;

    /// The body of an error.
    fn error(&self, status: u16) -> Value;
}

/// An answer in pieces, each handed to the connection by itself.
pub struct Stream {
    pub content_type: &'static str,
    pub before: Vec<Bytes>,
    /// One for each token.
    pub tokens: Vec<Bytes>,
    pub after: Vec<Bytes>,
}

/// One token.
pub const TOKEN: &str = " apple";

/// Those of as many tokens as the call is billed.
pub fn text(call: &Received) -> String {
    TOKEN.repeat(usize::try_from(call.bills.1).unwrap())
}

/// The same piece for each token, but for the last one.
pub fn pieces(call: &Received, piece: impl Fn(bool) -> Bytes) -> Vec<Bytes> {
    let count = call.bills.1;
    (1..=count).map(|nth| piece(nth == count)).collect()
}

/// Who answers calls to this path.
pub fn of(path: &str) -> &'static dyn Speech {
    let ends = |known: &[&str]| known.iter().any(|end| path.ends_with(end));
    if ends(&["/messages", "/messages/count_tokens"]) {
        &anthropic::Anthropic
    } else if path.contains("/models/") {
        &gemini::Gemini
    } else if path.starts_with("/model/") {
        &bedrock::Bedrock
    } else if ends(&["/api/chat", "/api/generate", "/api/embed"]) {
        &ollama::Ollama
    } else if ends(&["/v1/chat", "/v2/chat", "/v2/embed", "/v2/rerank"]) {
        &cohere::Cohere
    } else {
        &openai::OpenAi
    }
}

/// Input and output that the provider bills for a call.
pub fn bills(call: &Received) -> (u64, u64) {
    let speech = of(&call.path);
    match speech.task(call) {
        Task::CountTokens | Task::NoTokens => (0, 0),
        Task::Embed => (input_tokens(call), 0),
        Task::Generate => {
            let asked = call.number("x-fake-output").unwrap_or(5);
            let caps = speech.caps(call).into_iter().filter_map(Value::as_u64);
            (input_tokens(call), caps.fold(asked, u64::min))
        }
    }
}

/// 7, and one for each word of the prompt.
pub fn input_tokens(call: &Received) -> u64 {
    let prompts = of(&call.path).prompts().iter();
    7 + prompts.map(|name| words(&call.body[name])).sum::<u64>()
}

/// The words of a text, or of the texts in messages, parts and blocks.
fn words(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(items) => items.iter().map(words).sum(),
        Value::Object(fields) => {
            let texts = ["text", "content", "parts"].iter();
            texts.filter_map(|name| fields.get(*name)).map(words).sum()
        }
        _ => 0,
    }
}
