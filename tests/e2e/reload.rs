//! The configuration changed while calls go on: by its file, by a signal, by the
//! admin API; and files that can't be used.

use super::calls::hello;
use crate::support::client::{self, Answer};
use crate::support::stack::{
    ADMIN_TOKEN, AMPLE, Engine, FOREIGN_KEY, KEY, PEPPER, SOON, Setup, Stack, weir_binary,
};
use crate::support::until;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

const TAKEN: &str = "weir_config_reloads_total{outcome=\"taken\"}";
const REFUSED: &str = "weir_config_reloads_total{outcome=\"refused\"}";

/// A changed file counts about two seconds later; the machine may be busy.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

fn path(stack: &Stack) -> PathBuf {
    stack.dir.path().join("weir.yaml")
}

fn written(stack: &Stack) -> String {
    fs::read_to_string(path(stack)).unwrap()
}

/// As editors do: beside it, and then in its place.
fn replace(stack: &Stack, text: &str) {
    let beside = stack.dir.path().join("weir.yaml.new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path(stack)).unwrap();
}

fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "no {from:?} in {text}");
        text = text.replace(from, to);
    }
    text
}

/// Another plan by another name, with other limits, another default, another price.
const OTHER_PLAN: [(&str, &str); 4] = [
    ("team", "crew"),
    ("default: 100", "default: 200"),
    ("input: 2.50,", "input: 5,"),
    ("amount: 100k, every: 1h", "amount: 90k, every: 1h"),
];

async fn readings(stack: &Stack, series: &str) -> u64 {
    stack.metric(series).await as u64
}

async fn until_readings(stack: &Stack, series: &str, count: u64) {
    until(&format!("{series} {count}"), TAKEN_WITHIN, || async move {
        (readings(stack, series).await >= count).then_some(())
    })
    .await;
}

async fn ask(stack: &Stack, method: &str, target: &str) -> Answer {
    let request = Request::builder().method(method).uri(target);
    let request = request
        .header("host", "localhost")
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .body(Full::<Bytes>::default())
        .unwrap();
    client::send(stack.admin, request).await
}

async fn reload(stack: &Stack) -> Answer {
    ask(stack, "POST", "/v1/config/reload").await
}

fn log(stack: &Stack) -> String {
    fs::read_to_string(&stack.weir.stdout).unwrap_or_default()
        + &fs::read_to_string(&stack.weir.stderr).unwrap_or_default()
}

fn hang_up(stack: &Stack) {
    let pid = stack.weir.pid().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(sent.success());
}

async fn call(stack: &Stack, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    stack
        .send(stack.chat(&hello(), &[("authorization", &bearer)]))
        .await
}

/// Calls one after the other until told to stop: what each limit's header said of
/// the whole limit.
async fn traffic(
    stack: &Stack,
    stop: &AtomicBool,
    ended: &AtomicUsize,
    stream: bool,
) -> Vec<String> {
    let mut limits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut body = hello();
        body["stream"] = stream.into();
        let mut open = stack.open(stack.chat(&body, &[])).await;
        let limit = open
            .headers
            .iter()
            .find(|(name, _)| name == "x-ratelimit-limit-requests");
        let limit = limit.map(|(_, value)| value.clone());
        let (text, whole) = open.rest().await;
        assert!(whole && open.status == 200, "{}: {text}", open.status);
        limits.push(limit.unwrap_or_default());
        ended.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    limits
}

