//! What every place that rows go to promises: SQLite, PostgreSQL, a file, a
//! collector.
//!
//! A relay offers rows in the order of their chain, a batch at a time, again and
//! again until they are delivered; only then does its position in the spool
//! move. So a sink sees a batch, or a part of it, more than once after a crash
//! or a lost answer, and must count each row once (by its event's id), or pass
//! the id on as a key by which its receiver can.

use super::row::Row;

/// The most rows of a batch: some megabytes. More would share a commit and the
/// rollups' rows among more of them, but offer more again after a failure.
pub const BATCH_ROWS_MAX: usize = 4_096;

/// The most rows that a sink has and may be offered again: a batch whose
/// acknowledgement was lost, and after a power cut, what was acknowledged since a
/// relay's position was last synced.
pub const OFFERED_AGAIN_ROWS_MAX: usize = 4 * BATCH_ROWS_MAX;

/// Takes rows in.
pub trait Sink: Send {
    /// Its word in configuration, logs and metrics: `sqlite`, `postgres`, ...
    fn name(&self) -> &'static str;

    /// Takes all of them in, or none, or of a receiver that answers row by row,
    /// some. When it returns `Ok`, all are safe there.
    ///
    /// # Errors
    /// [`SinkError::Away`]: offer the same again later.
    /// [`SinkError::Poison`]: one row will never be taken; the others may be.
    fn deliver(&mut self, rows: &[Row]) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Sets a row aside that will never be taken, where it is kept for people to
    /// look at, so that the others move on.
    ///
    /// # Errors
    /// [`SinkError::Away`]: try again later.
    fn set_aside(
        &mut self,
        row: &Row,
        why: &str,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Why rows weren't taken. Holds no address with a credential in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It can't be reached, is full, or refuses everything.
    #[error("{0}")]
    Away(String),
    /// It refuses one row for what it is.
    #[error("row {index} of the batch is refused: {why}")]
    Poison { index: usize, why: String },
}
