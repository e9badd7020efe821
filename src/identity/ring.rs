//! From what a caller presents to the key that it is.

use super::format::{self, KEY_BYTES_MAX, KeyFormatError};
use super::pepper::Peppers;
use super::table::{Entry, KeyTable};
use crate::units::UnixMillis;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All keys that count: those of the configuration, and those that are kept
/// beside the ledger. Of one name in both, the configuration's counts.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    /// `None`: nobody has a key.
    pub peppers: Option<Peppers>,
    pub configured: Arc<KeyTable>,
    pub stored: Arc<KeyTable>,
    /// Nobody knows any more which stored keys still count: none does, and a key
    /// that isn't configured can't be judged.
    pub stored_is_stale: bool,
    /// How often keys were used that are to be used no more.
    pub uses: Arc<KeyUses>,
}

/// How often keys were presented that their holders are to part with.
#[derive(Debug, Default)]
pub struct KeyUses {
    ended: AtomicU64,
    replaced: AtomicU64,
    previous_pepper: AtomicU64,
}

/// Why a key is to be used no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// It has ended: the call is refused.
    Ended,
    /// Another has taken its place.
    Replaced,
    /// Its digest is made with the pepper before.
    PreviousPepper,
}

impl KeyUse {
    pub const ALL: [KeyUse; 3] = [KeyUse::Ended, KeyUse::Replaced, KeyUse::PreviousPepper];
}

impl KeyUses {
    fn count(&self, kind: KeyUse) -> &AtomicU64 {
        match kind {
            KeyUse::Ended => &self.ended,
            KeyUse::Replaced => &self.replaced,
            KeyUse::PreviousPepper => &self.previous_pepper,
        }
    }

    fn note(&self, kind: KeyUse) {
        self.count(kind).fetch_add(1, Ordering::Relaxed);
    }

    /// How often since it was asked last.
    pub fn take(&self, kind: KeyUse) -> u64 {
        self.count(kind).swap(0, Ordering::Relaxed)
    }
}

/// A key that was presented.
#[derive(Debug, Clone, Copy)]
pub struct Found<'k> {
    pub key: &'k Entry,
    /// Its digest is made with the pepper before.
    pub of_pepper_before: bool,
}

/// Why what was presented is no key that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// Its checksum doesn't fit: it was mistyped or cut.
    Mistyped,
    Unknown,
    /// It was one until then.
    Ended,
    /// Whether it is one isn't known now: see [`KeyRing::stored_is_stale`].
    Unjudged,
}

