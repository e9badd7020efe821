//! Counts and durations for Prometheus.
//!
//! | name | labels | what |
//! |---|---|---|
//! | `weir_calls_total` | `endpoint`, `outcome` | calls that ended, each once |
//! | `weir_refusals_total` | `reason` | calls that weir refused |
//! | `weir_shadow_refusals_total` | | calls let through, by the rate limit service too, that a limit in shadow mode would have refused |
//! | `weir_rate_limit_requests_total` | `code` | requests that the rate limit service answered |
//! | `weir_tokens_total` | `kind`, `known` | tokens of settled calls; the cached and reasoning kinds are parts of the input and the output |
//! | `weir_cost_nanodollars_total` | | what settled calls cost |
//! | `weir_decision_seconds` | | from a request's body, or a request to the rate limit service, to its decision |
//! | `weir_call_seconds` | `endpoint` | from a call's head to its end, calls let through only |
//! | `weir_open_calls` | | streams from Envoy that are open |
//! | `weir_open_holds` | | holds that this process keeps alive |
//! | `weir_unsettled_holds` | | settlements that the counter store has not answered, asked again |
//! | `weir_counter_errors_total` | `kind` | failed operations of the counter store |
//! | `weir_counter_store_away` | | 1 while the counter store is away, in part or whole |
//! | `weir_sidecars` | | sidecars that share the counter store, as far as is known |
//! | `weir_local_admissions_total`, `weir_local_refusals_total` | | decided by this sidecar alone, while the store was away |
//! | `weir_ledger_errors_total` | | calls refused, and events not kept, as the ledger took nothing |
//! | `weir_ledger_rows_total` | `sink` | rows of the ledger that a sink has taken |
//! | `weir_ledger_set_aside_total` | `sink` | rows that a sink will never take, set aside |
//! | `weir_ledger_sink_away` | `sink` | 1 while a sink takes nothing |
//! | `weir_ledger_sink_lag_seconds` | `sink` | how old the oldest row is that a sink has been offered and not taken; 0 where none waits |
//! | `weir_ledger_spool_bytes`, `weir_ledger_spool_bytes_max` | | what the spool has on disk, and `spool_bytes_max`: no call is admitted beyond it |
//! | `weir_ledger_lost_bytes_total` | | bytes of the spool that the disk lost, found at the start |
//! | `weir_key_uses_total` | `kind` | keys presented that are to be used no more: ended, replaced, of the pepper before |
//! | `weir_stored_keys` | | keys that are kept in the ledger's database, as far as is known |
//! | `weir_stored_keys_age_seconds` | | since the database was read for them last |
//! | `weir_approvals_asked_total` | `noted` | calls that asked for approval: to be kept, asked a moment ago already, or not kept as there is no room or nowhere to keep it |
//! | `weir_alerts_total` | `outcome` | alerts raised by this sidecar, or lost as there is no room; sent, failed tries and given up, by webhook |
//! | `weir_spans_lost_total` | `reason` | trace spans that didn't reach the collector |
//! | `weir_config_reloads_total` | `outcome` | readings of the configuration while weir runs, taken and refused |
//! | `weir_config_file_refused` | | 1 while the configuration's file holds what can't be used, so what was before still is |
//! | `weir_config_fields_waiting` | | fields of the configuration that take effect at the next start |
//! | `weir_tls_certificate_expires_in_seconds` | `listener`, `certificate` | until the first of the certificates expires; less than 0 after that; only where TLS is configured |
//! | `weir_tls_files_refused` | `listener` | 1 while files of certificates hold what can't be used, so older ones still are; only where TLS is configured |
//! | `weir_tls_reloads_total` | `listener`, `outcome` | changes of certificates' files, taken and refused |
//! | `weir_tls_handshake_failures_total` | `listener`, `reason` | TLS handshakes that came to nothing |
//! | `weir_part_ready` | `part` | 1 while a part of what `/readyz` tells is as it should be; weir takes calls where all are |
//! | `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds` | | of the process, as Prometheus' own libraries name them; Linux alone |
//! | `weir_build_info` | `version` | always 1 |
//!
//! Labels come from fixed sets: no model, tenant, limit name or path of a
//! caller's making, so the number of series is known when this is compiled.
//! Handles are made ahead, so that recording never makes a series, formats a
//! label or waits for a scrape.

