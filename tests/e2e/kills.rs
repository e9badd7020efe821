//! Whatever dies, and whenever: each call that the provider saw has one row in
//! each sink, and the sinks are equal.
//!
//! Traffic goes through the real Envoy while weir, Redis and PostgreSQL are
//! killed and started again, and weir dies at the places of `ledger::faults`.
//! Then the provider's log, the spool and the sinks are compared as sets. The
//! seed is printed; what the system does in between is not the same each time.
//!
//! Redis, killed, either keeps what it was told (it writes that down before it
//! answers), and then the counters are held against the rows; or comes back
//! empty, and then only the ledger's own claims hold.
//!
//! `WEIR_KILLS` is how often something dies, `WEIR_SEED` a seed.

#[path = "kills/traffic.rs"]
mod traffic;

use super::sinks::{Sinks, rollups_agree, spool_rows};
use crate::support::books::{audited, was_sent};
use crate::support::dice::Dice;
use crate::support::postgres::Server;
use crate::support::provider::Received;
use crate::support::stack::{Engine, Setup, Stack, unix_ms};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use traffic::{CALLERS, Traffic};
use weir::counters::redis::{Redis, RedisConfig};
use weir::exchange::UsageEvent;
use weir::exchange::event::{Known, Outcome};
use weir::ledger::row::Row;
use weir::limits::HoldId;
use weir::units::Millis;

/// Small segments, so that they are ended and removed all the time; those that
/// are removed can still be looked at.
const ALWAYS: &str = "spool::segment_bytes=return(32768);spool::keep=return";

/// Where weir dies, and how often at most it passes there before.
const PLACES: [(&str, u64); 17] = [
    ("die::torn", 40),
    ("die::written", 40),
    ("die::synced", 40),
    ("die::segment", 2),
    ("die::removed", 2),
    ("die::decided", 20),
    ("die::over", 20),
    ("die::settled", 20),
    ("die::expired", 1),
    ("die::torn_line", 10),
    ("die::uncommitted", 20),
    ("die::delivered", 25),
    ("die::position", 25),
    ("die::committed", 25),
    ("die::interrupted", 3),
    ("die::recovered", 1),
    ("die::begun", 1),
];

