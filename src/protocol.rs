//! What a provider's bytes mean: requests and answers, without I/O.
//!
//! A request body becomes [`CallFacts`], an answer's bytes become an
//! [`Answer`] with its [`Usage`]. Nothing here knows Envoy, limits or money.
//!
//! Always holds: what is read here is what the provider would read. A body
//! that two parsers could read in two ways is refused.
//!
//! To add a dialect: one folder beside `openai/`, its rows in [`endpoint`], its
//! form in [`refusal`] and, if it has them, its headers in [`rate_headers`].

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
pub mod multipart;
pub mod ollama;
pub mod openai;
pub mod rate_headers;
pub mod refusal;
pub mod request;
pub mod service_tier;
pub mod sse;

pub use endpoint::{Dialect, Endpoint};
use request::CapField;

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
    /// Where a cap is written if the client set none.
    pub cap_field: CapField,
    /// How many answers the cap applies to: `n` (or `best_of`, if larger)
    /// times the number of prompts. At least 1.
    pub answers: u64,
    /// The larger of `n` and `best_of`. At least 1.
    pub choices: u64,
    /// The separate prompts, each of which is answered. At least 1.
    pub prompts: u64,
    /// Every text that the model will read, in order.
    pub texts: Vec<TextSpan>,
    /// Some of them are JSON as it stands, which the provider renders in its
    /// own way.
    pub has_raw_json: bool,
    /// Messages of a chat, and how many of them carry a name.
    pub messages: u64,
    pub names: u64,
    /// Tools that are defined.
    pub tools: u64,
    /// The model is told to think, which Claude reads a text of its own for.
    pub thinks: bool,
    /// Prompt tokens that came as token ids.
    pub token_ids: u64,
    pub images: Vec<Image>,
    /// There is input that weir isn't shown: a file by its name, an earlier
    /// answer, a recording.
    pub unseen_input: bool,
    /// How many pictures, at most, are among what weir isn't shown.
    pub unseen_images: u64,
    /// A text that the model reads anew with each of so many others.
    pub repeated: Option<(TextSpan, u64)>,
    /// The tier of service that is asked for, if it is one that is known.
    pub service_tier: Option<&'static str>,
    /// The most searches of the web that the provider may make and bill for it;
    /// where nothing bounds them, [`request::SEARCHES_GUESSED`]; never more than
    /// [`request::SEARCHES_MAX`].
    pub searches: u64,
    /// The tools that it defines, by name: a function by its own, one of the
    /// provider's by its type without a date (`web_search`) or as Gemini calls it
    /// (`googleSearch`). Empty unless asked for by [`request::Wants`], as are the
    /// next two.
    pub tool_names: Vec<String>,
    /// What the client says of its call: names and values, both short texts.
    pub metadata: Vec<(String, String)>,
    /// Every field of the body, and of the objects in it that weir may add to.
    pub fields: Vec<FieldSpan>,
    /// Where edits would go.
    pub anchors: Anchors,
}

/// A cap on the output as the request gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputMax {
    pub tokens: u64,
    /// The number's bytes in the body.
    pub span: Range<usize>,
    /// The field that it stands in.
    pub name: &'static str,
    /// That field's name in the body, without its quotes; of a member of an object
    /// the object's.
    pub key: Range<usize>,
}

/// A JSON string's content in the body, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSpan {
    pub span: Range<usize>,
    /// Whether it holds escapes; where not, the bytes are the text.
    pub escaped: bool,
}

/// An image of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its base64 in the body; `None` where it is elsewhere.
    pub data: Option<Range<usize>>,
    pub detail: Detail,
}

/// How closely a model is asked to look at an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    #[default]
    Unsaid,
    Low,
    High,
}

/// The places in a body where edits go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchors {
    /// The body is a form, whose values stand as they are, not as JSON.
    pub form: bool,
    pub model: ModelPlace,
    /// The numbers that say how many answers are asked for: `n`, `best_of` and
    /// their like.
    pub choices: Vec<Choices>,
    /// Just behind the opening brace of the whole body, and whether nothing
    /// else stands in it.
    pub open: usize,
    pub empty: bool,
    /// The value of the output cap's field, where it stood there and said that
    /// there is none: (field name, span of `null`).
    pub output_null: Vec<(&'static str, Range<usize>)>,
    /// The objects that an output cap may be a member of, by name.
    pub cap_objects: Vec<(&'static str, Slot)>,
    pub stream_options: Slot,
    /// The value of `stream_options.include_usage`.
    pub include_usage: Option<Range<usize>>,
}

/// Where a body names its model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ModelPlace {
    /// Nowhere, nor does the path.
    #[default]
    Nowhere,
    /// The path alone does.
    Path,
    /// In this JSON string, with its quotes, behind a prefix; or in this `null`.
    Json {
        span: Range<usize>,
        prefix: &'static str,
    },
    /// In this text of a form's part.
    Raw(Range<usize>),
    /// In several places, or in none that could be added to.
    Fixed,
}

/// A number of answers as the request gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    pub count: u64,
    /// The number's bytes in the body.
    pub span: Range<usize>,
}

/// A field of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSpan {
    /// Its name, behind that of the object it is in: `logit_bias`,
    /// `generationConfig.topK`. A field that weir knows goes by its usual name,
    /// however the client spelt it.
    pub path: String,
    /// The object that it is in; `None`: the body itself.
    pub object: Option<&'static str>,
    /// From its name through its value, without any comma; of a form the whole
    /// part, with the boundary before it.
    pub span: Range<usize>,
}

/// A field of the body that holds an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Slot {
    #[default]
    Absent,
    /// Present but `null`: the span of `null`.
    Null(Range<usize>),
    /// The place behind its brace, and whether it has no members.
    Object { open: usize, empty: bool },
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
    /// Those kept for an hour included.
    pub cache_write_tokens: Option<u64>,
    /// Part of `cache_write_tokens`.
    pub cache_write_1h_tokens: Option<u64>,
    /// Of the input, sound; without what was cached, where that is told apart.
    pub input_audio_tokens: Option<u64>,
    /// Of the input, images; without what was cached, where that is told apart.
    pub input_image_tokens: Option<u64>,
    /// Of the cached input, sound.
    pub cached_input_audio_tokens: Option<u64>,
    /// Of the cached input, images.
    pub cached_input_image_tokens: Option<u64>,
    /// All produced tokens, reasoning included.
    pub output_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    pub output_audio_tokens: Option<u64>,
    pub output_image_tokens: Option<u64>,
    /// Searches of the web that the provider made and counts.
    pub searches: Option<u64>,
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
    /// Searches of the web that the answer itself shows; in `usage` too, where
    /// that came.
    pub searches: Option<u64>,
    /// The tier of service that the provider says it served in, by
    /// [`service_tier::known`].
    pub service_tier: Option<&'static str>,
    /// The answer came to its own end (JSON whole, or the stream's end marker).
    pub complete: bool,
    /// The answer itself says that it failed.
    pub failed: bool,
    /// A bound was passed or bytes made no sense: what is known is a lower
    /// bound.
    pub unreadable: bool,
}