/// Ten changes between two plans that differ in everything, while four clients call:
/// no call fails, and each is judged, sent on, told of and billed by one of the two.
#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_the_file_changes_and_each_goes_by_one_of_the_two() {
    const CHANGES: u64 = 10;
    const CALLS_EACH_MIN: usize = 40;
    let stack = Stack::start(Setup::default()).await;
    let first = written(&stack);
    let second = edited(&first, &OTHER_PLAN);
    // It begins by the first plan, and ends when that has come back.
    let mut body = hello();
    body["stream"] = true.into();
    let gates = [("x-fake-gate", "long"), ("x-fake-gate-after", "1")];
    let mut long = stack.open(stack.chat(&body, &gates)).await;
    long.chunk().await.unwrap().unwrap();
    let (stop, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let story = async {
        for change in 1..=CHANGES {
            replace(&stack, if change % 2 == 1 { &second } else { &first });
            until_readings(&stack, TAKEN, change).await;
            // Some calls by each.
            let before = ended.load(Ordering::Relaxed);
            until("calls to end", SOON, || async {
                let calls = ended.load(Ordering::Relaxed) - before;
                (calls >= CALLS_EACH_MIN).then_some(())
            })
            .await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (stop, ended, stack) = (&stop, &ended, &stack);
    let ((), a, b, c, d) = tokio::join!(
        story,
        traffic(stack, stop, ended, false),
        traffic(stack, stop, ended, true),
        traffic(stack, stop, ended, false),
        traffic(stack, stop, ended, true),
    );
    stack.provider.open_gate("long");
    assert!(long.rest().await.1, "a call that is open ends whole");
    let told: Vec<String> = [a, b, c, d].concat();
    let events = stack.wait_for_events(told.len() + 1).await;
    let mut by_plan = [0_usize; 2];
    for event in &events {
        let reserved = event.reserved_tokens.unwrap();
        let (input, output) = (event.input_tokens.unwrap(), event.output_tokens.unwrap());
        let plan = event.plan.as_deref().unwrap();
        let (index, default, price_nanos) = match plan {
            "team" => (0, 100, 2_500),
            "crew" => (1, 200, 5_000),
            other => panic!("no plan of ours: {other}"),
        };
        assert_eq!(
            event.cost_nanos,
            Some(input * price_nanos + output * 10_000),
            "{event:#?}"
        );
        assert!((reserved - default) < 50, "{plan}: {reserved} {event:#?}");
        by_plan[index] += 1;
    }
    let sent = |default: u64| {
        let log = stack.provider.log();
        log.iter()
            .filter(|one| one.body["max_tokens"] == default)
            .count()
    };
    let limit = |amount: &str| told.iter().filter(|limit| *limit == amount).count();
    println!(
        "{} calls, {} by the first plan, {} by the second",
        events.len(),
        by_plan[0],
        by_plan[1]
    );
    assert!(
        by_plan.iter().all(|calls| *calls > 4 * CALLS_EACH_MIN),
        "{by_plan:?}"
    );
    assert_eq!([sent(100), sent(200)], by_plan, "what was sent on");
    // The long one was the first plan's, and its head isn't among these.
    assert_eq!(
        [limit("100000") + 1, limit("90000")],
        by_plan,
        "what was told"
    );
    assert_eq!(readings(stack, REFUSED).await, 0);
    stack.settle_the_books().await;
}

#[tokio::test]
async fn a_file_that_cant_be_used_leaves_the_old_one_working_and_says_why() {
    let stack = Stack::start(Setup {
        sqlite: true,
        ..Setup::default()
    })
    .await;
    let good = written(&stack);
    let bad = edited(
        &good,
        &[("cap: 1000", "cap: -1"), ("amount: 1000M,", "amount: -7,")],
    );
    replace(&stack, &bad);
    until_readings(&stack, REFUSED, 1).await;
    assert_eq!(stack.metric("weir_config_file_refused").await, 1.0);
    assert_eq!(call(&stack, KEY).await.status, 200);
    assert_eq!(call(&stack, FOREIGN_KEY).await.status, 200);
    let weir = |args: &[&str]| {
        let command = Command::new(weir_binary())
            .args(args)
            .env("WEIR_PEPPER", PEPPER)
            .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN)
            .output();
        let done = command.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    };
    // What `weir check` says of it is what is said everywhere.
    let file = path(&stack).display().to_string();
    let (fine, _, checked) = weir(&["check", "--config", &file]);
    assert!(!fine);
    let lines: Vec<&str> = checked
        .lines()
        .filter(|line| line.contains(": plans"))
        .collect();
    assert!(lines.len() >= 2, "{checked}");
    let ready = client::get(stack.admin, "/readyz").await;
    assert_eq!(ready.status, 200, "it serves as before");
    let ready = ready.json();
    assert_eq!(
        (&ready["ready"], &ready["configuration"]["current"]),
        (&json!(true), &json!(false))
    );
    let logged = log(&stack);
    let answer = reload(&stack).await;
    assert_eq!(answer.status, 422);
    let answer = answer.json();
    let server = format!("http://{}", stack.admin);
    let (fine, _, said) = weir(&["config", "reload", "--server", &server]);
    assert!(!fine && said.contains("422"), "{said}");
    for line in lines {
        let told = ready["configuration"]["problems"].as_array().unwrap();
        assert!(told.contains(&json!(line)), "{line}: {ready}");
        assert!(logged.contains(line), "{line}: {logged}");
        let mut problems = answer["problems"].as_array().unwrap().iter();
        let same = |one: &Value| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            let (path, error) = (text("path"), text("error"));
            line == format!("{file}:{}:{}: {path}: {error}", one["line"], one["column"])
        };
        assert!(problems.any(same), "{line}: {answer}");
        assert!(said.contains(&line[file.len() + 1..]), "{line}: {said}");
    }
    replace(&stack, &good);
    until("the good file to count", TAKEN_WITHIN, || async {
        let ready = client::get(stack.admin, "/readyz").await.json();
        (ready["configuration"]["current"] == json!(true)).then_some(())
    })
    .await;
    assert_eq!(stack.metric("weir_config_file_refused").await, 0.0);
    let (fine, said, err) = weir(&["config", "reload", "--server", &server]);
    assert!(fine && said.contains("nothing changed"), "{said}{err}");
    let audit = ask(&stack, "GET", "/v1/audit?subject=config").await.json();
    let deeds = audit["deeds"].as_array().unwrap().iter();
    let taken: Vec<&Value> = deeds
        .filter(|deed| deed["action"] == "config.reload.done")
        .map(|deed| &deed["after"]["taken"])
        .collect();
    assert_eq!(
        taken,
        [&json!(false), &json!(false), &json!(true)],
        "{audit}"
    );
    stack.settle_the_books().await;
}

