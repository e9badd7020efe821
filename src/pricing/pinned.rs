//! The price that a call keeps from its admission to its end, whatever becomes
//! of prices meanwhile.
//!
//! It travels with the hold as text, so it holds only what settling needs.

use super::date;
use super::notation;
use super::price::{self, Price, ServiceTier};
use super::schedule::{Dated, Schedule};
use super::used::Used;
use super::{CostPart, Kind};
use crate::units::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// What a call may have that its price differs by. What isn't known to be
/// missing may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct May {
    /// The most input tokens.
    pub input_tokens: u64,
    /// Tokens written to a cache.
    pub write_cache: bool,
    /// For an hour.
    pub write_cache_1h: bool,
    pub read_audio: bool,
    pub read_images: bool,
    /// The tier of service that it asks for; `None`: it leaves that to the
    /// provider.
    pub service_tier: Option<ServiceTier>,
}

/// What a model costs over time, and by which name the ledger knows each price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrice {
    schedule: Schedule,
    /// Of each price, in their order.
    pins: Vec<Pin>,
}

/// What calls at a price keep of it, made once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pin {
    version: Arc<str>,
    whole: Arc<Charged>,
    /// Batches are asked for, not chosen by the provider.
    without_batches: Arc<Charged>,
}

/// A price, and how it is written: each call writes it down before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Charged {
    price: Price,
    text: Box<str>,
}

impl ModelPrice {
    /// `name` says which prices these are: of a catalogue, of a configuration.
    pub fn new(schedule: Schedule, name: &str) -> Self {
        let pin = |dated: &Dated| {
            let version = match dated.from.0 {
                0 => Arc::from(name),
                _ => format!("{name}@{}", date::Written(dated.from)).into(),
            };
            Pin::of(dated, version)
        };
        Self {
            pins: schedule.iter().map(pin).collect(),
            schedule,
        }
    }

    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The price of a call that begins at that time.
    pub fn pin(&self, at: UnixMillis, may: May) -> PinnedPrice {
        let dated = self.schedule.at(at);
        let mut known = self.schedule.iter().zip(&self.pins);
        match known.find(|(known, _)| known.from == dated.from) {
            Some((_, pin)) => pin.price(may),
            None => PinnedPrice::of(dated, Arc::from(""), may),
        }
    }
}

impl Pin {
    fn of(dated: &Dated, version: Arc<str>) -> Self {
        let mut without_batches = dated.price.clone();
        let tiers = &mut without_batches.tiers;
        tiers.retain(|(tier, _)| *tier != ServiceTier::Batch);
        let whole = Arc::new(Charged::new(dated.price.clone()));
        Self {
            version,
            without_batches: match without_batches == whole.price {
                true => Arc::clone(&whole),
                false => Arc::new(Charged::new(without_batches)),
            },
            whole,
        }
    }

    /// Its hold is at the dearest of what the call may meet.
    fn price(&self, may: May) -> PinnedPrice {
        let (input, output) = dearest(&self.whole.price, may);
        let charged = match may.service_tier {
            Some(ServiceTier::Batch) => &self.whole,
            _ => &self.without_batches,
        };
        PinnedPrice {
            charged: Arc::clone(charged),
            input,
            output,
            tier: may.service_tier.unwrap_or_default(),
            version: Arc::clone(&self.version),
        }
    }
}

impl Charged {
    fn new(price: Price) -> Self {
        let text = price.to_string().into();
        Self { price, text }
    }
}

/// A call's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedPrice {
    #[serde(
        rename = "price",
        serialize_with = "write_price",
        deserialize_with = "read_price"
    )]
    charged: Arc<Charged>,
    /// What each input token is held at, in nano-dollars per million.
    input: u64,
    /// The same of each output token.
    output: u64,
    /// The tier that is charged where the provider names none.
    #[serde(
        default,
        skip_serializing_if = "is_standard",
        serialize_with = "write_tier",
        deserialize_with = "read_tier"
    )]
    tier: ServiceTier,
    /// Which price it is, for the ledger.
    version: Arc<str>,
}

impl PinnedPrice {
    /// The price for a call that may have so much. Its hold is at the dearest of
    /// what the call may meet.
    pub fn of(dated: &Dated, version: Arc<str>, may: May) -> Self {
        Pin::of(dated, version).price(may)
    }

