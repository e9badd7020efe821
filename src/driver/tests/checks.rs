//! Checks that count, and whoever doesn't wait for them.

use super::*;
use crate::exchange::RequestHead;
use crate::exchange::door::Check;
use crate::identity::source::{Caller, Source};
use crate::identity::table::Account;
use crate::policy::{Plan, PlanLimit, Sources};

/// Whoever calls is of `acme`, and may call once an hour.
fn counting(counters: Counters) -> Arc<Driver> {
    let every = Millis::from_mins(60);
    let limit = Limit {
        name: "calls".into(),
        scope: Scope::TENANT,
        unit: Unit::Requests,
        amount: 1,
        algorithm: Algorithm::FixedWindow {
            period: Arc::new(Period::aligned(every)),
            rollover: None,
        },
        mode: Mode::Enforce,
    };
    let plan = Plan {
        name: "team".into(),
        limits: vec![PlanLimit::from(limit)],
        ..Plan::default()
    };
    let caller = Caller {
        id: "anonymous".into(),
        user: None,
        account: Account {
            tenant: "acme".into(),
            ..Account::default()
        },
    };
    let snapshot = Snapshot {
        sources: Sources([Source::Anonymous(caller)].into()),
        tenants: Arc::new([("acme".into(), "team".into())].into_iter().collect()),
        plans: Arc::new([("team".into(), Arc::new(plan))].into_iter().collect()),
        ..Snapshot::default()
    };
    let settings = Settings {
        count_checks: true,
        ..driver(Counters::Memory(Memory::default())).settings
    };
    Driver::new(
        Arc::new(snapshot),
        settings,
        counters,
        Recorder::new(None, Arc::new(Metrics::new()), None),
        Leases::default(),
        OnCounterFailure::Deny,
    )
}

fn check() -> Check {
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("content-type", "application/json"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    Check {
        head: RequestHead {
            headers: headers.into(),
            ..RequestHead::default()
        },
        ..Check::default()
    }
}

async fn settled(redis: &FakeRedis, driver: &Driver, times: usize) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while redis.ran(Script::Settle) < times || driver.unsettled.len() > 0 {
        assert!(std::time::Instant::now() < deadline, "it was not settled");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_check_is_reserved_and_settled_at_once() {
    let driver = counting(Counters::Memory(Memory::default()));
    let passed = driver.check(check()).await.unwrap();
    assert_eq!(&*passed.principal.tenant, "acme");
    assert_eq!(driver.leases.len(), 0, "nothing stays open");
    let refused = driver.check(check()).await.unwrap_err();
    assert_eq!(refused.status, 429);
}

/// A gateway that asked has given up, and answered the call itself.
#[tokio::test]
async fn what_nobody_waits_for_is_given_back() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = counting(counters);
    assert!(driver.check(check()).now_or_never().is_none());
    settled(&redis, &driver, 1).await;
}

#[tokio::test]
async fn a_store_that_gives_no_answer_refuses_the_check() {
    let (redis, counters) = FakeRedis::start().await;
    let driver = counting(counters);
    redis.tell(|state| state.refusal = Some(READONLY));
    let refused = driver.check(check()).await.unwrap_err();
    assert_eq!(refused.status, 503);
    assert_eq!(redis.ran(Script::Reserve), 0);
}
