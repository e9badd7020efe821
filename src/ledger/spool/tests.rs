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
    let told_bytes = match told.recv().unwrap() {
        Health::Behind { bytes } => bytes,
        other => panic!("{other:?}"),
    };
    let size = spool.size();
    assert!(size.bytes() >= told_bytes && told_bytes > small.bytes_max);
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
    assert!((1..=small.bytes_max).contains(&size.bytes()));
    spool.intent(id(5_000), b"call").await.unwrap();
}

/// The rows' records, where they begin and how long they are.
fn outcomes(whole: &[u8]) -> Vec<(usize, usize)> {
    let pieces = frame::pieces(whole, HEADER_BYTES);
    let outcomes = pieces.filter_map(|piece| match piece {
        frame::Piece::Frame { at, frame } if frame.kind == frame::Kind::Outcome => {
            Some((at, frame.bytes()))
        }
        _ => None,
    });
    outcomes.collect()
}

/// A spool whose first segment is of these bytes.
fn folder_of(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(segment::folder(folder.path())).unwrap();
    fs::write(segment::path(folder.path(), 1), bytes).unwrap();
    folder
}

fn quarantined(folder: &Path) -> Vec<u64> {
    let aside = fs::read_dir(folder.join("quarantine")).unwrap();
    let bytes = aside.map(|entry| entry.unwrap().metadata().unwrap().len());
    bytes.collect()
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
    let (last, bytes) = outcomes(&whole)[2];
    for cut in last..last + bytes {
        for torn in [&[][..], &[0; 40], &[0xff; 3]] {
            let folder = folder_of(&[&whole[..cut], torn].concat());
            let opened = open(folder.path());
            assert_eq!(ids(&opened), [id(3)], "cut at {cut}");
            assert_eq!(opened.lost_bytes, 0);
            opened.spool.outcome(&event(3)).await.unwrap();
            let rows = rows(&opened.spool).await;
            assert_eq!(rows.len(), 3);
            assert_chained(&rows);
            let aside = quarantined(folder.path());
            let torn_bytes = cut - last + torn.len();
            assert_eq!(aside.len(), usize::from(torn_bytes > 0));
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
    let (at, bytes) = outcomes(&whole)[1];
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

/// Overwrites what is there.
fn damage(path: &Path, at: usize, bytes: usize) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xaa; bytes], at as u64).unwrap();
}

/// What a batch consists of that nobody has said to be safe, but for its sink.
/// Damaged at any byte, no other record is lost, and only a torn end is cut.
#[tokio::test]
async fn damage_at_any_byte_of_the_last_batch_costs_one_record_and_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=3 {
        spool.intent(id(n), b"call").await.unwrap();
    }
    let before = fs::read(newest(folder.path())).unwrap().len();
    spool.outcome(&event(1)).await.unwrap();
    spool.drop_intent(id(2)).await.unwrap();
    spool.outcome(&event(3)).await.unwrap();
    close(spool).await;
    let closed = fs::read(newest(folder.path())).unwrap();
    let pieces = frame::pieces(&closed, before).map(|piece| match piece {
        frame::Piece::Frame { at, frame } => (at, frame.bytes(), frame.kind),
        damaged @ frame::Piece::Damaged { .. } => panic!("{damaged:?}"),
    });
    let pieces: Vec<_> = pieces.collect();
    let kinds: Vec<_> = pieces.iter().map(|(_, _, kind)| *kind).collect();
    use frame::Kind::{Dropped, Outcome, Synced};
    assert_eq!(kinds, [Synced, Outcome, Dropped, Outcome, Synced]);
    let (end, ..) = pieces[4];
    let died = &closed[..end];
    for (bytes, sink_has_read) in [(died, false), (died, true), (&closed[..], false)] {
        for (record, &(at, record_bytes, kind)) in pieces[..4].iter().enumerate() {
            for changed in at..at + record_bytes {
                let mut bytes = bytes.to_vec();
                bytes[changed] ^= 0x55;
                let folder = folder_of(&bytes);
                if sink_has_read {
                    fs::create_dir(position::folder(folder.path())).unwrap();
                    let offset = end as u64;
                    let position = Position { segment: 1, offset };
                    position::write(folder.path(), "test", position).unwrap();
                }
                let found = recovery::recover(folder.path(), ChainId::nil()).unwrap();
                let torn = record == 3 && bytes.len() == end && !sink_has_read;
                let lost = if torn { 0 } else { record_bytes as u64 };
                assert_eq!(found.lost_bytes, lost, "byte {changed}");
                assert_eq!(quarantined(folder.path()), [record_bytes as u64]);
                let left = if torn { at } else { bytes.len() };
                assert_eq!(found.segments[&1], left as u64);
                let there = fs::metadata(segment::path(folder.path(), 1)).unwrap();
                assert_eq!(there.len(), left as u64);
                let open: Vec<_> = found.open.keys().copied().collect();
                let expected = [vec![], vec![id(1)], vec![id(2)], vec![id(3)]];
                assert_eq!(open, expected[record]);
                // No number is given twice, unless its row was cut off.
                let sequence = if torn { 1 } else { 2 };
                if record == 3 && !torn {
                    assert!(found.chain.sequence >= sequence, "{kind:?}");
                } else {
                    assert_eq!(found.chain.sequence, sequence, "{kind:?}");
                }
                assert_eq!(found.chain.id, ChainId::from_u128(42));
            }
        }
    }
}

