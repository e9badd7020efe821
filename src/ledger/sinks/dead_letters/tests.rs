//! Letters are written once, and can be read back.

use super::*;
use crate::ledger::sinks::tests::{row, row_with};
use serde_json::{Value, json};

fn letters(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("dead-letters-otlp.jsonl")).unwrap();
    let read = |line| serde_json::from_str(line).unwrap();
    text.lines().map(read).collect()
}

#[tokio::test]
async fn a_row_set_aside_twice_is_there_once_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("not/there/yet");
    let mut dead = DeadLetters::new(&place, "otlp");
    // A row that is refused for its size belongs here too.
    let large = row_with(2, json!({ "finish_reason": "x".repeat(1_000_000) }));
    dead.add(&row(1), "odd").await.unwrap();
    dead.add(&large, &"w".repeat(10_000)).await.unwrap();
    dead.add(&row(1), "odd").await.unwrap();
    drop(dead);
    // A process after it.
    let mut dead = DeadLetters::new(&place, "otlp");
    dead.add(&large, "odd").await.unwrap();
    dead.add(&row(3), "odd").await.unwrap();
    let letters = letters(&place);
    assert_eq!(letters.len(), 3);
    for (letter, row) in letters.iter().zip([row(1), large, row(3)]) {
        let bytes = STANDARD.decode(letter["row"].as_str().unwrap()).unwrap();
        assert_eq!(wire::decode(&bytes).unwrap(), row);
        assert_eq!(letter["id"], row.event.id.to_string());
        assert_eq!(letter["sequence"], row.link.sequence);
        assert_eq!(letter["chain"], row.link.chain.to_string());
        assert_eq!(letter["sink"], "otlp");
        assert!(letter["why"].as_str().unwrap().len() <= WHY_CHARS_MAX);
    }
}

#[tokio::test]
async fn what_can_not_be_written_is_away_and_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("folder");
    std::fs::write(&place, "a file in its place").unwrap();
    let mut dead = DeadLetters::new(&place, "otlp");
    let outcome = dead.add(&row(1), "odd").await;
    assert!(matches!(outcome, Err(SinkError::Away(_))), "{outcome:?}");
    std::fs::remove_file(&place).unwrap();
    dead.add(&row(1), "odd").await.unwrap();
    assert_eq!(letters(&place).len(), 1);
}
