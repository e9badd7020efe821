//! Readings of files that change, and what they leave of what was before.

use super::*;
use crate::app::admin_thread;
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::{Leases, Recorder};
use crate::identity::table::{Account, Key};
use crate::identity::{KeyDigest, KeyTable};
use crate::limits::share::OnCounterFailure;
use crate::telemetry::metrics::Metrics;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const PEPPER: &str = "a-pepper-that-nobody-else-has-ever";

fn text(folder: &Path, plan: &str, more: &str) -> String {
    let pepper = folder.join("pepper");
    format!(
        "listen: {{ grpc: \"unix:/tmp/weir.sock\" }}
ledger: {{ path: /tmp/ledger, sqlite: {{ path: /tmp/weir.db }} }}
identity:
  default_plan: {plan}
  pepper: {{ file: \"{}\" }}
models: {{ m: {{ max_output_tokens: 10, price: unpriced }} }}
plans:
  {plan}: {{ limits: [ {{ per: tenant, unit: requests, amount: 5, every: 1h }} ] }}
tenants: {{ acme: {{ plan: {plan} }} }}
{more}
",
        pepper.display()
    )
}

/// A process, as far as a reading changes it.
struct Weir {
    folder: TempDir,
    driver: Arc<Driver>,
    reading: Reading,
    state: AdminState,
    asks: Option<ReloadAsks>,
}

impl Weir {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.yaml");
        fs::write(folder.path().join("pepper"), PEPPER).unwrap();
        fs::write(&path, text(folder.path(), "first", "")).unwrap();
        let watched = Watched::default();
        let config = load_file(&path, &watched).unwrap_or_else(|problems| panic!("{problems}"));
        let (metrics, readiness) = (Arc::new(Metrics::new()), Arc::default());
        let (reload, asks) = crate::admin::ReloadApi::new();
        let (driver, withdrawals) = (Arc::default(), Arc::default());
        let state =
            admin_thread::state(&config, &metrics, &readiness, &driver, reload, &withdrawals);
        let origin = Origin {
            path,
            watched,
            level: None,
        };
        let reading = Reading::new(&config, origin, state.clone());
        let driver = Driver::new(
            Arc::new(config.snapshot),
            crate::app::settings(&config_of(folder.path())),
            Counters::Memory(Memory::default()),
            Recorder::new(None, metrics, None),
            Leases::default(),
            OnCounterFailure::Deny,
        );
        Self {
            folder,
            driver,
            reading,
            state,
            asks: Some(asks),
        }
    }

    fn write(&self, plan: &str, more: &str) {
        let path = self.folder.path().join("weir.yaml");
        fs::write(path, text(self.folder.path(), plan, more)).unwrap();
    }

    fn step(&mut self, cause: Cause) -> Option<ReloadOutcome> {
        self.reading.step(&self.driver, cause)
    }

    fn look(&mut self) -> Option<ReloadOutcome> {
        self.step(Cause::File)
    }

    fn plan(&self) -> String {
        let snapshot = self.driver.snapshot();
        snapshot.tenants["acme"].plan.to_string()
    }

    fn has_metric(&self, line: &str) -> bool {
        let text = self.state.metrics.encode();
        text.lines().any(|known| known == line)
    }
}

fn config_of(folder: &Path) -> Config {
    load_file(&folder.join("weir.yaml"), &crate::config::Process).unwrap()
}

#[tokio::test]
async fn a_change_counts_once_two_looks_in_a_row_find_it() {
    let mut weir = Weir::start();
    for _ in 0..3 {
        assert!(weir.look().is_none(), "nothing has changed");
    }
    weir.write("second", "");
    assert!(weir.look().is_none(), "it may still be being written");
    weir.write("third", "");
    assert!(weir.look().is_none());
    assert_eq!(weir.plan(), "first");
    let taken = weir.look().unwrap().unwrap();
    assert_eq!(weir.plan(), "third");
    let paths: Vec<&str> = taken.differences.iter().map(|one| &*one.path).collect();
    assert_eq!(
        paths,
        [
            "identity.default_plan",
            "plans.first",
            "plans.third",
            "tenants.acme"
        ]
    );
    assert!(weir.look().is_none(), "it is read once");
    assert!(weir.has_metric("weir_config_reloads_total{outcome=\"taken\"} 1"));
}

#[tokio::test]
async fn a_file_that_cant_be_used_changes_nothing_and_says_why() {
    let mut weir = Weir::start();
    weir.write("second", "nonsense: 5\nplan: {}\n");
    weir.look();
    let problems = weir.look().unwrap().unwrap_err();
    assert_eq!((problems.count(), &*weir.plan()), (2, "first"));
    assert!(weir.look().is_none(), "it is tried once");
    let state = weir.state.readiness.configuration();
    assert!(!state.is_current() && state.problems[0].contains("weir.yaml:"));
    assert!(weir.has_metric("weir_config_reloads_total{outcome=\"refused\"} 1"));
    assert!(weir.has_metric("weir_config_file_refused 1"));
    // Whoever asks is told again.
    assert_eq!(weir.step(Cause::Hangup).unwrap().unwrap_err().count(), 2);
    // One that is gone is as bad; what ran before goes on.
    fs::remove_file(weir.folder.path().join("weir.yaml")).unwrap();
    weir.look();
    let gone = weir.look().unwrap().unwrap_err();
    assert!(gone.to_string().contains("can't be read"), "{gone}");
    weir.write("first", "");
    weir.look();
    assert!(weir.look().unwrap().is_ok(), "as it was is right again");
    assert!(weir.state.readiness.configuration().is_current());
    assert!(weir.has_metric("weir_config_file_refused 0"));
}

#[tokio::test]
async fn many_problems_are_told_in_part_where_nobody_asked() {
    let mut weir = Weir::start();
    let many: String = (0..30).map(|n| format!("field_{n}: 1\n")).collect();
    weir.write("second", &many);
    let problems = weir.step(Cause::Asked).unwrap().unwrap_err();
    let state = weir.state.readiness.configuration();
    assert_eq!(state.problems.len() + state.problems_more, problems.count());
    assert_eq!((state.problems.len(), problems.list().len()), (5, 30));
}

#[tokio::test]
async fn a_file_that_the_configuration_names_counts_as_it_does() {
    let mut weir = Weir::start();
    let pepper = weir.folder.path().join("pepper");
    fs::write(&pepper, "short").unwrap();
    weir.look();
    assert!(weir.look().unwrap().is_err());
    let peppers = weir.driver.snapshot().keys.peppers.clone().unwrap();
    fs::write(&pepper, format!("{PEPPER}-another")).unwrap();
    weir.look();
    assert!(weir.look().unwrap().is_ok());
    let other = weir.driver.snapshot().keys.peppers.clone().unwrap();
    assert_ne!(peppers.now.digest(b"key"), other.now.digest(b"key"));
}

#[tokio::test]
async fn what_a_running_process_cant_take_is_named_and_the_rest_counts() {
    let mut weir = Weir::start();
    weir.write("second", "holds: { ttl: 2m }\n");
    let taken = weir.step(Cause::Asked).unwrap().unwrap();
    assert_eq!(
        (&*weir.plan(), &*taken.waiting),
        ("second", &["holds.ttl_ms".to_owned()][..])
    );
    let paths = taken.differences.iter().map(|one| &*one.path);
    assert_eq!(paths.filter(|path| path.contains("holds")).count(), 0);
    let state = weir.state.readiness.configuration();
    assert_eq!(state.waiting, ["holds.ttl_ms"]);
    assert!(weir.has_metric("weir_config_fields_waiting 1"));
    let shown = weir.state.configuration.value();
    assert_eq!(shown["holds"]["ttl_ms"], 60_000, "what runs");
    assert_eq!(shown["identity"]["default_plan"], "second");
    weir.write("second", "");
    assert!(weir.step(Cause::Asked).unwrap().unwrap().waiting.is_empty());
    assert!(weir.has_metric("weir_config_fields_waiting 0"));
}

#[tokio::test]
async fn stored_keys_stay_and_are_on_the_plan_that_their_tenant_is_on_now() {
    let mut weir = Weir::start();
    let stored = |tenant: &str, n: u8| Key {
        digest: KeyDigest([n; 32]),
        id: tenant.into(),
        user: None,
        account: Account {
            tenant: tenant.into(),
            ..Account::default()
        },
        ends_at: None,
        replaced: false,
    };
    let table = KeyTable::of([stored("acme", 1), stored("unheard-of", 2)]).unwrap();
    weir.driver.change_snapshot(|before| {
        let mut after = before.clone();
        after.keys.stored = Arc::new(table);
        after
    });
    let open = weir.driver.snapshot();
    weir.write("second", "");
    assert!(weir.step(Cause::Hangup).unwrap().is_ok());
    let plan_of = |snapshot: &Snapshot, id: &str| {
        let key = snapshot.keys.stored.by_id(id).unwrap();
        let principal = snapshot.principal(key).unwrap();
        assert!(snapshot.plans.contains_key(&principal.plan));
        principal.plan.to_string()
    };
    for id in ["acme", "unheard-of"] {
        assert_eq!(plan_of(&open, id), "first", "a call goes on as it began");
        assert_eq!(plan_of(&weir.driver.snapshot(), id), "second");
    }
    // Nobody is on a plan that is gone: without one, a key calls no more.
    let path = weir.folder.path().join("weir.yaml");
    let text = text(weir.folder.path(), "second", "");
    fs::write(path, text.replace("  default_plan: second\n", "")).unwrap();
    assert!(weir.step(Cause::Hangup).unwrap().is_ok());
    let snapshot = weir.driver.snapshot();
    assert_eq!(plan_of(&snapshot, "acme"), "second");
    let key = snapshot.keys.stored.by_id("unheard-of").unwrap();
    assert!(snapshot.principal(key).is_none());
}

#[tokio::test]
async fn what_ran_before_is_let_go_once_no_call_holds_it() {
    let mut weir = Weir::start();
    let open = weir.driver.snapshot();
    let tenants = Arc::downgrade(&open.tenants);
    weir.write("second", "");
    weir.step(Cause::Hangup);
    drop(open);
    assert!(tenants.upgrade().is_some(), "not by the call");
    weir.look();
    assert!(tenants.upgrade().is_none(), "but by a look");
}

#[tokio::test]
async fn one_reading_answers_all_who_asked_before_it() {
    let mut weir = Weir::start();
    let known = Arc::new(OnceLock::new());
    assert!(known.set(Arc::clone(&weir.driver)).is_ok());
    weir.write("second", "");
    let (metrics, plan) = (Arc::clone(&weir.state.metrics), weir.driver.clone());
    let (ask, asks) = tokio::sync::mpsc::channel(8);
    drop(weir.asks.take());
    let reloader = Reloader {
        hangup: signal(SignalKind::hangup()).unwrap(),
        asks,
        driver: known,
        reading: weir.reading,
    };
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let (answer, answered) = tokio::sync::oneshot::channel();
        ask.try_send(answer).unwrap();
        waiting.push(answered);
    }
    let all = async {
        for answered in waiting {
            assert!(answered.await.unwrap().is_ok());
        }
    };
    tokio::select! {
        () = all => {}
        () = reloader.run() => panic!("it ended"),
    }
    assert_eq!(&*plan.snapshot().tenants["acme"].plan, "second");
    let text = metrics.encode();
    assert!(
        text.contains("weir_config_reloads_total{outcome=\"taken\"} 1\n"),
        "{text}"
    );
}
