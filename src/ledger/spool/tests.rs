//! The spool on a real disk: what it hands over, cuts, sets aside and refuses.

use super::segment::HEADER_BYTES;
use super::*;
use crate::exchange::event::Outcome;
use crate::ledger::row::{Link, NO_HASH, Row, chained};
use crate::units::UnixMillis;
use serde_json::json;
use std::fs;
use std::os::unix::fs::FileExt;

fn id(n: u64) -> HoldId {
    HoldId::new(UnixMillis(1_700_000_000_000 + n), &[7; 10])
}

fn event(n: u64) -> UsageEvent {
    serde_json::from_value(json!({
        "schema": "weir.usage.v1", "id": id(n).to_string(), "outcome": "exact",
        "started_at_ms": 1_700_000_000_000u64, "ended_at_ms": 1_700_000_002_000u64 + n,
        "tenant": "acme", "dialect": "openai", "stream": false, "input_tokens": n,
        "cost_nanos": 3 * n, "request_bytes": 5,
    }))
    .unwrap()
}

fn config(path: &Path) -> SpoolConfig {
    SpoolConfig {
        path: path.to_owned(),
        durability: Durability::Strict,
        bytes_max: 1 << 30,
        segment_bytes: 1 << 20,
        sinks: vec!["test"],
    }
}

fn open_as(config: &SpoolConfig) -> Opened {
    Spool::open(config, ChainId::from_u128(42), Box::new(|_| {})).unwrap()
}

fn open(path: &Path) -> Opened {
    open_as(&config(path))
}

async fn close(spool: Spool) {
    spool.close(Duration::from_secs(10)).await.unwrap();
}

fn ids(opened: &Opened) -> Vec<HoldId> {
    opened.interrupted.iter().map(|call| call.id).collect()
}

/// All rows that are there, checked to be one chain.
async fn rows(spool: &Spool) -> Vec<Row> {
    spool.flush().await.unwrap();
    let mut reader = spool.reader("test").unwrap();
    let mut rows = Vec::new();
    while reader.behind() != Position::default() {
        let next = reader.next(7);
        let Ok(next) = tokio::time::timeout(Duration::from_millis(200), next).await else {
            break;
        };
        rows.extend(next.unwrap().unwrap().rows);
    }
    rows
}

fn assert_chained(rows: &[Row]) {
    let (mut sequence, mut hash) = (0, NO_HASH);
    for row in rows {
        sequence += 1;
        hash = chained(&hash, &wire::encode_event(&row.event));
        let chain = ChainId::from_u128(42);
        let link = Link {
            chain,
            sequence,
            hash,
        };
        assert_eq!(row.link, link);
    }
}

fn newest(path: &Path) -> PathBuf {
    let number = segment::list(path).unwrap().into_keys().last().unwrap();
    segment::path(path, number)
}

#[tokio::test]
async fn what_has_an_intent_and_no_outcome_is_handed_over_until_it_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=4 {
        spool
            .intent(id(n), format!("call {n}").as_bytes())
            .await
            .unwrap();
    }
    spool.outcome(&event(2)).await.unwrap();
    spool.drop_intent(id(3)).await.unwrap();
    close(spool).await;
    for _ in 0..3 {
        let opened = open(folder.path());
        assert_eq!(ids(&opened), [id(1), id(4)]);
        assert_eq!(opened.interrupted[1].context, b"call 4");
        assert_eq!(opened.lost_bytes, 0);
        close(opened.spool).await;
    }
    let Opened { spool, .. } = open(folder.path());
    spool.outcome(&event(1)).await.unwrap();
    spool.outcome(&event(4)).await.unwrap();
    close(spool).await;
    let opened = open(folder.path());
    assert_eq!(ids(&opened), []);
    let rows = rows(&opened.spool).await;
    let told: Vec<_> = rows.iter().map(|row| row.event.clone()).collect();
    assert_eq!(told, [event(2), event(1), event(4)]);
    assert_chained(&rows);
}

