//! The ledger's three sinks at once, and what they hold against the spool.

use crate::support::dice::Dice;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;
use weir::ledger::row::{NO_HASH, Row, chained};
use weir::ledger::spool::{Durability, Spool, SpoolConfig};
use weir::ledger::store::measure::{Dimension, Measure, Sums};
use weir::ledger::store::query::Query;
use weir::ledger::store::{Of, PostgresConfig, Store, StoreConfig};
use weir::ledger::wire;
use weir::limits::HoldId;
use weir::units::UnixMillis;

/// Each a sink's name in the spool.
pub const NAMES: [&str; 3] = ["sqlite", "postgres", "file"];

/// A SQLite file of a test's own, and a database of its PostgreSQL.
pub struct Sinks {
    dir: TempDir,
    postgres_url: String,
}

impl Sinks {
    pub fn new(postgres_url: String) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("weir-sinks-")
            .tempdir()
            .unwrap();
        Self { dir, postgres_url }
    }

    /// Fields of `ledger`. PostgreSQL is reached `through` another URL, if one is
    /// given.
    pub fn yaml(&self, through: Option<&str>) -> String {
        let url = self.dir.path().join("postgres-url");
        fs::write(&url, through.unwrap_or(&self.postgres_url)).unwrap();
        let sqlite = self.dir.path().join("ledger.db");
        format!(
            ", sqlite: {{ path: \"{}\" }}, postgres: {{ url: {{ file: \"{}\" }} }}",
            sqlite.display(),
            url.display()
        )
    }

    pub async fn sqlite(&self) -> Store {
        let path = self.dir.path().join("ledger.db");
        Store::open(&StoreConfig::Sqlite { path }).await.unwrap()
    }

    pub async fn postgres(&self) -> Store {
        let config = PostgresConfig::new(self.postgres_url.clone());
        Store::open(&StoreConfig::Postgres(config)).await.unwrap()
    }

    pub async fn stores(&self) -> [Store; 2] {
        [self.sqlite().await, self.postgres().await]
    }

    /// How many rows each database has.
    pub async fn counts(&self) -> [usize; 2] {
        let mut counts = [0; 2];
        for (store, count) in self.stores().await.iter().zip(&mut counts) {
            *count = count_of(store).await;
        }
        counts
    }

    /// Each has each row of the spool once, of two with one id the first; chains
    /// are whole. Gives the rows.
    pub async fn hold_all_of(&self, rows: &[Row], lines: &[UsageEvent]) -> BTreeMap<HoldId, Row> {
        let mut owed: BTreeMap<HoldId, Row> = BTreeMap::new();
        let mut in_order = Vec::new();
        for row in rows {
            if let Entry::Vacant(first) = owed.entry(row.event.id) {
                first.insert(row.clone());
                in_order.push(&row.event);
            }
        }
        let lines: Vec<&UsageEvent> = lines.iter().collect();
        assert!(lines == in_order, "{}", differ(&in_order, &lines));
        for (store, name) in self.stores().await.iter().zip(NAMES) {
            let stored = rows_of(store).await;
            let count = stored.len();
            let stored: BTreeMap<HoldId, Row> =
                stored.into_iter().map(|row| (row.event.id, row)).collect();
            assert_eq!(stored.len(), count, "{name}: an id is there twice");
            let events = |rows: &'_ BTreeMap<HoldId, Row>| -> Vec<UsageEvent> {
                rows.values().map(|row| row.event.clone()).collect()
            };
            let (a, b) = (events(&owed), events(&stored));
            let differs = || differ(&a.iter().collect::<Vec<_>>(), &b.iter().collect::<Vec<_>>());
            assert!(stored == owed, "{name}: {}", differs());
            for chain in store.chains().await.unwrap() {
                let last = rows.iter().rfind(|row| row.link.chain == chain.id);
                let last = last.map(|row| row.link.sequence);
                let end = store.verify(&chain).await.unwrap();
                assert_eq!(end.map(|place| Some(place.sequence)), Ok(last), "{name}");
            }
        }
        owed
    }
}

/// How two lists of events differ, without all of them.
fn differ(owed: &[&UsageEvent], found: &[&UsageEvent]) -> String {
    let missing: Vec<_> = owed.iter().filter(|event| !found.contains(event)).collect();
    let more: Vec<_> = found.iter().filter(|event| !owed.contains(event)).collect();
    format!(
        "{} in the spool, {} found; missing {:#?}, besides {:#?}",
        owed.len(),
        found.len(),
        missing.get(..5.min(missing.len())),
        more.get(..5.min(more.len())),
    )
}

/// Everything.
fn always() -> (UnixMillis, UnixMillis) {
    (UnixMillis(0), UnixMillis(4_000_000_000_000))
}

