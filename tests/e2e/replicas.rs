//! Two replicas behind one Envoy (`envoy/replicas.yaml`): what holds across both, when
//! one dies, and while both are restarted under load.

use super::admin_accounts::ask;
use super::calls::hello;
use super::failures::streamed;
use super::program::check;
use crate::support::client;
use crate::support::client::Open;
use crate::support::provider::Received;
use crate::support::replicas::{Replicas, Row};
use crate::support::stack::{ADMIN_TOKEN, FOREIGN_KEY, KEY, OTHER_KEY, Setup};
use crate::support::until;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic_health::pb::health_check_response::ServingStatus;

/// Far more than any of it takes, on a machine where much else runs.
const SOON: Duration = Duration::from_secs(60);

/// Made on one, or withdrawn, a key counts so on the other.
const KEYS_WITHIN: Duration = Duration::from_secs(5);

/// Shared by calls that are made at once.
type All = Arc<Replicas>;

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// So many calls at once; their statuses.
async fn at_once(all: &All, calls: usize, body: &Value, headers: &[(&str, &str)]) -> Vec<u16> {
    let mut open = JoinSet::new();
    for _ in 0..calls {
        let (all, request) = (Arc::clone(all), all.stack.chat(body, headers));
        open.spawn(async move { all.stack.send(request).await.status });
    }
    open.join_all().await
}

