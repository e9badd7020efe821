//! Corrections as numbers: what they sum up to, and what they do again.

use super::tally::{MODELS_MAX, TENANTS_MAX, Tally};
use super::*;
use crate::limits::HoldId;
use crate::pricing::{Schedule, notation};
use crate::units::UnixMillis;
use proptest::prelude::*;
use serde_json::json;

/// A call of 10 tokens in and 5 out of `acme`.
pub(super) fn call(at: u64, number: u64, cost_nanos: Option<u64>) -> UsageEvent {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let id = HoldId::new(UnixMillis(at), &random);
    let event = json!({
        "schema": "weir.usage.v1", "id": id.to_string(), "outcome": "exact",
        "known": "provider", "started_at_ms": at, "ended_at_ms": at + 10,
        "tenant": "acme", "dialect": "openai", "provider": "openai", "model": "gpt-4o",
        "model_served": "gpt-4o-2024-08-06", "stream": false, "status": 200,
        "input_tokens": 10, "output_tokens": 5, "request_bytes": 0,
    });
    let mut event: UsageEvent = serde_json::from_value(event).unwrap();
    event.cost_nanos = cost_nanos;
    event.price_version = cost_nanos.map(|_| Arc::from("old"));
    event
}

pub(super) fn price(text: &str) -> Arc<ModelPrice> {
    let schedule = Schedule::always(notation::read(text).unwrap());
    Arc::new(ModelPrice::new(schedule, text))
}

fn delta(event: &UsageEvent, corrected: i64, text: &str) -> i64 {
    match rate(event, corrected, &mut |_| Some(price(text))) {
        Rated::Priced { delta_nanos, .. } => delta_nanos,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_correction_is_what_lacks() {
    // 15_000 nano-dollars.
    let text = "input=1 output=1";
    for (charged, corrected, lacks) in [
        (Some(15_000), 0, 0),
        (Some(14_000), 0, 1_000),
        (Some(14_000), 1_000, 0),
        (Some(20_000), -7_000, 2_000),
        (Some(20_000), 0, -5_000),
        (None, 0, 15_000),
        (None, 15_000, 0),
        (Some(0), -5, 15_005),
    ] {
        let event = call(1_000, 1, charged);
        assert_eq!(
            delta(&event, corrected, text),
            lacks,
            "{charged:?} {corrected}"
        );
    }
}

#[test]
fn what_cant_be_rated_keeps_its_cost() {
    let mut tally = Tally::default();
    let mut add = |event: &UsageEvent, rated: Rated| {
        tally.add(event, -3, &rated);
        rated
    };
    let event = call(1_000, 1, Some(50));
    let rated = rate(&event, -3, &mut |_| None);
    assert_eq!(add(&event, rated), Rated::Left(Left::NoPrice));
    let mut tier = event.clone();
    tier.service_tier = Some("hasty".into());
    let rated = rate(&tier, -3, &mut |_| Some(price("free")));
    assert_eq!(add(&tier, rated), Rated::Left(Left::UnknownTier));
    let mut large = event.clone();
    large.input_tokens = Some(1 << 60);
    let rated = rate(&large, -3, &mut |_| Some(price("input=1000 output=1")));
    assert_eq!(add(&large, rated), Rated::Left(Left::TooLarge));
    let mut void = event.clone();
    void.outcome = crate::exchange::event::Outcome::Void;
    let rated = rate(&void, -3, &mut |_| panic!("needs no price"));
    assert_eq!(add(&void, rated), Rated::Nothing);
    let total = tally.total;
    assert_eq!((total.calls, total.changed, total.left), (4, 0, 3));
    assert_eq!((total.before_nanos, total.after_nanos), (4 * 47, 4 * 47));
    assert_eq!(tally.left.values().sum::<u64>(), 3);
}

#[test]
fn names_without_end_are_summed_up() {
    let mut tally = Tally::default();
    let all = TENANTS_MAX as u64 + 20;
    for number in 0..all {
        let mut event = call(1_000, number, Some(7));
        event.tenant = Some(format!("tenant-{number}").into());
        event.model_served = Some(format!("model-{number}"));
        tally.add(&event, 0, &Rated::Left(Left::NoPrice));
    }
    assert_eq!(
        (tally.tenants.len(), tally.left.len()),
        (TENANTS_MAX, MODELS_MAX)
    );
    assert_eq!((tally.total.calls, tally.other_tenants.calls), (all, 20));
    assert_eq!(tally.other_left, all - MODELS_MAX as u64);
    assert_eq!(tally.total.before_nanos, i128::from(all) * 7);
}

const PRICES: [&str; 4] = [
    "input=2.5 output=10",
    "input=0.000000333 output=0.000000777",
    "request=0.04",
    "free",
];

proptest! {
    /// Of calls that were charged by their prices, or by none.
    #[test]
    fn corrections_sum_up_to_the_new_total_less_the_old(
        calls in proptest::collection::vec((0..5_000_000u64, 0..9_000u64, any::<bool>()), 1..40),
        old in 0..PRICES.len(), new in 0..PRICES.len(), third in 0..PRICES.len(),
        done in 0..40usize,
    ) {
        let mut events = Vec::new();
        for (number, (input, output, priced)) in calls.into_iter().enumerate() {
            let mut event = call(1_000, number as u64, None);
            event.input_tokens = Some(input);
            event.output_tokens = Some(output);
            let cost = delta(&event, 0, PRICES[old]);
            event.cost_nanos = priced.then_some(cost as u64);
            events.push(event);
        }
        let total = |text: &str| -> i128 {
            let bare = |event: &UsageEvent| UsageEvent { cost_nanos: None, ..event.clone() };
            events.iter().map(|event| i128::from(delta(&bare(event), 0, text))).sum()
        };
        let was: i128 = events.iter().map(|event| net_nanos(event, 0)).sum();
        let mut corrected = vec![0i64; events.len()];
        let mut sum = |text: &str, some: usize, tally: &mut Tally| -> i128 {
            let mut sum = 0;
            for (event, corrected) in events.iter().zip(&mut corrected).take(some) {
                let rated = rate(event, *corrected, &mut |_| Some(price(text)));
                tally.add(event, *corrected, &rated);
                let Rated::Priced { delta_nanos, .. } = rated else { panic!() };
                sum += i128::from(delta_nanos);
                *corrected += delta_nanos;
            }
            sum
        };
        let all = events.len();
        // One that is cut off, and then the whole.
        let mut tally = Tally::default();
        let begun = sum(PRICES[new], done, &mut tally);
        let rest = sum(PRICES[new], all, &mut tally);
        prop_assert_eq!(begun + rest, total(PRICES[new]) - was);
        prop_assert_eq!(tally.total.nanos(), begun + rest);
        prop_assert_eq!(sum(PRICES[new], all, &mut Tally::default()), 0);
        sum(PRICES[third], all, &mut Tally::default());
        sum(PRICES[old], all, &mut Tally::default());
        for (event, corrected) in events.iter().zip(&corrected) {
            let bare = UsageEvent { cost_nanos: None, ..event.clone() };
            let by_old = i128::from(delta(&bare, 0, PRICES[old]));
            prop_assert_eq!(net_nanos(event, *corrected), by_old);
        }
    }
}
