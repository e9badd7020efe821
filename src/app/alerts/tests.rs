//! Alerts from what calls lead to, by way of a database that sidecars share, to a
//! receiver.

use super::*;
use crate::accounts::Accounts;
use crate::accounts::alerts::{AlertsAsked, DeliveryState, StoredAlert};
use crate::config::{RefusalsAlert, WebhookSettings};
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::{Leases, Listener, Recorder};
use crate::exchange::{Notice, Settings};
use crate::limits::reservation::counter_id;
use crate::limits::share::OnCounterFailure;
use crate::limits::{Scope, Unit};
use crate::policy::Snapshot;
use crate::policy::budget::Passed;
use crate::webhooks::tests::{Receiver, settings};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(60);

/// A process, as far as it hears and tells.
struct Sidecar {
    ears: Ears,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn driver(metrics: &Arc<Metrics>) -> Arc<Driver> {
    let settings = Settings {
        body_bytes_max: 1,
        keep_authorization: false,
        ietf_rate_limit_headers: false,
        quota_status: None,
        trust_ext_authz: false,
        count_checks: false,
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
        OnCounterFailure::Deny,
    )
}

impl Sidecar {
    fn start(webhooks: Vec<WebhookSettings>, database: Option<&Path>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let driver = driver(&metrics);
        let config = Arc::new(AlertsConfig {
            refusals: Some(RefusalsAlert {
                above: 3,
                every: Millis::from_mins(24 * 60),
            }),
            webhooks,
        });
        let (mut ears, queue) = Ears::new(&config, &driver, &metrics);
        if database.is_none() {
            ears.tell_approvals();
        }
        let all = config.webhooks.iter().map(Webhook::new);
        let telling = Telling {
            webhooks: all.collect::<Result<_, _>>().unwrap(),
            config,
            store: database.map(|path| StoreConfig::Sqlite { path: path.into() }),
            metrics: Arc::clone(&metrics),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { telling.run(driver, queue, &stopped).await });
        Self {
            ears,
            metrics,
            stop,
            task,
        }
    }

    fn budget(&self, per_mille: u64, refused: bool) {
        self.ears.heard(&Notice::Budget {
            tenant: "acme".into(),
            passed: Passed {
                budget: "monthly".into(),
                counter: counter_id("monthly", &["acme"]).into(),
                scope: Scope::TENANT,
                unit: Unit::Tokens,
                threshold_per_mille: per_mille,
                used: per_mille,
                amount: 1_000,
                resets_in_ms: Some(3_600_000),
            },
            refused,
        });
    }

    /// A call waits for consent, asked again and again.
    fn asked(&self) {
        let asked = crate::alerts::alert::tests::request(self.now().0);
        for _ in 0..5 {
            let asked = Box::new(asked.clone());
            self.ears.heard(&Notice::Approval(asked));
        }
    }

    fn now(&self) -> crate::units::UnixMillis {
        crate::driver::clock::Clock::start().now()
    }

