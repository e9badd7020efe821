//! The whole path on free ports: fake provider, Envoy with one of the shipped
//! configurations, weir, and Redis where it is asked for.

use super::client::{self, Answer, Open};
use super::process::Process;
use super::provider::Provider;
use super::{free_port, until};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;
use weir::identity::Pepper;

pub const PEPPER: &str = "a pepper that only tests know";
/// The caller's key; it belongs to tenant `acme`, user `ada`.
pub const KEY: &str = "weir_test_ada";
/// Of the same tenant, user `bob`.
pub const OTHER_KEY: &str = "weir_test_bob";
const READY_MAX: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);

/// Which engine keeps the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Memory,
    Redis,
}

/// What a stack is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    pub engine: Engine,
    /// A file of `envoy/`.
    pub envoy: &'static str,
    /// The plan's limits, as YAML list items.
    pub limits: String,
    /// More top-level fields of `weir.yaml`.
    pub more: String,
    /// Replacements in Envoy's configuration.
    pub envoy_edits: Vec<(&'static str, &'static str)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            engine: Engine::Memory,
            envoy: "unix.yaml",
            limits: AMPLE.to_owned(),
            more: String::new(),
            envoy_edits: Vec::new(),
        }
    }
}

/// Limits that nothing here reaches.
pub const AMPLE: &str = "
      - { per: tenant, unit: requests, amount: 100k, every: 1h }
      - { per: tenant, unit: tokens, amount: 1000M, every: 1h }
      - { per: user, unit: requests, amount: 100k, every: 1h }
      - { per: user, unit: tokens, amount: 1000M, every: 1h }
      - { per: tenant, unit: concurrency, amount: 1000 }";

/// In every plan besides its own limits: never reached, and exact, so that the
/// books can be held against them. Fewer tokens than the ample limit, so that
/// what is left of them is what the headers say.
const AUDIT: [&str; 2] = [
    "{ name: audit-requests, per: tenant, unit: requests, amount: 200k, every: 24h }",
    "{ name: audit-tokens, per: tenant, unit: tokens, amount: 500M, every: 24h, algorithm: sliding_window }",
];

/// Limits of these amounts are exact and count whatever the tenant uses.
const EXACT_REQUESTS: [u64; 2] = [100_000, 200_000];
const EXACT_TOKENS: [u64; 1] = [500_000_000];

/// The running path.
pub struct Stack {
    pub provider: Provider,
    pub weir: Process,
    pub envoy: Process,
    pub redis: Option<(Process, u16)>,
    /// Where applications send their calls.
    pub front: SocketAddr,
    /// weir's admin port.
    pub admin: SocketAddr,
    /// weir's gRPC port, besides its Unix socket.
    pub grpc: SocketAddr,
    pub dir: TempDir,
    setup: Setup,
    /// Since when the counters have counted: Unix time in milliseconds.
    counting_since_ms: u64,
    /// weir was killed and started anew.
    was_killed: bool,
}

impl Stack {
    pub async fn start(setup: Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("weir-").tempdir().unwrap();
        let provider = Provider::start(0).await;
        let (redis, counters) = match setup.engine {
            Engine::Memory => (None, "{ memory: {} }".to_owned()),
            Engine::Redis => {
                let port = free_port();
                let redis = start_redis(dir.path(), port).await;
                // Far above what a busy test machine needs, far below Envoy's.
                let counters = format!(
                    "{{ redis: {{ url: \"redis://127.0.0.1:{port}\", response_timeout: 500ms }} }}"
                );
                (Some((redis, port)), counters)
            }
        };
        let ports = Ports::new();
        fs::write(
            dir.path().join("weir.yaml"),
            weir_yaml(&setup, dir.path(), &ports, &counters),
        )
        .unwrap();
        let weir = start_weir(dir.path());
        let envoy = start_envoy(&setup, dir.path(), &ports, provider.address);
        let mut stack = Self {
            provider,
            weir,
            envoy,
            redis,
            front: loopback(ports.front),
            admin: loopback(ports.admin),
            grpc: loopback(ports.grpc),
            dir,
            setup,
            counting_since_ms: 0,
            was_killed: false,
        };
        stack.ready().await;
        stack
    }

