//! The service as Envoy sees it, over counters in memory.

use super::*;
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::{Leases, Recorder};
use crate::exchange::Settings;
use crate::limits::period::Period;
use crate::limits::share::OnCounterFailure;
use crate::limits::{Mode, Scope};
use crate::policy::Snapshot;
use crate::policy::descriptors::{Domain, Domains, Entry, Pattern, Rule};
use crate::telemetry::metrics::Metrics;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor;
use envoy_types::pb::google::protobuf::UInt64Value;
use tonic::Code as Grpc;

fn limit(name: &str, amount: u64, every: Millis, mode: Mode) -> Limit {
    Limit {
        name: name.into(),
        scope: Scope::GLOBAL,
        unit: crate::limits::Unit::Requests,
        amount,
        algorithm: Algorithm::FixedWindow {
            period: Arc::new(Period::aligned(every)),
            rollover: None,
        },
        mode,
    }
}

const DAY: Millis = Millis(86_400_000);

/// Users have 3 a day, paths 2 a day in shadow mode, tokens 10 a day told when
/// they were used; hosts are unlimited.
fn service() -> (RateLimits, Arc<Metrics>) {
    let mut domain = Domain::new("edge", Mode::Enforce);
    for (key, limits, on_done) in [
        ("user", vec![limit("users", 3, DAY, Mode::Enforce)], false),
        ("path", vec![limit("paths", 2, DAY, Mode::Shadow)], false),
        ("tokens", vec![limit("used", 10, DAY, Mode::Enforce)], true),
        ("host", vec![], false),
    ] {
        let entry = Entry {
            key: key.into(),
            value: Pattern::Any,
        };
        domain.add(&[entry], Rule::new(limits, on_done));
    }
    let mut domains = Domains::default();
    domains.insert("edge".into(), domain);
    let snapshot = Snapshot {
        domains: Arc::new(domains),
        ..Snapshot::default()
    };
    let settings = Settings {
        body_bytes_max: 1,
        keep_authorization: false,
        trust_ext_authz: false,
        count_checks: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: DAY,
        lease_ttl: DAY,
        handover_max: DAY,
    };
    let metrics = Arc::new(Metrics::new());
    let driver = Driver::new(
        Arc::new(snapshot),
        settings,
        Counters::Memory(Memory::default()),
        Recorder::new(None, Arc::clone(&metrics), None),
        Leases::default(),
        OnCounterFailure::Deny,
    );
    (RateLimits { driver }, metrics)
}

fn descriptor(key: &str, value: &str) -> RateLimitDescriptor {
    RateLimitDescriptor {
        entries: vec![rate_limit_descriptor::Entry {
            key: key.to_owned(),
            value: value.to_owned(),
        }],
        ..RateLimitDescriptor::default()
    }
}

fn with_hits(hits: u64, descriptor: RateLimitDescriptor) -> RateLimitDescriptor {
    RateLimitDescriptor {
        hits_addend: Some(UInt64Value { value: hits }),
        ..descriptor
    }
}

async fn ask(
    service: &RateLimits,
    hits_addend: u32,
    descriptors: Vec<RateLimitDescriptor>,
) -> Result<RateLimitResponse, Status> {
    let request = RateLimitRequest {
        domain: "edge".to_owned(),
        descriptors,
        hits_addend,
    };
    let answer = service.should_rate_limit(Request::new(request)).await;
    answer.map(Response::into_inner)
}

/// Whether it is over, and what is left, for each descriptor.
async fn told(
    service: &RateLimits,
    hits_addend: u32,
    descriptors: Vec<RateLimitDescriptor>,
) -> Vec<(bool, u32)> {
    let answer = ask(service, hits_addend, descriptors).await.unwrap();
    let told: Vec<(bool, u32)> = answer
        .statuses
        .iter()
        .map(|status| (status.code() == Code::OverLimit, status.limit_remaining))
        .collect();
    let over = answer.overall_code() == Code::OverLimit;
    assert_eq!(over, told.iter().any(|(over, _)| *over));
    told
}

