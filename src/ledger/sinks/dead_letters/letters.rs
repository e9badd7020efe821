//! Reading letters, and keeping what was delivered of them.

use super::{Care, LINE_BYTES_MAX, Line, LineFile, path};
use crate::ledger::row::Row;
use crate::ledger::sinks::lines::LinesError;
use crate::ledger::wire;
use crate::limits::HoldId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The most ids of letters that were delivered: some 100 MB. Far more rows than
/// anybody mends.
const REPLAYED_MAX: usize = 1 << 20;

/// Why letters can't be read, or what was delivered of them be kept.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Lines(#[from] LinesError),
    #[error("{path}: more than {REPLAYED_MAX} letters were delivered: move both files away")]
    Many { path: PathBuf },
}

/// A row that a receiver refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub why: String,
    /// `None`: its line is none, or its row none that this program can read.
    pub row: Option<Row>,
}

/// A file of letters, from its first line on. A last line without an end is one
/// that is being written.
#[derive(Debug)]
pub struct Letters {
    path: PathBuf,
    lines: Option<BufReader<File>>,
}

#[derive(Deserialize)]
struct Stored {
    why: String,
    row: String,
}

impl Letters {
    /// The letters of a sink in the ledger's folder; none where there is no file.
    ///
    /// # Errors
    /// [`LetterError::File`].
    pub fn open(folder: &Path, sink: &str) -> Result<Self, LetterError> {
        let path = path(folder, sink);
        let lines = match File::open(&path) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(LetterError::File { path, cause }),
        };
        Ok(Self { path, lines })
    }

    /// The next one.
    ///
    /// # Errors
    /// [`LetterError::File`].
    pub fn next_letter(&mut self) -> Result<Option<Letter>, LetterError> {
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        let mut line = Vec::new();
        let read = lines
            .take(LINE_BYTES_MAX as u64)
            .read_until(b'\n', &mut line);
        read.map_err(|cause| LetterError::File {
            path: self.path.clone(),
            cause,
        })?;
        if line.last() != Some(&b'\n') && line.len() < LINE_BYTES_MAX {
            self.lines = None;
            return Ok(None);
        }
        Ok(Some(letter(&line)))
    }
}

fn letter(line: &[u8]) -> Letter {
    let Ok(Stored { why, row }) = serde_json::from_slice(line) else {
        let why = "its line can't be read".to_owned();
        return Letter { why, row: None };
    };
    let bytes = STANDARD.decode(row).ok();
    let row = bytes.and_then(|bytes| wire::decode(&bytes).ok());
    Letter { why, row }
}

/// The ids of a sink's letters that were delivered after all.
#[derive(Debug)]
pub struct Replayed {
    sink: &'static str,
    ids: HashSet<HoldId>,
    file: Option<LineFile>,
}

#[derive(serde::Serialize, Deserialize)]
struct Id<'a> {
    id: &'a str,
    sink: &'a str,
}

impl Replayed {
    /// Reads them.
    ///
    /// # Errors
    /// [`LetterError`].
    pub fn open(folder: &Path, sink: &'static str) -> Result<Self, LetterError> {
        let path = folder.join(format!("dead-letters-{sink}-replayed.jsonl"));
        Ok(Self {
            ids: ids_in(&path)?,
            sink,
            file: None,
        })
    }

    /// The same, to add to: no other process delivers the same letters meanwhile.
    ///
    /// # Errors
    /// [`LetterError`]; [`LetterError::Lines`] where another one does.
    pub fn open_to_add(folder: &Path, sink: &'static str) -> Result<Self, LetterError> {
        let path = folder.join(format!("dead-letters-{sink}-replayed.jsonl"));
        let care = Care {
            sync: true,
            line_bytes_max: LINE_BYTES_MAX,
        };
        // Locked first: who had it before may have added some.
        let file = Some(LineFile::open(&path, care)?);
        let own = Self::open(folder, sink)?;
        Ok(Self { file, ..own })
    }

    pub fn has(&self, id: HoldId) -> bool {
        self.ids.contains(&id)
    }

    /// One more, on disk when this returns.
    ///
    /// # Errors
    /// [`LetterError::Lines`].
    pub fn add(&mut self, id: HoldId) -> Result<(), LetterError> {
        let text = id.to_string();
        let line = Id {
            id: &text,
            sink: self.sink,
        };
        // Names and digits always serialise.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        if let Some(file) = &mut self.file {
            file.take_in(&[Line { id, bytes }])?;
        }
        self.ids.insert(id);
        Ok(())
    }
}

fn ids_in(path: &Path) -> Result<HashSet<HoldId>, LetterError> {
    let failed = |cause| LetterError::File {
        path: path.to_owned(),
        cause,
    };
    let mut ids = HashSet::new();
    let lines = match File::open(path) {
        Ok(file) => BufReader::new(file).lines(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ids),
        Err(cause) => return Err(failed(cause)),
    };
    for line in lines {
        let line = line.map_err(failed)?;
        let id = serde_json::from_str::<Id<'_>>(&line).ok();
        ids.extend(id.and_then(|id| HoldId::parse(id.id)));
        if ids.len() > REPLAYED_MAX {
            let path = path.to_owned();
            return Err(LetterError::Many { path });
        }
    }
    Ok(ids)
}