pub async fn rows_of(store: &Store) -> Vec<Row> {
    let mut all = Vec::new();
    for of in [Of::Calls, Of::Refusals] {
        let mut scan = store.scan(of, always(), Vec::new());
        loop {
            let rows = scan.next_rows().await.unwrap();
            if rows.is_empty() {
                break;
            }
            all.extend(rows);
        }
    }
    all
}

/// By its rollups: rows change in one transaction with them.
pub async fn count_of(store: &Store) -> usize {
    let (since, until) = always();
    let report = store.usage(&Query::of(since, until)).await.unwrap();
    let counts = report.rows.first().map_or(0, |row| {
        row.sums.get(Measure::Calls) + row.sums.get(Measure::Refused)
    });
    usize::try_from(counts).unwrap()
}

/// A store's rollups say what its rows do: calls, tokens of each kind,
/// nano-dollars.
pub async fn rollups_agree(store: &Store, owed: &BTreeMap<HoldId, Row>) {
    let mut sums: BTreeMap<Vec<Option<String>>, Sums> = BTreeMap::new();
    let by = [Dimension::Tenant, Dimension::Model];
    for Row { event, .. } in owed.values() {
        let names = by
            .iter()
            .map(|by| by.of(event).map(str::to_owned))
            .collect();
        sums.entry(names).or_default().merge(&Sums::of(event));
    }
    let (since, until) = always();
    let query = Query {
        group_by: by.to_vec(),
        limit: 10_000,
        ..Query::of(since, until)
    };
    let rolled_up = store.usage(&query).await.unwrap().rows;
    assert_eq!(rolled_up.len(), sums.len());
    for row in rolled_up {
        assert_eq!(Some(&row.sums), sums.get(&row.names), "{:?}", row.names);
    }
}

/// The rows of a spool whose read segments were kept, in order: a copy is read as
/// a relay reads it. The chain is whole, and nothing in it is open.
pub async fn spool_rows(spool: &Path) -> Vec<Row> {
    let copy = tempfile::tempdir().unwrap();
    let segments = copy.path().join("segments");
    fs::create_dir(&segments).unwrap();
    for entry in fs::read_dir(spool.join("segments")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "seg" || e == "kept") {
            let name = Path::new(path.file_name().unwrap()).with_extension("seg");
            fs::copy(&path, segments.join(name)).unwrap();
        }
    }
    let config = spool_config(copy.path(), &["check"]);
    let opened = Spool::open(&config, uuid::Uuid::from_u128(1), Box::new(|_| ())).unwrap();
    assert_eq!(opened.lost_bytes, 0);
    assert!(opened.interrupted.is_empty(), "{:?}", opened.interrupted);
    let mut reader = opened.spool.reader("check").unwrap();
    opened.spool.close(Duration::from_secs(10)).await.unwrap();
    let mut rows = Vec::new();
    while let Some(relayed) = reader.next(2_048).await.unwrap() {
        rows.extend(relayed.rows);
    }
    let mut last = NO_HASH;
    for (row, sequence) in rows.iter().zip(1..) {
        last = chained(&last, &wire::encode_event(&row.event));
        assert_eq!((row.link.sequence, row.link.hash), (sequence, last));
    }
    rows
}

pub fn spool_config(path: &Path, sinks: &[&'static str]) -> SpoolConfig {
    SpoolConfig {
        path: path.to_owned(),
        durability: Durability::Strict,
        bytes_max: 16 << 30,
        segment_bytes: 1 << 20,
        sinks: sinks.to_vec(),
    }
}

/// A call like any other: 10 to 60 tokens in, up to 500 out.
pub fn call(dice: &mut Dice, at_ms: u64) -> UsageEvent {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&dice.next().to_be_bytes());
    let (input, output) = (10 + dice.roll(50), dice.roll(500));
    let id = HoldId::new(UnixMillis(at_ms), &random);
    let text = serde_json::json!({
        "schema": weir::exchange::event::SCHEMA,
        "id": id.to_string(),
        "outcome": "exact",
        "started_at_ms": at_ms,
        "first_token_at_ms": at_ms + 300,
        "ended_at_ms": at_ms + 900,
        "tenant": dice.pick(&["acme", "globex", "initech"]),
        "environment": "test",
        "user": format!("user-{}", dice.roll(50)),
        "key_id": "ada-key",
        "plan": "team",
        "endpoint": "/v1/chat/completions",
        "dialect": "openai",
        "provider": "fake",
        "model": dice.pick(&["gpt-4o", "gpt-4o-mini"]),
        "model_served": "gpt-4o-2024-08-06",
        "stream": true,
        "status": 200,
        "finish_reason": "stop",
        "known": "provider",
        "input_tokens": input,
        "output_tokens": output,
        "reserved_tokens": 1_000,
        "cost_nanos": input * 2_500 + output * 10_000,
        "price_version": "2026-01",
        "request_bytes": 1_234,
    });
    let event: UsageEvent = serde_json::from_value(text).unwrap();
    assert_eq!(event.outcome, Outcome::Exact);
    event
}
