//! The driver's own parts together, over a store that does as it is told.

mod checks;
pub mod door;
mod fake_redis;

use super::leases::Lease;
use super::*;
use crate::counters::memory::Memory;
use crate::exchange::Settlement;
use crate::exchange::event::Known;
use crate::ledger::spool::{self, Durability, Spool, SpoolConfig};
use crate::limits::period::Period;
use crate::limits::{Algorithm, Charge, Limit, Mode, Scope, Unit};
use crate::protocol::Endpoint;
use crate::telemetry::metrics::Metrics;
use crate::tokens::Vocabulary;
use crate::tokens::ratios::Ratio;
use crate::units::{Millis, UnixMillis};
use fake_redis::{FakeRedis, READONLY, Script};
use futures_util::FutureExt;
use std::time::Duration;
use unsettled::Again;

pub fn driver(counters: Counters) -> Arc<Driver> {
    driver_with(counters, None)
}

fn driver_with(counters: Counters, ledger: Option<Arc<Spool>>) -> Arc<Driver> {
    let settings = Settings {
        body_bytes_max: 1,
        keep_authorization: false,
        trust_ext_authz: false,
        count_checks: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(15),
        handover_max: Millis::from_secs(10),
    };
    Driver::new(
        Arc::new(Snapshot::default()),
        settings,
        counters,
        Recorder::new(ledger, Arc::new(Metrics::new()), None),
        Leases::default(),
        OnCounterFailure::Share,
    )
}

/// A call that has one of so many slots.
fn call(driver: &Driver, n: u8, slots: u64) -> Reservation {
    charged(
        driver,
        n,
        (slots, Unit::Concurrency, Algorithm::Concurrency),
        1,
    )
}

fn charged(
    driver: &Driver,
    n: u8,
    (most, unit, algorithm): (u64, Unit, Algorithm),
    amount: u64,
) -> Reservation {
    let limit = Limit {
        name: "limit".into(),
        scope: Scope::TENANT,
        unit,
        amount: most,
        algorithm,
        mode: Mode::Enforce,
    };
    Reservation {
        hold: HoldId::new(driver.clock.now(), &[n; 10]),
        slot: "acme".into(),
        charges: vec![Charge::new(Arc::new(limit), "c", amount)].into(),
        shared: Arc::default(),
        hold_ttl: driver.settings.hold_ttl,
        lease_ttl: driver.settings.lease_ttl,
        context: "".into(),
    }
}

/// Takes the call into care, as one that the store has.
fn keep(driver: &Driver, call: &Reservation) {
    keep_until(driver, call, None);
}

fn keep_until(driver: &Driver, call: &Reservation, until: Option<UnixMillis>) {
    let lease = Lease {
        slot: Arc::clone(&call.slot),
        reservation: Some(Arc::new(call.clone())),
        until,
        over: false,
    };
    driver.leases.keep(call.hold, lease);
}

fn end(call: &Reservation) -> Settlement {
    Settlement {
        slot: Arc::clone(&call.slot),
        hold: call.hold,
        shared: false,
        actual: Actual::VOID,
        event: None,
        lesson: None,
        ratio_lesson: None,
        health_lesson: None,
    }
}

fn passes_alone(driver: &Driver, call: &Reservation) -> bool {
    let now = driver.clock.now();
    let decided = driver
        .local
        .decide(call, books::Whereabouts::Here, &driver.known, now);
    matches!(decided, Ok(crate::limits::Decision::Admitted(_)))
}

/// So many failures that all of the store is taken to be away.
fn go_away(driver: &Driver) {
    while driver.breaker.away() < driver.counters.lanes() {
        for lane in 0..driver.counters.lanes() {
            driver.lane_failed(lane, &CounterError::Timeout(Millis(1)));
        }
    }
}

