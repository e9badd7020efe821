//! What a call's usage costs: prices over time, and the names they go by.
//!
//! A [`price::Price`] says what each [`Kind`] costs, by tier of service and by
//! the length of a call; a [`schedule::Schedule`] which price holds when; a
//! [`catalogue::Catalogue`] has the schedules of many models, which [`names`]
//! finds. A call keeps its price from its admission on, as a
//! [`pinned::PinnedPrice`].
//!
//! Always holds: money is a whole number of nano-dollars, and the cost of a call
//! is the sum of its parts. Integers alone; nothing overflows or panics.
//!
//! Left to others: what a provider's words for usage mean (`protocol`), which
//! price a configuration means (`config`).

pub mod catalogue;
pub mod date;
pub mod import;
pub mod names;
pub mod notation;
pub mod pinned;
pub mod price;
pub mod rates;
pub mod schedule;
pub mod used;

pub use catalogue::Catalogue;
pub use pinned::{May, ModelPrice, PinnedPrice};
pub use price::{Price, ServiceTier, cost_nanos, total_nanos};
pub use rates::Rates;
pub use schedule::{Dated, Schedule};
pub use used::Used;

use serde::{Deserialize, Serialize};

/// What is priced by itself. No unit is in two kinds: cached tokens are not
/// counted as input again, nor reasoning as output where it has a price of its
/// own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Tokens of the prompt that are of no other kind.
    Input,
    /// Tokens of the prompt that were read from the provider's cache.
    CachedInput,
    /// Tokens of the prompt that were written to it, for minutes.
    CacheWrite,
    /// Tokens of the prompt that were written to it, for an hour.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    /// Tokens of sound in the prompt.
    InputAudio,
    /// Tokens of images in the prompt.
    InputImage,
    /// Produced tokens that are of no other kind.
    Output,
    /// Produced tokens that nobody is shown.
    Reasoning,
    /// Produced tokens of sound.
    OutputAudio,
    /// Produced tokens of images.
    OutputImage,
    /// Calls.
    Request,
    /// Searches of the web.
    Search,
    /// Tokens of sound in the prompt that were read from the provider's cache.
    CachedInputAudio,
    /// Tokens of images in the prompt that were read from it.
    CachedInputImage,
}

/// What one kind cost a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostPart {
    pub kind: Kind,
    /// Tokens, calls or searches.
    pub units: u64,
    pub cost_nanos: u64,
}

impl Kind {
    pub const ALL: [Kind; 14] = [
        Kind::Input,
        Kind::CachedInput,
        Kind::CacheWrite,
        Kind::CacheWrite1h,
        Kind::InputAudio,
        Kind::InputImage,
        Kind::Output,
        Kind::Reasoning,
        Kind::OutputAudio,
        Kind::OutputImage,
        Kind::Request,
        Kind::Search,
        Kind::CachedInputAudio,
        Kind::CachedInputImage,
    ];

    /// Its word in configuration, catalogue and ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::CachedInput => "cached_input",
            Kind::CacheWrite => "cache_write",
            Kind::CacheWrite1h => "cache_write_1h",
            Kind::InputAudio => "input_audio",
            Kind::InputImage => "input_image",
            Kind::Output => "output",
            Kind::Reasoning => "reasoning",
            Kind::OutputAudio => "output_audio",
            Kind::OutputImage => "output_image",
            Kind::Request => "request",
            Kind::Search => "search",
            Kind::CachedInputAudio => "cached_input_audio",
            Kind::CachedInputImage => "cached_input_image",
        }
    }
}

#[cfg(test)]
mod tests;
