//! The keys in files beside the spool, so that a sidecar that starts while the
//! database is away knows them: one with all keys, and one with what changed since
//! it was written.
//!
//! Always holds: a file is written whole and then put in place of the old one; one
//! that isn't whole, by its checksum, counts as none; no file holds a key, only
//! digests, and only its owner may read it.

use super::key::{labels_json, labels_of_json, scopes_json, scopes_of_json};
use crate::identity::KeyDigest;
use crate::identity::table::{Account, Change, Key};
use crate::units::UnixMillis;
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file begins with, its version included.
const MAGIC: &[u8] = b"weir-keys-1\n";
const CRC_BYTES: usize = 4;

/// The largest file that is read: many millions of keys.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Which keys a file has.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Header {
    /// The name of the database that they are of.
    #[prost(string, tag = "1")]
    pub database: String,
    /// The last change that they have.
    #[prost(int64, tag = "2")]
    pub changed: i64,
    /// Of a file of changes: the last change of the file that they come after.
    #[prost(int64, tag = "3")]
    pub since: i64,
    /// When the database was read last, in Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub read_at_ms: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    id: String,
    /// Empty: the key counts no more.
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(string, tag = "3")]
    tenant: String,
    #[prost(string, optional, tag = "4")]
    project: Option<String>,
    #[prost(string, optional, tag = "5")]
    environment: Option<String>,
    #[prost(string, optional, tag = "6")]
    user: Option<String>,
    #[prost(string, optional, tag = "7")]
    labels: Option<String>,
    #[prost(string, optional, tag = "8")]
    scopes: Option<String>,
    #[prost(string, optional, tag = "9")]
    limits: Option<String>,
    #[prost(uint64, optional, tag = "10")]
    ends_at_ms: Option<u64>,
    #[prost(bool, tag = "11")]
    replaced: bool,
}

/// A file that was read.
pub struct Copied {
    pub header: Header,
    records: Vec<u8>,
}

/// The file with all keys, of a folder.
pub fn all_path(folder: &Path) -> PathBuf {
    folder.join("keys.all")
}

/// The file with what changed since.
pub fn recent_path(folder: &Path) -> PathBuf {
    folder.join("keys.recent")
}

/// Puts a file in the place of an old one.
///
/// # Errors
/// As the disk says.
pub fn write(
    path: &Path,
    header: &Header,
    changes: impl Iterator<Item = Change>,
) -> io::Result<()> {
    let mut new_path = path.as_os_str().to_owned();
    new_path.push(".new");
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new_path)?;
    let mut out = Out {
        to: BufWriter::new(file),
        crc: crc32fast::Hasher::new(),
    };
    out.put(MAGIC)?;
    out.put(&header.encode_length_delimited_to_vec())?;
    for change in changes {
        out.put(&Record::of(change).encode_length_delimited_to_vec())?;
    }
    let crc = out.crc.finalize();
    out.to.write_all(&crc.to_le_bytes())?;
    let file = out
        .to
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&new_path, path)
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// As the disk says; `InvalidData` where it isn't whole.
pub fn read(path: &Path) -> io::Result<Option<Copied>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let not_whole = || io::Error::new(io::ErrorKind::InvalidData, "it isn't whole");
    let body = bytes.len().checked_sub(CRC_BYTES).ok_or_else(not_whole)?;
    let crc = bytes.split_off(body);
    if crc != crc32fast::hash(&bytes).to_le_bytes() {
        return Err(not_whole());
    }
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(not_whole)?;
    let header = Header::decode_length_delimited(&mut rest).map_err(|_| not_whole())?;
    let records = rest.to_vec();
    Ok(Some(Copied { header, records }))
}

impl Copied {
    /// What it says, in order. What can't be read is an error: a key may be
    /// missing then.
    ///
    /// # Errors
    /// `InvalidData`.
    pub fn changes(&self) -> impl Iterator<Item = io::Result<Change>> {
        let mut rest = self.records.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = Record::decode_length_delimited(&mut rest);
            let change = record.ok().and_then(Record::change);
            if change.is_none() {
                rest = &[];
            }
            let odd = || io::Error::new(io::ErrorKind::InvalidData, "a key can't be read");
            Some(change.ok_or_else(odd))
        })
    }
}

