//! Alerts to webhooks: two sidecars with one database, a budget that passes two
//! thresholds, receivers that are down, that redirect, that nobody may reach.

use crate::support::postgres::Server;
use crate::support::stack::{PEPPER, Setup, Stack, weir_binary};
use crate::support::{free_port, until};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use weir::alerts::SigningKey;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What failed at once is tried again within seconds, on a busy machine too.
const DELIVERED: Duration = Duration::from_secs(60);

/// A call is a tenth of it.
const BUDGET: &str = "}
    budgets:
      - { name: monthly, unit: requests, amount: 10, every: month, warn_at: [0.5, 0.8]";

/// What arrived at a receiver: the path, the id, the body.
type Arrived = Arc<Mutex<Vec<(String, String, Value)>>>;

async fn receive(listener: TcpListener, arrived: Arrived) {
    while let Ok((stream, _)) = listener.accept().await {
        let arrived = Arc::clone(&arrived);
        let service = service_fn(move |request: Request<Incoming>| {
            let arrived = Arc::clone(&arrived);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let header = |name: &str| {
                    let value = head.headers.get(name);
                    value.map_or("", |value| value.to_str().unwrap()).to_owned()
                };
                let path = head.uri.path().to_owned();
                if path == "/json" {
                    let key = SigningKey::parse(SECRET).unwrap();
                    let at_secs = header("webhook-timestamp").parse().unwrap();
                    let signed = key.sign(&header("webhook-id"), at_secs, &body);
                    assert_eq!(header("webhook-signature"), signed);
                }
                let one = serde_json::from_slice(&body).unwrap();
                let seen = (path.clone(), header("webhook-id"), one);
                arrived.lock().unwrap().push(seen);
                let status = if path == "/moved" { 302 } else { 204 };
                let answer = Response::builder().status(status);
                let answer = answer.header("location", "/elsewhere");
                Ok::<_, Infallible>(answer.body(Full::new(Bytes::new())).unwrap())
            }
        });
        tokio::spawn(async move {
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn listed(stack: &Stack, args: &[&str]) -> Vec<Value> {
    let output = weir(stack, &[&["list", "--format", "json"], args].concat());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn weir(stack: &Stack, args: &[&str]) -> std::process::Output {
    Command::new(weir_binary())
        .arg("alerts")
        .args(args)
        .arg("--config")
        .arg(stack.dir.path().join("weir.yaml"))
        .env("WEIR_PEPPER", PEPPER)
        .env("WEIR_ADMIN_TOKEN", "an-admin-token-for-tests")
        .output()
        .unwrap()
}

/// A webhook's deliveries: state and last error.
fn of_webhook(alerts: &[Value], name: &str) -> Vec<(String, String)> {
    let all = alerts.iter().flat_map(|one| one["deliveries"].as_array());
    let all = all.flatten().filter(|of| of["webhook"] == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|of| (text(&of["state"]), text(&of["last_error"])))
        .collect()
}

// Programs are waited for while receivers answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sidecars_tell_each_threshold_once() {
    let server = Server::start(&["fsync=off"]).await;
    let secrets = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = secrets.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (url, secret) = (
        file("url", &server.database().await),
        file("secret", SECRET),
    );
    let port = free_port();
    let more = format!(
        "alerts:
  webhooks:
    - {{ name: ops, url: \"http://127.0.0.1:{port}/json\", form: json, secret: {{ file: \"{secret}\" }}, allow_private: true }}
    - {{ name: moved, url: \"http://127.0.0.1:{port}/moved\", form: slack, allow_private: true }}
    - {{ name: inside, url: \"https://127.0.0.1:{port}/inside\", form: slack }}
    - {{ name: metadata, url: \"http://169.254.169.254/latest\", form: slack, allow_private: true }}
"
    );
    let setup = || Setup {
        sinks: format!(", postgres: {{ url: {{ file: \"{url}\" }} }}"),
        output: BUDGET,
        more: more.clone(),
        ..Setup::default()
    };
    let stacks = [Stack::start(setup()).await, Stack::start(setup()).await];
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]});
    let call_all = async |calls: usize| {
        for stack in &stacks {
            for _ in 0..calls {
                assert_eq!(stack.send(stack.chat(&body, &[])).await.status, 200);
            }
        }
    };
    // Nobody listens there yet.
    call_all(6).await;
    until("a failed try", DELIVERED, || async {
        let tried = of_webhook(&listed(&stacks[0], &[]), "ops");
        let refused = tried.iter().any(|(_, error)| error.contains("refused"));
        refused.then_some(())
    })
    .await;
    let arrived = Arrived::default();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let receiving = tokio::spawn(receive(listener, Arc::clone(&arrived)));
    call_all(3).await;
    let alerts = until("both to be delivered", DELIVERED, || async {
        let alerts = listed(&stacks[1], &[]);
        let sent = of_webhook(&alerts, "ops");
        let all = sent.len() == 2 && sent.iter().all(|(state, _)| state == "sent");
        // The first try may have found nobody there at all.
        let tried = [("moved", "302"), ("inside", ""), ("metadata", "")];
        let tried = tried.iter().all(|(name, why)| {
            of_webhook(&alerts, name)
                .iter()
                .all(|(_, said)| !said.is_empty() && said.contains(why))
        });
        (all && tried).then_some(alerts)
    })
    .await;
    let seen = arrived.lock().unwrap().clone();
    let mut told: Vec<u64> = seen
        .iter()
        .filter(|(path, ..)| path == "/json")
        .map(|(_, _, body)| body["budget"]["threshold_per_mille"].as_u64().unwrap())
        .collect();
    told.sort_unstable();
    assert_eq!(told, [500, 800], "each once");
    assert!(
        !seen
            .iter()
            .any(|(path, ..)| path == "/elsewhere" || path == "/inside")
    );
    for (state, why) in of_webhook(&alerts, "moved") {
        assert!(state == "waiting" && why.contains("302"), "{state} {why}");
    }
    for name in ["inside", "metadata"] {
        let all = of_webhook(&alerts, name);
        assert_eq!(all.len(), 2);
        for (state, why) in all {
            assert!(
                state == "waiting" && why.contains("private or reserved"),
                "{state} {why}"
            );
        }
    }
    assert!(listed(&stacks[0], &["--dead"]).is_empty());
    let tried = weir(&stacks[0], &["test", "ops"]);
    assert!(
        tried.status.success(),
        "{}",
        String::from_utf8_lossy(&tried.stderr)
    );
    assert_eq!(arrived.lock().unwrap().last().unwrap().2["type"], "test");
    assert!(!weir(&stacks[0], &["test", "inside"]).status.success());
    receiving.abort();
}
