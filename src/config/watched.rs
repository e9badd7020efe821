//! The files that a configuration was read from, itself among them, and whether
//! they still hold what was read.
//!
//! They are read, not listened to: whoever brings a new one may write it anew,
//! rename it into place or, as Kubernetes does, turn a link to a folder, and on any
//! file system; only what they hold is the same for all.
//!
//! Always holds: a file is read again only where its metadata say that it may have
//! changed, or are too young to tell, so that a look at large files costs nothing
//! while nobody touches them. Of what a file holds a digest is kept, no more.

use super::outside::{Outside, Process};
use crate::units::{Millis, UnixMillis};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Two writes this near to each other may leave the same times behind: file systems
/// round them to a tick, some to two seconds.
const TICK_MAX: Millis = Millis(2_500);

/// This process's environment and file system, where it is noted down what each
/// file held.
#[derive(Debug, Default)]
pub struct Watched {
    files: RefCell<BTreeMap<PathBuf, File>>,
}

/// What all of the files held, as far as two looks can differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held(BTreeMap<PathBuf, Found>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Bytes([u8; 32]),
    Unreadable(io::ErrorKind),
}

#[derive(Debug)]
struct File {
    bytes_max: usize,
    seen: Seen,
}

/// A file as it was seen.
#[derive(Debug)]
struct Seen {
    /// `None`: there was none to be seen.
    stamp: Option<Stamp>,
    /// Whether a later change is sure to leave another stamp.
    is_settled: bool,
    found: Found,
}

/// What changes when a file does, where a path leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        // Follows links, as reading does.
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether it is older than what times are rounded to.
    fn is_settled(&self, now: UnixMillis) -> bool {
        let old = |(seconds, nanos): (i64, i64)| {
            let ms = seconds
                .saturating_mul(1_000)
                .saturating_add(nanos / 1_000_000);
            u64::try_from(ms).is_ok_and(|ms| now.since(UnixMillis(ms)) > TICK_MAX)
        };
        old(self.modified) && old(self.changed)
    }
}

impl Seen {
    fn of(path: &Path, bytes_max: usize) -> (Self, io::Result<Vec<u8>>) {
        // Before reading: what is written meanwhile leaves another.
        let stamp = Stamp::of(path);
        let now = Process.now();
        let read = Process.file(path, bytes_max);
        let found = match &read {
            Ok(bytes) => Found::Bytes(Sha256::digest(bytes).into()),
            Err(error) => Found::Unreadable(error.kind()),
        };
        let seen = Self {
            is_settled: stamp.is_some_and(|stamp| stamp.is_settled(now)),
            stamp,
            found,
        };
        (seen, read)
    }
}

impl Outside for Watched {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        Process.env(name)
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let (seen, read) = Seen::of(path, bytes_max);
        // Of one that is read twice the first counts: where the second differs, a
        // look finds it changed.
        let mut files = self.files.borrow_mut();
        files
            .entry(path.to_owned())
            .or_insert(File { bytes_max, seen });
        read
    }
}

impl Watched {
    /// What was read, or a look found since.
    pub fn held(&self) -> Held {
        let files = self.files.borrow();
        let each = files.iter();
        Held(
            each.map(|(path, file)| (path.clone(), file.seen.found.clone()))
                .collect(),
        )
    }

    /// What the files hold now.
    pub fn look(&mut self) -> Held {
        for (path, file) in self.files.get_mut() {
            let same = file.seen.stamp.is_some() && file.seen.stamp == Stamp::of(path);
            if !(same && file.seen.is_settled) {
                (file.seen, _) = Seen::of(path, file.bytes_max);
            }
        }
        self.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    fn age(path: &Path) {
        let then = SystemTime::now() - Duration::from_secs(60);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(then).unwrap();
    }

    #[test]
    fn every_way_to_bring_a_new_file_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.yaml");
        let another = folder.path().join("another");
        let mut watched = Watched::default();
        fs::write(&path, "one").unwrap();
        assert_eq!(watched.file(&path, 10).unwrap(), b"one");
        let first = watched.held();
        assert_eq!(watched.look(), first, "nothing has changed");
        // In place, of the same length, within a tick.
        fs::write(&path, "two").unwrap();
        let second = watched.look();
        assert_ne!(second, first);
        // By a rename, as editors do.
        fs::write(&another, "one").unwrap();
        fs::rename(&another, &path).unwrap();
        assert_eq!(watched.look(), first, "what it holds counts");
        // By its times alone it has not changed.
        age(&path);
        assert_eq!(watched.look(), first);
        fs::remove_file(&path).unwrap();
        let gone = watched.look();
        assert!(gone != first && gone != second);
        fs::write(&path, "more than ten bytes").unwrap();
        assert_ne!(watched.look(), gone, "it is there, and too large");
        fs::write(&path, "one").unwrap();
        assert_eq!(watched.look(), first);
    }

    /// As Kubernetes brings a ConfigMap: a link to a link to a folder, which is
    /// turned whole.
    #[test]
    fn a_turned_link_is_a_change_of_all_that_lies_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(name)).unwrap();
            for file in ["weir.yaml", "prices.txt"] {
                fs::write(at(name).join(file), text).unwrap();
            }
        }
        symlink("..1", at("..data")).unwrap();
        let mut watched = Watched::default();
        for file in ["weir.yaml", "prices.txt"] {
            symlink(format!("..data/{file}"), at(file)).unwrap();
            assert_eq!(watched.file(&at(file), 10).unwrap(), b"one");
        }
        let first = watched.held();
        symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        let second = watched.look();
        let changed = second
            .0
            .iter()
            .filter(|(path, found)| first.0[*path] != **found);
        assert_eq!(changed.count(), 2);
    }

    #[test]
    fn a_file_that_lay_still_is_not_read_again() {
        let now = UnixMillis(100_000);
        let stamp = |modified, changed| Stamp {
            device: 1,
            inode: 1,
            bytes: 1,
            modified,
            changed,
        };
        for (modified, changed, settled) in [
            ((90, 0), (90, 0), true),
            ((97, 400_000_000), (90, 0), true),
            ((97, 600_000_000), (90, 0), false),
            ((90, 0), (99, 0), false),
            // By another machine's clock.
            ((200, 0), (90, 0), false),
            ((-5, 0), (90, 0), false),
        ] {
            let stamp = stamp(modified, changed);
            assert_eq!(stamp.is_settled(now), settled, "{stamp:?}");
        }
    }
}
