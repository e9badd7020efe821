//! Opening a file of JSON lines to append to, safely, and reading its end.

use super::LinesError;
use crate::limits::HoldId;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Read at a time where a line's start is looked for.
const BLOCK_BYTES: usize = 64 * 1024;

/// An open file, and whether it is one that has an end to look at (a pipe or a
/// device has none).
#[derive(Debug)]
pub(super) struct Opened {
    pub file: File,
    pub regular: bool,
}

pub(super) fn error(path: &Path, cause: io::Error) -> LinesError {
    LinesError::File {
        path: path.to_owned(),
        cause,
    }
}

/// Opens or makes the file, keeps other processes from it, and makes sure that
/// it ends with a whole line.
pub(super) fn open(path: &Path, line_bytes_max: usize) -> Result<Opened, LinesError> {
    let mut options = OpenOptions::new();
    let is_new = !path.exists();
    let opened = options.read(true).append(true).create(true).open(path);
    let file = opened.map_err(|source| error(path, source))?;
    let kind = file.metadata().map_err(|source| error(path, source))?;
    let regular = kind.is_file();
    if regular {
        lock(&file, path)?;
        cut_torn_line(&file, path, line_bytes_max)?;
    }
    if regular && is_new {
        sync_folder(path);
    }
    Ok(Opened { file, regular })
}

/// A new file's name is on disk once its folder is. Some file systems can't
/// sync folders, and need it as little.
fn sync_folder(path: &Path) {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    if let Err(error) = synced {
        tracing::debug!(folder = %folder.display(), %error, "the folder is not synced");
    }
}

/// Two processes that append would take lines twice and tear each other's.
fn lock(file: &File, path: &Path) -> Result<(), LinesError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LinesError::Locked {
            path: path.to_owned(),
        }),
        // A file system without locks: nothing can be told.
        Err(TryLockError::Error(source)) if source.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(error(path, source)),
    }
}

/// Cuts a last line that has no end. It was never acknowledged. A file that
/// doesn't look like ours is left alone and refused.
fn cut_torn_line(file: &File, path: &Path, line_bytes_max: usize) -> Result<(), LinesError> {
    let io = |source| error(path, source);
    let not_a_log = || LinesError::NotALog {
        path: path.to_owned(),
    };
    let len = file.metadata().map_err(io)?.len();
    if len > 0 && !starts_like_ours(file, 0).map_err(io)? {
        return Err(not_a_log());
    }
    let whole = match behind_newline(file, len, 1, line_bytes_max as u64).map_err(io)? {
        Some(whole) => whole,
        // No line is as long as that.
        None if len > line_bytes_max as u64 => return Err(not_a_log()),
        None => 0,
    };
    if whole == len {
        return Ok(());
    }
    if !starts_like_ours(file, whole).map_err(io)? {
        return Err(not_a_log());
    }
    tracing::warn!(path = %path.display(), bytes = len - whole, "a torn last line is cut off");
    file.set_len(whole).map_err(io)
}

/// Our lines are JSON objects; a power cut may leave zeros in their place.
fn starts_like_ours(file: &File, at: u64) -> io::Result<bool> {
    let mut first = [0u8; 1];
    let some = file.read_at(&mut first, at)?;
    Ok(some > 0 && matches!(first, [b'{' | 0]))
}

/// Where the bytes behind the `nth` newline before `len` begin, counted from
/// the end, if it is among the last `bytes_max`.
fn behind_newline(file: &File, len: u64, nth: usize, bytes_max: u64) -> io::Result<Option<u64>> {
    let stop = len.saturating_sub(bytes_max);
    let mut block = vec![0; BLOCK_BYTES];
    let (mut end, mut seen) = (len, 0);
    while end > stop {
        let bytes = usize::try_from(end - stop).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        let from = end - bytes as u64;
        let block = block.get_mut(..bytes).unwrap_or_default();
        file.read_exact_at(block, from)?;
        for at in memchr::memrchr_iter(b'\n', block) {
            seen += 1;
            if seen == nth {
                return Ok(Some(from + at as u64 + 1));
            }
        }
        end = from;
    }
    Ok(None)
}

/// Tells the ids of the file's last lines, at most `lines_max`, oldest first.
pub(super) fn last_ids(
    mut file: &File,
    lines_max: usize,
    line_bytes_max: usize,
    mut tell: impl FnMut(HoldId),
) -> io::Result<()> {
    #[derive(serde::Deserialize)]
    struct Identified {
        id: String,
    }
    let len = file.metadata()?.len();
    let bytes_max = (lines_max as u64).saturating_mul(line_bytes_max as u64);
    let from = behind_newline(file, len, lines_max.saturating_add(1), bytes_max)?;
    file.seek(SeekFrom::Start(
        from.unwrap_or(len.saturating_sub(bytes_max)),
    ))?;
    let mut reader = BufReader::with_capacity(BLOCK_BYTES, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(line_bytes_max as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // What is no line of ours has no id that could be offered again.
        let read = serde_json::from_slice::<Identified>(&line).ok();
        if let Some(id) = read.and_then(|line| HoldId::parse(&line.id)) {
            tell(id);
        }
    }
}