    /// Waits until weir and Envoy serve.
    async fn ready(&mut self) {
        let (admin, front) = (self.admin, self.front);
        for running in [self.weir.is_running(), self.envoy.is_running()] {
            assert!(running, "{}{}", self.weir.tail(), self.envoy.tail());
        }
        until("weir to be ready", READY_MAX, || async move {
            let ready =
                client::accepts(admin).await && client::get(admin, "/readyz").await.status == 200;
            ready.then_some(())
        })
        .await;
        until("Envoy to listen", READY_MAX, || async move {
            client::accepts(front).await.then_some(())
        })
        .await;
    }

    /// Starts weir anew on the same configuration.
    pub async fn restart_weir(&mut self) {
        self.weir.kill();
        self.was_killed = true;
        if self.setup.engine == Engine::Memory {
            self.counting_since_ms = unix_ms();
        }
        self.weir = start_weir(self.dir.path());
        self.ready().await;
    }

    /// Kills Redis.
    pub fn kill_redis(&mut self) {
        self.redis.as_mut().expect("a stack with Redis").0.kill();
    }

    /// Makes Redis lose all that it knows.
    pub async fn flush_redis(&mut self) {
        let (_, port) = self.redis.as_ref().expect("a stack with Redis");
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let flushed = redis::cmd("FLUSHALL").exec_async(&mut connection).await;
        flushed.unwrap();
        self.counting_since_ms = unix_ms();
    }

    /// Starts Redis anew, empty, where the old one was.
    pub async fn restart_redis(&mut self) {
        let (_, port) = self.redis.take().expect("a stack with Redis");
        self.counting_since_ms = unix_ms();
        self.redis = Some((start_redis(self.dir.path(), port).await, port));
    }

    /// A chat call's request.
    pub fn chat(&self, body: &Value, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
        self.post("/v1/chat/completions", body.to_string(), headers)
    }

    /// A POST with the caller's key, unless `headers` bring another.
    pub fn post(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Request<Full<Bytes>> {
        let mut request = Request::post(path)
            .header("host", "gateway")
            .header("content-type", "application/json");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {KEY}"));
        }
        for (name, value) in headers {
            if !value.is_empty() {
                request = request.header(*name, *value);
            }
        }
        request.body(Full::new(body.into())).unwrap()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        client::send(self.front, request).await
    }

    pub async fn open(&self, request: Request<Full<Bytes>>) -> Open {
        client::open(self.front, request).await
    }

    /// The usage events so far.
    pub fn events(&self) -> Vec<UsageEvent> {
        let text = fs::read_to_string(self.dir.path().join("usage.jsonl")).unwrap_or_default();
        // A line that is still being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until there are so many events, and gives them.
    pub async fn wait_for_events(&self, count: usize) -> Vec<UsageEvent> {
        let what = format!("{count} usage events");
        until(&what, SOON, || async move {
            let events = self.events();
            (events.len() >= count).then_some(events)
        })
        .await
    }

    /// A metric's value, or 0.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = client::get(self.admin, "/metrics").await.text();
        let line = text.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    }

