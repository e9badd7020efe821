//! Of calls as the ledger has them.

use super::*;
use crate::cli::explain::tests::{CONFIG, Site};

fn event() -> UsageEvent {
    serde_json::from_value(json!({
        "schema": "weir.usage.v1", "id": "019a8b0c1d2e7f3a8b4c5d6e7f8a9b0c", "outcome": "exact",
        "known": "provider", "started_at_ms": 1_794_830_400_000_u64,
        "ended_at_ms": 1_794_830_401_000_u64, "tenant": "acme", "key_id": "ci",
        "dialect": "openai", "model": "small", "model_asked": "big", "stream": false,
        "input_tokens": 10, "output_tokens": 20, "reserved_tokens": 1_010, "cost_nanos": 50_000,
        "would_refuse": ["rpm"], "actions": ["economy:downgrade", "shadow:gone:block"],
        "request_bytes": 7,
    }))
    .unwrap()
}

#[test]
fn a_past_call_is_told_beside_what_is_configured_now() {
    let site = Site::new(&[("weir.yaml", CONFIG)]);
    let config = source::policy(Path::new(&site.path("weir.yaml")), &Process).unwrap();
    let told = told(&event(), Some(&config));
    assert_eq!(
        (&told["model_asked"], &told["model_charged"]),
        (&json!("big"), &json!("small"))
    );
    assert_eq!(
        (&told["reserved_tokens"], &told["used_tokens"]),
        (&json!(1_010), &json!(30))
    );
    let now = &told["now"];
    let said = |name: &str| now[name].as_str().unwrap().to_owned();
    assert!(said("economy").starts_with("a rule of team: when budget.monthly.used > 0.8"));
    assert!(said("economy").ends_with("then downgrade"));
    assert!(said("rpm").starts_with("a limit of team: 5 requests per user"));
    assert_eq!(said("gone"), "nothing of this name is here any more");
    let text = text(&told);
    for expected in ["$0.000050000", "model asked", "economy:downgrade"] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
}

#[test]
fn without_a_configuration_nothing_is_said_of_now() {
    let told = told(&event(), None);
    assert_eq!(told["now"], Value::Null);
    assert!(!text(&told).contains("now"));
}
