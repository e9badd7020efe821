//! The thread that writes: one write and one sync for all who wait.

use super::batch::{Batch, Entry, Standing};
use super::frame::{self, Kind};
use super::queue::Queue;
use super::recovery::Recovered;
use super::segment::{self, BeginError, Chain, Open};
use super::{Position, SYNC_EVERY, SpoolConfig, SpoolError};
use crate::ledger::faults::{self, die};
use crate::ledger::row::{Link, chained};
use crate::ledger::wire;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two attempts at a write that fails.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long it is tried once the spool is closed: relays may make room.
const CLOSED_RETRY_MAX: Duration = Duration::from_secs(2);

/// How long the thread sleeps when there is nothing to write or sync.
const IDLE: Duration = Duration::from_secs(1);

/// How the spool is, for readiness and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Well,
    /// The disk takes nothing; it is asked again.
    NoRoom(String),
    /// The segments have come to their bound, as a sink is behind.
    Behind {
        bytes: u64,
    },
    /// A sync failed. The process must end.
    Failed(String),
}

pub(super) struct Writer {
    queue: Arc<Queue>,
    config: SpoolConfig,
    tell: Box<dyn Fn(Health) + Send>,
    health: Health,
    /// Keeps other processes out.
    lock: File,
    chain: Chain,
    open: Open,
    /// The sealed segments, with their sizes.
    sealed: BTreeMap<u64, u64>,
    file: File,
    number: u64,
    len: u64,
    /// How much of it is synced, and how much it says so of.
    synced: u64,
    marked: u64,
    dirty_since: Option<Instant>,
    /// Where the next try to end the segment is.
    end_at: u64,
    out: Vec<u8>,
}

/// A sync failed: what is on disk isn't known any more.
struct SyncFailed;

impl Writer {
    /// Begins a segment behind what was found, and starts the thread. It ends when
    /// the queue is closed and empty, or after a sync that failed.
    pub(super) fn start(
        config: &SpoolConfig,
        recovered: Recovered,
        queue: Arc<Queue>,
        tell: Box<dyn Fn(Health) + Send>,
    ) -> Result<(), SpoolError> {
        let mut writer = Self::new(config, recovered, queue, tell)?;
        writer.tidy();
        std::thread::Builder::new()
            .name("weir-spool".to_owned())
            .spawn(move || writer.run())
            .map(drop)
            .map_err(SpoolError::Thread)
    }

    fn new(
        config: &SpoolConfig,
        recovered: Recovered,
        queue: Arc<Queue>,
        tell: Box<dyn Fn(Health) + Send>,
    ) -> Result<Self, SpoolError> {
        let Recovered {
            lock,
            chain,
            open,
            segments: sealed,
            next: number,
            ..
        } = recovered;
        let path = segment::path(&config.path, number);
        let begun = segment::begin(&config.path, number, &chain, &open);
        let begun = begun.map_err(BeginError::into_io);
        let (file, len) = begun.map_err(SpoolError::file(&path))?;
        die("die::begun");
        let writer = Writer {
            queue,
            config: config.clone(),
            tell,
            health: Health::Well,
            lock,
            chain,
            open,
            sealed,
            file,
            number,
            len,
            synced: len,
            marked: len,
            dirty_since: None,
            end_at: len.max(config.segment_bytes),
            out: Vec::new(),
        };
        writer.publish();
        Ok(writer)
    }

    fn run(mut self) {
        let standing = self.write_until_closed();
        let standing = standing.unwrap_or(Standing::Failed);
        let queue = Arc::clone(&self.queue);
        // Whoever hears of the end may open the spool, which is locked.
        drop((self.lock, self.file));
        queue.end(standing);
    }

    /// Full where the disk didn't take the last of it.
    fn write_until_closed(&mut self) -> Result<Standing, SyncFailed> {
        let mut spare = Batch::default();
        while let Some(mut batch) = self.queue.take(std::mem::take(&mut spare), self.patience()) {
            let written = self.write(&mut batch);
            let over = self
                .dirty_since
                .is_some_and(|since| since.elapsed() >= SYNC_EVERY);
            if batch.wants_sync() || over {
                if let Err(failed) = self.sync() {
                    batch.answer(Standing::Failed, true);
                    return Err(failed);
                }
                die("die::synced");
                batch.answer(Standing::Well, true);
            }
            if !written {
                return self.sync().map(|()| Standing::Full);
            }
            if batch.is_empty() {
                self.mark()?;
            }
            if self.len >= self.end_at {
                self.end_segment()?;
            }
            self.tidy();
            batch.clear();
            spare = batch;
        }
        self.sync()?;
        self.mark()?;
        Ok(Standing::Well)
    }

