//! Opening a file of JSON lines to append to, safely.

use super::{LINE_BYTES_MAX, Recorded, UsageLogError};
use crate::limits::HoldId;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open file, and whether it is one that has an end to look at (a pipe or a
/// device has none).
#[derive(Debug)]
pub(super) struct LogFile {
    pub file: File,
    pub regular: bool,
}

pub(super) fn error(path: &Path, source: io::Error) -> UsageLogError {
    UsageLogError::File {
        path: path.to_owned(),
        source,
    }
}

/// Opens or makes the file, keeps other processes from it, and makes sure that
/// it ends with a whole line.
pub(super) fn open(path: &Path) -> Result<LogFile, UsageLogError> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).append(true).create(true).open(path);
    let file = opened.map_err(|source| error(path, source))?;
    let kind = file.metadata().map_err(|source| error(path, source))?;
    let regular = kind.is_file();
    if regular {
        lock(&file, path)?;
        cut_torn_line(&file, path)?;
    }
    Ok(LogFile { file, regular })
}

/// Two processes that append would tear each other's journal, and each would
/// take the other's open calls for interrupted ones.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), UsageLogError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(UsageLogError::Locked {
            path: path.to_owned(),
        }),
        // A file system without locks: nothing can be told.
        Err(TryLockError::Error(source)) if source.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(error(path, source)),
    }
}

/// Cuts a last line that has no end. It was never reported as written. A file
/// that doesn't look like ours is left alone and refused.
fn cut_torn_line(file: &File, path: &Path) -> Result<(), UsageLogError> {
    let not_a_log = || UsageLogError::NotALog {
        path: path.to_owned(),
    };
    let (from, tail) = tail(file, LINE_BYTES_MAX).map_err(|source| error(path, source))?;
    let mut first = [0u8; 1];
    let some = file
        .read_at(&mut first, 0)
        .map_err(|source| error(path, source))?;
    if some > 0 && !starts_like_ours(&first) {
        return Err(not_a_log());
    }
    let torn = match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => tail.get(newline + 1..).unwrap_or_default(),
        // No line is as long as that.
        None if from > 0 => return Err(not_a_log()),
        None => &tail,
    };
    if torn.is_empty() {
        return Ok(());
    }
    if !starts_like_ours(torn) {
        return Err(not_a_log());
    }
    let whole = from + (tail.len() - torn.len()) as u64;
    tracing::warn!(path = %path.display(), bytes = torn.len(), "a torn last line is cut off");
    file.set_len(whole).map_err(|source| error(path, source))
}

/// Our lines are JSON objects; a power cut may leave zeros in their place.
fn starts_like_ours(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'{' | 0))
}

/// The last bytes of a file, at most `bytes_max`, and where they start.
fn tail(file: &File, bytes_max: usize) -> io::Result<(u64, Vec<u8>)> {
    let len = file.metadata()?.len();
    let bytes = usize::try_from(len).map_or(bytes_max, |len| len.min(bytes_max));
    let mut tail = vec![0; bytes];
    let from = len - bytes as u64;
    file.read_exact_at(&mut tail, from)?;
    Ok((from, tail))
}

/// The ids of the events among the file's last `bytes_max` bytes.
pub(super) fn last_ids(events: &LogFile, bytes_max: usize) -> io::Result<Recorded> {
    #[derive(serde::Deserialize)]
    struct Event {
        id: String,
    }
    if !events.regular {
        return Ok(Recorded::new());
    }
    let (_, tail) = tail(&events.file, bytes_max)?;
    // A line that the first byte cuts through is no JSON, or has no such id.
    let lines = tail.split(|byte| *byte == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok());
    Ok(events
        .filter_map(|event| HoldId::parse(&event.id))
        .collect())
}
