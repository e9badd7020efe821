//! Tokens of an OpenID Connect provider: whether one is genuine, and what it says.
//!
//! Always holds: only signatures with a public key count (never `none`, never a
//! shared secret), and only by an algorithm that the key is for; a token without
//! an end, an issuer or an audience, or with others than asked for, doesn't count.
//! Time is an argument. No error repeats a token.
//!
//! Sources: RFC 7515, 7517, 7518, 7519, 8037, 8725.
//!
//! Left to others: where the keys come from, and what the claims are good for.

mod signature;

use crate::units::{Millis, UnixMillis};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;

/// The most keys of a provider: it has a few, and some that end.
pub const KEYS_MAX: usize = 64;

/// The longest token. A request's head has 16 KiB.
pub const TOKEN_BYTES_MAX: usize = 12 * 1024;

/// How far clocks may be apart.
pub const LEEWAY: Millis = Millis::from_secs(60);

/// A provider's public keys.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    keys: Arc<[PublicKey]>,
    /// SHA-256 of the text that they were read from.
    digest: [u8; 32],
}

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Why a text holds no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    #[error("is no JSON Web Key Set: {{\"keys\": [...]}}")]
    NotJwks,
    #[error("must have at most {KEYS_MAX} keys")]
    TooMany,
    #[error(
        "has no key for signatures that can be used: RSA of 2048 bits or more, P-256, P-384 or \
         Ed25519"
    )]
    NoneFits,
}

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub issuer: Arc<str>,
    pub audience: Arc<str>,
}

/// Why a token doesn't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    #[error("the token is no JSON Web Token, or isn't signed by a known key")]
    Unknown,
    #[error("the token is of another issuer, or for another audience")]
    Elsewhere,
    #[error("the token has ended, or hasn't begun")]
    Time,
}

impl PublicKeys {
    /// Reads a JSON Web Key Set (RFC 7517). Keys for something else are passed
    /// over.
    ///
    /// # Errors
    /// See [`NoKeys`].
    pub fn read(text: &str) -> Result<Self, NoKeys> {
        let set: JwkSet = serde_json::from_str(text).map_err(|_| NoKeys::NotJwks)?;
        if set.keys.len() > KEYS_MAX {
            return Err(NoKeys::TooMany);
        }
        let keys: Arc<[PublicKey]> = set.keys.iter().filter_map(usable).collect();
        match keys.is_empty() {
            true => Err(NoKeys::NoneFits),
            false => Ok(Self {
                keys,
                digest: Sha256::digest(text).into(),
            }),
        }
    }

    /// Tells keys from others: SHA-256 of their text.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The claims of a token that is genuine at this time.
    ///
    /// # Errors
    /// See [`NotGenuine`].
    pub fn claims(
        &self,
        token: &str,
        expected: &Expected,
        now: UnixMillis,
    ) -> Result<Value, NotGenuine> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(NotGenuine::Unknown);
        }
        let header = decode_header(token).map_err(|_| NotGenuine::Unknown)?;
        // What must be understood and isn't (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(NotGenuine::Unknown);
        }
        signature::install();
        let named =
            |key: &&PublicKey| header.kid.is_none() || key.id.is_none() || key.id == header.kid;
        let fit = self.keys.iter().filter(named);
        let fit = fit.filter(|key| key.algorithms.contains(&header.alg));
        let mut claims = fit.filter_map(|key| {
            let known = decode::<Value>(token, &key.key, &only_signature(&key.algorithms));
            known.ok().map(|known| known.claims)
        });
        let claims = claims.next().ok_or(NotGenuine::Unknown)?;
        judge(&claims, expected, now)?;
        Ok(claims)
    }
}

/// All else is judged by [`judge`], by a time that is given.
fn only_signature(algorithms: &[Algorithm]) -> Validation {
    let mut validation = Validation::new(algorithms.first().copied().unwrap_or(Algorithm::EdDSA));
    validation.algorithms = algorithms.to_vec();
    validation.required_spec_claims = HashSet::new();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn judge(claims: &Value, expected: &Expected, now: UnixMillis) -> Result<(), NotGenuine> {
    let issued = claims["iss"].as_str() == Some(&*expected.issuer);
    let audience = Some(&*expected.audience);
    let meant = match &claims["aud"] {
        Value::Array(several) => several.iter().any(|one| one.as_str() == audience),
        one => one.as_str() == audience,
    };
    if !issued || !meant {
        return Err(NotGenuine::Elsewhere);
    }
    let seconds = i128::from(now.0 / 1_000);
    let leeway = i128::from(LEEWAY.0 / 1_000);
    let end = instant(&claims["exp"]).flatten().ok_or(NotGenuine::Time)?;
    let begin = instant(&claims["nbf"]).ok_or(NotGenuine::Time)?;
    let begun = begin.is_none_or(|begin| begin <= seconds + leeway);
    match begun && seconds < end + leeway {
        true => Ok(()),
        false => Err(NotGenuine::Time),
    }
}

/// Seconds since 1970; `None` where it is none, `Some(None)` where it isn't there.
fn instant(claim: &Value) -> Option<Option<i128>> {
    match claim {
        Value::Null => Some(None),
        Value::Number(number) => {
            let whole = number.as_i64().map(i128::from);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a time with a fraction: what is beyond the range becomes its end"
            )]
            let fraction = || number.as_f64().map(|seconds| i128::from(seconds as i64));
            Some(Some(whole.or_else(fraction)?))
        }
        _ => None,
    }
}

fn usable(jwk: &Jwk) -> Option<PublicKey> {
    let for_signatures = jwk.common.public_key_use.as_ref();
    if for_signatures.is_some_and(|kind| *kind != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => signature::RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return None,
    };
    if let Some(only) = &jwk.common.key_algorithm {
        let only = only.to_string();
        algorithms.retain(|algorithm| format!("{algorithm:?}") == only);
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let fits = !algorithms.is_empty() && signature::fits(&key);
    fits.then(|| PublicKey {
        id: jwk.common.key_id.clone(),
        algorithms,
        key,
    })
}

#[cfg(test)]
pub(crate) mod tests;