/// Of a store that remembers too, here and where it is asked.
#[tokio::test]
async fn a_raised_limit_counts_at_once_and_a_lowered_one_too() {
    for engine in [Engine::Memory, Engine::Redis] {
        let limit = "- { name: few, per: user, unit: requests, amount: 2, every: 1h }";
        let stack = Stack::start(Setup {
            engine,
            limits: format!("\n      {limit}"),
            ..Setup::default()
        })
        .await;
        let first = written(&stack);
        for status in [200, 200, 429, 429] {
            assert_eq!(call(&stack, KEY).await.status, status, "{engine:?}");
        }
        replace(&stack, &edited(&first, &[("amount: 2,", "amount: 4,")]));
        let answer = reload(&stack).await;
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        assert_eq!(
            answer.json()["differences"][0]["path"],
            "plans.team.limits[0].amount",
            "{text}"
        );
        // What was used stays used.
        for status in [200, 200, 429] {
            assert_eq!(call(&stack, KEY).await.status, status, "{engine:?}");
        }
        replace(&stack, &first);
        assert_eq!(reload(&stack).await.status, 200);
        assert_eq!(call(&stack, KEY).await.status, 429);
        stack.log_and_events_agree().await;
    }
}

#[tokio::test]
async fn a_hangup_has_it_read_at_once_and_ends_nothing() {
    let mut stack = Stack::start(Setup::default()).await;
    let before = readings(&stack, TAKEN).await;
    hang_up(&stack);
    until_readings(&stack, TAKEN, before + 1).await;
    replace(&stack, &edited(&written(&stack), &OTHER_PLAN));
    hang_up(&stack);
    until("the new plan to count", TAKEN_WITHIN, || async {
        let answer = call(&stack, KEY).await;
        assert_eq!(answer.status, 200);
        (answer.header("x-ratelimit-limit-requests") == Some("90000")).then_some(())
    })
    .await;
    assert!(stack.weir.is_running());
    assert!(log(&stack).contains("SIGHUP"));
}

/// As Kubernetes brings a new ConfigMap: the file is a link to a link to a folder,
/// which is turned.
#[tokio::test]
async fn a_turned_link_brings_the_new_file() {
    let stack = Stack::start(Setup::default()).await;
    let dir = stack.dir.path();
    let first = written(&stack);
    for (folder, text) in [("..1", first.clone()), ("..2", edited(&first, &OTHER_PLAN))] {
        fs::create_dir(dir.join(folder)).unwrap();
        fs::write(dir.join(folder).join("weir.yaml"), text).unwrap();
    }
    let turn = |target: &str, link: &str| {
        symlink(target, dir.join("..new")).unwrap();
        fs::rename(dir.join("..new"), dir.join(link)).unwrap();
    };
    turn("..1", "..data");
    turn("..data/weir.yaml", "weir.yaml");
    // What it holds is the same: nothing is read for that.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(readings(&stack, TAKEN).await, 0);
    turn("..2", "..data");
    let turned = Instant::now();
    until_readings(&stack, TAKEN, 1).await;
    println!("counted {:?} after the link was turned", turned.elapsed());
    let answer = call(&stack, KEY).await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("90000"));
    fs::remove_dir_all(dir.join("..1")).unwrap();
    assert_eq!(call(&stack, KEY).await.status, 200);
}