/// It waits for the store still, but nothing runs that would have its slot.
#[tokio::test]
async fn a_call_that_is_over_has_no_slot_in_an_outage_that_begins_then() {
    let driver = driver(Counters::Memory(Memory::default()));
    let [over, open, third] = [1, 2, 3].map(|n| call(&driver, n, 2));
    for call in [&over, &open] {
        keep(&driver, call);
    }
    driver.leases.over(over.hold);
    driver.carry_over(|_| true);
    assert!(passes_alone(&driver, &third), "one of two is open");
    let fourth = call(&driver, 4, 2);
    assert!(!passes_alone(&driver, &fourth));
    // One that ends in the outage frees its slot as well.
    unsettled::settle(&driver, end(&open)).await;
    assert!(passes_alone(&driver, &fourth));
}

/// A failover: until another takes over, the old master takes no writes.
#[tokio::test]
async fn a_settlement_outlasts_a_store_that_takes_no_writes() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let call = call(&driver, 1, 2);
    keep(&driver, &call);
    redis.tell(|state| state.refusal = Some(READONLY));
    unsettled::settle(&driver, end(&call)).await;
    let mut again = Again::new(&driver);
    for _ in 0..10 {
        again.round(&driver).await;
    }
    assert_eq!((driver.unsettled.len(), driver.leases.len()), (1, 1));
    redis.tell(|state| state.refusal = None);
    again.round(&driver).await;
    assert_eq!((driver.unsettled.len(), driver.leases.len()), (0, 0));
    assert_eq!(redis.ran(Script::Settle), 1);
}

/// Leases may have lapsed while it was away.
#[tokio::test]
async fn open_calls_are_renewed_before_a_store_that_is_back_decides() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let call = call(&driver, 1, 2);
    keep(&driver, &call);
    go_away(&driver);
    assert_eq!(redis.ran(Script::Renew), 0);
    come_back(&driver).await;
    assert_eq!(redis.ran(Script::Renew), 1);
    assert!(!driver.local.has_news());
}

async fn passes(driver: &Arc<Driver>, call: &Reservation) -> bool {
    let decided = reserve::reserve(driver, call).await.unwrap();
    let passed = matches!(decided, crate::limits::Decision::Admitted(_));
    if passed {
        keep(driver, call);
    }
    passed
}

/// The first to find the store again leaves to the others what is theirs, until
/// they must have found it too.
#[tokio::test]
async fn a_store_that_is_back_is_asked_beside_the_share_until_all_have_told_it() {
    let (redis, counters) = FakeRedis::start().await;
    redis.tell(|state| (state.sidecars, state.slots) = (2, 4));
    let driver = driver(counters);
    driver.join().await.unwrap();
    go_away(&driver);
    let calls: Vec<_> = (1..6).map(|n| call(&driver, n, 4)).collect();
    assert!(passes(&driver, &calls[0]).await, "by itself");
    let mut merge = Merge::new(Arc::clone(&driver));
    while !driver.breaker.is_returning(0) {
        merge.round().await;
    }
    assert_eq!(redis.tell(|state| state.taken), 1);
    assert!(passes(&driver, &calls[1]).await);
    assert!(
        !passes(&driver, &calls[2]).await,
        "half of it is the other's"
    );
    merge.round().await;
    assert!(!passes(&driver, &calls[3]).await, "still");
    let given_back = async {
        while redis.tell(|state| state.taken) > 2 {
            tokio::task::yield_now().await;
        }
    };
    let given_back = tokio::time::timeout(Duration::from_secs(10), given_back);
    given_back.await.expect("what was refused is given back");
    merge.returns_for = Duration::ZERO;
    merge.round().await;
    assert!(driver.breaker.is_closed(0) && !driver.local.has_news());
    assert!(passes(&driver, &calls[4]).await);
}

async fn come_back(driver: &Arc<Driver>) {
    let mut merge = Merge::new(Arc::clone(driver));
    merge.returns_for = Duration::ZERO;
    while driver.breaker.away() > 0 {
        merge.round().await;
    }
}