#[tokio::test]
async fn two_processes_can_not_write_one_spool() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    let again = Spool::open(&config(folder.path()), ChainId::nil(), Box::new(|_| {}));
    assert!(matches!(again, Err(SpoolError::Locked { .. })));
    close(opened.spool).await;
    close(open(folder.path()).spool).await;
}

#[tokio::test]
async fn a_relay_goes_on_where_it_was_and_what_it_has_read_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let small = SpoolConfig {
        segment_bytes: 2_000,
        ..config(folder.path())
    };
    let mut expected = 1..=400;
    for _ in 0..4 {
        let Opened { spool, .. } = open_as(&small);
        // Stays open over all segments.
        spool.intent(id(9_999), b"long").await.unwrap();
        let mut reader = spool.reader("test").unwrap();
        for _ in 0..100 {
            let n = expected.next().unwrap();
            spool.intent(id(n), b"call").await.unwrap();
            spool.outcome(&event(n)).await.unwrap();
        }
        spool.flush().await.unwrap();
        let mut read = 0;
        while read < 90 {
            let relayed = reader.next(9).await.unwrap().unwrap();
            assert!((1..=9).contains(&relayed.rows.len()));
            read += relayed.rows.len();
            reader.commit(relayed.upto).unwrap();
        }
        // Read, but not committed: read again.
        reader.next(9).await.unwrap();
        close(spool).await;
    }
    let opened = open_as(&small);
    assert_eq!(ids(&opened), [id(9_999)]);
    let left = rows(&opened.spool).await;
    let sequences: Vec<_> = left.iter().map(|row| row.link.sequence).collect();
    let last = sequences.len() as u64;
    assert_eq!(sequences, (401 - last..=400).collect::<Vec<_>>());
    assert!((1..60).contains(&last), "{last}");
    let segments = segment::list(folder.path()).unwrap();
    assert!(segments.len() < 20, "{segments:?}");
}

#[tokio::test]
async fn a_spool_whose_sink_is_behind_admits_no_call_and_loses_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let small = SpoolConfig {
        segment_bytes: 2_000,
        bytes_max: 20_000,
        ..config(folder.path())
    };
    let (send, told) = std::sync::mpsc::channel();
    let tell = Box::new(move |health| send.send(health).unwrap());
    let opened = Spool::open(&small, ChainId::from_u128(42), tell).unwrap();
    let spool = opened.spool;
    let mut reader = spool.reader("test").unwrap();
    let mut written = 0;
    let refused = loop {
        if let Err(refused) = spool.intent(id(written + 1), b"call").await {
            break refused;
        }
        written += 1;
        spool.outcome(&event(written)).await.unwrap();
        assert!(written < 1_000);
    };
    assert!(matches!(refused, SpoolError::Full), "{refused}");
    assert!(matches!(told.recv().unwrap(), Health::Behind { .. }));
    for n in written + 1..written + 50 {
        spool.outcome(&event(n)).await.unwrap();
    }
    let mut read = 0;
    while read < written + 49 {
        let relayed = reader.next(100).await.unwrap().unwrap();
        read += relayed.rows.len() as u64;
        reader.commit(relayed.upto).unwrap();
    }
    assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(Health::Well));
    spool.intent(id(5_000), b"call").await.unwrap();
}

