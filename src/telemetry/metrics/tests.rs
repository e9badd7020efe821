//! What is counted, and that no series appears later.

use super::*;
use crate::protocol::Endpoint;
use crate::telemetry::tests::event;
use crate::units::Millis;
use serde_json::json;

/// The value of a series as a scrape shows it.
fn value(metrics: &Metrics, series: &str) -> Option<String> {
    let text = metrics.encode();
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(&format!("{series} ")).map(str::to_owned))
}

#[track_caller]
fn assert_value(metrics: &Metrics, series: &str, expected: &str) {
    let found = value(metrics, series);
    assert_eq!(
        found.as_deref(),
        Some(expected),
        "{series} in\n{}",
        metrics.encode()
    );
}

#[test]
fn a_settled_call_is_counted_in_all_its_kinds() {
    let metrics = Metrics::new();
    metrics.record(&event(1, json!({ "cost_nanos": 250 })));
    metrics.record(&event(2, json!({ "outcome": "estimated", "known": "counted", "cost_nanos": 100, "endpoint": "/v1/embeddings", "output_tokens": null })));
    for (series, expected) in [
        (
            r#"weir_calls_total{endpoint="/v1/chat/completions",outcome="exact"}"#,
            "1",
        ),
        (
            r#"weir_calls_total{endpoint="/v1/embeddings",outcome="estimated"}"#,
            "1",
        ),
        (
            r#"weir_calls_total{endpoint="/v1/completions",outcome="exact"}"#,
            "0",
        ),
        ("weir_cost_nanodollars_total", "350"),
        (r#"weir_tokens_total{kind="input",known="provider"}"#, "100"),
        (
            r#"weir_tokens_total{kind="cached_input",known="provider"}"#,
            "40",
        ),
        (r#"weir_tokens_total{kind="output",known="provider"}"#, "7"),
        (r#"weir_tokens_total{kind="input",known="counted"}"#, "100"),
        (r#"weir_tokens_total{kind="output",known="counted"}"#, "0"),
        (
            r#"weir_call_seconds_sum{endpoint="/v1/chat/completions"}"#,
            "2.0",
        ),
        (
            r#"weir_call_seconds_bucket{le="1.0",endpoint="/v1/chat/completions"}"#,
            "0",
        ),
        (
            r#"weir_call_seconds_bucket{le="2.5",endpoint="/v1/chat/completions"}"#,
            "1",
        ),
    ] {
        assert_value(&metrics, series, expected);
    }
}

#[test]
fn a_refused_call_counts_by_its_reason_and_takes_no_time_or_tokens() {
    let metrics = Metrics::new();
    let refused = |by: &str, n| {
        event(
            n,
            json!({ "outcome": "refused", "refusal": by, "refused_by": "x", "endpoint": null }),
        )
    };
    metrics.record(&refused("unauthenticated", 1));
    metrics.record(&refused("requests", 2));
    metrics.record(&refused("of a later release", 3));
    for (series, expected) in [
        (
            r#"weir_calls_total{endpoint="other",outcome="refused"}"#,
            "3",
        ),
        (r#"weir_refusals_total{reason="unauthenticated"}"#, "1"),
        (r#"weir_refusals_total{reason="requests"}"#, "1"),
        (r#"weir_refusals_total{reason="other"}"#, "1"),
        (r#"weir_tokens_total{kind="input",known="provider"}"#, "0"),
        (r#"weir_call_seconds_count{endpoint="other"}"#, "0"),
    ] {
        assert_value(&metrics, series, expected);
    }
}

#[test]
fn every_series_is_there_before_anything_happens_and_none_comes_later() {
    let metrics = Metrics::new();
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    let before = names(&metrics.encode());
    for n in 0..50u8 {
        metrics.record(&event(
            n,
            json!({ "model": format!("model-{n}"), "tenant": format!("tenant-{n}") }),
        ));
        let limit = format!("limit-{n}");
        metrics.record(&event(n, json!({ "outcome": "refused", "refusal": limit })));
        metrics.counter_error(CounterFault::Timeout);
        metrics.spans_lost(SpanLoss::QueueFull, 1);
        metrics.decided(Duration::from_micros(70));
    }
    let mut after = names(&metrics.encode());
    let mut before = before;
    before.sort();
    after.sort();
    assert_eq!(before, after);
    // Each of the endpoints has its calls by outcome and its histogram.
    let most = 215 + Endpoint::ALL.len() * 20;
    assert!(before.len() < most, "{} series", before.len());
}

#[test]
fn what_is_left_of_the_list_is_shown_too() {
    let metrics = Metrics::new();
    metrics.call_opened();
    metrics.call_opened();
    metrics.call_closed();
    metrics.open_holds(3);
    metrics.unsettled_holds(2);
    metrics.ledger_error();
    metrics.ledger_spool(5_000, 70_000);
    metrics.ledger_sink_lag(Sink::Postgres, Millis(61_999));
    metrics.counter_error(CounterFault::Refused);
    metrics.spans_lost(SpanLoss::ExportFailed, 5);
    metrics.decided(Duration::from_micros(70));
    let version = env!("CARGO_PKG_VERSION");
    for (series, expected) in [
        ("weir_open_calls", "1"),
        ("weir_open_holds", "3"),
        ("weir_unsettled_holds", "2"),
        ("weir_ledger_errors_total", "1"),
        ("weir_ledger_spool_bytes", "5000"),
        ("weir_ledger_spool_bytes_max", "70000"),
        (r#"weir_ledger_sink_lag_seconds{sink="postgres"}"#, "61"),
        (r#"weir_ledger_sink_lag_seconds{sink="sqlite"}"#, "0"),
        (r#"weir_counter_errors_total{kind="refused"}"#, "1"),
        (r#"weir_counter_errors_total{kind="timeout"}"#, "0"),
        (r#"weir_spans_lost_total{reason="export_failed"}"#, "5"),
        (r#"weir_decision_seconds_bucket{le="0.00005"}"#, "0"),
        (r#"weir_decision_seconds_bucket{le="0.0001"}"#, "1"),
        (&format!(r#"weir_build_info{{version="{version}"}}"#), "1"),
    ] {
        assert_value(&metrics, series, expected);
    }
    assert!(metrics.encode().ends_with("# EOF\n"));
}

/// Whatever refuses a call has a label of its own.
#[test]
fn every_reason_of_a_refusal_is_told_apart() {
    use crate::protocol::denial::{
        BLOCKED_STATUS, Credential, Denial, EncodingFault, Entitlement, PolicyDenial, PolicyKind,
        RateUnit, Scope,
    };
    let policy = |kind| {
        Denial::Policy(Box::new(PolicyDenial {
            kind,
            rule: "rule".into(),
            message: String::new(),
        }))
    };
    let scopes = [
        Scope::Model,
        Scope::Endpoint,
        Scope::Address,
        Scope::Environment,
        Scope::Plan,
        Scope::Limits,
    ];
    let encodings = [
        EncodingFault::Unsupported,
        EncodingFault::Malformed,
        EncodingFault::Expands,
    ];
    let whats = [
        Entitlement::Model,
        Entitlement::Endpoint,
        Entitlement::Tool,
        Entitlement::Tier,
    ];
    let units = [
        RateUnit::Requests,
        RateUnit::InputTokens,
        RateUnit::OutputTokens,
        RateUnit::Tokens,
        RateUnit::Cost,
        RateUnit::Concurrency,
    ];
    let mut denials = vec![
        Denial::Unauthenticated(Credential::Missing),
        Denial::BadHeader("NUL"),
        Denial::UnknownEndpoint,
        Denial::BadQuery,
        Denial::Upgrade,
        Denial::MethodNotAllowed,
        Denial::UnsupportedMediaType { form: false },
        Denial::BodyTooLarge { bytes_max: 1 },
        Denial::Body(crate::protocol::BodyError {
            message: "no".into(),
            param: None,
        }),
        Denial::UnknownModel,
        Denial::KeysUnavailable,
        Denial::Unmetered,
        Denial::LimitsUnavailable,
        policy(PolicyKind::Blocked {
            status: BLOCKED_STATUS,
            code: None,
        }),
        policy(PolicyKind::NeedsApproval {
            request_id: String::new(),
            approvers: None,
            denied_by: None,
        }),
        policy(PolicyKind::Throttled { retry_after_ms: 1 }),
        policy(PolicyKind::Guardrail { param: None }),
    ];
    denials.extend(scopes.map(Denial::OutOfScope));
    denials.extend(encodings.map(Denial::Encoding));
    denials.extend(whats.map(|what| policy(PolicyKind::NotEntitled { what })));
    let reasons = denials.iter().map(Denial::reason);
    for reason in reasons.chain(units.map(RateUnit::as_str)) {
        let label = RefusalReason::of(Some(reason));
        assert_ne!(label, RefusalReason::OTHER, "{reason}");
    }
}

/// The labels of refusals are those that refusals give themselves.
#[test]
fn unknown_reasons_count_as_limits() {
    assert_eq!(
        RefusalReason::of(Some("bad_body")),
        RefusalReason::of(Some("bad_body"))
    );
    assert_ne!(RefusalReason::of(Some("bad_body")), RefusalReason::OTHER);
    assert_eq!(RefusalReason::of(Some("{}\"\n")), RefusalReason::OTHER);
    assert_eq!(RefusalReason::of(None), RefusalReason::OTHER);
}