#[tokio::test]
async fn each_descriptor_is_told_of_and_all_stand_or_fall_together() {
    let (service, metrics) = service();
    let both = || vec![descriptor("user", "a"), descriptor("user", "b")];
    assert_eq!(told(&service, 0, both()).await, [(false, 2), (false, 2)]);
    assert_eq!(told(&service, 2, both()).await, [(false, 0), (false, 0)]);
    let mixed = vec![descriptor("user", "a"), descriptor("user", "c")];
    assert_eq!(told(&service, 1, mixed).await, [(true, 0), (false, 3)]);
    let c = vec![descriptor("user", "c")];
    assert_eq!(
        told(&service, 3, c).await,
        [(false, 0)],
        "nothing was taken"
    );

    let answer = ask(&service, 1, vec![descriptor("user", "a")])
        .await
        .unwrap();
    let status = &answer.statuses[0];
    let shown = status.current_limit.as_ref().unwrap();
    assert_eq!(
        (&*shown.name, shown.requests_per_unit, shown.unit()),
        ("users", 3, Unit::Day)
    );
    let reset = status.duration_until_reset.as_ref().unwrap();
    assert!((0..=86_400).contains(&reset.seconds), "{reset:?}");
    let text = metrics.encode();
    for series in [
        r#"weir_rate_limit_requests_total{code="ok"} 3"#,
        r#"weir_rate_limit_requests_total{code="over_limit"} 2"#,
        "weir_decision_seconds_count 5",
    ] {
        assert!(text.contains(series), "{series} in {text}");
    }
}

#[tokio::test]
async fn what_nothing_limits_is_ok_without_a_limit() {
    let (service, _) = service();
    let answer = ask(
        &service,
        9,
        vec![descriptor("host", "a"), descriptor("x", "a")],
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.overall_code(), Code::Ok);
    assert_eq!(answer.statuses.len(), 2);
    let plain =
        |status: &DescriptorStatus| status.code() == Code::Ok && status.current_limit.is_none();
    assert!(answer.statuses.iter().all(plain));
    let request = RateLimitRequest {
        domain: "elsewhere".to_owned(),
        descriptors: vec![descriptor("user", "a")],
        hits_addend: 99,
    };
    let answer = service.should_rate_limit(Request::new(request)).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(
        (answer.overall_code(), answer.statuses.len()),
        (Code::Ok, 1)
    );
}

#[tokio::test]
async fn a_shadow_limit_counts_and_lets_through() {
    let (service, metrics) = service();
    let path = || vec![descriptor("path", "/")];
    assert_eq!(told(&service, 2, path()).await, [(false, 0)]);
    assert_eq!(told(&service, 1, path()).await, [(false, 0)]);
    assert!(metrics.encode().contains("weir_shadow_refusals_total 1\n"));
}

#[tokio::test]
async fn hits_of_nothing_ask_and_what_was_used_becomes_a_debt() {
    let (service, metrics) = service();
    let tokens = |hits| vec![with_hits(hits, descriptor("tokens", "a"))];
    assert_eq!(told(&service, 1, tokens(0)).await, [(false, 10)]);
    assert_eq!(
        told(&service, 1, tokens(0)).await,
        [(false, 10)],
        "took nothing"
    );
    assert_eq!(told(&service, 1, tokens(25)).await, [(false, 0)]);
    assert_eq!(told(&service, 1, tokens(0)).await, [(true, 0)]);
    assert_eq!(
        told(&service, 1, tokens(1)).await,
        [(false, 0)],
        "told afterwards"
    );
    assert!(metrics.encode().contains("weir_shadow_refusals_total 0\n"));
}

#[tokio::test]
async fn a_limit_that_comes_along_holds_instead() {
    let (service, _) = service();
    let brought = |requests_per_unit| RateLimitDescriptor {
        limit: Some(RateLimitOverride {
            requests_per_unit,
            unit: Unit::Hour.into(),
        }),
        ..descriptor("user", "a")
    };
    let answer = ask(&service, 4, vec![brought(9)]).await.unwrap();
    let status = &answer.statuses[0];
    let shown = status.current_limit.as_ref().unwrap();
    assert_eq!((shown.requests_per_unit, shown.unit()), (9, Unit::Hour));
    assert_eq!((status.code(), status.limit_remaining), (Code::Ok, 5));
    let none = ask(&service, 1, vec![brought(0)]).await.unwrap();
    assert_eq!(none.overall_code(), Code::OverLimit);
}