/// It may go away again before any call has asked it.
#[tokio::test]
async fn what_the_store_was_told_is_known_in_the_next_outage() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let period = Arc::new(Period::first_hit(Millis::from_mins(60)));
    let window = (
        1_000,
        Unit::Tokens,
        Algorithm::FixedWindow {
            period,
            rollover: None,
        },
    );
    let [first, second] =
        [(1, 50), (2, 100)].map(|(n, amount)| charged(&driver, n, window.clone(), amount));
    let used = |call: &Reservation, tokens| Settlement {
        actual: Actual::only(Unit::Tokens, tokens),
        ..end(call)
    };
    let known = || {
        let known = driver.known.recall("acme", "c", driver.clock.now());
        known.map(|seen| seen.begins_with(1))
    };
    assert!(passes(&driver, &first).await);
    assert_eq!(known(), Some(50));
    go_away(&driver);
    assert!(passes(&driver, &second).await, "by itself");
    unsettled::settle(&driver, used(&second, 30)).await;
    assert_eq!(known(), Some(50), "the store had nothing of the second");
    come_back(&driver).await;
    assert_eq!(redis.tell(|state| state.used), 80.0);
    assert_eq!(known(), Some(80));
    unsettled::settle(&driver, used(&first, 20)).await;
    assert_eq!(known(), Some(50));
}

/// A lane that is back has heard of few: not of those who find it later, and on a
/// Cluster only of those who look for it.
#[tokio::test]
async fn sidecars_are_counted_where_all_are_heard() {
    let (redis, counters) = FakeRedis::start().await;
    let mut driver = driver(counters);
    Arc::get_mut(&mut driver).unwrap().breaker = Breaker::new(2);
    let sidecars = |heard| redis.tell(|state| state.sidecars = heard);
    sidecars(3);
    driver.join().await.unwrap();
    assert_eq!(driver.local.sidecars(), 3);
    for lane in [0, 0, 0] {
        driver.lane_failed(lane, &CounterError::Timeout(Millis(1)));
    }
    sidecars(1);
    come_back(&driver).await;
    assert_eq!(driver.local.sidecars(), 3);
    // Another lane is away: all go on to be heard here.
    for lane in [1, 1, 1] {
        driver.lane_failed(lane, &CounterError::Timeout(Millis(1)));
    }
    let mut upkeep = Upkeep::new(Arc::clone(&driver), Arc::default(), Millis(1));
    sidecars(2);
    let beats = redis.ran(Script::Beat);
    upkeep.look().await;
    assert_eq!(redis.ran(Script::Beat), beats + 1);
    assert_eq!(driver.local.sidecars(), 2);
}

/// Door and meter in one process: what the door took is known still, where the
/// store loses it or is away.
#[tokio::test]
async fn a_hold_that_is_adopted_keeps_what_it_took() {
    let driver = driver(Counters::Memory(Memory::default()));
    let call = call(&driver, 1, 1);
    keep_until(
        &driver,
        &call,
        Some(driver.clock.now() + Millis::from_secs(10)),
    );
    let unknown = HoldId::new(driver.clock.now(), &[2; 10]);
    for hold in [call.hold, unknown] {
        driver.leases.adopt(hold, "acme".into());
    }
    assert!(driver.leases.reservation(call.hold).is_some());
    assert!(driver.leases.reservation(unknown).is_none());
    let later = driver.clock.now() + Millis::from_mins(60);
    assert_eq!(driver.leases.due(later, |_| {}).len(), 2);
    driver.carry_over(|_| true);
    assert!(!passes_alone(&driver, &self::call(&driver, 3, 1)));
}

/// A deploy while the store is away, or has only just come back.
#[tokio::test]
async fn a_stop_waits_until_the_store_knows_what_was_admitted_without_it() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let period = Arc::new(Period::first_hit(Millis::from_mins(60)));
    let window = (
        1_000,
        Unit::Tokens,
        Algorithm::FixedWindow {
            period,
            rollover: None,
        },
    );
    let [over, open] = [1, 2].map(|n| charged(&driver, n, window.clone(), 50));
    go_away(&driver);
    for call in [&over, &open] {
        assert!(passes(&driver, call).await, "by itself");
    }
    let used = Settlement {
        actual: Actual::only(Unit::Tokens, 30),
        ..end(&over)
    };
    unsettled::settle(&driver, used).await;
    assert_eq!(driver.local.untold_len(), (1, 1));
    let mut stop = std::pin::pin!(driver.settled());
    assert!(stop.as_mut().now_or_never().is_none());
    come_back(&driver).await;
    stop.await;
    assert_eq!(redis.tell(|state| state.used), 80.0);
    driver.record_unanswered();
}