    /// As it is written: the price, what input and output tokens are held at, the tier
    /// where it isn't the standard one, the version.
    pub fn parts(&self) -> (&str, u64, u64, Option<&str>, &str) {
        let tier = (!is_standard(&self.tier)).then(|| self.tier.as_str());
        let Self {
            input,
            output,
            version,
            ..
        } = self;
        (&self.charged.text, *input, *output, tier, version)
    }

    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// What is held for a call: no call of so many tokens and searches costs more.
    pub fn hold(&self, input_tokens: u64, output_tokens: u64, searches: u64) -> Vec<CostPart> {
        let search = match searches {
            0 => 0,
            _ => self.dearest_search(),
        };
        let request = self.charged.price.standard.rates.get(Kind::Request);
        price::parts([
            (Kind::Input, input_tokens, self.input),
            (Kind::Output, output_tokens, self.output),
            (
                Kind::Request,
                u64::from(request.is_some()),
                request.unwrap_or(0),
            ),
            (Kind::Search, searches, search),
        ])
    }

    /// The dearest search that the call may meet.
    fn dearest_search(&self) -> u64 {
        let price = &self.charged.price;
        let tiers = price.tiers.iter().map(|(tier, _)| *tier);
        let tiers: Vec<ServiceTier> = tiers.chain([ServiceTier::Standard]).collect();
        let lengths = price.lengths();
        // Nothing is passed at 0, all at the most; each length begins behind it.
        let lengths = lengths.into_iter().chain([u64::MAX]);
        let rates = lengths.flat_map(|length| {
            let of = |tier: &ServiceTier| price.rates(*tier, length).of(Kind::Search);
            tiers.iter().map(of).collect::<Vec<u64>>()
        });
        rates.max().unwrap_or(0)
    }

    /// The tier that a call is charged by which the provider said this of.
    pub fn charged_tier(&self, said: Option<ServiceTier>) -> ServiceTier {
        said.unwrap_or(self.tier)
    }

    /// What was used costs this, in the tier that the provider said.
    pub fn cost(&self, said: Option<ServiceTier>, used: &Used) -> Vec<CostPart> {
        self.charged.price.cost(self.charged_tier(said), used)
    }
}

/// The dearest input and output token that a call may meet.
fn dearest(price: &Price, may: May) -> (u64, u64) {
    let tiers: &[ServiceTier] = match &may.service_tier {
        Some(asked) => std::slice::from_ref(asked),
        // The provider chooses by what the account is set to. Batches have
        // endpoints of their own, and flex is cheaper than standard.
        None => &[ServiceTier::Standard, ServiceTier::Priority],
    };
    let input = [
        (Kind::Input, true),
        (Kind::CachedInput, true),
        (Kind::CacheWrite, may.write_cache),
        (Kind::CacheWrite1h, may.write_cache && may.write_cache_1h),
        (Kind::InputAudio, may.read_audio),
        (Kind::CachedInputAudio, may.read_audio),
        (Kind::InputImage, may.read_images),
        (Kind::CachedInputImage, may.read_images),
    ];
    let output = [
        Kind::Output,
        Kind::Reasoning,
        Kind::OutputAudio,
        Kind::OutputImage,
    ]
    .map(|kind| (kind, true));
    let mut most = (0, 0);
    for tier in tiers {
        // The provider may count fewer tokens, and so meet each shorter length.
        let shorter = price
            .lengths()
            .into_iter()
            .filter(|l| *l < may.input_tokens);
        for length in shorter.chain([may.input_tokens]) {
            let rates = price.rates(*tier, length);
            let rate = |kinds: &[(Kind, bool)]| {
                let met = kinds.iter().filter(|(_, may_be)| *may_be);
                met.map(|(kind, _)| rates.of(*kind)).max()
            };
            most.0 = most.0.max(rate(&input).unwrap_or(0));
            most.1 = most.1.max(rate(&output).unwrap_or(0));
        }
    }
    most
}

fn is_standard(tier: &ServiceTier) -> bool {
    *tier == ServiceTier::Standard
}

fn write_price<S: Serializer>(charged: &Charged, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&charged.text)
}

fn read_price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Charged>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let price = notation::read(&text).map_err(serde::de::Error::custom)?;
    Ok(Arc::new(Charged::new(price)))
}

fn write_tier<S: Serializer>(tier: &ServiceTier, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(tier)
}

fn read_tier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServiceTier, D::Error> {
    let word = String::deserialize(deserializer)?;
    let tier = ServiceTier::of_word(&word);
    tier.ok_or_else(|| serde::de::Error::custom("not a tier of service"))
}
