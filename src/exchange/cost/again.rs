//! What a recorded call costs by another price than the one it was charged by.
//!
//! The same arithmetic as of a call that ends, on the row in place of the call.
//! A row doesn't hold all that a charge may hang on: of a call that was charged
//! the most it could use, what its body could ask for ([`May`]); of a batch,
//! whether the call asked for one. Of all charges that such a call may have had
//! by the price, the nearest to what it was charged counts.
//!
//! Always holds: by the price that a call was charged by, it costs the very
//! same.

use super::used;
use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, Outcome};
use crate::pricing::{May, ModelPrice, ServiceTier, Used, total_nanos};
use crate::protocol::Usage;
use std::sync::Arc;

/// What a call costs by a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recharge {
    /// Nothing by any price: it was refused, void, or used nothing.
    Nothing,
    Costs {
        cost_nanos: u64,
        /// Of the price, for the ledger.
        version: Arc<str>,
    },
    /// It was charged in a tier of service that isn't known here.
    UnknownTier,
}

/// What the call costs by the price of its moment.
pub fn recharge(event: &UsageEvent, price: &ModelPrice) -> Recharge {
    let Some(known) = charged_by(event) else {
        return Recharge::Nothing;
    };
    let tier = match event.service_tier.as_deref() {
        None => ServiceTier::Standard,
        Some(word) => match ServiceTier::of_word(word) {
            Some(tier) => tier,
            None => return Recharge::UnknownTier,
        },
    };
    let at = event.started_at_ms;
    let used = used_by(event);
    let mut nearest = Nearest::to(event.cost_nanos);
    let plain = plain(event, tier, &used);
    let pinned = price.pin(at, plain);
    let version = Arc::clone(pinned.version());
    match known {
        Known::Reserved => {
            nearest.see(total_nanos(&pinned.hold(
                used.input,
                used.output,
                used.searches,
            )));
            if !nearest.is_met() {
                let lengths = price.schedule().at(at).price.lengths();
                for may in others(plain, tier, &lengths) {
                    let pinned = price.pin(at, may);
                    nearest.see(total_nanos(&pinned.hold(
                        used.input,
                        used.output,
                        used.searches,
                    )));
                }
            }
        }
        Known::Provider | Known::Counted => {
            nearest.see(total_nanos(&pinned.cost(Some(tier), &used)));
            if tier == ServiceTier::Batch && !nearest.is_met() {
                // The provider said so of a call that didn't ask for it.
                let unasked = May {
                    service_tier: None,
                    ..plain
                };
                let pinned = price.pin(at, unasked);
                nearest.see(total_nanos(&pinned.cost(Some(tier), &used)));
            }
        }
    }
    Recharge::Costs {
        cost_nanos: nearest.found.unwrap_or(0),
        version,
    }
}

/// Where the counts come from that the call is charged by; `None`: it costs
/// nothing by any price.
pub fn charged_by(event: &UsageEvent) -> Option<Known> {
    match event.outcome {
        Outcome::Void | Outcome::Refused => None,
        Outcome::Exact | Outcome::Estimated => event.known,
    }
}

fn used_by(event: &UsageEvent) -> Used {
    let usage = Usage {
        input_tokens: event.input_tokens,
        cached_input_tokens: event.cached_input_tokens,
        cache_write_tokens: event.cache_write_tokens,
        cache_write_1h_tokens: event.cache_write_1h_tokens,
        input_audio_tokens: event.input_audio_tokens,
        input_image_tokens: event.input_image_tokens,
        cached_input_audio_tokens: event.cached_input_audio_tokens,
        cached_input_image_tokens: event.cached_input_image_tokens,
        output_tokens: event.output_tokens,
        reasoning_tokens: event.reasoning_tokens,
        output_audio_tokens: event.output_audio_tokens,
        output_image_tokens: event.output_image_tokens,
        searches: event.searches,
    };
    used(&usage, 1)
}

/// Of text alone, and with no word of its own on caches and tiers: what most
/// calls are, so what counts of one that was charged nothing.
fn plain(event: &UsageEvent, tier: ServiceTier, used: &Used) -> May {
    May {
        input_tokens: used.input,
        // These two write to their caches only where they are asked to.
        write_cache: !matches!(&*event.dialect, "anthropic" | "bedrock"),
        write_cache_1h: false,
        read_audio: false,
        read_images: false,
        service_tier: (tier != ServiceTier::Standard).then_some(tier),
    }
}

/// All else that a call of this tier may have been. Some that was said to be
/// used is more than what was held, so it may have been held at a shorter
/// length.
fn others(plain: May, tier: ServiceTier, lengths: &[u64]) -> impl Iterator<Item = May> {
    let tiers = match tier {
        ServiceTier::Standard => vec![None, Some(tier)],
        _ => vec![Some(tier)],
    };
    let shorter = lengths.iter().copied();
    let shorter = shorter.filter(move |length| *length < plain.input_tokens);
    let lengths: Vec<u64> = shorter.chain([plain.input_tokens]).collect();
    const SWITCHES: u8 = 1 << 4;
    tiers.into_iter().flat_map(move |service_tier| {
        lengths.clone().into_iter().flat_map(move |input_tokens| {
            (0..SWITCHES).map(move |on| May {
                input_tokens,
                write_cache: on & 1 != 0,
                write_cache_1h: on & 2 != 0,
                read_audio: on & 4 != 0,
                read_images: on & 8 != 0,
                service_tier,
            })
        })
    })
}

/// Of some costs the nearest to another; where that isn't known, the first.
struct Nearest {
    charged: Option<u64>,
    found: Option<u64>,
}

impl Nearest {
    fn to(charged: Option<u64>) -> Self {
        Self {
            charged,
            found: None,
        }
    }

    /// Whether there is none nearer.
    fn is_met(&self) -> bool {
        self.charged.is_none() || self.charged == self.found
    }

    fn see(&mut self, cost: u64) {
        let nearer = match (self.charged, self.found) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(charged), Some(found)) => cost.abs_diff(charged) < found.abs_diff(charged),
        };
        if nearer {
            self.found = Some(cost);
        }
    }
}

#[cfg(test)]
mod tests;