/// As in envoyproxy/ratelimit, which looks for no rule then.
#[tokio::test]
async fn a_limit_that_comes_along_needs_no_rule() {
    let (service, _) = service();
    for key in ["nobody", "host", "path"] {
        for (amount, codes) in [
            (0, [Code::OverLimit, Code::OverLimit]),
            (1, [Code::Ok, Code::OverLimit]),
        ] {
            for code in codes {
                let brought = RateLimitDescriptor {
                    limit: Some(RateLimitOverride {
                        requests_per_unit: amount,
                        unit: Unit::Hour.into(),
                    }),
                    ..descriptor(key, "a")
                };
                let answer = ask(&service, 1, vec![brought]).await.unwrap();
                let status = &answer.statuses[0];
                let shown = status.current_limit.as_ref().unwrap();
                assert_eq!((status.code(), shown.requests_per_unit), (code, amount));
                assert_eq!(status.limit_remaining, 0, "{key}, {amount}");
                let reset = status.duration_until_reset.unwrap().seconds;
                assert!((1..=3_600).contains(&reset), "{key}, {amount}: {reset}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_used_is_charged_though_another_descriptor_is_over() {
    let (service, _) = service();
    told(&service, 3, vec![descriptor("user", "a")]).await;
    let tokens = |hits| with_hits(hits, descriptor("tokens", "a"));
    let done = vec![tokens(9), with_hits(1, descriptor("user", "a"))];
    assert_eq!(told(&service, 1, done).await, [(false, 10), (true, 0)]);
    assert_eq!(told(&service, 1, vec![tokens(0)]).await, [(false, 1)]);
}

/// Envoy's headers tell of the status with the least left.
#[tokio::test]
async fn what_refuses_has_nothing_left_and_a_reset() {
    let (service, _) = service();
    let never = with_hits(9, descriptor("user", "z"));
    let both = vec![never, descriptor("path", "/")];
    let answer = ask(&service, 1, both).await.unwrap();
    let [user, path] = &answer.statuses[..] else {
        panic!("{answer:?}")
    };
    assert_eq!((user.code(), user.limit_remaining), (Code::OverLimit, 0));
    assert_eq!(user.duration_until_reset.unwrap().seconds, 86_400);
    assert_eq!((path.code(), path.limit_remaining), (Code::Ok, 2));
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused_without_repeating_values() {
    let (service, metrics) = service();
    let users = |count: usize| -> Vec<RateLimitDescriptor> {
        let names = (0..count).map(|n| format!("secret{n}"));
        names.map(|name| descriptor("user", &name)).collect()
    };
    assert_eq!(told(&service, 1, users(32)).await.len(), 32);
    let negative = RateLimitDescriptor {
        is_negative_hits: true,
        ..descriptor("user", "secret")
    };
    for wrong in [users(33), vec![negative]] {
        let status = ask(&service, 1, wrong).await.unwrap_err();
        assert_eq!(status.code(), Grpc::InvalidArgument);
        assert!(!status.message().contains("secret"), "{status:?}");
    }
    let nameless = RateLimitRequest::default();
    let status = service.should_rate_limit(Request::new(nameless)).await;
    assert_eq!(status.unwrap_err().code(), Grpc::InvalidArgument);
    let text = metrics.encode();
    assert!(text.contains(r#"weir_rate_limit_requests_total{code="error"} 3"#));
}

#[test]
fn lengths_are_told_in_envoys_units() {
    for (every, expected) in [
        (Millis(1_000), Unit::Second),
        (Millis(60_000), Unit::Minute),
        (Millis(300_000), Unit::Unknown),
        (Millis(30 * DAY.0), Unit::Month),
        (Millis(365 * DAY.0), Unit::Year),
    ] {
        assert_eq!(unit(&limit("l", 1, every, Mode::Enforce)), expected);
    }
    for (span, seconds) in [(0, 0), (1, 1), (1_000, 1), (1_250, 2)] {
        assert_eq!(duration(Millis(span)), Duration { seconds, nanos: 0 });
    }
}
