//! Keys that are kept in the ledger's database: made, replaced and withdrawn by
//! `weir keys` while calls go on, in sidecars that share it, and that outlive it.

use crate::support::client::{self, Answer};
use crate::support::postgres::Server;
use crate::support::stack::{ADMIN_TOKEN, Engine, PEPPER, SOON, Setup, Stack, weir_binary};
use crate::support::until;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nobody who is withdrawn calls later than this.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

struct Said {
    out: String,
    err: String,
    ok: bool,
}

/// `weir keys`, with the stack's configuration.
fn keys(stack: &Stack, args: &[&str]) -> Said {
    keys_with(stack, args, "")
}

fn keys_with(stack: &Stack, args: &[&str], input: &str) -> Said {
    let mut command = Command::new(weir_binary())
        .arg("keys")
        .args(args)
        .arg("--config")
        .arg(stack.dir.path().join("weir.yaml"))
        .env("WEIR_PEPPER", PEPPER)
        .env("WEIR_ADMIN_TOKEN", "an-admin-token-for-tests")
        .env("USER", "tester")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    command
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = command.wait_with_output().unwrap();
    Said {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        ok: output.status.success(),
    }
}

/// A new key, and its name.
fn made(stack: &Stack, args: &[&str]) -> (String, String) {
    let all = [&["create", "--format", "json"], args].concat();
    key_and_id(&keys(stack, &all))
}

fn key_and_id(said: &Said) -> (String, String) {
    assert!(said.ok, "{}", said.err);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("key"), text("id"))
}

async fn call(stack: &Stack, key: &str) -> Answer {
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]});
    let bearer = format!("Bearer {key}");
    stack
        .send(stack.chat(&body, &[("authorization", &bearer)]))
        .await
}

async fn until_status(stack: &Stack, key: &str, status: u16) {
    until(&format!("{status}"), SOON, || async {
        (call(stack, key).await.status == status).then_some(())
    })
    .await;
}

async fn sharing(url: &str, identity: &'static str) -> (Stack, tempfile::TempDir) {
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("url");
    fs::write(&file, url).unwrap();
    let stack = Stack::start(Setup {
        sinks: format!(", postgres: {{ url: {{ file: \"{}\" }} }}", file.display()),
        identity,
        ..Setup::default()
    })
    .await;
    (stack, secrets)
}

/// One call that was made: with which of the keys, when it was begun, what came.
struct Made {
    of: usize,
    begun: Instant,
    status: u16,
}

/// Calls one after the other, with the key that is in turn, until told to stop.
async fn traffic(stack: &Stack, turn: &Mutex<(usize, String)>, stop: &AtomicBool) -> Vec<Made> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (of, key) = turn.lock().unwrap().clone();
        let begun = Instant::now();
        let status = call(stack, &key).await.status;
        all.push(Made { of, begun, status });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    all
}