/// Nobody looks at it again but the relays.
#[tokio::test]
async fn damage_in_an_older_segment_is_set_aside_by_who_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=5 {
        spool.outcome(&event(n)).await.unwrap();
    }
    close(spool).await;
    let path = newest(folder.path());
    let pieces = outcomes(&fs::read(&path).unwrap());
    let opened = open(folder.path());
    let last = pieces[4];
    for (at, bytes) in [pieces[1], pieces[2], last] {
        damage(&path, at, bytes);
    }
    for _ in 0..2 {
        let rows = rows(&opened.spool).await;
        let told: Vec<_> = rows.iter().map(|row| row.event.id).collect();
        assert_eq!(told, [id(1), id(4)]);
        let mut aside = quarantined(folder.path());
        aside.sort_unstable();
        let together = (pieces[1].1 + pieces[2].1) as u64;
        assert_eq!(aside, [last.1 as u64, together]);
    }
}

/// The disk lost the end of a file whose rows a sink has.
#[tokio::test]
async fn a_segment_that_is_shorter_than_a_sink_has_read_is_told_of() {
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
    let whole = fs::read(&path).unwrap();
    let (fourth, _) = outcomes(&whole)[3];
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(fourth as u64).unwrap();
    let opened = open(folder.path());
    assert_eq!(opened.lost_bytes, relayed.upto.offset - fourth as u64);
    opened.spool.outcome(&event(6)).await.unwrap();
    let rows = rows(&opened.spool).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].event.id, id(6));
    assert!(rows[0].link.sequence > 5, "{:?}", rows[0].link);
}

/// The same where nothing is left of its header: the one before it tells of the
/// chain, and not of the numbers that its rows had.
#[tokio::test]
async fn no_number_is_given_twice_where_a_segment_lost_its_header_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut read = Vec::new();
    for (segment, sinks) in [(1, ["test", "away"]), (2, ["test", "away"])] {
        let mut config = config(folder.path());
        config.sinks = sinks.to_vec();
        let Opened { spool, .. } = open_as(&config);
        let mut reader = spool.reader("test").unwrap();
        for n in 1..=5 {
            spool.outcome(&event(10 * segment + n)).await.unwrap();
        }
        spool.flush().await.unwrap();
        let relayed = reader.next(5).await.unwrap().unwrap();
        read.extend(relayed.rows.iter().map(|row| row.link.sequence));
        reader.commit(relayed.upto).unwrap();
        close(spool).await;
    }
    fs::write(newest(folder.path()), "").unwrap();
    let opened = open(folder.path());
    assert!(opened.lost_bytes > 0);
    opened.spool.outcome(&event(99)).await.unwrap();
    let rows = rows(&opened.spool).await;
    assert_eq!(rows.len(), 1);
    let sequence = rows[0].link.sequence;
    assert!(!read.contains(&sequence), "{sequence} of {read:?}");
}

