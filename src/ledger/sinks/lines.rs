//! A file of JSON lines, each with an `id`, that takes each id once.
//!
//! Always holds: a file ends with a whole line, or with bytes that the next
//! opening or the next batch cuts off; what a batch that failed had written is
//! taken back before anything else is. Ids are known of the last
//! [`IDS_KEPT_MAX`] lines, also of those that a process before this one wrote.
//!
//! A regular file is locked against other processes. One that was moved away
//! (rotated) is left, and the path opened anew; `copytruncate` works as well.
//! Ids of a file that was moved away are known until the process ends.
//!
//! A pipe or a device has no end to look at, can't be taken back from or
//! synced: a batch goes on where it stopped.

mod appending;
mod opening;

use crate::ledger::sink::OFFERED_AGAIN_ROWS_MAX;
use crate::limits::HoldId;
use appending::Appender;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The lines whose ids are known: all that can be offered again.
pub const IDS_KEPT_MAX: usize = OFFERED_AGAIN_ROWS_MAX;

/// Why a file can't be written to.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
    #[error("{path}: another process writes to it")]
    Locked { path: PathBuf },
    #[error("{path}: does not end like a file of JSON lines; is it another file?")]
    NotALog { path: PathBuf },
}

/// What a file promises.
#[derive(Debug, Clone, Copy)]
pub(super) struct Care {
    /// What is taken in is on disk, not only with the system. Regular files.
    pub sync: bool,
    /// The longest line, its end included: what is looked through for one.
    pub line_bytes_max: usize,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    pub id: HoldId,
    /// With its newline.
    pub bytes: Vec<u8>,
}

/// The file.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    care: Care,
    appender: Appender<File>,
    known: Known,
}

impl LineFile {
    /// Opens the file, made if absent.
    ///
    /// # Errors
    /// [`LinesError`].
    pub fn open(path: &Path, care: Care) -> Result<Self, LinesError> {
        let mut known = Known::default();
        let appender = opened(path, care, &mut known)?;
        Ok(Self {
            path: path.to_owned(),
            care,
            appender,
            known,
        })
    }

    /// Takes in the lines whose ids aren't known, in order: all of them, or
    /// none. Those of a pipe: those that it took.
    ///
    /// # Errors
    /// [`LinesError`]: offer the same again.
    pub fn take_in(&mut self, lines: &[Line]) -> Result<(), LinesError> {
        self.settle()
            .map_err(|source| opening::error(&self.path, source))?;
        if self.has_moved() {
            self.appender = opened(&self.path, self.care, &mut self.known)?;
        }
        let mut fresh = HashSet::new();
        let new = |line: &&Line| !self.known.has(line.id) && fresh.insert(line.id);
        let new: Vec<&Line> = lines.iter().filter(new).collect();
        let mut taken = 0;
        let outcome = self.appender.append(new.iter().map(|line| {
            taken += 1;
            line.bytes.as_slice()
        }));
        // A pipe keeps what it got, and gets the rest of a line begun.
        let keeps = outcome.is_ok() || !self.appender.is_regular();
        for line in new.iter().take(if keeps { taken } else { 0 }) {
            self.known.add(line.id);
        }
        outcome.map_err(|source| opening::error(&self.path, source))
    }

    /// Takes back what a failed batch had written, should that have failed too.
    fn settle(&mut self) -> io::Result<()> {
        self.appender.settle()
    }

    /// Whether the path leads elsewhere now, as after a rotation.
    fn has_moved(&self) -> bool {
        let Some(own) = self.appender.regular_file().map(File::metadata) else {
            return false;
        };
        match (own, std::fs::metadata(&self.path)) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) != (there.dev(), there.ino()),
            (Ok(_), Err(error)) => error.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }
}

fn opened(path: &Path, care: Care, known: &mut Known) -> Result<Appender<File>, LinesError> {
    let opening::Opened { file, regular } = opening::open(path, care.line_bytes_max)?;
    if regular {
        let read = opening::last_ids(&file, IDS_KEPT_MAX, care.line_bytes_max, |id| known.add(id));
        read.map_err(|source| opening::error(path, source))?;
        if care.sync {
            // Lines of a process that died before it synced them count as taken
            // from now on.
            file.sync_all()
                .map_err(|source| opening::error(path, source))?;
        }
    }
    Ok(Appender::new(file, regular, care.sync))
}

/// The last ids, the oldest forgotten first.
#[derive(Debug, Default)]
struct Known {
    order: VecDeque<HoldId>,
    ids: HashSet<HoldId>,
}

impl Known {
    fn has(&self, id: HoldId) -> bool {
        self.ids.contains(&id)
    }

    fn add(&mut self, id: HoldId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > IDS_KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
