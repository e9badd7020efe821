//! Two sidecars on one database: what one hears of, and how soon; what is asked by
//! one, and answered for both.

use super::*;
use crate::accounts::Actor;
use crate::accounts::approvals::State;
use crate::accounts::granting::{self, Breadth, Terms};
use crate::accounts::withdrawals::Withdrawal;
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::{Leases, Recorder};
use crate::exchange::Settings;
use crate::identity::Principal;
use crate::limits::period::Period;
use crate::limits::share::OnCounterFailure;
use crate::limits::{Algorithm, Limit, Mode, Scope, Unit};
use crate::policy::Snapshot;
use crate::policy::grants::{ApprovalRequest, Approver};
use crate::policy::top_ups::TopUp;
use crate::units::UnixMillis;
use std::path::Path;
use std::time::Instant;

/// What every sidecar must know by then.
const HEARD_MAX: Duration = Duration::from_secs(5);

struct Sidecar {
    driver: Arc<Driver>,
    metrics: Arc<Metrics>,
    withdrawals: Arc<Withdrawals>,
    keys: Keys,
}

fn driver(metrics: &Arc<Metrics>) -> Arc<Driver> {
    let settings = Settings {
        count_checks: false,
        body_bytes_max: 1,
        keep_authorization: false,
        trust_ext_authz: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(15),
        handover_max: Millis::from_secs(10),
    };
    Driver::new(
        Arc::new(Snapshot::default()),
        settings,
        Counters::Memory(Memory::default()),
        Recorder::new(None, Arc::clone(metrics), None),
        Leases::default(),
        OnCounterFailure::Share,
    )
}

impl Sidecar {
    async fn start(store: &StoreConfig, folder: &Path) -> Self {
        let metrics = Arc::new(Metrics::new());
        let driver = driver(&metrics);
        std::fs::create_dir_all(folder).unwrap();
        let withdrawals = Arc::new(Withdrawals::open(folder).unwrap());
        let following = Following {
            store: store.clone(),
            folder: folder.to_owned(),
            withdrawals: Arc::clone(&withdrawals),
            stale_max: Millis::from_secs(3_600),
            alerts: Arc::default(),
            metrics: Arc::clone(&metrics),
            readiness: Arc::default(),
        };
        let keys = following.start(&driver).await.unwrap();
        Self {
            driver,
            metrics,
            withdrawals,
            keys,
        }
    }

    fn now(&self) -> UnixMillis {
        self.driver.clock().now()
    }

    fn is_granted(&self) -> bool {
        let (snapshot, who, now) = (self.driver.snapshot(), ada(), self.now());
        snapshot.grants.for_call(&who, "big", "gpt", now).count() > 0
    }

    fn is_denied(&self, id: &str) -> bool {
        let snapshot = self.driver.snapshot();
        snapshot.grants.denied("acme", id, self.now()).is_some()
    }

    fn extra(&self) -> u64 {
        let counter = TopUp::counter_of("monthly", "acme", &[]);
        let snapshot = self.driver.snapshot();
        snapshot
            .top_ups
            .extra("acme", &counter, &monthly(), self.now())
    }
}

fn monthly() -> Limit {
    Limit {
        name: "monthly".into(),
        scope: Scope::TENANT,
        unit: Unit::Cost,
        amount: 1,
        algorithm: Algorithm::FixedWindow {
            period: Arc::new(Period::forever()),
            rollover: None,
        },
        mode: Mode::Enforce,
    }
}

fn addition(until: UnixMillis) -> granting::Addition {
    granting::Addition {
        tenant: "acme".into(),
        budget: "monthly".into(),
        of: Vec::new(),
        unit: Unit::Cost,
        amount: 7,
        until,
        note: None,
    }
}

fn ada() -> Principal {
    Principal {
        tenant: "acme".into(),
        user: Some("ada".into()),
        key_id: "k1".into(),
        plan: "team".into(),
        ..Principal::default()
    }
}

fn request(at: UnixMillis) -> ApprovalRequest {
    ApprovalRequest {
        id: ApprovalRequest::id_of(&ada(), "big", "gpt"),
        asked_at: at,
        tenant: "acme".into(),
        project: None,
        environment: None,
        user: Some("ada".into()),
        key_id: "k1".into(),
        plan: "team".into(),
        rule: "big".into(),
        model: "gpt".into(),
        endpoint: "/v1/chat/completions".into(),
        cost_max_nanos: 1,
        valid_for: Millis::from_secs(3_600),
        approvers: None,
        approver: Approver::Operator,
        expires_at: at + Millis::from_secs(3_600),
    }
}