/// Where no batch follows that would say so.
#[tokio::test]
async fn what_is_safe_is_said_to_be_once_when_nothing_more_comes() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    spool.outcome(&event(1)).await.unwrap();
    let marks = || {
        let whole = fs::read(newest(folder.path())).unwrap();
        let behind = outcomes(&whole).first().map(|(at, bytes)| at + bytes);
        let pieces = frame::pieces(&whole, behind.unwrap_or(whole.len()));
        let marks = pieces.map(|piece| match piece {
            frame::Piece::Frame { at, frame } => {
                assert_eq!(frame.kind, frame::Kind::Synced);
                assert_eq!(frame.body, (at as u64).to_le_bytes());
            }
            torn @ frame::Piece::Damaged { .. } => panic!("{torn:?}"),
        });
        marks.count()
    };
    let begun = std::time::Instant::now();
    while marks() == 0 && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(marks(), 1);
    close(spool).await;
    assert_eq!(marks(), 1);
}

#[tokio::test]
async fn a_segment_without_its_header_is_read_and_its_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=4 {
        spool.intent(id(n), b"call").await.unwrap();
    }
    for n in 1..=3 {
        spool.outcome(&event(n)).await.unwrap();
    }
    close(spool).await;
    let path = newest(folder.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..HEADER_BYTES {
        let folder = folder_of(&whole);
        damage(&segment::path(folder.path(), 1), at, 1);
        let other = ChainId::from_u128(43);
        let opened = Spool::open(&config(folder.path()), other, Box::new(|_| {})).unwrap();
        assert_eq!(opened.lost_bytes, HEADER_BYTES as u64);
        assert_eq!(quarantined(folder.path()), [HEADER_BYTES as u64]);
        assert_eq!(ids(&opened), [id(4)]);
        opened.spool.outcome(&event(4)).await.unwrap();
        let rows = rows(&opened.spool).await;
        assert_eq!(rows.len(), 4, "none that sinks had not taken is lost");
        assert_chained(&rows);
        close(opened.spool).await;
    }
}

/// What the newest doesn't tell of any more, the one before it does.
#[tokio::test]
async fn a_segment_without_its_beginning_is_read_behind_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=3 {
        spool.intent(id(n), b"call").await.unwrap();
    }
    spool.outcome(&event(1)).await.unwrap();
    close(spool).await;
    let Opened { spool, .. } = open(folder.path());
    spool.intent(id(4), b"call").await.unwrap();
    let begun = HEADER_BYTES + 2 * (frame::HEAD_BYTES + 16 + 4);
    spool.drop_intent(id(2)).await.unwrap();
    close(spool).await;
    damage(&newest(folder.path()), 0, begun);
    // Its chain is known from there too, for it has no row.
    let other = ChainId::from_u128(43);
    let opened = Spool::open(&config(folder.path()), other, Box::new(|_| {})).unwrap();
    assert_eq!(opened.lost_bytes, begun as u64);
    assert_eq!(ids(&opened), [id(3), id(4)]);
    opened.spool.outcome(&event(3)).await.unwrap();
    let rows = rows(&opened.spool).await;
    let told: Vec<_> = rows.iter().map(|row| row.event.id).collect();
    assert_eq!(told, [id(1), id(3)]);
    assert_eq!(rows[1].link.chain, rows[0].link.chain);
}

/// The disk lost the end of a segment, and with it intents that it was begun with.
#[tokio::test]
async fn a_segment_that_ends_within_its_beginning_is_read_behind_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    for n in 1..=3 {
        spool.intent(id(n), b"call").await.unwrap();
    }
    close(spool).await;
    close(open(folder.path()).spool).await;
    let intent = frame::HEAD_BYTES + 16 + 4;
    let path = newest(folder.path());
    let whole = fs::read(&path).unwrap();
    for left in [0, 1, 2, 3] {
        fs::write(&path, &whole[..HEADER_BYTES + left * intent]).unwrap();
        let opened = open(folder.path());
        assert_eq!(ids(&opened), [id(1), id(2), id(3)], "{left}");
        close(opened.spool).await;
        fs::remove_file(newest(folder.path())).unwrap();
    }
}

#[tokio::test]
async fn where_nothing_tells_of_the_chain_another_begins() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { spool, .. } = open(folder.path());
    spool.intent(id(1), b"call").await.unwrap();
    close(spool).await;
    damage(&newest(folder.path()), 3, 1);
    let other = ChainId::from_u128(43);
    let opened = Spool::open(&config(folder.path()), other, Box::new(|_| {})).unwrap();
    assert_eq!(opened.spool.chain(), other);
    assert_eq!(ids(&opened), [id(1)]);
    opened.spool.outcome(&event(1)).await.unwrap();
    assert_eq!(rows(&opened.spool).await[0].link.sequence, 1);
}

