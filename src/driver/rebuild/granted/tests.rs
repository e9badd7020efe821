//! Grants in a process whose memory is new, over a ledger that isn't.

use super::*;
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::LedgerSource;
use crate::driver::tests::driver;
use crate::exchange::UsageEvent;
use crate::ledger::row::{Link, Row};
use crate::ledger::sink::Sink;
use crate::ledger::spool::{Durability, Spool, SpoolConfig};
use crate::ledger::store::StoreConfig;
use crate::limits::{Charge, HoldId};
use crate::policy::grants::{GrantChange, action};
use crate::units::Millis;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

fn grant(id: &str, tenant: &str, allowance: Allowance, now: UnixMillis) -> GrantChange {
    GrantChange::Granted(Grant {
        id: id.into(),
        tenant: tenant.into(),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: None,
        models: Vec::new(),
        allowance,
        from: now - Millis::from_mins(60),
        until: now + Millis::from_mins(60),
        granted_by: "cli/ann".into(),
    })
}

/// A call that began so many minutes ago and took a second.
fn row(n: u8, minutes_ago: u64, tenant: &str, actions: &[Arc<str>], now: UnixMillis) -> Row {
    let at = now - Millis::from_mins(minutes_ago);
    let mut random = [0; 10];
    random[9] = n;
    let event = json!({
        "schema": "weir.usage.v1", "id": HoldId::new(at, &random).to_string(),
        "outcome": if n == 9 { "void" } else { "exact" }, "known": "provider",
        "started_at_ms": at.0, "ended_at_ms": at.0 + 1_000, "tenant": tenant,
        "key_id": "k1", "plan": "team", "dialect": "openai", "model": "gpt", "stream": false,
        "endpoint": "/v1/chat/completions", "input_tokens": 1, "cost_nanos": 1_000 * u64::from(n),
        "request_bytes": 5, "actions": actions,
    });
    Row {
        event: serde_json::from_value::<UsageEvent>(event).unwrap(),
        link: Link {
            chain: uuid::Uuid::from_u128(7),
            sequence: u64::from(n),
            hash: [n; 32],
        },
    }
}

async fn ledger(folder: &Path, rows: &[Row]) -> LedgerSource {
    let store = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let mut opened = Store::open(&store).await.unwrap();
    opened.deliver(rows).await.unwrap();
    opened.close().await;
    let config = SpoolConfig {
        path: folder.join("spool"),
        durability: Durability::Strict,
        bytes_max: 1 << 30,
        segment_bytes: 1 << 20,
        sinks: Vec::new(),
    };
    let spool = Spool::open(&config, uuid::Uuid::nil(), Box::new(|_| {})).unwrap();
    LedgerSource {
        store,
        spool: Arc::new(spool.spool),
    }
}

#[tokio::test]
async fn what_was_used_of_grants_is_used_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let driver = driver(Counters::Memory(Memory::default()));
    let now = driver.clock().now();
    let by = |grant| {
        [
            "big:require_approval".into(),
            action("big", grant),
            "shadow:other:block".into(),
        ]
    };
    let rows = [
        row(1, 5, "acme", &by("grt_1"), now),
        row(2, 4, "acme", &by("grt_1"), now),
        row(3, 3, "acme", &by("grt_2"), now),
        row(4, 3, "acme", &["big:grant".into()], now),
        row(5, 3, "globex", &by("grt_3"), now),
        row(6, 3, "acme", &by("grt_free"), now),
        // Somebody else's calls by a grant of this name, and what came to nothing.
        row(7, 3, "globex", &by("grt_1"), now),
        row(9, 2, "acme", &by("grt_1"), now),
    ];
    driver.rebuild_from(ledger(folder.path(), &rows).await);
    let grants = [
        grant("grt_1", "acme", Allowance::Calls(3), now),
        grant("grt_2", "acme", Allowance::CostNanos(5_000), now),
        grant("grt_3", "globex", Allowance::CostNanos(5_000), now),
        grant("grt_4", "globex", Allowance::Calls(1), now),
        grant("grt_free", "acme", Allowance::Unlimited, now),
    ];
    driver.change_snapshot(|snapshot| Snapshot {
        grants: Arc::new(snapshot.grants.changed(grants.clone())),
        ..snapshot.clone()
    });
    driver.begin_counting().await.unwrap();
    let snapshot = driver.snapshot();
    let mut used = BTreeMap::new();
    for grant in snapshot.grants.all() {
        let Some((limit, counter)) = grant.limit() else {
            continue;
        };
        let look = [Charge::new(Arc::new(limit), counter, 0)];
        let looked = driver.counters().look(&grant.tenant, &look, now);
        let standing = looked.await.unwrap()[0];
        used.insert(grant.id.to_string(), (standing.used, standing.remaining));
    }
    let expected = [
        ("grt_1", (2, 1)),
        ("grt_2", (3_000, 2_000)),
        ("grt_3", (5_000, 0)),
        ("grt_4", (0, 1)),
    ];
    let expected = expected.map(|(id, of)| (id.to_owned(), of));
    assert_eq!(used, BTreeMap::from(expected));
}

#[test]
fn only_grants_that_hold_and_may_have_been_used_are_asked_for() {
    let now = UnixMillis(10_000_000);
    let grants = [
        grant("grt_1", "acme", Allowance::Calls(3), now),
        grant("grt_free", "acme", Allowance::Unlimited, now),
    ];
    let snapshot = Snapshot {
        grants: Arc::new(crate::policy::grants::Grants::default().changed(grants)),
        ..Snapshot::default()
    };
    let names = |before: UnixMillis, now: UnixMillis| {
        let lost = lost(&snapshot, before, now);
        let ids = lost
            .into_values()
            .flatten()
            .map(|grant| grant.id.to_string());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(names(now, now), ["grt_1"]);
    assert!(
        names(now - Millis::from_mins(60), now).is_empty(),
        "made later"
    );
    assert!(names(now, now + Millis::from_mins(60)).is_empty(), "over");
}
