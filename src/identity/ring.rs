//! From what a caller presents to the key that it is.

use super::format::{self, KEY_BYTES_MAX, KeyFormatError};
use super::pepper::Peppers;
use super::table::{Entry, KeyTable};
use crate::units::UnixMillis;
use std::sync::Arc;

/// All keys that count: those of the configuration, and those that are kept
/// beside the ledger. Of one name in both, the configuration's counts.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    /// `None`: nobody has a key.
    pub peppers: Option<Peppers>,
    pub configured: Arc<KeyTable>,
    pub stored: Arc<KeyTable>,
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
                let counts = self
                    .by_id(key.id())
                    .is_some_and(|known| std::ptr::eq(known, key));
                return match (counts, key.has_ended(now)) {
                    (false, _) => Err(NotFound::Unknown),
                    (true, true) => Err(NotFound::Ended),
                    (true, false) => Ok(Found {
                        key,
                        of_pepper_before: at > 0,
                    }),
                };
            }
        }
        Err(NotFound::Unknown)
    }

    /// A key that was judged already, by its name.
    pub fn by_id(&self, id: &str) -> Option<&Entry> {
        self.tables().find_map(|table| table.by_id(id))
    }

    /// Of every key that counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let stored = self.stored.iter();
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
        [&*self.configured, &*self.stored].into_iter()
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
        let nobody = KeyRing::default();
        let found = nobody.authenticate(b"x", NOW);
        assert_eq!(found.err(), Some(NotFound::Unknown));
    }
}
