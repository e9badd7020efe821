//! Many keys in little room, found by their digests or their names.
//!
//! A table is a value: what changes makes a new one, which shares all that
//! didn't. Changes lie beside the bulk until they are many, so that a key is
//! withdrawn at once, however many others there are.
//!
//! Always holds: no two keys have a name or a digest in common.

use super::pepper::KeyDigest;
use super::{Labels, Scopes};
use crate::units::UnixMillis;
use ahash::RandomState;
use hashbrown::HashTable;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many changes lie beside the bulk, or a part of it, before they join it.
const CHANGES_MIN: usize = 1024;
const CHANGES_PART: usize = 64;

/// When it was last used is kept to the hour.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// A key, as it is told to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub digest: KeyDigest,
    /// Its name.
    pub id: Arc<str>,
    pub user: Option<Arc<str>>,
    pub account: Account,
    /// It ends then; `None`: it doesn't by itself.
    pub ends_at: Option<UnixMillis>,
    /// Another key has taken its place: whoever still uses it is to be told of.
    pub replaced: bool,
}

/// What the keys of a project have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Account {
    pub tenant: Arc<str>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub labels: Option<Arc<Labels>>,
    pub scopes: Option<Arc<Scopes>>,
    /// Limits of its own, by the name that `policy` has them under.
    pub limits: Option<Arc<str>>,
}

/// A key in a table.
#[derive(Debug)]
pub struct Entry {
    digest: KeyDigest,
    id: Arc<str>,
    user: Option<Arc<str>>,
    account: Arc<Account>,
    /// 0: never.
    ends_at: UnixMillis,
    /// Hours since 1970; 0: not since it is here.
    used_hour: AtomicU32,
    replaced: bool,
}

/// What becomes of a key.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is this from now on, whatever the key of its name was.
    Put(Key),
    /// It is none any more.
    Remove(Arc<str>),
}

/// All keys of one place.
#[derive(Debug, Clone, Default)]
pub struct KeyTable {
    bulk: Arc<Bulk>,
    beside: Beside,
}

/// Makes a table of keys that come one after the other, so that they needn't all
/// be at hand in their larger form.
#[derive(Debug, Default)]
pub struct KeyTableBuilder {
    /// What many have in common is kept once.
    accounts: HashSet<Arc<Account>>,
    entries: Vec<Entry>,
}

/// Why a key couldn't be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTableError {
    #[error("another key has this name")]
    DuplicateId,
    #[error("another key has this hash")]
    DuplicateHash,
}

#[derive(Debug)]
struct Bulk {
    entries: Box<[Entry]>,
    by_digest: HashTable<u32>,
    by_id: HashTable<u32>,
    /// Nobody who chooses names can aim at a bucket: its seeds are bytes of a
    /// digest, which nobody knows without the pepper.
    hasher: RandomState,
}

#[derive(Debug, Clone, Default)]
struct Beside {
    by_digest: HashMap<KeyDigest, Arc<Entry>>,
    /// `None`: it is gone. What is here hides what is in the bulk.
    by_id: HashMap<Arc<str>, Option<Arc<Entry>>>,
}

impl KeyTable {
    /// A table of these keys.
    ///
    /// # Errors
    /// Two of them have a name or a digest in common.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyTableError> {
        let mut builder = KeyTableBuilder::default();
        for key in keys {
            builder.push(key);
        }
        builder.build()
    }

    /// What it is after these changes; of two to one key the later counts.
    pub fn changed(&self, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut table = self.clone();
        for change in changes {
            match change {
                Change::Put(key) => table.put(key),
                Change::Remove(id) => table.remove(id),
            }
        }
        let most = CHANGES_MIN.max(table.bulk.entries.len() / CHANGES_PART);
        match table.beside.by_id.len() > most {
            true => table.joined(),
            false => table,
        }
    }

    pub fn find(&self, digest: &KeyDigest) -> Option<&Entry> {
        let changed = self.beside.by_digest.get(digest).map(|entry| &**entry);
        let found = changed.or_else(|| {
            let entry = self.bulk.find(digest)?;
            (!self.beside.by_id.contains_key(&entry.id)).then_some(entry)
        })?;
        found.digest.is(digest).then_some(found)
    }

    pub fn by_id(&self, id: &str) -> Option<&Entry> {
        match self.beside.by_id.get(id) {
            Some(changed) => changed.as_deref(),
            None => self.bulk.by_id(id),
        }
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let bulk = self.bulk.entries.iter();
        let unchanged = bulk.filter(|entry| !self.beside.by_id.contains_key(&entry.id));
        let changed = self.beside.by_id.values().flatten();
        unchanged.chain(changed.map(|entry| &**entry))
    }

    /// Looks at what lies beside the bulk alone.
    pub fn len(&self) -> usize {
        let mut len = self.bulk.entries.len();
        for (id, changed) in &self.beside.by_id {
            match (self.bulk.by_id(id).is_some(), changed.is_some()) {
                (true, false) => len = len.saturating_sub(1),
                (false, true) => len = len.saturating_add(1),
                (true, true) | (false, false) => {}
            }
        }
        len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&mut self, key: Key) {
        // A digest is of one key: two that share it would be one secret.
        let other = self.find(&key.digest).map(|entry| Arc::clone(&entry.id));
        if let Some(other) = other.filter(|other| *other != key.id) {
            self.remove(other);
        }
        let used_hour = self.by_id(&key.id).map_or(0, Entry::used_hour);
        self.remove(Arc::clone(&key.id));
        let entry = Arc::new(Entry {
            digest: key.digest,
            id: Arc::clone(&key.id),
            user: key.user,
            account: Arc::new(key.account),
            ends_at: key.ends_at.unwrap_or_default(),
            used_hour: AtomicU32::new(used_hour),
            replaced: key.replaced,
        });
        let digests = &mut self.beside.by_digest;
        digests.insert(key.digest, Arc::clone(&entry));
        self.beside.by_id.insert(key.id, Some(entry));
    }

    fn remove(&mut self, id: Arc<str>) {
        if let Some(entry) = self.by_id(&id) {
            let digest = entry.digest;
            self.beside.by_digest.remove(&digest);
        }
        match self.bulk.by_id(&id).is_some() {
            true => self.beside.by_id.insert(id, None),
            false => self.beside.by_id.remove(&id),
        };
    }

    fn joined(self) -> Self {
        let entries: Box<[Entry]> = self.iter().map(Entry::copy).collect();
        match Bulk::of(entries) {
            Ok(bulk) => Self {
                bulk: Arc::new(bulk),
                beside: Beside::default(),
            },
            // It can't be: `put` lets no two share anything.
            Err(_) => self,
        }
    }
}

