//! Two weirs behind one Envoy: each with a ledger folder of its own, the counters in
//! one Redis, the ledger, keys and grants in one PostgreSQL. Their configuration is
//! the same but for where they listen and keep their files.

use super::books::{audited, was_sent};
use super::postgres::Server;
use super::process::Process;
use super::stack::{Engine, Setup, Stack, start_weir};
use super::{client, free_port, until};
use http_body_util::Full;
use hyper::Request;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use weir::counters::redis::{Redis, RedisConfig};
use weir::units::Millis;

/// How long a replica may take to start, or to end with its open calls: minutes on a
/// machine where much else runs.
const SOON: Duration = Duration::from_secs(90);

/// A busy machine takes its time for a hundred calls at once.
const PATIENCE: (&str, &str) = (" message_timeout: 1s", " message_timeout: 30s");

/// The folder of the second one.
const SECOND: &str = "second";

pub struct Replicas {
    /// Whose `weir` is the first.
    pub stack: Stack,
    pub second: Process,
    /// The database.
    pub url: String,
    second_admin: SocketAddr,
    _secrets: TempDir,
    _server: Arc<Server>,
}

/// A call's row in PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub outcome: String,
    pub tenant: String,
    pub user: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_nanos: u64,
}

impl Replicas {
    /// Both serve, and Envoy knows it.
    pub async fn start(setup: Setup) -> Self {
        let server = Server::shared().await;
        let (url, secrets) = (server.database().await, tempfile::tempdir().unwrap());
        let file = secrets.path().join("url");
        fs::write(&file, &url).unwrap();
        let stack = Stack::start(Setup {
            engine: Engine::Redis,
            sinks: format!(", postgres: {{ url: {{ file: \"{}\" }} }}", file.display()),
            // The same.
            redis: "response_timeout: 10s, on_failure: deny",
            envoy_edits: [vec![PATIENCE], setup.envoy_edits].concat(),
            envoy: match setup.envoy {
                "unix.yaml" => "replicas.yaml",
                other => other,
            },
            ..setup
        })
        .await;
        let dir = stack.dir.path().join(SECOND);
        fs::create_dir(&dir).unwrap();
        let second_admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        write_second(&stack, second_admin);
        let replicas = Self {
            second: start_weir(&dir, ""),
            stack,
            url,
            second_admin,
            _secrets: secrets,
            _server: server,
        };
        until("the second to be ready", SOON, || async {
            replicas.is_ready(1).await.then_some(())
        })
        .await;
        replicas.are_used().await;
        replicas
    }

    pub fn admin(&self, index: usize) -> SocketAddr {
        [self.stack.admin, self.second_admin][index]
    }

    pub fn grpc(&self, index: usize) -> SocketAddr {
        [self.stack.grpc, self.stack.grpc_beside][index]
    }

    pub fn weir(&mut self, index: usize) -> &mut Process {
        match index {
            0 => &mut self.stack.weir,
            _ => &mut self.second,
        }
    }

    fn dir(&self, index: usize) -> PathBuf {
        match index {
            0 => self.stack.dir.path().to_owned(),
            _ => self.stack.dir.path().join(SECOND),
        }
    }

