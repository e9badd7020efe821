//! The ledger's databases by themselves: rows appended a second, each beside a
//! table that keeps the same rows as plain bytes under their ids and does
//! nothing else (no columns, no indexes, no rollups, no chain); and reports over
//! many rows, each beside the same report added up from the rows.

use crate::counters::median;
use crate::postgres;
use anyhow::ensure;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;
use weir::exchange::UsageEvent;
use weir::exchange::event::{Known, Outcome, SCHEMA};
use weir::ledger::row::{Link, NO_HASH, Row, chained};
use weir::ledger::sink::{BATCH_ROWS_MAX, Sink};
use weir::ledger::store::measure::{Dimension, Measure};
use weir::ledger::store::period::Unit;
use weir::ledger::store::query::{Condition, Query};
use weir::ledger::store::{PostgresConfig, Store, StoreConfig};
use weir::ledger::wire;
use weir::limits::HoldId;
use weir::pricing::{CostPart, Kind};
use weir::protocol::Endpoint;
use weir::units::UnixMillis;

const ROUNDS: usize = 5;
/// Of one round, for each engine and its floor.
const BATCHES: usize = 12;

const TENANTS: u64 = 200;
const USERS: u64 = 20;
const MODELS: [&str; 8] = [
    "gpt-4o",
    "gpt-4o-mini",
    "o3",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "command-r",
];

/// 2026-03-01T00:00:00Z.
const MARCH: u64 = 1_772_323_200_000;
const DAY: u64 = 86_400_000;

/// `report_rows`: over how many rows reports are measured, of SQLite.
pub async fn run(report_rows: u64) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("weir-bench").tempdir()?;
    let path = folder.path().join("ledger.db");
    let server = postgres::Server::start(&["shared_buffers=512MB", "max_wal_size=4GB"]).await;
    let url = server.database().await;
    let sqlite = Store::open(&StoreConfig::Sqlite { path }).await?;
    let remote = StoreConfig::Postgres(PostgresConfig::new(&url));
    let mut engines = [sqlite, Store::open(&remote).await?];
    let floor = folder.path().join("floor.db");
    let mut floors = Floors::new(&format!("sqlite://{}?mode=rwc", floor.display()), &url).await?;
    let mut source = Source::new(1);
    let mut rates = [Vec::new(), Vec::new()];
    // At a backlog's pace: 10 000 calls a second.
    let mut at = MARCH * 10;
    for round in 0..=ROUNDS {
        let batches = source.batches(BATCHES, || {
            at += 1;
            at / 10
        });
        for (engine, store) in engines.iter_mut().enumerate() {
            let ours = append(store, &batches).await?;
            let bare = floors.append(engine, &batches).await?;
            // The first one fills caches.
            if round > 0 {
                rates[engine].push((ours, bare));
            }
        }
    }
    for (store, rates) in engines.iter().zip(&rates) {
        let ours = median(rates.iter().map(|(ours, _)| *ours));
        let ratio = median(rates.iter().map(|(ours, bare)| ours / bare));
        let name = store.name();
        println!("{name}: {ours:.0} rows/s appended, {ratio:.2} of the same rows as plain bytes");
    }
    reports(&mut engines[0], &mut source, report_rows).await
}

/// Rows a second.
async fn append(store: &mut Store, batches: &[Vec<Row>]) -> anyhow::Result<f64> {
    let began = Instant::now();
    for batch in batches {
        store.deliver(batch).await?;
    }
    Ok(rate(batches, began))
}

fn rate(batches: &[Vec<Row>], began: Instant) -> f64 {
    let rows: usize = batches.iter().map(Vec::len).sum();
    rows as f64 / began.elapsed().as_secs_f64()
}

/// Tables that keep rows as bytes, as durably.
struct Floors {
    sqlite: SqliteConnection,
    postgres: PgConnection,
}

