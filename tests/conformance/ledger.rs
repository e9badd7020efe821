//! Both databases of the ledger behind one face, and rows to fill them with.

use crate::postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::sync::Arc;
use uuid::Uuid;
use weir::exchange::UsageEvent;
use weir::exchange::event::{Known, Outcome, SCHEMA};
use weir::ledger::row::{ChainId, Link, Row, chained};
use weir::ledger::sink::Sink;
use weir::ledger::store::verify::Place;
use weir::ledger::store::{PostgresConfig, Store, StoreConfig};
use weir::ledger::wire;
use weir::limits::HoldId;
use weir::pricing::{CostPart, Kind};
use weir::protocol::Endpoint;
use weir::units::UnixMillis;

/// One test for each engine.
macro_rules! on_each_ledger {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $name() { super::$name(crate::ledger::Ledger::sqlite().await).await; })* }
        mod postgres { $(#[tokio::test] async fn $name() { super::$name(crate::ledger::Ledger::postgres().await).await; })* }
    };
}

#[path = "ledger/chains.rs"]
mod chains;
#[path = "ledger/reports.rs"]
mod reports;
#[path = "ledger/writes.rs"]
mod writes;

/// A database of a test's own, and the store on it.
pub struct Ledger {
    pub store: Store,
    pub config: StoreConfig,
    _folder: Option<tempfile::TempDir>,
    _server: Option<Arc<postgres::Server>>,
}

impl Ledger {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let config = StoreConfig::Sqlite { path };
        Self {
            store: Store::open(&config).await.unwrap(),
            config,
            _folder: Some(folder),
            _server: None,
        }
    }

    pub async fn postgres() -> Self {
        let server = postgres::Server::shared().await;
        let config = StoreConfig::Postgres(PostgresConfig::new(server.database().await));
        Self {
            store: Store::open(&config).await.unwrap(),
            config,
            _folder: None,
            _server: Some(server),
        }
    }

    /// Opened again by a process that has known nothing of it.
    pub async fn anew(self) -> Self {
        self.store.close().await;
        Self {
            store: Store::open(&self.config).await.unwrap(),
            ..self
        }
    }

    /// As another process would.
    pub async fn another(&self) -> Store {
        Store::open(&self.config).await.unwrap()
    }

    pub async fn deliver(&self, rows: &[Row]) {
        self.store.clone().deliver(rows).await.unwrap();
    }

    /// Makes it one that version 2 wrote.
    pub async fn undo_versions_from_3(&self) {
        for table in ["calls", "refusals"] {
            for column in [
                "cached_input_audio_tokens",
                "cached_input_image_tokens",
                "input_known",
                "output_known",
                "labels",
                "model_asked",
            ] {
                let sql = format!("ALTER TABLE {table} DROP COLUMN {column}");
                self.raw(&sql).await;
            }
        }
        let newest = "DELETE FROM ledger_version WHERE version >= 3";
        assert_eq!(self.raw(newest).await, 2);
    }

    /// SQL past weir: how many rows it changed.
    pub async fn raw(&self, sql: &str) -> u64 {
        let query = AssertSqlSafe(sql.to_owned());
        match &self.config {
            StoreConfig::Sqlite { path } => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                let done = sqlx::query(query).execute(&mut connection).await;
                done.unwrap().rows_affected()
            }
            StoreConfig::Postgres(config) => {
                let mut connection = PgConnection::connect(&config.url).await.unwrap();
                let done = sqlx::query(query).execute(&mut connection).await;
                done.unwrap().rows_affected()
            }
        }
    }

    /// SQL past weir that may be refused: why.
    pub async fn try_raw(&self, sql: &str) -> Result<u64, String> {
        let query = AssertSqlSafe(sql.to_owned());
        let done = match &self.config {
            StoreConfig::Sqlite { path } => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                let done = sqlx::query(query).execute(&mut connection).await;
                done.map(|done| done.rows_affected())
            }
            StoreConfig::Postgres(config) => {
                let mut connection = PgConnection::connect(&config.url).await.unwrap();
                let done = sqlx::query(query).execute(&mut connection).await;
                done.map(|done| done.rows_affected())
            }
        };
        done.map_err(|error| error.to_string())
    }

    /// A number, past weir.
    pub async fn count(&self, sql: &str) -> i64 {
        let query = AssertSqlSafe(sql.to_owned());
        match &self.config {
            StoreConfig::Sqlite { path } => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::query_scalar(query)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
            StoreConfig::Postgres(config) => {
                let mut connection = PgConnection::connect(&config.url).await.unwrap();
                sqlx::query_scalar(query)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.config, StoreConfig::Postgres(_))
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }

    pub fn id(&mut self, at: u64) -> HoldId {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.next().to_be_bytes());
        HoldId::new(UnixMillis(at), &random)
    }
}

