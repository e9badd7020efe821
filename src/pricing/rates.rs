//! What each kind costs, and what stands in where one has no price.

use super::Kind;

/// Prices in nano-dollars per million units: of tokens, and of calls and
/// searches alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates([Option<u64>; Kind::ALL.len()]);

/// What a rate is for so many units of.
pub const PER_UNITS: u64 = 1_000_000;

/// The largest rate: a million dollars for a million tokens. Far above every
/// price there is, so that what is larger is a slip of the pen.
pub const RATE_MAX: u64 = 1_000_000_000_000_000;

/// The largest rate of calls and searches: ten thousand dollars for one.
pub const EACH_RATE_MAX: u64 = 10_000_000_000_000 * PER_UNITS;

impl Kind {
    /// The kind whose price counts where this one has none; `None`: it costs
    /// nothing by itself then.
    pub fn stands_in(self) -> Option<Kind> {
        match self {
            Kind::CachedInput | Kind::CacheWrite | Kind::InputAudio | Kind::InputImage => {
                Some(Kind::Input)
            }
            Kind::CacheWrite1h => Some(Kind::CacheWrite),
            Kind::CachedInputAudio | Kind::CachedInputImage => Some(Kind::CachedInput),
            Kind::Reasoning | Kind::OutputAudio | Kind::OutputImage => Some(Kind::Output),
            Kind::Input | Kind::Output | Kind::Request | Kind::Search => None,
        }
    }

    /// Whether its price is written for one unit, not for a million.
    pub fn is_priced_each(self) -> bool {
        matches!(self, Kind::Request | Kind::Search)
    }

    /// The largest rate that it may have.
    pub fn rate_max(self) -> u64 {
        match self.is_priced_each() {
            true => EACH_RATE_MAX,
            false => RATE_MAX,
        }
    }

    /// The kind of that word.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Rates {
    /// The kind's own price.
    pub fn get(&self, kind: Kind) -> Option<u64> {
        self.0.get(kind as usize).copied().flatten()
    }

    pub fn set(&mut self, kind: Kind, rate: u64) {
        if let Some(place) = self.0.get_mut(kind as usize) {
            *place = Some(rate);
        }
    }

    /// The kind that its units are charged as: itself, or what stands in.
    pub fn charged_as(&self, kind: Kind) -> Kind {
        let mut kind = kind;
        while let (None, Some(other)) = (self.get(kind), kind.stands_in()) {
            kind = other;
        }
        kind
    }

    /// What its units cost.
    pub fn of(&self, kind: Kind) -> u64 {
        self.get(self.charged_as(kind)).unwrap_or(0)
    }

    /// The kinds that have a price of their own, in order.
    pub fn said(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, self.get(kind)?)))
    }

    pub fn is_empty(&self) -> bool {
        self.said().next().is_none()
    }

    /// These where they say something, else those of `below`.
    pub fn over(&self, below: &Rates) -> Rates {
        let mut rates = *below;
        for (kind, rate) in self.said() {
            rates.set(kind, rate);
        }
        rates
    }

    /// Of each kind the dearer.
    pub fn dearer(&self, other: &Rates) -> Rates {
        let mut rates = *self;
        for (kind, rate) in other.said() {
            rates.set(kind, rate.max(self.get(kind).unwrap_or(0)));
        }
        rates
    }

    /// Only what `kinds` says something of.
    fn within(&self, other: &Rates) -> Rates {
        let mut rates = Rates::default();
        for (kind, rate) in self.said().filter(|(kind, _)| other.get(*kind).is_some()) {
            rates.set(kind, rate);
        }
        rates
    }

    /// What these come to where a call is so long that `longer` holds, in a tier
    /// that says nothing of long calls: the dearer of the two.
    pub(super) fn lengthened(&self, longer: &Rates) -> Rates {
        longer.dearer(&self.within(longer)).over(self)
    }
}

impl FromIterator<(Kind, u64)> for Rates {
    fn from_iter<I: IntoIterator<Item = (Kind, u64)>>(rates: I) -> Self {
        let mut all = Rates::default();
        for (kind, rate) in rates {
            all.set(kind, rate);
        }
        all
    }
}