    /// What Envoy logged of its calls.
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.envoy.stdout).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The books at the end: what the provider saw, what the events say and what
    /// the counters hold agree, and nothing is left open.
    pub async fn settle_the_books(&self) {
        let events = self.log_and_events_agree().await;
        self.counters_agree(&events).await;
    }

    /// The same without asking the counters, where no call can get through.
    pub async fn log_and_events_agree(&self) -> Vec<UsageEvent> {
        let received = self.provider.log();
        let count = received.len();
        let what = format!("an event for each of the {count} calls that the provider saw");
        let events = until(&what, SOON, || async move {
            let events = self.events();
            (events.iter().filter(|event| was_sent(event)).count() >= count).then_some(events)
        })
        .await;
        assert_eq!(
            events.iter().filter(|event| was_sent(event)).count(),
            count,
            "{events:#?}"
        );
        let mut ids: Vec<_> = events.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "no two events share an id");
        let exact: Vec<u64> = events
            .iter()
            .filter(|e| e.outcome == Outcome::Exact)
            .map(UsageEvent::total_tokens)
            .collect();
        let billed: Vec<u64> = received
            .iter()
            .filter(|r| r.status == 200 && r.finished && r.header("x-fake-no-usage").is_none())
            .map(|r| r.bills.0 + r.bills.1)
            .collect();
        if self.was_killed {
            // What ended while there was no weir is estimated.
            let estimated = |e: &&UsageEvent| e.outcome == Outcome::Estimated;
            let estimated = events.iter().filter(estimated).count();
            assert!(billed.len() <= exact.len() + estimated, "{events:#?}");
        } else {
            assert_eq!(
                exact.iter().sum::<u64>(),
                billed.iter().sum::<u64>(),
                "exact events say what the provider bills: {events:#?}"
            );
        }
        until("no call and no hold to be open", SOON, || async move {
            let open = self.metric("weir_open_calls").await + self.metric("weir_open_holds").await;
            (open == 0.0).then_some(())
        })
        .await;
        events
    }

    /// Asks the counters by one more call: what is left of each exact limit is
    /// what the events have not used. A plan whose own limit is tighter, and has
    /// refused, says what it has counted; where its headers hide the exact ones,
    /// the test itself knows what to expect.
    async fn counters_agree(&self, events: &[UsageEvent]) {
        let counted: Vec<_> = events
            .iter()
            .filter(|event| was_sent(event) && event.started_at_ms.0 >= self.counting_since_ms)
            .collect();
        let requests = counted.len() as u64;
        let tokens: u64 = counted.iter().map(|event| event.total_tokens()).sum();
        let probe = self.chat(
            &serde_json::json!({"model": "gpt-4o", "max_tokens": 1,
            "messages": [{"role": "user", "content": "probe"}]}),
            &[],
        );
        let answer = self.send(probe).await;
        if answer.status == 429 {
            let message = answer.json()["error"]["message"].to_string();
            let long = answer.header("x-should-retry") == Some("false");
            if answer.json()["error"]["type"] == "requests" && long {
                assert!(message.contains(&format!("Used {requests},")), "{message}");
            }
            return;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let own = until("the probe's event", SOON, || async move {
            let mut known = self.events().into_iter();
            known.find(|event| {
                events.iter().all(|other| other.id != event.id) && event.outcome == Outcome::Exact
            })
        })
        .await;
        let own = own.reserved_tokens.unwrap();
        let number = |name: String| {
            answer
                .header(&name)
                .map(|text| text.parse::<u64>().unwrap())
        };
        for (unit, used, exact) in [
            ("requests", requests + 1, &EXACT_REQUESTS[..]),
            ("tokens", tokens + own, &EXACT_TOKENS[..]),
        ] {
            let limit = number(format!("x-ratelimit-limit-{unit}")).unwrap();
            let left = number(format!("x-ratelimit-remaining-{unit}")).unwrap();
            if exact.contains(&limit) {
                assert_eq!(limit - left, used, "{unit} in the counters: {events:#?}");
            }
        }
    }
}

