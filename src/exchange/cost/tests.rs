//! What a request admits, and what an answer costs.

use super::*;
use crate::pricing::ModelPrice;
use crate::pricing::{Schedule, notation, total_nanos};
use crate::protocol::request::{self, Wants};

const MODEL: &str = "gpt-4o";

fn model(price: &str) -> Model {
    let schedule = Schedule::always(notation::read(price).unwrap());
    Model {
        name: MODEL.into(),
        price: Some(Arc::new(ModelPrice::new(schedule, "test"))),
        ..Model::unknown()
    }
}

fn asked(endpoint: Endpoint, body: &str) -> May {
    let facts = request::read(endpoint, None, body.as_bytes(), Wants::default()).unwrap();
    May {
        service_tier: facts.service_tier.and_then(tier),
        ..may(endpoint, &facts, body.as_bytes(), 10)
    }
}

#[test]
fn a_request_says_what_its_price_may_differ_by() {
    let messages = |more: &str| {
        let body = format!(
            r#"{{"model":"m","max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]{more}}}"#
        );
        asked(Endpoint::Messages, &body)
    };
    let plain = messages("");
    assert!(!plain.write_cache && !plain.write_cache_1h && !plain.read_audio && !plain.read_images);
    assert_eq!(plain.service_tier, None);
    let cached = messages(r#","cache_control":{"type":"ephemeral"}"#);
    assert!(cached.write_cache && !cached.write_cache_1h);
    let hour = messages(r#","cache_control":{"type":"ephemeral","ttl":"1h"}"#);
    assert!(hour.write_cache && hour.write_cache_1h);
    let hidden = messages(r#","\u0063ache_control":{"type":"ephemeral","ttl":"\u0031h"}"#);
    assert!(
        hidden.write_cache && hidden.write_cache_1h,
        "however it is written"
    );
    assert_eq!(
        messages(r#","service_tier":"standard_only""#).service_tier,
        Some(ServiceTier::Standard)
    );
    let chat = |more: &str| {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
        asked(Endpoint::ChatCompletions, &body)
    };
    assert!(chat("").write_cache, "OpenAI writes to its cache unasked");
    for (word, tier) in [
        ("auto", None),
        ("default", Some(ServiceTier::Standard)),
        ("flex", Some(ServiceTier::Flex)),
        ("priority", Some(ServiceTier::Priority)),
    ] {
        let said = chat(&format!(r#","service_tier":"{word}""#));
        assert_eq!(said.service_tier, tier, "{word}");
    }
}

#[test]
fn an_answer_costs_the_sum_of_its_parts() {
    let model = model("input=2 cached_input=1 output=10 search=0.01 /flex input=1 output=5");
    let usage = Usage {
        input_tokens: Some(1_000),
        cached_input_tokens: Some(400),
        output_tokens: Some(100),
        reasoning_tokens: Some(50),
        searches: Some(2),
        ..Usage::default()
    };
    let cost = of_answer(&model, &usage, None, UnixMillis(0)).unwrap();
    let parts: Vec<_> = cost
        .parts
        .iter()
        .map(|part| (part.kind.as_str(), part.units, part.cost_nanos))
        .collect();
    assert_eq!(
        parts,
        [
            ("input", 600, 1_200_000),
            ("cached_input", 400, 400_000),
            ("output", 100, 1_000_000),
            ("search", 2, 20_000_000),
        ]
    );
    assert_eq!(&*cost.version, "test");
    let flex = of_answer(&model, &usage, Some("flex"), UnixMillis(0)).unwrap();
    assert_eq!(flex.tier, ServiceTier::Flex);
    assert_eq!(
        total_nanos(&flex.parts),
        600_000 + 400_000 + 500_000 + 20_000_000
    );
}
