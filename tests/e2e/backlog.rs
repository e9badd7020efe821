//! A day's rows that no sink was there for, carried out by weir as its users run
//! it, while PostgreSQL is killed and its answers are lost.
//!
//! `WEIR_BACKLOG_ROWS` is how many.

use super::sinks::{NAMES, Sinks, call, count_of, rollups_agree, rows_of, spool_config};
use crate::support::dice::Dice;
use crate::support::link::Link;
use crate::support::postgres::Server;
use crate::support::stack::{Setup, Stack};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use weir::ledger::row::{Link as RowLink, NO_HASH, Row, chained};
use weir::ledger::spool::Spool;
use weir::ledger::store::Store;
use weir::ledger::wire;

/// 2026-03-01T00:00:00Z, and a day.
const MARCH: u64 = 1_772_323_200_000;
const DAY: u64 = 86_400_000;

/// Some batches on their way to each of three sinks, and what allocators keep.
const GROWTH_MAX_KIB: u64 = 48 * 1_024;

/// So long for a thousand rows, on a machine that does much else; and for a relay
/// to look for a server that is back.
const A_THOUSAND_MAX: Duration = Duration::from_secs(6);
const BACK_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_sinks_is_carried_out_once_in_order_and_in_flat_memory() {
    let given = std::env::var("WEIR_BACKLOG_ROWS").ok();
    let count: usize = given.and_then(|text| text.parse().ok()).unwrap_or(12_000);
    let deadline = A_THOUSAND_MAX * u32::try_from(count / 1_000 + 1).unwrap() + BACK_MAX;
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let rows = a_day(&ledger, count).await;
    let poison = &rows[count / 2];
    let segments = segments(&ledger);
    assert!(segments >= count / 4_000, "{segments} segments");

    let mut postgres = Server::start(&["fsync=off"]).await;
    let url = postgres.database().await;
    let link = Link::start(postgres.address()).await;
    let through = url.replace(&postgres.address().to_string(), &link.address.to_string());
    let sinks = Sinks::new(url);
    postgres.kill();
    let begun = Instant::now();
    let mut stack = Stack::start(Setup {
        ledger: Some(ledger.clone()),
        sinks: sinks.yaml(Some(&through)),
        ..Setup::default()
    })
    .await;
    let sqlite = sinks.sqlite().await;
    comes_to(&sqlite, count / 5, deadline).await;
    let early_kib = forget_peak(stack.weir.pid());
    comes_to(&sqlite, count - 1, deadline).await;
    println!("{count} rows in SQLite after {:?}", begun.elapsed());
    // PostgreSQL has not read them.
    assert!(self::segments(&ledger) >= segments);

    postgres.restart().await;
    let begun = Instant::now();
    let store = sinks.postgres().await;
    for tenth in 1..=3 {
        comes_to(&store, count * tenth / 10, deadline).await;
        // It commits, and nobody hears of it.
        link.fall_after("COMMIT");
        let struck = Instant::now();
        while !link.is_down() && !all_there(&store, count).await {
            assert!(struck.elapsed() < deadline, "nothing was committed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        link.mend();
    }
    for tenth in 5..=7 {
        comes_to(&store, count * tenth / 10, deadline).await;
        postgres.kill();
        postgres.restart().await;
    }
    comes_to(&store, count - 1, deadline).await;
    println!("{count} rows in PostgreSQL after {:?}", begun.elapsed());
    let late_kib = peak_kib(stack.weir.pid());
    println!("{early_kib} KiB in the beginning, at most {late_kib} KiB from then on");
    assert!(
        late_kib < early_kib + GROWTH_MAX_KIB,
        "{early_kib} {late_kib}"
    );

    // What is read is removed, at the latest when the last relay looks up.
    let struck = Instant::now();
    while self::segments(&ledger) > 2 {
        assert!(struck.elapsed() < BACK_MAX, "segments stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stack.weir.terminate();
    while stack.weir.is_running() {
        assert!(struck.elapsed() < BACK_MAX, "weir doesn't end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let events = rows.iter().map(|row| &row.event);
    let lines = stack.events();
    assert!(
        lines.iter().eq(events),
        "the file has each row once, in order"
    );
    let mut taken: BTreeMap<_, _> = rows.iter().map(|row| (row.event.id, row.clone())).collect();
    taken.remove(&poison.event.id);
    for (store, name) in [(sinks.sqlite().await, "sqlite"), (store, "postgres")] {
        let stored = rows_of(&store).await;
        assert_eq!(stored.len(), count - 1, "{name}");
        let stored: BTreeMap<_, _> = stored.into_iter().map(|row| (row.event.id, row)).collect();
        assert!(
            stored == taken,
            "{name}: each row but the poisoned one, as it was"
        );
        rollups_agree(&store, &taken).await;
        let chains = store.chains().await.unwrap();
        // The poisoned row is in the chain: it is set aside.
        let end = store.verify(&chains[0]).await.unwrap().unwrap();
        assert_eq!((chains.len(), end.sequence), (1, count as u64), "{name}");
    }
}

/// Writes a day's rows, while no relay reads; one of them no database takes.
async fn a_day(ledger: &Path, count: usize) -> Vec<Row> {
    let config = spool_config(ledger, &NAMES);
    let random = uuid::Uuid::from_u128(0x0123_4567);
    let opened = Spool::open(&config, random, Box::new(|_| ())).unwrap();
    let mut dice = Dice(7);
    let (mut rows, mut last) = (Vec::new(), NO_HASH);
    for (number, sequence) in (0..count).zip(1..) {
        let mut event = call(&mut dice, MARCH + DAY / count as u64 * number as u64);
        if number == count / 2 {
            event.model_served = Some("gpt\0".into());
        }
        opened.spool.outcome(&event).await.unwrap();
        last = chained(&last, &wire::encode_event(&event));
        let link = RowLink {
            chain: opened.spool.chain(),
            sequence,
            hash: last,
        };
        rows.push(Row { event, link });
    }
    opened.spool.close(Duration::from_secs(60)).await.unwrap();
    rows
}

/// Waits until a store has so many rows. Whatever it has then is the beginning of
/// the chain, without a gap.
async fn comes_to(store: &Store, count: usize, deadline: Duration) {
    let begun = Instant::now();
    while try_count(store).await.is_none_or(|there| there < count) {
        assert!(begun.elapsed() < deadline, "{count} rows did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A connection that the server's death has broken may still be asked first.
    loop {
        let verified = match store.chains().await {
            Ok(chains) => store.verify(&chains[0]).await,
            Err(error) => Err(error),
        };
        match verified {
            Ok(verified) => {
                verified.unwrap();
                return;
            }
            Err(error) => assert!(begun.elapsed() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_there(store: &Store, count: usize) -> bool {
    count_of(store).await >= count - 1
}

/// `None` while it isn't there, or has no tables yet.
async fn try_count(store: &Store) -> Option<usize> {
    store.chains().await.ok()?;
    Some(count_of(store).await)
}

fn segments(ledger: &Path) -> usize {
    fs::read_dir(ledger.join("segments")).unwrap().count()
}

/// The most memory that a process has had since its peak was forgotten.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().trim().parse().unwrap()
}

/// What a process has now is its peak, not what it took to begin.
fn forget_peak(pid: u32) -> u64 {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    peak_kib(pid)
}