#[tokio::test]
async fn a_key_is_replaced_without_a_failed_call_and_withdrawn_within_five_seconds() {
    let server = Server::start(&["fsync=off"]).await;
    let url = server.database().await;
    let (one, _secrets) = sharing(&url, "").await;
    let (two, _more) = sharing(&url, "").await;
    let (old, id) = made(&one, &["--tenant", "acme", "--user", "zoe"]);
    for stack in [&one, &two] {
        until_status(stack, &old, 200).await;
    }
    let (turn, stop) = (Mutex::new((0, old.clone())), AtomicBool::new(false));
    let story = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let rotated = keys(
            &one,
            &["rotate", &id, "--overlap", "6s", "--format", "json"],
        );
        let replaced = Instant::now();
        let (new, new_id) = key_and_id(&rotated);
        for stack in [&one, &two] {
            until_status(stack, &new, 200).await;
        }
        let known = replaced.elapsed();
        assert!(known < REVOKED_WITHIN, "{known:?}");
        *turn.lock().unwrap() = (1, new.clone());
        // The old one counts for the overlap, beside it.
        assert_eq!(call(&two, &old).await.status, 200);
        for stack in [&one, &two] {
            until_status(stack, &old, 401).await;
        }
        assert!(
            replaced.elapsed() > Duration::from_secs(5),
            "the overlap was cut"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
        let revoked = keys(&two, &["revoke", &new_id]);
        assert!(revoked.ok, "{}", revoked.err);
        let at = Instant::now();
        tokio::time::sleep(REVOKED_WITHIN + Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        at
    };
    let (revoked_at, of_one, of_two) = tokio::join!(
        story,
        traffic(&one, &turn, &stop),
        traffic(&two, &turn, &stop)
    );
    for made in [&of_one, &of_two] {
        let failed = made.iter().filter(|call| call.status != 200);
        let early = failed.filter(|call| call.begun < revoked_at).count();
        let counted = |of| {
            made.iter()
                .filter(|call| call.of == of && call.status == 200)
                .count()
        };
        println!(
            "{} calls with the old key, {} with the new",
            counted(0),
            counted(1)
        );
        assert_eq!(early, 0, "of {} calls some failed before", made.len());
        assert!(counted(0) > 10 && counted(1) > 10);
        let passed = made.iter().filter(|call| call.status == 200);
        let last = passed.map(|call| call.begun).max().unwrap();
        let late = last.saturating_duration_since(revoked_at);
        println!("the last that passed began {late:?} after the key was revoked");
        assert!(late < REVOKED_WITHIN);
        assert_eq!(made.last().unwrap().status, 401);
    }
    let uses = one.metric("weir_key_uses_total{kind=\"replaced\"}").await;
    assert!(uses > 0.0);
    assert!(one.metric("weir_key_uses_total{kind=\"ended\"}").await > 0.0);
    assert_eq!(one.metric("weir_stored_keys").await, 1.0);
    // What the log says of all this holds no key.
    for stack in [&one, &two] {
        let log = fs::read_to_string(&stack.weir.stdout).unwrap_or_default()
            + &fs::read_to_string(&stack.weir.stderr).unwrap_or_default();
        assert!(!log.contains(&old[12..40]), "{log}");
    }
}

#[tokio::test]
async fn keys_outlive_the_database_and_weir_up_to_their_bound() {
    let mut server = Server::start(&["fsync=off"]).await;
    let url = server.database().await;
    let (mut stack, _secrets) = sharing(&url, "  stale_max: 25s\n").await;
    let (kept, kept_id) = made(&stack, &["--tenant", "acme"]);
    let (gone, gone_id) = made(&stack, &["--tenant", "acme"]);
    until_status(&stack, &kept, 200).await;
    assert!(keys(&stack, &["revoke", &gone_id]).ok);
    until_status(&stack, &gone, 401).await;
    let copies = ["keys.recent", "keys.all"].map(|name| stack.ledger().join(name));
    until_copied(&stack, &[&kept_id, &gone_id]).await;
    // The last writes may still be on their way.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.kill();
    let killed = Instant::now();
    assert_eq!(call(&stack, &kept).await.status, 200);
    assert_eq!(call(&stack, &gone).await.status, 401);
    stack.restart_weir().await;
    assert_eq!(call(&stack, &kept).await.status, 200, "from the copy");
    assert_eq!(call(&stack, &gone).await.status, 401);
    let copied: Vec<u8> = copies
        .map(fs::read)
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    for key in [&kept, &gone] {
        let secret = &key.as_bytes()[10..30];
        assert!(!copied.windows(secret.len()).any(|bytes| bytes == secret));
    }
    until(
        "stored keys to be too old",
        Duration::from_secs(60),
        || async { (call(&stack, &kept).await.status == 503).then_some(()) },
    )
    .await;
    println!("refused {:?} after the database died", killed.elapsed());
    assert!(
        killed.elapsed() > Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    let configured = stack.send(stack.chat(
        &json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}),
        &[],
    ));
    assert_eq!(configured.await.status, 200, "configured keys go on");
    server.restart().await;
    until_status(&stack, &kept, 200).await;
    assert!(keys(&stack, &["revoke", &kept_id]).ok);
    let revoked = Instant::now();
    until_status(&stack, &kept, 401).await;
    assert!(revoked.elapsed() < REVOKED_WITHIN);
}