mod alerts;
mod approvals;
mod config;
mod keys;
mod labels;
mod ledger;
mod process;
mod ready;
mod tls;

pub use alerts::AlertOutcome;
pub use approvals::Asked;
pub use config::ConfigMetrics;
pub use labels::{CounterFault, RateLimitCode, Sink, SpanLoss};
pub use tls::{CertificateOf, HandshakeFault, Listener, Reload, TlsMetrics};

use crate::exchange::{UsageEvent, event::Outcome};
use crate::protocol::Endpoint;
use labels::{By, ByTwo, EndpointLabel, KnownLabel, RefusalReason, TokenKind};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use ready::Part;
use std::time::Duration;

/// What [`Metrics::encode`] writes, for the `content-type` of a scrape.
/// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A decision is a few script calls at most.
const DECISION_BUCKETS: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0,
];

/// Answers take from a moment (an embedding) to many minutes (a long stream).
const CALL_BUCKETS: [f64; 13] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: ByTwo<EndpointLabel, Outcome, Counter>,
    refusals: By<RefusalReason, Counter>,
    shadow_refusals: Counter,
    cost: Counter,
    parts: By<Part, Gauge>,
    rate_limit_requests: By<RateLimitCode, Counter>,
    tokens: ByTwo<TokenKind, KnownLabel, Counter>,
    decision_seconds: Histogram,
    call_seconds: By<EndpointLabel, Histogram>,
    open_calls: Gauge,
    open_holds: Gauge,
    unsettled_holds: Gauge,
    counter_errors: By<CounterFault, Counter>,
    counter_store_away: Gauge,
    sidecars: Gauge,
    local_admissions: Counter,
    local_refusals: Counter,
    ledger: ledger::LedgerMetrics,
    keys: keys::KeyMetrics,
    approvals_asked: By<Asked, Counter>,
    alerts: By<AlertOutcome, Counter>,
    spans_lost: By<SpanLoss, Counter>,
    config: ConfigMetrics,
    tls: TlsMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::<process::Process>::default());
        let metrics = registry.sub_registry_with_prefix("weir");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        metrics.register("build", "The build that runs", build);
        Self {
            calls: ByTwo::register(metrics, "calls", "Calls that ended", Counter::default),
            refusals: By::register(
                metrics,
                "refusals",
                "Calls that weir refused",
                Counter::default,
            ),
            shadow_refusals: plain(
                metrics,
                "shadow_refusals",
                "Calls that a limit in shadow mode would have refused",
                Counter::default(),
            ),
            cost: plain(
                metrics,
                "cost_nanodollars",
                "What settled calls cost",
                Counter::default(),
            ),
            parts: By::register(
                metrics,
                "part_ready",
                "Whether a part of the process is as it should be",
                Gauge::default,
            ),
            rate_limit_requests: By::register(
                metrics,
                "rate_limit_requests",
                "Requests that the rate limit service answered",
                Counter::default,
            ),
            tokens: ByTwo::register(
                metrics,
                "tokens",
                "Tokens of settled calls",
                Counter::default,
            ),
            decision_seconds: plain(
                metrics,
                "decision_seconds",
                "From a request's body to its decision",
                Histogram::new(DECISION_BUCKETS),
            ),
            call_seconds: By::register(
                metrics,
                "call_seconds",
                "From a call's head to its end",
                || Histogram::new(CALL_BUCKETS),
            ),
            open_calls: plain(
                metrics,
                "open_calls",
                "Streams from Envoy that are open",
                Gauge::default(),
            ),
            open_holds: plain(
                metrics,
                "open_holds",
                "Holds that this process keeps alive",
                Gauge::default(),
            ),
            unsettled_holds: plain(
                metrics,
                "unsettled_holds",
                "Settlements that the counter store has not answered",
                Gauge::default(),
            ),
            counter_errors: By::register(
                metrics,
                "counter_errors",
                "Failed operations of the counter store",
                Counter::default,
            ),
            counter_store_away: plain(
                metrics,
                "counter_store_away",
                "Whether the counter store is away, in part or whole",
                Gauge::default(),
            ),
            sidecars: plain(
                metrics,
                "sidecars",
                "Sidecars that share the counter store",
                Gauge::default(),
            ),
            local_admissions: plain(
                metrics,
                "local_admissions",
                "Calls that this sidecar admitted alone",
                Counter::default(),
            ),
            local_refusals: plain(
                metrics,
                "local_refusals",
                "Calls that this sidecar refused alone",
                Counter::default(),
            ),
            ledger: ledger::LedgerMetrics::register(metrics),
            keys: keys::KeyMetrics::register(metrics),
            approvals_asked: By::register(
                metrics,
                "approvals_asked",
                "Calls that asked for approval",
                Counter::default,
            ),
            alerts: By::register(
                metrics,
                "alerts",
                "Alerts, by what became of them",
                Counter::default,
            ),
            spans_lost: By::register(
                metrics,
                "spans_lost",
                "Trace spans that did not reach the collector",
                Counter::default,
            ),
            config: ConfigMetrics::register(metrics),
            tls: TlsMetrics::register(metrics),
            registry,
        }
    }

    /// Counts a call that ended. Once for each event.
    pub fn record(&self, event: &UsageEvent) {
        let endpoint = EndpointLabel(event.endpoint.unwrap_or(Endpoint::Other));
        if let Some(calls) = self.calls.get(endpoint, event.outcome) {
            calls.inc();
        }
        if event.outcome == Outcome::Refused {
            let reason = RefusalReason::of(event.refusal.as_deref());
            if let Some(refusals) = self.refusals.get(reason) {
                refusals.inc();
            }
            return;
        }
        if !event.would_refuse.is_empty() {
            self.shadow_refusals.inc();
        }
        self.cost.inc_by(event.cost_nanos.unwrap_or(0));
        let took: Duration = event.ended_at_ms.since(event.started_at_ms).into();
        if let Some(seconds) = self.call_seconds.get(endpoint) {
            seconds.observe(took.as_secs_f64());
        }
        let Some(known) = event.known else {
            return;
        };
        for (kind, tokens) in TokenKind::of(event) {
            if let (Some(tokens), Some(counter)) =
                (tokens, self.tokens.get(kind, KnownLabel(known)))
            {
                counter.inc_by(tokens);
            }
        }
    }

    /// Counts a request to the rate limit service.
    pub fn rate_limited(&self, code: RateLimitCode, shadow_refused: bool) {
        if let Some(requests) = self.rate_limit_requests.get(code) {
            requests.inc();
        }
        if shadow_refused {
            self.shadow_refusals.inc();
        }
    }

    /// How long a call waited for its decision.
    pub fn decided(&self, took: Duration) {
        self.decision_seconds.observe(took.as_secs_f64());
    }

    pub fn call_opened(&self) {
        self.open_calls.inc();
    }

    pub fn call_closed(&self) {
        self.open_calls.dec();
    }

    pub fn open_holds(&self, holds: usize) {
        self.open_holds
            .set(i64::try_from(holds).unwrap_or(i64::MAX));
    }

    pub fn unsettled_holds(&self, holds: usize) {
        self.unsettled_holds
            .set(i64::try_from(holds).unwrap_or(i64::MAX));
    }

    pub fn counter_error(&self, kind: CounterFault) {
        if let Some(errors) = self.counter_errors.get(kind) {
            errors.inc();
        }
    }

    pub fn counter_store_away(&self, away: bool) {
        self.counter_store_away.set(i64::from(away));
    }

    pub fn sidecars(&self, sidecars: u64) {
        self.sidecars
            .set(i64::try_from(sidecars).unwrap_or(i64::MAX));
    }

    pub fn decided_alone(&self, admitted: bool) {
        match admitted {
            true => self.local_admissions.inc(),
            false => self.local_refusals.inc(),
        };
    }

    pub fn spans_lost(&self, reason: SpanLoss, spans: u64) {
        if let Some(lost) = self.spans_lost.get(reason) {
            lost.inc_by(spans);
        }
    }

    pub fn config(&self) -> &ConfigMetrics {
        &self.config
    }

    pub fn tls(&self) -> &TlsMetrics {
        &self.tls
    }

    /// All of it as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn plain<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
