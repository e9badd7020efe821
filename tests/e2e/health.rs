//! What probes are told: gRPC health beside Envoy's services and alone, and `weir
//! health`; and that calls are taken for as long as their senders may look elsewhere.

use super::calls::hello;
use super::program::check;
use crate::support::authority::Authority;
use crate::support::stack::{ADMIN_TOKEN, Engine, PEPPER, SOON, Setup, Stack, weir_binary};
use crate::support::{client, free_port, until};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

const SERVING: Result<ServingStatus, Code> = Ok(ServingStatus::Serving);
const NOT_SERVING: Result<ServingStatus, Code> = Ok(ServingStatus::NotServing);

/// Starts weir anew with `listen.health`.
async fn with_health(stack: &mut Stack, health: &str) {
    let path = stack.dir.path().join("weir.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "  admin_token:",
        &format!("  health: {health}\n  admin_token:"),
    );
    fs::write(&path, text).unwrap();
    stack.restart_weir().await;
}

/// The exit code of `weir health`, and what it printed.
fn asked(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(weir_binary());
    command.arg("health").args(arguments);
    command.env("WEIR_PEPPER", PEPPER);
    command.env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN);
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

fn said(code: i32, out: &str) -> (Option<i32>, String, String) {
    (Some(code), format!("{out}\n"), String::new())
}