/// Within which one that lives too long is killed.
const LIFE_MAX: Duration = Duration::from_millis(2_500);
/// So long at most is waited for calls to pass, as when weir is dead already.
const PASSES_MAX: Duration = Duration::from_millis(2_500);
const READY_MAX: Duration = Duration::from_secs(60);
const BOOKS_MAX: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_each_call_has_one_row_in_each_sink_and_redis_keeps_the_counters() {
    kill_and_compare(true, "response_timeout: 500ms, on_failure: deny").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_each_call_has_one_row_in_each_sink_where_redis_loses_all() {
    kill_and_compare(false, "response_timeout: 500ms, on_failure: share").await;
}

async fn kill_and_compare(redis_keeps: bool, redis: &'static str) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = number("WEIR_KILLS").unwrap_or(12_u64).div_ceil(2);
    let seed = number("WEIR_SEED").unwrap_or_else(unix_ms);
    println!("WEIR_SEED={seed}, Redis keeps: {redis_keeps}");
    let mut site = Site::start(seed, redis_keeps, redis).await;
    let traffic = Traffic::start(seed, site.stack.front);
    let begun = Instant::now();
    while site.deaths.values().sum::<u64>() < kills {
        site.some_calls_pass().await;
        site.kill_something().await;
    }
    let calls = traffic.stop().await;
    site.weir_lives_on().await;
    println!(
        "{calls} calls, {} seen by the provider, deaths in {:?}: {:?}",
        site.stack.provider.received(),
        begun.elapsed(),
        site.deaths
    );
    site.compare(redis_keeps).await;
}

struct Site {
    stack: Stack,
    postgres: Server,
    sinks: Sinks,
    dice: Dice,
    /// Where weir is to die in this life.
    place: Option<&'static str>,
    deaths: BTreeMap<&'static str, u64>,
}

impl Site {
    async fn start(seed: u64, redis_keeps: bool, redis: &'static str) -> Self {
        let postgres = Server::start(&["fsync=off"]).await;
        let sinks = Sinks::new(postgres.database().await);
        let stack = Stack::start(Setup {
            engine: Engine::Redis,
            redis,
            redis_keeps,
            sinks: sinks.yaml(None),
            // Short, so that what the dead held is soon free.
            more: "holds: { ttl: 6s, lease_ttl: 3s, renew_every: 1s }".into(),
            faults: ALWAYS.into(),
            ..Setup::default()
        })
        .await;
        Self {
            stack,
            postgres,
            sinks,
            dice: Dice(seed),
            place: None,
            deaths: BTreeMap::new(),
        }
    }

    /// However slow the machine is: something goes on between two deaths, mostly.
    async fn some_calls_pass(&mut self) {
        let enough = self.stack.provider.received() + self.dice.roll(60) as usize;
        let begun = Instant::now();
        while self.stack.provider.received() < enough && begun.elapsed() < PASSES_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn kill_something(&mut self) {
        match self.dice.roll(10) {
            0..6 => self.kill_weir().await,
            6 => {
                self.kill_redis();
                // Nothing comes up without it.
                self.stack.kill_weir();
                self.died("weir");
                self.arm();
                self.stack.start_weir();
                self.dice.rest(0..300).await;
                self.stack.restart_redis().await;
                self.weir_comes_up().await;
            }
            7 => {
                self.kill_redis();
                self.dice.rest(0..1_500).await;
                self.stack.restart_redis().await;
            }
            8 => {
                self.postgres.kill();
                self.died("postgres");
                self.dice.rest(0..700).await;
                self.postgres.restart().await;
            }
            _ => {
                self.postgres.kill();
                self.died("postgres");
                self.kill_weir().await;
                self.postgres.restart().await;
            }
        }
    }

    fn kill_redis(&mut self) {
        self.stack.kill_redis();
        self.died("redis");
    }

    /// Where it is to die, if it comes there; and starts it again.
    async fn kill_weir(&mut self) {
        let how = match self.place.take() {
            Some(place) if self.weir_dies().await => place,
            _ => "weir",
        };
        self.stack.kill_weir();
        self.died(how);
        self.dice.rest(0..200).await;
        self.arm();
        self.stack.start_weir();
        self.weir_comes_up().await;
    }

    async fn weir_dies(&mut self) -> bool {
        let begun = Instant::now();
        while self.stack.weir.is_running() {
            if begun.elapsed() > LIFE_MAX {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    fn died(&mut self, what: &'static str) {
        *self.deaths.entry(what).or_default() += 1;
    }

    /// Two lives of three end at a place.
    fn arm(&mut self) {
        let mut faults = ALWAYS.to_owned();
        self.place = None;
        if self.dice.roll(3) > 0 {
            let (place, most) = self.dice.pick(&PLACES);
            let passes = self.dice.roll(most);
            faults = match passes {
                0 => format!("{faults};{place}=return"),
                _ => format!("{faults};{place}={passes}*off->return"),
            };
            self.place = Some(place);
        }
        self.stack.let_fail(&faults);
    }

    /// One that dies before it is ready is started again, as a supervisor does.
    async fn weir_comes_up(&mut self) {
        let begun = Instant::now();
        while !self.stack.weir_is_ready().await {
            let tail = self.stack.weir.tail();
            assert!(begun.elapsed() < READY_MAX, "weir is not ready: {tail}");
            if let Some(clean) = self.stack.weir.ended() {
                assert!(!clean, "weir ended by itself: {tail}");
                let place = self.place.take();
                self.died(place.unwrap_or("weir, without Redis"));
                self.stack.let_fail(ALWAYS);
                self.stack.start_weir();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// From now on nothing dies.
    async fn weir_lives_on(&mut self) {
        self.place = None;
        self.stack.let_fail(ALWAYS);
        self.stack.kill_weir();
        self.stack.start_weir();
        self.weir_comes_up().await;
    }

    async fn compare(mut self, counters: bool) {
        self.nothing_is_open().await;
        let received = self.stack.provider.log();
        self.sinks_are_equal().await;
        self.stack.weir.terminate();
        let begun = Instant::now();
        while self.stack.weir.is_running() {
            assert!(begun.elapsed() < READY_MAX, "{}", self.stack.weir.tail());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let rows = spool_rows(&self.stack.ledger()).await;
        if counters {
            counters_agree(&self.stack.redis_url(), &rows, &received).await;
        }
        let owed = self.sinks.hold_all_of(&rows, &self.stack.events()).await;
        each_call_has_one_row(&received, &owed);
        let deaths: u64 = self.deaths.values().sum();
        few_are_unknown(&owed, deaths);
        for store in self.sinks.stores().await {
            rollups_agree(&store, &owed).await;
        }
    }

    /// No call, no hold, no slot; the dead ones' too.
    async fn nothing_is_open(&self) {
        let begun = Instant::now();
        loop {
            let mut open = 0.0;
            for series in ["weir_open_calls", "weir_open_holds", "weir_unsettled_holds"] {
                open += self.stack.metric(series).await;
            }
            let left = self.stack.sorted_sets().await;
            if open == 0.0 && left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < BOOKS_MAX, "{open} open, {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn sinks_are_equal(&self) {
        let begun = Instant::now();
        loop {
            let counts = self.sinks.counts().await;
            let lines = self.stack.events().len();
            if counts.iter().all(|count| *count == lines) {
                return;
            }
            assert!(
                begun.elapsed() < BOOKS_MAX,
                "{lines} lines, {counts:?} rows: {}",
                self.stack.weir.tail()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn each_call_has_one_row(received: &[Received], owed: &BTreeMap<HoldId, Row>) {
    let mut rows: HashMap<&str, Vec<&UsageEvent>> = HashMap::new();
    for row in owed.values() {
        if let Some(traceparent) = &row.event.traceparent {
            rows.entry(traceparent).or_default().push(&row.event);
        }
    }
    let mut seen: HashMap<&str, &Received> = HashMap::new();
    for call in received {
        let traceparent = call.header("traceparent").expect("each call has one");
        assert!(
            seen.insert(traceparent, call).is_none(),
            "{traceparent} went there twice"
        );
        match rows.get(traceparent).map(Vec::as_slice) {
            Some([event]) => assert_ne!(event.outcome, Outcome::Refused, "{event:#?}"),
            Some(more) => panic!("a call has several rows: {more:#?}"),
            None => panic!("the provider saw {traceparent}, and there is no row: {call:?}"),
        }
    }
    let exact = owed
        .values()
        .filter(|row| row.event.outcome == Outcome::Exact);
    for Row { event, .. } in exact {
        let call = event.traceparent.as_deref().and_then(|name| seen.get(name));
        let call = call.unwrap_or_else(|| panic!("the provider never saw it: {event:#?}"));
        let (input, output) = call.bills;
        assert_eq!(call.status, 200, "{event:#?}");
        assert_eq!(
            (event.input_tokens, event.output_tokens),
            (Some(input), Some(output)),
            "the provider bills something else: {event:#?}"
        );
    }
    for events in rows.values() {
        assert_eq!(events.len(), 1, "a call has several rows: {events:#?}");
    }
}

/// What each death left open is taken from the reservation, and nothing else.
fn few_are_unknown(owed: &BTreeMap<HoldId, Row>, deaths: u64) {
    let events = || owed.values().map(|row| &row.event);
    let unknown = events().filter(|event| event.known == Some(Known::Reserved));
    let unknown = unknown.count() as u64;
    let exact = events().filter(|event| event.outcome == Outcome::Exact);
    println!(
        "{} rows, {} of them exact, {unknown} from their reservation",
        owed.len(),
        exact.count()
    );
    assert!(unknown <= deaths * 2 * CALLERS, "{unknown}");
}

/// What a death left open the store may have ended as it was, or kept as it was
/// reserved, or never heard of. All else it counts as the rows do.
async fn counters_agree(redis_url: &str, rows: &[Row], received: &[Received]) {
    let bills: HashMap<&str, (u64, u64)> = received
        .iter()
        .filter_map(|call| Some((call.header("traceparent")?, call.bills)))
        .collect();
    let (mut least, mut slack) = ([0; 3], [0; 3]);
    for Row { event, .. } in rows {
        if event.tenant.as_deref() != Some("acme") || !was_sent(event) {
            continue;
        }
        let (mut tokens, mut cost) = (event.total_tokens(), event.cost_nanos.unwrap_or(0));
        let unknown = event.known == Some(Known::Reserved);
        if unknown {
            let name = event.traceparent.as_deref();
            let (input, output) = name
                .and_then(|name| bills.get(name))
                .copied()
                .unwrap_or_default();
            tokens = tokens.max(input + output);
            // The dearest of the prices, for either.
            cost = cost.max((input + output) * 25_000);
        }
        let to = if unknown { &mut slack } else { &mut least };
        for (sum, amount) in to.iter_mut().zip([1, tokens, cost]) {
            *sum += amount;
        }
    }
    let config = RedisConfig {
        response_timeout: Millis::from_secs(5),
        ..RedisConfig::new(redis_url)
    };
    let redis = Redis::connect(&config).await.unwrap();
    let counted = audited(&redis).await;
    for ((counted, least), slack) in counted.iter().zip(least).zip(slack) {
        // The audit asks for one of each.
        let counted = counted - 1;
        assert!(
            (least..=least + slack).contains(&counted),
            "{counted} counted, {least} known and {slack} unknown in the rows"
        );
    }
}