/// Links events as a spool does.
pub struct Chain {
    pub id: ChainId,
    pub last: Place,
}

impl Chain {
    pub fn new(dice: &mut Dice) -> Self {
        let id = u128::from(dice.next()) << 64 | u128::from(dice.next());
        Self {
            id: Uuid::from_u128(id),
            last: Place::START,
        }
    }

    pub fn link(&mut self, event: UsageEvent) -> Row {
        let hash = chained(&self.last.hash, &wire::encode_event(&event));
        let sequence = self.last.sequence + 1;
        self.last = Place { sequence, hash };
        let chain = self.id;
        let link = Link {
            chain,
            sequence,
            hash,
        };
        Row { event, link }
    }

    /// Plain calls, one a second.
    pub fn calls(&mut self, dice: &mut Dice, from: u64, number: u64) -> Vec<Row> {
        let at = |n| from + n * 1_000;
        (0..number).map(|n| self.link(call(dice, at(n)))).collect()
    }
}

/// A plain call of tenant `acme`: 10 tokens in, 5 out, 100 nano-dollars.
pub fn call(dice: &mut Dice, at: u64) -> UsageEvent {
    let mut event = bare(dice.id(at), at);
    event.tenant = Some("acme".into());
    event.model = Some("gpt-4o".into());
    event.known = Some(Known::Provider);
    event.input_tokens = Some(10);
    event.output_tokens = Some(5);
    event.cost_nanos = Some(100);
    event
}

fn bare(id: HoldId, at: u64) -> UsageEvent {
    UsageEvent {
        schema: SCHEMA.to_owned(),
        id,
        outcome: Outcome::Exact,
        refusal: None,
        refused_by: None,
        would_refuse: Vec::new(),
        started_at_ms: UnixMillis(at),
        first_token_at_ms: None,
        ended_at_ms: UnixMillis(at + 10),
        tenant: None,
        project: None,
        environment: None,
        user: None,
        key_id: None,
        plan: None,
        labels: None,
        model_asked: None,
        endpoint: None,
        dialect: "openai".into(),
        provider: None,
        model: None,
        model_served: None,
        service_tier: None,
        stream: false,
        status: Some(200),
        finish_reason: None,
        known: None,
        input_tokens: None,
        cached_input_tokens: None,
        cache_write_tokens: None,
        cache_write_1h_tokens: None,
        input_audio_tokens: None,
        input_image_tokens: None,
        cached_input_audio_tokens: None,
        cached_input_image_tokens: None,
        input_known: None,
        output_known: None,
        output_tokens: None,
        reasoning_tokens: None,
        output_audio_tokens: None,
        output_image_tokens: None,
        searches: None,
        reserved_tokens: None,
        cost_nanos: None,
        cost_parts: Vec::new(),
        price_version: None,
        actions: Vec::new(),
        cache_hit: false,
        request_bytes: 0,
        traceparent: None,
    }
}

/// Texts that a database might trip over.
const NAMES: [&str; 8] = [
    "acme",
    "",
    "O'Neil",
    "a\"b,c",
    "grün\u{1F4A1}",
    "\\N\t\n",
    "null",
    "%_",
];

