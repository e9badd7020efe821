//! What a call used, kind by kind, so that no unit is charged twice.

use super::Kind;
use super::rates::Rates;

/// What a call used, as providers say it: `input` and `output` are wholes, what
/// is named after them are parts of theirs that don't overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    pub input: u64,
    pub cached_input: u64,
    /// Parts of `cached_input`, and not of `input_audio` and `input_image`.
    pub cached_input_audio: u64,
    pub cached_input_image: u64,
    /// Those kept for an hour included.
    pub cache_write: u64,
    /// Part of `cache_write`.
    pub cache_write_1h: u64,
    pub input_audio: u64,
    pub input_image: u64,
    pub output: u64,
    pub reasoning: u64,
    pub output_audio: u64,
    pub output_image: u64,
    pub requests: u64,
    pub searches: u64,
}

/// Units by the kind that they are charged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Units([u64; Kind::ALL.len()]);

impl Units {
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, kind: Kind, units: u64) {
        if let Some(sum) = self.0.get_mut(kind as usize) {
            *sum = sum.saturating_add(units);
        }
    }

    /// Shares a whole out among its parts; what is left is of the `rest`'s kind.
    /// Parts that come to more than the whole end with it.
    fn share(&mut self, rates: &Rates, whole: u64, parts: &[(Kind, u64)], rest: Kind) {
        let mut left = whole;
        for (kind, units) in parts {
            let units = (*units).min(left);
            left -= units;
            self.add(rates.charged_as(*kind), units);
        }
        self.add(rates.charged_as(rest), left);
    }
}

impl Used {
    /// Each unit once, in the kind whose price counts for it. Where parts come to
    /// more than their whole, those go first that usually cost more.
    pub(super) fn units(&self, rates: &Rates) -> Units {
        let mut units = Units::default();
        let hour = self.cache_write_1h.min(self.cache_write);
        let cached = self.cached_input;
        let cached_audio = self.cached_input_audio.min(cached);
        let cached_image = self.cached_input_image.min(cached - cached_audio);
        let input = [
            (Kind::CacheWrite1h, hour),
            (Kind::CacheWrite, self.cache_write - hour),
            (Kind::InputAudio, self.input_audio),
            (Kind::InputImage, self.input_image),
            (Kind::CachedInputAudio, cached_audio),
            (Kind::CachedInputImage, cached_image),
            (Kind::CachedInput, cached - cached_audio - cached_image),
        ];
        units.share(rates, self.input, &input, Kind::Input);
        let output = [
            (Kind::OutputAudio, self.output_audio),
            (Kind::OutputImage, self.output_image),
            (Kind::Reasoning, self.reasoning),
        ];
        units.share(rates, self.output, &output, Kind::Output);
        if rates.get(Kind::Request).is_some() {
            units.add(Kind::Request, self.requests);
        }
        units.add(Kind::Search, self.searches);
        units
    }
}
