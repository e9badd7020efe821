//! The journal of open calls: a line when a call is admitted, a line when it is
//! done.
//!
//! ```text
//! {"open":"0199...","context":"..."}
//! {"done":"0199..."}
//! ```
//! Always holds: the file says which calls are open at any moment, also while
//! it is made shorter, which is done in a new file that takes the old one's
//! place. Its length is at most about twice that of the open calls' lines, or
//! [`COMPACT_BYTES_MIN`] if that is more, and a batch.

use super::file::{self, LogFile};
use super::{Interrupted, LINE_BYTES_MAX, Recorded, UsageLogError};
use crate::limits::HoldId;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A journal with no open call is emptied once it is this long; below that it
/// isn't worth the work.
const EMPTY_BYTES_MIN: u64 = 64 * 1024;

/// A journal shorter than this is not rewritten.
const COMPACT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// The file and what is open in it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    pub file: File,
    open: HashSet<HoldId>,
    bytes: u64,
    /// The length at which it is rewritten.
    compact_at_bytes: u64,
    interrupted: Vec<Interrupted>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Line {
    Open { open: String, context: String },
    Done { done: String },
}

/// The line of a call that was admitted.
pub(super) fn open_line(id: HoldId, context: &str) -> String {
    line(&Line::Open {
        open: id.to_string(),
        context: context.to_owned(),
    })
}

/// The line of a call that is over.
pub(super) fn done_line(id: HoldId) -> String {
    line(&Line::Done {
        done: id.to_string(),
    })
}

fn line(line: &Line) -> String {
    // Two strings always serialise.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

impl Journal {
    /// Opens or makes the journal. Calls still open there are kept, without
    /// those whose event is `recorded`.
    pub fn open(path: &Path, recorded: &Recorded) -> Result<Self, UsageLogError> {
        let LogFile { file, regular } = file::open(path)?;
        if !regular {
            return Err(UsageLogError::NotALog {
                path: path.to_owned(),
            });
        }
        let mut open = read(&file).map_err(|source| file::error(path, source))?;
        open.retain(|id, _| !recorded.contains(id));
        let mut journal = Self {
            path: path.to_owned(),
            file,
            open: open.keys().copied().collect(),
            bytes: 0,
            compact_at_bytes: COMPACT_BYTES_MIN,
            interrupted: Vec::new(),
        };
        journal.rewrite(&open)?;
        let interrupted = open.into_iter();
        journal.interrupted = interrupted
            .map(|(id, context)| Interrupted { id, context })
            .collect();
        Ok(journal)
    }

    /// The calls that were open when the journal was opened.
    pub fn interrupted(&self) -> Vec<Interrupted> {
        self.interrupted.clone()
    }

    /// Follows what was just written, and keeps the file short.
    pub fn follow(&mut self, written: &[u8]) -> Result<(), UsageLogError> {
        self.bytes = self.bytes.saturating_add(written.len() as u64);
        for line in written.split(|byte| *byte == b'\n') {
            match entry(line) {
                Some((true, id)) => self.open.insert(id),
                Some((false, id)) => self.open.remove(&id),
                None => continue,
            };
        }
        if self.open.is_empty() && self.bytes >= EMPTY_BYTES_MIN {
            return self.empty();
        }
        if self.bytes >= self.compact_at_bytes {
            // Should this fail, the next try is not at the next batch.
            self.compact_at_bytes = self.bytes.saturating_mul(2);
            return self.compact();
        }
        Ok(())
    }

    /// At the end: a journal without open calls is left empty.
    pub fn finish(&mut self) -> Result<(), UsageLogError> {
        if self.open.is_empty() {
            self.empty()?;
        }
        self.file
            .sync_all()
            .map_err(|source| file::error(&self.path, source))
    }

    fn empty(&mut self) -> Result<(), UsageLogError> {
        self.bytes = 0;
        self.file
            .set_len(0)
            .map_err(|source| file::error(&self.path, source))
    }

    fn compact(&mut self) -> Result<(), UsageLogError> {
        let open = read(&self.file).map_err(|source| file::error(&self.path, source))?;
        self.rewrite(&open)
    }

    /// Puts a file with only `open` in the place of this one.
    fn rewrite(&mut self, open: &BTreeMap<HoldId, String>) -> Result<(), UsageLogError> {
        let new_path = beside(&self.path);
        let fresh = write_new(&new_path, open).map_err(|source| file::error(&new_path, source))?;
        file::lock(&fresh, &new_path)?;
        fs::rename(&new_path, &self.path).map_err(|source| file::error(&self.path, source))?;
        let len = fresh.metadata().map(|kind| kind.len());
        self.bytes = len.map_err(|source| file::error(&self.path, source))?;
        self.compact_at_bytes = self.bytes.saturating_mul(2).max(COMPACT_BYTES_MIN);
        self.file = fresh;
        Ok(())
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn write_new(path: &Path, open: &BTreeMap<HoldId, String>) -> io::Result<File> {
    // What a rewrite left that was cut short.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .append(true)
        .create_new(true)
        .open(path)?;
    let mut lines = Vec::new();
    for (id, context) in open {
        lines.extend_from_slice(open_line(*id, context).as_bytes());
    }
    file.write_all(&lines)?;
    file.sync_all()?;
    Ok(file)
}

/// The calls that a journal says are open, oldest first.
fn read(mut file: &File) -> io::Result<BTreeMap<HoldId, String>> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut open = BTreeMap::new();
    let mut line = Vec::new();
    let mut unreadable = 0u64;
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LINE_BYTES_MAX as u64)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        match parse(&line) {
            Some((id, Some(context))) => {
                open.insert(id, context);
            }
            Some((id, None)) => {
                open.remove(&id);
            }
            None => unreadable += 1,
        }
    }
    if unreadable > 0 {
        tracing::error!(
            lines = unreadable,
            "lines of the journal of open calls can't be read"
        );
    }
    Ok(open)
}

fn parse(line: &[u8]) -> Option<(HoldId, Option<String>)> {
    match serde_json::from_slice(line).ok()? {
        Line::Open { open, context } => Some((HoldId::parse(&open)?, Some(context))),
        Line::Done { done } => Some((HoldId::parse(&done)?, None)),
    }
}

/// What a line of our own making says, without reading all of it: whether it
/// opens a call, and which.
fn entry(line: &[u8]) -> Option<(bool, HoldId)> {
    let (opens, rest) = match line.strip_prefix(br#"{"open":""#) {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix(br#"{"done":""#)?),
    };
    let id = rest.split(|byte| *byte == b'"').next()?;
    Some((opens, HoldId::parse(std::str::from_utf8(id).ok()?)?))
}