impl KeyRing {
    /// # Errors
    /// See [`NotFound`]. A mistyped key of weir's own costs no look-up.
    pub fn authenticate(&self, presented: &[u8], now: UnixMillis) -> Result<Found<'_>, NotFound> {
        if presented.is_empty() || presented.len() > KEY_BYTES_MAX {
            return Err(NotFound::Unknown);
        }
        let form = std::str::from_utf8(presented).map(format::check);
        if let Ok(Err(KeyFormatError::Checksum)) = form {
            return Err(NotFound::Mistyped);
        }
        let peppers = self.peppers.as_ref().ok_or(NotFound::Unknown)?;
        for (at, pepper) in peppers.iter().enumerate() {
            let digest = pepper.digest(presented);
            let mut tables = self.tables();
            if let Some(key) = tables.find_map(|table| table.find(&digest)) {
                // The configuration's key of that name hides it.
                let known = self.configured.by_id(key.id());
                let counts = known.is_none_or(|known| std::ptr::eq(known, key));
                return match (counts, key.has_ended(now)) {
                    (false, _) => Err(NotFound::Unknown),
                    (true, true) => {
                        self.uses.note(KeyUse::Ended);
                        Err(NotFound::Ended)
                    }
                    (true, false) => Ok(self.found(key, at > 0)),
                };
            }
        }
        Err(self.not_found())
    }

    fn found<'k>(&self, key: &'k Entry, of_pepper_before: bool) -> Found<'k> {
        if key.is_replaced() {
            self.uses.note(KeyUse::Replaced);
        }
        if of_pepper_before {
            self.uses.note(KeyUse::PreviousPepper);
        }
        Found {
            key,
            of_pepper_before,
        }
    }

    fn not_found(&self) -> NotFound {
        match self.stored_is_stale {
            true => NotFound::Unjudged,
            false => NotFound::Unknown,
        }
    }

    /// A key that was judged already, by its name: it may have been withdrawn
    /// since.
    ///
    /// # Errors
    /// See [`NotFound`].
    pub fn judged(&self, id: &str, now: UnixMillis) -> Result<&Entry, NotFound> {
        let key = self.by_id(id).ok_or_else(|| self.not_found())?;
        match key.has_ended(now) {
            true => Err(NotFound::Ended),
            false => Ok(key),
        }
    }

    /// A key that counts, by its name.
    pub fn by_id(&self, id: &str) -> Option<&Entry> {
        self.tables().find_map(|table| table.by_id(id))
    }

    /// Of every key that counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let stored = (!self.stored_is_stale).then(|| self.stored.iter());
        let stored = stored.into_iter().flatten();
        let stored = stored.filter(|key| self.configured.by_id(key.id()).is_none());
        self.configured.iter().chain(stored)
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn tables(&self) -> impl Iterator<Item = &KeyTable> {
        let stored = (!self.stored_is_stale).then_some(&*self.stored);
        std::iter::once(&*self.configured).chain(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::table::{Account, Key};
    use crate::identity::{KeyDigest, Pepper};

    const NOW: UnixMillis = UnixMillis(1_000);

    fn key(id: &str, digest: KeyDigest, ends_at: Option<u64>) -> Key {
        Key {
            digest,
            id: id.into(),
            user: None,
            account: Account::default(),
            ends_at: ends_at.map(UnixMillis),
            replaced: false,
        }
    }

    #[test]
    fn each_kind_of_presented_key_is_told_apart() {
        let pepper = Pepper::new(&[1; 32]).unwrap();
        let before = Pepper::new(&[2; 32]).unwrap();
        let weirs = format::key([7; 32], false);
        let configured = KeyTable::of([
            key("weirs", pepper.digest(weirs.as_bytes()), None),
            key("old", before.digest(b"of-the-pepper-before"), None),
            key("both", pepper.digest(b"configured"), None),
        ]);
        let stored = KeyTable::of([
            key("kept", pepper.digest(b"kept-key"), Some(1_001)),
            key("over", pepper.digest(b"over-key"), Some(1_000)),
            key("both", pepper.digest(b"hidden"), None),
        ]);
        let ring = KeyRing {
            peppers: Some(Peppers {
                now: pepper.clone(),
                before: Some(before),
            }),
            configured: Arc::new(configured.unwrap()),
            stored: Arc::new(stored.unwrap()),
            ..KeyRing::default()
        };
        let mut mistyped = weirs.clone();
        mistyped.replace_range(20..21, if &weirs[20..21] == "A" { "B" } else { "A" });
        let hash = pepper.digest(b"kept-key").to_string();
        for (presented, expected) in [
            (weirs.as_str(), Ok(("weirs", false))),
            (&mistyped, Err(NotFound::Mistyped)),
            (&weirs[..50], Err(NotFound::Mistyped)),
            ("of-the-pepper-before", Ok(("old", true))),
            ("kept-key", Ok(("kept", false))),
            ("over-key", Err(NotFound::Ended)),
            ("configured", Ok(("both", false))),
            ("hidden", Err(NotFound::Unknown)),
            // What is stored of a key is no key.
            (&hash, Err(NotFound::Unknown)),
            ("", Err(NotFound::Unknown)),
            (&"x".repeat(KEY_BYTES_MAX + 1), Err(NotFound::Unknown)),
        ] {
            let found = ring.authenticate(presented.as_bytes(), NOW);
            let found = found.map(|found| (&**found.key.id(), found.of_pepper_before));
            assert_eq!(found, expected, "{presented}");
        }
        assert_eq!(ring.len(), 5);
        let taken = KeyUse::ALL.map(|kind| ring.uses.take(kind));
        assert_eq!(taken, [1, 0, 1]);
        assert_eq!(ring.uses.take(KeyUse::Ended), 0, "each is told of once");
        let stale = KeyRing {
            stored_is_stale: true,
            ..ring.clone()
        };
        for (presented, expected) in [
            ("configured", Ok(())),
            ("kept-key", Err(NotFound::Unjudged)),
            ("nobodys-key-at-all", Err(NotFound::Unjudged)),
            (&mistyped, Err(NotFound::Mistyped)),
        ] {
            let found = stale.authenticate(presented.as_bytes(), NOW);
            assert_eq!(found.map(|_| ()), expected, "{presented}");
        }
        assert_eq!(stale.len(), 3);
        for (id, expected) in [("both", Ok(())), ("kept", Err(NotFound::Unjudged))] {
            assert_eq!(stale.judged(id, NOW).map(|_| ()), expected, "{id}");
        }
        assert_eq!(ring.judged("over", NOW).err(), Some(NotFound::Ended));
        assert_eq!(ring.judged("none", NOW).err(), Some(NotFound::Unknown));
        let nobody = KeyRing::default();
        let found = nobody.authenticate(b"x", NOW);
        assert_eq!(found.err(), Some(NotFound::Unknown));
    }
}
