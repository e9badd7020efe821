//! The usage event: one row for every call, and what it is billed from.
//!
//! Written as one line of JSON. Field names are a contract with whoever reads
//! the file: they are only ever added to, and [`SCHEMA`] changes if one must
//! change its meaning. A token count that nobody knows is absent, never 0.
//! No prompt, no answer, no key.

use crate::identity::{Labels, labels};
use crate::limits::HoldId;
use crate::pricing::CostPart;
use crate::protocol::Endpoint;
use crate::units::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The form of this event.
pub const SCHEMA: &str = "weir.usage.v1";

/// How a call ended, as far as money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider said what was used.
    Exact,
    /// What was used had to be counted or taken from the reservation.
    Estimated,
    /// Surely nothing is billed.
    Void,
    /// weir didn't let the call through.
    Refused,
}

/// Where token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// From the provider's answer.
    Provider,
    /// weir counted the texts that went by.
    Counted,
    /// From the reservation: the most that the call could use; or, of a hold
    /// that expired, what it held.
    Reserved,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// weir's own id of the call (a UUIDv7, as 32 hexadecimal digits), which is
    /// the hold's id too. Where two events share one, the first counts: a
    /// counter store that was away may have let a hold expire that another
    /// process told of.
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub id: HoldId,
    pub outcome: Outcome,
    /// The kind of refusal, of a fixed set: `unauthenticated`, `bad_body`, ...;
    /// of a limit its unit: `requests`, `tokens` or `concurrency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Arc<str>>,
    /// The limit that refused the call, by its name in the plan; where it was
    /// none, the kind again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<Arc<str>>,
    /// The limits in shadow mode that would have refused the call, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_refuse: Vec<Arc<str>>,
    /// The request's head reached weir: Unix time in milliseconds.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub started_at_ms: UnixMillis,
    /// The first output passed weir: Unix time in milliseconds.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_time_option",
        deserialize_with = "read_time_option"
    )]
    pub first_token_at_ms: Option<UnixMillis>,
    /// The call was over for weir: Unix time in milliseconds.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub ended_at_ms: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// The name of the key, never the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<str>>,
    /// The words that the key, or who vouches for the caller, has for it.
    #[serde(default, with = "labels", skip_serializing_if = "Option::is_none")]
    pub labels: Option<Arc<Labels>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The form of API that was spoken: `openai`, `anthropic`, `gemini`,
    /// `bedrock`, `cohere` or `ollama`; of a refused call whose endpoint isn't
    /// known, the likeliest.
    pub dialect: Arc<str>,
    /// Who serves the model, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// The model that the call went to, if configuration knows it: what it is
    /// charged as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// The model that the caller asked for, where policy or a name that stands for
    /// several sent the call to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_asked: Option<Arc<str>>,
    /// The model that the provider says served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_served: Option<String>,
    /// The provider's service tier that the call was charged by: `batch`,
    /// `flex`, `priority`; absent where it is the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Arc<str>>,
    pub stream: bool,
    /// The HTTP status the caller got; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Where the call's counts come from; absent where nothing was used. Of
    /// those of the two wholes that `input_known` and `output_known` don't say;
    /// parts of them (cached, reasoning, sound, ...), and searches, are always
    /// the provider's, but for searches of a call that is `reserved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// Where `input_tokens` comes from, where that isn't `known`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_known: Option<Known>,
    /// Where `output_tokens` comes from, where that isn't `known`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_known: Option<Known>,
    /// All prompt tokens, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Part of `input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Part of `input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Part of `cache_write_tokens`: kept for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<u64>,
    /// Part of `input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio_tokens: Option<u64>,
    /// Part of `input_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_image_tokens: Option<u64>,
    /// Part of `cached_input_tokens`, and not of `input_audio_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_audio_tokens: Option<u64>,
    /// Part of `cached_input_tokens`, and not of `input_image_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_image_tokens: Option<u64>,
    /// All produced tokens, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Part of `output_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Part of `output_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio_tokens: Option<u64>,
    /// Part of `output_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_image_tokens: Option<u64>,
    /// Searches of the web that the provider made and bills by their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searches: Option<u64>,
    /// What was reserved: the counted input and the largest possible output, or
    /// where the plan holds that, the expected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_tokens: Option<u64>,
    /// What the used tokens cost, in billionths of a dollar, at the price that
    /// held when the call began; absent where the model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nanos: Option<u64>,
    /// What `cost_nanos` is the sum of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cost_parts: Vec<CostPart>,
    /// The version of the price that it was charged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_version: Option<Arc<str>>,
    /// What policy did to the call, by name, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Arc<str>>,
    /// The answer came from weir's own cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cache_hit: bool,
    pub request_bytes: u64,
    /// The caller's W3C trace context, for linking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Exact => "exact",
            Outcome::Estimated => "estimated",
            Outcome::Void => "void",
            Outcome::Refused => "refused",
        }
    }
}

impl Known {
    pub fn as_str(self) -> &'static str {
        match self {
            Known::Provider => "provider",
            Known::Counted => "counted",
            Known::Reserved => "reserved",
        }
    }
}

impl UsageEvent {
    /// Input and output together: what limits on tokens are charged.
    pub fn total_tokens(&self) -> u64 {
        let input = self.input_tokens.unwrap_or(0);
        input.saturating_add(self.output_tokens.unwrap_or(0))
    }
}

fn write_id<S: Serializer>(id: &HoldId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HoldId, D::Error> {
    let text = String::deserialize(deserializer)?;
    HoldId::parse(&text).ok_or_else(|| serde::de::Error::custom("not an event id"))
}

fn write_time<S: Serializer>(time: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.0)
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
    u64::deserialize(deserializer).map(UnixMillis)
}

fn write_time_option<S: Serializer>(
    time: &Option<UnixMillis>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.0).serialize(serializer)
}

fn read_time_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<UnixMillis>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(UnixMillis))
}
