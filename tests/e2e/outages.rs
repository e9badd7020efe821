//! A Redis that is dead, silent, slow or half-open: calls go on within each
//! sidecar's share, no decision waits for it, and afterwards the counters say
//! what was used, exactly.

use super::calls::hello;
use super::failures::half_answered;
use crate::support::books::was_sent;
use crate::support::link::Link;
use crate::support::stack::{AMPLE, Engine, Setup, Stack};
use crate::support::until;
use std::time::{Duration, Instant};
use weir::counters::redis::{Redis, RedisConfig};
use weir::exchange::event::Outcome;
use weir::units::Millis;

const SOON: Duration = Duration::from_secs(15);

/// A window of an hour that began just now, on top of what nothing reaches.
const TEN_AN_HOUR: &str = "[ { name: ten, per: tenant, unit: requests, amount: 10, every: 1h, algorithm: fixed_window, starts: first_hit } ]";

async fn linked(redis: &'static str, limits: &str) -> Stack {
    Stack::start(Setup {
        engine: Engine::Redis,
        link: true,
        redis,
        limits: limits.to_owned(),
        // How long the store is waited for is measured here, not the disk.
        durability: "relaxed",
        ..Setup::default()
    })
    .await
}

async fn status(stack: &Stack) -> u16 {
    stack.send(stack.chat(&hello(), &[])).await.status
}

/// weir has noticed, and decides alone.
pub async fn redis_is_away(stack: &Stack) {
    until("weir to miss Redis", SOON, || async {
        (stack.metric("weir_counter_store_away").await == 1.0).then_some(())
    })
    .await;
}

pub async fn redis_is_back(stack: &Stack) {
    stack.link.as_ref().unwrap().mend();
    until("weir to find Redis", SOON, || async {
        (stack.metric("weir_counter_store_away").await == 0.0).then_some(())
    })
    .await;
}

/// Decisions so far: all, and those within 20 ms.
async fn decisions(stack: &Stack) -> (f64, f64) {
    let all = stack.metric("weir_decision_seconds_count").await;
    let soon = stack.metric("weir_decision_seconds_bucket{le=\"0.02\"}");
    (all, soon.await)
}

#[tokio::test]
async fn decisions_take_less_than_20_ms_while_redis_is_away_and_the_counters_are_right_after() {
    type Fault = (&'static str, fn(&Link));
    let faults: [Fault; 4] = [
        ("dead", |link| link.fall()),
        ("silent", |link| link.fall_silent()),
        ("half-open", |link| link.forget_connections()),
        ("slow", |link| link.slow_down(Duration::from_millis(40))),
    ];
    for (fault, strike) in faults {
        let stack = linked("on_failure: share", AMPLE).await;
        for _ in 0..5 {
            assert_eq!(status(&stack).await, 200);
        }
        // One is open while Redis goes away, one is begun and ended then, one is
        // open when it comes back.
        let mut early = half_answered(&stack).await;
        let before = decisions(&stack).await;
        strike(stack.link.as_ref().unwrap());
        let struck = Instant::now();
        assert_eq!(status(&stack).await, 200, "{fault}");
        if fault != "half-open" {
            redis_is_away(&stack).await;
            let noticed = struck.elapsed();
            println!("{fault}: noticed after {noticed:?}");
        }
        let mut late = half_answered(&stack).await;
        for _ in 0..300 {
            assert_eq!(status(&stack).await, 200, "{fault}");
        }
        let after = decisions(&stack).await;
        let (all, soon) = (after.0 - before.0, after.1 - before.1);
        println!("{fault}: {soon} of {all} decisions within 20 ms");
        assert!(soon >= all * 0.99, "{fault}: {soon} of {all}");
        redis_is_back(&stack).await;
        stack.provider.open_gate("rest");
        assert!(early.rest().await.1 && late.rest().await.1);
        stack.settle_the_books().await;
        let events = stack.events();
        assert!(
            events.iter().all(|event| event.outcome == Outcome::Exact),
            "{fault}: {events:?}"
        );
    }
}

/// Another sidecar, as far as its signs of life go.
async fn another_sidecar(stack: &Stack) -> Redis {
    let config = RedisConfig {
        response_timeout: Millis::from_secs(5),
        ..RedisConfig::new(stack.redis_url())
    };
    let other = Redis::connect(&config).await.unwrap();
    other.beat(0, "another", Millis(60_000)).await.unwrap();
    until("weir to know of it", SOON, || async {
        (stack.metric("weir_sidecars").await == 2.0).then_some(())
    })
    .await;
    other
}

#[tokio::test]
async fn a_share_is_what_is_left_over_the_sidecars_that_are_known() {
    let stack = linked("response_timeout: 100ms, on_failure: share", TEN_AN_HOUR).await;
    another_sidecar(&stack).await;
    for _ in 0..4 {
        assert_eq!(status(&stack).await, 200);
    }
    stack.link.as_ref().unwrap().fall();
    // Half of the ten is this sidecar's, and it has used four of that.
    assert_eq!(status(&stack).await, 200);
    let refused = stack.send(stack.chat(&hello(), &[])).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.header("x-weir-decision"), Some("ten"));
    redis_is_away(&stack).await;
    redis_is_back(&stack).await;
    // Redis knows of the five, so five are left.
    for _ in 0..5 {
        assert_eq!(status(&stack).await, 200);
    }
    assert_eq!(status(&stack).await, 429);
    stack.log_and_events_agree().await;
}

