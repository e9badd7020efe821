//! Rows as JSON lines appended to a file: the usage log.
//!
//! ```text
//! {"schema":"weir.usage.v1","id":"0199...",...}
//! {"schema":"weir.usage.v1","id":"0199...",...,"chain":"...","sequence":7,"hash":"..."}   with `links`
//! ```
//! A line is the event's JSON; with [`FileConfig::links`] three fields stand
//! behind it: `chain`, a UUID, and `sequence`, from 1, which say where the row
//! stands in the order of its sidecar, and `hash`, 64 hexadecimal digits, which
//! holds all rows before it ([`crate::ledger::row::chained`]).
//!
//! Always holds: each row is in a regular file once, in order, whatever crashes
//! or fills up in between (`lines` says how); it is acknowledged once it is on
//! disk, or with `sync: false` with the system. To a pipe or a device each row
//! goes once as long as the process lives.
//!
//! One thread writes, so that a disk or a reader that hangs stops nobody else;
//! an answer that takes longer than [`WRITE_MAX`] is waited for by the next
//! delivery.

use super::dead_letters::DeadLetters;
use super::lines::{Care, Line, LineFile, LinesError};
use crate::ledger::row::Row;
use crate::ledger::sink::{Sink, SinkError};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The longest line. An event is about 700 bytes; only names from the
/// configuration and words of the provider vary.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// How long a delivery waits for the disk, or for a pipe's reader.
pub const WRITE_MAX: Duration = Duration::from_secs(10);

/// Written at a time: what waits in memory beside the rows.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Rows made to lines before other tasks get their turn: some 100 microseconds.
const ROWS_A_TURN: usize = 64;

/// What the sink is called in configuration, logs and metrics.
const NAME: &str = "file";

/// Where and how to write.
#[derive(Debug, Clone)]
pub struct FileConfig {
    /// A file, made if absent, a pipe or a device. Its folder must exist.
    pub path: PathBuf,
    /// Acknowledge rows once they are on disk, where a power cut leaves them.
    pub sync: bool,
    /// Whether `chain`, `sequence` and `hash` stand in the line.
    pub links: bool,
    /// The folder for `dead-letters-file.jsonl`: this sidecar's own, made if
    /// absent when it is needed.
    pub dead_letters_folder: PathBuf,
}

/// Why the sink can't start.
#[derive(Debug, thiserror::Error)]
pub enum FileSinkError {
    #[error(transparent)]
    File(#[from] LinesError),
    #[error("can't start the writing thread: {0}")]
    Thread(io::Error),
}

/// The sink. Dropped, it ends its thread, which gives the file free.
#[derive(Debug)]
pub struct FileSink {
    config: FileConfig,
    jobs: mpsc::Sender<Job>,
    /// The answer to a job that somebody stopped waiting for.
    unheard: Option<oneshot::Receiver<Result<(), LinesError>>>,
    dead_letters: DeadLetters,
    write_max: Duration,
}

#[derive(Debug)]
struct Job {
    lines: Vec<Line>,
    done: oneshot::Sender<Result<(), LinesError>>,
}

impl FileSink {
    /// Opens the file, looks at its end and starts the thread. Reads and writes
    /// files: call it before serving.
    ///
    /// A regular file is locked against other processes, and a torn last line
    /// (a process that died while writing) is cut off.
    ///
    /// # Errors
    /// [`FileSinkError`].
    pub fn open(config: FileConfig) -> Result<Self, FileSinkError> {
        let care = Care {
            sync: config.sync,
            line_bytes_max: LINE_BYTES_MAX,
        };
        let mut file = LineFile::open(&config.path, care)?;
        let (jobs, mut asked) = mpsc::channel::<Job>(1);
        let write = move || {
            while let Some(job) = asked.blocking_recv() {
                // Nobody may listen any more: the next delivery finds the ids.
                let _ = job.done.send(file.take_in(&job.lines));
            }
        };
        std::thread::Builder::new()
            .name("weir-file-sink".to_owned())
            .spawn(write)
            .map_err(FileSinkError::Thread)?;
        Ok(Self {
            dead_letters: DeadLetters::new(&config.dead_letters_folder, NAME),
            config,
            jobs,
            unheard: None,
            write_max: WRITE_MAX,
        })
    }

    async fn write(&mut self, lines: Vec<Line>) -> Result<(), SinkError> {
        // Whatever became of a job before: its rows are offered again.
        let _ = self.hear().await?;
        let (done, answer) = oneshot::channel();
        let job = Job { lines, done };
        self.jobs.send(job).await.map_err(|_| thread_gone())?;
        self.unheard = Some(answer);
        self.hear().await?.map_err(|error| away(&error))
    }

    /// Waits for the answer to the job under way, if there is one. Dropped
    /// meanwhile, it can be waited for again.
    async fn hear(&mut self) -> Result<Result<(), LinesError>, SinkError> {
        let Some(answer) = &mut self.unheard else {
            return Ok(Ok(()));
        };
        let Ok(heard) = tokio::time::timeout(self.write_max, answer).await else {
            let path = self.config.path.display();
            let waited = self.write_max;
            let why = format!("{path}: not written within {waited:?}");
            return Err(SinkError::Away(why));
        };
        self.unheard = None;
        heard.map_err(|_| thread_gone())
    }
}

impl Sink for FileSink {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn deliver(&mut self, rows: &[Row]) -> Result<(), SinkError> {
        let (mut lines, mut bytes) = (Vec::new(), 0usize);
        let mut poison = None;
        for (index, row) in rows.iter().enumerate() {
            match line(row, self.config.links) {
                Ok(line) => {
                    bytes = bytes.saturating_add(line.bytes.len());
                    lines.push(line);
                }
                // The others are written all the same; offered again, they are
                // known.
                Err(why) => {
                    poison.get_or_insert(SinkError::Poison { index, why });
                }
            }
            if bytes >= WRITE_BYTES_MAX {
                bytes = 0;
                self.write(std::mem::take(&mut lines)).await?;
            }
            if index % ROWS_A_TURN == ROWS_A_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.write(lines).await?;
        poison.map_or(Ok(()), Err)
    }

    async fn set_aside(&mut self, row: &Row, why: &str) -> Result<(), SinkError> {
        self.dead_letters.add(row, why).await
    }
}

fn away(error: &LinesError) -> SinkError {
    SinkError::Away(error.to_string())
}

fn thread_gone() -> SinkError {
    SinkError::Away("the writing thread has ended".to_owned())
}

/// The row's line, or why it can't have one.
fn line(row: &Row, links: bool) -> Result<Line, String> {
    let mut bytes = serde_json::to_vec(&row.event).map_err(|error| error.to_string())?;
    if links {
        add_link(row, &mut bytes);
    }
    bytes.push(b'\n');
    if bytes.len() > LINE_BYTES_MAX {
        let len = bytes.len();
        return Err(format!(
            "its line has {len} bytes, more than {LINE_BYTES_MAX}"
        ));
    }
    Ok(Line {
        id: row.event.id,
        bytes,
    })
}

/// Puts the link's fields before the closing brace.
fn add_link(row: &Row, bytes: &mut Vec<u8>) {
    bytes.pop();
    let link = &row.link;
    let mut fields = format!(
        r#","chain":"{}","sequence":{},"hash":""#,
        link.chain, link.sequence
    );
    for byte in link.hash {
        // A string takes what it is given.
        let _ = write!(fields, "{byte:02x}");
    }
    fields.push_str("\"}");
    bytes.extend_from_slice(fields.as_bytes());
}

#[cfg(test)]
mod tests;
