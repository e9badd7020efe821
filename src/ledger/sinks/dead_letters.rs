//! Rows that a receiver will never take, kept in a file for people to look at.
//!
//! ```text
//! {"id":"0199...","sink":"otlp","why":"...","chain":"...","sequence":7,"row":"CiAB..."}
//! ```
//! `row` is the row's message ([`crate::ledger::wire`]) in base64, so that it
//! can be read back and delivered when what refused it is mended.
//!
//! Letters that were delivered after all stay in their file, as another process
//! may be writing to it. Beside it is a file of their ids:
//! ```text
//! {"id":"0199...","sink":"otlp"}
//! ```
//!
//! Always holds: a row set aside is on disk, and among the last lines once.
//! Only the disk bounds the files.

mod letters;

pub use letters::{Letter, LetterError, Letters, Replayed};

use super::lines::{Care, Line, LineFile};
use crate::ledger::row::Row;
use crate::ledger::sink::SinkError;
use crate::ledger::wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::path::{Path, PathBuf};

/// The longest line that is looked through. A row that is refused for its size
/// belongs here too: this is far above what a call's head and answer can make
/// of an event.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A longer reason is cut.
const WHY_CHARS_MAX: usize = 500;

/// The file, opened when the first row is set aside.
#[derive(Debug)]
pub(super) struct DeadLetters {
    sink: &'static str,
    path: PathBuf,
    file: Option<LineFile>,
}

#[derive(serde::Serialize)]
struct Written<'a> {
    id: String,
    sink: &'a str,
    why: &'a str,
    chain: String,
    sequence: u64,
    row: String,
}

impl DeadLetters {
    /// `dead-letters-SINK.jsonl` in `folder`, where no other process has its
    /// own.
    pub fn new(folder: &Path, sink: &'static str) -> Self {
        Self {
            sink,
            path: path(folder, sink),
            file: None,
        }
    }

    /// Adds a row, once.
    ///
    /// # Errors
    /// [`SinkError::Away`].
    pub async fn add(&mut self, row: &Row, why: &str) -> Result<(), SinkError> {
        let line = line(self.sink, row, why).map_err(|error| self.away(&error))?;
        let (path, open) = (self.path.clone(), self.file.take());
        let added = tokio::task::spawn_blocking(move || add(&path, open, &line)).await;
        // Dropped while it waits, the file is opened anew by the next.
        self.file = Some(added.map_err(|error| self.away(&error))??);
        Ok(())
    }

    fn away(&self, error: &dyn std::error::Error) -> SinkError {
        SinkError::Away(format!("{}: {error}", self.path.display()))
    }
}

/// Blocks.
fn add(path: &Path, open: Option<LineFile>, line: &Line) -> Result<LineFile, SinkError> {
    let away = |error: &dyn std::error::Error| SinkError::Away(error.to_string());
    let care = Care {
        sync: true,
        line_bytes_max: LINE_BYTES_MAX,
    };
    let mut file = match open {
        Some(file) => file,
        None => {
            make_folder(path)
                .map_err(|error| SinkError::Away(format!("{}: {error}", path.display())))?;
            LineFile::open(path, care).map_err(|error| away(&error))?
        }
    };
    let lines = std::slice::from_ref(line);
    file.take_in(lines).map_err(|error| away(&error))?;
    Ok(file)
}

fn path(folder: &Path, sink: &str) -> PathBuf {
    folder.join(format!("dead-letters-{sink}.jsonl"))
}

fn make_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

fn line(sink: &str, row: &Row, why: &str) -> Result<Line, serde_json::Error> {
    let end = why.char_indices().nth(WHY_CHARS_MAX).map(|(at, _)| at);
    let letter = Written {
        id: row.event.id.to_string(),
        sink,
        why: end.and_then(|end| why.get(..end)).unwrap_or(why),
        chain: row.link.chain.to_string(),
        sequence: row.link.sequence,
        row: STANDARD.encode(wire::encode(row)),
    };
    let mut bytes = serde_json::to_vec(&letter)?;
    bytes.push(b'\n');
    Ok(Line {
        id: row.event.id,
        bytes,
    })
}

#[cfg(test)]
mod tests;