fn passed(statuses: &[u16]) -> usize {
    let known = |status: &u16| matches!(*status, 200 | 402 | 403 | 429);
    assert!(statuses.iter().all(known), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

fn tokens(rows: &[Row], user: &str) -> u64 {
    let of = rows.iter().filter(|row| row.user == user);
    of.map(|row| row.input_tokens + row.output_tokens).sum()
}

#[tokio::test]
async fn calls_go_to_both_and_limits_hold_in_sum() {
    let limits = "[
      { name: calls, per: user, unit: requests, amount: 40, every: 1h, algorithm: fixed_window, starts: first_hit },
      { name: words, per: user, unit: tokens, amount: 3000, every: 1h, algorithm: fixed_window, starts: first_hit } ]";
    let all = Arc::new(
        Replicas::start(Setup {
            limits: limits.to_owned(),
            ..Setup::default()
        })
        .await,
    );
    for _ in 0..10 {
        assert_eq!(
            all.stack.send(all.stack.chat(&hello(), &[])).await.status,
            200
        );
    }
    until("both to have written down their calls", SOON, || async {
        (all.calls_of_each() == [5, 5]).then_some(())
    })
    .await;
    // Ada has 30 of 40 left, and far more tokens than they need.
    let mut short = hello();
    short["max_tokens"] = 5.into();
    assert_eq!(passed(&at_once(&all, 100, &short, &[]).await), 30);
    // Of Bob's, each takes a hundredth part of ten thousand tokens.
    let mut body = hello();
    body["max_tokens"] = 90.into();
    let key = bearer(OTHER_KEY);
    let bob = [("authorization", key.as_str()), ("x-fake-output", "90")];
    assert_eq!(passed(&at_once(&all, 100, &body, &bob).await), 30);
    assert_eq!(passed(&at_once(&all, 4, &body, &bob).await), 0);
    let rows = all.books_agree(0).await;
    assert_eq!((rows.len(), tokens(&rows, "bob")), (70, 3_000));
    // Whichever is quicker lets more through; both were asked.
    until("each to have been asked of many", SOON, || async {
        let [one, two] = all.asked_of_each();
        (one.min(two) > 50).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_budget_is_used_to_its_end_and_never_beyond() {
    const BUDGET: u64 = 1_000_000_000;
    let all = Arc::new(
        Replicas::start(Setup {
            plan: "    budgets: [ { name: monthly, amount: 1 USD, every: month } ]".to_owned(),
            ..Setup::default()
        })
        .await,
    );
    // A cent is held for each, of which two thirds are used.
    let mut body = hello();
    body["max_tokens"] = 1000.into();
    let output = [("x-fake-output", "660")];
    let first = passed(&at_once(&all, 300, &body, &output).await);
    assert!((1..=151).contains(&first), "{first}");
    // Holds came back: the rest is there to be used.
    while all.stack.send(all.stack.chat(&body, &output)).await.status == 200 {}
    let rows = all.books_agree(0).await;
    let spent: u64 = rows.iter().map(|row| row.cost_nanos).sum();
    println!(
        "{first} calls at once, {} in all; spent {spent} of {BUDGET}",
        rows.len()
    );
    assert!(spent <= BUDGET, "{spent}");
    assert!(spent >= BUDGET / 100 * 95, "95% are usable: {spent}");
}

/// Streams whose first token has come, and how many were refused.
async fn half_answered(all: &All, calls: usize) -> (Vec<Open>, usize) {
    let gate = [("x-fake-gate", "rest"), ("x-fake-gate-after", "1")];
    let mut opening = JoinSet::new();
    for _ in 0..calls {
        let (all, request) = (Arc::clone(all), all.stack.chat(&streamed(), &gate));
        opening.spawn(async move {
            let mut open = all.stack.open(request).await;
            if open.status == 200 {
                open.chunk().await.unwrap().unwrap();
            }
            open
        });
    }
    let (open, refused): (Vec<Open>, Vec<Open>) = opening
        .join_all()
        .await
        .into_iter()
        .partition(|open| open.status == 200);
    assert!(refused.iter().all(|open| open.status == 429));
    (open, refused.len())
}

#[tokio::test]
async fn slots_are_shared_and_those_of_a_dead_replica_come_back() {
    const SLOTS: usize = 8;
    /// As configured, and a look each second.
    const BACK_WITHIN: Duration = Duration::from_secs(2 + 2);
    let replicas = Replicas::start(Setup {
        limits: "[ { name: slots, per: tenant, unit: concurrency, amount: 8 } ]".to_owned(),
        more: "holds: { ttl: 3s, lease_ttl: 2s, renew_every: 500ms }".to_owned(),
        ..Setup::default()
    })
    .await;
    let mut all = Arc::new(replicas);
    // One after the other they take turns.
    let mut open = Vec::new();
    for _ in 0..SLOTS / 2 {
        open.extend(half_answered(&all, 1).await.0);
    }
    let (more, refused) = half_answered(&all, 30).await;
    assert_eq!(
        (open.len(), more.len(), refused),
        (SLOTS / 2, SLOTS / 2, 26)
    );
    open.extend(more);
    let cut = until("only those to be open", SOON, || async {
        let (first, second) = (
            all.metric_of(0, "weir_open_holds"),
            all.metric_of(1, "weir_open_holds"),
        );
        let (first, second) = (first.await as usize, second.await as usize);
        (first + second == SLOTS).then_some(second)
    })
    .await;
    assert!((1..SLOTS).contains(&cut), "{cut}");

    let mut answers = JoinSet::new();
    for mut one in open {
        answers.spawn(async move { one.rest().await });
    }
    Arc::get_mut(&mut all).unwrap().weir(1).kill();
    let killed = Instant::now();
    // Those of the dead one are cut, and fail closed; the others go on.
    for _ in 0..cut {
        let (text, whole) = answers.join_next().await.unwrap().unwrap();
        assert!(!whole, "{text}");
    }
    // Their slots come back, and no more than those. What looks for them is short, so
    // that it doesn't take them.
    until("the slots to be back", 2 * BACK_WITHIN, || async {
        let statuses = at_once(&all, 1, &hello(), &[]).await;
        (passed(&statuses) == 1).then_some(())
    })
    .await;
    let back = killed.elapsed();
    println!("{cut} slots of a dead replica were back after {back:?}");
    assert!(back < BACK_WITHIN, "{back:?}");
    let (mut late, begun) = (Vec::new(), Instant::now());
    while late.len() < cut {
        late.extend(half_answered(&all, SLOTS).await.0);
        assert!(begun.elapsed() < SOON, "{} of {cut}", late.len());
    }
    assert_eq!(late.len(), cut, "never more than there are");
    assert!(half_answered(&all, SLOTS).await.0.is_empty());
    // It finds what it had begun, and says what became of it.
    Arc::get_mut(&mut all).unwrap().start_again(1);
    all.are_used().await;
    all.stack.provider.open_gate("rest");
    for mut one in late {
        answers.spawn(async move { one.rest().await });
    }
    let answers = answers.join_all().await;
    assert_eq!(answers.len(), SLOTS);
    for (text, whole) in answers {
        assert!(whole && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    all.books_agree(cut).await;
}

/// Where a replica isn't there, the other is asked: before a health check knows, too.
#[tokio::test]
async fn a_dead_replica_costs_no_call_that_it_had_not_begun() {
    let replicas = Replicas::start(Setup {
        // Envoy's health checks see nothing of it.
        envoy_edits: vec![
            (
                "grpc_health_check: {}",
                "grpc_health_check: { service_name: live }",
            ),
            ("unhealthy_threshold: 1", "unhealthy_threshold: 1000"),
        ],
        more: "server: { shutdown_delay: 10m }".to_owned(),
        ..Setup::default()
    })
    .await;
    let mut all = Arc::new(replicas);
    // It refuses, as nobody has seen that it goes down: a second signal says so.
    all.second.terminate();
    let second = all.grpc(1);
    until("health to turn", SOON, || async move {
        (check(second, "").await == Ok(ServingStatus::NotServing)).then_some(())
    })
    .await;
    let gate = [("x-fake-gate", "rest"), ("x-fake-gate-after", "1")];
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut one = all.stack.open(all.stack.chat(&streamed(), &gate)).await;
        one.chunk().await.unwrap().unwrap();
        open.push(one);
    }
    assert!(all.is_used(1).await);
    all.second.terminate();
    let log = all.second.stderr.clone();
    until("it to refuse", SOON, || async {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("\"draining\"").then_some(())
    })
    .await;
    assert!(Arc::get_mut(&mut all).unwrap().weir(1).is_running());
    let statuses = at_once(&all, 50, &hello(), &[]).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    all.stack.provider.open_gate("rest");
    for mut one in open {
        assert!(one.rest().await.1);
    }
    assert!(Arc::get_mut(&mut all).unwrap().ended(1).await);
    // Now nobody listens there.
    let statuses = at_once(&all, 50, &hello(), &[]).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(all.is_used(1).await, "Envoy still sends calls there");
    Arc::get_mut(&mut all).unwrap().start_again(1);
    until("it to be ready", SOON, || async {
        all.is_ready(1).await.then_some(())
    })
    .await;
    all.books_agree(0).await;
}

#[tokio::test]
async fn consent_keys_and_changes_count_on_both() {
    let limits = "[ { name: calls, per: user, unit: requests, amount: 40, every: 1h, algorithm: fixed_window, starts: first_hit } ]";
    let rule = "    policies: [ { name: ask-first, when: 'request.task == \"approved\"', then: { require_approval: { approvers: finance } } } ]";
    let replicas = Replicas::start(Setup {
        limits: limits.to_owned(),
        plan: rule.to_owned(),
        ..Setup::default()
    })
    .await;
    let all = Arc::new(replicas);

    // Asked for through one or the other, granted by the second's admin API.
    let task = [("x-weir-task", "approved")];
    let refused = all.stack.send(all.stack.chat(&hello(), &task)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let id = refused.header("x-weir-approval").unwrap().to_owned();
    let (grant, wanted) = (format!("/v1/approvals/{id}/grant"), json!({ "calls": 5 }));
    until("it to be listed", SOON, || async {
        let granted = ask(all.admin(1), ADMIN_TOKEN, "POST", &grant, wanted.clone()).await;
        (granted.status == 200).then_some(())
    })
    .await;
    // Whoever doesn't know of the grant yet refuses, and takes nothing of it.
    let (mut used, begun) = (0, Instant::now());
    while used < 5 {
        used += passed(&at_once(&all, 20, &hello(), &task).await);
        assert!(begun.elapsed() < SOON, "{used} of 5");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(passed(&at_once(&all, 20, &hello(), &task).await), 0);
    assert_eq!(used, 5, "exactly what was granted");

    // A key that is made at the first is known at the second.
    let wanted = json!({ "key": { "tenant": "acme", "user": "zoe" } });
    let made = ask(all.admin(0), ADMIN_TOKEN, "POST", "/v1/keys", wanted).await;
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let key = bearer(made["secret"].as_str().unwrap());
    // Known or not, whatever its limit says by then.
    let both = async |known: bool| {
        let key = [("authorization", key.as_str())];
        let asked = Instant::now();
        until(&format!("known on both: {known}"), SOON, || async {
            // They take turns.
            let mut all_alike = true;
            for _ in 0..4 {
                let answer = all.stack.send(all.stack.chat(&hello(), &key)).await;
                all_alike &= (answer.status != 401) == known;
            }
            all_alike.then_some(())
        })
        .await;
        asked.elapsed()
    };
    let known = both(true).await;
    let path = format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    let gone = ask(all.admin(1), ADMIN_TOKEN, "DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let forgotten = both(false).await;
    println!("a key was known on both after {known:?}, and gone after {forgotten:?}");
    assert!(known.max(forgotten) < KEYS_WITHIN);

    // A limit that changes, changes on both: Bob may do as much as it says now.
    all.reconfigure("amount: 40,", "amount: 60,");
    for index in [0, 1] {
        until("the change to be taken", SOON, || async {
            let path = "/v1/limits?tenant=acme&limit=calls";
            let told = ask(all.admin(index), ADMIN_TOKEN, "GET", path, Value::Null).await;
            (told.json()["limits"][0]["most"] == 60).then_some(())
        })
        .await;
    }
    let bob = bearer(OTHER_KEY);
    let bob = [("authorization", bob.as_str())];
    assert_eq!(passed(&at_once(&all, 100, &hello(), &bob).await), 60);
    all.books_agree(0).await;
}

/// Two streams of a call, each on another replica: the door's hold is the meter's to
/// settle.
#[tokio::test]
async fn the_split_profile_needs_nothing_more() {
    const SECOND: (&str, &str) = (
        "lb_endpoints: [ { endpoint: { address: { pipe:",
        "lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9291 } } } }, \
         { endpoint: { address: { pipe:",
    );
    let all = Replicas::start(Setup {
        envoy: "split.yaml",
        envoy_edits: vec![SECOND],
        ..Setup::default()
    })
    .await;
    for body in [hello(), streamed()].iter().cycle().take(10) {
        let answer = all.stack.send(all.stack.chat(body, &[])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    all.books_agree(0).await;
    // The doors were on the one, the meters, which write the rows, on the other.
    until("the rows to be the meters'", SOON, || async {
        matches!(all.calls_of_each(), [0, 10] | [10, 0]).then_some(())
    })
    .await;
}

/// What a worker of the load saw.
#[derive(Debug, Default)]
struct Seen {
    passed: usize,
    refused: usize,
    failed: Vec<String>,
}

impl Seen {
    fn add(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.refused += other.refused;
        self.failed.extend(other.failed);
        self
    }
}

/// Calls until told to stop, one after the other: streams of so many tokens, where
/// that is asked for, 50 ms each.
struct Worker {
    key: &'static str,
    stream: Option<u64>,
    pause: Duration,
}

impl Worker {
    async fn run(self, front: SocketAddr, stop: Arc<AtomicBool>) -> Seen {
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) {
            match self.call(front).await {
                Ok(200) => seen.passed += 1,
                Ok(429) => seen.refused += 1,
                Ok(status) => seen.failed.push(format!("{status}")),
                Err(why) => seen.failed.push(why),
            }
            tokio::time::sleep(self.pause).await;
        }
        seen
    }

    async fn call(&self, front: SocketAddr) -> Result<u16, String> {
        let mut body = match self.stream {
            Some(_) => streamed(),
            None => hello(),
        };
        let tokens = self.stream.unwrap_or(5).to_string();
        body["max_tokens"] = self.stream.unwrap_or(5).into();
        let mut request = Request::post("/v1/chat/completions")
            .header("host", "gateway")
            .header("content-type", "application/json")
            .header("authorization", bearer(self.key))
            .header("x-fake-output", &tokens);
        if self.stream.is_some() {
            request = request.header("x-fake-delay-ms", "50");
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        let mut open = client::try_open(front, request)
            .await
            .map_err(|error| error.to_string())?;
        let (text, whole) = open.rest().await;
        let ends = match self.stream {
            Some(_) => text.ends_with("data: [DONE]\n\n"),
            None => text.ends_with('}'),
        };
        match open.status {
            200 if !whole || !ends => Err(format!("cut: {text}")),
            status => Ok(status),
        }
    }
}

/// The most that were open at a time, as the provider saw it.
fn most_at_once(calls: &[&Received]) -> usize {
    let opened = calls.iter().map(|call| (call.came_at, 1));
    let ended = calls
        .iter()
        .filter_map(|call| Some((call.finished_at?, -1)));
    let mut steps: Vec<(Instant, isize)> = opened.chain(ended).collect();
    // One that ends as another comes was over before.
    steps.sort();
    let sums = steps.iter().scan(0, |open, (_, step)| {
        *open += step;
        Some(*open)
    });
    usize::try_from(sums.max().unwrap_or(0)).unwrap()
}

/// Three times each replica in turn is told to stop, drains, ends, and is started again
/// where it was, while calls and streams go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_are_restarted_in_turn_without_a_failed_or_an_unmetered_call() {
    const ROUNDS: usize = 3;
    const SLOTS: usize = 2;
    const EVES: usize = 60;
    let mut all = Replicas::start(Setup {
        limits: format!(
            "[
      {{ name: slots, per: user, unit: concurrency, amount: {SLOTS}, when: 'principal.user == \"bob\"' }},
      {{ name: calls, per: user, unit: requests, amount: {EVES}, every: 1h, algorithm: fixed_window, starts: first_hit, when: 'principal.user == \"eve\"' }} ]"
        ),
        more: "server: { shutdown_delay: 2500ms, drain_timeout: 1m }".to_owned(),
        ..Setup::default()
    })
    .await;
    let (front, stop) = (all.stack.front, Arc::new(AtomicBool::new(false)));
    let worker = |key, stream: Option<u64>, pause_ms| {
        let pause = Duration::from_millis(pause_ms);
        Worker { key, stream, pause }.run(front, Arc::clone(&stop))
    };
    let (mut ada, mut bob, mut eve) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for _ in 0..4 {
        ada.spawn(worker(KEY, None, 20));
    }
    // Half a second, two seconds, and four: longer than the delay.
    for tokens in [10, 40, 80, 80] {
        ada.spawn(worker(KEY, Some(tokens), 10));
    }
    for _ in 0..4 {
        bob.spawn(worker(OTHER_KEY, Some(8), 20));
    }
    eve.spawn(worker(FOREIGN_KEY, None, 100));

    let began = Instant::now();
    for round in 0..ROUNDS {
        for index in [0, 1] {
            all.weir(index).terminate();
            assert!(all.ended(index).await, "round {round}: it ends with 0");
            all.start_again(index);
            all.are_used().await;
            let address = all.grpc(index);
            assert_eq!(check(address, "").await, Ok(ServingStatus::Serving));
        }
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut seen = [Seen::default(), Seen::default(), Seen::default()];
    for (workers, sum) in [ada, bob, eve].into_iter().zip(&mut seen) {
        *sum = workers
            .join_all()
            .await
            .into_iter()
            .fold(Seen::default(), Seen::add);
    }
    let [ada, bob, eve] = seen;
    println!(
        "{ROUNDS} rounds in {took:?}: ada {}, bob {} and {} refused, eve {} and {} refused; of each {:?}",
        ada.passed,
        bob.passed,
        bob.refused,
        eve.passed,
        eve.refused,
        all.calls_of_each(),
    );
    for seen in [&ada, &bob, &eve] {
        assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    }
    assert_eq!(ada.refused, 0);
    assert!(ada.passed > 200 && bob.passed > 20 && bob.refused > 0 && eve.refused > 0);
    assert_eq!(
        eve.passed, EVES,
        "a limit is used to its end and not beyond"
    );
    let rows = all.books_agree(0).await;
    assert_eq!(rows.len(), ada.passed + bob.passed + eve.passed);
    let log = all.stack.provider.log();
    let bobs: Vec<_> = log
        .iter()
        .filter(|call| call.body["max_tokens"] == 8)
        .collect();
    assert_eq!(bobs.len(), bob.passed);
    assert_eq!(most_at_once(&bobs), SLOTS, "slots");
}
