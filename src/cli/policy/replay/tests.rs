//! A small ledger through a draft, held to figures that were worked out by hand.

use super::*;
use crate::cli::explain::tests::Site;
use crate::exchange::UsageEvent;
use crate::ledger::row::{Link, NO_HASH, Row, chained};
use crate::ledger::sink::Sink;
use crate::ledger::store::StoreConfig;
use crate::ledger::wire;
use crate::limits::HoldId;
use clap::Parser;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, Parser)]
struct Weir {
    #[command(flatten)]
    replay: ReplayArgs,
}

/// 2026-11-16T12:00:00Z.
const NOON: u64 = 1_794_830_400_000;
const MINUTE: u64 = 60_000;

const DRAFT: &str = r#"
listen: { grpc: "127.0.0.1:0", admin: "127.0.0.1:0" }
identity: { pepper: { env: NO_SUCH_PEPPER } }
models:
  big: { tier: premium, provider: openai, price: { input: 10, output: 30 }, max_output_tokens: 4096 }
  small: { tier: standard, provider: openai, price: { input: 1, output: 2 }, max_output_tokens: 4096 }
plans:
  team:
    limits: [ { name: rpm, per: user, unit: requests, amount: 2, every: 1m } ]
    budgets: [ { name: monthly, amount: 0.10 USD, every: month } ]
    policies:
      - { name: economy, when: 'budget.monthly.used > 0.7 && model.tier == "premium"', then: { downgrade: small } }
      - { name: short, when: 'principal.user == "eve"', then: { clamp_output: 200 } }
      - { name: ask, when: 'request.output_max > 4000', then: { require_approval: true } }
      - { name: slow, when: 'request.stream', then: { throttle: { delay: 1s } } }
      - { name: tasks, when: 'request.task == "" || metadata.team == "x"', then: { block: true } }
tenants: { acme: { plan: team } }
"#;

/// A call of 1000 tokens in and 500 out, for which 1000 were held, that took a tenth
/// of a second: 0.025 dollars with the big model, 0.002 with the small one.
fn call(number: u64, at: u64, user: &str, model: &str, more: Value) -> UsageEvent {
    let at = NOON + at;
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let cost = if model == "big" {
        25_000_000
    } else {
        2_000_000
    };
    let mut event = json!({
        "schema": "weir.usage.v1", "id": HoldId::new(UnixMillis(at), &random).to_string(),
        "outcome": "exact", "known": "provider", "started_at_ms": at, "ended_at_ms": at + 100,
        "tenant": "acme", "user": user, "key_id": "ci", "plan": "old",
        "endpoint": "/v1/chat/completions", "dialect": "openai", "provider": "openai",
        "model": model, "stream": false, "input_tokens": 1_000, "output_tokens": 500,
        "reserved_tokens": 2_000, "request_bytes": 100, "cost_nanos": cost,
        "price_version": "old",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

fn calls() -> Vec<UsageEvent> {
    let none = || json!({});
    vec![
        // Two a minute pass; the third is refused by rpm.
        call(1, 0, "ada", "big", none()),
        call(2, 1_000, "ada", "big", none()),
        call(3, 2_000, "ada", "big", none()),
        // Half of the budget is used: it passes, and brings that to three quarters.
        call(4, 10 * MINUTE, "bob", "big", none()),
        // So this one goes to the small model.
        call(5, 12 * MINUTE, "bob", "big", none()),
        // 200 tokens at most.
        call(6, 14 * MINUTE, "eve", "small", none()),
        call(
            7,
            16 * MINUTE,
            "dan",
            "small",
            json!({ "reserved_tokens": 5_500 }),
        ),
        call(8, 18 * MINUTE, "zoe", "small", json!({ "stream": true })),
        call(
            9,
            20 * MINUTE,
            "yan",
            "small",
            json!({ "outcome": "void", "known": null, "input_tokens": null,
                "output_tokens": null, "cost_nanos": null, "price_version": null }),
        ),
        // The draft has no plan for it.
        call(10, 22 * MINUTE, "gus", "big", json!({ "tenant": "globex" })),
        // Nothing is known of what it asked.
        call(11, 24 * MINUTE, "ada", "big", json!({ "model": null })),
    ]
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
        for batch in rows.chunks(500) {
            store.deliver(batch).await.unwrap();
        }
        store.close().await;
    });
}

fn weir(site: &Site, more: &[&str]) -> Result<String, String> {
    let (config, ledger) = (site.path("draft.yaml"), site.path("ledger.db"));
    let usual = ["weir", "--config", &config, "--sqlite", &ledger];
    let args = usual.iter().chain(more).copied();
    let parsed = Weir::try_parse_from(args).map_err(|error| error.to_string())?;
    let now = UnixMillis(NOON + 24 * 60 * MINUTE);
    replayed(&parsed.replay, now).map_err(|error| format!("{error:#}"))
}

fn site() -> Site {
    let site = Site::new(&[("draft.yaml", DRAFT)]);
    ledger(Path::new(&site.path("ledger.db")), calls());
    site
}

#[test]
fn a_draft_is_told_by_tenant_to_the_nano_dollar() {
    let site = site();
    let told = weir(&site, &["--since", "2026-11-16", "--format", "json"]).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["calls"], 11);
    // Then: five times 0.025, three times 0.002. With the draft: 0.075 for the first, second and fourth; 0.002 for the fifth; 0.001 +
    // 0.0004 for the sixth; 0.002 for the eighth.
    assert_eq!(
        told["tenants"]["acme"],
        json!({
            "calls": 10, "unread": 1, "refused": 1, "refused_by": { "rpm": 1 },
            "needs_approval": 1, "downgraded": 1, "clamped": 1, "delayed": 1, "unpriced": 0,
            "refused_then": 0, "would_pass": 0,
            "cost_then_nanos": 131_000_000, "cost_draft_nanos": 80_400_000,
            "saved_nanos": 50_600_000,
        })
    );
    assert_eq!(
        told["tenants"]["globex"]["refused_by"],
        json!({ "no_plan": 1 })
    );
    assert_eq!(told["tenants"]["globex"]["saved_nanos"], 25_000_000);
    assert_eq!(told["all"]["saved_nanos"], 75_600_000);
    assert_eq!(told["all"]["refused"], 2);
    assert_eq!(
        told["all"]["refused_by"],
        json!({ "no_plan": 1, "rpm": 1 }),
        "all that were refused"
    );
    assert_eq!(
        told["rules_without_values"],
        json!(["tasks of team (request.task, metadata)"])
    );
}