/// What a running process can't take is named; the rest of the file counts.
#[tokio::test]
async fn what_takes_effect_at_the_next_start_is_named() {
    let mut stack = Stack::start(Setup::default()).await;
    let other = "another-token-that-is-long";
    fs::write(stack.dir.path().join("token"), other).unwrap();
    let token = format!(
        "{{ file: \"{}\" }}",
        stack.dir.path().join("token").display()
    );
    let text = edited(&written(&stack), &OTHER_PLAN);
    let text = edited(&text, &[("{ env: WEIR_ADMIN_TOKEN }", &token)]);
    let more =
        "holds: { ttl: 2m }\nserver: { drain_timeout: 7s }\ntelemetry: { log: { level: debug } }\n";
    replace(&stack, &(text + more));
    let answer = reload(&stack).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let waiting = json!(["holds.ttl_ms", "server.drain_timeout_ms"]);
    assert_eq!(answer.json()["at_next_start"], waiting);
    let ready = client::get(stack.admin, "/readyz").await.json();
    assert_eq!(
        (&ready["configuration"]["at_next_start"], &ready["ready"]),
        (&waiting, &json!(true))
    );
    assert_eq!(ready["configuration"]["current"], false);
    assert_eq!(stack.metric("weir_config_fields_waiting").await, 2.0);
    assert!(log(&stack).contains("holds.ttl_ms, server.drain_timeout_ms"));
    let answer = call(&stack, KEY).await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("90000"));
    // The token changed at once, and the log's level.
    assert_eq!(reload(&stack).await.status, 401);
    until("the log to tell more", SOON, || async {
        // Something that is worth a line at that level alone.
        let mut odd = tokio::net::TcpStream::connect(stack.admin).await.unwrap();
        odd.write_all(b"\0\r\n\r\n").await.unwrap();
        log(&stack).contains("\"level\":\"DEBUG\"").then_some(())
    })
    .await;
    stack.restart_weir().await;
    let ready = client::get(stack.admin, "/readyz").await.json();
    assert_eq!(ready["configuration"]["current"], true, "{ready}");
}

/// Keys of the database are on the plan that is their tenant's now.
#[tokio::test]
async fn stored_keys_stay_when_their_plan_is_renamed() {
    let stack = Stack::start(Setup {
        sqlite: true,
        ..Setup::default()
    })
    .await;
    let made = Command::new(weir_binary())
        .args(["keys", "create", "--tenant", "acme", "--server"])
        .arg(format!("http://{}", stack.admin))
        .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    until("the key to count", SOON, || async {
        (call(&stack, &key).await.status == 200).then_some(())
    })
    .await;
    replace(&stack, &edited(&written(&stack), &OTHER_PLAN));
    assert_eq!(reload(&stack).await.status, 200);
    let answer = call(&stack, &key).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("90000"));
    until("the metric to say so", SOON, || async {
        (stack.metric("weir_stored_keys").await == 1.0).then_some(())
    })
    .await;
}

/// So many tenants take seconds to read: no call waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn calls_dont_wait_for_a_large_file() {
    let tenants = std::env::var("WEIR_RELOAD_TENANTS").ok();
    let tenants: usize = tenants.map_or(20_000, |text| text.parse().unwrap());
    let stack = Stack::start(Setup {
        limits: AMPLE.to_owned(),
        ..Setup::default()
    })
    .await;
    let mut text = edited(&written(&stack), &OTHER_PLAN);
    let more: String = (0..tenants)
        .map(|n| format!("\n  t{n}: {{ plan: crew }}"))
        .collect();
    text = edited(
        &text,
        &[(
            "  globex: { plan: crew }",
            &format!("  globex: {{ plan: crew }}{more}"),
        )],
    );
    let (stop, slowest_us, calls) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let traffic = async {
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            assert_eq!(call(&stack, KEY).await.status, 200);
            slowest_us.fetch_max(begun.elapsed().as_micros() as usize, Ordering::Relaxed);
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let story = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (quiet, quiet_us) = (
            calls.swap(0, Ordering::Relaxed),
            slowest_us.swap(0, Ordering::Relaxed),
        );
        println!("before: {quiet} calls in 2 s, the slowest took {quiet_us} us");
        replace(&stack, &text);
        hang_up(&stack);
        let begun = Instant::now();
        until(
            "the large file to count",
            Duration::from_secs(300),
            || async { (readings(&stack, TAKEN).await >= 1).then_some(()) },
        )
        .await;
        let took = begun.elapsed();
        let (calls, slowest_us) = (
            calls.load(Ordering::Relaxed),
            slowest_us.load(Ordering::Relaxed),
        );
        println!(
            "{tenants} tenants: read in {took:?}; {calls} calls meanwhile, the slowest took {slowest_us} us"
        );
        assert!(Duration::from_micros(slowest_us as u64) < took.max(Duration::from_secs(1)) / 2);
        // What ran before is let go meanwhile, too.
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(story, traffic);
    let answer = call(&stack, KEY).await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("90000"));
}
