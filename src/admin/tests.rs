//! The pages over a real socket: answers, bounds, peers that misbehave.

use super::*;
use crate::certificates::tests::Authority;
use crate::certificates::{Authorities, Chain, ClientNames, Key, Pair, client_config};
use crate::config::{Address, Process, SocketOwner, TcpSocket, TlsSettings, UnixSocket};
use crate::config::{AdminConfig, Config, Outside, load};
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::{Driver, Leases, Rebuild, Recorder};
use crate::exchange::Settings;
use crate::identity::{Pepper, Peppers};
use crate::ledger::store::StoreConfig;
use crate::limits::share::OnCounterFailure;
use crate::telemetry::metrics::Listener;
use crate::units::Millis;
use axum::Extension;
use axum::routing::get;
use serde_json::json;
use std::sync::OnceLock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "a-token-of-sixteen";
const PEPPER: &str = "a-pepper-that-nobody-else-has-ever";

/// What the pages are of.
const WEIR: &str = "
listen: { grpc: \"unix:/tmp/weir.sock\" }
identity:
  pepper: { env: PEPPER }
  keys:
    - { id: ada, hash: \"0000000000000000000000000000000000000000000000000000000000000001\", tenant: acme }
    - { id: gus, hash: \"0000000000000000000000000000000000000000000000000000000000000002\", tenant: globex }
models: { m: { max_output_tokens: 10, price: unpriced } }
plans:
  p: { limits: [ { name: own, per: tenant, unit: requests, amount: 5, every: 1h } ] }
limits: [ { name: everybody, per: provider, unit: requests, amount: 50, every: 1h } ]
tenants: { acme: { plan: p }, globex: { plan: p } }
";

struct Variables;

impl Outside for Variables {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        (name == "PEPPER").then(|| PEPPER.into())
    }

    fn file(&self, _: &std::path::Path, _: usize) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn config() -> Config {
    load(WEIR, "weir.yaml", &Variables).unwrap_or_else(|problems| panic!("{problems}"))
}

fn driver(config: Config) -> Arc<Driver> {
    let settings = Settings {
        count_checks: false,
        body_bytes_max: 1 << 16,
        keep_authorization: false,
        trust_ext_authz: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(15),
        handover_max: Millis::from_secs(10),
    };
    Driver::new(
        Arc::new(config.snapshot),
        settings,
        Counters::Memory(Memory::default()),
        Recorder::new(None, Arc::new(Metrics::new()), None),
        Leases::default(),
        OnCounterFailure::Share,
    )
}

/// What a process has that serves calls, with such access and such a database.
fn state(token: Option<&str>, admin: &AdminConfig, store: Option<StoreConfig>) -> AdminState {
    let peppers = Peppers {
        now: Pepper::new(PEPPER.as_bytes()).unwrap(),
        before: None,
    };
    let accounts = AccountsApi::new(store.clone(), Some(peppers), Arc::default());
    let config = config();
    let configuration = ConfigurationApi::new(&config);
    let (reload, mut asks) = ReloadApi::new();
    // Finds everything as it was; ends with the test's runtime.
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let _ = ask.send(Ok(Arc::default()));
        }
    });
    let (driver, told) = (driver(config), OnceLock::new());
    // Ends with the test's runtime.
    tokio::spawn(Rebuild::new(Arc::clone(&driver)).run(CancellationToken::new()));
    assert!(told.set(driver).is_ok());
    AdminState {
        metrics: Arc::new(Metrics::new()),
        readiness: Arc::default(),
        limits: LimitsApi::new(Arc::new(told)),
        usage: UsageApi::new(store),
        access: Arc::new(Access::new(token, admin, accounts.clone())),
        accounts,
        alerts: AlertsApi::default(),
        configuration,
        reload,
    }
}

