//! A fleet at once: a thousand calls on eight clients of one Redis, which
//! reserve, settle, void and die at random. What the server said is written
//! down with the server's time, and held against each limit afterwards.

use crate::engine::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use weir::counters::redis::Redis;
use weir::limits::period::Period;
use weir::limits::*;
use weir::units::Millis;

const CLIENTS: usize = 8;
const CALLS: usize = 1_000;
/// How often a call that is refused comes back.
const TRIES: usize = 6;

const REQUESTS: u64 = 120;
const REQUESTS_EVERY: u64 = 400;
const TOKENS: u64 = 600;
const TOKENS_EVERY: u64 = 100;
const BURST: u64 = 900;
const SLOTS: u64 = 20;
const HOLD_MS: u64 = 300;
const LEASE_MS: u64 = 150;

/// What the server admitted, and what became of it; times are the server's.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    at: u64,
    tokens: u64,
    /// When it was settled, with what.
    settled: Option<(u64, u64, u64)>,
}

fn limits() -> [Arc<Limit>; 3] {
    [
        fixed(
            "r",
            Unit::Requests,
            REQUESTS,
            Period::aligned(Millis(REQUESTS_EVERY)),
        ),
        bucket("t", TOKENS, Millis(TOKENS_EVERY), BURST),
        slots("c", SLOTS),
    ]
}

/// Random enough, and the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    async fn rest(&mut self, below_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.roll(below_ms))).await;
    }
}

/// One call: until it is admitted or gives up.
async fn one(redis: Arc<Redis>, names: Arc<AtomicU16>, seed: u64) -> (usize, Option<Admitted>) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed + 1).wrapping_mul(0xd134_2543_de82_ef95));
    let [requests, by_tokens, lanes] = limits();
    dice.rest(1_000).await;
    for refusals in 0..TRIES {
        let tokens = dice.roll(120);
        let name = names.fetch_add(1, Ordering::SeqCst);
        let charges = vec![
            charge(&requests, 1),
            charge(&by_tokens, tokens),
            charge(&lanes, 1),
        ];
        let mut call = call(name, charges);
        call.hold_ttl = Millis(HOLD_MS);
        call.lease_ttl = Millis(LEASE_MS);
        let there = redis.reserve(&call, NOW).await.unwrap();
        if let Decision::Admitted(standings) = &there.answer {
            assert!(standings.iter().all(|standing| !standing.exceeded));
            let at = there.now.0;
            let settled = settle(&redis, call.hold, tokens, &mut dice).await;
            return (
                refusals,
                Some(Admitted {
                    at,
                    tokens,
                    settled,
                }),
            );
        }
        refused(&there.answer);
        dice.rest(120).await;
    }
    (TRIES, None)
}

/// Settles in full, in part, or not at all; a fifth of all calls just vanish.
async fn settle(
    redis: &Redis,
    hold: HoldId,
    held: u64,
    dice: &mut Dice,
) -> Option<(u64, u64, u64)> {
    let (requests, tokens) = match dice.roll(5) {
        0 => return None,
        1 => (0, 0),
        2 => (1, held),
        _ => (1, dice.roll(held + 1)),
    };
    dice.rest(60).await;
    let there = redis
        .settle(SLOT, hold, actual(requests, tokens))
        .await
        .unwrap();
    // Nobody expires holds while the calls run.
    assert_eq!(there.answer, Settled::Applied);
    Some((there.now.0, requests, tokens))
}

#[test]
fn a_fleet_never_passes_its_limits_and_leaves_nothing_behind() {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::start(&[]).await;
        let clients = (0..CLIENTS).map(|_| server.connect());
        let clients = futures_util::future::join_all(clients).await;
        let clients: Vec<Arc<Redis>> = clients.into_iter().map(Arc::new).collect();
        let names = Arc::new(AtomicU16::new(0));
        let calls = (0_u64..).zip(clients.iter().cycle().take(CALLS));
        let calls =
            calls.map(|(n, client)| tokio::spawn(one(Arc::clone(client), Arc::clone(&names), n)));
        let outcomes = futures_util::future::join_all(calls).await;
        let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
        let refusals: usize = outcomes.iter().map(|(refusals, _)| refusals).sum();
        let log: Vec<Admitted> = outcomes
            .iter()
            .filter_map(|(_, admitted)| *admitted)
            .collect();
        let abandoned = log
            .iter()
            .filter(|admitted| admitted.settled.is_none())
            .count();
        println!(
            "{} admitted, {refusals} refusals, {abandoned} abandoned, {:?}",
            log.len(),
            begun.elapsed()
        );
        assert!(log.len() > CALLS / 4 && refusals > CALLS / 4 && abandoned > 50);
        requests_stay_within(&log);
        tokens_stay_within(&log);
        slots_stay_within(&log);
        nothing_is_left(&server, &clients, abandoned).await;
    });
    assert!(begun.elapsed() < DEADLINE);
}