    /// How long to wait for work: no longer than what is written may be unsynced.
    fn patience(&self) -> Duration {
        self.dirty_since
            .map_or(IDLE, |since| SYNC_EVERY.saturating_sub(since.elapsed()))
    }

    /// Writes a batch, trying again from the byte where a write stopped, so that
    /// no record is torn or written twice. Meanwhile no call is admitted. False
    /// where the spool is closed and the disk refuses for [`CLOSED_RETRY_MAX`] more:
    /// what isn't written is open when the next process begins.
    fn write(&mut self, batch: &mut Batch) -> bool {
        if batch.is_empty() {
            return true;
        }
        self.frame(batch);
        if self.out.is_empty() {
            batch.answer(Standing::Well, false);
            return true;
        }
        let out = std::mem::take(&mut self.out);
        let mut rest = out.as_slice();
        let mut closed_since = None;
        while !rest.is_empty() {
            match segment::append(&mut self.file, rest) {
                Ok(written) if written > 0 => {
                    rest = rest.get(written..).unwrap_or_default();
                    self.len += u64::try_from(written).unwrap_or(u64::MAX);
                    self.dirty_since.get_or_insert_with(now);
                    continue;
                }
                Ok(_) => self.no_room(batch, &io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.no_room(batch, &error),
            }
            // The room may be what relays have read.
            self.remove_read();
            if self.queue.pause(RETRY_PAUSE, closed_since.is_some())
                && closed_since.get_or_insert_with(now).elapsed() >= CLOSED_RETRY_MAX
            {
                return false;
            }
        }
        self.out = out;
        self.out.clear();
        die("die::written");
        batch.answer(Standing::Well, false);
        true
    }

    /// The batch as records, and what is open and chained after it.
    fn frame(&mut self, batch: &Batch) {
        let Self {
            out, chain, open, ..
        } = self;
        // The rest of a mark that the disk took a part of, mostly nothing.
        let begun = out.len();
        let marks = self.marked < self.synced;
        if marks {
            frame::put(Kind::Synced, &[&self.synced.to_le_bytes()], out);
        }
        let mark = out.len();
        for entry in batch.entries() {
            match entry {
                Entry::Intent { id, context } => {
                    frame::put(Kind::Intent, &[id.0.as_bytes(), context], out);
                    open.insert(id, context.into());
                }
                Entry::Outcome { id, message } => {
                    chain.sequence += 1;
                    chain.hash = chained(&chain.hash, message);
                    let mut link = Vec::with_capacity(frame::LINK_BYTES);
                    wire::encode_link(&link_of(chain), &mut link);
                    frame::put(Kind::Outcome, &[message, &link], out);
                    open.remove(&id);
                }
                // What has no intent here needs no end.
                Entry::Dropped { id } => {
                    if open.remove(&id).is_some() {
                        frame::put(Kind::Dropped, &[id.0.as_bytes()], out);
                    }
                }
            }
        }
        if out.len() == mark {
            // A mark alone is worth no write.
            out.truncate(begun);
        } else if marks {
            self.marked = self.synced;
        }
    }

    /// Says how much is synced where the next batch, which says it too, may be long
    /// in coming. Until then nobody can tell the last batch from a torn one.
    fn mark(&mut self) -> Result<(), SyncFailed> {
        if self.marked == self.synced || self.dirty_since.is_some() || !self.out.is_empty() {
            return Ok(());
        }
        frame::put(Kind::Synced, &[&self.synced.to_le_bytes()], &mut self.out);
        match segment::append(&mut self.file, &self.out) {
            Ok(written) => {
                self.len += u64::try_from(written).unwrap_or(u64::MAX);
                self.dirty_since.get_or_insert_with(now);
                // A rest of it goes before the next batch.
                self.out.drain(..written.min(self.out.len()));
                self.sync()?;
                self.marked = self.synced;
            }
            // It is worth no second try now.
            Err(_) => self.out.clear(),
        }
        Ok(())
    }

    /// Nobody who waits is let through, nor anybody else for now.
    fn no_room(&mut self, batch: &mut Batch, error: &io::Error) {
        self.queue.refuse();
        batch.answer(Standing::Full, true);
        self.say(Health::NoRoom(error.to_string()));
    }

    fn sync(&mut self) -> Result<(), SyncFailed> {
        if self.dirty_since.take().is_none() {
            return Ok(());
        }
        segment::sync(&self.file).map_err(|error| self.failed(&error))?;
        self.synced = self.len;
        self.publish();
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) -> SyncFailed {
        self.queue.stand(Standing::Failed);
        self.say(Health::Failed(error.to_string()));
        SyncFailed
    }

    /// Relays may read all that is synced.
    fn publish(&self) {
        self.queue.publish(Position {
            segment: self.number,
            offset: self.synced,
        });
    }

    /// Begins the next segment. Where that can't be done now, this one goes on
    /// for a while.
    fn end_segment(&mut self) -> Result<(), SyncFailed> {
        self.sync()?;
        let next = self.number + 1;
        match segment::begin(&self.config.path, next, &self.chain, &self.open) {
            Ok((file, len)) => {
                die("die::segment");
                self.sealed.insert(self.number, self.len);
                self.out.clear();
                (self.file, self.number, self.len) = (file, next, len);
                (self.synced, self.marked) = (len, len);
                // What is open may fill a segment.
                self.end_at = len.saturating_mul(2).max(self.config.segment_bytes);
                self.publish();
            }
            Err(BeginError::Unsynced(error)) => return Err(self.failed(&error)),
            Err(BeginError::NotYet(error)) => {
                tracing::warn!(%error, "the next segment of the spool can't be begun yet");
                self.end_at = self.len + self.config.segment_bytes / 4;
            }
        }
        Ok(())
    }

    /// Removes segments that all relays have read.
    fn remove_read(&mut self) {
        let read = self.queue.last_of(&self.config.sinks).unwrap_or(0);
        while let Some((&number, _)) = self.sealed.first_key_value()
            && number < read
        {
            let path = segment::path(&self.config.path, number);
            match faults::remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %path.display(), "a segment can't be removed");
                    break;
                }
                _ => self.sealed.remove(&number),
            };
            die("die::removed");
        }
    }

    /// Removes what is read, and looks at the bound.
    fn tidy(&mut self) {
        self.remove_read();
        let bytes = self.sealed.values().sum::<u64>() + self.len;
        self.queue.grown(bytes);
        if bytes > self.config.bytes_max {
            self.queue.stand(Standing::Full);
            if !matches!(self.health, Health::Behind { .. }) {
                self.say(Health::Behind { bytes });
            }
        } else if self.health != Health::Well {
            self.queue.stand(Standing::Well);
            self.say(Health::Well);
        }
    }

    fn say(&mut self, health: Health) {
        if self.health != health {
            self.health = health.clone();
            (self.tell)(health);
        }
    }
}

