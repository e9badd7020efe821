//! The whole path on free ports: fake provider, Envoy with one of the shipped
//! configurations, weir, and Redis where it is asked for.

use super::books::AUDIT;
use super::canaries::{Canaries, bodies};
use super::client::{self, Answer, Open};
use super::image;
use super::link::Link;
use super::process::Process;
use super::provider::Provider;
use super::{free_port, until};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use weir::exchange::UsageEvent;
use weir::identity::Pepper;

pub const PEPPER: &str = "a pepper that only tests know";
/// The caller's key; it belongs to tenant `acme`, user `ada`.
pub const KEY: &str = "demo-key-of-ada-at-acme";
/// Of the same tenant, user `bob`.
pub const OTHER_KEY: &str = "demo-key-of-bob-at-acme";
/// Of another tenant, `globex`.
pub const FOREIGN_KEY: &str = "demo-key-of-eve-at-globex";
const READY_MAX: Duration = Duration::from_secs(20);
pub const SOON: Duration = Duration::from_secs(10);

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
    /// Fields of the plan's `output` besides its caps.
    pub output: &'static str,
    /// More fields of the plan, a line each.
    pub plan: String,
    /// Fields of `identity` besides the pepper and the keys, a line each.
    pub identity: &'static str,
    /// More models, as YAML.
    pub models: &'static str,
    /// More top-level fields of `weir.yaml`.
    pub more: String,
    /// weir reaches Redis over a link that can fall.
    pub link: bool,
    /// Fields of `counters.redis` besides its address.
    pub redis: &'static str,
    /// Replacements in Envoy's configuration.
    pub envoy_edits: Vec<(&'static str, &'static str)>,
    /// Of the ledger: `strict` or `relaxed`.
    pub durability: &'static str,
    /// The ledger goes to a database too: `weir.db`.
    pub sqlite: bool,
    /// Where weir dies or its disk fails: see `ledger::faults`.
    pub faults: String,
    /// Where the ledger is.
    pub ledger: Option<PathBuf>,
    /// Fields of `ledger` besides its path and its file, each behind a comma; `DIR`
    /// is the stack's own folder.
    pub sinks: String,
    /// Redis writes down what it is told, and knows it again after a crash.
    pub redis_keeps: bool,
    /// Where weir listens for Envoy, as YAML list items; `DIR` is the stack's own
    /// folder, `GRPC` its gRPC port.
    pub grpc: String,
    /// Files in the stack's own folder: where, and what they hold.
    pub files: Vec<(&'static str, String)>,
    /// weir is the first process of an image with this root. Its own folder there is
    /// the stack's, so `grpc` should name the socket `/run/weir/weir.sock`.
    pub root: Option<Arc<image::Root>>,
    /// What weir calls the machine that Redis is on.
    pub redis_host: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            engine: Engine::Memory,
            envoy: "unix.yaml",
            limits: AMPLE.to_owned(),
            output: "",
            plan: String::new(),
            identity: "",
            models: "",
            more: String::new(),
            link: false,
            // Far above what a busy test machine needs, far below Envoy's.
            redis: "response_timeout: 500ms, on_failure: deny",
            envoy_edits: Vec::new(),
            durability: "strict",
            sqlite: false,
            faults: String::new(),
            ledger: None,
            sinks: String::new(),
            redis_keeps: false,
            grpc: "\"unix:DIR/weir.sock\", \"127.0.0.1:GRPC\"".to_owned(),
            files: Vec::new(),
            root: None,
            redis_host: "127.0.0.1",
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

/// The running path.
pub struct Stack {
    pub provider: Provider,
    pub weir: Process,
    pub envoy: Process,
    pub redis: Option<(Process, u16)>,
    /// Between weir and Redis, where the setup asks for it.
    pub link: Option<Link>,
    /// Where applications send their calls.
    pub front: SocketAddr,
    /// weir's admin port.
    pub admin: SocketAddr,
    /// weir's gRPC port, besides its Unix socket.
    pub grpc: SocketAddr,
    /// Where Envoy looks for another weir, in configurations with two.
    pub grpc_beside: SocketAddr,
    /// Envoy's own admin pages.
    pub envoy_admin: SocketAddr,
    pub dir: TempDir,
    pub(super) setup: Setup,
    /// Since when the counters have counted: Unix time in milliseconds.
    pub(super) counting_since_ms: u64,
    /// weir was killed and started anew.
    pub(super) was_killed: bool,
    /// Bodies that were made for it: those that weir refuses reach no provider.
    asked: Mutex<Vec<Bytes>>,
}

/// The most bodies that are kept to be looked for.
const ASKED_MAX: usize = 32;

impl Stack {
    pub async fn start(setup: Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("weir-").tempdir().unwrap();
        let provider = Provider::start(0).await;
        let mut link = None;
        let (redis, counters) = match setup.engine {
            Engine::Memory => (None, "{ memory: {} }".to_owned()),
            Engine::Redis => {
                let port = free_port();
                let redis = run_redis(dir.path(), port, setup.redis_keeps).await;
                let mut address = loopback(port);
                if setup.link {
                    address = link.insert(Link::start(address).await).address;
                }
                let (more, host, port_seen) = (setup.redis, setup.redis_host, address.port());
                let counters =
                    format!("{{ redis: {{ url: \"redis://{host}:{port_seen}\", {more} }} }}");
                (Some((redis, port)), counters)
            }
        };
        let ports = Ports::new();
        for (name, text) in &setup.files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::write(
            dir.path().join("weir.yaml"),
            weir_yaml(&setup, seen_by_weir(&setup, dir.path()), &ports, &counters),
        )
        .unwrap();
        let weir = start_own_weir(&setup, dir.path());
        let envoy = start_envoy(&setup, dir.path(), &ports, provider.address);
        let mut stack = Self {
            provider,
            weir,
            envoy,
            redis,
            link,
            front: loopback(ports.front),
            admin: loopback(ports.admin),
            grpc: loopback(ports.grpc),
            grpc_beside: loopback(ports.grpc_beside),
            envoy_admin: loopback(ports.envoy_admin),
            dir,
            setup,
            counting_since_ms: 0,
            was_killed: false,
            asked: Mutex::default(),
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

    /// Another weir beside the first, without an Envoy: its gRPC and admin ports.
    pub async fn another_weir(&self) -> (Process, SocketAddr, SocketAddr) {
        let another = self.weir_beside("another", "");
        let (_, _, admin) = another;
        until("another weir to be ready", READY_MAX, || async move {
            let ready =
                client::accepts(admin).await && client::get(admin, "/readyz").await.status == 200;
            ready.then_some(())
        })
        .await;
        another
    }

    /// The same by a name of its own, and not waited for.
    pub fn weir_beside(&self, name: &str, faults: &str) -> (Process, SocketAddr, SocketAddr) {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let written = fs::read_to_string(self.dir.path().join("weir.yaml")).unwrap();
        let (grpc, admin) = (loopback(free_port()), loopback(free_port()));
        let config = written
            .replace(&self.grpc.to_string(), &grpc.to_string())
            .replace(&self.admin.to_string(), &admin.to_string())
            .replace("http_authz: ", "http_authz: \"127.0.0.1:0\" # ")
            .replace("/weir.sock", &format!("/{name}/weir.sock"))
            .replace("/ledger\"", &format!("/{name}/ledger\""))
            .replace("/usage.jsonl", &format!("/{name}/usage.jsonl"));
        fs::write(dir.join("weir.yaml"), config).unwrap();
        (start_weir(&dir, faults), grpc, admin)
    }

    /// Kills weir, as a crash does.
    pub fn kill_weir(&mut self) {
        self.weir.kill();
        self.was_killed = true;
    }

    /// Starts weir anew, and doesn't wait for it.
    pub fn start_weir_anew(&mut self) {
        self.weir = start_own_weir(&self.setup, self.dir.path());
    }

    /// Starts weir anew on the same configuration.
    pub async fn restart_weir(&mut self) {
        if self.weir.is_running() {
            self.kill_weir();
        }
        if self.setup.engine == Engine::Memory {
            self.counting_since_ms = unix_ms();
        }
        self.weir = start_own_weir(&self.setup, self.dir.path());
        self.ready().await;
    }

    /// Where weir dies or its disk fails, from its next start on.
    pub fn let_fail(&mut self, faults: &str) {
        faults.clone_into(&mut self.setup.faults);
    }

    /// Kills Redis.
    pub fn kill_redis(&mut self) {
        self.redis.as_mut().expect("a stack with Redis").0.kill();
    }

    /// Makes Redis lose all that it knows. What open calls took comes back.
    pub async fn flush_redis(&self) {
        let () = self.ask_redis(&redis::cmd("FLUSHALL")).await;
    }

    /// Redis itself, without a link between.
    pub fn redis_url(&self) -> String {
        let (_, port) = self.redis.as_ref().expect("a stack with Redis");
        format!("redis://127.0.0.1:{port}")
    }

    /// Asks Redis itself.
    pub async fn ask_redis<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let client = redis::Client::open(self.redis_url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }

    /// Starts Redis anew where the old one was; empty, unless it keeps what it is
    /// told.
    pub async fn restart_redis(&mut self) {
        let (_, port) = self.redis.take().expect("a stack with Redis");
        let keeps = self.setup.redis_keeps;
        if !keeps {
            self.counting_since_ms = unix_ms();
        }
        self.redis = Some((run_redis(self.dir.path(), port, keeps).await, port));
    }

    /// Starts weir anew, as a supervisor does: it may not come up.
    pub fn start_weir(&mut self) {
        self.was_killed = true;
        self.weir = start_own_weir(&self.setup, self.dir.path());
    }

    /// Whether weir says so; false where there is none.
    pub async fn weir_is_ready(&self) -> bool {
        let request = Request::get("/readyz").header("host", "test");
        let request = request.body(Full::default()).unwrap();
        let ready = client::try_open(self.admin, request).await;
        ready.is_ok_and(|ready| ready.status == 200)
    }

    /// The spool's folder.
    pub fn ledger(&self) -> PathBuf {
        ledger_path(&self.setup, self.dir.path())
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
        let body = body.into();
        let mut asked = self.asked.lock().unwrap();
        if asked.len() < ASKED_MAX {
            asked.push(body.clone());
        }
        request.body(Full::new(body)).unwrap()
    }

    /// What was let out that nobody may know.
    pub fn leaks(&self) -> Vec<String> {
        let asked: Vec<Value> = {
            let asked = self.asked.lock().unwrap();
            let read = asked
                .iter()
                .filter_map(|body| serde_json::from_slice(body).ok());
            read.collect()
        };
        let log = self.provider.log();
        let canaries = Canaries::of_stacks().with_prompts(asked.iter().chain(bodies(&log)));
        // What tests put there themselves.
        let own: Vec<PathBuf> = self
            .setup
            .files
            .iter()
            .map(|(name, _)| name.into())
            .collect();
        let dir = self.dir.path();
        let is_own = |path: &Path| own.iter().any(|own| path == dir.join(own));
        let mut found = canaries.in_folder(dir, &is_own);
        found.extend(canaries.in_metrics(self.admin));
        found
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        client::send(self.front, request).await
    }

    pub async fn open(&self, request: Request<Full<Bytes>>) -> Open {
        client::open(self.front, request).await
    }

    /// The usage events so far.
    pub fn events(&self) -> Vec<UsageEvent> {
        self.events_beside("")
    }

    /// Those of another weir.
    pub fn events_beside(&self, name: &str) -> Vec<UsageEvent> {
        let path = self.dir.path().join(name).join("usage.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
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

    /// A metric's value.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = client::get(self.admin, "/metrics").await.text();
        let line = text.lines().find(|line| {
            line.rsplit_once(' ')
                .is_some_and(|(name, _)| name == series)
        });
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no series {series} in {text}"))
    }

    /// Waits until Envoy has logged so many calls.
    pub async fn wait_for_access_log(&self, count: usize) {
        let what = format!("{count} calls in the access log");
        until(&what, SOON, || async move {
            (self.access_log().len() >= count).then_some(())
        })
        .await;
    }

    /// What Envoy logged of its calls.
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.envoy.stdout).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "let out: {leaks:#?}");
    }
}

pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

struct Ports {
    front: u16,
    envoy_admin: u16,
    admin: u16,
    grpc: u16,
    grpc_beside: u16,
    http_authz: u16,
}

impl Ports {
    fn new() -> Self {
        Self {
            front: free_port(),
            envoy_admin: free_port(),
            admin: free_port(),
            grpc: free_port(),
            grpc_beside: free_port(),
            http_authz: free_port(),
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

fn ledger_path(setup: &Setup, dir: &Path) -> PathBuf {
    setup.ledger.clone().unwrap_or_else(|| dir.join("ledger"))
}

fn weir_yaml(setup: &Setup, dir: &Path, ports: &Ports, counters: &str) -> String {
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    let hash = |key: &str| pepper.digest(key.as_bytes());
    format!(
        r#"listen:
  grpc: [ {grpc} ]
  admin: "127.0.0.1:{admin}"
  admin_token: {{ env: WEIR_ADMIN_TOKEN }}
  http_authz: "127.0.0.1:{http_authz}"
counters: {counters}
ledger: {{ path: "{ledger}", durability: {durability}, file: {{ path: "{log}" }} {sqlite} {sinks} }}
identity:
  pepper: {{ env: WEIR_PEPPER }}
  keys:
    - {{ id: ada-key, tenant: acme, environment: test, user: ada, hash: "{ada}" }}
    - {{ id: bob-key, tenant: acme, user: bob, hash: "{bob}" }}
    - {{ id: eve-key, tenant: globex, user: eve, hash: "{eve}" }}
{identity}
models:
  gpt-4o: {{ tier: large, provider: fake, price: {{ input: 2.50, cached_input: 1.25, output: 10 }} }}
  gpt-5: {{ price: {{ input: 1.25, output: 10 }} }}
  gpt-4o-mini: {{ price: {{ input: 0.15, output: 0.60 }} }}
  text-embedding-3-small: {{ price: {{ input: 0.02, output: 0 }} }}
  claude-sonnet-4-5: {{ vocabulary: o200k_base, price: {{ input: 3, output: 15 }} }}
  claude-haiku-4-5: {{ vocabulary: o200k_base, price: {{ input: 1, output: 5 }} }}
  gemini-2.5-pro: {{ vocabulary: o200k_base, price: {{ input: 1.25, output: 10 }} }}
  gemini-2.5-flash: {{ vocabulary: o200k_base, price: {{ input: 0.30, output: 2.50 }} }}
  gemini-embedding-001: {{ vocabulary: o200k_base, price: {{ input: 0.15, output: 0 }} }}
  "us.amazon.nova-micro-v1:0": {{ vocabulary: o200k_base, price: {{ input: 0.035, output: 0.14 }} }}
  "{NOVA_ARN}": {{ vocabulary: o200k_base, price: {{ input: 0.035, output: 0.14 }} }}
  llama3.2: {{ vocabulary: o200k_base, price: {{ input: 0, output: 0 }} }}
  nomic-embed-text: {{ price: {{ input: 0, output: 0 }} }}
{models}plans:
  team:
    limits: {limits}
    output: {{ max_tokens: {{ default: 100, cap: 1000 }} {output} }}
{plan}
tenants:
  acme: {{ plan: team }}
  globex: {{ plan: team }}
{more}
"#,
        grpc = setup
            .grpc
            .replace("DIR", &dir.display().to_string())
            .replace("GRPC", &ports.grpc.to_string()),
        admin = ports.admin,
        http_authz = ports.http_authz,
        identity = setup.identity,
        ledger = ledger_path(setup, dir).display(),
        durability = setup.durability,
        sinks = setup.sinks.replace("DIR", &dir.display().to_string()),
        log = dir.join("usage.jsonl").display(),
        sqlite = match setup.sqlite {
            true => format!(
                ", sqlite: {{ path: \"{}\" }}",
                dir.join("weir.db").display()
            ),
            false => String::new(),
        },
        ada = hash(KEY),
        bob = hash(OTHER_KEY),
        eve = hash(FOREIGN_KEY),
        limits = with_audit(&setup.limits),
        output = setup.output,
        plan = setup.plan,
        models = setup.models,
        more = setup.more,
    )
}

/// A model of Bedrock by its full name, which has slashes.
pub const NOVA_ARN: &str =
    "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-micro-v1:0";

/// Where the shipped configuration reads the keys of tokens.
const JWKS_PATH: &str = "/tmp/weir/jwks.json";

/// What tokens are signed with, by HMAC.
pub const TOKEN_KEY: &[u8] = b"a secret that tokens are signed with in tests";

/// What `weir limits` brings.
pub const ADMIN_TOKEN: &str = "an-admin-token-for-tests";

/// The stack's folder, as its weir knows it.
fn seen_by_weir<'d>(setup: &Setup, dir: &'d Path) -> &'d Path {
    match setup.root {
        Some(_) => Path::new(image::INSIDE),
        None => dir,
    }
}

fn start_own_weir(setup: &Setup, dir: &Path) -> Process {
    match &setup.root {
        Some(root) => {
            let command = with_secrets(root.first_process(dir), &setup.faults);
            Process::start_within("weir", command, dir)
        }
        None => start_weir(dir, &setup.faults),
    }
}

pub(super) fn start_weir(dir: &Path, faults: &str) -> Process {
    let mut command = Command::new(weir_binary());
    command
        .args(["serve", "--config"])
        .arg(dir.join("weir.yaml"));
    Process::start("weir", with_secrets(command, faults), dir)
}

fn with_secrets(mut command: Command, faults: &str) -> Command {
    command
        .env("FAILPOINTS", faults)
        .env("WEIR_PEPPER", PEPPER)
        .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN);
    command
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
    if text.contains("port_value: 9192 ") {
        edits.push(("port_value: 9192 ".to_owned(), port(ports.http_authz)));
    }
    if text.contains(JWKS_PATH) {
        let own = dir.join("jwks.json");
        let key = BASE64_URL_SAFE_NO_PAD.encode(TOKEN_KEY);
        let key = json!({ "kty": "oct", "alg": "HS256", "kid": "test", "k": key });
        fs::write(&own, json!({ "keys": [key] }).to_string()).unwrap();
        edits.push((JWKS_PATH.to_owned(), own.display().to_string()));
    }
    if text.contains("/tmp/weir/tls/") {
        let files = format!("{}/tls/", dir.display());
        edits.push(("/tmp/weir/tls/".to_owned(), files));
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
    // Tests may bring it in.
    text = text.replace("port_value: 9291 ", &port(ports.grpc_beside));
    let config = dir.join("envoy.yaml");
    fs::write(&config, text).unwrap();
    Process::start("envoy", envoy_command(&config), dir)
}

/// The real Envoy with a configuration, beside others of this machine.
pub fn envoy_command(config: &Path) -> Command {
    let mut command = Command::new(envoy_binary());
    command.arg("-c").arg(config).args([
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--log-level",
        "warn",
        // The access log's, which is 10 s else.
        "--file-flush-interval-msec",
        "50",
    ]);
    command
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
    run_redis(dir, port, false).await
}

/// What `keeps` says is with the system before it is answered, so a kill loses
/// nothing of it.
async fn run_redis(dir: &Path, port: u16, keeps: bool) -> Process {
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--appendonly",
        if keeps { "yes" } else { "no" },
    ]);
    command.arg("--dir").arg(dir);
    let server = Process::start("redis", command, dir);
    let address = loopback(port);
    until("Redis to listen", READY_MAX, || async move {
        client::accepts(address).await.then_some(())
    })
    .await;
    if keeps {
        // It listens before it has read what it kept.
        let client = redis::Client::open(format!("redis://{address}")).unwrap();
        let client = &client;
        until(
            "Redis to have read what it kept",
            READY_MAX,
            || async move {
                let mut connection = client.get_multiplexed_async_connection().await.ok()?;
                let pong: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
                pong.is_ok().then_some(())
            },
        )
        .await;
    }
    server
}
