//! The ledger with several sinks at once: a file, a collector and a meter, each
//! of which may be away, fail, lose answers and refuse rows by itself.

use crate::receivers::{Arrived, Mood, Receiver, TOKEN};
use crate::support::stack::{FOREIGN_KEY, Setup, Stack, weir_binary};
use crate::support::{client, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;
use weir::ledger::wire;

/// A sink that was away is asked again after pauses that grow as it stays away.
const ASKED_AGAIN: Duration = Duration::from_secs(40);

/// In a URL, where some receivers have their keys.
const URL_KEY: &str = "k3y-in-the-url";

/// A stack whose ledger goes to a file and to both receivers.
async fn start(collector: &Receiver, meter: &Receiver) -> (Stack, tempfile::TempDir) {
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let receiver = format!("token: {{ file: \"{}\" }}, timeout: 3s", token.display());
    let (otlp, cloudevents) = (collector.address(), meter.address());
    let stack = Stack::start(Setup {
        sinks: format!(
            ", otlp: {{ endpoint: \"http://{otlp}\", {receiver} }}\
             , cloudevents: {{ url: \"http://{cloudevents}/in?key={URL_KEY}\", {receiver} }}"
        ),
        ..Setup::default()
    })
    .await;
    (stack, secrets)
}

fn hello() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]})
}

