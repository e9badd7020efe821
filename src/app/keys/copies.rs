//! The files beside the spool that a sidecar goes on from while the database is
//! away.
//!
//! Always holds: what has changed is in a file a second or two later; a disk that
//! is slow or full delays no reading of the database.

use crate::accounts::copy::{self, Header, all_path, recent_path};
use crate::identity::{Change, KeyTable, KeyTableBuilder};
use crate::units::UnixMillis;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// So many changes are kept beside the file with all keys before it is written
/// anew.
const RECENT_MAX: usize = 4_096;

/// How often it is noted when the database was read last, in rounds of about a
/// second: what a copy doesn't know makes it older than it is.
const NOTED_EVERY: u32 = 30;

/// What an earlier process left.
pub(super) struct Copy {
    pub table: KeyTable,
    pub read_at: UnixMillis,
}

/// What is to be in the files.
pub(super) struct Copies {
    folder: PathBuf,
    /// The last change that the file with all keys has; `None`: it must be written.
    since: Option<i64>,
    recent: Vec<Change>,
    /// What is in `recent` isn't in its file.
    is_dirty: bool,
    rounds: u32,
    writing: Option<JoinHandle<bool>>,
}

impl Copies {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            since: None,
            recent: Vec::new(),
            is_dirty: false,
            rounds: 0,
            writing: None,
        }
    }

    /// Everything was read anew.
    pub fn begin_anew(&mut self) {
        self.since = None;
        self.recent.clear();
    }

    pub fn add(&mut self, changes: &[Change]) {
        self.recent.extend_from_slice(changes);
        self.is_dirty = true;
    }

    /// Writes what is to be written, beside everything else.
    pub fn keep(
        &mut self,
        database: &Arc<str>,
        changed: i64,
        read_at: Option<UnixMillis>,
        table: &Arc<KeyTable>,
    ) {
        if !self.is_done() {
            return;
        }
        let Some(read_at) = read_at.filter(|_| !database.is_empty()) else {
            return;
        };
        self.rounds = self.rounds.wrapping_add(1);
        let mut header = Header {
            database: database.to_string(),
            changed,
            since: 0,
            read_at_ms: read_at.0,
        };
        let since = self.since.filter(|_| self.recent.len() <= RECENT_MAX);
        if let Some(since) = since {
            if !self.is_dirty && !self.rounds.is_multiple_of(NOTED_EVERY) {
                return;
            }
            header.since = since;
            let (path, recent) = (recent_path(&self.folder), self.recent.clone());
            self.is_dirty = false;
            let write = move || told(copy::write(&path, &header, recent.into_iter()));
            self.writing = Some(tokio::task::spawn_blocking(write));
            return;
        }
        self.begin_anew();
        self.since = Some(changed);
        self.is_dirty = false;
        let (path, table) = (all_path(&self.folder), Arc::clone(table));
        let write = move || {
            let keys = table.iter().map(|entry| Change::Put(entry.key()));
            told(copy::write(&path, &header, keys))
        };
        self.writing = Some(tokio::task::spawn_blocking(write));
    }

    /// Whether nothing is being written. After what failed all is written anew.
    fn is_done(&mut self) -> bool {
        let Some(writing) = self.writing.take() else {
            return true;
        };
        if !writing.is_finished() {
            self.writing = Some(writing);
            return false;
        }
        use futures_util::FutureExt;
        if writing
            .now_or_never()
            .is_none_or(|done| !done.unwrap_or(false))
        {
            self.begin_anew();
        }
        true
    }
}

fn told(written: io::Result<()>) -> bool {
    if let Err(error) = &written {
        tracing::warn!(%error, "the keys can't be copied beside the spool");
    }
    written.is_ok()
}

/// What an earlier process left in a folder; `None` where there is nothing.
pub(super) fn read(folder: &Path) -> io::Result<Option<Copy>> {
    let Some(all) = copy::read(&all_path(folder))? else {
        return Ok(None);
    };
    let mut builder = KeyTableBuilder::default();
    for change in all.changes() {
        if let Change::Put(key) = change? {
            builder.push(key);
        }
    }
    let odd = |_| io::Error::new(io::ErrorKind::InvalidData, "two keys have one secret");
    let mut table = builder.build().map_err(odd)?;
    let mut read_at = UnixMillis(all.header.read_at_ms);
    if let Some(recent) = copy::read(&recent_path(folder))?
        && recent.header.database == all.header.database
        && recent.header.since == all.header.changed
    {
        let changes = recent.changes().collect::<io::Result<Vec<Change>>>()?;
        table = table.changed(changes);
        read_at = UnixMillis(recent.header.read_at_ms);
    }
    Ok(Some(Copy { table, read_at }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyDigest;
    use crate::identity::table::{Account, Key};
    use std::time::Duration;

    fn key(n: u8) -> Key {
        Key {
            digest: KeyDigest([n; 32]),
            id: format!("k{n}").into(),
            user: None,
            account: Account {
                tenant: "acme".into(),
                ..Account::default()
            },
            ends_at: None,
            replaced: false,
        }
    }

    async fn written(copies: &mut Copies) {
        while !copies.is_done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn names(folder: &Path) -> (Vec<String>, u64) {
        let copy = read(folder).unwrap().unwrap();
        let mut names: Vec<String> = copy.table.iter().map(|key| key.id().to_string()).collect();
        names.sort();
        (names, copy.read_at.0)
    }

    #[tokio::test]
    async fn a_copy_is_all_keys_and_what_changed_since() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(read(folder).unwrap().is_none());
        let mut copies = Copies::new(folder.to_owned());
        let database: Arc<str> = "db".into();
        let mut table = Arc::new(KeyTable::of([key(1), key(2)]).unwrap());
        copies.keep(&database, 2, Some(UnixMillis(10)), &table);
        written(&mut copies).await;
        assert_eq!(names(folder), (vec!["k1".into(), "k2".into()], 10));
        let changes = [Change::Put(key(3)), Change::Remove("k1".into())];
        copies.add(&changes);
        table = Arc::new(table.changed(changes));
        copies.keep(&database, 4, Some(UnixMillis(20)), &table);
        written(&mut copies).await;
        assert_eq!(names(folder), (vec!["k2".into(), "k3".into()], 20));
        // A file of changes that come after another file counts for nothing.
        let all = std::fs::read(all_path(folder)).unwrap();
        copies.begin_anew();
        copies.keep(&database, 5, Some(UnixMillis(30)), &table);
        written(&mut copies).await;
        assert_eq!(names(folder), (vec!["k2".into(), "k3".into()], 30));
        std::fs::write(all_path(folder), all).unwrap();
        assert_eq!(names(folder), (vec!["k2".into(), "k3".into()], 20));
        // How fresh it is gets noted though nothing changes.
        for _ in 0..2 * NOTED_EVERY {
            copies.keep(&database, 5, Some(UnixMillis(40)), &table);
            written(&mut copies).await;
        }
        std::fs::remove_file(all_path(folder)).unwrap();
        assert!(read(folder).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_tried_again_with_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut copies = Copies::new(path.clone());
        let table = Arc::new(KeyTable::of([key(1)]).unwrap());
        let database: Arc<str> = "db".into();
        copies.keep(&database, 1, Some(UnixMillis(10)), &table);
        written(&mut copies).await;
        std::fs::create_dir(&path).unwrap();
        copies.keep(&database, 1, Some(UnixMillis(20)), &table);
        written(&mut copies).await;
        assert_eq!(names(&path), (vec!["k1".into()], 20));
    }
}
