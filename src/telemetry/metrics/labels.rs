//! The labels, and metrics split by them with every series made ahead.

use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, Outcome};
use crate::identity::KeyUse;
use crate::protocol::Endpoint;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry};

/// A label whose values are a fixed set.
pub(super) trait Label: Copy + PartialEq + 'static {
    const NAME: &'static str;
    const ALL: &'static [Self];
    fn value(self) -> &'static str;
}

/// One metric for each value of a label. The sets are small, so a value is
/// looked for by comparing.
#[derive(Debug)]
pub(super) struct By<L, M>(Vec<(L, M)>);

/// One metric for each pair of values of two labels.
#[derive(Debug)]
pub(super) struct ByTwo<A, B, M>(Vec<((A, B), M)>);

type Pairs<const N: usize> = [(&'static str, &'static str); N];

impl<L: Label, M> By<L, M>
where
    M: TypedMetric + Clone,
    Family<Pairs<1>, M, fn() -> M>: Metric,
{
    pub fn register(registry: &mut Registry, name: &str, help: &str, make: fn() -> M) -> Self {
        let family = Family::<Pairs<1>, M, fn() -> M>::new_with_constructor(make);
        let series = L::ALL
            .iter()
            .map(|label| {
                let labels = [(L::NAME, label.value())];
                (*label, family.get_or_create_owned(&labels))
            })
            .collect();
        registry.register(name, help, family);
        Self(series)
    }
}

impl<L: Label, M> By<L, M> {
    /// `None` only for a value that `ALL` forgets.
    pub fn get(&self, label: L) -> Option<&M> {
        let mut series = self.0.iter();
        series
            .find(|(known, _)| *known == label)
            .map(|(_, metric)| metric)
    }
}

impl<A: Label, B: Label, M> ByTwo<A, B, M>
where
    M: TypedMetric + Clone,
    Family<Pairs<2>, M, fn() -> M>: Metric,
{
    pub fn register(registry: &mut Registry, name: &str, help: &str, make: fn() -> M) -> Self {
        let family = Family::<Pairs<2>, M, fn() -> M>::new_with_constructor(make);
        let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(|b| (*a, *b)));
        let series = pairs
            .map(|(a, b)| {
                let labels = [(A::NAME, a.value()), (B::NAME, b.value())];
                ((a, b), family.get_or_create_owned(&labels))
            })
            .collect();
        registry.register(name, help, family);
        Self(series)
    }
}

impl<A: Label, B: Label, M> ByTwo<A, B, M> {
    /// `None` only for a value that `ALL` forgets.
    pub fn get(&self, a: A, b: B) -> Option<&M> {
        let mut series = self.0.iter();
        series
            .find(|(known, _)| *known == (a, b))
            .map(|(_, metric)| metric)
    }
}

/// The endpoint by its path; `other` for a call that had none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndpointLabel(pub Endpoint);

impl Label for EndpointLabel {
    const NAME: &'static str = "endpoint";
    const ALL: &'static [Self] = &{
        let mut all = [Self(Endpoint::Other); Endpoint::ALL.len()];
        let mut at = 0;
        while at < Endpoint::ALL.len() {
            all[at] = Self(Endpoint::ALL[at]);
            at += 1;
        }
        all
    };
    fn value(self) -> &'static str {
        self.0.path()
    }
}

impl Label for Outcome {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Outcome::Exact,
        Outcome::Estimated,
        Outcome::Void,
        Outcome::Refused,
    ];
    fn value(self) -> &'static str {
        self.as_str()
    }
}

/// Where token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownLabel(pub Known);

impl Label for KnownLabel {
    const NAME: &'static str = "known";
    const ALL: &'static [Self] = &[
        Self(Known::Provider),
        Self(Known::Counted),
        Self(Known::Reserved),
    ];
    fn value(self) -> &'static str {
        match self.0 {
            Known::Provider => "provider",
            Known::Counted => "counted",
            Known::Reserved => "reserved",
        }
    }
}

/// Kinds of tokens, as events name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Input,
    CachedInput,
    CacheWrite,
    Output,
    Reasoning,
}

impl TokenKind {
    /// Every kind with what an event says of it.
    pub fn of(event: &UsageEvent) -> [(Self, Option<u64>); 5] {
        [
            (TokenKind::Input, event.input_tokens),
            (TokenKind::CachedInput, event.cached_input_tokens),
            (TokenKind::CacheWrite, event.cache_write_tokens),
            (TokenKind::Output, event.output_tokens),
            (TokenKind::Reasoning, event.reasoning_tokens),
        ]
    }
}

impl Label for TokenKind {
    const NAME: &'static str = "kind";
    const ALL: &'static [Self] = &[
        TokenKind::Input,
        TokenKind::CachedInput,
        TokenKind::CacheWrite,
        TokenKind::Output,
        TokenKind::Reasoning,
    ];
    fn value(self) -> &'static str {
        match self {
            TokenKind::Input => "input",
            TokenKind::CachedInput => "cached_input",
            TokenKind::CacheWrite => "cache_write",
            TokenKind::Output => "output",
            TokenKind::Reasoning => "reasoning",
        }
    }
}