/// A server on a free port, and how to stop it.
struct Server {
    address: std::net::SocketAddr,
    state: AdminState,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Server {
    start_within(REQUEST_MAX).await
}

/// Any free port.
async fn incoming(tls: Option<TlsSettings>) -> (Incoming, std::net::SocketAddr) {
    let address = "127.0.0.1:0".parse().unwrap();
    let incoming = open(&Address::Tcp(TcpSocket { address, tls })).await;
    let address = incoming.tcp_address().unwrap().unwrap();
    (incoming, address)
}

async fn open(address: &Address) -> Incoming {
    let metrics = Arc::new(Metrics::new());
    let opened = Incoming::open(address, Listener::Admin, &Process, &metrics).await;
    opened.unwrap()
}

async fn start_within(request_max: Duration) -> Server {
    let (incoming, address) = incoming(None).await;
    let state = AdminState {
        limits: LimitsApi::default(),
        ..state(None, &AdminConfig::default(), None)
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let router = endpoints::router(state.clone());
    let task = tokio::spawn(serve_within(request_max, incoming, router, shutdown));
    Server {
        address,
        state,
        stop,
        task,
    }
}

impl Server {
    /// Sends bytes and reads until the server closes.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that has heard enough may close before all is sent.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn request(&self, method: &str, path: &str) -> (u16, String, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let answer = self.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn health_is_given_while_the_process_lives_and_readiness_follows_its_parts() {
    let server = start().await;
    assert_eq!(server.request("GET", "/healthz").await.0, 200);
    let (status, head, body) = server.request("GET", "/readyz").await;
    assert_eq!(status, 503);
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["ready"], false);
    assert_eq!(
        body["checks"],
        json!({ "started": false, "not_draining": true, "counters": true, "ledger": true, "keys": true })
    );
    server.state.readiness.set_started();
    assert_eq!(server.request("GET", "/readyz").await.0, 200);
    server.state.readiness.set_draining();
    let (status, _, body) = server.request("GET", "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""not_draining":false"#), "{body}");
    assert_eq!(server.request("GET", "/healthz").await.0, 200);
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let server = start().await;
    server.state.metrics.call_opened();
    let (status, head, body) = server.request("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.contains("weir_open_calls 1\n"), "{body}");
    let (status, _, body) = server.request("HEAD", "/metrics").await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn other_pages_and_methods_are_refused_in_json() {
    let server = start().await;
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/metrics/x", 404),
        ("POST", "/nowhere", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/healthz", 405),
    ] {
        let (status, head, body) = server.request(method, path).await;
        assert_eq!(status, expected, "{method} {path}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].is_string());
        if expected == 405 {
            assert!(head.contains("allow: get,head"), "{head}");
        }
    }
}

#[tokio::test]
async fn limits_are_told_only_to_who_brings_the_token() {
    let server = start().await;
    let (status, _, body) = server.request("GET", "/v1/limits?tenant=acme").await;
    assert_eq!(status, 403, "no token is configured: {body}");
    let token = "a-token-of-sixteen";
    let answer = |method: &str, brought: &str| {
        let brought = brought.to_owned();
        let method = method.to_owned();
        let state = AdminState {
            limits: LimitsApi::default(),
            ..state(Some(token), &AdminConfig::default(), None)
        };
        async move {
            let (incoming, address) = incoming(None).await;
            let task = tokio::spawn(serve(incoming, state, std::future::pending()));
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!(
                "{method} /v1/limits?tenant=acme HTTP/1.1\r\nhost: localhost\r\nauthorization: {brought}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            task.abort();
            answer.split(' ').nth(1).unwrap().to_owned()
        }
    };
    for brought in [
        "Bearer a-token-of-sixteem",
        "Bearer ",
        "",
        token,
        "Basic a-token-of-sixteen",
    ] {
        for method in ["GET", "DELETE"] {
            assert_eq!(answer(method, brought).await, "401", "{brought}");
        }
    }
    // Of this process no driver is known yet.
    assert_eq!(answer("GET", "Bearer a-token-of-sixteen").await, "503");
    assert_eq!(answer("POST", "Bearer a-token-of-sixteen").await, "405");
}

#[tokio::test]
async fn a_head_above_the_bound_is_refused() {
    let server = start().await;
    let filler = "a".repeat(HEAD_BYTES_MAX);
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-filler: {filler}\r\n\r\n");
    let answer = server.raw(request.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let small = format!(
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-filler: {}\r\n\r\n",
        &filler[..4096]
    );
    assert!(
        server
            .raw(small.as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn nonsense_is_answered_or_dropped_and_the_server_lives() {
    let server = start_within(Duration::from_millis(500)).await;
    for nonsense in [
        &b"\r\n\r\n\r\n"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = server.raw(nonsense).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert_eq!(server.request("GET", "/healthz").await.0, 200);
}

#[tokio::test]
async fn connections_that_say_nothing_give_their_place_back() {
    let server = start_within(Duration::from_millis(300)).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // All places are taken; this one waits until their time is over.
    assert_eq!(server.request("GET", "/healthz").await.0, 200);
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn it_stops_when_told_to() {
    let server = start().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.request("GET", "/healthz").await.0, 200);
    server.stop.send(()).unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(5), server.task).await;
    stopped.expect("a silent peer doesn't keep it").unwrap();
    drop(silent);
}

/// Says who asks.
fn who() -> Router {
    let page = async |client: Option<Extension<Arc<ClientNames>>>| match client {
        Some(Extension(client)) => format!("{} {}", client.uris.join(","), client.dns.join(",")),
        None => "nobody".to_owned(),
    };
    Router::new().route("/who", get(page))
}

/// The body of the answer that comes over `io`.
async fn asked_who(mut io: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let request = b"GET /who HTTP/1.1\r\nhost: weir\r\n\r\n";
    io.write_all(request).await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_verified_client_is_known_to_handlers() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let own = ca.sign(&["weir"]);
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = TlsSettings {
        cert: write("cert.pem", &own.cert),
        key: write("key.pem", &own.key),
        client_ca: Some(write("ca.pem", &ca.pem())),
        client_names: Vec::new(),
    };
    let (verified, address) = incoming(Some(tls)).await;
    let (plain, plain_address) = incoming(None).await;
    let path = dir.path().join("admin.sock");
    let unix = open(&Address::Unix(UnixSocket {
        path: path.clone(),
        mode: 0o600,
        owner: SocketOwner::default(),
    }))
    .await;
    let mut servers = JoinSet::new();
    for incoming in [verified, plain, unix] {
        servers.spawn(serve_within(
            REQUEST_MAX,
            incoming,
            who(),
            std::future::pending(),
        ));
    }
    let authorities = Authorities::read(ca.pem().as_bytes()).unwrap();
    let cases: [(&[&str], &str); 2] = [
        (
            &["spiffe://example.org/ops", "ops.example.org"],
            "spiffe://example.org/ops ops.example.org",
        ),
        (&["a://b", "c://d"], "a://b,c://d "),
    ];
    for (names, expected) in cases {
        let signed = ca.sign(names);
        let chain = Chain::read(signed.cert.as_bytes()).unwrap();
        let pair = Pair::new(chain, Key::read(signed.key.as_bytes()).unwrap()).unwrap();
        let client = client_config(&authorities, Some(&pair), b"http/1.1").unwrap();
        let client = tokio_rustls::TlsConnector::from(Arc::new(client));
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = client
            .connect("weir".try_into().unwrap(), stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(asked_who(stream).await, expected);
    }
    let stream = TcpStream::connect(plain_address).await.unwrap();
    assert_eq!(asked_who(stream).await, "nobody");
    let stream = UnixStream::connect(&path).await.unwrap();
    assert_eq!(asked_who(stream).await, "nobody");
}

#[path = "tests/alerts.rs"]
mod alerts;
#[path = "tests/approvals.rs"]
mod approvals;
#[path = "tests/description.rs"]
mod description;
#[path = "tests/explain.rs"]
mod explain;
#[path = "tests/isolation.rs"]
mod isolation;
#[path = "tests/known.rs"]
mod known;
#[path = "tests/roles.rs"]
mod roles;
#[path = "tests/usage.rs"]
mod usage;

/// A request to a router, without a socket.
struct Ask<'a> {
    method: &'a str,
    path: String,
    headers: Vec<(&'a str, String)>,
    body: String,
    names: Option<CertificateNames>,
    peer: Peer,
}

/// Each request comes from an address of its own, unless a test says otherwise.
static PEERS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0x0a00_0000);

impl<'a> Ask<'a> {
    fn new(method: &'a str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: vec![("host", "localhost".to_owned())],
            body: String::new(),
            names: None,
            peer: {
                let next = PEERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Peer::Ip(std::net::Ipv4Addr::from_bits(next).into())
            },
        }
    }

    fn token(mut self, token: &str) -> Self {
        self.headers
            .push(("authorization", format!("Bearer {token}")));
        self
    }

    fn json(mut self, body: &serde_json::Value) -> Self {
        self.headers
            .push(("content-type", "application/json".to_owned()));
        self.body = body.to_string();
        self
    }

    /// Status, headers, body.
    async fn of(
        self,
        state: &AdminState,
    ) -> (u16, axum::http::HeaderMap, serde_json::Value, String) {
        let mut request = axum::http::Request::builder()
            .method(self.method)
            .uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(axum::body::Body::from(self.body)).unwrap();
        request.extensions_mut().insert(self.peer);
        if let Some(names) = self.names {
            request.extensions_mut().insert(names);
        }
        let service = TowerToHyperService::new(endpoints::router(state.clone()));
        let response = service.call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        (head.status.as_u16(), head.headers, json, text)
    }
}
