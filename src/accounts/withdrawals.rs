//! Keys, grants and top-ups that were withdrawn by another way than the database, which
//! is told of them when it can be: in a file beside the spool, so that neither a restart nor a
//! database that comes back makes one of them count again.
//!
//! Always holds: what [`Withdrawals::add`] said yes to is on disk; a file is written
//! whole and then put in place of the old one; what was withdrawn here counts no
//! more, whatever is read of it later.

use crate::identity::{Change, KeyTable, format};
use crate::policy::grants::{GrantChange, Grants};
use crate::policy::top_ups::{TopUpChange, TopUps};
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many can wait for the database. Who has more to withdraw meanwhile replaces
/// the pepper.
pub const UNTOLD_MAX: usize = 10_000;

/// The largest file that is read: as many with the longest names.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Something that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The key's name, or the grant's or the top-up's id.
    pub id: Arc<str>,
    /// Who did it, as the audit is to name them.
    pub actor: Arc<str>,
    pub at: UnixMillis,
}

/// What was withdrawn, as far as it is known here.
#[derive(Debug, Default)]
pub struct Withdrawals {
    /// `None`: it is kept nowhere.
    folder: Option<PathBuf>,
    known: Mutex<Known>,
    /// Whose turn it is to write the file: what was there last is written last.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    all: HashMap<Arc<str>, Withdrawal>,
    /// Those that the database isn't known to know of.
    untold: Vec<Withdrawal>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    actor: String,
    at_ms: u64,
}

impl Withdrawals {
    /// What an earlier process left in a folder, and where this one keeps it.
    ///
    /// # Errors
    /// As the disk says; `InvalidData` where a file is there that isn't one of
    /// these: which keys count isn't known then.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let untold = read(&path(folder))?;
        Ok(Self {
            folder: Some(folder.to_owned()),
            known: Mutex::new(Known {
                all: untold
                    .iter()
                    .map(|one| (Arc::clone(&one.id), one.clone()))
                    .collect(),
                untold,
            }),
            writing: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one, and has it on disk. Waits for the disk.
    ///
    /// # Errors
    /// As the disk says, or [`UNTOLD_MAX`] wait already: then nothing is withdrawn.
    pub fn add(&self, one: Withdrawal) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut untold = self.known().untold.clone();
        if untold.len() >= UNTOLD_MAX {
            return Err(io::Error::other("too many wait for the database already"));
        }
        if untold.iter().all(|known| known.id != one.id) {
            untold.push(one.clone());
            self.write(&untold)?;
        }
        let mut known = self.known();
        known.all.insert(Arc::clone(&one.id), one);
        known.untold = untold;
        Ok(())
    }

    /// Takes those that were told of elsewhere; the database knows already of those
    /// for which `is_known` holds. Whether any is new that it isn't known to know of:
    /// then [`Withdrawals::save`].
    pub fn hear(&self, all: Vec<Withdrawal>, is_known: impl Fn(&str) -> bool) -> bool {
        let mut known = self.known();
        let before = known.untold.len();
        for one in all {
            let is_new = known.all.insert(Arc::clone(&one.id), one.clone());
            if is_new.is_none() && !is_known(&one.id) && known.untold.len() < UNTOLD_MAX {
                known.untold.push(one);
            }
        }
        known.untold.len() > before
    }

    /// What the database says is there, of all that it has: it doesn't know of those
    /// that were withdrawn and are. Whether any is new: then [`Withdrawals::save`].
    pub fn hold_against(&self, is_there: impl Fn(&str) -> bool) -> bool {
        let mut known = self.known();
        let waiting: HashSet<&Arc<str>> = known.untold.iter().map(|one| &one.id).collect();
        let there = |one: &&Withdrawal| is_there(&one.id);
        let new = known.all.values().filter(there);
        let new = new.filter(|one| !waiting.contains(&one.id));
        let room = UNTOLD_MAX.saturating_sub(known.untold.len());
        let new: Vec<Withdrawal> = new.take(room).cloned().collect();
        let any = !new.is_empty();
        known.untold.extend(new);
        any
    }

    /// Those that the database isn't known to know of.
    pub fn untold(&self) -> Vec<Withdrawal> {
        self.known().untold.clone()
    }

    /// The database knows of these. Whether any was waiting: then
    /// [`Withdrawals::save`].
    pub fn told(&self, ids: &HashSet<Arc<str>>) -> bool {
        let mut known = self.known();
        let before = known.untold.len();
        known.untold.retain(|one| !ids.contains(&one.id));
        known.untold.len() < before
    }

    /// Writes down those that wait. Waits for the disk.
    ///
    /// # Errors
    /// As the disk says.
    pub fn save(&self) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = self.untold();
        self.write(&untold)
    }

    /// Keys without those that were withdrawn.
    pub fn without(&self, table: KeyTable) -> KeyTable {
        let known = self.known();
        match known.all.is_empty() {
            true => table,
            false => table.changed(known.all.keys().map(Arc::clone).map(Change::Remove)),
        }
    }

    /// Changes that bring none of them back.
    pub fn without_those_of(&self, mut changes: Vec<Change>) -> Vec<Change> {
        let known = self.known();
        for change in &mut changes {
            if let Change::Put(key) = change
                && known.all.contains_key(&key.id)
            {
                *change = Change::Remove(Arc::clone(&key.id));
            }
        }
        changes
    }

