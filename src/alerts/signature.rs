//! What shows a receiver who sends, and that nothing was changed on the way, as
//! Standard Webhooks has it: <https://www.standardwebhooks.com>. HMAC-SHA-256 over
//! id, time and body; the receiver refuses what is old or came before.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

/// The specification's: shorter ones can be guessed, longer ones bring nothing.
const KEY_BYTES_MIN: usize = 24;
const KEY_BYTES_MAX: usize = 64;

/// What secrets begin with.
const PREFIX: &str = "whsec_";

/// The headers.
pub const ID_HEADER: &str = "webhook-id";
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// A secret that a receiver shares.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Of `whsec_` and base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let key = BASE64_STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (KEY_BYTES_MIN..=KEY_BYTES_MAX)
            .contains(&key.len())
            .then_some(Self(key))
    }

    /// The signature's header. `at_secs` is Unix time in seconds, as it stands in
    /// its header.
    pub fn sign(&self, id: &str, at_secs: u64, body: &[u8]) -> String {
        // A key may have any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(format!("{id}.{at_secs}.").as_bytes());
        mac.update(body);
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        format!("v1,{signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_specifications_own() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = key.sign(id, 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(
            signed,
            key.sign(id, 1_614_265_331, b"{\"test\": 2432232314}")
        );
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }

    #[test]
    fn what_is_no_secret() {
        let of = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        assert!(SigningKey::parse(&of(24)).is_some() && SigningKey::parse(&of(64)).is_some());
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_???",
            &of(23),
            &of(65),
        ] {
            assert!(SigningKey::parse(text).is_none(), "{text}");
        }
    }
}