#[tokio::test]
async fn a_fresh_weir_takes_keys_with_limits_of_their_own() {
    let mut stack = Stack::start(Setup {
        sqlite: true,
        identity: "  default_plan: team\n",
        ..Setup::default()
    })
    .await;
    let limits = "[{ per: key, unit: requests, amount: 2, every: 1h }]";
    let (key, id) = made(
        &stack,
        &["--tenant", "initech", "--limits", limits, "--id", "bill"],
    );
    let (free, _) = made(
        &stack,
        &[
            "--tenant",
            "initech",
            "--model",
            "gpt-4o",
            "--expires",
            "1d",
        ],
    );
    assert_eq!(id, "bill");
    until_status(&stack, &free, 200).await;
    let statuses = [
        call(&stack, &key).await,
        call(&stack, &key).await,
        call(&stack, &key).await,
    ];
    assert_eq!(
        statuses.each_ref().map(|answer| answer.status),
        [200, 200, 429]
    );
    assert_eq!(
        statuses[2].header("x-weir-decision"),
        Some("own:key-requests")
    );
    assert_eq!(call(&stack, &free).await.status, 200);
    // Its hash is no key, and a key of another gateway is one, once it is brought.
    let brought = "sk-another-gateways-key-0123456";
    let said = keys_with(&stack, &["import", "--tenant", "initech"], brought);
    assert_eq!(said.out, "1 added, 0 passed over\n", "{}", said.err);
    until_status(&stack, brought, 200).await;
    // On its way out weir tells when keys were used.
    stack.weir.terminate();
    stack.weir.wait_for_end(SOON).await;
    let said = keys(&stack, &["list", "--tenant", "initech", "--format", "json"]);
    let listed: Value = serde_json::from_str(&said.out).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 3, "{}", said.out);
    assert!(
        listed.iter().all(|key| key["last_used_hour"].is_u64()),
        "{}",
        said.out
    );
    let table = keys(&stack, &["list"]);
    assert!(
        table.out.starts_with("ID ") && !table.out.contains("never"),
        "{}",
        table.out
    );
    let shown = keys(&stack, &["show", "bill"]).out;
    assert!(shown.contains("key.create by cli/tester"), "{shown}");
    for (args, expected) in [
        (
            &["show", "nobody"][..],
            "nobody: there is no key of this name",
        ),
        (
            &["revoke", "nobody"],
            "nobody: there is no key of this name",
        ),
        (
            &["rotate", "nobody"],
            "nobody: there is no key of this name",
        ),
        (&["create"], "tenant: is required"),
        (
            &["create", "--tenant", "acme", "--id", "ada-key"],
            "a key of the configuration has this name",
        ),
        (
            &["create", "--tenant", "acme", "--id", "bill"],
            "another key has this name",
        ),
        (
            &[
                "create",
                "--tenant",
                "acme",
                "--limits",
                "[{ per: key, unit: requests, amount: 1, every: 1h, when: { model: gpt-9 } }]",
            ],
            "there is no model",
        ),
    ] {
        let said = keys(&stack, args);
        assert!(
            !said.ok && said.err.contains(expected),
            "{args:?}: {}",
            said.err
        );
        assert!(said.out.is_empty(), "{}", said.out);
    }
}

/// Where sidecars count in one Redis, it carries what the database can't.
#[tokio::test]
async fn a_key_is_withdrawn_while_the_database_is_away_by_the_counter_store() {
    let mut server = Server::start(&["fsync=off"]).await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("url");
    fs::write(&file, server.database().await).unwrap();
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        sinks: format!(", postgres: {{ url: {{ file: \"{}\" }} }}", file.display()),
        ..Setup::default()
    })
    .await;
    let (key, id) = made(&stack, &["--tenant", "acme"]);
    let (other, other_id) = made(&stack, &["--tenant", "acme"]);
    until_status(&stack, &key, 200).await;
    until_status(&stack, &other, 200).await;
    until_copied(&stack, &[&id, &other_id]).await;
    server.kill();
    let said = keys(&stack, &["revoke", &id]);
    let revoked = Instant::now();
    assert!(!said.ok, "the database doesn't know of it");
    assert!(
        said.err
            .contains("withdrawn at every weir that reaches the counter store"),
        "{}",
        said.err
    );
    until_status(&stack, &key, 401).await;
    println!("refused {:?} after it was revoked", revoked.elapsed());
    assert!(revoked.elapsed() < REVOKED_WITHIN);
    assert_eq!(call(&stack, &other).await.status, 200);
    stack.restart_weir().await;
    assert_eq!(call(&stack, &key).await.status, 401, "after a restart too");
    assert_eq!(call(&stack, &other).await.status, 200);
    // The database comes back, doesn't know of it, and is told.
    server.restart().await;
    until_told(&stack, &id, "key.revoke by cli/tester").await;
    assert_eq!(call(&stack, &key).await.status, 401);
    assert_eq!(call(&stack, &other).await.status, 200);
    let again = keys(&stack, &["revoke", &id]);
    assert!(again.out.contains("was revoked before"), "{}", again.out);
}