/// Makes so many calls, one after another.
async fn call(stack: &Stack, count: usize) {
    for _ in 0..count {
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Waits until the receiver has exactly the rows of the file, each as the file
/// has it, each time the same.
async fn wait_for_all(stack: &Stack, receiver: &Receiver, count: usize) -> Vec<UsageEvent> {
    let events = stack.wait_for_events(count).await;
    let what = format!("{count} rows at {}", receiver.name);
    until(&what, ASKED_AGAIN, || async {
        (receiver.rows().len() >= count).then_some(())
    })
    .await;
    let rows = receiver.rows();
    assert_eq!((events.len(), rows.len()), (count, count), "{rows:#?}");
    for event in &events {
        let times = &rows[&event.id.to_string()];
        assert!(
            times.iter().all(|row| *row == Arrived::of(event)),
            "{times:#?}"
        );
    }
    assert_eq!(receiver.strangers(), 0);
    events
}

/// How often the rows arrived, in the file's order.
fn times(events: &[UsageEvent], receiver: &Receiver) -> Vec<usize> {
    let rows = receiver.rows();
    let times = events.iter().map(|event| rows.get(&event.id.to_string()));
    times.map(|times| times.map_or(0, Vec::len)).collect()
}

async fn wait_for_metric(stack: &Stack, series: &str, value: f64) {
    let what = format!("{series} to be {value}");
    until(&what, ASKED_AGAIN, || async {
        (stack.metric(series).await == value).then_some(())
    })
    .await;
}

/// Nothing that weir logged, and no file beside its spool, holds
/// a receiver's token or the key in its URL.
fn nothing_secret_is_told(stack: &Stack) {
    let told = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut all = told(&stack.weir.stdout) + &told(&stack.weir.stderr);
    for file in fs::read_dir(stack.dir.path().join("ledger")).unwrap() {
        all += &told(&file.unwrap().path());
    }
    assert!(!all.contains(TOKEN) && !all.contains(URL_KEY), "{all}");
}

#[tokio::test]
async fn each_row_is_at_each_sink_once_and_as_it_is() {
    let (collector, meter) = (Receiver::collector().await, Receiver::meter().await);
    let (stack, _secrets) = start(&collector, &meter).await;
    let foreign = format!("Bearer {FOREIGN_KEY}");
    let heads: [&[(&str, &str)]; 4] = [
        &[],
        &[("authorization", foreign.as_str())],
        &[("authorization", "Bearer nobodys")],
        &[("x-fake-status", "500")],
    ];
    let body = hello();
    let calls = (0..24).map(|n| stack.send(stack.chat(&body, heads[n % heads.len()])));
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        12
    );
    for receiver in [&collector, &meter] {
        let events = wait_for_all(&stack, receiver, 24).await;
        assert_eq!(times(&events, receiver), [1; 24]);
        let outcomes = |outcome| events.iter().filter(|e| e.outcome == outcome).count();
        let by_outcome = [Outcome::Exact, Outcome::Estimated, Outcome::Refused].map(outcomes);
        assert_eq!(by_outcome, [12, 6, 6], "{events:#?}");
    }
    for sink in ["file", "otlp", "cloudevents"] {
        let rows = format!("weir_ledger_rows_total{{sink=\"{sink}\"}}");
        wait_for_metric(&stack, &rows, 24.0).await;
        let away = format!("weir_ledger_sink_away{{sink=\"{sink}\"}}");
        assert_eq!(stack.metric(&away).await, 0.0);
    }
    nothing_secret_is_told(&stack);
}

/// Neither calls nor other sinks wait for it, and weir may die meanwhile.
#[tokio::test]
async fn a_receiver_that_is_away_from_the_start_gets_its_rows_after_weir_was_killed() {
    let (collector, meter) = (Receiver::collector().await, Receiver::meter().await);
    meter.link.fall();
    let (mut stack, _secrets) = start(&collector, &meter).await;
    for count in 1..=5 {
        call(&stack, 1).await;
        wait_for_all(&stack, &collector, count).await;
    }
    wait_for_metric(&stack, "weir_ledger_sink_away{sink=\"cloudevents\"}", 1.0).await;
    assert_eq!(
        stack.metric("weir_ledger_sink_away{sink=\"otlp\"}").await,
        0.0
    );
    let ready = client::get(stack.admin, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(meter.rows().is_empty());
    stack.kill_weir();
    stack.restart_weir().await;
    call(&stack, 5).await;
    let events = wait_for_all(&stack, &collector, 10).await;
    assert!(meter.rows().is_empty());
    // The collector's position is its own. It is kept after the row has arrived,
    // which is certain of a row only when the next one has.
    let at_collector = times(&events, &collector);
    assert_eq!(at_collector[..4], [1; 4], "{at_collector:?}");
    assert_eq!(at_collector[5..], [1; 5], "{at_collector:?}");
    meter.link.mend();
    wait_for_all(&stack, &meter, 10).await;
    assert_eq!(times(&events, &meter), [1; 10]);
    wait_for_metric(&stack, "weir_ledger_sink_away{sink=\"cloudevents\"}", 0.0).await;
    nothing_secret_is_told(&stack);
}

#[tokio::test]
async fn receivers_that_fall_fail_or_lose_answers_get_each_row_and_others_dont_wait() {
    let (collector, meter) = (Receiver::collector().await, Receiver::meter().await);
    let (mut stack, _secrets) = start(&collector, &meter).await;
    let mut count = 0;
    for (bad, good) in [(&collector, &meter), (&meter, &collector)] {
        for mood in [Mood::Takes, Mood::Fails, Mood::LosesAnswers(2)] {
            let before = bad.misbehaved();
            match mood {
                Mood::Takes => bad.link.fall(),
                mood => bad.becomes(mood),
            }
            call(&stack, 3).await;
            count += 3;
            let events = wait_for_all(&stack, good, count).await;
            let last_times = || times(&events, bad)[count - 3..].to_vec();
            until("the receiver to misbehave", ASKED_AGAIN, || async {
                let down = mood == Mood::Takes;
                (down || bad.misbehaved() > before).then_some(())
            })
            .await;
            if !matches!(mood, Mood::LosesAnswers(_)) {
                assert_eq!(last_times(), [0; 3], "{} {mood:?}", bad.name);
                bad.becomes(Mood::Takes);
                bad.link.mend();
            }
            wait_for_all(&stack, bad, count).await;
            if matches!(mood, Mood::LosesAnswers(_)) {
                until("a row to arrive again", ASKED_AGAIN, || async {
                    last_times().iter().any(|times| *times > 1).then_some(())
                })
                .await;
                wait_for_all(&stack, bad, count).await;
            } else {
                assert_eq!(last_times(), [1; 3], "{} {mood:?}", bad.name);
            }
        }
    }
    // Killed while both are away, weir has all of it afterwards.
    collector.link.fall();
    meter.becomes(Mood::Fails);
    call(&stack, 3).await;
    stack.wait_for_events(count + 3).await;
    stack.kill_weir();
    stack.restart_weir().await;
    call(&stack, 3).await;
    collector.link.mend();
    meter.becomes(Mood::Takes);
    wait_for_all(&stack, &collector, count + 6).await;
    wait_for_all(&stack, &meter, count + 6).await;
    nothing_secret_is_told(&stack);
}

/// Receivers answer beside a test that waits for a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_receivers_refuse_is_a_dead_letter_and_the_others_arrive() {
    let (collector, meter) = (Receiver::collector().await, Receiver::meter().await);
    let (mut stack, _secrets) = start(&collector, &meter).await;
    for receiver in [&collector, &meter] {
        receiver.becomes(Mood::Refuses("globex"));
    }
    let foreign = format!("Bearer {FOREIGN_KEY}");
    let refused = stack.chat(&hello(), &[("authorization", &foreign)]);
    call(&stack, 2).await;
    assert_eq!(stack.send(refused).await.status, 200);
    call(&stack, 2).await;
    let events = stack.wait_for_events(5).await;
    let dead = events
        .iter()
        .find(|event| event.tenant.as_deref() == Some("globex"))
        .unwrap();
    for receiver in [&collector, &meter] {
        let what = format!("the others at {}", receiver.name);
        until(&what, ASKED_AGAIN, || async {
            (receiver.rows().len() >= 4).then_some(())
        })
        .await;
        let series = format!("weir_ledger_set_aside_total{{sink=\"{}\"}}", receiver.name);
        wait_for_metric(&stack, &series, 1.0).await;
    }
    stack.restart_weir().await;
    call(&stack, 1).await;
    let events = stack.wait_for_events(6).await;
    for receiver in [&collector, &meter] {
        let what = format!("the last at {}", receiver.name);
        until(&what, ASKED_AGAIN, || async {
            (receiver.rows().len() >= 5).then_some(())
        })
        .await;
        let missing: Vec<_> = events.iter().zip(times(&events, receiver)).collect();
        for (event, times) in missing {
            assert_eq!(times == 0, event.id == dead.id, "{}", receiver.name);
        }
        let name = format!("dead-letters-{}.jsonl", receiver.name);
        let text = fs::read_to_string(stack.dir.path().join("ledger").join(name)).unwrap();
        let letters: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(letters.len(), 1, "{text}");
        assert_eq!(letters[0]["id"], json!(dead.id.to_string()));
        assert_eq!(letters[0]["sink"], json!(receiver.name));
        let why = letters[0]["why"].as_str().unwrap();
        assert!(why.contains("repeats the credential"), "{why}");
        let row = STANDARD.decode(letters[0]["row"].as_str().unwrap());
        assert_eq!(wire::decode(&row.unwrap()).unwrap().event, *dead);
    }
    replayed_once_it_is_mended(&stack, &[&collector, &meter], dead);
    nothing_secret_is_told(&stack);
}

/// The exit code of `weir ledger replay`, and what it said.
fn replay(stack: &Stack, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(weir_binary());
    command.args(["ledger", "replay", "--config"]);
    command.arg(stack.dir.path().join("weir.yaml")).args(more);
    command
        .env("WEIR_PEPPER", crate::support::stack::PEPPER)
        .env("WEIR_ADMIN_TOKEN", crate::support::stack::ADMIN_TOKEN);
    let done = command.output().unwrap();
    let told = [done.stdout, done.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    assert!(!told.contains(TOKEN) && !told.contains(URL_KEY), "{told}");
    (done.status.code(), told)
}

fn replayed_once_it_is_mended(stack: &Stack, receivers: &[&Receiver], dead: &UsageEvent) {
    let id = dead.id.to_string();
    let arrived = |receiver: &Receiver| receiver.rows().get(&id).map_or(0, Vec::len);
    let (code, told) = replay(stack, &["--dry-run"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.matches(&id).count(), receivers.len(), "{told}");
    assert!(told.contains("repeats the credential"), "{told}");
    let (code, told) = replay(stack, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("taken: 0; refused again: 2"), "{told}");
    for receiver in receivers {
        assert_eq!(arrived(receiver), 0);
        receiver.becomes(Mood::Takes);
    }
    let (code, told) = replay(stack, &["--sink", receivers[0].name]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("taken: 1"), "{told}");
    let (code, told) = replay(stack, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("set aside: 1; taken: 1"), "{told}");
    let (code, told) = replay(stack, &[]);
    assert_eq!((code, told.as_str()), (Some(0), "nothing is set aside\n"));
    for receiver in receivers {
        let times = &receiver.rows()[&id];
        assert_eq!(*times, [Arrived::of(dead)], "{}", receiver.name);
    }
}

#[test]
fn a_check_shows_nothing_of_receivers_that_is_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.yaml");
    let check = |receivers: &str| {
        let text = format!(
            "listen: {{ grpc: \"unix:/x\" }}\n\
             identity: {{ pepper: {{ env: PEPPER }}, keys: [ {{ id: k, tenant: t, hash: {} }} ] }}\n\
             models: {{ gpt-4o: }}\n\
             plans: {{ p: {{ output: {{ max_tokens: {{ default: 100 }} }} }} }}\n\
             tenants: {{ t: {{ plan: p }} }}\n\
             ledger: {{ {receivers} }}\n",
            "0".repeat(64)
        );
        fs::write(&path, text).unwrap();
        let output = Command::new(weir_binary())
            .args(["check", "--config"])
            .arg(&path)
            .env("PEPPER", "a pepper that only tests know")
            .env("TOKEN", TOKEN)
            .env("SPACED", format!("{TOKEN} {TOKEN}"))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(TOKEN) && !text.contains(URL_KEY), "{text}");
        (output.status.success(), text)
    };
    let (fine, text) = check(&format!(
        "otlp: {{ endpoint: \"https://c:4317\", token: {{ env: TOKEN }} }}, \
         cloudevents: {{ url: \"https://m/?key={URL_KEY}\", token: {{ env: TOKEN }} }}"
    ));
    assert!(fine, "{text}");
    let (fine, text) = check(&format!(
        "otlp: {{ endpoint: \"http://c:4317\", token: {{ env: TOKEN }} }}, \
         cloudevents: {{ url: \"http://{URL_KEY}@m/?key={URL_KEY}\", token: {{ env: SPACED }} }}"
    ));
    assert!(!fine, "{text}");
    for part in [
        "weir.yaml:6:29: ledger.otlp.endpoint: must be https://, as a token goes with it",
        "ledger.cloudevents.url: must have no user and no password",
        "ledger.cloudevents.token.env: must have visible ASCII characters only",
        "3 problems",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
