//! How far a relay has come, kept beside the segments.
//!
//! A file of one line, put in place whole. It isn't synced, which would cost as
//! much as the batch that it stands behind: one that a power cut took, or left
//! old, makes its relay offer rows again, which sinks take once. So that these
//! are never more than a sink can know by itself, a second file is synced every
//! [`SYNCED_ROWS`]; the further of the two counts.

use super::SpoolError;
use crate::ledger::faults::die;
use crate::ledger::sink::{BATCH_ROWS_MAX, OFFERED_AGAIN_ROWS_MAX};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// After so many rows a position is synced. Two batches may come on top: one that
/// was delivered as it became due, one that a process delivered and died.
pub(super) const SYNCED_ROWS: usize = OFFERED_AGAIN_ROWS_MAX - 2 * BATCH_ROWS_MAX;

/// Behind the name of a position that is synced.
const SYNCED: &str = "synced";

/// The place behind the last row that a sink has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The segment's number; 0 before any.
    pub segment: u64,
    pub offset: u64,
}

pub(super) fn folder(spool: &Path) -> PathBuf {
    spool.join("positions")
}

/// Where a sink has come to; the beginning where that isn't known.
pub(super) fn read(spool: &Path, sink: &str) -> Position {
    let path = folder(spool).join(sink);
    let synced = path.with_extension(SYNCED);
    read_file(&path).max(read_file(&synced))
}

/// The sinks that have a position, by their files' names.
pub(super) fn sink_of(name: &str) -> Option<&str> {
    let sink = name.strip_suffix(".synced").unwrap_or(name);
    (!sink.contains('.')).then_some(sink)
}

/// The furthest of all positions, of sinks that are no more too; the beginning
/// where there is none.
pub(super) fn furthest(spool: &Path) -> Result<Position, SpoolError> {
    let folder = folder(spool);
    let entries = fs::read_dir(&folder).map_err(SpoolError::file(&folder))?;
    let mut furthest = Position::default();
    for entry in entries {
        let entry = entry.map_err(SpoolError::file(&folder))?;
        furthest = furthest.max(read_file(&entry.path()));
    }
    Ok(furthest)
}

/// Survives the death of the process.
pub(super) fn write(spool: &Path, sink: &str, position: Position) -> Result<(), SpoolError> {
    let path = folder(spool).join(sink);
    let new_path = path.with_extension("new");
    fs::write(&new_path, line(position))
        .and_then(|()| {
            die("die::position");
            fs::rename(&new_path, &path)
        })
        .map_err(SpoolError::file(&path))
}

/// Survives a power cut.
pub(super) fn write_synced(spool: &Path, sink: &str, position: Position) -> Result<(), SpoolError> {
    let folder = folder(spool);
    let path = folder.join(sink).with_extension(SYNCED);
    let new_path = path.with_extension("new");
    let written = || -> io::Result<()> {
        let mut file = File::create(&new_path)?;
        file.write_all(line(position).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new_path, &path)?;
        File::open(&folder)?.sync_all()
    };
    written().map_err(SpoolError::file(&path))
}

fn read_file(path: &Path) -> Position {
    let text = fs::read_to_string(path).unwrap_or_default();
    parse(&text).unwrap_or_default()
}

fn line(position: Position) -> String {
    format!("{:016x} {}\n", position.segment, position.offset)
}

fn parse(text: &str) -> Option<Position> {
    let (segment, offset) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(Position {
        segment: u64::from_str_radix(segment, 16).ok()?,
        offset: offset.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_anything_else_is_the_beginning() {
        let spool = tempfile::tempdir().unwrap();
        fs::create_dir(folder(spool.path())).unwrap();
        let position = Position {
            segment: 0x1f,
            offset: 99,
        };
        write(spool.path(), "sqlite", position).unwrap();
        assert_eq!(read(spool.path(), "sqlite"), position);
        assert_eq!(read(spool.path(), "postgres"), Position::default());
        for text in ["", "1f 9", "x 9\n", "1f -9\n", "1f9\n"] {
            fs::write(folder(spool.path()).join("sqlite"), text).unwrap();
            assert_eq!(read(spool.path(), "sqlite"), Position::default(), "{text}");
        }
    }

    /// A power cut may leave the one that isn't synced old, or empty.
    #[test]
    fn the_further_of_two_positions_counts() {
        let spool = tempfile::tempdir().unwrap();
        fs::create_dir(folder(spool.path())).unwrap();
        let at = |offset| Position { segment: 3, offset };
        let path = folder(spool.path()).join("file");
        write(spool.path(), "file", at(900)).unwrap();
        write_synced(spool.path(), "file", at(500)).unwrap();
        assert_eq!(read(spool.path(), "file"), at(900));
        fs::write(&path, "").unwrap();
        assert_eq!(read(spool.path(), "file"), at(500));
        write(spool.path(), "file", at(400)).unwrap();
        assert_eq!(read(spool.path(), "file"), at(500));
        assert_eq!(furthest(spool.path()).unwrap(), at(500));
        assert_eq!(sink_of("file"), Some("file"));
        assert_eq!(sink_of("file.synced"), Some("file"));
        assert_eq!(sink_of("file.new"), None);
    }
}
