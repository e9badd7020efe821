//! The log and its journal, across deaths and full disks.

use super::*;
use crate::telemetry::tests::{event, id};
use serde_json::json;
use std::fs;
use std::io::Write;

struct Place {
    folder: tempfile::TempDir,
    metrics: Arc<Metrics>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            metrics: Arc::new(Metrics::new()),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("usage.jsonl")
    }

    fn open_path(&self) -> PathBuf {
        self.folder.path().join("open.jsonl")
    }

    fn try_open(&self) -> Result<(UsageLog, Vec<Interrupted>), UsageLogError> {
        let open_path = self.open_path();
        UsageLog::open(
            &self.path(),
            Some(&open_path),
            Arc::clone(&self.metrics),
            Arc::default(),
        )
    }

    fn open(&self) -> (UsageLog, Vec<Interrupted>) {
        self.try_open().unwrap()
    }

    fn events(&self) -> Vec<UsageEvent> {
        let text = fs::read_to_string(self.path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What a process leaves that was killed: a copy of the files as they are.
    fn killed(&self) -> Place {
        let after = Place::new();
        for (from, to) in [
            (self.path(), after.path()),
            (self.open_path(), after.open_path()),
        ] {
            fs::copy(from, to).unwrap();
        }
        after
    }
}

fn ids(interrupted: &[Interrupted]) -> Vec<HoldId> {
    interrupted.iter().map(|call| call.id).collect()
}

#[tokio::test]
async fn events_are_lines_in_order_and_all_there_once_closed() {
    let place = Place::new();
    let (log, _) = place.open();
    for n in 0..200 {
        log.append(&event(n, json!({}))).await.unwrap();
    }
    log.close().await.unwrap();
    let expected: Vec<_> = (0..200).map(|n| event(n, json!({}))).collect();
    assert_eq!(place.events(), expected);
    assert!(matches!(
        log.append(&event(1, json!({}))).await,
        Err(UsageLogError::Closed)
    ));
    log.close().await.unwrap();
    assert_eq!(fs::read_to_string(place.open_path()).unwrap(), "");
}

#[tokio::test]
async fn a_log_opened_again_goes_on_where_it_ended() {
    let place = Place::new();
    for n in 0..3 {
        let (log, interrupted) = place.open();
        assert_eq!(interrupted, []);
        log.append(&event(n, json!({}))).await.unwrap();
        log.close().await.unwrap();
        drop(log);
    }
    assert_eq!(place.events().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_never_tear_a_line() {
    let place = Place::new();
    let log = Arc::new(place.open().0);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8u8 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            for _ in 0..500 {
                log.opened(id(writer), "{}").await.unwrap();
                log.append(&event(writer, json!({}))).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    log.close().await.unwrap();
    assert_eq!(place.events().len(), 4_000);
}

#[tokio::test]
async fn calls_open_when_the_process_died_are_handed_over_until_they_are_done() {
    let place = Place::new();
    let (log, _) = place.open();
    for n in 1..=4 {
        log.opened(id(n), &format!("{{\"call\":\"{n}\"}}"))
            .await
            .unwrap();
    }
    log.append(&event(2, json!({}))).await.unwrap();
    log.append(&event(9, json!({ "outcome": "refused" })))
        .await
        .unwrap();
    log.forget(id(4)).await.unwrap();
    log.flush().await.unwrap();

    let after = place.killed();
    let (log, interrupted) = after.open();
    assert_eq!(ids(&interrupted), [id(1), id(3)]);
    assert_eq!(interrupted[0].context, "{\"call\":\"1\"}");
    // It dies again in the middle of recording them.
    log.append(&event(1, json!({ "outcome": "estimated" })))
        .await
        .unwrap();
    log.flush().await.unwrap();
    let again = after.killed();
    let (log, interrupted) = again.open();
    assert_eq!(ids(&interrupted), [id(3)]);
    log.append(&event(3, json!({ "outcome": "estimated" })))
        .await
        .unwrap();
    log.close().await.unwrap();
    drop(log);
    assert_eq!(again.open().1, []);
    let recorded: Vec<_> = again.events().iter().map(|event| event.id).collect();
    assert_eq!(recorded, [id(2), id(9), id(1), id(3)]);
}

/// Killed between the two writes of a batch: the event is in the file, the
/// journal doesn't know.
#[tokio::test]
async fn a_call_whose_event_made_it_gets_no_second_one() {
    let place = Place::new();
    let (log, _) = place.open();
    log.opened(id(1), "{}").await.unwrap();
    log.opened(id(2), "{}").await.unwrap();
    log.flush().await.unwrap();
    let after = place.killed();
    let line = serde_json::to_string(&event(1, json!({}))).unwrap();
    fs::write(after.path(), format!("{line}\n")).unwrap();
    assert_eq!(ids(&after.open().1), [id(2)]);
}

#[tokio::test]
async fn torn_last_lines_are_cut_and_the_rest_is_kept() {
    let line = serde_json::to_string(&event(1, json!({}))).unwrap();
    // Every cut of the first fields, and some of the others.
    for cut in (0..20).chain((20..line.len()).step_by(37)) {
        let place = Place::new();
        fs::write(place.path(), format!("{line}\n{}", &line[..cut])).unwrap();
        let open = journal::open_line(id(2), "{}");
        let journal_cut = cut.min(open.len() - 1);
        fs::write(place.open_path(), format!("{open}{}", &open[..journal_cut])).unwrap();
        let (log, interrupted) = place.open();
        assert_eq!(ids(&interrupted), [id(2)]);
        log.append(&event(3, json!({}))).await.unwrap();
        log.close().await.unwrap();
        assert_eq!(place.events(), [event(1, json!({})), event(3, json!({}))]);
    }
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let long = format!("{{{}", "x".repeat(2 * LINE_BYTES_MAX));
    for content in ["root:x:0:0\n", "a secret", "{}\nno log of ours", &long] {
        let place = Place::new();
        fs::write(place.path(), content).unwrap();
        let outcome = place.try_open().map(drop);
        assert!(
            matches!(outcome, Err(UsageLogError::NotALog { .. })),
            "{outcome:?}"
        );
        assert_eq!(fs::read_to_string(place.path()).unwrap(), content);
    }
}

#[tokio::test]
async fn nonsense_in_the_journal_hides_no_call() {
    let place = Place::new();
    let mut text = String::from("{\"open\":\"x\"}\n{}\nnonsense\n\u{0}\n");
    text.push_str(&"y".repeat(3 * LINE_BYTES_MAX));
    text.push('\n');
    text.push_str(&journal::open_line(id(7), "{}"));
    fs::write(place.open_path(), text).unwrap();
    assert_eq!(ids(&place.open().1), [id(7)]);
}

#[test]
fn two_processes_can_not_write_one_log() {
    let place = Place::new();
    let first = place.open();
    assert!(matches!(
        place.try_open().map(drop),
        Err(UsageLogError::Locked { .. })
    ));
    drop(first);
    // The thread of the first ends soon after.
    let mut opened = place.try_open();
    for _ in 0..500 {
        if opened.is_ok() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
        opened = place.try_open();
    }
    opened.unwrap();
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_its_path() {
    let place = Place::new();
    let path = place.folder.path().join("nowhere/usage.jsonl");
    let outcome = UsageLog::open(&path, None, Arc::new(Metrics::new()), Arc::default());
    let error = outcome.map(drop).unwrap_err().to_string();
    assert!(error.contains("nowhere/usage.jsonl"), "{error}");
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_counted() {
    let place = Place::new();
    let (log, _) = place.open();
    let long = "x".repeat(LINE_BYTES_MAX);
    let outcome = log
        .append(&event(1, json!({ "finish_reason": long })))
        .await;
    assert!(
        matches!(outcome, Err(UsageLogError::TooLong { .. })),
        "{outcome:?}"
    );
    log.append(&event(2, json!({}))).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(place.events().len(), 1);
    assert!(
        place
            .metrics
            .encode()
            .contains("weir_usage_log_errors_total 1\n")
    );
}

#[tokio::test]
async fn the_journal_stays_short_while_calls_come_and_go() {
    let place = Place::new();
    let (log, _) = place.open();
    let context = "c".repeat(8 * 1024);
    log.opened(id(255), &context).await.unwrap();
    let mut longest = 0;
    for round in 0..40u8 {
        for _ in 0..40 {
            log.opened(id(round), &context).await.unwrap();
            log.append(&event(round, json!({}))).await.unwrap();
        }
        log.flush().await.unwrap();
        longest = longest.max(fs::metadata(place.open_path()).unwrap().len());
    }
    // 13 MiB went through it; it is rewritten above 4 MiB, after a batch.
    assert!(longest < 9 * 1024 * 1024, "{longest}");
    assert!(longest > 3 * 1024 * 1024, "{longest}");
    let after = place.killed();
    let interrupted = after.open().1;
    assert_eq!(ids(&interrupted), [id(255)]);
    assert_eq!(interrupted[0].context, context);
    // With none open it is emptied once it isn't tiny.
    for _ in 0..10 {
        log.opened(id(1), &context).await.unwrap();
    }
    log.forget(id(1)).await.unwrap();
    log.forget(id(255)).await.unwrap();
    log.flush().await.unwrap();
    assert_eq!(fs::metadata(place.open_path()).unwrap().len(), 0);
}

/// `/dev/full` refuses every write, as a full disk does.
#[tokio::test]
async fn a_full_disk_makes_callers_wait_then_refuses_and_is_told() {
    let metrics = Arc::new(Metrics::new());
    let readiness = Arc::new(Readiness::default());
    readiness.set_started();
    let full = Path::new("/dev/full");
    let (log, _) =
        UsageLog::open(full, None, Arc::clone(&metrics), Arc::clone(&readiness)).unwrap();
    let words = "w".repeat(LINE_BYTES_MAX / 2);
    let wordy = event(1, json!({ "finish_reason": words }));
    let mut queued = 0usize;
    let refused = loop {
        match log.append(&wordy).await {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 1_000, "the queue has a bound");
    };
    assert!(matches!(refused, UsageLogError::Full { .. }), "{refused}");
    assert!(!readiness.is_ready());
    let outcome = log.close().await;
    let Err(UsageLogError::Lost { lines }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(lines, queued);
    assert!(matches!(log.flush().await, Err(UsageLogError::Lost { .. })));
}

#[tokio::test]
async fn a_pipe_or_device_will_do_without_a_journal() {
    let metrics = Arc::new(Metrics::new());
    let (log, interrupted) =
        UsageLog::open(Path::new("/dev/null"), None, metrics, Arc::default()).unwrap();
    assert_eq!(interrupted, []);
    log.opened(id(1), "{}").await.unwrap();
    log.append(&event(1, json!({}))).await.unwrap();
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_rotation_by_copy_and_truncate_loses_nothing_that_comes_after() {
    let place = Place::new();
    let (log, _) = place.open();
    log.append(&event(1, json!({}))).await.unwrap();
    log.flush().await.unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(place.path())
        .unwrap()
        .set_len(0)
        .unwrap();
    log.append(&event(2, json!({}))).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(place.events(), [event(2, json!({}))]);
}

#[test]
fn a_file_cut_short_by_a_power_cut_is_repaired() {
    let place = Place::new();
    let mut file = fs::File::create(place.path()).unwrap();
    let line = serde_json::to_string(&event(1, json!({}))).unwrap();
    writeln!(file, "{line}").unwrap();
    file.write_all(&[0; 100]).unwrap();
    drop(place.open());
    assert_eq!(place.events(), [event(1, json!({}))]);
}
