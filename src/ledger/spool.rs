//! The spool: a local log of what is owed to the ledger, durable before a call
//! is let through.
//!
//! ```text
//! intent(id) ──┐ one queue  ┌────────┐  one write, one fdatasync   ┌─► segment
//!              ├───────────►│ thread │─────for all who wait────────┤
//! outcome(row)─┘  bounded   └────────┘                             └─► synced
//!                                                  relays read up to there ┘
//! ```
//! A call is noted before it is let through ([`Spool::intent`]) and again when
//! what it came to is known ([`Spool::outcome`]). What has an intent and no
//! outcome when a process begins was open when the last one died: it is handed
//! over ([`Opened::interrupted`]) to be written as estimated.
//!
//! # On disk
//! ```text
//! DIR/lock                        held by the process that writes
//! DIR/segments/NUMBER.seg         16 hexadecimal digits, from 1
//! DIR/positions/SINK              how far a relay has come; written with each batch
//! DIR/positions/SINK.synced       the same, synced now and then
//! DIR/quarantine/NUMBER-OFFSET    bytes that were no records, or records that are
//!                                 no rows, as they were found
//! ```
//! A segment is a header and records, all integers little-endian:
//!
//! | header | bytes |
//! |---|---|
//! | magic `weirspl1` | 8 |
//! | segment number | 8 |
//! | chain id | 16 |
//! | sequence of the last row before this segment | 8 |
//! | hash of the last row before this segment | 32 |
//! | CRC-32 of the above | 4 |
//!
//! | record | bytes |
//! |---|---|
//! | length of the body | 4 |
//! | CRC-32 of length, kind and body | 4 |
//! | kind: 1 intent, 2 outcome, 3 dropped, 4 synced | 1 |
//! | body | length |
//!
//! | kind | body |
//! |---|---|
//! | intent | the call's id (16 bytes), then what is known of it ([`Interrupted::context`]) |
//! | outcome | a row, as [`super::wire`] writes it; ends the intent of its id |
//! | dropped | an id (16 bytes): its intent is ended, its row is another's to write |
//! | synced | an offset (8 bytes): all of this segment before it was synced when this was written |
//!
//! A segment begins with the intents that were open when it was begun, and a
//! `synced`. It gets its name once these are on disk, so the newest segment alone
//! tells what is open, and older ones are needed only for what relays have not
//! read: those that all have read are removed.
//!
//! Each batch begins with a `synced` of what is on disk by then. Where no batch
//! comes within a second, or the spool is closed, one is written by itself. So
//! all that is acknowledged is soon said to be, but for the last batch of a
//! process that died within that second.
//!
//! # When a process begins
//! The newest segment is read to its end. Where bytes are no record:
//! - they are cut off, and kept in `quarantine` all the same, if they were never
//!   acknowledged, as far as can be known (a write that a power cut tore): no
//!   record is behind them, no `synced` reaches behind them, no sink has read so
//!   far;
//! - else they stay where they are, a copy is kept in `quarantine`, it is
//!   reported, and reading goes on at the next record, by relays too. The chain
//!   shows the gap: numbers that lost rows may have had are not given again.
//!
//! A disk may write the pages of one batch in any order, so records behind a
//! hole may be of a batch that was never acknowledged. They are read all the
//! same, as are whole records at the end that nobody was told of: what is in the
//! spool may be a call that was refused in the end, and then is an estimated
//! row; but no call that was let through is missing. For the same reason
//! the hole is reported as a loss, which it may not be.
//!
//! What can't be known: whether the last batch was acknowledged, if its end, and
//! nothing behind it, was damaged before it was said to be safe, and no sink had
//! read it. It is taken for torn.
//!
//! Of a segment whose header is damaged, the header is set aside, nothing is
//! cut, and its records are read like any other's. Where the beginning of the
//! newest can't be read, the older ones that are still there are read before it:
//! what was open in them, and not ended in it, is open. The chain goes on from
//! the last row that can be read; where there is none, another begins.
//!
//! A new segment is begun then, so nothing is ever written behind such bytes.
//!
//! # When the disk refuses
//! - A write that fails for want of room is tried again from the byte where it
//!   stopped; no call is admitted meanwhile, outcomes wait. So it is where the segments' size has
//!   come to its bound, because a sink is away for long.
//! - After a sync that failed nobody knows what is on disk, and asking again
//!   would not tell (the kernel drops what it could not write). Nothing more is
//!   acknowledged: [`Health::Failed`], and the process must end.

