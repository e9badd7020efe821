//! The form of weir's own keys.
//!
//! `weir_live_`, `weir_test_` or, of admin tokens, `weir_admin_`, then 43 base-62 digits of 256 random bits,
//! then 6 base-62 digits of the CRC-32 of everything before them. The prefix
//! lets scanners find a leaked key, the checksum lets a mistyped one be told
//! from an unknown one. Neither adds to or takes from the secret.

use std::fmt;

const PREFIXES: [&str; 3] = ["weir_live_", "weir_test_", "weir_admin_"];
/// What names begin with that weir chose.
const KEY_ID_PREFIX: &str = "key_";
const TOKEN_ID_PREFIX: &str = "adm_";
const APPROVAL_ID_PREFIX: &str = "apr_";
const GRANT_ID_PREFIX: &str = "grt_";
const TOP_UP_ID_PREFIX: &str = "top_";
/// 62^22 > 2^128.
const HASH_DIGITS: usize = 22;
/// 62^16 > 2^95: no two are alike.
const ID_DIGITS: usize = 16;
const ID_BYTES: usize = 11;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 62^43 > 2^256.
const SECRET_DIGITS: usize = 43;

/// 62^6 > 2^32.
const CHECKSUM_DIGITS: usize = 6;

/// The fewest bytes of a key that weir didn't make: 128 bits in base 64.
const FOREIGN_BYTES_MIN: usize = 22;

/// The longest key that authentication looks at.
pub const KEY_BYTES_MAX: usize = 512;

/// Why a text is no key that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    #[error("no key on standard input")]
    Empty,
    #[error("a key has at most {KEY_BYTES_MAX} bytes")]
    TooLong,
    #[error("a key is one line of printable ASCII without spaces")]
    Unprintable,
    #[error("the checksum doesn't fit: the key is mistyped or incomplete")]
    Checksum,
    #[error("a key needs at least {FOREIGN_BYTES_MIN} characters: a short one can be guessed")]
    Short,
    #[error("this is a key's hash, not a key")]
    Hash,
}

/// A key made of 256 random bits.
pub fn key(random: [u8; 32], test: bool) -> String {
    let [live_prefix, test_prefix, _] = PREFIXES;
    whole(if test { test_prefix } else { live_prefix }, random)
}

/// An admin token made of 256 random bits.
pub fn admin_token(random: [u8; 32]) -> String {
    let [_, _, prefix] = PREFIXES;
    whole(prefix, random)
}

/// The name of a key made of 88 random bits. Names are no secret.
pub fn key_id(random: [u8; ID_BYTES]) -> String {
    format!("{KEY_ID_PREFIX}{}", Base62::<ID_DIGITS>::of(random))
}

/// The name of an admin token, as [`key_id`].
pub fn token_id(random: [u8; ID_BYTES]) -> String {
    format!("{TOKEN_ID_PREFIX}{}", Base62::<ID_DIGITS>::of(random))
}

/// The name of a grant, as [`key_id`].
pub fn grant_id(random: [u8; ID_BYTES]) -> String {
    format!("{GRANT_ID_PREFIX}{}", Base62::<ID_DIGITS>::of(random))
}

/// The name of what is added to a budget, as [`key_id`].
pub fn top_up_id(random: [u8; ID_BYTES]) -> String {
    format!("{TOP_UP_ID_PREFIX}{}", Base62::<ID_DIGITS>::of(random))
}

/// Whether a text is the name of a grant, or of what is added to a budget, by its
/// form.
pub fn is_of_the_allowed(text: &str) -> bool {
    text.starts_with(GRANT_ID_PREFIX) || text.starts_with(TOP_UP_ID_PREFIX)
}

/// The name of a request for approval, of 128 bits of a hash.
pub fn approval_id(hash: [u8; 16]) -> String {
    format!("{APPROVAL_ID_PREFIX}{}", Base62::<HASH_DIGITS>::of(hash))
}

fn whole(prefix: &str, random: [u8; 32]) -> String {
    let body = format!("{prefix}{}", Base62::<SECRET_DIGITS>::of(random));
    let checksum = checksum(&body);
    format!("{body}{checksum}")
}

/// Whether a text is an admin token by its form and its checksum.
pub fn is_admin_token(text: &str) -> bool {
    let [_, _, prefix] = PREFIXES;
    text.starts_with(prefix) && check(text).is_ok()
}