/// Until the database has a key as revoked, by whom it says.
async fn until_told(stack: &Stack, id: &str, by: &str) {
    until(&format!("{id} is revoked"), SOON, || async {
        keys(stack, &["show", id]).out.contains(by).then_some(())
    })
    .await;
}

/// Waits until a weir that starts without the database knows what has these ids: what
/// has changed is in its copies a moment later.
async fn until_copied(stack: &Stack, ids: &[&str]) {
    let copies = ["keys.recent", "keys.all", "allowed"].map(|name| stack.ledger().join(name));
    until("the copies to know all", SOON, || async {
        let read = copies.iter().map(|copy| fs::read(copy).unwrap_or_default());
        let read: Vec<Vec<u8>> = read.collect();
        let has = |bytes: &Vec<u8>, id: &str| bytes.windows(id.len()).any(|w| w == id.as_bytes());
        let known = |id: &&str| read.iter().any(|bytes| has(bytes, id));
        ids.iter().all(known).then_some(())
    })
    .await;
}

/// What the admin API answers.
async fn admin(stack: &Stack, method: &str, path: &str) -> Answer {
    admin_asked(stack, method, path, "").await
}

async fn admin_asked(stack: &Stack, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let body = Full::new(body.to_owned().into());
    client::send(stack.admin, request.body(body).unwrap()).await
}

/// The id of a grant for whoever is of the tenant.
async fn granted(stack: &Stack) -> String {
    let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
    let until_ms = in_an_hour.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let grant = json!({ "tenant": "acme", "unlimited": true, "until_ms": until_ms as u64 });
    let answer = admin_asked(stack, "POST", "/v1/grants", &grant.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Where nothing is shared but the database, the sidecar that took it keeps it.
#[tokio::test]
async fn a_key_that_is_withdrawn_while_the_database_is_away_stays_so() {
    let mut server = Server::start(&["fsync=off"]).await;
    let url = server.database().await;
    let (mut stack, _secrets) = sharing(&url, "").await;
    let (key, id) = made(&stack, &["--tenant", "acme"]);
    let (other, other_id) = made(&stack, &["--tenant", "acme"]);
    let grant = granted(&stack).await;
    until_status(&stack, &key, 200).await;
    until_status(&stack, &other, 200).await;
    until_copied(&stack, &[&id, &other_id, grant.as_str()]).await;
    let grant = format!("/v1/grants/{grant}");
    server.kill();
    let answer = admin(&stack, "DELETE", "/v1/keys/nobody").await;
    assert_eq!(answer.status, 503, "nobody can tell: {answer:?}");
    let begun = Instant::now();
    let answer = admin(&stack, "DELETE", &format!("/v1/keys/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = json!({ "revoked": true, "database_away": true });
    assert_eq!(answer.json(), said);
    assert_eq!(call(&stack, &key).await.status, 401, "at once");
    println!("refused {:?} after it was asked for", begun.elapsed());
    let answer = admin(&stack, "DELETE", &grant).await;
    assert_eq!((answer.status, answer.json()), (200, said), "a grant too");
    assert_eq!(call(&stack, &other).await.status, 200);
    stack.restart_weir().await;
    let answer = admin(&stack, "DELETE", &grant).await;
    assert_eq!(answer.status, 503, "it isn't known any more: {answer:?}");
    assert_eq!(call(&stack, &key).await.status, 401, "after a restart too");
    assert_eq!(call(&stack, &other).await.status, 200);
    server.restart().await;
    until_told(&stack, &id, "key.revoke by listen.admin_token").await;
    until("the grant is revoked", SOON, || async {
        let answer = admin(&stack, "GET", &grant).await;
        (answer.status == 200 && answer.json()["state"] == "revoked").then_some(())
    })
    .await;
    assert_eq!(call(&stack, &key).await.status, 401);
    assert_eq!(call(&stack, &other).await.status, 200);
    assert!(
        !keys(&stack, &["show", &other_id])
            .out
            .contains("key.revoke")
    );
    stack.restart_weir().await;
    assert_eq!(call(&stack, &key).await.status, 401);
    assert_eq!(call(&stack, &other).await.status, 200);
}
