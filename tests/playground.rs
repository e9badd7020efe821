//! `make run`: the whole path on the ports of the shipped configurations, left
//! running until Ctrl-C.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use support::process::Process;
use support::provider::Provider;
use support::stack::{KEY, PEPPER, envoy_binary, weir_binary};
use support::{client, until};
use tokio::signal::unix::{SignalKind, signal};
use weir::identity::Pepper;

/// As in `envoy/unix.yaml`, and weir's admin port.
const PORTS: [(u16, &str); 4] = [
    (10_000, "Envoy"),
    (9_901, "Envoy's admin pages"),
    (8_001, "the fake provider"),
    (9_090, "weir's admin pages"),
];

#[tokio::main]
async fn main() -> ExitCode {
    for (port, whose) in PORTS {
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            eprintln!(
                "Port {port} is taken, and {whose} would listen there. Stop what uses it and try again."
            );
            return ExitCode::FAILURE;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join("target/run");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir_all("/tmp/weir").unwrap();
    let hash = Pepper::new(PEPPER.as_bytes())
        .unwrap()
        .digest(KEY.as_bytes());
    let example = fs::read_to_string(root.join("tests/demo/weir.yaml")).unwrap();
    let config = example
        .replace("HASH", &hash.to_string())
        .replace("LEDGER", &dir.join("ledger").display().to_string());
    fs::write(dir.join("weir.yaml"), config).unwrap();

    let provider = Provider::start(8_001).await;
    let mut weir = Command::new(weir_binary());
    weir.args(["serve", "--config"])
        .arg(dir.join("weir.yaml"))
        .env("WEIR_PEPPER", PEPPER);
    let mut weir = Process::start("weir", weir, &dir);
    let mut envoy = Command::new(envoy_binary());
    envoy.arg("-c").arg(root.join("envoy/unix.yaml")).args([
        "--use-dynamic-base-id",
        "--log-level",
        "warn",
    ]);
    let mut envoy = Process::start("envoy", envoy, &dir);
    let front = ([127, 0, 0, 1], 10_000).into();
    let admin = ([127, 0, 0, 1], 9_090).into();
    until("weir to be ready", Duration::from_secs(20), || async move {
        let up = client::accepts(admin).await;
        (up && client::get(admin, "/readyz").await.status == 200).then_some(())
    })
    .await;
    until("Envoy to listen", Duration::from_secs(20), || async move {
        client::accepts(front).await.then_some(())
    })
    .await;
    welcome(&dir, &dir.join("ledger/usage.jsonl"));
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => println!("\nStopping."),
        _ = terminated.recv() => println!("\nStopping."),
        () = ended(&mut weir, &mut envoy) => {
            eprintln!("{}{}", weir.tail(), envoy.tail());
            return ExitCode::FAILURE;
        }
    }
    println!("The provider saw {} calls.", provider.received());
    ExitCode::SUCCESS
}

/// Resolves when either process ends.
async fn ended(weir: &mut Process, envoy: &mut Process) {
    while weir.is_running() && envoy.is_running() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn welcome(dir: &Path, log: &Path) {
    let call = format!(
        "curl -s http://127.0.0.1:10000/v1/chat/completions -H 'authorization: Bearer {KEY}' -H 'content-type: application/json'"
    );
    let hello = r#""model":"gpt-4o","messages":[{"role":"user","content":"hello"}]"#;
    println!("\nA fake provider, Envoy and weir are running. Try:\n");
    println!("  {call} -i -d '{{{hello}}}'\n");
    println!("  {call} -N -d '{{{hello},\"stream\":true}}'\n");
    println!(
        "  {call} -i -d '{{{hello},\"max_tokens\":4000}}'   # more than the user's bucket ever holds\n"
    );
    println!("Usage events: tail -f {}", log.display());
    println!("Metrics:      curl -s http://127.0.0.1:9090/metrics");
    println!("Envoy's log:  {}", dir.join("envoy.out").display());
    println!("\nCtrl-C stops everything.");
}