/// Tells whether a key can be used: its form, and for weir's own keys their
/// checksum.
///
/// # Errors
/// Why not. No error repeats the key.
pub fn check(key: &str) -> Result<(), KeyFormatError> {
    if key.is_empty() {
        return Err(KeyFormatError::Empty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(KeyFormatError::TooLong);
    }
    if !key.bytes().all(|c| c.is_ascii_graphic()) {
        return Err(KeyFormatError::Unprintable);
    }
    if let Some(secret) = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)) {
        let body_len = key.len().saturating_sub(CHECKSUM_DIGITS);
        let fits = key
            .split_at_checked(body_len)
            .is_some_and(|(body, digits)| checksum(body).0 == *digits.as_bytes());
        let whole = secret.len() == SECRET_DIGITS + CHECKSUM_DIGITS;
        return if fits && whole {
            Ok(())
        } else {
            Err(KeyFormatError::Checksum)
        };
    }
    if key.len() < FOREIGN_BYTES_MIN {
        return Err(KeyFormatError::Short);
    }
    if key.len() == 64 && key.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(KeyFormatError::Hash);
    }
    Ok(())
}

fn checksum(body: &str) -> Base62<CHECKSUM_DIGITS> {
    Base62::of(crc32fast::hash(body.as_bytes()).to_be_bytes())
}

/// A number of so many base-62 digits.
struct Base62<const N: usize>([u8; N]);

impl<const N: usize> Base62<N> {
    /// Of a big-endian number, which must fit (see the constants).
    fn of<const BYTES: usize>(mut number: [u8; BYTES]) -> Self {
        let mut digits = [0; N];
        for digit in digits.iter_mut().rev() {
            // Long division by 62, byte by byte; the remainder is the digit.
            let mut rest = 0u16;
            for byte in &mut number {
                let part = (rest << 8) | u16::from(*byte);
                // part < 62 * 256, so the quotient fits a byte.
                *byte = u8::try_from(part / 62).unwrap_or(u8::MAX);
                rest = part % 62;
            }
            *digit = DIGITS.get(usize::from(rest)).copied().unwrap_or(b'0');
        }
        Self(digits)
    }
}

impl<const N: usize> fmt::Display for Base62<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_stand_for_the_number() {
        assert_eq!(Base62::<6>::of(0u32.to_be_bytes()).to_string(), "000000");
        assert_eq!(Base62::<6>::of(61u32.to_be_bytes()).to_string(), "00000z");
        assert_eq!(Base62::<6>::of(62u32.to_be_bytes()).to_string(), "000010");
        // 2^32 - 1, which is 4, 42, 41, 15, 12, 3 in base 62.
        assert_eq!(
            Base62::<6>::of(u32::MAX.to_be_bytes()).to_string(),
            "4gfFC3"
        );
        let largest = Base62::<43>::of([0xff; 32]).to_string();
        let smaller = Base62::<42>::of([0xff; 32]).to_string();
        assert!(largest.ends_with(&smaller) && !largest.starts_with('0'));
    }

    #[test]
    fn what_is_no_key() {
        use KeyFormatError::*;
        for (text, error) in [
            ("", Empty),
            ("short", Short),
            ("with space 0123456789abcdef", Unprintable),
            ("schlüssel-0123456789abcdef", Unprintable),
            ("weir_live_", Checksum),
            ("weir_live_0123456789", Checksum),
            (&"a1".repeat(32), Hash),
            (&"x".repeat(KEY_BYTES_MAX + 1), TooLong),
        ] {
            assert_eq!(check(text), Err(error), "{text}");
        }
        assert_eq!(check("sk-another-gateways-key-0123"), Ok(()));
    }

    proptest! {
        #[test]
        fn a_key_is_whole_and_every_slip_is_noticed(
            random: [u8; 32],
            test: bool,
            at in any::<prop::sample::Index>(),
            to in "[0-9A-Za-z]",
        ) {
            let key = key(random, test);
            prop_assert_eq!(key.len(), 10 + 43 + 6);
            prop_assert_eq!(check(&key), Ok(()));
            let at = 10 + at.index(key.len() - 10);
            let mut slip = key.clone();
            slip.replace_range(at..=at, &to);
            prop_assert_eq!(check(&slip).is_ok(), slip == key);
            prop_assert!(check(&key[..at]).is_err());
        }

        #[test]
        fn different_bits_give_different_keys(a: [u8; 32], b: [u8; 32]) {
            prop_assert_eq!(a == b, key(a, false) == key(b, false));
        }
    }
}