/// Cut anywhere in its last record, a spool loses that one alone.
#[tokio::test]
async fn a_torn_last_record_is_cut_at_every_byte_and_all_before_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=3 {
        spool.intent(id(n), b"call").await.unwrap();
        spool.outcome(&event(n)).await.unwrap();
        spool.flush().await.unwrap();
    }
    close(spool).await;
    let path = newest(folder.path());
    let whole = fs::read(&path).unwrap();
    let last = frame::pieces(&whole, HEADER_BYTES).last().unwrap();
    let frame::Piece::Frame { at: last, .. } = last else {
        panic!("{last:?}");
    };
    for cut in last..whole.len() {
        for torn in [&[][..], &[0; 40], &[0xff; 3]] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(segment::folder(folder.path())).unwrap();
            let bytes = [&whole[..cut], torn].concat();
            fs::write(segment::path(folder.path(), 1), bytes).unwrap();
            let opened = open(folder.path());
            assert_eq!(ids(&opened), [id(3)], "cut at {cut}");
            assert_eq!(opened.lost_bytes, 0);
            opened.spool.outcome(&event(3)).await.unwrap();
            let rows = rows(&opened.spool).await;
            assert_eq!(rows.len(), 3);
            assert_chained(&rows);
            let aside = fs::read_dir(folder.path().join("quarantine")).unwrap();
            let torn_bytes = cut - last + torn.len();
            assert_eq!(aside.count(), usize::from(torn_bytes > 0));
        }
    }
}

/// What the disk lost of what was safe is set aside and told of, and the rest is
/// read.
#[tokio::test]
async fn damage_in_the_midst_is_set_aside_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=5 {
        spool.intent(id(n), b"call").await.unwrap();
        spool.outcome(&event(n)).await.unwrap();
        spool.flush().await.unwrap();
    }
    close(spool).await;
    let path = newest(folder.path());
    let whole = fs::read(&path).unwrap();
    let pieces: Vec<_> = frame::pieces(&whole, HEADER_BYTES).collect();
    let mut second = pieces.iter().filter_map(|piece| match piece {
        frame::Piece::Frame { at, frame } if frame.kind == frame::Kind::Outcome => {
            Some((*at, frame.bytes()))
        }
        _ => None,
    });
    let (at, bytes) = second.nth(1).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xaa; 20], at as u64 + 11).unwrap();
    let opened = open(folder.path());
    assert_eq!(opened.lost_bytes, bytes as u64);
    assert_eq!(ids(&opened), [id(2)], "its row is lost, so it is estimated");
    let rows = rows(&opened.spool).await;
    let sequences: Vec<_> = rows.iter().map(|row| row.link.sequence).collect();
    assert_eq!(sequences, [1, 3, 4, 5], "and the chain shows it");
    let aside = folder
        .path()
        .join("quarantine")
        .join(format!("{:016x}-{at}", 1));
    assert_eq!(fs::read(aside).unwrap().len(), bytes);
}

#[tokio::test]
async fn a_segment_without_its_header_is_set_aside_and_another_chain_begins() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    spool.intent(id(1), b"call").await.unwrap();
    close(spool).await;
    let Opened { spool, .. } = open(folder.path());
    spool.outcome(&event(1)).await.unwrap();
    close(spool).await;
    let path = newest(folder.path());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"?", 3).unwrap();
    let other = ChainId::from_u128(43);
    let opened = Spool::open(&config(folder.path()), other, Box::new(|_| {})).unwrap();
    assert!(opened.lost_bytes > 100);
    assert_eq!(opened.spool.chain(), other);
    assert_eq!(ids(&opened), [id(1)]);
}

/// A position tells of a place by its segment's number: one that was set aside
/// must not lend its number to the next.
#[tokio::test]
async fn no_row_is_behind_a_position_in_a_segment_that_was_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    let mut reader = spool.reader("test").unwrap();
    for n in 1..=5 {
        spool.outcome(&event(n)).await.unwrap();
    }
    spool.flush().await.unwrap();
    let relayed = reader.next(5).await.unwrap().unwrap();
    reader.commit(relayed.upto).unwrap();
    close(spool).await;
    let path = newest(folder.path());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"?", 3).unwrap();
    for n in 6..=9 {
        let Opened { spool, .. } = open(folder.path());
        spool.outcome(&event(n)).await.unwrap();
        let rows = rows(&spool).await;
        let told = rows.iter().map(|row| row.event.id);
        assert_eq!(
            told.collect::<Vec<_>>(),
            (6..=n).map(id).collect::<Vec<_>>()
        );
        close(spool).await;
    }
}