/// Whether the provider saw the call, and the counters its request: what was
/// never sent is void without the provider's own refusal.
fn was_sent(event: &UsageEvent) -> bool {
    let refused_there = event
        .status
        .is_some_and(|status| (400..500).contains(&status));
    match event.outcome {
        Outcome::Refused => false,
        Outcome::Void => refused_there,
        Outcome::Exact | Outcome::Estimated => true,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

struct Ports {
    front: u16,
    envoy_admin: u16,
    admin: u16,
    grpc: u16,
}

impl Ports {
    fn new() -> Self {
        Self {
            front: free_port(),
            envoy_admin: free_port(),
            admin: free_port(),
            grpc: free_port(),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A plan's limits, in either of YAML's forms, and those of the audit.
fn with_audit(limits: &str) -> String {
    match limits.trim().strip_suffix(']') {
        Some(list) => format!("{list}, {} ]", AUDIT.join(", ")),
        None => format!("{limits}\n      - {}", AUDIT.join("\n      - ")),
    }
}

fn weir_yaml(setup: &Setup, dir: &Path, ports: &Ports, counters: &str) -> String {
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    let hash = |key: &str| pepper.digest(key.as_bytes());
    format!(
        r#"listen:
  grpc: [ "unix:{socket}", "127.0.0.1:{grpc}" ]
  admin: "127.0.0.1:{admin}"
counters: {counters}
usage_log: {{ path: "{log}" }}
identity:
  pepper: {{ env: WEIR_PEPPER }}
  keys:
    - {{ id: ada-key, tenant: acme, user: ada, hash: "{ada}" }}
    - {{ id: bob-key, tenant: acme, user: bob, hash: "{bob}" }}
models:
  gpt-4o: {{}}
  gpt-5: {{}}
  text-embedding-3-small: {{}}
plans:
  team:
    limits: {limits}
    output: {{ max_tokens: {{ default: 100, cap: 1000 }} }}
tenants:
  acme: {{ plan: team }}
{more}
"#,
        socket = dir.join("weir.sock").display(),
        grpc = ports.grpc,
        admin = ports.admin,
        log = dir.join("usage.jsonl").display(),
        ada = hash(KEY),
        bob = hash(OTHER_KEY),
        limits = with_audit(&setup.limits),
        more = setup.more,
    )
}

fn start_weir(dir: &Path) -> Process {
    let mut command = Command::new(weir_binary());
    command
        .args(["serve", "--config"])
        .arg(dir.join("weir.yaml"))
        .env("WEIR_PEPPER", PEPPER);
    Process::start("weir", command, dir)
}

/// Beside the test's own program: `target/<profile>/weir`.
pub fn weir_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(Path::parent).unwrap();
    let binary = profile.join("weir");
    assert!(
        binary.is_file(),
        "{} is missing: run cargo build",
        binary.display()
    );
    binary
}

fn start_envoy(setup: &Setup, dir: &Path, ports: &Ports, provider: SocketAddr) -> Process {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("envoy")
        .join(setup.envoy);
    let mut text = fs::read_to_string(shipped).unwrap();
    let socket = dir.join("weir.sock");
    let port = |port: u16| format!("port_value: {port} ");
    let mut edits = vec![
        ("port_value: 10000 ".to_owned(), port(ports.front)),
        ("port_value: 9901 ".to_owned(), port(ports.envoy_admin)),
        ("port_value: 8001 ".to_owned(), port(provider.port())),
    ];
    if text.contains("/tmp/weir/weir.sock") {
        edits.push((
            "/tmp/weir/weir.sock".to_owned(),
            socket.display().to_string(),
        ));
    }
    if text.contains("port_value: 9191 ") {
        edits.push(("port_value: 9191 ".to_owned(), port(ports.grpc)));
    }
    edits.extend(
        setup
            .envoy_edits
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned())),
    );
    for (from, to) in edits {
        assert!(text.contains(&from), "{} has no {from:?}", setup.envoy);
        text = text.replace(&from, &to);
    }
    let config = dir.join("envoy.yaml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(envoy_binary());
    command.arg("-c").arg(config).args([
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--log-level",
        "warn",
    ]);
    Process::start("envoy", command, dir)
}

/// `WEIR_ENVOY`, or what `make` installed.
pub fn envoy_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_ENVOY") {
        return path.into();
    }
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/lib");
    let folders = fs::read_dir(&lib).into_iter().flatten().flatten();
    let found = folders
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no Envoy under {}: run `make envoy`, or set WEIR_ENVOY",
            lib.display()
        )
    })
}

/// A Redis of its own, without persistence.
pub async fn start_redis(dir: &Path, port: u16) -> Process {
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    command.arg("--dir").arg(dir);
    let redis = Process::start("redis", command, dir);
    let address = loopback(port);
    until("Redis to listen", READY_MAX, || async move {
        client::accepts(address).await.then_some(())
    })
    .await;
    redis
}