/// Each change with its time, those that give back first where several fell
/// into one millisecond.
fn in_order(mut changes: Vec<(u64, i128)>) -> Vec<(u64, i128)> {
    changes.sort_unstable();
    changes
}

fn requests_stay_within(log: &[Admitted]) {
    let window = |at: u64| at / REQUESTS_EVERY;
    let mut changes = Vec::new();
    for admitted in log {
        changes.push((admitted.at, 1));
        // A refund goes to the window that it was taken from.
        if let Some((at, 0, _)) = admitted.settled
            && window(at) == window(admitted.at)
        {
            changes.push((at, -1));
        }
    }
    let (mut current, mut count, mut peak) = (0, 0, 0);
    for (at, change) in in_order(changes) {
        if window(at) != current {
            (current, count) = (window(at), 0);
        }
        count += change;
        peak = peak.max(count);
    }
    println!("requests: at most {peak} of {REQUESTS} in a window");
    assert!(peak <= i128::from(REQUESTS));
    assert!(peak > i128::from(REQUESTS) / 2, "never put to the test");
}

/// As GCRA: the theoretical arrival time is never more than a burst ahead.
fn tokens_stay_within(log: &[Admitted]) {
    let mut changes = Vec::new();
    for admitted in log {
        changes.push((admitted.at, i128::from(admitted.tokens)));
        if let Some((at, _, tokens)) = admitted.settled {
            changes.push((at, i128::from(tokens) - i128::from(admitted.tokens)));
        }
    }
    let room = i128::from(BURST * TOKENS_EVERY);
    let (mut tat, mut peak) = (0, 0);
    for (at, tokens) in in_order(changes) {
        let now = i128::from(at * TOKENS);
        tat = now.max(tat.max(now) + tokens * i128::from(TOKENS_EVERY));
        peak = peak.max(tat - now);
    }
    println!(
        "tokens: at most {} of {BURST} ahead",
        peak / i128::from(TOKENS_EVERY)
    );
    assert!(peak <= room);
    assert!(peak > room / 2, "never put to the test");
}

fn slots_stay_within(log: &[Admitted]) {
    let mut changes = Vec::new();
    for admitted in log {
        let lease = admitted.at + LEASE_MS;
        let ends = admitted.settled.map_or(lease, |(at, ..)| at.min(lease));
        changes.push((admitted.at, 1));
        // One that ended within its first millisecond is never seen to end
        // before it began.
        if ends > admitted.at {
            changes.push((ends, -1));
        } else {
            changes.pop();
        }
    }
    let (mut alive, mut peak) = (0, 0);
    for (_, change) in in_order(changes) {
        alive += change;
        peak = peak.max(alive);
    }
    println!("concurrency: at most {peak} of {SLOTS} alive");
    assert!(peak <= i128::from(SLOTS));
    assert!(peak > i128::from(SLOTS) / 2, "never put to the test");
}

/// All clients expire at once; each abandoned hold goes to one of them.
async fn nothing_is_left(server: &Server, clients: &[Arc<Redis>], abandoned: usize) {
    let mut raw = server.raw().await;
    server_passes(&mut raw, HOLD_MS + 1).await;
    let looks = clients
        .iter()
        .map(|client| client.expire_due(100_000, CLAIM));
    let looks = futures_util::future::join_all(looks).await;
    let handed: usize = looks
        .iter()
        .map(|look| look.as_ref().unwrap().answer.len())
        .sum();
    assert_eq!(handed, abandoned);
    assert_eq!(clients[0].open_holds().await.unwrap(), 0);
    let lanes: Vec<String> = redis::cmd("KEYS")
        .arg("weir:1:*}:c:*")
        .query_async(&mut raw)
        .await
        .unwrap();
    assert_eq!(lanes, Vec::<String>::new(), "a slot that nobody has");
}
