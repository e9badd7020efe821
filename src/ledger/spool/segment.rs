//! Segment files: their names, their headers, and how one is begun.

use super::SpoolError;
use super::frame::{self, Kind};
use crate::ledger::faults;
use crate::ledger::row::{ChainId, Hash, NO_HASH};
use crate::limits::HoldId;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"weirspl1";

/// Magic, number, chain id, sequence, hash, CRC.
pub(super) const HEADER_BYTES: usize = 8 + 8 + 16 + 8 + 32 + 4;

/// Where a chain has come to: its last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    pub id: ChainId,
    pub sequence: u64,
    pub hash: Hash,
}

/// What is open, with what is known of each call.
pub(super) type Open = BTreeMap<HoldId, Box<[u8]>>;

impl Chain {
    pub(super) fn new(id: ChainId) -> Self {
        Self {
            id,
            sequence: 0,
            hash: NO_HASH,
        }
    }
}

pub(super) fn folder(spool: &Path) -> PathBuf {
    spool.join("segments")
}

pub(super) fn path(spool: &Path, number: u64) -> PathBuf {
    folder(spool).join(format!("{number:016x}.seg"))
}

/// The numbers of the segments that there are, in order, with their sizes.
/// What was being begun when a process died is removed.
pub(super) fn list(spool: &Path) -> Result<BTreeMap<u64, u64>, SpoolError> {
    let folder = folder(spool);
    let entries = fs::read_dir(&folder).map_err(SpoolError::file(&folder))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(SpoolError::file(&folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if name.ends_with(".new") {
            fs::remove_file(&path).map_err(SpoolError::file(&path))?;
            continue;
        }
        if let Some(number) = number_of(&name) {
            let size = entry.metadata().map_err(SpoolError::file(&path))?.len();
            found.insert(number, size);
        }
    }
    Ok(found)
}

/// The numbers of the segments that there are, in order. Changes nothing.
pub(super) fn numbers(spool: &Path) -> Result<Vec<u64>, SpoolError> {
    let folder = folder(spool);
    let entries = fs::read_dir(&folder).map_err(SpoolError::file(&folder))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(SpoolError::file(&folder))?;
        found.extend(number_of(&entry.file_name().to_string_lossy()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The first segment that there is from this number on.
pub(super) fn list_from(spool: &Path, number: u64) -> Result<Option<u64>, SpoolError> {
    let folder = folder(spool);
    let entries = fs::read_dir(&folder).map_err(SpoolError::file(&folder))?;
    let mut first = None;
    for entry in entries {
        let entry = entry.map_err(SpoolError::file(&folder))?;
        let found = number_of(&entry.file_name().to_string_lossy());
        let found = found.filter(|found| *found >= number);
        first = [first, found].into_iter().flatten().min();
    }
    Ok(first)
}

fn number_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok()
}

/// Why a segment is not begun.
#[derive(Debug)]
pub(super) enum BeginError {
    /// It has no name yet: the one before it may go on.
    NotYet(io::Error),
    /// A sync failed. It may have its name, and be the newest when a process
    /// begins: nothing may be written to the one before it.
    Unsynced(io::Error),
}

impl From<io::Error> for BeginError {
    fn from(error: io::Error) -> Self {
        Self::NotYet(error)
    }
}

impl BeginError {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::NotYet(error) | Self::Unsynced(error) => error,
        }
    }
}

/// Makes a segment with all that is open, and gives it its name once it is on
/// disk. Gives the file, to append to, and its size.
pub(super) fn begin(
    spool: &Path,
    number: u64,
    chain: &Chain,
    open: &Open,
) -> Result<(File, u64), BeginError> {
    let mut bytes = header(number, chain);
    for (id, context) in open {
        frame::put(Kind::Intent, &[id.0.as_bytes(), context], &mut bytes);
    }
    // So it will be when the segment has its name.
    let synced = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    frame::put(Kind::Synced, &[&synced.to_le_bytes()], &mut bytes);
    let path = path(spool, number);
    let new_path = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .append(true)
        .create(true)
        .read(true)
        .open(&new_path)?;
    file.set_len(0)?;
    file.write_all(&bytes)?;
    file.sync_all().map_err(BeginError::Unsynced)?;
    // Opened before: once the segment has its name there is no way back.
    let folder = File::open(folder(spool))?;
    fs::rename(&new_path, &path)?;
    // A name is only as safe as its folder.
    sync_folder(&folder).map_err(BeginError::Unsynced)?;
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok((file, len))
}

fn sync_folder(folder: &File) -> io::Result<()> {
    fail::fail_point!("spool::sync_folder", |_| Err(io::Error::other(
        "a fail point"
    )));
    folder.sync_all()
}

/// Appends some of the bytes, and says how many.
pub(super) fn append(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    fail::fail_point!("spool::write", |_| Err(io::ErrorKind::StorageFull.into()));
    faults::tear("die::torn", bytes, |half| drop(file.write(half)));
    file.write(bytes)
}

/// Returns once all that was appended is on disk. Not to be asked again after an
/// error.
pub(super) fn sync(file: &File) -> io::Result<()> {
    fail::fail_point!("spool::sync", |_| Err(io::Error::other("a fail point")));
    file.sync_data()
}

fn header(number: u64, chain: &Chain) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(chain.id.as_bytes());
    bytes.extend_from_slice(&chain.sequence.to_le_bytes());
    bytes.extend_from_slice(&chain.hash);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a segment's header; `None` where it is none, or of another segment.
pub(super) fn read_header(bytes: &[u8], number: u64) -> Option<Chain> {
    let header = bytes.get(..HEADER_BYTES)?;
    let (said, crc) = header.split_last_chunk::<4>()?;
    if crc32fast::hash(said) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (magic, rest) = said.split_first_chunk::<8>()?;
    let (of, rest) = rest.split_first_chunk::<8>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let hash: &Hash = rest.try_into().ok()?;
    let ours = magic == MAGIC && u64::from_le_bytes(*of) == number;
    ours.then(|| Chain {
        id: ChainId::from_bytes(*id),
        sequence: u64::from_le_bytes(*sequence),
        hash: *hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_any_changed_byte_is_seen() {
        let chain = Chain {
            id: ChainId::from_u128(7),
            sequence: 9,
            hash: [3; 32],
        };
        let bytes = header(5, &chain);
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(read_header(&bytes, 5), Some(chain));
        assert_eq!(read_header(&bytes, 6), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read_header(&changed, 5), None);
            assert_eq!(read_header(&bytes[..at], 5), None);
        }
    }
}