#[tokio::test]
async fn health_is_told_alone_and_whatever_the_counter_store_does() {
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        ..Setup::default()
    })
    .await;
    let health = SocketAddr::from(([127, 0, 0, 1], free_port()));
    // From anywhere, without `allow_remote`.
    with_health(&mut stack, &format!("\"0.0.0.0:{}\"", health.port())).await;
    for address in [health, stack.grpc] {
        assert_eq!(check(address, "").await, SERVING);
        assert_eq!(check(address, "live").await, SERVING);
        assert_eq!(check(address, "other").await, Err(Code::NotFound));
    }
    // Nothing else is served there.
    let endpoint = tonic::transport::Endpoint::new(format!("http://{health}")).unwrap();
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            endpoint.connect_lazy(),
        );
    let refused = reflection
        .server_reflection_info(tokio_stream::empty())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);

    let config = stack.dir.path().join("weir.yaml");
    let config = config.to_str().unwrap();
    let socket = format!("unix:{}", stack.dir.path().join("weir.sock").display());
    let (health, gone) = (health.to_string(), format!("127.0.0.1:{}", free_port()));
    assert_eq!(asked(&["--server", &health]), said(0, "serving"));
    assert_eq!(
        asked(&["--server", &socket, "--service", "live"]),
        said(0, "serving")
    );
    assert_eq!(asked(&["--config", config]), said(0, "serving"));
    for (arguments, expected) in [
        (
            &["--server", &health, "--service", "x"][..],
            "knows no service \"x\"",
        ),
        (&["--server", &gone], "Connection refused"),
        (&["--server", &stack.admin.to_string()], "can't be asked"),
        (&["--config", "/nowhere.yaml"], "nowhere.yaml"),
        (
            &["--server", &health, "--config", config],
            "cannot be used with",
        ),
        (&[], "required"),
        (
            &["--server", "weir"],
            "--server: must be HOST:PORT or unix:PATH",
        ),
        (&["--server", &health, "--timeout", "0s"], "must be a span"),
    ] {
        let (code, out, err) = asked(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }

    // All replicas share the store: they don't leave together because of it.
    stack.kill_redis();
    let admin = stack.admin;
    until("readiness to turn", SOON, || async move {
        (client::get(admin, "/readyz").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(asked(&["--server", &health]), said(0, "serving"));
}

/// A probe of a start that takes long sees a process that lives and wants no calls.
#[tokio::test]
async fn health_is_told_before_the_start_is_over() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let mut stack = Stack::start(Setup::default()).await;
    let path = stack.dir.path().join("weir.yaml");
    let health = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let redis = format!("{{ redis: {{ url: \"redis://{silent}\", connect_timeout: 1m }} }}");
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace("counters: { memory: {} }", &format!("counters: {redis}"))
        .replace(
            "  admin_token:",
            &format!("  health: \"{health}\"\n  admin_token:"),
        );
    fs::write(&path, &text).unwrap();
    stack.kill_weir();
    stack.start_weir_anew();
    until("health to be told", SOON, || async move {
        client::accepts(health).await.then_some(())
    })
    .await;
    assert_eq!(check(health, "live").await, SERVING);
    assert_eq!(check(health, "").await, NOT_SERVING);
    let health = health.to_string();
    assert_eq!(asked(&["--server", &health]), said(1, "not serving"));
    assert!(stack.weir.is_running());
}

#[tokio::test]
async fn health_is_told_by_tls_too() {
    let mut stack = Stack::start(Setup::default()).await;
    let authority = Authority::new("ca");
    let signed = authority.sign(&["weir.test"]);
    let dir = stack.dir.path().to_owned();
    for (name, text) in [
        ("ca.pem", &authority.pem()),
        ("cert.pem", &signed.cert),
        ("key.pem", &signed.key),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    let file = |name: &str| dir.join(name).display().to_string();
    let (port, ca) = (free_port(), file("ca.pem"));
    let tls = format!(
        "{{ cert: \"{}\", key: \"{}\" }}",
        file("cert.pem"),
        file("key.pem")
    );
    with_health(
        &mut stack,
        &format!("{{ address: \"127.0.0.1:{port}\", tls: {tls} }}"),
    )
    .await;
    let (config, server) = (file("weir.yaml"), format!("127.0.0.1:{port}"));
    let trusted = ["--ca", &ca, "--server-name", "weir.test"];
    for place in [["--config", &config], ["--server", &server]] {
        let (fine, plain) = ([&place[..], &trusted].concat(), &place[..]);
        assert_eq!(asked(&fine), said(0, "serving"), "{place:?}");
        // Who vouches for it must be said, and who it is must be right.
        assert_eq!(asked(plain).0, Some(2), "{place:?}");
        let nameless = [plain, &trusted[..2]].concat();
        assert_eq!(asked(&nameless).0, Some(2), "{place:?}");
    }
}

#[tokio::test]
async fn calls_are_taken_while_their_senders_look_elsewhere() {
    let mut stack = Stack::start(Setup {
        more: "server: { shutdown_delay: 10m }".to_owned(),
        ..Setup::default()
    })
    .await;
    let health = SocketAddr::from(([127, 0, 0, 1], free_port()));
    with_health(&mut stack, &format!("\"{health}\"")).await;
    stack.weir.terminate();
    let grpc = stack.grpc;
    until("health to turn", SOON, || async move {
        (check(grpc, "").await == NOT_SERVING).then_some(())
    })
    .await;
    assert_eq!(check(health, "").await, NOT_SERVING);
    assert_eq!(check(health, "live").await, SERVING);
    assert_eq!(client::get(stack.admin, "/readyz").await.status, 503);
    assert_eq!(client::get(stack.admin, "/healthz").await.status, 200);
    let answer = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut body = hello();
    body["stream"] = true.into();
    let gate = [("x-fake-gate", "rest"), ("x-fake-gate-after", "1")];
    let mut open = stack.open(stack.chat(&body, &gate)).await;
    open.chunk().await.unwrap().unwrap();

    // Who can't wait says so once more.
    stack.weir.terminate();
    until("new calls to be refused", SOON, || async {
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        matches!(answer.status, 500 | 503).then_some(())
    })
    .await;
    assert_eq!(check(health, "live").await, SERVING);
    assert!(stack.weir.is_running(), "an open call is waited for");
    stack.provider.open_gate("rest");
    let (text, whole) = open.rest().await;
    assert!(whole && text.ends_with("data: [DONE]\n\n"), "{text}");
    let ended = stack.weir.wait_for_end(SOON).await;
    assert!(ended, "it went well");
    stack.restart_weir().await;
    stack.settle_the_books().await;
}
