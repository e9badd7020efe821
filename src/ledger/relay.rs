//! Carries rows from the spool to one sink, in order, until it has them.
//!
//! Always holds: the position moves only once the sink has taken what is before
//! it, so a crash anywhere loses nothing; what is offered twice the sink takes
//! once. A row that it will never take is set aside, and the others move on. A
//! sink that is away is asked again for as long as it takes; others don't wait
//! for it.

use super::faults::die;
use super::row::Row;
use super::sink::{BATCH_ROWS_MAX, Sink, SinkError};
use super::spool::{Position, Reader, Relayed, SpoolError};
use crate::units::UnixMillis;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The pause before a sink that is away is asked again; it doubles up to the
/// longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// After so long without rows none waits.
const QUIET: Duration = Duration::from_millis(100);

/// What is told of a relay, for metrics and logs.
pub trait Watch: Send + Sync {
    /// Rows that the sink has taken.
    fn delivered(&self, sink: &'static str, rows: usize);

    /// When the call of the oldest row ended that the sink was offered and has not
    /// taken; `None` where none waits. Told at each batch.
    fn offered(&self, sink: &'static str, oldest: Option<UnixMillis>);

    /// A row was set aside.
    fn set_aside(&self, sink: &'static str);

    /// The sink is away, or is there again (`None`). Told at each change.
    fn away(&self, sink: &'static str, why: Option<&str>);
}

/// One sink's way through the spool.
pub struct Relay<S> {
    reader: Reader,
    sink: S,
    watch: Arc<dyn Watch>,
    stop: CancellationToken,
    away: bool,
}

/// What is to be done with rows of a batch.
enum Work {
    Deliver(Vec<Row>),
    SetAside(Box<Row>, String),
}

impl<S: Sink> Relay<S> {
    /// `stop` ends it wherever it is; it also ends when the spool is closed and
    /// all is delivered.
    pub fn new(reader: Reader, sink: S, watch: Arc<dyn Watch>, stop: CancellationToken) -> Self {
        Self {
            reader,
            sink,
            watch,
            stop,
            away: false,
        }
    }

    /// Runs to the end. Reading may block its thread for a moment: see
    /// [`Reader::next`].
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.deliver_all()).await;
    }

    async fn deliver_all(&mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.next().await {
                Ok(Some(relayed)) => {
                    self.deliver(relayed).await;
                    pause = PAUSE_MIN;
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, sink = self.sink.name(), "the spool can't be read; it is tried again");
                    pause = rest(pause).await;
                }
            }
        }
    }

    /// The next rows; that none waits is told once none has come for a moment.
    async fn next(&mut self) -> Result<Option<Relayed>, SpoolError> {
        let next = tokio::time::timeout(QUIET, self.reader.next(BATCH_ROWS_MAX)).await;
        let relayed = match next {
            Ok(relayed) => relayed?,
            Err(_) => {
                self.watch.offered(self.sink.name(), None);
                self.reader.next(BATCH_ROWS_MAX).await?
            }
        };
        if let Some(Relayed { rows, .. }) = &relayed {
            let oldest = rows.iter().map(|row| row.event.ended_at_ms).min();
            self.watch.offered(self.sink.name(), oldest);
        }
        Ok(relayed)
    }

    /// Returns when all rows are taken or set aside, in their order: what a sink
    /// has is the beginning of the chain at any time.
    async fn deliver(&mut self, relayed: Relayed) {
        let Relayed { rows, upto } = relayed;
        let mut pause = PAUSE_MIN;
        // The last is the next.
        let mut work = vec![Work::Deliver(rows)];
        while let Some(next) = work.pop() {
            let mut rows = match next {
                Work::Deliver(rows) if rows.is_empty() => continue,
                Work::Deliver(rows) => rows,
                Work::SetAside(row, why) => {
                    self.set_aside(&row, &why).await;
                    continue;
                }
            };
            match self.sink.deliver(&rows).await {
                Ok(()) => {
                    self.watch.delivered(self.sink.name(), rows.len());
                    self.there();
                    pause = PAUSE_MIN;
                }
                Err(SinkError::Poison { index, why }) if index < rows.len() => {
                    self.there();
                    let mut behind = rows.split_off(index);
                    let row = Box::new(behind.remove(0));
                    work.push(Work::Deliver(behind));
                    work.push(Work::SetAside(row, why));
                    work.push(Work::Deliver(rows));
                }
                Err(error) => {
                    self.gone(&error);
                    pause = rest(pause).await;
                    work.push(Work::Deliver(rows));
                }
            }
        }
        die("die::delivered");
        self.commit(upto);
        die("die::committed");
    }

    async fn set_aside(&mut self, row: &Row, why: &str) {
        let (sink, id) = (self.sink.name(), row.event.id);
        tracing::error!(sink, %id, why, "a row of the ledger is set aside");
        let mut pause = PAUSE_MIN;
        while let Err(error) = self.sink.set_aside(row, why).await {
            self.gone(&error);
            pause = rest(pause).await;
        }
        die("die::aside");
        self.watch.set_aside(sink);
    }

    fn commit(&mut self, upto: Position) {
        if let Err(error) = self.reader.commit(upto) {
            let sink = self.sink.name();
            tracing::warn!(%error, sink, "a relay's position can't be kept; rows may be offered again");
        }
    }

    fn gone(&mut self, error: &SinkError) {
        let sink = self.sink.name();
        if !self.away {
            tracing::warn!(%error, sink, "a sink of the ledger is away; its rows wait in the spool");
            self.watch.away(sink, Some(&error.to_string()));
        }
        self.away = true;
    }

    fn there(&mut self) {
        if std::mem::take(&mut self.away) {
            let sink = self.sink.name();
            tracing::info!(sink, "a sink of the ledger is there again");
            self.watch.away(sink, None);
        }
    }
}

/// Waits, and says how long to wait the next time.
async fn rest(pause: Duration) -> Duration {
    tokio::time::sleep(pause).await;
    (pause * 2).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests;
