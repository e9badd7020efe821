//! How far a relay has come, kept beside the segments.
//!
//! A file of one line, put in place whole. It isn't synced: one that is lost or
//! old makes its relay offer rows again, which sinks take once.

use super::SpoolError;
use crate::ledger::faults::die;
use std::fs;
use std::path::{Path, PathBuf};

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
    let text = fs::read_to_string(folder(spool).join(sink)).unwrap_or_default();
    parse(&text).unwrap_or_default()
}

/// The last segment that any position is in, of sinks that are no more too; 0
/// where there is none.
pub(super) fn furthest(spool: &Path) -> Result<u64, SpoolError> {
    let folder = folder(spool);
    let entries = fs::read_dir(&folder).map_err(SpoolError::file(&folder))?;
    let mut furthest = 0;
    for entry in entries {
        let entry = entry.map_err(SpoolError::file(&folder))?;
        let position = read(spool, &entry.file_name().to_string_lossy());
        furthest = furthest.max(position.segment);
    }
    Ok(furthest)
}

pub(super) fn write(spool: &Path, sink: &str, position: Position) -> Result<(), SpoolError> {
    let path = folder(spool).join(sink);
    let new_path = path.with_extension("new");
    let text = format!("{:016x} {}\n", position.segment, position.offset);
    fs::write(&new_path, text)
        .and_then(|()| {
            die("die::position");
            fs::rename(&new_path, &path)
        })
        .map_err(SpoolError::file(&path))
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
}