/// Redis takes a call and says so too late: meanwhile this sidecar has refused
/// it, as its share is used up.
#[tokio::test]
async fn what_a_slow_redis_took_of_a_refused_call_is_given_back() {
    let stack = linked("response_timeout: 100ms, on_failure: share", TEN_AN_HOUR).await;
    another_sidecar(&stack).await;
    for _ in 0..5 {
        assert_eq!(status(&stack).await, 200);
    }
    let link = stack.link.as_ref().unwrap();
    link.slow_down(Duration::from_millis(300));
    assert_eq!(
        status(&stack).await,
        429,
        "half of the ten is this sidecar's"
    );
    link.mend();
    // Five are left, and nothing of the refused call.
    until("Redis to be asked again", SOON, || async {
        (status(&stack).await == 200).then_some(())
    })
    .await;
    redis_is_back(&stack).await;
    for _ in 0..4 {
        assert_eq!(status(&stack).await, 200);
    }
    assert_eq!(status(&stack).await, 429);
    stack.settle_the_books().await;
}

#[tokio::test]
async fn slots_are_kept_over_an_outage() {
    let limits = "[ { name: slots, per: tenant, unit: concurrency, amount: 2 } ]";
    let stack = linked("response_timeout: 100ms, on_failure: share", limits).await;
    let mut first = half_answered(&stack).await;
    stack.link.as_ref().unwrap().fall();
    // The one that Redis knows of counts, and this one.
    let mut second = half_answered(&stack).await;
    assert_eq!(status(&stack).await, 429);
    redis_is_away(&stack).await;
    redis_is_back(&stack).await;
    assert_eq!(status(&stack).await, 429, "Redis knows of both");
    stack.provider.open_gate("rest");
    assert!(first.rest().await.1 && second.rest().await.1);
    until("the slots to be free", SOON, || async {
        (status(&stack).await == 200).then_some(())
    })
    .await;
    stack.log_and_events_agree().await;
}

#[tokio::test]
async fn where_it_is_allowed_calls_pass_and_are_counted_afterwards() {
    let stack = linked("response_timeout: 100ms, on_failure: allow", TEN_AN_HOUR).await;
    stack.link.as_ref().unwrap().fall();
    for _ in 0..15 {
        assert_eq!(status(&stack).await, 200);
    }
    redis_is_back(&stack).await;
    assert_eq!(status(&stack).await, 429);
    stack.log_and_events_agree().await;
}

