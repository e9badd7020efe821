//! Of calls as the ledger has them.

use super::*;
use crate::cli::explain::tests::{CONFIG, Site};
use crate::ledger::row::{Link, NO_HASH, Row, chained};
use crate::ledger::sink::Sink;
use crate::ledger::store::StoreConfig;
use crate::ledger::wire;
use crate::units::UnixMillis;
use clap::Parser;

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

#[derive(Debug, Parser)]
struct Weir {
    #[command(flatten)]
    explain: super::super::ExplainArgs,
}

/// 2026-11-16T12:00:00Z.
const NOON: u64 = 1_794_830_400_000;
const MINUTE: u64 = 60_000;

/// A call so many minutes before noon, of so much money.
fn call(number: u64, minutes: u64, tenant: &str, dollars: u64, more: Value) -> UsageEvent {
    let at = NOON - minutes * MINUTE;
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let mut event = json!({
        "schema": "weir.usage.v1", "id": HoldId::new(UnixMillis(at), &random).to_string(),
        "outcome": "exact", "known": "provider", "started_at_ms": at, "ended_at_ms": at + 100,
        "tenant": tenant, "user": "ada", "key_id": "ci", "plan": "team",
        "endpoint": "/v1/chat/completions", "dialect": "openai", "provider": "openai",
        "model": "big", "stream": false, "input_tokens": 1_000, "output_tokens": 500,
        "reserved_tokens": 2_000, "request_bytes": 100, "cost_nanos": dollars * 1_000_000_000,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

fn ledger(path: &Path, events: Vec<UsageEvent>) {
    let (mut hash, mut rows) = (NO_HASH, Vec::new());
    for (event, sequence) in events.into_iter().zip(1..) {
        hash = chained(&hash, &wire::encode_event(&event));
        let chain = uuid::Uuid::from_u128(7);
        let link = Link {
            chain,
            sequence,
            hash,
        };
        rows.push(Row { event, link });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let path = path.to_owned();
        let mut store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
        store.deliver(&rows).await.unwrap();
        store.close().await;
    });
}

fn weir(site: &Site, more: &[&str]) -> Result<String, String> {
    let (config, ledger) = (site.path("weir.yaml"), site.path("ledger.db"));
    let usual = ["weir", "--config", &config, "--sqlite", &ledger];
    let args = usual.iter().chain(more).copied();
    let args = Weir::try_parse_from(args).map_err(|error| error.to_string())?;
    let Weir { explain: args } = args;
    let (config, id) = (args.config.as_deref(), args.id.as_deref().unwrap());
    explained(config, &args.ledger, id, args.format).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_past_call_is_judged_by_what_was_used_when_it_began() {
    let site = Site::new(&[("weir.yaml", CONFIG)]);
    let none = || json!({});
    let asked = call(7, 0, "acme", 1, json!({ "actions": ["economy:downgrade"] }));
    let early = call(8, 60, "acme", 1, none());
    let (id, early_id) = (asked.id.to_string(), early.id.to_string());
    ledger(
        Path::new(&site.path("ledger.db")),
        vec![
            // The month before, another tenant's, and what came to nothing.
            call(1, 20 * 24 * 60, "acme", 5, none()),
            call(2, 30, "globex", 5, none()),
            call(3, 30, "acme", 5, json!({ "outcome": "void" })),
            call(4, 30, "acme", 6, none()),
            // Before noon, and over after it.
            call(5, 1, "acme", 2, json!({ "ended_at_ms": NOON + 1 })),
            call(6, 2, "acme", 2, json!({ "user": "bob" })),
            asked,
            early,
        ],
    );
    let told = |id: &str| -> Value {
        let told = weir(&site, &["--id", id, "--format", "json"]).unwrap();
        serde_json::from_str(&told).unwrap()
    };
    let judged = &told(&id)["judged"];
    let limits = judged["limits"].as_array().unwrap();
    let of = |name: &str| limits.iter().find(|limit| limit["name"] == name).unwrap();
    // Six and two dollars, and the one of an hour before.
    assert_eq!(of("monthly")["used"], 9_000_000_000_u64);
    assert_eq!(of("monthly")["amount"], 10_000_000_000_u64);
    assert_eq!(of("monthly")["fits"], true);
    assert_eq!(
        (&of("rpm")["used"], &of("rpm")["fits"]),
        (&Value::Null, &Value::Null)
    );
    let rules = judged["rules"].as_array().unwrap();
    assert_eq!(rules[0]["name"], "economy");
    assert_eq!(rules[0]["held"], "yes");
    assert_eq!(rules[0]["facts"]["budget.monthly.used"], 0.9);
    assert_eq!(judged["model"]["served"], "small");
    assert_eq!(judged["verdict"]["decision"], "allowed");
    assert_eq!(judged["at_ms"], NOON);
    // An hour before nothing was used in the month.
    let judged = &told(&early_id)["judged"];
    assert_eq!(judged["limits"].as_array().unwrap().len(), 2);
    assert_eq!(judged["rules"][0]["held"], "no");
    let text = weir(&site, &["--id", &id]).unwrap();
    for expected in [
        "as limits stood when it began",
        "$9.00",
        "economy (of team) holds",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
}