fn link_of(chain: &Chain) -> Link {
    Link {
        chain: chain.id,
        sequence: chain.sequence,
        hash: chain.hash,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "only says how long what is written may be unsynced"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::super::{Durability, position, recovery};
    use super::*;
    use crate::ledger::row::ChainId;
    use crate::limits::HoldId;
    use std::fs::OpenOptions;
    use std::path::Path;

    fn writer(path: &Path, queue: &Arc<Queue>) -> Writer {
        let config = SpoolConfig {
            path: path.to_owned(),
            durability: Durability::Strict,
            bytes_max: 1 << 30,
            segment_bytes: 1 << 20,
            sinks: vec!["test"],
        };
        let recovered = recovery::recover(path, ChainId::from_u128(42)).unwrap();
        Writer::new(&config, recovered, Arc::clone(queue), Box::new(|_| {})).unwrap()
    }

    fn intent(n: u128) -> Entry<'static> {
        Entry::Intent {
            id: HoldId(uuid::Uuid::from_u128(n)),
            context: b"call",
        }
    }

    /// The disk may be full of what a sink that was away has read by now.
    #[test]
    fn what_is_read_is_removed_while_the_disk_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(writer(folder.path(), &Arc::default()));
        let queue = Arc::<Queue>::default();
        let mut writer = writer(folder.path(), &queue);
        writer.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(queue.push_now(&intent(1)).unwrap());
        let thread = std::thread::spawn(move || writer.run());
        let first = segment::path(folder.path(), 1);
        assert!(first.exists());
        let position = Position {
            segment: 2,
            offset: 0,
        };
        position::write(folder.path(), "test", position).unwrap();
        queue.moved("test", position);
        let begun = now();
        while first.exists() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let removed = !first.exists();
        queue.close();
        thread.join().unwrap();
        assert!(removed);
    }

    /// A call that came while a write was failing.
    #[tokio::test]
    async fn a_call_that_waits_is_refused_when_the_disk_takes_nothing() {
        let queue = Queue::default();
        let (entry, refuse) = (intent(1), async { queue.refuse() });
        let waiting = async { tokio::join!(queue.push_and_wait(&entry, true), refuse).0 };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(matches!(waited, Ok(Err(SpoolError::Full))), "{waited:?}");
    }
}