#[test]
fn people_get_a_table_with_what_it_cannot_know() {
    let text = weir(
        &site(),
        &["--since", "2026-11-16", "--where", "tenant=acme"],
    )
    .unwrap();
    let words: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for expected in [
        "acme 10 1 1 1 1 1 0.1310 0.0804 0.0506",
        "acme rpm 1",
        "1 calls that weir had not read are left out.",
        "Speaks of what isn't told: tasks of team (request.task, metadata)",
    ] {
        assert!(
            words.iter().any(|line| line == expected),
            "{expected:?} in\n{text}"
        );
    }
    assert!(text.contains("Not told by the ledger"), "{text}");
    assert!(!text.contains("globex"), "{text}");
}

#[test]
fn calls_that_are_open_at_one_time_hold_what_the_draft_would() {
    let draft = DRAFT.replace("amount: 2, every: 1m", "amount: 100, every: 1m");
    let site = Site::new(&[("draft.yaml", &draft)]);
    // 0.04 are held for each until it ends, so the third doesn't fit into 0.10; once
    // the first two have used 0.025 each, the fourth does.
    let long = || json!({ "ended_at_ms": NOON + 5 * MINUTE });
    let events = vec![
        call(1, 0, "ada", "big", long()),
        call(2, 1_000, "ada", "big", long()),
        call(3, 2_000, "ada", "big", json!({})),
        call(4, 6 * MINUTE, "ada", "big", json!({})),
    ];
    ledger(Path::new(&site.path("ledger.db")), events);
    let told = weir(&site, &["--since", "2026-11-16", "--format", "json"]).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let acme = &told["tenants"]["acme"];
    // Where 0.08 are taken, economy holds, and the small one fits.
    assert_eq!(
        (&acme["refused"], &acme["downgraded"]),
        (&json!(0), &json!(1)),
        "{acme}"
    );
    assert_eq!(acme["cost_draft_nanos"], 77_000_000);
}