/// What Redis forgets while calls are open comes back with their renewals.
#[tokio::test]
async fn holds_that_redis_lost_are_restored() {
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        limits: "[ { per: tenant, unit: concurrency, amount: 1 } ]".into(),
        more: "holds: { ttl: 3s, lease_ttl: 1s, renew_every: 200ms }".into(),
        ..Setup::default()
    })
    .await;
    let mut open = half_answered(&stack).await;
    stack.flush_redis().await;
    until("the hold to be back", SOON, || async {
        (!stack.sorted_sets().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(status(&stack).await, 429);
    stack.provider.open_gate("rest");
    assert!(open.rest().await.1);
    stack.log_and_events_agree().await;
}

/// What README promises of a weir that dies.
const PROMISE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn slots_and_holds_of_1000_streams_are_back_in_time_after_kill_9() {
    const STREAMS: usize = 1_000;
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        limits: "[ { per: tenant, unit: concurrency, amount: 1000 } ]".into(),
        more: "holds: { ttl: 15s, lease_ttl: 15s, renew_every: 5s }".into(),
        ..Setup::default()
    })
    .await;
    let mut open = Vec::with_capacity(STREAMS);
    while open.len() < STREAMS {
        let some = (0..50).map(|_| half_answered(&stack));
        open.extend(futures_util::future::join_all(some).await);
    }
    until("every hold to be open", SOON, || async {
        (stack.metric("weir_open_holds").await == STREAMS as f64).then_some(())
    })
    .await;
    assert_eq!(status(&stack).await, 429, "every slot is taken");
    stack.kill_weir();
    let killed = Instant::now();
    drop(open);
    stack.restart_weir().await;
    until("a slot to be free", 2 * PROMISE, || async {
        (status(&stack).await == 200).then_some(())
    })
    .await;
    let slots_back = killed.elapsed();
    until("every hold to be over", 2 * PROMISE, || async {
        stack.sorted_sets().await.is_empty().then_some(())
    })
    .await;
    let holds_back = killed.elapsed();
    println!("after kill -9 with {STREAMS} streams: slots {slots_back:?}, holds {holds_back:?}");
    // A look for what has expired is made each second.
    let most = PROMISE + Duration::from_secs(3);
    assert!(slots_back < most, "{slots_back:?}");
    assert!(holds_back < most, "{holds_back:?}");
    stack.provider.open_gate("rest");
    stack.log_and_events_agree().await;
    let events = stack.events();
    let estimated = events
        .iter()
        .filter(|event| event.outcome == Outcome::Estimated);
    assert_eq!(estimated.count(), STREAMS);
}

/// A call is noted while Redis is asked; one that is refused is over when its caller
/// hears so, whatever becomes of its row.
#[tokio::test]
async fn what_was_refused_is_not_charged_though_weir_dies_then() {
    let mut stack = Stack::start(Setup {
        engine: Engine::Redis,
        limits: "[ { per: tenant, unit: concurrency, amount: 1 } ]".into(),
        more: "holds: { ttl: 2s, lease_ttl: 1s, renew_every: 200ms }".into(),
        // Slow enough to die before a row is written.
        faults: "spool::write=sleep(100)".into(),
        ..Setup::default()
    })
    .await;
    let open = half_answered(&stack).await;
    assert_eq!(status(&stack).await, 429);
    stack.kill_weir();
    drop(open);
    stack.let_fail("");
    stack.restart_weir().await;
    stack.provider.open_gate("rest");
    let events = stack.log_and_events_agree().await;
    let sent = events.iter().filter(|event| was_sent(event));
    let sent: Vec<_> = sent.map(|event| (event.outcome, event.stream)).collect();
    assert_eq!(sent, [(Outcome::Estimated, true)], "the other was refused");
}

/// It answers, but takes no writes: as bad as away.
#[tokio::test]
async fn a_redis_that_takes_no_writes_is_away() {
    let faults = [
        (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
        (
            ["CONFIG SET", "maxmemory", "1"],
            ["CONFIG SET", "maxmemory", "0"],
        ),
    ];
    for (strike, mend) in faults {
        let stack = linked("response_timeout: 100ms, on_failure: share", AMPLE).await;
        let mut early = half_answered(&stack).await;
        let tell = async |words: [&str; 3]| {
            let mut command = redis::Cmd::new();
            for word in words.iter().flat_map(|words| words.split(' ')) {
                command.arg(word);
            }
            let () = stack.ask_redis(&command).await;
        };
        tell(strike).await;
        for _ in 0..20 {
            assert_eq!(status(&stack).await, 200, "{strike:?}");
        }
        redis_is_away(&stack).await;
        tell(mend).await;
        redis_is_back(&stack).await;
        stack.provider.open_gate("rest");
        assert!(early.rest().await.1);
        stack.settle_the_books().await;
    }
}