/// Waits until it is so; how long that took.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(
            begun.elapsed() < HEARD_MAX,
            "{what}: not within {HEARD_MAX:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_asks_is_answered_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let one = Sidecar::start(&store, &folder.join("one")).await;
    let two = Sidecar::start(&store, &folder.join("two")).await;
    let accounts = Accounts::open(&store).await.unwrap();
    let by = |at| Actor {
        name: "cli/ann",
        at,
    };
    for _ in 0..3 {
        one.driver.recorder().ask(request(one.now()));
    }
    two.driver.recorder().ask(request(two.now()));
    let id = ApprovalRequest::id_of(&ada(), "big", "gpt");
    let count = async || {
        accounts
            .approval(&id)
            .await
            .unwrap()
            .map(|one| one.asked_count)
    };
    until("asked", async || count().await == Some(2)).await;
    let noted = |noted: &str| format!("weir_approvals_asked_total{{noted=\"{noted}\"}}");
    let text = one.metrics.encode();
    assert!(text.contains(&format!("{} 1\n", noted("queued"))), "{text}");
    assert!(
        text.contains(&format!("{} 2\n", noted("already"))),
        "{text}"
    );

    let now = one.now();
    accounts
        .deny(by(now), &id, now + Millis::from_secs(900), None)
        .await
        .unwrap();
    let denied = until("denied", async || one.is_denied(&id) && two.is_denied(&id)).await;
    let asked = accounts.approval(&id).await.unwrap().unwrap();
    let terms = Terms::default();
    let new = granting::for_request("grt_1".into(), &asked.request, Breadth::Asker, terms, now);
    accounts.grant(by(now), new.unwrap()).await.unwrap();
    let granted = until("granted", async || one.is_granted() && two.is_granted()).await;
    assert!(!one.is_denied(&id) && !two.is_denied(&id));
    assert!(accounts.revoke_grant(by(one.now()), "grt_1").await.unwrap());
    let revoked = until("revoked", async || !one.is_granted() && !two.is_granted()).await;
    let addition = addition(now + Millis::from_secs(900));
    let top_up = granting::addition("top_1".into(), addition, now).unwrap();
    accounts.top_up(by(now), top_up).await.unwrap();
    let added = until("added", async || one.extra() == 7 && two.extra() == 7).await;
    println!("denied {denied:?}, granted {granted:?}, revoked {revoked:?}, added {added:?}");
    // What was asked when it stops is there, or is asked again.
    for sidecar in [one, two] {
        tokio::task::block_in_place(|| finish(Some(sidecar.keys)));
    }
    let waits = accounts.approval(&id).await.unwrap().unwrap();
    assert_eq!(waits.state, State::Granted);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_the_last_known_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = folder.join("weir.db");
    let store = StoreConfig::Sqlite { path: path.clone() };
    let own = folder.join("one");
    let one = Sidecar::start(&store, &own).await;
    let accounts = Accounts::open(&store).await.unwrap();
    let now = one.now();
    let terms = Terms {
        unlimited: true,
        ..Terms::default()
    };
    let new = granting::for_request("grt_1".into(), &request(now), Breadth::Tenant, terms, now);
    let mut new = new.unwrap();
    new.request = None;
    let by = Actor {
        name: "cli/ann",
        at: now,
    };
    accounts.grant(by, new).await.unwrap();
    until("granted", async || one.is_granted()).await;
    let copy = crate::accounts::allowed_copy::path(&own);
    let is_copied = async || {
        let copied = crate::accounts::allowed_copy::read(&copy);
        copied.is_ok_and(|copied| copied.is_some_and(|(grants, _)| grants.len() == 1))
    };
    until("copied", is_copied).await;
    accounts.close().await;
    tokio::task::block_in_place(|| finish(Some(one.keys)));
    // A folder stands where the database was: nobody reads it.
    for name in ["weir.db", "weir.db-wal", "weir.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    std::fs::create_dir(&path).unwrap();
    let again = Sidecar::start(&store, &own).await;
    assert!(again.is_granted(), "from the copy");
    // Its own time ends it, whatever is heard.
    let (snapshot, later) = (
        again.driver.snapshot(),
        again.now() + Millis::from_secs(3_601),
    );
    assert_eq!(
        snapshot
            .grants
            .for_call(&ada(), "big", "gpt", later)
            .count(),
        0
    );
    tokio::task::block_in_place(|| finish(Some(again.keys)));
}

/// What was taken back without the database stays so, and the database is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_elsewhere_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = StoreConfig::Sqlite {
        path: folder.join("weir.db"),
    };
    let own = folder.join("one");
    let one = Sidecar::start(&store, &own).await;
    let accounts = Accounts::open(&store).await.unwrap();
    let now = one.now();
    let by = Actor {
        name: "cli/ann",
        at: now,
    };
    let terms = Terms {
        unlimited: true,
        ..Terms::default()
    };
    let new = granting::for_request("grt_1".into(), &request(now), Breadth::Tenant, terms, now);
    let mut new = new.unwrap();
    new.request = None;
    accounts.grant(by, new).await.unwrap();
    let top_up = addition(now + Millis::from_secs(900));
    let top_up = granting::addition("top_1".into(), top_up, now).unwrap();
    accounts.top_up(by, top_up).await.unwrap();
    until("known", async || one.is_granted() && one.extra() == 7).await;
    let withdrawal = |id: &str| Withdrawal {
        id: id.into(),
        actor: "cli/bob".into(),
        at: now,
    };
    // One by way of the counter store, while it runs.
    announced::take(&one.driver, &one.withdrawals, vec![withdrawal("grt_1")]);
    assert!(!one.is_granted() && one.extra() == 7, "at once");
    let is_told = async |id: &str| match id.starts_with("grt") {
        true => accounts
            .find_grant(id)
            .await
            .unwrap()
            .unwrap()
            .revoked_at
            .is_some(),
        false => accounts
            .find_top_up(id)
            .await
            .unwrap()
            .unwrap()
            .revoked_at
            .is_some(),
    };
    until("told", async || is_told("grt_1").await).await;
    // The other was left by a process that ended before it could tell.
    tokio::task::block_in_place(|| finish(Some(one.keys)));
    let left = Withdrawals::open(&own).unwrap();
    left.add(withdrawal("top_1")).unwrap();
    let again = Sidecar::start(&store, &own).await;
    assert!(!again.is_granted() && again.extra() == 0, "from the start");
    until("told", async || is_told("top_1").await).await;
    let is_kept = async || Withdrawals::open(&own).unwrap().untold().is_empty();
    until("it waits no more", is_kept).await;
    assert!(!again.is_granted() && again.extra() == 0);
    tokio::task::block_in_place(|| finish(Some(again.keys)));
}
