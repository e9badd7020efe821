//! The usage log as a sink.

use super::*;
use crate::exchange::UsageEvent;
use crate::ledger::sink::BATCH_ROWS_MAX;
use crate::ledger::sinks::tests::{id, relay, row, row_with, rows};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("usage.jsonl")
    }

    fn config(&self) -> FileConfig {
        FileConfig {
            path: self.path(),
            sync: true,
            links: false,
            dead_letters_folder: self.0.path().join("dead"),
        }
    }

    /// Opens it as soon as whoever had it open has given it free.
    async fn open(&self) -> FileSink {
        opened(&self.config()).await
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn events(&self) -> Vec<UsageEvent> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

async fn opened(config: &FileConfig) -> FileSink {
    for _ in 0..1_000 {
        match FileSink::open(config.clone()) {
            Err(FileSinkError::File(LinesError::Locked { .. })) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("nobody gave it free");
}

fn text_of(rows: &[Row]) -> String {
    let line = |row: &Row| serde_json::to_string(&row.event).unwrap() + "\n";
    rows.iter().map(line).collect()
}

#[tokio::test]
async fn lines_are_those_of_the_usage_log_in_order() {
    let place = Place::new();
    let mut sink = place.open().await;
    for batch in [rows(0..3), rows(3..3), rows(3..9)] {
        sink.deliver(&batch).await.unwrap();
    }
    assert_eq!(place.text(), text_of(&rows(0..9)));
    assert_eq!(sink.name(), "file");
}

#[tokio::test]
async fn a_batch_offered_again_is_there_once_also_after_a_restart() {
    let place = Place::new();
    let batch = rows(0..BATCH_ROWS_MAX as u16);
    let mut sink = place.open().await;
    sink.deliver(&batch).await.unwrap();
    sink.deliver(&batch).await.unwrap();
    drop(sink);
    let mut sink = place.open().await;
    sink.deliver(&batch).await.unwrap();
    let more = rows(0..BATCH_ROWS_MAX as u16 + 5);
    sink.deliver(&more[6..]).await.unwrap();
    assert_eq!(place.text(), text_of(&more));
}

/// Killed in the middle of a batch, at any byte of its last line.
#[tokio::test]
async fn a_process_that_died_in_a_line_neither_loses_nor_doubles_it() {
    let all = rows(0..3);
    let whole = text_of(&all);
    let last = text_of(&all[..2]).len();
    for cut in (last..=whole.len()).step_by(7).chain([whole.len() - 1]) {
        let place = Place::new();
        fs::write(place.path(), &whole[..cut]).unwrap();
        place.open().await.deliver(&all[1..]).await.unwrap();
        assert_eq!(place.text(), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn links_stand_behind_the_event_and_readers_pass_over_them() {
    let place = Place::new();
    let mut config = place.config();
    config.links = true;
    let mut sink = opened(&config).await;
    sink.deliver(&rows(5..7)).await.unwrap();
    let events: Vec<UsageEvent> = rows(5..7).into_iter().map(|row| row.event).collect();
    assert_eq!(place.events(), events);
    let line: Value = serde_json::from_str(place.text().lines().next().unwrap()).unwrap();
    assert_eq!(line["chain"], row(5).link.chain.to_string());
    assert_eq!(line["sequence"], 5);
    assert_eq!(line["hash"], "05".repeat(32));
    let fields: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(fields[fields.len() - 3..], ["chain", "sequence", "hash"]);
}

#[tokio::test]
async fn a_row_too_long_for_a_line_is_set_aside_and_the_rest_is_written_once() {
    let place = Place::new();
    let mut sink = place.open().await;
    let mut batch = rows(0..4);
    batch[2] = row_with(2, json!({ "finish_reason": "x".repeat(LINE_BYTES_MAX) }));
    let outcome = sink.deliver(&batch).await;
    assert!(
        matches!(outcome, Err(SinkError::Poison { index: 2, .. })),
        "{outcome:?}"
    );
    assert_eq!(relay(&mut sink, &batch).await, [id(2)]);
    assert_eq!(place.text(), text_of(&[row(0), row(1), row(3)]));
    let letters = fs::read_to_string(place.0.path().join("dead/dead-letters-file.jsonl"));
    assert_eq!(letters.unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_full_device_is_away_and_owes_each_line_once() {
    let place = Place::new();
    let mut config = place.config();
    config.path = "/dev/full".into();
    let mut sink = FileSink::open(config).unwrap();
    for _ in 0..3 {
        let outcome = sink.deliver(&rows(0..3)).await;
        let Err(SinkError::Away(why)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.starts_with("/dev/full: "), "{why}");
    }
}

/// A pipe that nobody reads: the delivery ends, the bytes wait; read, they are
/// there once.
#[tokio::test]
async fn a_reader_that_hangs_is_away_and_then_gets_each_line_once() {
    let place = Place::new();
    let path = place.0.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let mut config = place.config();
    config.path = path.clone();
    let mut sink = FileSink::open(config).unwrap();
    sink.write_max = Duration::from_millis(50);
    let batch = rows(0..400);
    let expected = text_of(&batch);
    for _ in 0..2 {
        let outcome = sink.deliver(&batch).await;
        assert!(matches!(outcome, Err(SinkError::Away(_))), "{outcome:?}");
    }
    let bytes = expected.len();
    let read = tokio::task::spawn_blocking(move || read_exactly(&path, bytes));
    sink.write_max = Duration::from_secs(20);
    sink.deliver(&batch).await.unwrap();
    assert_eq!(read.await.unwrap(), expected);
}

fn read_exactly(path: &Path, bytes: usize) -> String {
    use std::io::Read;
    let mut text = vec![0; bytes];
    fs::File::open(path).unwrap().read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_delivery_dropped_midway_is_written_once() {
    let place = Place::new();
    let mut sink = place.open().await;
    let batch = rows(0..500);
    for _ in 0..20 {
        // Polled once or so, then dropped.
        let _ = tokio::time::timeout(Duration::ZERO, sink.deliver(&batch)).await;
    }
    sink.deliver(&batch).await.unwrap();
    assert_eq!(place.text(), text_of(&batch));
}
