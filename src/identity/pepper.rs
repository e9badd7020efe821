//! What is kept of a key: its HMAC-SHA-256 under a secret, the pepper.
//!
//! The digest of a presented key is looked up, never the key; without the pepper
//! nobody can aim at a bucket, and whoever reads the table has no key.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// The fewest bytes that a pepper may have.
pub const PEPPER_BYTES_MIN: usize = 16;

/// HMAC-SHA-256 of a key under the pepper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest(pub [u8; 32]);

/// The secret that key digests are made with. Never printed.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

/// The pepper that digests are made with now, and while it replaces another, the
/// one before, whose digests still count.
#[derive(Debug, Clone)]
pub struct Peppers {
    pub now: Pepper,
    pub before: Option<Pepper>,
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

impl Peppers {
    /// Each, the current one first.
    pub fn iter(&self) -> impl Iterator<Item = &Pepper> {
        std::iter::once(&self.now).chain(&self.before)
    }
}

impl From<Pepper> for Peppers {
    fn from(now: Pepper) -> Self {
        Self { now, before: None }
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

    /// Takes the same time wherever the two differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Its first bytes: as good as random to whoever hasn't the pepper.
    pub(super) fn hash(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
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
