//! What is summed, and by what.

use super::columns::counts;
use crate::exchange::UsageEvent;
use crate::exchange::event::Outcome;

/// What a report sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Calls that were let through, void ones too.
    Calls,
    /// Calls that were refused. They count nowhere else.
    Refused,
    /// Calls of [`Measure::Calls`], void ones aside, without a price.
    Unpriced,
    InputTokens,
    CachedInputTokens,
    CacheWriteTokens,
    CacheWrite1hTokens,
    InputAudioTokens,
    InputImageTokens,
    OutputTokens,
    ReasoningTokens,
    OutputAudioTokens,
    OutputImageTokens,
    Searches,
    /// As the calls were charged.
    CostNanos,
    /// What corrections add to it, or take from it.
    AdjustmentNanos,
}

impl Measure {
    pub const ALL: [Measure; 16] = [
        Measure::Calls,
        Measure::Refused,
        Measure::Unpriced,
        Measure::InputTokens,
        Measure::CachedInputTokens,
        Measure::CacheWriteTokens,
        Measure::CacheWrite1hTokens,
        Measure::InputAudioTokens,
        Measure::InputImageTokens,
        Measure::OutputTokens,
        Measure::ReasoningTokens,
        Measure::OutputAudioTokens,
        Measure::OutputImageTokens,
        Measure::Searches,
        Measure::CostNanos,
        Measure::AdjustmentNanos,
    ];

    /// Its word: the column of a rollup too.
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::Calls => "calls",
            Measure::Refused => "refused",
            Measure::Unpriced => "unpriced",
            Measure::InputTokens => "input_tokens",
            Measure::CachedInputTokens => "cached_input_tokens",
            Measure::CacheWriteTokens => "cache_write_tokens",
            Measure::CacheWrite1hTokens => "cache_write_1h_tokens",
            Measure::InputAudioTokens => "input_audio_tokens",
            Measure::InputImageTokens => "input_image_tokens",
            Measure::OutputTokens => "output_tokens",
            Measure::ReasoningTokens => "reasoning_tokens",
            Measure::OutputAudioTokens => "output_audio_tokens",
            Measure::OutputImageTokens => "output_image_tokens",
            Measure::Searches => "searches",
            Measure::CostNanos => "cost_nanos",
            Measure::AdjustmentNanos => "adjustment_nanos",
        }
    }
}

/// The sum of each measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums([i128; Measure::ALL.len()]);

impl Sums {
    /// One call.
    pub fn of(event: &UsageEvent) -> Self {
        let mut sums = Self::default();
        if event.outcome == Outcome::Refused {
            sums.add(Measure::Refused, 1);
            return sums;
        }
        sums.add(Measure::Calls, 1);
        if event.cost_nanos.is_none() && event.outcome != Outcome::Void {
            sums.add(Measure::Unpriced, 1);
        }
        let kinds = Measure::ALL.iter().skip(Measure::InputTokens as usize);
        for (measure, (count, _)) in kinds.zip(counts(event)) {
            sums.add(*measure, i128::from(count.unwrap_or(0)));
        }
        sums.add(
            Measure::CostNanos,
            i128::from(event.cost_nanos.unwrap_or(0)),
        );
        sums
    }

    /// One correction.
    pub fn of_adjustment(delta_nanos: i64) -> Self {
        let mut sums = Self::default();
        sums.add(Measure::AdjustmentNanos, i128::from(delta_nanos));
        sums
    }

    pub fn get(&self, measure: Measure) -> i128 {
        self.0.get(measure as usize).copied().unwrap_or(0)
    }

    /// Input and output together.
    pub fn total_tokens(&self) -> i128 {
        self.get(Measure::InputTokens)
            .saturating_add(self.get(Measure::OutputTokens))
    }

    /// What the calls cost after corrections.
    pub fn net_nanos(&self) -> i128 {
        self.get(Measure::CostNanos)
            .saturating_add(self.get(Measure::AdjustmentNanos))
    }

    pub fn add(&mut self, measure: Measure, amount: i128) {
        if let Some(sum) = self.0.get_mut(measure as usize) {
            // 2^64 rows of 63 bits each fit.
            *sum = sum.saturating_add(amount);
        }
    }

    pub fn merge(&mut self, other: &Sums) {
        for measure in Measure::ALL {
            self.add(measure, other.get(measure));
        }
    }

    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|sum| *sum == 0)
    }
}

/// What calls can be told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    Tenant,
    Project,
    Environment,
    Plan,
    Model,
    Provider,
    Endpoint,
    Outcome,
    User,
    Key,
    ModelServed,
}

impl Dimension {
    pub const ALL: [Dimension; 11] = [
        Dimension::Tenant,
        Dimension::Project,
        Dimension::Environment,
        Dimension::Plan,
        Dimension::Model,
        Dimension::Provider,
        Dimension::Endpoint,
        Dimension::Outcome,
        Dimension::User,
        Dimension::Key,
        Dimension::ModelServed,
    ];

    /// Those that rollups know: see [`super::rollup`].
    pub const OF_ROLLUPS: [Dimension; 9] = [
        Dimension::Tenant,
        Dimension::Project,
        Dimension::Environment,
        Dimension::Plan,
        Dimension::Model,
        Dimension::Provider,
        Dimension::Endpoint,
        Dimension::Outcome,
        Dimension::ModelServed,
    ];

    /// Its word on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::User => "user",
            Dimension::Key => "key",
            other => other.column(),
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dimension| dimension.as_str() == word)
    }

    /// Its column, of `calls`, `refusals` and `usage_group`.
    pub fn column(self) -> &'static str {
        match self {
            Dimension::Tenant => "tenant",
            Dimension::Project => "project",
            Dimension::Environment => "environment",
            Dimension::Plan => "plan",
            Dimension::Model => "model",
            Dimension::Provider => "provider",
            Dimension::Endpoint => "endpoint",
            Dimension::Outcome => "outcome",
            Dimension::User => "user_name",
            Dimension::Key => "key_id",
            Dimension::ModelServed => "model_served",
        }
    }

    /// Its value in an event.
    pub fn of(self, event: &UsageEvent) -> Option<&str> {
        match self {
            Dimension::Tenant => event.tenant.as_deref(),
            Dimension::Project => event.project.as_deref(),
            Dimension::Environment => event.environment.as_deref(),
            Dimension::Plan => event.plan.as_deref(),
            Dimension::Model => event.model.as_deref(),
            Dimension::Provider => event.provider.as_deref(),
            Dimension::Endpoint => event.endpoint.map(crate::protocol::Endpoint::path),
            Dimension::Outcome => Some(event.outcome.as_str()),
            Dimension::User => event.user.as_deref(),
            Dimension::Key => event.key_id.as_deref(),
            Dimension::ModelServed => event.model_served.as_deref(),
        }
    }
}
