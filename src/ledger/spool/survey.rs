//! What is in a spool's folder, without taking it: nothing is changed, and a
//! process may write to it meanwhile.

use super::frame::{Kind, Piece, pieces};
use super::segment::{self, HEADER_BYTES, Open};
use super::{Position, SpoolError, position};
use crate::ledger::row::{ChainId, Link};
use crate::ledger::wire;
use crate::limits::HoldId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// A spool as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// The oldest first.
    pub segments: Vec<Segment>,
    /// The last row.
    pub head: Option<Link>,
    /// Calls that are open, or were when the last process died, with what is known
    /// of each ([`super::Interrupted::context`]).
    pub open: BTreeMap<HoldId, Box<[u8]>>,
    pub sinks: Vec<SinkAt>,
    /// Files of bytes that were no records, with their sizes.
    pub quarantined: Vec<(String, u64)>,
}

/// One file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    pub bytes: u64,
    /// `None` where its header can't be read; its rows may be all the same.
    pub chain: Option<ChainId>,
    pub rows: u64,
    /// Of its first row and its last.
    pub sequences: Option<(u64, u64)>,
    /// What is no record; at the end it may be one that is being written.
    pub damaged_bytes: u64,
}

/// How far a sink has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkAt {
    pub name: String,
    pub position: Position,
    /// Rows behind its position.
    pub rows_waiting: u64,
}

/// Reads all of it, a segment at a time.
///
/// # Errors
/// [`SpoolError::File`] where it is no spool or can't be read.
pub fn survey(spool: &Path) -> Result<Survey, SpoolError> {
    let mut found = Survey {
        sinks: sinks(spool)?,
        quarantined: quarantined(spool)?,
        ..Survey::default()
    };
    let numbers = segment::numbers(spool)?;
    let newest = numbers.last().copied();
    for number in numbers {
        let path = segment::path(spool, number);
        let bytes = match fs::read(&path) {
            // All sinks have read it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read.map_err(SpoolError::file(&path))?,
        };
        found.read(number, &bytes, newest == Some(number));
    }
    Ok(found)
}

impl Survey {
    fn read(&mut self, number: u64, bytes: &[u8], newest: bool) {
        let mut read = Segment {
            number,
            bytes: len(bytes.len()),
            chain: segment::read_header(bytes, number).map(|chain| chain.id),
            rows: 0,
            sequences: None,
            damaged_bytes: 0,
        };
        let mut open = Open::new();
        for piece in pieces(bytes, HEADER_BYTES) {
            match piece {
                Piece::Damaged { bytes, .. } => read.damaged_bytes += len(bytes),
                Piece::Frame { at, frame } => {
                    let id = super::recovery::id(frame.body);
                    match (frame.kind, id) {
                        (Kind::Outcome, _) => self.row(&mut read, at, frame.body, &mut open),
                        (Kind::Intent, Some((id, context))) => {
                            open.insert(id, context.into());
                        }
                        (Kind::Dropped, Some((id, _))) => {
                            open.remove(&id);
                        }
                        (Kind::Intent | Kind::Dropped | Kind::Synced, _) => {}
                    }
                }
            }
        }
        if newest {
            self.open = open;
        }
        self.segments.push(read);
    }

    fn row(&mut self, read: &mut Segment, at: usize, body: &[u8], open: &mut Open) {
        let Some((id, link)) = wire::peek(body) else {
            return;
        };
        open.remove(&id);
        read.rows += 1;
        let first = read.sequences.map_or(link.sequence, |(first, _)| first);
        read.sequences = Some((first, link.sequence));
        let here = Position {
            segment: read.number,
            offset: len(at),
        };
        for sink in &mut self.sinks {
            sink.rows_waiting += u64::from(sink.position <= here);
        }
        self.head = Some(link);
    }
}

fn sinks(spool: &Path) -> Result<Vec<SinkAt>, SpoolError> {
    let files = files(&position::folder(spool))?;
    let names = files.iter().filter_map(|(name, _)| position::sink_of(name));
    let names: BTreeSet<&str> = names.collect();
    let sinks = names.into_iter().map(|name| SinkAt {
        position: position::read(spool, name),
        rows_waiting: 0,
        name: name.to_owned(),
    });
    Ok(sinks.collect())
}

fn quarantined(spool: &Path) -> Result<Vec<(String, u64)>, SpoolError> {
    files(&super::recovery::quarantine(spool))
}

/// Names and sizes, by name; none where there is no such folder.
fn files(folder: &Path) -> Result<Vec<(String, u64)>, SpoolError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(SpoolError::file(folder))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(SpoolError::file(folder))?;
        // One that is gone by now was being replaced.
        if let Ok(metadata) = entry.metadata() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

fn len(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