fn name(dice: &mut Dice) -> Option<Arc<str>> {
    (!dice.one_in(4)).then(|| Arc::from(*dice.pick(&NAMES)))
}

fn string(dice: &mut Dice) -> Option<String> {
    name(dice).map(|name| name.to_string())
}

fn names(dice: &mut Dice) -> Vec<Arc<str>> {
    (0..dice.roll(3))
        .map(|_| Arc::from(*dice.pick(&NAMES)))
        .collect()
}

/// Absent, none, some, or now and then as many as `most`.
fn count(dice: &mut Dice, most: u64) -> Option<u64> {
    match dice.roll(12) {
        0..3 => None,
        3 => Some(0),
        4 => Some(most),
        _ => Some(dice.roll(100_000)),
    }
}

/// An event with anything in any field, counts up to `most`.
pub fn any_event(dice: &mut Dice, at: u64, most: u64) -> UsageEvent {
    let mut event = bare(dice.id(at), at + dice.roll(3));
    if dice.one_in(20) {
        // A clock that was far off.
        event.started_at_ms = UnixMillis(dice.roll(most));
    }
    let outcomes = [
        Outcome::Exact,
        Outcome::Estimated,
        Outcome::Void,
        Outcome::Refused,
    ];
    event.outcome = *dice.pick(&outcomes);
    let known = [
        None,
        Some(Known::Provider),
        Some(Known::Counted),
        Some(Known::Reserved),
    ];
    event.known = *dice.pick(&known);
    event.input_known = *dice.pick(&known);
    event.output_known = *dice.pick(&known);
    event.endpoint = (!dice.one_in(4)).then(|| *dice.pick(&Endpoint::ALL));
    for field in [
        &mut event.refusal,
        &mut event.refused_by,
        &mut event.tenant,
        &mut event.project,
        &mut event.environment,
        &mut event.user,
        &mut event.key_id,
        &mut event.plan,
        &mut event.provider,
        &mut event.model,
        &mut event.service_tier,
        &mut event.price_version,
    ] {
        *field = name(dice);
    }
    for field in [
        &mut event.model_served,
        &mut event.finish_reason,
        &mut event.traceparent,
    ] {
        *field = string(dice);
    }
    for field in [
        &mut event.input_tokens,
        &mut event.cached_input_tokens,
        &mut event.cache_write_tokens,
        &mut event.cache_write_1h_tokens,
        &mut event.input_audio_tokens,
        &mut event.input_image_tokens,
        &mut event.cached_input_audio_tokens,
        &mut event.cached_input_image_tokens,
        &mut event.output_tokens,
        &mut event.reasoning_tokens,
        &mut event.output_audio_tokens,
        &mut event.output_image_tokens,
        &mut event.searches,
        &mut event.reserved_tokens,
        &mut event.cost_nanos,
    ] {
        *field = count(dice, most);
    }
    event.would_refuse = names(dice);
    event.actions = names(dice);
    let labels = names(dice)
        .into_iter()
        .filter_map(|label| Some((label, name(dice)?)));
    event.labels = weir::identity::labels::sorted(labels.collect());
    event.model_asked = name(dice);
    event.first_token_at_ms = count(dice, most).map(UnixMillis);
    event.ended_at_ms = UnixMillis(count(dice, most).unwrap_or(at));
    event.dialect = (*dice.pick(&["openai", "anthropic"])).into();
    event.stream = dice.one_in(2);
    event.cache_hit = dice.one_in(2);
    event.status = (!dice.one_in(3)).then(|| dice.roll(65_536) as u16);
    event.request_bytes = count(dice, most).unwrap_or(0);
    let part = |dice: &mut Dice| CostPart {
        kind: *dice.pick(&Kind::ALL),
        units: dice.next(),
        cost_nanos: dice.next(),
    };
    event.cost_parts = (0..dice.roll(4)).map(|_| part(dice)).collect();
    event
}
