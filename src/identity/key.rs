//! API keys: kept as HMAC-SHA-256 with a pepper, compared in constant time.
//!
//! A table maps digests to principals. The digest of a presented key is looked
//! up, never the key; without the pepper nobody can aim at a bucket, and the
//! final comparison takes the same time wherever digests differ.

use super::Principal;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The fewest bytes that a pepper may have.
pub const PEPPER_BYTES_MIN: usize = 16;

/// The longest key that is looked at; longer ones are unknown.
const KEY_BYTES_MAX: usize = 512;

/// HMAC-SHA-256 of a key under the pepper.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// The secret that key digests are made with. Never printed.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

/// All keys, by digest and by name.
#[derive(Debug, Default)]
pub struct KeyTable {
    by_digest: HashMap<KeyDigest, Arc<Principal>>,
    by_id: HashMap<Arc<str>, Arc<Principal>>,
    pepper: Option<Pepper>,
}

/// Why a key couldn't be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTableError {
    #[error("another key has this name")]
    DuplicateId,
    #[error("another key has this hash")]
    DuplicateHash,
}

impl Pepper {
    /// Takes the secret's bytes; `None` where there are fewer than
    /// [`PEPPER_BYTES_MIN`].
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < PEPPER_BYTES_MIN {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    pub fn digest(&self, key: &[u8]) -> KeyDigest {
        let mut mac = self.0.clone();
        mac.update(key);
        KeyDigest(mac.finalize().into_bytes().into())
    }
}

impl KeyTable {
    pub fn new(pepper: Pepper) -> Self {
        Self {
            pepper: Some(pepper),
            ..Self::default()
        }
    }

    pub fn insert(
        &mut self,
        digest: KeyDigest,
        principal: Arc<Principal>,
    ) -> Result<(), KeyTableError> {
        if self.by_id.contains_key(&principal.key_id) {
            return Err(KeyTableError::DuplicateId);
        }
        if self.by_digest.contains_key(&digest) {
            return Err(KeyTableError::DuplicateHash);
        }
        self.by_id
            .insert(Arc::clone(&principal.key_id), Arc::clone(&principal));
        self.by_digest.insert(digest, principal);
        Ok(())
    }

    /// The principal of a presented key.
    pub fn authenticate(&self, key: &[u8]) -> Option<&Arc<Principal>> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let digest = self.pepper.as_ref()?.digest(key);
        let (known, principal) = self.by_digest.get_key_value(&digest)?;
        bool::from(known.0.ct_eq(&digest.0)).then_some(principal)
    }

    /// The principal of a key already judged, by the key's name.
    pub fn by_id(&self, key_id: &str) -> Option<&Arc<Principal>> {
        self.by_id.get(key_id)
    }

    /// Of every key, in no order.
    pub fn principals(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.by_id.values()
    }

    /// In no order; looks at every key.
    pub fn of_tenant<'t>(&'t self, tenant: &'t str) -> impl Iterator<Item = &'t Arc<Principal>> {
        let all = self.by_id.values();
        all.filter(move |who| *who.tenant == *tenant)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl KeyDigest {
    /// Reads 64 hexadecimal digits.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0u8; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        // `from_str_radix` takes a sign; a digest has none.
        hex.bytes()
            .all(|c| c.is_ascii_hexdigit())
            .then_some(Self(bytes))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}