#[test]
fn what_is_wrong_is_said() {
    let site = site();
    for (more, expected) in [
        (
            &["--since", "2026-11-16", "--until", "2026-11-15"][..],
            "--until",
        ),
        (&["--where", "x"], "--where"),
    ] {
        let error = weir(&site, more).unwrap_err();
        assert!(error.contains(expected), "{more:?}: {error}");
    }
    let (config, args) = (site.path("draft.yaml"), ["--since", "2026-11-16"]);
    let usual = ["weir", "--config", &config];
    let args = usual.iter().chain(&args).copied();
    let parsed = Weir::try_parse_from(args).unwrap();
    let error = replayed(&parsed.replay, UnixMillis(NOON)).unwrap_err();
    assert!(
        format!("{error:#}").contains("there is no ledger"),
        "{error:#}"
    );
}

#[test]
fn what_was_refused_then_is_judged_too_and_grants_count_at_their_time() {
    // What a refused call asked for isn't known: it is taken to be all there is.
    let when = "request.output_max > 4000";
    let draft = DRAFT.replace(when, &format!("{when} && principal.user == \"dan\""));
    let site = Site::new(&[("draft.yaml", &draft)]);
    let refused = |more: Value| {
        let mut event = json!({
            "outcome": "refused", "refusal": "requests", "refused_by": "old", "status": 429,
            "known": null, "input_tokens": null, "output_tokens": null, "reserved_tokens": null,
            "cost_nanos": null, "price_version": null,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    };
    let long = || json!({ "reserved_tokens": 5_500 });
    let events = vec![
        call(1, 0, "ada", "small", json!({})),
        // The second of this minute passes, and so does the third, as it took nothing.
        call(2, 1_000, "ada", "small", refused(json!({}))),
        call(3, 2_000, "ada", "small", json!({})),
        call(4, 3_000, "ada", "small", refused(json!({}))),
        // Nothing is known of what it asked.
        call(5, 4_000, "ada", "small", refused(json!({ "model": null }))),
        // Before there was a grant, by it, after it was used up, and after another that
        // was taken back.
        call(6, 10 * MINUTE, "dan", "small", long()),
        call(7, 20 * MINUTE, "dan", "small", long()),
        call(8, 22 * MINUTE, "dan", "small", long()),
        call(9, 40 * MINUTE, "dan", "small", long()),
    ];
    let path = site.path("ledger.db");
    ledger(Path::new(&path), events);
    granted(Path::new(&path));
    let told = weir(&site, &["--since", "2026-11-16", "--format", "json"]).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let acme = &told["tenants"]["acme"];
    let counts = [
        "calls",
        "refused",
        "refused_then",
        "would_pass",
        "needs_approval",
    ];
    let counts = counts.map(|name| acme[name].as_u64().unwrap());
    assert_eq!(counts, [6, 0, 2, 1, 3], "{acme}");
    let text = weir(&site, &["--since", "2026-11-16"]).unwrap();
    let words: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(words.iter().any(|line| line == "acme 2 1"), "{text}");
}

/// A grant of one call, and one without bounds that was taken back.
fn granted(path: &Path) {
    use crate::accounts::{Actor, grants::NewGrant};
    let minutes = |minutes: u64| UnixMillis(NOON + minutes * MINUTE);
    let new = |id: &str, allowance, from, until| NewGrant {
        grant: Grant {
            id: id.into(),
            tenant: "acme".into(),
            project: None,
            environment: None,
            user: Some("dan".into()),
            key_id: None,
            rule: Some("ask".into()),
            models: Vec::new(),
            allowance,
            from: minutes(from),
            until: minutes(until),
            granted_by: "".into(),
        },
        request: None,
        note: None,
    };
    let by = |at| Actor {
        name: "cli/ann",
        at: minutes(at),
    };
    use crate::policy::grants::Allowance;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let path = path.to_owned();
        let accounts = Accounts::open(&StoreConfig::Sqlite { path }).await.unwrap();
        let one = new("grt_1", Allowance::Calls(1), 15, 25);
        accounts.grant(by(15), one).await.unwrap();
        let free = new("grt_2", Allowance::Unlimited, 30, 60);
        accounts.grant(by(30), free).await.unwrap();
        assert!(accounts.revoke_grant(by(35), "grt_2").await.unwrap());
        accounts.close().await;
    });
}
