//! What an earlier process left behind: where the chain has come to, which
//! calls are open, and which bytes are no records.

use super::frame::{Frame, HEAD_BYTES, Kind, Piece, pieces};
use super::segment::{self, Chain, HEADER_BYTES, Open};
use super::{Position, SpoolError, position};
use crate::ledger::faults::die;
use crate::ledger::row::ChainId;
use crate::ledger::wire;
use crate::limits::HoldId;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Fewer than a row takes: its record's head, two ids, a number and a hash.
const ROW_BYTES_MIN: usize = HEAD_BYTES + 2 * 16 + 32;

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

/// What is known of a segment beside its bytes.
#[derive(Clone, Copy)]
struct Of<'a> {
    spool: &'a Path,
    number: u64,
    path: &'a Path,
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
    let newest = segments.last_key_value().map(|(last, _)| *last);
    let furthest = position::furthest(spool)?;
    let mut recovered = Recovered {
        lock,
        chain: Chain::new(random),
        open: Open::new(),
        segments,
        next: newest.unwrap_or(0).max(furthest.segment).saturating_add(1),
        lost_bytes: 0,
    };
    if let Some(number) = newest {
        let (path, bytes) = read(spool, number)?;
        if !begins_whole(&bytes, number) {
            recovered.look_back(spool, number)?;
        }
        let of = Of {
            spool,
            number,
            path: &path,
        };
        recovered.read(of, &bytes, furthest)?;
    }
    die("die::recovered");
    Ok(recovered)
}

impl Recovered {
    /// The beginning of a segment is damaged, which tells of the chain and of what
    /// was open: the segments before it tell too, as far as they are still there.
    fn look_back(&mut self, spool: &Path, before: u64) -> Result<(), SpoolError> {
        let mut numbers = Vec::new();
        for (&number, _) in self.segments.range(..before).rev() {
            numbers.push(number);
            if begins_whole(&read(spool, number)?.1, number) {
                break;
            }
        }
        while let Some(number) = numbers.pop() {
            let (path, bytes) = read(spool, number)?;
            if let Some(chain) = segment::read_header(&bytes, number) {
                self.chain = chain;
            }
            for piece in pieces(&bytes, HEADER_BYTES) {
                if let Piece::Frame { frame, at } = piece {
                    self.apply(&frame, (&path, at));
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, of: Of, bytes: &[u8], furthest: Position) -> Result<(), SpoolError> {
        let header = segment::read_header(bytes, of.number);
        let acknowledged = match header {
            Some(chain) => {
                self.chain = chain;
                synced(bytes).max(read_upto(of.number, furthest))
            }
            // It was safe before the segment had its name: no power cut did this.
            None => usize::MAX,
        };
        if header.is_none() {
            let header = bytes.get(..HEADER_BYTES).unwrap_or(bytes);
            self.lose(of, 0, header)?;
        }
        // Rows that may have been behind the last one that can be read.
        let mut unread = 0;
        for piece in pieces(bytes, HEADER_BYTES) {
            match piece {
                Piece::Frame { frame, at } => {
                    if frame.kind == Kind::Outcome {
                        unread = 0;
                    }
                    self.apply(&frame, (of.path, at));
                }
                Piece::Damaged { at, bytes: torn }
                    if at >= acknowledged && at + torn == bytes.len() =>
                {
                    self.cut(of, at, bytes.get(at..).unwrap_or_default())?;
                }
                Piece::Damaged { at, bytes: damaged } => {
                    unread += damaged / ROW_BYTES_MIN;
                    self.lose(of, at, bytes.get(at..at + damaged).unwrap_or_default())?;
                }
            }
        }
        if header.is_some() {
            unread += self.miss(of, bytes.len(), acknowledged) / ROW_BYTES_MIN;
        }
        if header.is_some() || self.chain.sequence > 0 {
            // Numbers that they may have had are not given again.
            self.chain.sequence += u64::try_from(unread).unwrap_or(u64::MAX);
        }
        // Relays read all of it from now on.
        let file = File::open(of.path).map_err(SpoolError::file(of.path))?;
        file.sync_all().map_err(SpoolError::file(of.path))
    }

    /// Bytes that were safe, or may have been, are no records: they stay where they
    /// are, and relays read past them.
    fn lose(&mut self, of: Of, at: usize, damaged: &[u8]) -> Result<(), SpoolError> {
        self.lost_bytes += len(damaged);
        let aside = set_aside(of.spool, of.number, at, damaged)?;
        tracing::error!(
            path = %aside.display(), bytes = damaged.len(),
            "the disk lost a part of the spool that may have been safe; what is there is set aside, \
             and what is behind it is read"
        );
        Ok(())
    }

    /// The end was never acknowledged, and there is no record in it.
    fn cut(&mut self, of: Of, at: usize, torn: &[u8]) -> Result<(), SpoolError> {
        let aside = set_aside(of.spool, of.number, at, torn)?;
        tracing::warn!(
            path = %aside.display(), bytes = torn.len(),
            "the end of the spool was never safe; it is cut off and set aside"
        );
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        let file = OpenOptions::new().write(true).open(of.path);
        let cut = file.and_then(|file| file.set_len(at));
        cut.map_err(SpoolError::file(of.path))?;
        self.segments.insert(of.number, at);
        Ok(())
    }

    /// How many bytes a sink has read that aren't there any more.
    fn miss(&mut self, of: Of, there: usize, acknowledged: usize) -> usize {
        // All of it, where the sink is in a later one.
        let missing = match acknowledged {
            usize::MAX => 0,
            acknowledged => acknowledged.saturating_sub(there),
        };
        if missing > 0 {
            self.lost_bytes += u64::try_from(missing).unwrap_or(u64::MAX);
            tracing::error!(
                path = %of.path.display(), bytes = missing,
                "the disk lost the end of the spool, which a sink has read"
            );
        }
        missing
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

fn read(spool: &Path, number: u64) -> Result<(PathBuf, Vec<u8>), SpoolError> {
    let path = segment::path(spool, number);
    let bytes = fs::read(&path).map_err(SpoolError::file(&path))?;
    Ok((path, bytes))
}

/// Whether the header and the intents that a segment was begun with can be read.
fn begins_whole(bytes: &[u8], number: u64) -> bool {
    let intent =
        |piece: &Piece| matches!(piece, Piece::Frame { frame, .. } if frame.kind == Kind::Intent);
    let behind = pieces(bytes, HEADER_BYTES).find(|piece| !intent(piece));
    segment::read_header(bytes, number).is_some() && !matches!(behind, Some(Piece::Damaged { .. }))
}

/// How much of a segment was on disk by the word of a sink: relays read what is.
fn read_upto(number: u64, furthest: Position) -> usize {
    match furthest.segment.cmp(&number) {
        Ordering::Less => 0,
        Ordering::Equal => usize::try_from(furthest.offset).unwrap_or(usize::MAX),
        Ordering::Greater => usize::MAX,
    }
}

/// How much of a segment was on disk by its own word.
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

/// Where bytes of a segment are kept that nobody can read.
pub(super) fn aside(spool: &Path, number: u64, at: usize) -> PathBuf {
    quarantine(spool).join(format!("{number:016x}-{at}"))
}

/// Keeps bytes that nobody can read, for people to look at.
pub(super) fn set_aside(
    spool: &Path,
    number: u64,
    at: usize,
    bytes: &[u8],
) -> Result<PathBuf, SpoolError> {
    let path = aside(spool, number, at);
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