/// A part of the store is away, and its tenants' calls are the oldest that wait.
#[tokio::test]
async fn a_settlement_does_not_wait_for_those_that_cannot_be_answered() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let mut calls: Vec<_> = (0..100).map(|n| call(&driver, n, 200)).collect();
    calls.sort_by_key(|call| call.hold);
    redis.tell(|state| state.refusal = Some(READONLY));
    for call in &calls {
        unsettled::settle(&driver, end(call)).await;
    }
    let deaf_to = calls[..99].iter().map(|call| call.hold.to_string());
    redis.tell(|state| (state.refusal, state.deaf_to) = (None, deaf_to.collect()));
    let mut again = Again::new(&driver);
    for _ in 0..4 {
        again.round(&driver).await;
    }
    assert_eq!((redis.ran(Script::Settle), driver.unsettled.len()), (1, 99));
}

/// A decision waits for a store that doesn't answer once.
#[tokio::test]
async fn a_store_that_did_not_answer_for_one_part_is_not_asked_for_the_other() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let mut call = call(&driver, 1, 2);
    call.shared = call.charges.clone();
    redis.tell(|state| (state.refusal, state.asked) = (Some(READONLY), 0));
    assert!(passes(&driver, &call).await, "by itself");
    assert_eq!(redis.tell(|state| state.asked), 1);
    // The store is told of both.
    assert_eq!(driver.local.untold_len(), (2, 0));
}

/// A door admitted it by itself, and a meter in another process told the store of
/// its end first: which had nothing that it could charge.
#[tokio::test]
async fn what_ended_elsewhere_before_the_store_heard_of_it_is_charged_as_it_was_reserved() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = driver(counters);
    let period = Arc::new(Period::first_hit(Millis::from_mins(60)));
    let window = (
        1_000,
        Unit::Tokens,
        Algorithm::FixedWindow {
            period,
            rollover: None,
        },
    );
    let call = charged(&driver, 1, window, 50);
    go_away(&driver);
    assert!(passes(&driver, &call).await, "by itself");
    redis.tell(|state| state.ended.insert(call.hold.to_string()));
    come_back(&driver).await;
    assert_eq!(redis.tell(|state| state.used), 50.0);
    assert!(!driver.local.has_news());
    assert_eq!(driver.leases.len(), 0);
}

/// A call whose hold is past its expiry.
async fn expired(driver: &Driver, n: u8) -> HoldId {
    expired_as(driver, n, |context| context).await
}

/// The same, with what is known of it written otherwise.
async fn expired_as(driver: &Driver, n: u8, written: fn(String) -> String) -> HoldId {
    let mut call = call(driver, n, 10);
    call.hold_ttl = Millis(1);
    let before = UnixMillis(driver.clock.now().0 - 1_000);
    call.context = written(open_call(call.hold, before).to_json()).into();
    driver.counters.reserve(&call, before).await.unwrap();
    call.hold
}

fn open_call(id: HoldId, started_at: UnixMillis) -> OpenCall {
    OpenCall {
        id,
        started_at,
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: None,
        key_id: "key".into(),
        plan: "team".into(),
        labels: None,
        endpoint: Endpoint::Other,
        model: "".into(),
        asked: None,
        provider: None,
        vocabulary: Vocabulary::O200kBase,
        token_ratio: Ratio::default(),
        price: None,
        stream: false,
        strip_usage: false,
        input_tokens: 1,
        input_estimate: None,
        input_basis: None,
        output_tokens: 1,
        expected: None,
        searches: 0,
        request_bytes: 1,
        traceparent: None,
        shared: false,
        would_refuse: Vec::new(),
        actions: Vec::new(),
        rate_headers: Vec::new(),
    }
}