    /// Both read another configuration from now on.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let path = self.dir(0).join("weir.yaml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "no {from:?} in {text}");
        fs::write(&path, text.replace(from, to)).unwrap();
        write_second(&self.stack, self.second_admin);
    }

    /// Starts one again, where and as it was.
    pub fn start_again(&mut self, index: usize) {
        *self.weir(index) = start_weir(&self.dir(index), "");
    }

    /// Whether Envoy sends calls there.
    pub async fn is_used(&self, index: usize) -> bool {
        let clusters = client::get(self.stack.envoy_admin, "/clusters")
            .await
            .text();
        let mut places = vec![self.grpc(index).to_string()];
        if index == 0 {
            places.push(
                self.stack
                    .dir
                    .path()
                    .join("weir.sock")
                    .display()
                    .to_string(),
            );
        }
        let healthy = |place: &String| format!("weir::{place}::health_flags::healthy");
        places
            .iter()
            .any(|place| clusters.contains(&healthy(place)))
    }

    pub async fn are_used(&self) {
        for index in [0, 1] {
            until("Envoy to send calls to both", SOON, || async {
                self.is_used(index).await.then_some(())
            })
            .await;
        }
    }

    /// Waits until one has ended by itself; whether it ended well.
    pub async fn ended(&mut self, index: usize) -> bool {
        let weir = self.weir(index);
        weir.wait_for_end(SOON).await
    }

    /// What metrics of both say, added up.
    pub async fn metric(&self, series: &str) -> f64 {
        self.metric_of(0, series).await + self.metric_of(1, series).await
    }

    /// What one's metrics say; 0 where they don't.
    pub async fn metric_of(&self, index: usize, series: &str) -> f64 {
        let text = client::get(self.admin(index), "/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// How many calls each has let through, by what it wrote down.
    pub fn calls_of_each(&self) -> [usize; 2] {
        ["", SECOND].map(|name| {
            let events = self.stack.events_beside(name);
            events.iter().filter(|event| was_sent(event)).count()
        })
    }

    /// How many calls each was asked about, those that it refused too.
    pub fn asked_of_each(&self) -> [usize; 2] {
        ["", SECOND].map(|name| self.stack.events_beside(name).len())
    }

    /// What PostgreSQL holds of calls that were let through.
    pub async fn rows(&self) -> Vec<Row> {
        type Columns = (String, String, String, String, i64, i64, i64);
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let query = sqlx::query_as::<_, Columns>(
            "SELECT id::text, outcome, COALESCE(tenant, ''), COALESCE(user_name, ''),
                    COALESCE(input_tokens, 0), COALESCE(output_tokens, 0), COALESCE(cost_nanos, 0)
             FROM calls ORDER BY id",
        );
        // Its tables are made with its first rows.
        let rows = match query.fetch_all(&mut connection).await {
            Err(error) if error.to_string().contains("does not exist") => Vec::new(),
            rows => rows.unwrap(),
        };
        let number = |number: i64| u64::try_from(number).unwrap();
        let rows = rows.into_iter().map(|row| Row {
            id: row.0,
            outcome: row.1,
            tenant: row.2,
            user: row.3,
            input_tokens: number(row.4),
            output_tokens: number(row.5),
            cost_nanos: number(row.6),
        });
        rows.collect()
    }

    /// Each call that the provider saw has one row in PostgreSQL, exact and with its
    /// tokens, and nobody else has; Redis counts the same, and holds nothing open.
    /// Gives the rows. Calls that were cut are none of the provider's whole ones:
    /// `cut` of them are estimated.
    pub async fn books_agree(&self, cut: usize) -> Vec<Row> {
        let log = self.stack.provider.log();
        let rows = until("a row for each call", SOON, || async {
            let rows = self.rows().await;
            (rows.len() >= log.len()).then_some(rows)
        })
        .await;
        until("nothing to be open", SOON, || async {
            let mut open = 0.0;
            for series in ["weir_open_calls", "weir_open_holds", "weir_unsettled_holds"] {
                open += self.metric(series).await;
            }
            (open == 0.0 && self.stack.sorted_sets().await.is_empty()).then_some(())
        })
        .await;
        let rows = match self.rows().await {
            after if after == rows => rows,
            after => panic!("rows came late: {} after {}", after.len(), rows.len()),
        };
        assert_eq!(rows.len(), log.len(), "a row for each call that was sent");
        let mut ids: Vec<_> = rows.iter().map(|row| &row.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), rows.len(), "each id once");
        let exact = rows.iter().filter(|row| row.outcome == "exact");
        assert_eq!(exact.clone().count(), rows.len() - cut, "{rows:#?}");

        let mut difference: BTreeMap<(u64, u64), i64> = BTreeMap::new();
        for call in log.iter().filter(|call| call.finished) {
            *difference.entry(call.bills).or_default() += 1;
        }
        for row in exact {
            let tokens = (row.input_tokens, row.output_tokens);
            *difference.entry(tokens).or_default() -= 1;
        }
        difference.retain(|_, count| *count != 0);
        if cut == 0 {
            assert!(difference.is_empty(), "{difference:?}");
        }
        self.redis_agrees(&rows).await;
        rows
    }

    /// Of tenant `acme`, whose exact limits are asked for.
    async fn redis_agrees(&self, rows: &[Row]) {
        let config = RedisConfig {
            response_timeout: Millis::from_secs(5),
            ..RedisConfig::new(self.stack.redis_url())
        };
        let redis = Redis::connect(&config).await.unwrap();
        let counted: Vec<_> = rows.iter().filter(|row| row.tenant == "acme").collect();
        let tokens = counted
            .iter()
            .map(|row| row.input_tokens + row.output_tokens);
        let cost: u64 = counted.iter().map(|row| row.cost_nanos).sum();
        // The audit asks for one of each.
        let right = [counted.len() as u64 + 1, tokens.sum::<u64>() + 1, cost + 1];
        assert_eq!(
            audited(&redis).await,
            right,
            "Redis counts what PostgreSQL has"
        );
    }

    /// Whether a replica says that it is ready; false where there is none.
    pub async fn is_ready(&self, index: usize) -> bool {
        let request = Request::get("/readyz").header("host", "test");
        let request = request.body(Full::default()).unwrap();
        let ready = client::try_open(self.admin(index), request).await;
        ready.is_ok_and(|ready| ready.status == 200)
    }
}

/// The first one's configuration, in another place.
fn write_second(stack: &Stack, admin: SocketAddr) {
    let text = fs::read_to_string(stack.dir.path().join("weir.yaml")).unwrap();
    let dir = stack.dir.path().display();
    let mut second = text.clone();
    for (from, to) in [
        (stack.grpc.to_string(), stack.grpc_beside.to_string()),
        (stack.admin.to_string(), admin.to_string()),
        (
            "http_authz: ".to_owned(),
            "http_authz: \"127.0.0.1:0\" # ".to_owned(),
        ),
        (
            format!("{dir}/weir.sock"),
            format!("{dir}/{SECOND}/weir.sock"),
        ),
        (
            format!("{dir}/ledger\""),
            format!("{dir}/{SECOND}/ledger\""),
        ),
        (
            format!("{dir}/usage.jsonl"),
            format!("{dir}/{SECOND}/usage.jsonl"),
        ),
    ] {
        assert!(second.contains(&from), "no {from:?} in {text}");
        second = second.replace(&from, &to);
    }
    fs::write(stack.dir.path().join(SECOND).join("weir.yaml"), second).unwrap();
}
