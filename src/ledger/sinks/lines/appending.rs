//! Appending whole batches.

use crate::ledger::faults;
use std::fs::File;
use std::io::{self, Write};

/// What is appended to: a file, or in tests one that fails.
pub(super) trait Medium {
    /// Appends some of the bytes and says how many.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn bytes(&self) -> io::Result<u64>;
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends batches of lines, each whole or not at all; to a pipe, from the byte
/// where it stopped.
#[derive(Debug)]
pub(super) struct Appender<M> {
    medium: M,
    regular: bool,
    sync: bool,
    /// Bytes at the file's end of a batch that failed.
    to_cut: u64,
    /// The rest of a line that a pipe took the beginning of.
    owed: Vec<u8>,
}

impl<M: Medium> Appender<M> {
    pub fn new(medium: M, regular: bool, sync: bool) -> Self {
        Self {
            medium,
            regular,
            sync,
            to_cut: 0,
            owed: Vec::new(),
        }
    }

    pub fn is_regular(&self) -> bool {
        self.regular
    }

    /// Appends the lines, and returns when they are safe.
    ///
    /// Of a regular file that fails, nothing stays. Of a pipe that fails, the
    /// lines that were asked for stay: the last of them goes on with the next
    /// call.
    pub fn append<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        self.settle()?;
        if !self.regular {
            return self.append_to_pipe(lines);
        }
        let mut batch = Vec::new();
        for line in lines {
            batch.extend_from_slice(line);
        }
        if batch.is_empty() {
            return Ok(());
        }
        faults::tear("die::torn_line", &batch, |half| {
            let _ = write_all(&mut self.medium, half, &mut 0);
        });
        let mut written = 0;
        let mut outcome = write_all(&mut self.medium, &batch, &mut written);
        if outcome.is_ok() && self.sync {
            // Not tried again by itself: the system may have dropped what it
            // could not write, so all of it is written anew.
            outcome = self.medium.sync();
        }
        if outcome.is_err() {
            self.to_cut = written as u64;
            // Should this fail, the next call begins with it.
            let _ = self.settle();
        }
        outcome
    }

    fn append_to_pipe<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        for line in lines {
            self.owed.extend_from_slice(line);
            self.settle()?;
        }
        Ok(())
    }

    /// Brings to its end what a call before could not: takes back the bytes of
    /// a batch that failed, or writes the rest of a line begun.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.to_cut > 0 {
            let bytes = self.medium.bytes()?;
            // Where the file was cut by others meanwhile, these were theirs.
            self.medium.cut(bytes.saturating_sub(self.to_cut))?;
            self.to_cut = 0;
        }
        if !self.owed.is_empty() {
            let mut written = 0;
            let outcome = write_all(&mut self.medium, &self.owed, &mut written);
            self.owed.drain(..written);
            outcome?;
        }
        Ok(())
    }
}

impl Appender<File> {
    /// The file, where it is a regular one.
    pub fn regular_file(&self) -> Option<&File> {
        self.regular.then_some(&self.medium)
    }
}

/// Writes all of it; `written` tells how far it came.
fn write_all(medium: &mut impl Medium, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match medium.write_some(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(some) => *written = written.saturating_add(some).min(bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
impl<M> Appender<M> {
    pub fn medium(&self) -> &M {
        &self.medium
    }
}