/// Looks again when any claim is over.
async fn handed_out_again(driver: &Driver) -> Vec<HoldId> {
    let later = driver.clock.now() + Millis::from_mins(10);
    let expired = driver.counters.expire_due(later, 10, Millis(1)).await;
    expired
        .unwrap()
        .iter()
        .map(|expired| expired.hold)
        .collect()
}

#[tokio::test]
async fn an_expired_hold_is_told_of_once_its_row_is_safe() {
    let folder = tempfile::tempdir().unwrap();
    let opened = ledger(folder.path());
    let spool = Arc::new(opened.spool);
    let driver = driver_with(Counters::Memory(Memory::default()), Some(spool.clone()));
    let hold = expired(&driver, 1).await;
    expiry::expire(&driver).await.unwrap();
    let begun = std::time::Instant::now();
    while driver.telling.is_busy() && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(handed_out_again(&driver).await, []);
    let mut reader = spool.reader("test").unwrap();
    let rows = reader.next(10).await.unwrap().unwrap().rows;
    let rows: Vec<_> = rows.iter().map(|row| row.event.id).collect();
    assert_eq!(rows, [hold]);
    // A spool that takes nothing any more.
    spool.close(Duration::from_secs(10)).await.unwrap();
    let hold = expired(&driver, 2).await;
    expiry::expire(&driver).await.unwrap();
    assert!(!driver.telling.is_busy());
    assert_eq!(handed_out_again(&driver).await, [hold]);
}

/// One that a sidecar of a newer release left behind.
#[tokio::test]
async fn a_call_whose_price_cannot_be_read_has_a_row_without_a_cost() {
    let folder = tempfile::tempdir().unwrap();
    let opened = ledger(folder.path());
    let spool = Arc::new(opened.spool);
    let driver = driver_with(Counters::Memory(Memory::default()), Some(spool.clone()));
    let newer = |context: String| {
        let price = r#""price":{"price":"input=1 smell=2","input":1,"output":1,"version":"v"}"#;
        assert!(!context.contains("price"), "{context}");
        let newer = context.replacen('{', &format!("{{{price},"), 1);
        assert_eq!(OpenCall::from_json(&newer), None);
        newer
    };
    let hold = expired_as(&driver, 1, newer).await;
    expiry::expire(&driver).await.unwrap();
    let open = newer(open_call(HoldId(uuid::Uuid::from_u128(7)), UnixMillis(1_000)).to_json());
    driver.record_interrupted(&OpenCall::from_json_unpriced(&open).unwrap());
    spool.flush().await.unwrap();
    let mut reader = spool.reader("test").unwrap();
    let rows = reader.next(10).await.unwrap().unwrap().rows;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row.event.cost_nanos, None);
        assert_eq!(row.event.known, Some(Known::Reserved));
    }
    assert_eq!(rows[0].event.id, hold);
}

fn ledger(path: &std::path::Path) -> spool::Opened {
    let config = SpoolConfig {
        path: path.to_owned(),
        durability: Durability::Strict,
        bytes_max: 1 << 30,
        segment_bytes: 1 << 20,
        sinks: Vec::new(),
    };
    Spool::open(&config, uuid::Uuid::nil(), Box::new(|_| {})).unwrap()
}

/// Nobody else finds it when it expires, should this process die before.
#[tokio::test]
async fn a_call_that_no_meter_took_over_stays_noted_where_the_store_is_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(ledger(folder.path()).spool);
    let driver = driver_with(Counters::Memory(Memory::default()), Some(spool));
    let call = call(&driver, 1, 1);
    driver
        .counters
        .reserve(&call, driver.clock.now())
        .await
        .unwrap();
    assert!(driver.recorder.intent(call.hold, "call").await);
    keep_until(&driver, &call, Some(driver.clock.now()));
    renewal::renew(&driver, |_| true).await.unwrap();
    assert_eq!(driver.leases.len(), 0);
    driver.recorder.close().await;
    let noted = ledger(folder.path()).interrupted;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].id, call.hold);
}
