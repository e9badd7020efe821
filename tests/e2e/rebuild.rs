//! Counters that are lost come back from the ledger, to the token: after a flush in
//! the midst of traffic, beside another sidecar, after a restart, after a death in
//! the midst of it.

use super::calls::hello;
use super::failures::half_answered;
use crate::support::books::was_sent;
use crate::support::postgres::Server;
use crate::support::stack::{
    ADMIN_TOKEN, Engine, FOREIGN_KEY, OTHER_KEY, PEPPER, Setup, Stack, weir_binary,
};
use crate::support::until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;
use weir::exchange::UsageEvent;
use weir::exchange::event::Outcome;

const SOON: Duration = Duration::from_secs(20);

/// Nothing here comes near to them.
const QUOTAS: &str = "[
      { name: month, per: tenant, unit: tokens, amount: 100M, period: month },
      { name: spend, per: user, unit: cost, amount: 1000, period: month, zone: Asia/Kolkata, anchor: 31 },
      { name: day, per: [ user, model ], unit: requests, amount: 10k, period: day, zone: Asia/Kathmandu },
      { name: large, per: tier, unit: input_tokens, amount: 100M, period: week, when: { tier: large } },
      { name: hours, per: tenant, unit: output_tokens, amount: 100M, every: 720h, algorithm: fixed_window } ]";

/// What is used of it is never forgotten.
const CREDIT: &str =
    "    budgets: [ { name: credit, unit: tokens, amount: 100M, every: forever } ]";

fn setup(engine: Engine) -> Setup {
    Setup {
        engine,
        limits: QUOTAS.to_owned(),
        plan: CREDIT.to_owned(),
        sinks: ", sqlite: { path: \"DIR/weir.db\" }".into(),
        ..Setup::default()
    }
}