impl KeyTableBuilder {
    /// Makes room for so many.
    pub fn with_capacity(keys: usize) -> Self {
        Self {
            accounts: HashSet::new(),
            entries: Vec::with_capacity(keys),
        }
    }

    pub fn push(&mut self, key: Key) {
        let account = match self.accounts.get(&key.account) {
            Some(known) => Arc::clone(known),
            None => {
                let account = Arc::new(key.account);
                self.accounts.insert(Arc::clone(&account));
                account
            }
        };
        self.entries.push(Entry {
            digest: key.digest,
            id: key.id,
            user: key.user,
            account,
            ends_at: key.ends_at.unwrap_or_default(),
            used_hour: AtomicU32::new(0),
            replaced: key.replaced,
        });
    }

    /// # Errors
    /// Two of the keys have a name or a digest in common.
    pub fn build(self) -> Result<KeyTable, KeyTableError> {
        Ok(KeyTable {
            bulk: Arc::new(Bulk::of(self.entries.into_boxed_slice())?),
            beside: Beside::default(),
        })
    }
}

impl Default for Bulk {
    fn default() -> Self {
        Self {
            entries: Box::default(),
            by_digest: HashTable::new(),
            by_id: HashTable::new(),
            hasher: hasher(None),
        }
    }
}

fn hasher(first: Option<&Entry>) -> RandomState {
    let seed = |at: usize| {
        let digest = first.and_then(|entry| entry.digest.0.as_chunks::<8>().0.get(at));
        u64::from_le_bytes(digest.copied().unwrap_or_default())
    };
    RandomState::with_seeds(seed(0), seed(1), seed(2), seed(3))
}

impl Bulk {
    fn of(entries: Box<[Entry]>) -> Result<Self, KeyTableError> {
        let mut bulk = Self {
            by_digest: HashTable::with_capacity(entries.len()),
            by_id: HashTable::with_capacity(entries.len()),
            hasher: hasher(entries.first()),
            entries,
        };
        for (at, entry) in (0u32..).zip(&bulk.entries) {
            let known = |at: &u32| bulk.entries.get(index(*at));
            let hash = entry.digest.hash();
            let same = |at: &u32| known(at).is_some_and(|other| other.digest == entry.digest);
            if bulk.by_digest.find(hash, same).is_some() {
                return Err(KeyTableError::DuplicateHash);
            }
            let rehash = |at: &u32| known(at).map_or(0, |entry| entry.digest.hash());
            bulk.by_digest.insert_unique(hash, at, rehash);
            let hash = bulk.hasher.hash_one(&*entry.id);
            let same = |at: &u32| known(at).is_some_and(|other| other.id == entry.id);
            if bulk.by_id.find(hash, same).is_some() {
                return Err(KeyTableError::DuplicateId);
            }
            let rehash = |at: &u32| known(at).map_or(0, |e| bulk.hasher.hash_one(&*e.id));
            bulk.by_id.insert_unique(hash, at, rehash);
        }
        Ok(bulk)
    }

    fn find(&self, digest: &KeyDigest) -> Option<&Entry> {
        let entry = |at: &u32| self.entries.get(index(*at));
        let is_it = |at: &u32| entry(at).is_some_and(|entry| entry.digest == *digest);
        self.by_digest.find(digest.hash(), is_it).and_then(entry)
    }