/// Why a call was refused: the event's kind of refusal, never the name that an
/// operator gave a limit, which is no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RefusalReason(&'static str);

impl RefusalReason {
    /// For a kind that this list doesn't know.
    pub const OTHER: Self = Self("other");

    pub fn of(refusal: Option<&str>) -> Self {
        let mut all = Self::ALL.iter().copied();
        all.find(|reason| Some(reason.0) == refusal)
            .unwrap_or(Self::OTHER)
    }
}

impl Label for RefusalReason {
    const NAME: &'static str = "reason";
    /// The fixed names of refusals (`protocol::denial`), units of limits
    /// included.
    const ALL: &'static [Self] = &[
        Self::OTHER,
        Self("requests"),
        Self("input_tokens"),
        Self("output_tokens"),
        Self("tokens"),
        Self("cost"),
        Self("concurrency"),
        Self("unauthenticated"),
        Self("bad_header"),
        Self("unknown_endpoint"),
        Self("method_not_allowed"),
        Self("unsupported_media_type"),
        Self("unsupported_encoding"),
        Self("body_too_large"),
        Self("bad_body"),
        Self("unknown_model"),
        Self("unmetered"),
        Self("limits_unavailable"),
        Self("keys_unavailable"),
        Self("no_plan"),
        Self("key_limits"),
        Self("model_not_allowed"),
        Self("endpoint_not_allowed"),
        Self("address_not_allowed"),
        Self("environment_not_allowed"),
        Self("tool_not_allowed"),
        Self("tier_not_allowed"),
        Self("bad_query"),
        Self("upgrade"),
        Self("malformed_encoding"),
        Self("body_expands"),
        Self("blocked"),
        Self("approval_required"),
        Self("throttled"),
        Self("guardrail"),
    ];
    fn value(self) -> &'static str {
        self.0
    }
}

/// How an operation of the counter store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterFault {
    /// No answer in time: what it did is not known.
    Timeout,
    /// No connection.
    Unreachable,
    /// The store answered with an error.
    Refused,
    /// The store answered with something that makes no sense.
    Malformed,
}

impl Label for CounterFault {
    const NAME: &'static str = "kind";
    const ALL: &'static [Self] = &[
        CounterFault::Timeout,
        CounterFault::Unreachable,
        CounterFault::Refused,
        CounterFault::Malformed,
    ];
    fn value(self) -> &'static str {
        match self {
            CounterFault::Timeout => "timeout",
            CounterFault::Unreachable => "unreachable",
            CounterFault::Refused => "refused",
            CounterFault::Malformed => "malformed",
        }
    }
}

/// Where rows of the ledger go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    Sqlite,
    Postgres,
    File,
    Otlp,
    CloudEvents,
}

impl Sink {
    /// The sink of this name, as it calls itself.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|sink| sink.value() == name)
    }
}

impl Label for Sink {
    const NAME: &'static str = "sink";
    const ALL: &'static [Self] = &[
        Sink::Sqlite,
        Sink::Postgres,
        Sink::File,
        Sink::Otlp,
        Sink::CloudEvents,
    ];
    fn value(self) -> &'static str {
        match self {
            Sink::Sqlite => "sqlite",
            Sink::Postgres => "postgres",
            Sink::File => "file",
            Sink::Otlp => "otlp",
            Sink::CloudEvents => "cloudevents",
        }
    }
}

/// What the rate limit service answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitCode {
    Ok,
    OverLimit,
    /// Neither: a request that can't be counted, or a store that didn't answer.
    Error,
}

impl Label for RateLimitCode {
    const NAME: &'static str = "code";
    const ALL: &'static [Self] = &[
        RateLimitCode::Ok,
        RateLimitCode::OverLimit,
        RateLimitCode::Error,
    ];
    fn value(self) -> &'static str {
        match self {
            RateLimitCode::Ok => "ok",
            RateLimitCode::OverLimit => "over_limit",
            RateLimitCode::Error => "error",
        }
    }
}

impl Label for KeyUse {
    const NAME: &'static str = "kind";
    const ALL: &'static [Self] = &KeyUse::ALL;
    fn value(self) -> &'static str {
        match self {
            KeyUse::Ended => "ended",
            KeyUse::Replaced => "replaced",
            KeyUse::PreviousPepper => "previous_pepper",
        }
    }
}

/// Why a trace span didn't reach the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanLoss {
    /// Spans come faster than the collector takes them.
    QueueFull,
    /// The collector refused them or wasn't there.
    ExportFailed,
}

impl Label for SpanLoss {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[SpanLoss::QueueFull, SpanLoss::ExportFailed];
    fn value(self) -> &'static str {
        match self {
            SpanLoss::QueueFull => "queue_full",
            SpanLoss::ExportFailed => "export_failed",
        }
    }
}