fn weir_limits(stack: &Stack, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(weir_binary());
    command.arg("limits").args(arguments);
    command
        .arg("--config")
        .arg(stack.dir.path().join("weir.yaml"))
        .env("WEIR_PEPPER", PEPPER)
        .env("WEIR_ADMIN_TOKEN", ADMIN_TOKEN);
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

/// What is used of each counter of `acme`'s that isn't at rest, by limit and whose.
fn used(stack: &Stack) -> BTreeMap<(String, String), u64> {
    let (fine, out, err) = weir_limits(stack, &["show", "--tenant", "acme", "--json"]);
    assert!(fine, "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let all = answer["limits"].as_array().unwrap().iter();
    let ours = all.filter(|one| !one["limit"].as_str().unwrap().starts_with("audit"));
    let named = ours.map(|one| {
        let place = (
            one["limit"].as_str().unwrap().to_owned(),
            one["of"].to_string(),
        );
        (place, one["used"].as_u64().unwrap())
    });
    named.filter(|(_, used)| *used > 0).collect()
}

/// The same, as the events say.
fn said(events: &[UsageEvent]) -> BTreeMap<(String, String), u64> {
    let mut said: BTreeMap<(String, String), u64> = BTreeMap::new();
    let ours = events
        .iter()
        .filter(|event| event.tenant.as_deref() == Some("acme"));
    for event in ours.filter(|event| event.outcome != Outcome::Refused) {
        let user = format!("user={}", event.user.as_deref().unwrap());
        let model = event.model.as_deref().unwrap();
        let void = event.outcome == Outcome::Void;
        let input = event.input_tokens.unwrap_or(0);
        let large = if model == "gpt-4o" { input } else { 0 };
        for (limit, of, used) in [
            ("month", "{}".to_owned(), event.total_tokens()),
            ("credit", "{}".to_owned(), event.total_tokens()),
            (
                "spend",
                format!("{{\"user\":\"{user}\"}}"),
                event.cost_nanos.unwrap_or(0),
            ),
            (
                "day",
                format!("{{\"model\":\"{model}\",\"user\":\"{user}\"}}"),
                u64::from(!void),
            ),
            ("large", "{\"tier\":\"large\"}".to_owned(), large),
            ("hours", "{}".to_owned(), event.output_tokens.unwrap_or(0)),
        ] {
            if used > 0 {
                *said.entry((limit.to_owned(), of)).or_default() += used;
            }
        }
    }
    said
}

/// Counters come to what the events say, and stay there.
async fn agree(stack: &Stack, calls: usize) {
    let events = until("a row of each call", SOON, || async {
        let events = stack.events();
        (events.iter().filter(|event| was_sent(event)).count() >= calls).then_some(events)
    })
    .await;
    let right = said(&events);
    let mut last = BTreeMap::new();
    for _ in 0..200 {
        last = used(stack);
        if last == right {
            // What would be told twice is told within a second.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert_eq!(used(stack), right);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{last:#?} instead of {right:#?}\n{}", stack.weir.tail());
}

/// A call of each of two users of `acme`, and one of another tenant.
async fn some_calls(stack: &Stack, rounds: usize) -> usize {
    let keys = [None, Some(OTHER_KEY), Some(FOREIGN_KEY)];
    for round in 0..rounds {
        let mut body = hello();
        if round % 2 == 1 {
            body["model"] = "gpt-4o-mini".into();
        }
        for key in keys {
            let bearer = key.map(|key| format!("Bearer {key}"));
            let headers: Vec<(&str, &str)> = bearer
                .iter()
                .map(|bearer| ("authorization", bearer.as_str()))
                .collect();
            assert_eq!(stack.send(stack.chat(&body, &headers)).await.status, 200);
        }
    }
    rounds * keys.len()
}

#[tokio::test]
async fn after_a_flush_in_the_midst_of_traffic_counters_are_the_ledgers_sums_and_open_holds() {
    let stack = Stack::start(setup(Engine::Redis)).await;
    let mut calls = some_calls(&stack, 3).await;
    // These are settled long before the loss, by the ledger's account.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut open = half_answered(&stack).await;
    let (traffic, ()) = tokio::join!(some_calls(&stack, 30), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        stack.flush_redis().await;
    });
    calls += traffic + 1;
    stack.provider.open_gate("rest");
    assert!(open.rest().await.1);
    agree(&stack, calls).await;
    // Once more, with nothing between.
    stack.flush_redis().await;
    agree(&stack, calls).await;
    let log = stack.weir.tail();
    assert!(
        log.contains("counters were rebuilt from the ledger"),
        "{log}"
    );
}

#[tokio::test]
async fn two_sidecars_on_one_redis_bring_back_the_same_rows_once() {
    // One database for both, each with a spool of its own.
    let mut stack = Stack::start(setup(Engine::Redis)).await;
    let (mut another, ..) = stack.another_weir().await;
    let mut calls = some_calls(&stack, 4).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stack.flush_redis().await;
    calls += some_calls(&stack, 2).await;
    agree(&stack, calls).await;
    // Whoever begins later brings back nothing twice.
    another.kill();
    stack.restart_weir().await;
    calls += some_calls(&stack, 1).await;
    agree(&stack, calls).await;
}

#[tokio::test]
async fn from_postgres_counters_come_back_to_a_sidecar_that_never_saw_the_calls() {
    let server = Server::shared().await;
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().join("url");
    fs::write(&url, server.database().await).unwrap();
    let url = url.display();
    let mut stack = Stack::start(Setup {
        sinks: format!(", postgres: {{ url: {{ file: \"{url}\" }} }}"),
        ..setup(Engine::Redis)
    })
    .await;
    // Two who count in one store and write to one database.
    let (mut another, ..) = stack.another_weir().await;
    let mut calls = some_calls(&stack, 4).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stack.flush_redis().await;
    calls += some_calls(&stack, 2).await;
    agree(&stack, calls).await;
    another.kill();
    // A machine that is gone with its spool: what it told PostgreSQL is there.
    stack.kill_weir();
    stack.flush_redis().await;
    let spool = stack.dir.path().join("ledger");
    fs::rename(&spool, stack.dir.path().join("gone")).unwrap();
    stack.restart_weir().await;
    let log = stack.weir.tail();
    assert!(
        log.contains("counters were rebuilt from the ledger"),
        "{log}"
    );
    agree(&stack, calls).await;
    calls += some_calls(&stack, 1).await;
    agree(&stack, calls).await;
}

#[tokio::test]
async fn a_sidecar_that_dies_while_it_rebuilds_has_counted_nothing_twice() {
    let mut stack = Stack::start(setup(Engine::Redis)).await;
    let mut calls = some_calls(&stack, 4).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stack.let_fail("die::rebuilt=2*off->return");
    stack.kill_weir();
    stack.flush_redis().await;
    // It dies at the third counter, before it is ready.
    stack.start_weir_anew();
    until("weir to die", SOON, || {
        let gone = !stack.weir.is_running();
        async move { gone.then_some(()) }
    })
    .await;
    stack.let_fail("");
    stack.restart_weir().await;
    calls += some_calls(&stack, 1).await;
    agree(&stack, calls).await;
}

#[tokio::test]
async fn a_restart_with_counters_in_memory_keeps_the_months_quota() {
    let mut stack = Stack::start(setup(Engine::Memory)).await;
    let mut calls = some_calls(&stack, 3).await;
    agree(&stack, calls).await;
    let open = half_answered(&stack).await;
    calls += 1;
    for _ in 0..2 {
        stack.restart_weir().await;
        agree(&stack, calls).await;
    }
    drop(open);
    calls += some_calls(&stack, 1).await;
    agree(&stack, calls).await;
}

#[tokio::test]
async fn a_rebuild_is_asked_for_and_says_what_came_of_it() {
    let stack = Stack::start(setup(Engine::Redis)).await;
    let calls = some_calls(&stack, 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rebuild = || weir_limits(&stack, &["rebuild"]);
    let nothing = "nothing to rebuild: the counter store has all that it was told\n";
    assert_eq!(rebuild().1, nothing);
    let mut told = String::new();
    for _ in 0..10 {
        stack.flush_redis().await;
        let (fine, out, err) = rebuild();
        assert!(fine, "{err}");
        // weir may have been faster by itself.
        if out != nothing {
            told = out;
            break;
        }
    }
    let right = said(&stack.events());
    let both: u64 = stack.events().iter().map(UsageEvent::total_tokens).sum();
    assert!(right[&("month".to_owned(), "{}".to_owned())] < both);
    for line in [
        &*format!("month (plan team): 2 rebuilt, {both} tokens\n"),
        "day (plan team): 6 rebuilt, 6 requests\n",
        "audit-tokens: not rebuilt: a sliding window begins anew\n",
    ] {
        assert!(told.contains(line), "{line}{told}");
    }
    assert!(
        told.ends_with(" counters rebuilt from the ledger\n"),
        "{told}"
    );
    agree(&stack, calls).await;
    assert_eq!(rebuild().1, nothing);
    agree(&stack, calls).await;
}
