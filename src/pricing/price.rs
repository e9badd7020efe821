//! The price of a model at one time, and what a call costs by it.
//!
//! Always holds: a call's parts are rounded up once each, to whole
//! nano-dollars; their sum is the cost and never overflows. What crosses a
//! length is charged whole by the price of that length, not its excess alone:
//! both data sets of the catalogue say so of every provider they list.

use super::rates::{PER_UNITS, Rates};
use super::used::Used;
use super::{CostPart, Kind};
use std::fmt;

/// A provider's tier of service, as far as prices differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ServiceTier {
    #[default]
    Standard,
    /// Answers within a day.
    Batch,
    /// Slower, where there is room.
    Flex,
    /// Faster than others.
    Priority,
}

impl ServiceTier {
    pub const ALL: [ServiceTier; 4] = [
        ServiceTier::Standard,
        ServiceTier::Batch,
        ServiceTier::Flex,
        ServiceTier::Priority,
    ];

    /// Its word in configuration, catalogue and ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceTier::Standard => "standard",
            ServiceTier::Batch => "batch",
            ServiceTier::Flex => "flex",
            ServiceTier::Priority => "priority",
        }
    }

    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == word)
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one tier of service costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tariff {
    pub rates: Rates,
    /// Of calls with more input than that, by rising length. What one says
    /// nothing of costs as before.
    pub longer: Vec<Longer>,
}

/// What differs for calls with more input tokens than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Longer {
    pub input_tokens: u64,
    pub rates: Rates,
}

/// What a model costs at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Price {
    pub standard: Tariff,
    /// What differs in other tiers of service, each at most once, in the order
    /// of [`ServiceTier::ALL`].
    pub tiers: Vec<(ServiceTier, Tariff)>,
}

/// The sum of the parts.
pub fn total_nanos(parts: &[CostPart]) -> u64 {
    let costs = parts.iter().map(|part| part.cost_nanos);
    costs.fold(0, u64::saturating_add)
}

/// So many units at a rate, rounded up to whole nano-dollars.
pub fn cost_nanos(units: u64, rate: u64) -> u64 {
    // Two factors below 2^64 stay below 2^128.
    let cost = (u128::from(units) * u128::from(rate)).div_ceil(u128::from(PER_UNITS));
    u64::try_from(cost).unwrap_or(u64::MAX)
}

/// Parts for what has units; their sum stays within a `u64`.
pub(super) fn parts(units: impl IntoIterator<Item = (Kind, u64, u64)>) -> Vec<CostPart> {
    let mut sum: u64 = 0;
    let mut parts = Vec::new();
    for (kind, units, rate) in units {
        if units > 0 {
            let cost_nanos = cost_nanos(units, rate).min(u64::MAX - sum);
            sum += cost_nanos;
            parts.push(CostPart {
                kind,
                units,
                cost_nanos,
            });
        }
    }
    parts
}

impl Tariff {
    /// What differs above this length, to be written.
    pub fn above(&mut self, input_tokens: u64) -> &mut Rates {
        let begins = |longer: &Longer| longer.input_tokens >= input_tokens;
        let place = self.longer.iter().position(begins);
        let place = place.unwrap_or(self.longer.len());
        let next = self.longer.get(place).map(|longer| longer.input_tokens);
        if next != Some(input_tokens) {
            let rates = Rates::default();
            self.longer.insert(
                place,
                Longer {
                    input_tokens,
                    rates,
                },
            );
        }
        &mut self.longer[place].rates
    }

    /// What differs for a call of this length.
    fn passed(&self, input_tokens: u64) -> Rates {
        let passed = self
            .longer
            .iter()
            .take_while(|longer| input_tokens > longer.input_tokens);
        passed.fold(Rates::default(), |rates, longer| longer.rates.over(&rates))
    }
}

impl Price {
    /// One price for all tiers and lengths.
    pub fn of(rates: Rates) -> Self {
        Self {
            standard: Tariff {
                rates,
                longer: Vec::new(),
            },
            tiers: Vec::new(),
        }
    }

    /// Nothing costs anything, said on purpose.
    pub fn free() -> Self {
        Self::of([(Kind::Input, 0), (Kind::Output, 0)].into_iter().collect())
    }

    /// What the tier says of itself; `None`: it costs what the standard one does.
    pub fn tariff(&self, tier: ServiceTier) -> Option<&Tariff> {
        match tier {
            ServiceTier::Standard => Some(&self.standard),
            _ => self
                .tiers
                .iter()
                .find_map(|(known, tariff)| (*known == tier).then_some(tariff)),
        }
    }

    /// What a call costs with so much input, in this tier of service.
    pub fn rates(&self, tier: ServiceTier, input_tokens: u64) -> Rates {
        let longer = self.standard.passed(input_tokens);
        let own = match tier {
            ServiceTier::Standard => None,
            _ => self.tariff(tier),
        };
        match own {
            None => longer.over(&self.standard.rates),
            Some(own) => {
                let rates = own.rates.over(&self.standard.rates);
                let longer = match own.rates.is_empty() {
                    true => longer.over(&rates),
                    false => rates.lengthened(&longer),
                };
                own.passed(input_tokens).over(&longer)
            }
        }
    }

    /// What was used costs this, in this tier of service.
    pub fn cost(&self, tier: ServiceTier, used: &Used) -> Vec<CostPart> {
        let rates = self.rates(tier, used.input);
        let units = used.units(&rates);
        parts(
            Kind::ALL
                .into_iter()
                .map(|kind| (kind, units.of(kind), rates.of(kind))),
        )
    }

    /// All lengths from which something differs.
    pub fn lengths(&self) -> Vec<u64> {
        let others = self.tiers.iter().map(|(_, tariff)| tariff);
        let mut lengths: Vec<u64> = std::iter::once(&self.standard)
            .chain(others)
            .flat_map(|tariff| tariff.longer.iter().map(|longer| longer.input_tokens))
            .collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }
}
