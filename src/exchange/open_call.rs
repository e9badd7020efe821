//! What is known of an admitted call: all that settling it needs, wherever
//! that happens.
//!
//! It travels with the hold in the counter store, in the ledger's spool, and from
//! a door to a meter, as JSON. It holds names, numbers and times; never a prompt, an answer or a key.

mod written;

use super::prompt::Basis;
use crate::identity::{Labels, labels};
use crate::limits::HoldId;
use crate::policy::{Estimate, Hold};
use crate::pricing::PinnedPrice;
use crate::protocol::Endpoint;
use crate::tokens::Vocabulary;
use crate::tokens::ratios::Ratio;
use crate::units::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::sync::Arc;

/// A header of the answer, of few names that are known.
pub type ToldHeader = (Cow<'static, str>, String);

/// Room for most calls, which is never moved while it fills.
const JSON_BYTES: usize = 1_024;

/// An admitted call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub id: HoldId,
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub started_at: UnixMillis,
    pub tenant: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    pub key_id: Arc<str>,
    pub plan: Arc<str>,
    #[serde(default, with = "labels", skip_serializing_if = "Option::is_none")]
    pub labels: Option<Arc<Labels>>,
    pub endpoint: Endpoint,
    /// The model that it goes to, and is charged as.
    pub model: Arc<str>,
    /// The model that its caller asked for, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Arc<str>>,
    /// Who serves it, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    pub vocabulary: Vocabulary,
    /// The model's tokens for each of the vocabulary's.
    #[serde(default)]
    pub token_ratio: Ratio,
    /// The model's price when the call began: what it is charged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PinnedPrice>,
    pub stream: bool,
    /// weir asked for the stream's usage; the client did not, and doesn't get it.
    pub strip_usage: bool,
    /// What is held for the input.
    pub input_tokens: u64,
    /// The best estimate of it, where more is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_estimate: Option<u64>,
    /// What the input can teach, where a ratio is learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_basis: Option<Basis>,
    /// What is held besides the input: the most that the call can produce, or
    /// what is expected of it.
    pub output_tokens: u64,
    /// Where its plan holds what is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedOutput>,
    /// Searches that are held: the most that the call may make, or a guess.
    #[serde(default, skip_serializing_if = "is_none")]
    pub searches: u64,
    pub request_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The hold has a part on counters that tenants share.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// The limits in shadow mode that would have refused it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_refuse: Vec<Arc<str>>,
    /// What policy did to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Arc<str>>,
    /// What the headers of the answer tell of limits and of policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_headers: Vec<ToldHeader>,
}

/// What a call that holds the expected output teaches, and could come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedOutput {
    /// The most that the call can produce.
    pub max_tokens: u64,
    /// How many answers it asked for, together.
    pub answers: u64,
    /// What its plan holds.
    pub percentile: u8,
}

impl ExpectedOutput {
    /// Where that is what the plan holds.
    pub fn of(hold: Hold, answers: u64, most: Estimate) -> Option<Self> {
        match hold {
            Hold::Maximum => None,
            Hold::Expected { percentile } => Some(Self {
                max_tokens: most.output_tokens,
                answers,
                percentile,
            }),
        }
    }
}

impl OpenCall {
    /// The model that it names; `None` where nobody read that.
    pub fn known_model(&self) -> Option<Arc<str>> {
        (self.endpoint != Endpoint::Other).then(|| Arc::clone(&self.model))
    }

    /// The best estimate of the input.
    pub fn input_estimate(&self) -> u64 {
        self.input_estimate.unwrap_or(self.input_tokens)
    }

    /// The most that it can produce.
    pub fn output_tokens_max(&self) -> u64 {
        self.expected
            .map_or(self.output_tokens, |expected| expected.max_tokens)
    }

    pub fn estimate(&self) -> Estimate {
        let price = self.price.as_ref();
        Estimate::priced(price, self.input_tokens, self.output_tokens, self.searches)
    }

    pub fn to_json(&self) -> String {
        written::written(self)
    }

    /// Reads what [`OpenCall::to_json`] wrote; `None` where it is anything else.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The same of a call whose price this program can't read, as where a newer
    /// release that knows more kinds began it: the call without a price. Its row
    /// says that it has no cost, and can be re-rated; without a row it would be lost.
    pub fn from_json_unpriced(text: &str) -> Option<Self> {
        let mut call: serde_json::Value = serde_json::from_str(text).ok()?;
        call.as_object_mut()?.remove("price")?;
        serde_json::from_value(call).ok()
    }
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

fn write_id<S: Serializer>(id: &HoldId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HoldId, D::Error> {
    let text = String::deserialize(deserializer)?;
    HoldId::parse(&text).ok_or_else(|| serde::de::Error::custom("not a hold id"))
}

fn write_time<S: Serializer>(time: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.0)
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
    u64::deserialize(deserializer).map(UnixMillis)
}
