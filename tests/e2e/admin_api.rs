//! The admin API of a running weir: held against its own description by a fuzzer,
//! and asked by the command line; and no secret in what weir says or writes down.

use crate::support::client;
use crate::support::stack::{ADMIN_TOKEN, KEY, PEPPER, Setup, Stack, weir_binary};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn with_database() -> Setup {
    Setup {
        sqlite: true,
        ..Setup::default()
    }
}

/// Whether a command of weir's went well, and what it printed.
fn weir(stack: &Stack, token: &str, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(weir_binary());
    command
        .args(arguments)
        .arg("--server")
        .arg(format!("http://{}", stack.admin));
    command.env("WEIR_ADMIN_TOKEN", token);
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

/// Answers that no row of the description foretells, and errors of the server's own,
/// are failures. About twenty seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_as_it_is_described() {
    let stack = Stack::start(with_database()).await;
    // From a file: of a description that the fuzzer fetches itself, it leaves out the
    // page that it came from.
    let document = client::get(stack.admin, "/openapi.json").await;
    let file = stack.dir.path().join("openapi.json");
    fs::write(&file, &document.body).unwrap();
    let paths = document.json()["paths"].as_object().unwrap().clone();
    let operations = paths.values().map(|path| path.as_object().unwrap().len());
    let operations: usize = operations.sum();
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin");
    // It has a bound of its own; this one is for when it doesn't hold it.
    let mut command = Command::new("timeout");
    command
        .arg("150")
        .arg(venv.join("python3"))
        .arg(venv.join("schemathesis"))
        .args(["run", "--no-color", "--max-time", "20", "--request-timeout", "10"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "15"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
        .args(["--generation-with-security-parameters", "false"])
        .args(["--generation-database", "none", "--seed", "1", "--rate-limit", "60/s"])
        .arg("-H")
        .arg(format!("Authorization: Bearer {ADMIN_TOKEN}"))
        .arg("--url")
        .arg(format!("http://{}", stack.admin))
        .arg(file)
        .current_dir(stack.dir.path());
    let done = tokio::task::spawn_blocking(move || command.output());
    let done = done.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(!said.contains(" 0 generated"), "{said}");
    let all = format!("{operations} selected / {operations} total");
    assert!(said.contains(&all), "{all}: {said}");
}

#[tokio::test]
async fn keys_and_tokens_are_made_and_withdrawn_and_no_secret_is_left() {
    let stack = Stack::start(with_database()).await;
    let (fine, token, err) = weir(
        &stack,
        ADMIN_TOKEN,
        &[
            "tokens",
            "create",
            "--role",
            "tenant-admin",
            "--tenant",
            "acme",
            "--expires",
            "1d",
        ],
    );
    assert!(fine, "{err}");
    let token = token.trim();
    let create = [
        "keys",
        "create",
        "--tenant",
        "acme",
        "--user",
        "eve",
        "--expires",
        "30d",
    ];
    let (fine, key, err) = weir(&stack, token, &create);
    assert!(fine, "{err}");
    let key = key.trim().to_owned();
    assert!(key.starts_with("weir_live_"));
    let (fine, listed, err) = weir(&stack, token, &["keys", "list", "--format", "json"]);
    assert!(fine, "{err}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["user"], "eve", "{listed}");
    let id = listed[0]["id"].as_str().unwrap();
    let (fine, rotated, err) = weir(&stack, token, &["keys", "rotate", id, "--overlap", "1h"]);
    assert!(fine && rotated.trim() != key, "{err}");
    let (fine, _, err) = weir(&stack, token, &["keys", "create", "--tenant", "globex"]);
    assert!(
        !fine && err.contains("403") && err.contains("only"),
        "{err}"
    );
    let (fine, said, err) = weir(&stack, token, &["keys", "revoke", id]);
    assert!(fine && said.contains("is revoked"), "{said}{err}");
    let (fine, audit, err) = weir(&stack, token, &["audit"]);
    assert!(fine, "{err}");
    let actions: Vec<String> = audit
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["action"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        actions,
        [
            "token.create",
            "key.create",
            "key.create",
            "key.rotate",
            "key.revoke"
        ]
    );
    let (fine, _, err) = weir(&stack, "not-the-token-at-all", &["tokens", "list"]);
    assert!(!fine && err.contains("401"), "{err}");
    let metrics = client::get(stack.admin, "/metrics").await.text();
    for secret in [
        key.as_str(),
        token,
        rotated.trim(),
        ADMIN_TOKEN,
        PEPPER,
        KEY,
    ] {
        for (what, text) in [
            ("log", stack.weir.tail()),
            ("metrics", metrics.clone()),
            ("audit", audit.clone()),
        ] {
            assert!(!text.contains(secret), "a secret is in the {what}");
        }
    }
}
