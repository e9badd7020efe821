//! What an earlier process left behind: where the chain has come to, which
//! calls are open, and which bytes are no records.

use super::frame::{Frame, Kind, Piece, pieces};
use super::segment::{self, Chain, HEADER_BYTES, Open};
use super::{SpoolError, position};
use crate::ledger::faults::die;
use crate::ledger::row::ChainId;
use crate::ledger::wire;
use crate::limits::HoldId;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A spool as it was found.
pub(super) struct Recovered {
    /// Keeps other processes out for as long as it is open.
    pub lock: File,
    pub chain: Chain,
    pub open: Open,
    /// By number, with their sizes.
    pub segments: BTreeMap<u64, u64>,
    /// Of the segment to begin. No position is in one of this number, or rows
    /// would be taken for read.
    pub next: u64,
    pub lost_bytes: u64,
}

/// Reads the newest segment, and sets aside what can't be read.
pub(super) fn recover(spool: &Path, random: ChainId) -> Result<Recovered, SpoolError> {
    for folder in [
        segment::folder(spool),
        position::folder(spool),
        quarantine(spool),
    ] {
        fs::create_dir_all(&folder).map_err(SpoolError::file(&folder))?;
    }
    let lock = lock(&spool.join("lock"))?;
    let segments = segment::list(spool)?;
    let newest = segments.last_key_value().map_or(0, |(last, _)| *last);
    let mut recovered = Recovered {
        lock,
        chain: Chain::new(random),
        open: Open::new(),
        segments,
        next: newest.max(position::furthest(spool)?).saturating_add(1),
        lost_bytes: 0,
    };
    let mut broken = false;
    while let Some((&number, _)) = recovered.segments.last_key_value() {
        let path = segment::path(spool, number);
        let bytes = fs::read(&path).map_err(SpoolError::file(&path))?;
        if let Some(chain) = segment::read_header(&bytes, number) {
            recovered.read(spool, number, chain, &bytes)?;
            break;
        }
        // All that it said is lost, and which row was the last.
        broken = true;
        recovered.lost_bytes += len(&bytes);
        recovered.segments.remove(&number);
        let aside = quarantine(spool).join(format!("{number:016x}-0"));
        fs::rename(&path, &aside).map_err(SpoolError::file(&path))?;
        tracing::error!(path = %aside.display(), "a segment of the spool is unreadable; it is set aside");
    }
    if broken {
        recovered.chain = Chain::new(random);
    }
    die("die::recovered");
    Ok(recovered)
}

impl Recovered {
    fn read(
        &mut self,
        spool: &Path,
        number: u64,
        chain: Chain,
        bytes: &[u8],
    ) -> Result<(), SpoolError> {
        self.chain = chain;
        let path = segment::path(spool, number);
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(SpoolError::file(&path))?;
        let synced = synced(bytes);
        for piece in pieces(bytes, HEADER_BYTES) {
            match piece {
                Piece::Frame { frame, at } => self.apply(&frame, (&path, at)),
                Piece::Damaged { at, bytes: damaged } if at < synced => {
                    self.lost_bytes += u64::try_from(damaged).unwrap_or(u64::MAX);
                    let damaged = bytes.get(at..at + damaged).unwrap_or_default();
                    let aside = set_aside(spool, number, at, damaged)?;
                    tracing::error!(
                        path = %aside.display(),
                        "the disk lost records of the spool that were safe; what is there is set aside"
                    );
                }
                Piece::Damaged { at, .. } => {
                    let torn = bytes.get(at..).unwrap_or_default();
                    let aside = set_aside(spool, number, at, torn)?;
                    tracing::warn!(
                        path = %aside.display(), bytes = torn.len(),
                        "the end of the spool was never safe; it is cut off and set aside"
                    );
                    let at = u64::try_from(at).unwrap_or(u64::MAX);
                    file.set_len(at).map_err(SpoolError::file(&path))?;
                    self.segments.insert(number, at);
                    break;
                }
            }
        }
        // Relays read all of it from now on.
        file.sync_all().map_err(SpoolError::file(&path))
    }

    fn apply(&mut self, frame: &Frame, place: (&Path, usize)) {
        let applied = match frame.kind {
            Kind::Intent => id(frame.body).map(|(id, context)| {
                self.open.insert(id, context.into());
            }),
            Kind::Dropped => id(frame.body).map(|(id, _)| {
                self.open.remove(&id);
            }),
            Kind::Outcome => wire::peek(frame.body).map(|(id, link)| {
                self.open.remove(&id);
                self.chain = Chain {
                    id: link.chain,
                    sequence: link.sequence,
                    hash: link.hash,
                };
            }),
            Kind::Synced => Some(()),
        };
        if applied.is_none() {
            let (path, at) = place;
            tracing::error!(path = %path.display(), at, "a record of the spool is not of this version");
        }
    }
}

/// How much of a segment was surely on disk.
fn synced(bytes: &[u8]) -> usize {
    let offsets = pieces(bytes, HEADER_BYTES).filter_map(|piece| match piece {
        Piece::Frame { frame, .. } if frame.kind == Kind::Synced => {
            let offset = u64::from_le_bytes(frame.body.try_into().ok()?);
            usize::try_from(offset).ok()
        }
        Piece::Frame { .. } | Piece::Damaged { .. } => None,
    });
    offsets.max().unwrap_or(HEADER_BYTES)
}

/// An id, and what is behind it.
pub(super) fn id(body: &[u8]) -> Option<(HoldId, &[u8])> {
    let (id, rest) = body.split_first_chunk::<16>()?;
    Some((HoldId(uuid::Uuid::from_bytes(*id)), rest))
}

pub(super) fn quarantine(spool: &Path) -> PathBuf {
    spool.join("quarantine")
}

/// Keeps bytes that nobody can read, for people to look at.
pub(super) fn set_aside(
    spool: &Path,
    number: u64,
    at: usize,
    bytes: &[u8],
) -> Result<PathBuf, SpoolError> {
    let path = quarantine(spool).join(format!("{number:016x}-{at}"));
    fs::write(&path, bytes).map_err(SpoolError::file(&path))?;
    Ok(path)
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Two processes that write would tear each other's records.
fn lock(path: &Path) -> Result<File, SpoolError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    let file = file.map_err(SpoolError::file(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::Locked {
            path: path.to_owned(),
        }),
        // A file system without locks: nothing can be told.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(cause)) => Err(SpoolError::File {
            path: path.to_owned(),
            cause,
        }),
    }
}
