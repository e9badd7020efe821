//! Signatures, judged by ring: what `jsonwebtoken` asks.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};

/// What an RSA key may sign with.
pub(super) const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Shorter RSA keys aren't safe; longer ones take too long.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    // Only asked for thumbprints and private keys, which are asked for nowhere.
    key_utils: KeyUtils::new_unimplemented(),
};

/// From now on this is what judges; once is enough.
pub(super) fn install() {
    // It is refused where it was done before: by this, as nobody else does.
    let _ = PROVIDER.install_default();
}

/// Whether a key is of a size that counts.
pub(super) fn fits(key: &DecodingKey) -> bool {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            RSA_BYTES.contains(&(n.len() - zeros))
        }
        DecodingKeyKind::SecretOrDer(bytes) => matches!(bytes.len(), 32 | 65 | 97),
    }
}

struct ByRing {
    key: DecodingKey,
    algorithm: Algorithm,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    Ok(Box::new(ByRing {
        key: key.clone(),
        algorithm: *algorithm,
    }))
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], told: &Vec<u8>) -> std::result::Result<(), Error> {
        let judged = match (self.key.kind(), rsa(self.algorithm)) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Some(parameters)) => {
                let zeros = n.iter().take_while(|byte| **byte == 0).count();
                let n = n.get(zeros..).unwrap_or_default();
                RsaPublicKeyComponents { n, e: &e[..] }.verify(parameters, message, told)
            }
            (DecodingKeyKind::SecretOrDer(key), None) => match self.algorithm {
                Algorithm::ES256 => {
                    let kind = &signature::ECDSA_P256_SHA256_FIXED;
                    UnparsedPublicKey::new(kind, key).verify(message, told)
                }
                Algorithm::ES384 => {
                    let kind = &signature::ECDSA_P384_SHA384_FIXED;
                    UnparsedPublicKey::new(kind, key).verify(message, told)
                }
                Algorithm::EdDSA => {
                    UnparsedPublicKey::new(&signature::ED25519, key).verify(message, told)
                }
                _ => Err(ring::error::Unspecified),
            },
            _ => Err(ring::error::Unspecified),
        };
        judged.map_err(|_| Error::new())
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