mod batch;
mod frame;
mod position;
mod queue;
mod reader;
mod recovery;
mod segment;
mod size;
pub mod survey;
mod writer;

pub use position::Position;
pub use reader::{Reader, Relayed};
pub use size::Size;
pub use writer::Health;

use super::row::ChainId;
use super::wire;
use crate::exchange::UsageEvent;
use crate::limits::HoldId;
use batch::Entry;
use queue::Queue;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use writer::Writer;

/// The longest context of an intent and the longest event; both are around a
/// kilobyte. Only names from the configuration and words of the provider vary.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a call that is to be let through waits for the disk: for room in the
/// queue, and for the write or sync behind that. Shorter than Envoy waits for
/// weir (a second, in `envoy/`), so that its caller is told why it is refused.
pub const WAIT_MAX: Duration = Duration::from_millis(750);

/// How long written records stay unsynced when nobody waits for them.
pub const SYNC_EVERY: Duration = Duration::from_millis(50);

/// How often it is looked whether a sink has come as far as is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The usual size of a segment: read in a moment when a process begins.
pub const SEGMENT_BYTES: u64 = 16 << 20;

/// How the spool is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    pub path: PathBuf,
    pub durability: Durability,
    /// The most bytes of all segments together. Admissions stop there.
    pub bytes_max: u64,
    /// A segment is ended when it has grown so large.
    pub segment_bytes: u64,
    /// Whose relays read it: a segment stays until all of them have. Each is to
    /// be given a [`Spool::reader`].
    pub sinks: Vec<&'static str>,
}

/// When an intent is safe enough to let its call through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// On disk: it survives a power cut.
    #[default]
    Strict,
    /// Written: it survives the death of the process; a power cut may take the
    /// last [`SYNC_EVERY`].
    Relaxed,
}

/// Why something is not in the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
    #[error("{path}: another process writes to it")]
    Locked { path: PathBuf },
    #[error("can't start the spool's thread: {0}")]
    Thread(io::Error),
    #[error("{bytes} bytes are more than the {BODY_BYTES_MAX} of a record")]
    TooLong { bytes: usize },
    #[error("the disk can't keep up")]
    Slow,
    #[error("the spool is full: its sinks are behind, or the disk has no room")]
    Full,
    #[error("a sync of the spool failed; what is on disk isn't known any more")]
    Failed,
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
        let path = path.to_owned();
        move |cause| SpoolError::File { path, cause }
    }
}

/// A call that was open when the process before this one died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    pub id: HoldId,
    /// What was given to [`Spool::intent`].
    pub context: Vec<u8>,
}

/// A spool that was just opened.
pub struct Opened {
    pub spool: Spool,
    /// Still open in it: each needs [`Spool::outcome`] or [`Spool::drop_intent`].
    pub interrupted: Vec<Interrupted>,
    /// Bytes that could not be read and were acknowledged, or may have been; now in
    /// `quarantine`, where there is anything left of them.
    pub lost_bytes: u64,
}

/// The writer's handle. Dropped without [`Spool::close`], what is queued is
/// still written, but nobody waits for it.
#[derive(Debug)]
pub struct Spool {
    queue: Arc<Queue>,
    path: PathBuf,
    chain: ChainId,
    durability: Durability,
}

impl Spool {
    /// Opens or makes the spool and tells what was left open in it. Reads and
    /// writes files: call it before serving. `random` names a chain that begins
    /// here. `tell` hears of each change of health, from the spool's thread.
    ///
    /// # Errors
    /// [`SpoolError::File`], [`SpoolError::Locked`], [`SpoolError::Thread`].
    pub fn open(
        config: &SpoolConfig,
        random: ChainId,
        tell: Box<dyn Fn(Health) + Send>,
    ) -> Result<Opened, SpoolError> {
        let recovered = recovery::recover(&config.path, random)?;
        let queue = Arc::new(Queue::default());
        let spool = Spool {
            queue: Arc::clone(&queue),
            path: config.path.clone(),
            chain: recovered.chain.id,
            durability: config.durability,
        };
        let interrupted = recovered.open.iter().map(|(id, context)| Interrupted {
            id: *id,
            context: context.to_vec(),
        });
        let (interrupted, lost_bytes) = (interrupted.collect(), recovered.lost_bytes);
        Writer::start(config, recovered, queue, tell)?;
        Ok(Opened {
            spool,
            interrupted,
            lost_bytes,
        })
    }