    fn counted(&self, outcome: &str) -> u64 {
        let series = format!("weir_alerts_total{{outcome=\"{outcome}\"}} ");
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap().parse().unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn at(receiver: &Receiver) -> WebhookSettings {
    settings("ops", format!("http://{}/", receiver.address))
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < DEADLINE, "no {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn kept(path: &Path) -> Vec<StoredAlert> {
    let config = StoreConfig::Sqlite { path: path.into() };
    let Ok(accounts) = Accounts::open_to_read(&config).await else {
        return Vec::new();
    };
    let asked = AlertsAsked {
        limit: 100,
        ..AlertsAsked::default()
    };
    let all = accounts.alerts(&asked).await.unwrap();
    accounts.close().await;
    all
}

fn is_done(all: &[StoredAlert], count: usize) -> bool {
    let mut each = all.iter().flat_map(|one| &one.deliveries);
    all.len() == count && each.all(|of| of.state == DeliveryState::Sent)
}

/// The types of what arrived, with their thresholds.
fn told(receiver: &Receiver) -> Vec<u64> {
    let got = receiver.got();
    let bodies = got.iter().map(|got| {
        let body: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        body["budget"]["threshold_per_mille"].as_u64().unwrap_or(0)
    });
    bodies.collect()
}

#[tokio::test]
async fn two_sidecars_tell_each_threshold_once_though_the_receiver_is_down_at_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver = Receiver::start(move |_| match is_up.load(Ordering::SeqCst) {
        true => 200,
        false => 503,
    })
    .await;
    let sidecars = [
        Sidecar::start(vec![at(&receiver)], Some(&path)),
        Sidecar::start(vec![at(&receiver)], Some(&path)),
    ];
    for sidecar in &sidecars {
        for _ in 0..100 {
            sidecar.budget(500, false);
        }
    }
    until("first try", async || !receiver.got().is_empty()).await;
    up.store(true, Ordering::SeqCst);
    for sidecar in sidecars.iter().rev() {
        sidecar.budget(800, false);
        // What is settled may be less than what was held.
        sidecar.budget(500, false);
        assert_eq!(sidecar.counted("raised"), 2);
    }
    until("delivery", async || is_done(&kept(&path).await, 2)).await;
    let got = receiver.got();
    let ids: std::collections::BTreeSet<String> = got.iter().map(|got| got.id()).collect();
    assert_eq!(ids.len(), 2, "tries of an alert have one id");
    let sent: u64 = sidecars.iter().map(|one| one.counted("sent")).sum();
    let failed: u64 = sidecars.iter().map(|one| one.counted("failed")).sum();
    assert_eq!((sent, failed), (2, got.len() as u64 - 2));
    let mut all = told(&receiver);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, [500, 800]);
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn a_sidecar_that_sees_less_tells_nothing_after_one_that_saw_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    let receiver = Receiver::start(|_| 200).await;
    let [one, two] = [
        Sidecar::start(vec![at(&receiver)], Some(&path)),
        Sidecar::start(vec![at(&receiver)], Some(&path)),
    ];
    one.budget(900, true);
    until("delivery", async || is_done(&kept(&path).await, 1)).await;
    two.budget(500, false);
    two.budget(800, false);
    // What was heard before this is kept before it.
    let acme: Arc<str> = "acme".into();
    for _ in 0..20 {
        two.ears.refused(&acme);
    }
    until("delivery", async || is_done(&kept(&path).await, 2)).await;
    assert_eq!(told(&receiver), [1_000, 0]);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_is_raised_last_is_kept_and_sent_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    let nobody = settings("ops", "http://127.0.0.1:1/".into());
    let first = Sidecar::start(vec![nobody], Some(&path));
    first.budget(500, false);
    first.stop().await;
    assert_eq!(kept(&path).await.len(), 1);
    let receiver = Receiver::start(|_| 200).await;
    let next = Sidecar::start(vec![at(&receiver)], Some(&path));
    until("delivery", async || is_done(&kept(&path).await, 1)).await;
    next.stop().await;
    assert_eq!(told(&receiver), [500]);
}

#[tokio::test]
async fn webhooks_hear_what_they_want_and_wait_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.db");
    let [down, budgets, others] = [
        Receiver::start(|_| 503).await,
        Receiver::start(|_| 200).await,
        Receiver::start(|_| 200).await,
    ];
    let webhooks = vec![
        settings("down", format!("http://{}/", down.address)),
        WebhookSettings {
            on: vec![crate::alerts::Kind::Budget],
            tenants: Some(vec!["acme".into()]),
            ..settings("budgets", format!("http://{}/", budgets.address))
        },
        WebhookSettings {
            tenants: Some(vec!["globex".into()]),
            ..settings("others", format!("http://{}/", others.address))
        },
    ];
    let sidecar = Sidecar::start(webhooks, Some(&path));
    sidecar.budget(500, false);
    let globex: Arc<str> = "globex".into();
    for _ in 0..50 {
        sidecar.ears.refused(&globex);
    }
    until("delivery", async || {
        !down.got().is_empty() && !budgets.got().is_empty() && !others.got().is_empty()
    })
    .await;
    assert_eq!((told(&budgets), told(&others)), (vec![500], vec![0]));
    let all = kept(&path).await;
    let of_down = all.iter().flat_map(|one| &one.deliveries);
    let of_down = of_down.filter(|of| &*of.webhook == "down");
    assert!(
        of_down.clone().count() == 2
            && of_down.clone().all(|of| of.state == DeliveryState::Waiting)
    );
    // Who keeps what waits for consent tells of it.
    sidecar.asked();
    assert_eq!(sidecar.counted("raised"), 2);
    sidecar.stop().await;
}

#[tokio::test]
async fn without_a_database_alerts_wait_in_memory() {
    let receiver = Receiver::start(|nth| if nth == 0 { 500 } else { 200 }).await;
    let sidecar = Sidecar::start(vec![at(&receiver)], None);
    sidecar.budget(500, false);
    until("delivery", async || sidecar.counted("sent") == 1).await;
    assert_eq!(receiver.got().len(), 2);
    assert_eq!(receiver.got()[0].id(), receiver.got()[1].id());
    // Nobody else tells what waits for consent.
    sidecar.asked();
    assert_eq!(sidecar.counted("raised"), 2);
    sidecar.stop().await;
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_told_when_it_comes_again() {
    let metrics = Arc::new(Metrics::new());
    let driver = driver(&metrics);
    let config = Arc::new(AlertsConfig {
        webhooks: vec![settings("ops", "http://127.0.0.1:1/".into())],
        refusals: None,
    });
    let (ears, mut queue) = Ears::new(&config, &driver, &metrics);
    let hear = |n: usize| {
        ears.heard(&Notice::Budget {
            tenant: "acme".into(),
            passed: Passed {
                budget: "b".into(),
                counter: format!("{n}").into(),
                scope: Scope::TENANT,
                unit: Unit::Cost,
                threshold_per_mille: 500,
                used: 5,
                amount: 10,
                resets_in_ms: None,
            },
            refused: false,
        });
    };
    let mut waiting = 0;
    while queue.capacity() > 0 {
        hear(waiting);
        waiting += 1;
    }
    hear(waiting);
    let counted = |outcome: &str| {
        let line = format!("weir_alerts_total{{outcome=\"{outcome}\"}} 1");
        metrics.encode().lines().any(|known| known == line)
    };
    assert!(counted("lost"));
    queue.recv().await.unwrap();
    hear(waiting);
    let mut last = None;
    while let Ok(alert) = queue.try_recv() {
        last = Some(alert);
    }
    let crate::alerts::Facts::Budget { .. } = last.unwrap().facts else {
        panic!();
    };
    assert!(counted("lost"), "it was told");
}
