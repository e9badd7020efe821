//! A relay between a real spool and a sink that fails in every way.

use super::*;
use crate::exchange::UsageEvent;
use crate::ledger::row::ChainId;
use crate::ledger::sinks::file::{FileConfig, FileSink};
use crate::ledger::spool::{Durability, Opened, Spool, SpoolConfig};
use crate::limits::HoldId;
use crate::units::UnixMillis;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

/// What a sink does at the next offer.
#[derive(Debug, Clone, Copy)]
enum Next {
    Away,
    /// Takes the rows, but its answer is lost.
    TakeAndFail,
    Poison(usize),
}

/// Counts each row once, by its event's id.
#[derive(Default)]
struct Taken {
    next: VecDeque<Next>,
    rows: BTreeSet<HoldId>,
    aside: Vec<HoldId>,
    offers: usize,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Taken>>);

impl Sink for Fake {
    fn name(&self) -> &'static str {
        "test"
    }

    async fn deliver(&mut self, rows: &[Row]) -> Result<(), SinkError> {
        let mut taken = self.0.lock().unwrap();
        taken.offers += 1;
        let ids = rows.iter().map(|row| row.event.id);
        match taken.next.pop_front() {
            Some(Next::Away) => return Err(SinkError::Away("it is away".into())),
            Some(Next::Poison(index)) => {
                let why = "it is odd".into();
                return Err(SinkError::Poison { index, why });
            }
            Some(Next::TakeAndFail) => {
                taken.rows.extend(ids);
                return Err(SinkError::Away("no answer".into()));
            }
            None => taken.rows.extend(ids),
        }
        Ok(())
    }

    async fn set_aside(&mut self, row: &Row, _: &str) -> Result<(), SinkError> {
        self.0.lock().unwrap().aside.push(row.event.id);
        Ok(())
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>, Mutex<Vec<Option<UnixMillis>>>);

impl Watch for Told {
    fn delivered(&self, _: &'static str, _: usize) {}

    fn offered(&self, _: &'static str, oldest: Option<UnixMillis>) {
        self.1.lock().unwrap().push(oldest);
    }

    fn set_aside(&self, _: &'static str) {
        self.0.lock().unwrap().push("set aside".into());
    }

    fn away(&self, _: &'static str, why: Option<&str>) {
        let why = why.unwrap_or("there").to_owned();
        self.0.lock().unwrap().push(why);
    }
}

fn id(n: u64) -> HoldId {
    HoldId::new(UnixMillis(1_700_000_000_000 + n), &[7; 10])
}

fn event(n: u64) -> UsageEvent {
    serde_json::from_value(json!({
        "schema": "weir.usage.v1", "id": id(n).to_string(), "outcome": "exact",
        "started_at_ms": 1, "ended_at_ms": 2, "dialect": "openai", "stream": false,
        "request_bytes": 5,
    }))
    .unwrap()
}

async fn spool_of(folder: &Path, events: std::ops::Range<u64>) -> Spool {
    spool_for(folder, events, &["test"]).await
}

async fn spool_for(folder: &Path, events: std::ops::Range<u64>, sinks: &[&'static str]) -> Spool {
    let config = SpoolConfig {
        path: folder.to_owned(),
        durability: Durability::Relaxed,
        bytes_max: 1 << 30,
        segment_bytes: if sinks.len() == 1 { 1_000 } else { 1 << 20 },
        sinks: sinks.to_vec(),
    };
    let opened = Spool::open(&config, ChainId::nil(), Box::new(|_| {}));
    let Opened { spool, .. } = opened.unwrap();
    for n in events {
        spool.outcome(&event(n)).await.unwrap();
    }
    spool
}

/// Relays all that is there to the spool's end.
async fn relay(spool: Spool, fake: &Fake, told: &Arc<Told>) {
    let reader = spool.reader("test").unwrap();
    spool.close(Duration::from_secs(10)).await.unwrap();
    let watch = Arc::clone(told);
    let relay = Relay::new(reader, fake.clone(), watch, CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), relay.run())
        .await
        .unwrap();
}

#[tokio::test]
async fn every_row_is_taken_once_whatever_the_sink_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, told) = (Fake::default(), Arc::new(Told::default()));
    fake.0.lock().unwrap().next = VecDeque::from([
        Next::Away,
        Next::Away,
        Next::TakeAndFail,
        Next::Poison(4),
        Next::Poison(0),
        Next::Away,
        // Odd: there is no such row; it is asked again.
        Next::Poison(999),
    ]);
    relay(spool_of(folder.path(), 0..20).await, &fake, &told).await;
    {
        let taken = fake.0.lock().unwrap();
        assert_eq!(taken.aside, [id(0), id(4)], "in their order");
        assert_eq!(
            taken.rows,
            (0..20).map(id).collect(),
            "one took them before"
        );
        assert_eq!(taken.offers, 9);
    }
    let told = told.0.lock().unwrap().join(", ");
    let expected = "it is away, there, set aside, it is away, there, set aside";
    assert_eq!(told, expected);
}