    /// The chain of the rows that are written here.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Notes a call before it is let through; returns when that is as safe as
    /// `durability` says. Dropped while waiting, it may be noted or not.
    ///
    /// # Errors
    /// [`SpoolError::Slow`] after [`WAIT_MAX`], [`SpoolError::Full`],
    /// [`SpoolError::Failed`], [`SpoolError::Closed`], [`SpoolError::TooLong`].
    /// The call must not be let through; its intent may still be there, and is to
    /// be dropped.
    pub async fn intent(&self, id: HoldId, context: &[u8]) -> Result<(), SpoolError> {
        bounded(context.len())?;
        let entry = Entry::Intent { id, context };
        self.queue
            .push_and_wait(&entry, self.durability == Durability::Strict)
            .await
    }

    /// Writes a call's row, and ends its intent. Waits only while the queue is
    /// full, for as long as the disk takes.
    ///
    /// # Errors
    /// [`SpoolError::Failed`], [`SpoolError::Closed`], [`SpoolError::TooLong`].
    pub async fn outcome(&self, event: &UsageEvent) -> Result<(), SpoolError> {
        let message = wire::encode_event(event);
        bounded(message.len())?;
        let entry = Entry::Outcome {
            id: event.id,
            message: &message,
        };
        self.queue.push(&entry).await
    }

    /// Writes the row of a call that was refused, if there is room for it now, and
    /// ends its intent, if it has one. Never waits: there is no end to the calls
    /// that may be refused while the disk takes nothing, and nothing is billed for
    /// them.
    ///
    /// # Errors
    /// [`SpoolError::Slow`] where the row is not written, and as
    /// [`Spool::outcome`].
    pub fn refused(&self, event: &UsageEvent) -> Result<(), SpoolError> {
        let message = wire::encode_event(event);
        bounded(message.len())?;
        let entry = Entry::Outcome {
            id: event.id,
            message: &message,
        };
        if self.queue.push_now(&entry)? {
            return Ok(());
        }
        self.queue.push_now(&Entry::Dropped { id: event.id })?;
        Err(SpoolError::Slow)
    }

    /// Ends an intent whose row is another's to write.
    ///
    /// # Errors
    /// As [`Spool::outcome`].
    pub async fn drop_intent(&self, id: HoldId) -> Result<(), SpoolError> {
        self.queue.push(&Entry::Dropped { id }).await
    }

    /// The same, and returns once that is written: whoever is killed then doesn't find
    /// it open.
    ///
    /// # Errors
    /// [`SpoolError::Slow`] after [`WAIT_MAX`], and as [`Spool::outcome`].
    pub async fn end_intent(&self, id: HoldId) -> Result<(), SpoolError> {
        self.queue
            .push_and_wait(&Entry::Dropped { id }, false)
            .await
    }

    /// Returns once all that was pushed before is on disk.
    ///
    /// # Errors
    /// [`SpoolError::Failed`], [`SpoolError::Closed`].
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.queue.flushed().await
    }

    /// Waits until a sink has all that was pushed before; false where it has not
    /// within `wait`.
    pub async fn delivered(&self, sink: &'static str, wait: Duration) -> bool {
        let delivered = async {
            if self.flush().await.is_err() {
                return false;
            }
            let upto = self.queue.synced_upto();
            while !self.queue.has_come(sink, upto) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            true
        };
        tokio::time::timeout(wait, delivered).await.unwrap_or(false)
    }

    /// Takes nothing more, and returns once all is on disk, with what had waited for
    /// room by then.
    ///
    /// # Errors
    /// [`SpoolError::Failed`], and [`SpoolError::Slow`] where the disk didn't take
    /// it within `wait`.
    pub async fn close(&self, wait: Duration) -> Result<(), SpoolError> {
        self.queue.close();
        match tokio::time::timeout(wait, self.queue.ended()).await {
            Ok(ended) => ended,
            Err(_) => Err(SpoolError::Slow),
        }
    }

    /// How large it is, for whoever watches it; the spool may be closed meanwhile.
    pub fn size(&self) -> Size {
        Size::of(&self.queue)
    }

    /// A relay's way through the rows, from where it last was.
    ///
    /// # Errors
    /// [`SpoolError::File`].
    pub fn reader(&self, sink: &'static str) -> Result<Reader, SpoolError> {
        Reader::open(&self.path, sink, Arc::clone(&self.queue))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn bounded(bytes: usize) -> Result<(), SpoolError> {
    if bytes > BODY_BYTES_MAX {
        return Err(SpoolError::TooLong { bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