/// A position tells of a place by its segment's number: one that is damaged must
/// not lend its number to the next.
#[tokio::test]
async fn no_row_is_behind_a_position_in_a_segment_without_its_header() {
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

/// A disk that takes a write, or makes room, and then hangs.
#[tokio::test]
async fn a_call_waits_for_room_and_disk_together_no_longer_than_it_may() {
    let queue = Queue::default();
    let filler = [7; 1_000];
    let full = |n| Entry::Outcome {
        id: id(n),
        message: &filler,
    };
    let fill = || {
        let pushed = (0..).take_while(|n| queue.push_now(&full(*n)).unwrap());
        pushed.count()
    };
    for (filled, for_sync) in [(false, true), (false, false), (true, true)] {
        if filled {
            assert!(fill() > 0);
        }
        let call = Entry::Intent {
            id: id(9_999),
            context: b"call",
        };
        let begun = std::time::Instant::now();
        let mut taken = Vec::new();
        let hangs = async {
            if filled {
                tokio::time::sleep(WAIT_MAX * 3 / 4).await;
            }
            while taken.len() < 1 + usize::from(filled) {
                let batch = queue.take(batch::Batch::default(), Duration::ZERO).unwrap();
                if !batch.is_empty() {
                    taken.push(batch);
                }
                tokio::task::yield_now().await;
            }
        };
        let waits = queue.push_and_wait(&call, for_sync);
        let both = async { tokio::join!(waits, hangs).0 };
        let refused = tokio::time::timeout(Duration::from_secs(20), both).await;
        let refused = refused.expect("it waits for as long as the disk hangs");
        assert!(matches!(refused, Err(SpoolError::Slow)), "{refused:?}");
        let waited = begun.elapsed();
        assert!(
            waited >= WAIT_MAX && waited < WAIT_MAX * 7 / 4,
            "{waited:?}"
        );
        // The disk goes on: the call is written once, and nobody is told.
        let calls = taken.iter().flat_map(batch::Batch::entries);
        let calls = calls.filter(|entry| matches!(entry, Entry::Intent { .. }));
        assert_eq!(calls.count(), 1);
        for batch in &mut taken {
            batch.answer(batch::Standing::Well, true);
        }
        assert!(queue.push_now(&Entry::Dropped { id: id(9_999) }).unwrap());
        let rest = queue.take(batch::Batch::default(), Duration::ZERO).unwrap();
        assert_eq!(rest.entries().count(), 1);
    }
}

#[tokio::test]
async fn rows_that_wait_for_room_when_the_spool_is_closed_are_written_all_the_same() {
    let queue = Queue::default();
    let filler = [7; 1_000];
    let entry = |n| Entry::Outcome {
        id: id(n),
        message: &filler,
    };
    while queue.push_now(&entry(1)).unwrap() {}
    let (second, third) = (entry(2), entry(3));
    let call = Entry::Intent {
        id: id(4),
        context: b"call",
    };
    let mut waits = Box::pin(queue.push(&second));
    let mut given_up = Box::pin(queue.push(&third));
    let mut refused = Box::pin(queue.push_and_wait(&call, true));
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert!(futures_util::poll!(&mut given_up).is_pending());
    assert!(futures_util::poll!(&mut refused).is_pending());
    queue.close();
    assert!(matches!(refused.await, Err(SpoolError::Closed)));
    assert!(matches!(queue.push(&third).await, Err(SpoolError::Closed)));
    let take = || queue.take(batch::Batch::default(), Duration::ZERO);
    assert!(take().unwrap().entries().count() > 1);
    // It is waited for, though there is nothing to write.
    assert!(take().unwrap().is_empty());
    waits.await.unwrap();
    let batch = take().unwrap();
    let ids = batch.entries().map(|entry| match entry {
        Entry::Outcome { id, .. } => id,
        other => panic!("{other:?}"),
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids, [id(2)]);
    assert!(take().unwrap().is_empty());
    drop(given_up);
    assert!(take().is_none());
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
