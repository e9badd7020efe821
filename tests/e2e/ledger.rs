//! The ledger where its disk fails and its process dies.

use crate::support::books::was_sent;
use crate::support::client;
use crate::support::stack::{SOON, Setup, Stack};
use crate::support::until;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use weir::exchange::event::Outcome;

fn hello() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}]})
}

async fn status(stack: &Stack) -> u16 {
    stack.send(stack.chat(&hello(), &[])).await.status
}

/// Whether weir says that it is ready, and what it says of its ledger.
async fn ready(stack: &Stack) -> (u16, Value) {
    let answer = client::get(stack.admin, "/readyz").await;
    (answer.status, answer.json()["checks"]["ledger"].clone())
}

#[tokio::test]
async fn a_disk_without_room_stops_admissions_until_it_has_some_and_loses_no_row() {
    let stack = Stack::start(Setup {
        // Ten writes pass; four fail, half a second apart.
        faults: "spool::write=10*off->4*return".into(),
        ..Setup::default()
    })
    .await;
    let stack = &stack;
    let mut passed = 0;
    let refused = loop {
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        if answer.status != 200 {
            break answer;
        }
        passed += 1;
        assert!(passed < 20, "the disk never failed");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(ready(stack).await, (503, json!(false)));
    assert_eq!(status(stack).await, 503, "it is refused at once");
    until("the disk to have room", SOON, || async {
        (ready(stack).await == (200, json!(true))).then_some(())
    })
    .await;
    assert_eq!(status(stack).await, 200);
    assert_eq!(stack.provider.received(), passed + 1);
    stack.settle_the_books().await;
}

/// A small disk of its own.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None` where nothing can be mounted.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let mounted = mount.arg(folder.path()).output();
        mounted
            .is_ok_and(|done| done.status.success())
            .then_some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Until it takes no more.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        let full = loop {
            if let Err(error) = ballast.write_all(&[1; 4_096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_admissions_says_so_and_loses_nothing_though_weir_dies_then() {
    let Some(disk) = Disk::mount("2m") else {
        println!("nothing can be mounted here; the fail point's test stands for it");
        return;
    };
    let mut stack = Stack::start(Setup {
        ledger: Some(disk.path().join("ledger")),
        faults: "spool::segment_bytes=return(65536)".into(),
        ..Setup::default()
    })
    .await;
    let mut passed = 0;
    for dies in [false, true] {
        assert_eq!(status(&stack).await, 200);
        passed += 1;
        disk.fill();
        while status(&stack).await == 200 {
            passed += 1;
            assert!(passed < 500, "the disk was never full");
        }
        assert_eq!(ready(&stack).await, (503, json!(false)));
        assert_eq!(status(&stack).await, 503, "it is refused at once");
        if dies {
            stack.kill_weir();
            stack.start_weir();
            until("weir to say that it can't begin", SOON, || {
                let ended = stack.weir.ended();
                async move { ended }
            })
            .await;
            let log = stack.weir.tail();
            assert!(log.contains("No space left on device"), "{log}");
        }
        disk.make_room();
        if dies {
            stack.start_weir();
        }
        let stack = &stack;
        until("weir to be ready", SOON, || async {
            stack.weir_is_ready().await.then_some(())
        })
        .await;
    }
    // Envoy may have to find it.
    let stack = &stack;
    until("a call to pass", SOON, || async {
        (status(stack).await == 200).then_some(())
    })
    .await;
    assert_eq!(stack.provider.received(), passed + 1);
    stack.log_and_events_agree().await;
}

/// A disk that neither takes what is written nor refuses it.
#[tokio::test]
async fn a_disk_that_hangs_refuses_calls_in_time_and_no_call_has_two_rows() {
    let mut stack = Stack::start(Setup {
        faults: "spool::sync=10*off->1*sleep(5000)".into(),
        ..Setup::default()
    })
    .await;
    let mut passed = 0;
    let (refused, waited) = loop {
        let begun = Instant::now();
        let answer = stack.send(stack.chat(&hello(), &[])).await;
        if answer.status != 200 {
            break (answer, begun.elapsed());
        }
        passed += 1;
        assert!(passed < 30, "the disk never hung");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("x-weir-decision").is_some(), "{refused:?}");
    assert!(waited < Duration::from_millis(2_500), "{waited:?}");
    until("the disk to go on", SOON, || async {
        (status(&stack).await == 200).then_some(())
    })
    .await;
    stack.settle_the_books().await;
    // Nor is one that was refused found open by the next process.
    stack.kill_weir();
    stack.let_fail("");
    stack.restart_weir().await;
    assert_eq!(status(&stack).await, 200);
    stack.settle_the_books().await;
    let events = stack.events();
    let of = |outcome| {
        events
            .iter()
            .filter(|event| event.outcome == outcome)
            .count()
    };
    assert!(stack.provider.received() > passed);
    assert_eq!(of(Outcome::Exact), stack.provider.received());
    assert!(of(Outcome::Refused) > 0);
    assert_eq!(of(Outcome::Exact) + of(Outcome::Refused), events.len());
    let mut ids: Vec<_> = events.iter().map(|event| event.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "a row is there twice");
}

#[tokio::test]
async fn after_a_sync_that_failed_nothing_is_admitted_and_weir_ends_and_its_rows_are_there() {
    a_failed_sync_ends_weir("spool::sync=12*off->return").await;
}

/// The next segment may have its name by then: what was written to the one before
/// it would not be seen when a process begins.
#[tokio::test]
async fn after_a_sync_of_the_folder_that_failed_weir_ends_too() {
    a_failed_sync_ends_weir("spool::segment_bytes=return(20000);spool::sync_folder=1*off->return")
        .await;
}

async fn a_failed_sync_ends_weir(faults: &str) {
    let mut stack = Stack::start(Setup {
        faults: faults.into(),
        ..Setup::default()
    })
    .await;
    let mut passed = 0;
    while status(&stack).await == 200 {
        passed += 1;
        assert!(passed < 30, "the disk never failed");
    }
    let gone = until("weir to end", Duration::from_secs(20), || {
        let gone = !stack.weir.is_running();
        async move { gone.then_some(()) }
    });
    gone.await;
    assert_eq!(stack.weir.ended(), Some(false));
    let log = stack.weir.tail();
    assert!(log.contains("a sync of the ledger failed"), "{log}");
    stack.let_fail("");
    stack.restart_weir().await;
    assert_eq!(status(&stack).await, 200);
    assert_eq!(stack.provider.received(), passed + 1);
    let events = stack.wait_for_events(passed + 1).await;
    // One that was noted, and refused as its sync failed, may be estimated.
    let sent: Vec<_> = events.iter().filter(|event| was_sent(event)).collect();
    let exact = sent.iter().filter(|event| event.outcome == Outcome::Exact);
    assert!(exact.count() >= passed, "{events:#?}");
    assert!(sent.len() <= passed + 2, "{events:#?}");
}

/// Wherever a process dies: each call that the provider saw has one row.
#[tokio::test]
async fn wherever_weir_dies_each_call_has_one_row() {
    for place in [
        "die::written",
        "die::synced",
        "die::segment",
        "die::decided",
        "die::settled",
        "die::delivered",
        "die::committed",
    ] {
        let mut stack = Stack::start(Setup {
            faults: format!("{place}=3*off->return"),
            ..Setup::default()
        })
        .await;
        for _ in 0..12 {
            // Its answer may be cut, or never come.
            let call = client::send(stack.front, stack.chat(&hello(), &[]));
            let _ = tokio::spawn(call).await;
            if !stack.weir.is_running() {
                break;
            }
        }
        stack.let_fail("");
        stack.restart_weir().await;
        assert_eq!(status(&stack).await, 200, "{place}");
        let stack = &stack;
        let count = stack.provider.received();
        let sent = until("a row for each call", SOON, || async {
            let sent: Vec<_> = stack.events().into_iter().filter(was_sent).collect();
            (sent.len() >= count).then_some(sent)
        })
        .await;
        // One that was noted and not sent on is estimated too.
        assert!(sent.len() <= count + 1, "{place}: {sent:#?}");
        let mut ids: Vec<_> = stack.events().iter().map(|event| event.id).collect();
        let events = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events, "{place}: a row is there twice");
        let estimated = |e: &&weir::exchange::UsageEvent| e.outcome == Outcome::Estimated;
        assert!(sent.iter().filter(estimated).count() <= 2, "{place}");
    }
}
