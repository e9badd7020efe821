//! The usage log: one JSON line for every call that ended, appended to a file,
//! and beside it the journal of calls that are open.
//!
//! ```text
//! append(event) ─┐   one lock, one queue    ┌─► usage file    {"schema":"weir.usage.v1",...}
//!                ├─► events | journal ──────┤   (events first, then the journal)
//! opened(id) ────┘   bounded in bytes       └─► journal file  {"open":id,...} {"done":id}
//! ```
//! One thread writes both files, a batch at a time, each with one write call in
//! append mode. Within a batch the events go first, so a call is `done` in the
//! journal only once its event is in the file. What the journal still holds
//! open when a process starts was open when the last one died: it is handed
//! over, kept open, and `done` when its event has been recorded. A call whose
//! event made it to the file just before the end is found there and not handed
//! over, so that it gets no second event.
//!
//! What it promises: [`UsageLog::append`] returns once the line is queued;
//! [`UsageLog::flush`] and [`UsageLog::close`] once it is in the file, where it
//! survives the death of the process. A power cut may take what the system has
//! not written out; the file is synced only when it is closed.
//!
//! When the disk can't keep up, callers wait, up to [`WAIT_MAX`]; after that the
//! line is refused and counted, never silently lost, and its call stays open in
//! the journal. A failing write is tried again without end, from the byte where
//! it stopped, and readiness says so meanwhile.
//!
//! Left to others: rotating the file. `copytruncate` works; a file that is moved
//! away keeps being written to until weir starts again.

mod file;
mod journal;
mod queue;
mod writer;

use crate::exchange::UsageEvent;
use crate::exchange::event::Outcome;
use crate::limits::HoldId;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use journal::Journal;
use queue::Queue;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What may wait to be written: some ten thousand events. A batch under way may
/// hold as much again.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest line. An event is about 600 bytes; only names from the
/// configuration and words of the provider vary.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// How long a caller waits for room in the queue.
pub const WAIT_MAX: Duration = Duration::from_secs(1);

/// How long closing waits for the disk.
pub const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Why a line is not in the file.
#[derive(Debug, thiserror::Error)]
pub enum UsageLogError {
    #[error("{path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: another process writes to it")]
    Locked { path: PathBuf },
    #[error("{path}: does not end like a usage log; is it another file?")]
    NotALog { path: PathBuf },
    #[error("can't start the writing thread: {0}")]
    Thread(std::io::Error),
    #[error("the line has {bytes} bytes, more than {LINE_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("the event can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the disk can't keep up; {bytes} bytes wait to be written")]
    Full { bytes: usize },
    #[error("the log is closed")]
    Closed,
    #[error("{lines} lines could not be written before the end")]
    Lost { lines: usize },
}

/// A call that was open when the process before this one died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    pub id: HoldId,
    /// What was given to [`UsageLog::opened`].
    pub context: String,
}

/// The writer's handle. Dropped without [`UsageLog::close`], what is queued is
/// still written, but nobody waits for it.
#[derive(Debug)]
pub struct UsageLog {
    queue: Arc<Queue>,
    has_journal: bool,
    metrics: Arc<Metrics>,
}

impl UsageLog {
    /// Opens the log at `path`, made if absent, and the journal at `open_path`
    /// if given, and hands over the calls that were left open there. Reads and
    /// writes files: call it before serving.
    ///
    /// A regular file is locked against other processes, and a torn last line
    /// (a process that died while writing) is cut off.
    ///
    /// # Errors
    /// [`UsageLogError::File`], [`UsageLogError::Locked`],
    /// [`UsageLogError::NotALog`], [`UsageLogError::Thread`].
    pub fn open(
        path: &Path,
        open_path: Option<&Path>,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> Result<(Self, Vec<Interrupted>), UsageLogError> {
        let events = file::open(path)?;
        let journal = match open_path {
            Some(open_path) => {
                let recorded = file::last_ids(&events, QUEUE_BYTES_MAX)
                    .map_err(|source| file::error(path, source))?;
                Some(Journal::open(open_path, &recorded)?)
            }
            None => None,
        };
        let interrupted = journal
            .as_ref()
            .map(Journal::interrupted)
            .unwrap_or_default();
        let log = Self {
            queue: Arc::new(Queue::default()),
            has_journal: journal.is_some(),
            metrics: Arc::clone(&metrics),
        };
        let watch = writer::Watch::new(metrics, readiness);
        writer::start(Arc::clone(&log.queue), events.file, journal, watch)?;
        Ok((log, interrupted))
    }

    /// Notes that a call was admitted, so that it gets an event even if this
    /// process dies. `context` is given back as [`Interrupted::context`]. Does
    /// nothing without a journal.
    ///
    /// # Errors
    /// As [`UsageLog::append`].
    pub async fn opened(&self, id: HoldId, context: &str) -> Result<(), UsageLogError> {
        if !self.has_journal {
            return Ok(());
        }
        let line = journal::open_line(id, context);
        self.push(b"", line.as_bytes()).await
    }

    /// Appends a call's event, and ends the call in the journal. Waits only
    /// while the queue is full. Dropped while waiting, it has appended nothing.
    ///
    /// # Errors
    /// [`UsageLogError::Full`] after [`WAIT_MAX`], [`UsageLogError::Closed`],
    /// [`UsageLogError::TooLong`], [`UsageLogError::Json`]. Each is counted in
    /// the metrics; the call stays open in the journal.
    pub async fn append(&self, event: &UsageEvent) -> Result<(), UsageLogError> {
        let mut line = serde_json::to_vec(event).inspect_err(|_| self.metrics.usage_log_error())?;
        line.push(b'\n');
        let done = match event.outcome {
            // A refused call was never open.
            Outcome::Refused => String::new(),
            Outcome::Exact | Outcome::Estimated | Outcome::Void => self.done_line(event.id),
        };
        self.push(&line, done.as_bytes()).await
    }

    /// Ends a call in the journal without an event: its hold was ended, and its
    /// event written, by another process.
    ///
    /// # Errors
    /// As [`UsageLog::append`].
    pub async fn forget(&self, id: HoldId) -> Result<(), UsageLogError> {
        self.push(b"", self.done_line(id).as_bytes()).await
    }

    /// Returns once all that was appended before is in the files.
    ///
    /// # Errors
    /// [`UsageLogError::Lost`] where the log was closed with lines unwritten.
    pub async fn flush(&self) -> Result<(), UsageLogError> {
        self.queue.flushed().await
    }

    /// Takes no more lines, and returns once all are in the files and the files
    /// are synced, or after [`CLOSE_MAX`]. Further calls are answered the same.
    ///
    /// # Errors
    /// [`UsageLogError::Lost`] with the number of lines that are not in the file.
    pub async fn close(&self) -> Result<(), UsageLogError> {
        self.queue.close();
        match tokio::time::timeout(CLOSE_MAX, self.queue.ended()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(UsageLogError::Lost {
                lines: self.queue.lines_unwritten(),
            }),
        }
    }

    fn done_line(&self, id: HoldId) -> String {
        if self.has_journal {
            journal::done_line(id)
        } else {
            String::new()
        }
    }

    async fn push(&self, event: &[u8], journal: &[u8]) -> Result<(), UsageLogError> {
        let pushed = self.queue.push(event, journal).await;
        pushed.inspect_err(|_| self.metrics.usage_log_error())
    }
}

impl Drop for UsageLog {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The ids of calls whose event is known to be in the file.
type Recorded = HashSet<HoldId>;

#[cfg(test)]
mod tests;