    /// Grants and denials without the grants that were withdrawn.
    pub fn without_grants(&self, grants: Grants) -> Grants {
        let withdrawn = self.of_the_allowed();
        match withdrawn.is_empty() {
            true => grants,
            false => grants.changed(withdrawn.into_iter().map(GrantChange::Revoked)),
        }
    }

    /// Top-ups without those that were withdrawn.
    pub fn without_top_ups(&self, top_ups: TopUps) -> TopUps {
        let withdrawn = self.of_the_allowed();
        match withdrawn.is_empty() {
            true => top_ups,
            false => top_ups.changed(withdrawn.into_iter().map(TopUpChange::Revoked)),
        }
    }

    /// Changes that bring no grant of them back.
    pub fn without_those_granted(&self, mut changes: Vec<GrantChange>) -> Vec<GrantChange> {
        let known = self.known();
        for change in &mut changes {
            if let GrantChange::Granted(grant) = change
                && known.all.contains_key(&grant.id)
            {
                *change = GrantChange::Revoked(Arc::clone(&grant.id));
            }
        }
        changes
    }

    /// Changes that bring no top-up of them back.
    pub fn without_those_added(&self, mut changes: Vec<TopUpChange>) -> Vec<TopUpChange> {
        let known = self.known();
        for change in &mut changes {
            if let TopUpChange::Added(top_up) = change
                && known.all.contains_key(&top_up.id)
            {
                *change = TopUpChange::Revoked(Arc::clone(&top_up.id));
            }
        }
        changes
    }

    fn of_the_allowed(&self) -> Vec<Arc<str>> {
        let known = self.known();
        let ids = known.all.keys().filter(|id| format::is_of_the_allowed(id));
        ids.map(Arc::clone).collect()
    }

    fn write(&self, untold: &[Withdrawal]) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let lines = untold.iter().map(|one| Line {
            id: one.id.to_string(),
            actor: one.actor.to_string(),
            at_ms: one.at.0,
        });
        let text = serde_json::to_vec(&lines.collect::<Vec<_>>())?;
        let (path, new) = (path(folder), folder.join("keys.withdrawn.new"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let mut file = options.mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        // The name too, or the old file may be there after a loss of power.
        File::open(folder)?.sync_all()
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("keys.withdrawn")
}

fn read(path: &Path) -> io::Result<Vec<Withdrawal>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let lines: Vec<Line> = serde_json::from_slice(&text).map_err(|_| {
        let error = format!("{} isn't what weir writes there", path.display());
        io::Error::new(io::ErrorKind::InvalidData, error)
    })?;
    let each = lines.into_iter().map(|line| Withdrawal {
        id: line.id.into(),
        actor: line.actor.into(),
        at: UnixMillis(line.at_ms),
    });
    Ok(each.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyDigest;
    use crate::identity::table::{Account, Key};

    fn one(id: &str) -> Withdrawal {
        Withdrawal {
            id: id.into(),
            actor: "cli/ada".into(),
            at: UnixMillis(7),
        }
    }

    fn key(id: &str, n: u8) -> Key {
        Key {
            digest: KeyDigest([n; 32]),
            id: id.into(),
            user: None,
            account: Account::default(),
            ends_at: None,
            replaced: false,
        }
    }

    #[test]
    fn what_was_taken_is_there_after_a_restart_until_the_database_knows() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Withdrawals::open(folder.path()).unwrap();
        let taken = open();
        taken.add(one("a")).unwrap();
        taken.add(one("a")).unwrap();
        assert!(!taken.hear(vec![one("a"), one("b")], |_| true));
        assert!(taken.hear(vec![one("c"), one("c")], |_| false));
        assert_eq!(taken.untold(), [one("a"), one("c")]);
        assert_eq!(open().untold(), [one("a")], "it isn't saved yet");
        taken.save().unwrap();
        assert_eq!(open().untold(), [one("a"), one("c")]);
        assert!(taken.told(&["a".into(), "x".into()].into()));
        assert!(!taken.told(&["a".into()].into()));
        taken.save().unwrap();
        assert_eq!(open().untold(), [one("c")]);
    }

    #[test]
    fn nothing_brings_them_back() {
        let taken = Withdrawals::default();
        taken.add(one("a")).unwrap();
        taken.hear(vec![one("b")], |_| true);
        taken.told(&["a".into()].into());
        let keys = [key("a", 1), key("b", 2), key("c", 3)];
        let whole = KeyTable::of(keys.clone()).unwrap();
        assert!(taken.untold().is_empty());
        // One that comes back to an earlier time is told again.
        let there = |id: &str| whole.by_id(id).is_some();
        assert!(taken.hold_against(there));
        assert!(!taken.hold_against(there));
        assert_eq!(taken.untold().len(), 2);
        let table = taken.without(whole);
        assert!(table.by_id("a").is_none() && table.by_id("b").is_none());
        assert!(table.by_id("c").is_some());
        let changes = taken.without_those_of(keys.into_iter().map(Change::Put).collect());
        let table = table.changed(changes);
        assert!(table.by_id("a").is_none() && table.by_id("b").is_none());
        assert!(table.by_id("c").is_some());
    }

    #[test]
    fn what_cant_be_kept_or_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Withdrawals::open(&folder.path().join("nowhere")).unwrap();
        assert!(nowhere.add(one("a")).is_err());
        assert!(nowhere.untold().is_empty(), "nothing is half done");
        std::fs::write(folder.path().join("keys.withdrawn"), "[{").unwrap();
        let error = Withdrawals::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
