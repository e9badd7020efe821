//! A relay's way through the rows, segment by segment, up to what is synced.

use super::SpoolError;
use super::frame::{self, At, Kind, LONGEST};
use super::position::{self, Position};
use super::queue::{Queue, Synced};
use super::recovery::{aside, set_aside};
use super::segment::{self, HEADER_BYTES};
use crate::ledger::row::Row;
use crate::ledger::wire;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Read at a time: more than the longest record.
const CHUNK_BYTES: usize = 1 << 20;

/// About what a call takes in the spool: its intent and its outcome.
const OUTCOME_BYTES: usize = 1024;

const _: () = assert!(CHUNK_BYTES > LONGEST + frame::HEAD_BYTES);

/// Reads rows for one sink.
#[derive(Debug)]
pub struct Reader {
    spool: PathBuf,
    sink: &'static str,
    queue: Arc<Queue>,
    synced: watch::Receiver<Synced>,
    at: Position,
    /// Rows were given that the sink may not have taken yet.
    uncommitted: bool,
    /// Rows that were given since a position was synced.
    unsynced_rows: usize,
    /// Where what is no record begins, while it is read past.
    damaged_from: Option<u64>,
    file: Option<File>,
}

/// Rows to deliver, and where they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    pub rows: Vec<Row>,
    pub upto: Position,
}

impl Reader {
    pub(super) fn open(
        spool: &Path,
        sink: &'static str,
        queue: Arc<Queue>,
    ) -> Result<Self, SpoolError> {
        let first = segment::list_from(spool, 0)?.unwrap_or(1);
        let mut at = position::read(spool, sink);
        if at.segment < first {
            at = Position {
                segment: first,
                offset: 0,
            };
        }
        queue.moved(sink, at);
        Ok(Self {
            spool: spool.to_owned(),
            sink,
            synced: queue.subscribe(),
            queue,
            at,
            uncommitted: false,
            // What the process before this one left unsynced isn't known.
            unsynced_rows: position::SYNCED_ROWS,
            damaged_from: None,
            file: None,
        })
    }

    /// The next rows, at most so many; waits until there are some. `None` when the
    /// spool is closed and all is read. Blocks while it reads, from pages that
    /// were written a moment ago mostly; not for a runtime that serves calls.
    /// Dropped while waiting, nothing is lost.
    ///
    /// # Errors
    /// [`SpoolError::File`]; the same is read again then.
    pub async fn next(&mut self, rows_max: usize) -> Result<Option<Relayed>, SpoolError> {
        loop {
            let synced = *self.synced.borrow_and_update();
            let begun = self.at;
            let rows = self.read(synced.upto, rows_max).inspect_err(|_| {
                // What was read on the way there is handed to nobody.
                (self.at, self.file, self.damaged_from) = (begun, None, None);
            });
            let rows = rows?;
            if rows.is_empty() && !self.uncommitted {
                // What was read since is of no concern to the sink.
                self.queue.moved(self.sink, self.at);
            }
            if !rows.is_empty() {
                self.uncommitted = true;
                self.unsynced_rows = self.unsynced_rows.saturating_add(rows.len());
                let upto = self.at;
                return Ok(Some(Relayed { rows, upto }));
            }
            if synced.ended || self.synced.changed().await.is_err() {
                // The end may have come with the last rows.
                let last = self.synced.borrow().upto;
                if last == synced.upto {
                    return Ok(None);
                }
            }
        }
    }

    /// The sink has taken all before this place.
    ///
    /// # Errors
    /// [`SpoolError::File`]: the position is kept in memory; rows would be offered
    /// again after a restart.
    pub fn commit(&mut self, upto: Position) -> Result<(), SpoolError> {
        self.uncommitted = upto < self.at;
        self.queue.moved(self.sink, upto);
        position::write(&self.spool, self.sink, upto)?;
        if self.unsynced_rows >= position::SYNCED_ROWS {
            position::write_synced(&self.spool, self.sink, upto)?;
            self.unsynced_rows = 0;
        }
        Ok(())
    }

    /// How many bytes there are still to read of the segment being written; more
    /// where older ones are unread.
    pub fn behind(&self) -> Position {
        let upto = self.synced.borrow().upto;
        Position {
            segment: upto.segment.saturating_sub(self.at.segment),
            offset: upto.offset.saturating_sub(self.at.offset),
        }
    }

