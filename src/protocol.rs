//! What a provider's bytes mean: requests and answers, without I/O.
//!
//! A request body becomes [`CallFacts`], an answer's bytes become an
//! [`Answer`] with its [`Usage`]. Nothing here knows Envoy, limits or money.
//!
//! Always holds: what is read here is what the provider would read. A body
//! that two parsers could read in two ways is refused.
//!
//! To add a dialect: one folder beside `openai/`, its rows in [`endpoint`].

pub mod answer;
pub mod anthropic;
pub mod bedrock;
pub mod cohere;
pub mod condense;
pub mod denial;
pub mod endpoint;
pub mod event_stream;
pub mod gemini;
pub mod ietf_rate_limit;
pub mod inflate;
pub mod json;
pub mod json_edit;
pub mod json_stream;
pub mod ollama;
pub mod openai;
pub mod sse;

pub use endpoint::{Dialect, Endpoint};

use std::ops::Range;

/// What weir needs to know of a request body. Byte positions are of the body
/// as the client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    pub model: String,
    pub stream: bool,
    /// The client itself asked for the usage of its stream.
    pub include_usage: bool,
    /// The client's own cap on the output of one answer, and which field set
    /// it; `None` where absent or null.
    pub output_max: Option<OutputMax>,
    /// How many answers the cap applies to: `n` (or `best_of`, if larger)
    /// times the number of prompts. At least 1.
    pub answers: u64,
    /// The larger of `n` and `best_of`. At least 1.
    pub choices: u64,
    /// Every text that the model will read, in order.
    pub texts: Vec<TextSpan>,
    /// Messages of a chat, and how many of them carry a name.
    pub messages: u64,
    pub names: u64,
    /// Prompt tokens that came as token ids.
    pub token_ids: u64,
    pub images: u64,
    /// Where edits would go.
    pub anchors: Anchors,
}

/// A cap on the output as the request gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputMax {
    pub tokens: u64,
    /// The number's bytes in the body.
    pub span: Range<usize>,
}

/// A JSON string's content in the body, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSpan {
    pub span: Range<usize>,
    /// Whether it holds escapes; where not, the bytes are the text.
    pub escaped: bool,
}

/// The places in a body where edits go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchors {
    /// Just behind the opening brace of the whole body.
    pub open: usize,
    /// The value `null` of the output cap's field, where it stood there:
    /// (field name, span of `null`).
    pub output_null: Vec<(&'static str, Range<usize>)>,
    pub stream_options: StreamOptions,
}

/// What the body says of `stream_options`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StreamOptions {
    #[default]
    Absent,
    /// Present but `null`: the span of `null`.
    Null(Range<usize>),
    /// An object without `include_usage`: the place behind its brace, and
    /// whether it has members.
    Without { open: usize, empty: bool },
    /// The span of `include_usage`'s value (`true`, `false` or `null`).
    With(Range<usize>),
}

/// Why a request body is refused. The message is for the client and never
/// repeats the client's own text beyond field names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyError {
    pub message: String,
    /// The field at fault, in the provider's notation.
    pub param: Option<String>,
}

impl BodyError {
    /// Of an endpoint whose requests can't be read.
    pub fn unserved() -> Self {
        Self {
            message: "Requests to this endpoint can't be read by this gateway.".into(),
            param: None,
        }
    }
}

/// What a provider reported. `None` is "not said", never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All prompt tokens, cached ones included.
    pub input_tokens: Option<u64>,
    pub cached_input_tokens: Option<u64>,
    pub cache_write_tokens: Option<u64>,
    /// All produced tokens, reasoning included.
    pub output_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
}

/// What has been read of an answer so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The model that served, where said.
    pub model: Option<String>,
    /// The provider's own word for why the first choice ended.
    pub finish_reason: Option<String>,
    /// The last usage that was not null.
    pub usage: Option<Usage>,
    /// The answer came to its own end (JSON whole, or the stream's end marker).
    pub complete: bool,
    /// The answer itself says that it failed.
    pub failed: bool,
    /// A bound was passed or bytes made no sense: what is known is a lower
    /// bound.
    pub unreadable: bool,
}
