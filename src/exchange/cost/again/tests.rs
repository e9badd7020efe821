//! What a recorded call costs: the same as it was charged, by the same price.

use super::*;
use crate::pricing::{Dated, Schedule, notation};
use crate::units::UnixMillis;
use proptest::prelude::*;
use serde_json::json;

const PRICES: [&str; 6] = [
    "input=2.5 cached_input=1.25 output=10 search=0.01 >2000 input=5 output=15 \
     >5000 input=7 output=21 /batch input=1.25 output=5 /priority input=4.3 output=17",
    "input=3 cached_input=0.3 cache_write=3.75 cache_write_1h=6 output=15 /batch input=1.5 output=7.5",
    "input=0.000000007 output=0.000000003 request=0.001 input_audio=40 input_image=5 reasoning=12 cached_input_audio=9",
    "input=1 output=2 /flex input=0.5 output=1 >3000 input=0.7",
    "request=0.04",
    "free",
];

fn price(text: &str) -> ModelPrice {
    let schedule = Schedule::always(notation::read(text).unwrap());
    ModelPrice::new(schedule, "test")
}

fn event(outcome: &str, known: Option<&str>, fields: serde_json::Value) -> UsageEvent {
    let mut event = json!({
        "schema": "weir.usage.v1",
        "id": "019a0000000070008000000000000001",
        "outcome": outcome,
        "started_at_ms": 1_000,
        "ended_at_ms": 2_000,
        "dialect": "openai",
        "stream": false,
        "request_bytes": 0,
    });
    if let Some(known) = known {
        event["known"] = known.into();
    }
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

fn cost(event: &UsageEvent, text: &str) -> u64 {
    match recharge(event, &price(text)) {
        Recharge::Costs { cost_nanos, .. } => cost_nanos,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_costs_the_sum_of_its_parts_each_rounded_once() {
    let tokens = json!({
        "input_tokens": 1_001, "cached_input_tokens": 400, "output_tokens": 103,
        "reasoning_tokens": 50, "searches": 2,
    });
    let exact = event("exact", Some("provider"), tokens);
    // 601 and 400 and 103 tokens at 0.0035, 0.0005 and 0.0105 nanos, two searches.
    let text = "input=0.0000035 cached_input=0.0000005 output=0.0000105 search=0.01";
    assert_eq!(cost(&exact, text), 3 + 1 + 2 + 20_000_000);
    let counted = event(
        "estimated",
        Some("counted"),
        json!({ "input_tokens": 10, "output_tokens": 5, "service_tier": "flex" }),
    );
    assert_eq!(cost(&counted, PRICES[3]), 10 * 500 + 5 * 1_000);
    assert_eq!(cost(&counted, PRICES[0]), 10 * 2_500 + 5 * 10_000);
    assert_eq!(cost(&counted, PRICES[4]), 40_000_000);
    assert_eq!(cost(&counted, PRICES[5]), 0);
}

#[test]
fn the_price_is_that_of_the_calls_moment() {
    let dated = [
        (0, "input=1 output=1"),
        (1_000, "input=2 output=1"),
        (1_001, "free"),
    ];
    let dated = dated.map(|(from, text)| Dated {
        from: UnixMillis(from),
        price: notation::read(text).unwrap(),
    });
    let price = ModelPrice::new(Schedule::new(dated.to_vec()).unwrap(), "test");
    let exact = event(
        "exact",
        Some("provider"),
        json!({ "input_tokens": 3, "output_tokens": 0 }),
    );
    let expected = Recharge::Costs {
        cost_nanos: 6_000,
        version: "test@1970-01-01T00:00:01Z".into(),
    };
    assert_eq!(recharge(&exact, &price), expected);
}

#[test]
fn what_used_nothing_costs_nothing_by_any_price() {
    let nothing = [
        event("void", None, json!({})),
        event("refused", None, json!({})),
        event("estimated", None, json!({ "cost_nanos": 0 })),
        event("exact", None, json!({})),
    ];
    for event in nothing {
        assert_eq!(recharge(&event, &price(PRICES[4])), Recharge::Nothing);
    }
    let strange = event(
        "exact",
        Some("provider"),
        json!({ "service_tier": "hasty" }),
    );
    assert_eq!(recharge(&strange, &price(PRICES[0])), Recharge::UnknownTier);
}

#[test]
fn a_lost_call_keeps_to_what_it_was_charged_for() {
    let lost = |dialect, charged: Option<u64>| {
        let fields = json!({
            "dialect": dialect, "input_tokens": 1_000_000, "output_tokens": 0,
            "cost_nanos": charged,
        });
        let fields = match charged {
            Some(_) => fields,
            None => json!({ "dialect": dialect, "input_tokens": 1_000_000, "output_tokens": 0 }),
        };
        event("estimated", Some("reserved"), fields)
    };
    // Input 3, written to a cache 3.75, for an hour 6; now a tenth less.
    let now = "input=2.7 cache_write=3.375 cache_write_1h=5.4 output=13.5";
    const DOLLAR: u64 = 1_000_000_000;
    for (charged, costs) in [(3_000, 2_700), (3_750, 3_375), (6_000, 5_400)] {
        let (charged, costs) = (charged * DOLLAR / 1_000, costs * DOLLAR / 1_000);
        assert_eq!(cost(&lost("anthropic", Some(charged)), now), costs);
    }
    // Charged nothing before: as a call of text that asks for no cache.
    assert_eq!(cost(&lost("anthropic", None), now), 2_700_000_000);
    assert_eq!(cost(&lost("openai", None), now), 3_375_000_000);
}

fn tiers() -> impl Strategy<Value = Option<ServiceTier>> {
    prop_oneof![
        2 => Just(None),
        1 => proptest::sample::select(ServiceTier::ALL.to_vec()).prop_map(Some),
    ]
}

fn mays() -> impl Strategy<Value = May> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0..9_000u64, flags, tiers()).prop_map(|(input_tokens, on, service_tier)| May {
        input_tokens,
        write_cache: on.0,
        write_cache_1h: on.1,
        read_audio: on.2,
        read_images: on.3,
        service_tier,
    })
}

fn usages() -> impl Strategy<Value = Usage> {
    let count = || proptest::option::of(0..4_000u64);
    (
        0..9_000u64,
        0..4_000u64,
        proptest::collection::vec(count(), 11),
    )
        .prop_map(|(i, o, parts)| Usage {
            input_tokens: Some(i),
            cached_input_tokens: parts[0],
            cache_write_tokens: parts[1],
            cache_write_1h_tokens: parts[2],
            input_audio_tokens: parts[3],
            input_image_tokens: parts[4],
            output_tokens: Some(o),
            reasoning_tokens: parts[5],
            output_audio_tokens: parts[6],
            output_image_tokens: parts[7],
            searches: parts[8],
            cached_input_audio_tokens: parts[9],
            cached_input_image_tokens: parts[10],
        })
}

proptest! {
    #[test]
    fn by_the_same_price_a_call_costs_the_same(
        text in proptest::sample::select(PRICES.to_vec()), may in mays(), usage in usages(),
        said in tiers(), lost in any::<bool>(), more in 0..3u64,
    ) {
        let price = price(text);
        let pinned = price.pin(UnixMillis(1_000), may);
        let mut usage = usage;
        let known = if lost { "reserved" } else { "provider" };
        let said = said.filter(|_| !lost);
        if lost {
            // What is held, or what was said, where that is more.
            usage.input_tokens = Some(may.input_tokens + more * 2_500);
        }
        let used = used(&usage, 1);
        let parts = match lost {
            true => pinned.hold(used.input, used.output, used.searches),
            false => pinned.cost(said, &used),
        };
        let mut recorded = event("estimated", Some(known), json!({ "cost_nanos": total_nanos(&parts) }));
        let tier = pinned.charged_tier(said);
        recorded.service_tier = (tier != ServiceTier::Standard).then(|| tier.as_str().into());
        recorded.input_tokens = usage.input_tokens;
        recorded.cached_input_tokens = usage.cached_input_tokens;
        recorded.cache_write_tokens = usage.cache_write_tokens;
        recorded.cache_write_1h_tokens = usage.cache_write_1h_tokens;
        recorded.input_audio_tokens = usage.input_audio_tokens;
        recorded.input_image_tokens = usage.input_image_tokens;
        recorded.output_tokens = usage.output_tokens;
        recorded.reasoning_tokens = usage.reasoning_tokens;
        recorded.output_audio_tokens = usage.output_audio_tokens;
        recorded.output_image_tokens = usage.output_image_tokens;
        recorded.searches = usage.searches;
        recorded.cached_input_audio_tokens = usage.cached_input_audio_tokens;
        recorded.cached_input_image_tokens = usage.cached_input_image_tokens;
        let expected = Recharge::Costs { cost_nanos: total_nanos(&parts), version: "test".into() };
        prop_assert_eq!(recharge(&recorded, &price), expected);
    }
}