    fn read(&mut self, upto: Position, rows_max: usize) -> Result<Vec<Row>, SpoolError> {
        let mut rows = Vec::new();
        while rows.len() < rows_max && self.at < upto {
            let limit = (self.at.segment == upto.segment).then_some(upto.offset);
            let more = match self.chunk(limit)? {
                Some(chunk) => self.take(&chunk, rows_max, &mut rows),
                None => false,
            };
            if more {
                continue;
            }
            if limit.is_some() {
                break;
            }
            self.next_segment(upto)?;
        }
        Ok(rows)
    }

    /// The next bytes before the limit, or the file's end; `None` where there is
    /// no such file.
    fn chunk(&mut self, limit: Option<u64>) -> Result<Option<Vec<u8>>, SpoolError> {
        let path = segment::path(&self.spool, self.at.segment);
        if self.file.is_none() {
            match File::open(&path) {
                Ok(file) => self.file = Some(file),
                // Gone before this sink was.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(SpoolError::file(&path)(error)),
            }
            let header = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
            self.at.offset = self.at.offset.max(header);
        }
        let most = limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.at.offset));
        let most = usize::try_from(most).map_or(CHUNK_BYTES, |most| most.min(CHUNK_BYTES));
        let mut chunk = vec![0; most];
        let mut filled = 0;
        while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty())
            && let Some(file) = &self.file
        {
            let offset = self.at.offset + u64::try_from(filled).unwrap_or(0);
            match file.read_at(rest, offset) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SpoolError::file(&path)(error)),
            }
        }
        chunk.truncate(filled);
        Ok(Some(chunk))
    }

    /// Takes the rows of a chunk; false where nothing more is to be had of its
    /// segment now.
    fn take(&mut self, chunk: &[u8], rows_max: usize, rows: &mut Vec<Row>) -> bool {
        let mut rest = chunk;
        let last = chunk.len() < CHUNK_BYTES;
        // A row is large to move, as it would be each time that the list grows.
        let room = (chunk.len() / OUTCOME_BYTES).min(rows_max.saturating_sub(rows.len()));
        rows.reserve(room);
        while rows.len() < rows_max {
            let bytes = match frame::look(rest) {
                At::Frame(frame) => {
                    self.keep_damaged();
                    if frame.kind == Kind::Outcome {
                        rows.extend(self.row(frame.body));
                    }
                    frame.bytes()
                }
                At::Short if rest.is_empty() => return !last,
                // The rest of it is in the next chunk.
                At::Short if !last && rest.len() < chunk.len() => return true,
                // The next record is somewhere behind.
                At::Short | At::Bad => {
                    self.damaged_from.get_or_insert(self.at.offset);
                    1
                }
            };
            rest = rest.get(bytes..).unwrap_or_default();
            self.at.offset += u64::try_from(bytes).unwrap_or(0);
        }
        true
    }

    /// Sets aside what was no record up to here, unless recovery has: a segment may
    /// be damaged when it is no longer the newest.
    fn keep_damaged(&mut self) {
        let Some(from) = self.damaged_from.take() else {
            return;
        };
        let (segment, upto) = (self.at.segment, self.at.offset);
        let at = usize::try_from(from).unwrap_or(usize::MAX);
        let bytes = usize::try_from(upto.saturating_sub(from)).unwrap_or(0);
        let Some(file) = &self.file else { return };
        if aside(&self.spool, segment, at).exists() {
            return;
        }
        let mut damaged = vec![0; bytes];
        let kept = file.read_exact_at(&mut damaged, from);
        let kept = kept.is_ok() && set_aside(&self.spool, segment, at, &damaged).is_ok();
        tracing::error!(
            segment,
            from,
            bytes,
            kept,
            "the disk lost records of the spool that were safe; what is there is set aside"
        );
    }

    fn row(&self, body: &[u8]) -> Option<Row> {
        let row = wire::decode(body);
        row.inspect_err(|error| {
            let (segment, offset) = (self.at.segment, self.at.offset);
            // Its segment goes when all have read it.
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            let aside = set_aside(&self.spool, segment, at, body);
            let aside = aside.inspect_err(|error| tracing::error!(%error, "a record can't be set aside"));
            tracing::error!(%error, segment, offset, kept = aside.is_ok(), "a record of the spool can't be read; it is set aside");
        })
        .ok()
    }

    /// Goes on to the next segment that there is.
    fn next_segment(&mut self, upto: Position) -> Result<(), SpoolError> {
        self.keep_damaged();
        let later = segment::list_from(&self.spool, self.at.segment + 1)?;
        let next = later.unwrap_or(upto.segment).min(upto.segment);
        self.file = None;
        self.at = Position {
            segment: next,
            offset: 0,
        };
        Ok(())
    }
}