impl Floors {
    async fn new(sqlite: &str, postgres: &str) -> anyhow::Result<Self> {
        let mut sqlite = SqliteConnection::connect(sqlite).await?;
        let made = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                    CREATE TABLE floor (id BLOB PRIMARY KEY, wire BLOB)";
        sqlx::raw_sql(made).execute(&mut sqlite).await?;
        let mut postgres = PgConnection::connect(postgres).await?;
        let made = "CREATE TABLE floor (id UUID PRIMARY KEY, wire BYTEA)";
        sqlx::raw_sql(made).execute(&mut postgres).await?;
        Ok(Self { sqlite, postgres })
    }

    async fn append(&mut self, engine: usize, batches: &[Vec<Row>]) -> anyhow::Result<f64> {
        let began = Instant::now();
        for batch in batches {
            if engine == 0 {
                self.in_sqlite(batch).await?;
            } else {
                self.in_postgres(batch).await?;
            }
        }
        Ok(rate(batches, began))
    }

    async fn in_sqlite(&mut self, batch: &[Row]) -> anyhow::Result<()> {
        let mut tx = self.sqlite.begin().await?;
        for rows in batch.chunks(256) {
            let mut insert = sqlx::QueryBuilder::new("INSERT INTO floor ");
            insert.push_values(rows, |mut values, row| {
                values.push_bind(row.event.id.0.as_bytes().to_vec());
                values.push_bind(wire::encode(row));
            });
            insert.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn in_postgres(&mut self, batch: &[Row]) -> anyhow::Result<()> {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in batch {
            bytes.extend(2i16.to_be_bytes());
            for field in [row.event.id.0.as_bytes().as_slice(), &wire::encode(row)] {
                bytes.extend((field.len() as i32).to_be_bytes());
                bytes.extend_from_slice(field);
            }
        }
        bytes.extend((-1i16).to_be_bytes());
        let statement = "COPY floor FROM STDIN (FORMAT binary)";
        let mut copy = self.postgres.copy_in_raw(statement).await?;
        copy.send(bytes).await?;
        copy.finish().await?;
        Ok(())
    }
}

async fn reports(store: &mut Store, source: &mut Source, rows: u64) -> anyhow::Result<()> {
    // April, in the order of time.
    let from = MARCH + 31 * DAY;
    let mut n = 0;
    let began = Instant::now();
    while n < rows {
        let batches = source.batches(8, || {
            n += 1;
            from + (n - 1) * 30 * DAY / rows.max(1)
        });
        append(store, &batches).await?;
    }
    println!(
        "sqlite: {n} rows of a month in {:.0} s, made and appended",
        began.elapsed().as_secs_f64()
    );
    let mut month = Query::of(UnixMillis(from), UnixMillis(from + 30 * DAY));
    month.group_by = vec![Dimension::Tenant, Dimension::Model];
    timed(store, "by tenant and model", &month).await?;
    let days = Query {
        unit: Some(Unit::Day),
        zone: jiff::tz::TimeZone::get("Asia/Kathmandu")?,
        group_by: vec![Dimension::Model],
        only: vec![Condition::is(Dimension::Tenant, "tenant-7")],
        ..month.clone()
    };
    timed(store, "one tenant by day (Kathmandu) and model", &days).await?;
    let ragged = Query {
        since: UnixMillis(from + 1),
        until: UnixMillis(from + 30 * DAY - 1),
        ..month.clone()
    };
    timed(store, "by tenant and model, a millisecond less", &ragged).await?;
    let users = Query {
        group_by: vec![Dimension::User],
        only: vec![Condition::is(Dimension::Tenant, "tenant-7")],
        ..month.clone()
    };
    timed(store, "one tenant by user, from rows", &users).await?;
    let served = Query {
        group_by: vec![Dimension::ModelServed],
        ..month.clone()
    };
    timed(store, "by model served", &served).await?;
    let all = Query {
        group_by: vec![Dimension::Tenant, Dimension::Model, Dimension::ModelServed],
        ..month.clone()
    };
    timed(store, "by tenant, model and model served", &all).await
}

async fn timed(store: &Store, what: &str, query: &Query) -> anyhow::Result<()> {
    let mut took = Vec::new();
    let mut groups = 0;
    for _ in 0..3 {
        let began = Instant::now();
        let report = store.usage(query).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        groups = report.rows.len();
        let calls: i128 = report
            .rows
            .iter()
            .map(|row| row.sums.get(Measure::Calls))
            .sum();
        ensure!(calls > 0, "{what}: no calls");
    }
    let took = median(took.into_iter());
    println!("sqlite: a month {what}: {took:.0} ms, {groups} groups");
    Ok(())
}

/// Makes rows.
struct Source {
    dice: u64,
    chain: Uuid,
    sequence: u64,
    hash: [u8; 32],
    names: Vec<Arc<str>>,
}

impl Source {
    fn new(seed: u64) -> Self {
        let name = |n: u64| Arc::from(format!("tenant-{n}"));
        Self {
            dice: seed,
            chain: Uuid::from_u128(7),
            sequence: 0,
            hash: NO_HASH,
            names: (0..TENANTS).map(name).collect(),
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn batches(&mut self, number: usize, mut at: impl FnMut() -> u64) -> Vec<Vec<Row>> {
        let mut batch = || (0..BATCH_ROWS_MAX).map(|_| self.row(at())).collect();
        (0..number).map(|_| batch()).collect()
    }

    fn row(&mut self, at: u64) -> Row {
        let event = self.event(at);
        self.hash = chained(&self.hash, &wire::encode_event(&event));
        self.sequence += 1;
        let link = Link {
            chain: self.chain,
            sequence: self.sequence,
            hash: self.hash,
        };
        Row { event, link }
    }

    fn event(&mut self, at: u64) -> UsageEvent {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.roll(u64::MAX).to_be_bytes());
        // A few tenants make most calls, as everywhere.
        let tenant = self
            .roll(TENANTS)
            .min(self.roll(TENANTS))
            .min(self.roll(TENANTS));
        let user = self.roll(USERS);
        let model = MODELS[self
            .roll(MODELS.len() as u64)
            .min(self.roll(MODELS.len() as u64)) as usize];
        let (input, output) = (self.roll(4_000) + 20, self.roll(800) + 1);
        let (input_nanos, output_nanos) = (input * 2_500, output * 10_000);
        let part = |kind, units, cost_nanos| CostPart {
            kind,
            units,
            cost_nanos,
        };
        UsageEvent {
            schema: SCHEMA.to_owned(),
            id: HoldId::new(UnixMillis(at), &random),
            outcome: Outcome::Exact,
            refusal: None,
            refused_by: None,
            would_refuse: Vec::new(),
            started_at_ms: UnixMillis(at),
            first_token_at_ms: Some(UnixMillis(at + 350)),
            ended_at_ms: UnixMillis(at + 2_000),
            tenant: Some(self.names[tenant as usize].clone()),
            project: None,
            environment: Some("production".into()),
            user: Some(format!("user-{tenant}-{user}").into()),
            key_id: Some(format!("key-{tenant}-{}", user % 5).into()),
            plan: Some("team".into()),
            labels: None,
            model_asked: None,
            endpoint: Some(Endpoint::ChatCompletions),
            dialect: "openai".into(),
            provider: Some("openai".into()),
            model: Some(model.into()),
            model_served: Some(format!("{model}-2026-01-15")),
            service_tier: None,
            stream: true,
            status: Some(200),
            finish_reason: Some("stop".into()),
            known: Some(Known::Provider),
            input_tokens: Some(input),
            cached_input_tokens: Some(input / 2),
            cache_write_tokens: None,
            cache_write_1h_tokens: None,
            input_audio_tokens: None,
            input_image_tokens: None,
            cached_input_audio_tokens: None,
            cached_input_image_tokens: None,
            input_known: None,
            output_known: None,
            output_tokens: Some(output),
            reasoning_tokens: None,
            output_audio_tokens: None,
            output_image_tokens: None,
            searches: None,
            reserved_tokens: Some(input + 1_000),
            cost_nanos: Some(input_nanos + output_nanos),
            cost_parts: vec![
                part(Kind::Input, input, input_nanos),
                part(Kind::Output, output, output_nanos),
            ],
            price_version: Some("2026-01".into()),
            actions: Vec::new(),
            cache_hit: false,
            request_bytes: input * 4,
            traceparent: None,
        }
    }
}
