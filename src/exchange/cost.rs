//! What a call costs: from what a provider says of its usage to parts of money.

mod again;

pub use again::{Recharge, charged_by, recharge};

use super::event::Known;
use super::open_call::OpenCall;
use crate::policy::Model;
use crate::pricing::{CostPart, May, ServiceTier, Used};
use crate::protocol::{CallFacts, Dialect, Endpoint, Usage};
use crate::units::UnixMillis;
use memchr::memmem::Finder;
use std::sync::{Arc, LazyLock};

// What is looked for in each body, prepared once.
static ESCAPE: LazyLock<Finder> = LazyLock::new(|| Finder::new("\\u00"));
static CACHE_CONTROL: LazyLock<Finder> = LazyLock::new(|| Finder::new("cache_control"));
static CACHE_POINT: LazyLock<Finder> = LazyLock::new(|| Finder::new("cachePoint"));
static FOR_AN_HOUR: LazyLock<Finder> = LazyLock::new(|| Finder::new("\"1h\""));

/// What a call may have that its price differs by, in any tier of service.
pub(super) fn may(endpoint: Endpoint, facts: &CallFacts, body: &[u8], input_tokens: u64) -> May {
    let says = |word: &Finder| word.find(body).is_some();
    // A name in ASCII may be written with such escapes, and no others.
    let is_escaped = says(&ESCAPE);
    let asks_for_cache = match endpoint.dialect() {
        Dialect::Anthropic | Dialect::Bedrock => {
            is_escaped || says(&CACHE_CONTROL) || says(&CACHE_POINT)
        }
        // The others write to their caches unasked.
        _ => true,
    };
    May {
        input_tokens,
        write_cache: asks_for_cache,
        write_cache_1h: is_escaped || says(&FOR_AN_HOUR),
        read_audio: facts.unseen_input,
        read_images: facts.unseen_input || !facts.images.is_empty(),
        service_tier: None,
    }
}

/// The tier that a provider's word means, as far as prices differ by it; `None`
/// where it leaves the choice to the provider.
pub(super) fn tier(word: &str) -> Option<ServiceTier> {
    match word {
        "auto" => None,
        "batch" => Some(ServiceTier::Batch),
        "flex" => Some(ServiceTier::Flex),
        "priority" | "performance" => Some(ServiceTier::Priority),
        // Capacity that was bought has no price by the call.
        _ => Some(ServiceTier::Standard),
    }
}

/// What a provider said was used, for so many requests.
pub fn used(usage: &Usage, requests: u64) -> Used {
    let of = |said: Option<u64>| said.unwrap_or(0);
    Used {
        input: of(usage.input_tokens),
        cached_input: of(usage.cached_input_tokens),
        cached_input_audio: of(usage.cached_input_audio_tokens),
        cached_input_image: of(usage.cached_input_image_tokens),
        cache_write: of(usage.cache_write_tokens),
        cache_write_1h: of(usage.cache_write_1h_tokens),
        input_audio: of(usage.input_audio_tokens),
        input_image: of(usage.input_image_tokens),
        output: of(usage.output_tokens),
        reasoning: of(usage.reasoning_tokens),
        output_audio: of(usage.output_audio_tokens),
        output_image: of(usage.output_image_tokens),
        requests,
        searches: of(usage.searches),
    }
}

/// What an answer costs, and by which price.
pub struct Metered {
    pub parts: Vec<CostPart>,
    pub tier: ServiceTier,
    pub version: Arc<str>,
}

/// What a call is charged by, and what that comes to.
pub(super) struct Charged {
    /// Without a part where nothing was used, or the model has no price.
    pub parts: Vec<CostPart>,
    pub tier: ServiceTier,
    /// Whether there is a cost at all.
    pub is_known: bool,
}

/// What a call costs of which this is known. Of one that may have used all that
/// was asked for, that is the most that it may cost.
pub(super) fn charged(
    call: &OpenCall,
    known: Option<Known>,
    usage: &Usage,
    said_tier: Option<&'static str>,
) -> Charged {
    let said = said_tier.and_then(tier);
    let (Some(known), Some(price)) = (known, &call.price) else {
        return Charged {
            parts: Vec::new(),
            tier: said.unwrap_or_default(),
            is_known: false,
        };
    };
    let used = used(usage, 1);
    let parts = match known {
        Known::Reserved => price.hold(used.input, used.output, used.searches),
        Known::Provider | Known::Counted => price.cost(said, &used),
    };
    Charged {
        parts,
        tier: price.charged_tier(said),
        is_known: true,
    }
}

/// What an answer costs that was read by itself, at this time.
pub fn of_answer(
    model: &Model,
    usage: &Usage,
    said_tier: Option<&'static str>,
    at: UnixMillis,
) -> Option<Metered> {
    let may = May {
        input_tokens: usage.input_tokens.unwrap_or(0),
        write_cache: true,
        write_cache_1h: true,
        read_audio: true,
        read_images: true,
        service_tier: model.service_tier,
    };
    let price = model.price.as_ref()?.pin(at, may);
    let said = said_tier.and_then(tier);
    Some(Metered {
        parts: price.cost(said, &used(usage, 1)),
        tier: price.charged_tier(said),
        version: Arc::clone(price.version()),
    })
}

#[cfg(test)]
mod tests;