/// As long as a sink takes nothing, since when; and that nothing waits where it has all.
#[tokio::test]
async fn how_long_the_oldest_row_waits_is_told_until_none_does() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, told) = (Fake::default(), Arc::new(Told::default()));
    fake.0.lock().unwrap().next = VecDeque::from([Next::Away, Next::Away]);
    let spool = spool_of(folder.path(), 0..3).await;
    spool.flush().await.unwrap();
    let (reader, stop) = (spool.reader("test").unwrap(), CancellationToken::new());
    let watch = Arc::clone(&told);
    let running = tokio::spawn(Relay::new(reader, fake.clone(), watch, stop.clone()).run());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while told.1.lock().unwrap().last() != Some(&None) {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = told.1.lock().unwrap().clone();
    assert_eq!(seen[0], Some(UnixMillis(2)), "the end of the first call");
    assert_eq!(fake.0.lock().unwrap().rows.len(), 3);
    // The next that comes is told of again.
    let before = told.1.lock().unwrap().len();
    spool.outcome(&event(3)).await.unwrap();
    spool.flush().await.unwrap();
    while told.1.lock().unwrap().len() <= before {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(told.1.lock().unwrap()[before], Some(UnixMillis(2)));
    stop.cancel();
    running.await.unwrap();
}

/// What a power cut leaves of positions: the last one that was synced. Another
/// sink is away, so all that was ever written could be offered again.
#[tokio::test]
async fn a_file_has_each_row_once_though_a_position_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let positions = folder.path().join("positions");
    let rows = 3 * BATCH_ROWS_MAX as u64 + 100;
    for round in 0..3 {
        let spool = spool_for(
            folder.path(),
            round * rows..(round + 1) * rows,
            &["file", "away"],
        );
        let spool = spool.await;
        let sink = FileSink::open(FileConfig {
            path: path.clone(),
            sync: false,
            links: false,
            dead_letters_folder: folder.path().to_owned(),
        });
        let reader = spool.reader("file").unwrap();
        spool.close(Duration::from_secs(10)).await.unwrap();
        let told = Arc::new(Told::default());
        let relay = Relay::new(reader, sink.unwrap(), told, CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(60), relay.run())
            .await
            .unwrap();
        match round {
            0 => fs::write(positions.join("file"), "").unwrap(),
            _ => fs::remove_file(positions.join("file")).unwrap(),
        }
    }
    let lines = fs::read_to_string(&path).unwrap();
    assert_eq!(lines.lines().count() as u64, 3 * rows);
    let ids: BTreeSet<&str> = lines.lines().collect();
    assert_eq!(ids.len() as u64, 3 * rows);
}

#[tokio::test]
async fn what_was_committed_is_not_offered_again_and_what_was_not_is() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, told) = (Fake::default(), Arc::new(Told::default()));
    relay(spool_of(folder.path(), 0..10).await, &fake, &told).await;
    fake.0.lock().unwrap().rows.clear();
    relay(spool_of(folder.path(), 10..15).await, &fake, &told).await;
    assert_eq!(fake.0.lock().unwrap().rows, (10..15).map(id).collect());
    // Stopped while its sink is away: nothing is committed.
    let spool = spool_of(folder.path(), 15..18).await;
    let reader = spool.reader("test").unwrap();
    spool.flush().await.unwrap();
    fake.0.lock().unwrap().next = vec![Next::Away; 1_000].into();
    let stop = CancellationToken::new();
    let relay_away = Relay::new(reader, fake.clone(), told.clone(), stop.clone());
    let running = relay_away.run();
    tokio::pin!(running);
    let soon = tokio::time::sleep(Duration::from_millis(400));
    tokio::select! {
        () = &mut running => panic!("it gave up"),
        () = soon => stop.cancel(),
    }
    running.await;
    spool.close(Duration::from_secs(10)).await.unwrap();
    fake.0.lock().unwrap().next.clear();
    relay(spool_of(folder.path(), 18..19).await, &fake, &told).await;
    assert_eq!(fake.0.lock().unwrap().rows, (10..19).map(id).collect());
}