/// A folder that was emptied, beside positions that were kept.
#[tokio::test]
async fn no_row_is_behind_a_position_in_a_segment_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(position::folder(folder.path())).unwrap();
    let far = Position {
        segment: 7,
        offset: 4_000,
    };
    position::write(folder.path(), "test", far).unwrap();
    let Opened { spool, .. } = open(folder.path());
    spool.outcome(&event(1)).await.unwrap();
    assert_eq!(rows(&spool).await.len(), 1);
}

/// What a relay read before an error is read again.
#[tokio::test]
async fn an_error_on_the_way_skips_no_row() {
    let folder = tempfile::tempdir().unwrap();
    for n in 1..=2 {
        let Opened { spool, .. } = open(folder.path());
        spool.outcome(&event(n)).await.unwrap();
        close(spool).await;
    }
    let Opened { spool, .. } = open(folder.path());
    let mut reader = spool.reader("test").unwrap();
    let (path, aside) = (segment::path(folder.path(), 2), folder.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    let refused = reader.next(10).await;
    assert!(matches!(refused, Err(SpoolError::File { .. })));
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    let relayed = reader.next(10).await.unwrap().unwrap();
    let told = relayed.rows.iter().map(|row| row.event.id);
    assert_eq!(told.collect::<Vec<_>>(), [id(1), id(2)]);
}

/// Of a later version, say. Its segment is removed when it is read.
#[tokio::test]
async fn a_whole_record_that_is_no_row_is_set_aside_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    let message = [0xff; 10];
    let odd = Entry::Outcome {
        id: id(1),
        message: &message,
    };
    assert!(spool.queue.push_now(&odd).unwrap());
    spool.outcome(&event(2)).await.unwrap();
    assert_eq!(rows(&spool).await.len(), 1);
    let aside: Vec<_> = fs::read_dir(folder.path().join("quarantine"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(aside.len(), 1);
    assert!(aside[0].starts_with(&message));
}

#[tokio::test]
async fn many_writers_share_syncs_and_each_finds_its_record_safe() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(open(folder.path()).spool);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..50 {
        let spool = Arc::clone(&spool);
        tasks.spawn(async move {
            for n in 0..20 {
                let n = task * 100 + n;
                spool.intent(id(n), b"call").await.unwrap();
                spool.outcome(&event(n)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let rows = rows(&spool).await;
    assert_eq!(rows.len(), 1_000);
    assert_chained(&rows);
    assert!(rows.iter().all(|row| row.event.outcome == Outcome::Exact));
}

/// Refused calls come without end while the disk takes nothing.
#[test]
fn refused_calls_take_bounded_room_and_their_intents_are_ended_first() {
    let queue = Queue::default();
    let message = [7; 1_000];
    let outcome = |n| Entry::Outcome {
        id: id(n),
        message: &message,
    };
    let rows = (0..).take_while(|n| queue.push_now(&outcome(*n)).unwrap());
    let rows = rows.count();
    assert!((3_500..4_500).contains(&rows), "{rows}");
    let ends = (0..).take_while(|n| queue.push_now(&Entry::Dropped { id: id(*n) }).unwrap());
    let ends = ends.count();
    assert!((25_000..60_000).contains(&ends), "{ends}");
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_a_closed_spool_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path()).spool;
    let long = vec![0; BODY_BYTES_MAX + 1];
    let refused = spool.intent(id(1), &long).await;
    assert!(matches!(refused, Err(SpoolError::TooLong { .. })));
    spool.intent(id(1), &long[1..]).await.unwrap();
    spool.close(Duration::from_secs(10)).await.unwrap();
    let refused = spool.outcome(&event(1)).await;
    assert!(matches!(refused, Err(SpoolError::Closed)));
    let refused = spool.intent(id(2), b"").await;
    assert!(matches!(refused, Err(SpoolError::Closed)));
}