struct Out {
    to: BufWriter<File>,
    crc: crc32fast::Hasher,
}

impl Out {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.to.write_all(bytes)
    }
}

impl Record {
    fn of(change: Change) -> Self {
        let key = match change {
            Change::Put(key) => key,
            Change::Remove(id) => {
                return Self {
                    id: id.to_string(),
                    ..Self::default()
                };
            }
        };
        let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
        let account = key.account;
        let labels = account.labels.as_deref().and_then(labels_json);
        let scopes = account.scopes.as_deref().and_then(scopes_json);
        Self {
            id: key.id.to_string(),
            digest: key.digest.0.to_vec(),
            tenant: account.tenant.to_string(),
            project: text(account.project),
            environment: text(account.environment),
            user: text(key.user),
            labels: labels.map(|json| json.to_string()),
            scopes: scopes.map(|json| json.to_string()),
            limits: text(account.limits),
            ends_at_ms: key.ends_at.map(|at| at.0),
            replaced: key.replaced,
        }
    }

    fn change(self) -> Option<Change> {
        let id: Arc<str> = self.id.into();
        if self.digest.is_empty() {
            return Some(Change::Remove(id));
        }
        let text = |text: Option<String>| text.map(Arc::from);
        let labels = self.labels.as_deref().map(labels_of_json);
        let scopes = self.scopes.as_deref().map(scopes_of_json);
        Some(Change::Put(Key {
            digest: KeyDigest(self.digest.try_into().ok()?),
            id,
            user: text(self.user),
            account: Account {
                tenant: self.tenant.into(),
                project: text(self.project),
                environment: text(self.environment),
                labels: match labels {
                    Some(labels) => Some(labels?.into()),
                    None => None,
                },
                scopes: match scopes {
                    Some(scopes) => Some(Arc::new(scopes?)),
                    None => None,
                },
                limits: text(self.limits),
            },
            ends_at: self.ends_at_ms.map(UnixMillis),
            replaced: self.replaced,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Scopes;
    use crate::identity::scopes::Pattern;
    use std::os::unix::fs::PermissionsExt;

    fn changes() -> Vec<Change> {
        let key = |id: &str, n: u8| Key {
            digest: KeyDigest([n; 32]),
            id: id.into(),
            user: None,
            account: Account {
                tenant: "acme".into(),
                ..Account::default()
            },
            ends_at: None,
            replaced: false,
        };
        let whole = Key {
            user: Some("ada".into()),
            account: Account {
                tenant: "acme".into(),
                project: Some("p".into()),
                environment: Some("prod".into()),
                labels: Some(vec![("team".into(), "x".into())].into()),
                scopes: Some(Arc::new(Scopes {
                    models: vec![Pattern::new("gpt-*").unwrap()],
                    ..Scopes::default()
                })),
                limits: Some("[]".into()),
            },
            ends_at: Some(UnixMillis(7)),
            replaced: true,
            ..key("whole", 1)
        };
        vec![
            Change::Put(whole),
            Change::Put(key("small", 2)),
            Change::Remove("gone".into()),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = all_path(folder.path());
        assert!(read(&path).unwrap().is_none());
        let header = Header {
            database: "db".to_owned(),
            changed: 9,
            since: 3,
            read_at_ms: 5,
        };
        write(&path, &header, std::iter::empty()).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().changes().count(), 0);
        write(&path, &header, changes().into_iter()).unwrap();
        let copied = read(&path).unwrap().unwrap();
        assert_eq!(copied.header, header);
        let read: Vec<Change> = copied.changes().collect::<Result<_, _>>().unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", changes()));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_cut_or_changed_anywhere_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = all_path(folder.path());
        let header = Header::default();
        write(&path, &header, changes().into_iter()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            std::fs::write(&path, &changed).unwrap();
            assert!(read(&path).is_err(), "changed at {at}");
        }
    }
}