    fn by_id(&self, id: &str) -> Option<&Entry> {
        let entry = |at: &u32| self.entries.get(index(*at));
        let is_it = |at: &u32| entry(at).is_some_and(|entry| *entry.id == *id);
        self.by_id
            .find(self.hasher.hash_one(id), is_it)
            .and_then(entry)
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Entry {
    /// Its name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    pub fn has_ended(&self, now: UnixMillis) -> bool {
        self.ends_at.0 != 0 && self.ends_at <= now
    }

    pub fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// It is used now.
    pub fn touch(&self, now: UnixMillis) {
        let hour = u32::try_from(now.0 / HOUR_MS).unwrap_or(u32::MAX);
        // Read first: a line that all cores write would be passed around.
        if self.used_hour.load(Ordering::Relaxed) != hour {
            self.used_hour.store(hour, Ordering::Relaxed);
        }
    }

    /// Hours since 1970 until it was last used; 0 where it wasn't, as far as is
    /// known here.
    pub fn used_hour(&self) -> u32 {
        self.used_hour.load(Ordering::Relaxed)
    }

    /// As it was told to the table.
    pub fn key(&self) -> Key {
        Key {
            digest: self.digest,
            id: Arc::clone(&self.id),
            user: self.user.clone(),
            account: Account::clone(&self.account),
            ends_at: (self.ends_at.0 != 0).then_some(self.ends_at),
            replaced: self.replaced,
        }
    }

    fn copy(&self) -> Self {
        Self {
            digest: self.digest,
            id: Arc::clone(&self.id),
            user: self.user.clone(),
            account: Arc::clone(&self.account),
            ends_at: self.ends_at,
            used_hour: AtomicU32::new(self.used_hour()),
            replaced: self.replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(id: u32, digest: u32) -> Key {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&digest.to_le_bytes());
        Key {
            digest: KeyDigest(bytes),
            id: format!("key-{id}").into(),
            user: None,
            account: Account {
                tenant: format!("tenant-{}", id % 7).into(),
                ..Account::default()
            },
            ends_at: None,
            replaced: false,
        }
    }

    #[test]
    fn no_two_keys_of_a_table_share_a_name_or_a_digest() {
        assert_eq!(
            KeyTable::of([key(1, 1), key(1, 2)]).unwrap_err(),
            KeyTableError::DuplicateId
        );
        assert_eq!(
            KeyTable::of([key(1, 1), key(2, 1)]).unwrap_err(),
            KeyTableError::DuplicateHash
        );
    }

    #[test]
    fn when_a_key_was_used_outlives_changes() {
        let table = KeyTable::of([key(1, 1)]).unwrap();
        table
            .by_id("key-1")
            .unwrap()
            .touch(UnixMillis(5 * HOUR_MS + 1));
        let table = table.changed([Change::Put(key(1, 9))]);
        assert_eq!(table.by_id("key-1").unwrap().used_hour(), 5);
        let many = (10..3_000).map(|n| Change::Put(key(n, n)));
        let table = table.changed(many);
        assert!(table.beside.by_id.is_empty(), "they joined the bulk");
        assert_eq!(table.by_id("key-1").unwrap().used_hour(), 5);
        assert_eq!(table.len(), 2_991);
    }

    proptest! {
        /// Whatever is changed in whatever order, a table is what a map would be.
        #[test]
        fn a_table_is_what_a_map_would_be(
            first in proptest::collection::btree_set(0u32..40, 0..20),
            changes in proptest::collection::vec((0u32..40, 0u32..60, any::<bool>()), 0..120),
        ) {
            let mut map: HashMap<String, KeyDigest> = HashMap::new();
            for n in &first {
                map.insert(format!("key-{n}"), key(*n, *n).digest);
            }
            let mut table = KeyTable::of(first.iter().map(|n| key(*n, *n))).unwrap();
            for (id, digest, put) in changes {
                let name = format!("key-{id}");
                if put {
                    let new = key(id, digest);
                    map.retain(|_, known| *known != new.digest);
                    map.insert(name, new.digest);
                    table = table.changed([Change::Put(new)]);
                } else {
                    map.remove(&name);
                    table = table.changed([Change::Remove(name.into())]);
                }
                if id == 7 {
                    table = table.joined();
                }
                prop_assert_eq!(table.len(), map.len());
                for n in 0..60 {
                    let digest = key(n, n).digest;
                    let found = table.find(&digest).map(|entry| entry.id.to_string());
                    let known = map.iter().find(|(_, known)| **known == digest);
                    prop_assert_eq!(found, known.map(|(id, _)| id.clone()));
                    let by_id = table.by_id(&format!("key-{n}")).map(|entry| entry.digest);
                    prop_assert_eq!(by_id, map.get(&format!("key-{n}")).copied());
                }
            }
        }
    }
}
