//! What the chart rendered, run here: the real weir with the rendered file, the real
//! Envoy with the rendered filters, a fake provider. Only addresses and folders are
//! this machine's.

use crate::support::client::{self, Answer};
use crate::support::process::Process;
use crate::support::provider::Provider;
use crate::support::stack::{KEY, PEPPER, envoy_command, weir_binary};
use crate::support::{authority::Authority, free_port, until};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use weir::exchange::UsageEvent;
use weir::identity::Pepper;

const READY_MAX: Duration = Duration::from_secs(30);
pub const SOON: Duration = Duration::from_secs(15);

/// The host by which the chart's service is known in the cluster.
pub const WEIR_HOST: &str = "weir.llm.svc.cluster.local";

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Where things are on this machine.
pub struct Places {
    pub dir: TempDir,
    pub front: u16,
    pub envoy_admin: u16,
    pub grpc: u16,
    pub health: u16,
    pub admin: u16,
    pub provider: SocketAddr,
}

impl Places {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// What is mounted into weir's container, in a folder of this machine.
pub fn mounted(dir: &Path) {
    for folder in ["etc/secrets", "etc/tls", "data", "run"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let secrets = [
        ("pepper", PEPPER),
        ("redis-password", "a password"),
        ("postgres-url", "postgres://weir@127.0.0.1:1/weir"),
        ("admin-token", "an-admin-token-for-tests"),
    ];
    for (name, secret) in secrets {
        fs::write(dir.join("etc/secrets").join(name), secret).unwrap();
    }
    let authority = Authority::new("of the cluster");
    let weir = authority.sign(&[WEIR_HOST]);
    let gateway = authority.sign(&["spiffe://example.org/gateway"]);
    let files = [
        ("ca.crt", authority.pem()),
        ("tls.crt", weir.cert),
        ("tls.key", weir.key),
        ("gateway.crt", gateway.cert),
        ("gateway.key", gateway.key),
    ];
    for (name, text) in files {
        fs::write(dir.join("etc/tls").join(name), text).unwrap();
    }
}

/// weir's file with this machine's folders.
fn with_folders(text: &str, dir: &Path) -> String {
    let dir = dir.display();
    text.replace("/etc/weir/", &format!("{dir}/etc/"))
        .replace("/var/lib/weir", &format!("{dir}/data"))
        .replace("/run/weir/", &format!("{dir}/run/"))
}

/// weir's file as `weir check` can read it here.
pub fn local(text: &str, dir: &Path) -> String {
    mounted(dir);
    with_folders(text, dir)
}

pub struct Rig {
    pub places: Places,
    pub provider: Provider,
    pub weir: Process,
    pub envoy: Process,
}

impl Rig {
    /// weir with `weir_yaml`, and Envoy with what `bootstrap` makes for the places.
    pub async fn start(weir_yaml: &str, bootstrap: impl FnOnce(&Places) -> Value) -> Self {
        let dir = tempfile::Builder::new().prefix("weir-").tempdir().unwrap();
        let provider = Provider::start(0).await;
        let places = Places {
            front: free_port(),
            envoy_admin: free_port(),
            grpc: free_port(),
            health: free_port(),
            admin: free_port(),
            provider: provider.address,
            dir,
        };
        mounted(places.dir.path());
        let mut text = with_folders(weir_yaml, places.dir.path());
        let ports = [
            (50051, places.grpc),
            (50052, places.health),
            (9090, places.admin),
        ];
        for (of_pod, here) in ports {
            text = text.replace(&format!("0.0.0.0:{of_pod}"), &format!("127.0.0.1:{here}"));
        }
        fs::write(places.path("etc/weir.yaml"), text).unwrap();
        let weir = start_weir(&places);
        let bootstrap = bootstrap(&places);
        fs::write(places.path("envoy.yaml"), bootstrap.to_string()).unwrap();
        let envoy = start_envoy(&places);
        let mut rig = Self {
            places,
            provider,
            weir,
            envoy,
        };
        rig.ready().await;
        rig
    }

    async fn ready(&mut self) {
        let (health, front) = (loopback(self.places.health), loopback(self.places.front));
        for address in [health, front] {
            until("weir and Envoy to listen", READY_MAX, || async move {
                client::accepts(address).await.then_some(())
            })
            .await;
        }
        for running in [self.weir.is_running(), self.envoy.is_running()] {
            assert!(running, "{}{}", self.weir.tail(), self.envoy.tail());
        }
        // What the chart's probes ask, asked in the way of its test.
        let weir = weir_binary();
        let server = health.to_string();
        until("weir to be healthy", READY_MAX, || {
            let mut command = Command::new(&weir);
            command.args(["health", "--server", &server]);
            async move { command.output().unwrap().status.success().then_some(()) }
        })
        .await;
    }

    /// A chat call of ada's to a host and path.
    pub fn chat(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let mut request = Request::post(path)
            .header("host", host)
            .header("content-type", "application/json");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {KEY}"));
        }
        let mut body = json!({
            "model": "gpt-4o", "messages": [{ "role": "user", "content": "hello out there" }],
        });
        for (name, value) in headers {
            match *name {
                "stream" => body["stream"] = (*value == "yes").into(),
                name if !value.is_empty() => request = request.header(name, *value),
                _ => {}
            }
        }
        request.body(Full::new(body.to_string().into())).unwrap()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        client::send(loopback(self.places.front), request).await
    }

    pub async fn open(&self, request: Request<Full<Bytes>>) -> client::Open {
        client::open(loopback(self.places.front), request).await
    }

    /// weir's rows once there are so many.
    pub async fn rows(&self, count: usize) -> Vec<UsageEvent> {
        lines(&self.places.path("data/usage.jsonl"), count).await
    }

    /// Envoy's access log once it has so many lines.
    pub async fn access_log(&self, count: usize) -> Vec<Value> {
        lines(&self.envoy.stdout, count).await
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.places.path(name)
    }
}

/// What stands in a file, a line each, once there are so many.
async fn lines<T: DeserializeOwned>(path: &Path, count: usize) -> Vec<T> {
    let what = format!("{count} lines of {}", path.display());
    until(&what, SOON, || {
        let text = fs::read_to_string(path).unwrap_or_default();
        // One that is still being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let read: Vec<T> = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        async move { (read.len() >= count).then_some(read) }
    })
    .await
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn start_weir(places: &Places) -> Process {
    let mut command = Command::new(weir_binary());
    command
        .args(["serve", "--config"])
        .arg(places.path("etc/weir.yaml"));
    Process::start("weir", command, places.dir.path())
}

fn start_envoy(places: &Places) -> Process {
    let mut command = envoy_command(&places.path("envoy.yaml"));
    // As the chart's patch takes them from a Secret.
    command.envs((0..2).map(|index| (format!("WEIR_CREDENTIAL_{index}"), credential(index))));
    Process::start("envoy", command, places.dir.path())
}

/// A provider's key.
pub fn credential(index: usize) -> String {
    format!("key-{index}-of-the-provider")
}

/// What every call in these tests is judged by: three requests a minute for the
/// tenant, one route by which nothing passes, and rows in a file.
pub fn config() -> String {
    let pepper = Pepper::new(PEPPER.as_bytes()).unwrap();
    format!(
        r#"existingSecret: weir
allowUnshared: true
config:
  ledger: {{ file: {{ path: /var/lib/weir/usage.jsonl }} }}
  identity:
    keys: [ {{ id: ada, tenant: acme, user: ada, hash: "{}" }} ]
  models: {{ gpt-4o: {{}} }}
  plans:
    team:
      limits: [ {{ per: tenant, unit: requests, amount: 3, every: 1h }}, {{ per: tenant, unit: tokens, amount: 100k, every: 1h }} ]
      output: {{ max_tokens: {{ default: 100, cap: 1000 }} }}
      policies:
        - {{ name: barred, when: 'request.route in ["by-istio", "by-envoy-gateway"]', then: {{ block: {{ message: Not by this route. }} }} }}
  tenants: {{ acme: {{ plan: team }} }}
  # As Istio and as Envoy Gateway name the route that tests call by /barred/.
  routes:
    - {{ name: by-istio, envoy_route: barred }}
    - {{ name: by-envoy-gateway, envoy_route: "httproute/apps/llm/rule/1/*" }}
"#,
        pepper.digest(KEY.as_bytes())
    )
}

/// A case of the chart, how it is attached and deployed, with the configuration of
/// these tests.
pub fn with_config(case: &str) -> String {
    let (deployment, _) = case.split_once("\nexistingSecret:").unwrap();
    format!("{deployment}\n{}", config())
}

/// A provider as Envoy knows it.
pub fn provider_cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "2s",
        "load_assignment": { "cluster_name": name, "endpoints": [ { "lb_endpoints": [
            { "endpoint": { "address": { "socket_address": {
                "address": address.ip().to_string(), "port_value": address.port(),
            } } } },
        ] } ] },
    })
}

/// A bootstrap with one listener, its filters and routes, and clusters.
pub fn bootstrap(places: &Places, manager: Value, clusters: Vec<Value>) -> Value {
    json!({
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": places.envoy_admin } } },
        "static_resources": {
            "listeners": [ {
                "name": "front",
                "address": { "socket_address": { "address": "127.0.0.1", "port_value": places.front } },
                "filter_chains": [ { "filters": [
                    { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
                ] } ],
            } ],
            "clusters": clusters,
        },
    })
}

/// As a protobuf message is merged: fields of the second count, lists are appended.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(name) {
                    Some(held) => merge(held, value),
                    None => drop(into.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}
