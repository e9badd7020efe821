//! What TLS certificates say, and what a server makes of them: texts come in,
//! checked values go out.
//!
//! Always holds: a [`Pair`] is a certificate with its own key; no error and no
//! `{:?}` shows a key. A certificate is read by the parser that TLS itself
//! judges it with (webpki), so that nothing is believed of one which TLS would
//! read otherwise.
//!
//! Left to others: files, the time, sockets.

mod client;
mod sides;

pub use client::{AllowedName, ClientNames};
pub use sides::{client_config, server_config};

use crate::units::{Millis, UnixMillis};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// A certificate that ends sooner is worth a warning ...
const EXPIRES_SOON: Millis = Millis::from_mins(14 * 24 * 60);

/// ... unless it was made for a short time: then in the last such part of it.
/// Those who renew certificates by themselves do so by two thirds.
const SOON_PART: u64 = 4;

/// Why a text can't be used. Reads on from the name of a field or a file, and
/// never repeats what the text holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("holds no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    #[error("is not PEM as it should be")]
    Pem,
    #[error("holds a certificate that can't be used, its number {number}: {why}")]
    Unusable { number: usize, why: String },
    #[error("holds no private key: it must be PEM, with a line -----BEGIN PRIVATE KEY-----")]
    NoKey,
    #[error("is encrypted, and nobody is there to ask for its password: give it without one")]
    EncryptedKey,
    #[error(
        "is of a kind that can't be used: it must be ECDSA (P-256 or P-384), Ed25519, or RSA of \
         2048 bits or more"
    )]
    KeyKind,
    #[error("is not the key of the certificate beside it")]
    Misfit,
    #[error("can't be used for TLS: {0}")]
    Tls(String),
}

/// From when until when certificates hold, all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Of the one that begins last.
    pub not_before: UnixMillis,
    /// Of the one that ends first.
    pub not_after: UnixMillis,
}

/// How a certificate stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    NotYet,
    Fine,
    /// It expires so soon that its successor should be there.
    Ending,
    Expired,
}

impl Validity {
    pub fn age(self, now: UnixMillis) -> Age {
        let part = self.not_after.since(self.not_before).0 / SOON_PART;
        let soon = Millis(part.min(EXPIRES_SOON.0));
        match () {
            () if now > self.not_after => Age::Expired,
            () if now < self.not_before => Age::NotYet,
            () if self.not_after.since(now) < soon => Age::Ending,
            () => Age::Fine,
        }
    }

    fn with(self, other: Validity) -> Validity {
        Validity {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }
}

/// A certificate and those that vouch for it, its own first.
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    pub validity: Validity,
}

impl Chain {
    /// Reads PEM.
    ///
    /// # Errors
    /// Where it holds none, or one that can't be read.
    pub fn read(text: &[u8]) -> Result<Self, CertificateError> {
        let (certificates, validity) = certificates(text)?;
        Ok(Self {
            certificates,
            validity,
        })
    }
}

/// A private key.
pub struct Key(PrivateKeyDer<'static>);

impl Key {
    /// Reads PEM: the first key of PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// Where it holds none that can be used.
    pub fn read(text: &[u8]) -> Result<Self, CertificateError> {
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
            pem::Error::NoItemsFound if holds(text, b"ENCRYPTED PRIVATE KEY") => {
                CertificateError::EncryptedKey
            }
            pem::Error::NoItemsFound => CertificateError::NoKey,
            _ => CertificateError::Pem,
        })?;
        let usable = provider().key_provider.load_private_key(key.clone_key());
        usable.map_err(|_| CertificateError::KeyKind)?;
        Ok(Self(key))
    }
}

fn holds(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|bytes| bytes == words)
}

/// What a server shows: a certificate with its own key.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    pub validity: Validity,
}

impl Pair {
    /// # Errors
    /// [`CertificateError::Misfit`].
    pub fn new(chain: Chain, key: Key) -> Result<Self, CertificateError> {
        let certified = CertifiedKey::from_der(chain.certificates, key.0, &provider());
        Ok(Self {
            key: Arc::new(certified.map_err(|_| CertificateError::Misfit)?),
            validity: chain.validity,
        })
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({:?})", self.validity)
    }
}

/// Who vouches for others.
#[derive(Debug, Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    /// TLS doesn't ask it of those who vouch, only of those vouched for.
    pub validity: Validity,
}

impl Authorities {
    /// Reads PEM.
    ///
    /// # Errors
    /// Where it holds no certificate, or one that can't be read.
    pub fn read(text: &[u8]) -> Result<Self, CertificateError> {
        let (certificates, validity) = certificates(text)?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.into_iter().enumerate() {
            let added = roots.add(certificate);
            added.map_err(|error| unusable(index, &error))?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            validity,
        })
    }
}

fn certificates(text: &[u8]) -> Result<(Vec<CertificateDer<'static>>, Validity), CertificateError> {
    let (mut all, mut validity) = (Vec::new(), None::<Validity>);
    for (index, read) in CertificateDer::pem_slice_iter(text).enumerate() {
        let certificate = read.map_err(|_| CertificateError::Pem)?;
        let own = validity_of(&certificate).map_err(|error| unusable(index, &error))?;
        validity = Some(validity.map_or(own, |others| others.with(own)));
        all.push(certificate);
    }
    Ok((all, validity.ok_or(CertificateError::NoCertificate)?))
}

fn unusable(index: usize, why: &dyn fmt::Display) -> CertificateError {
    CertificateError::Unusable {
        number: index + 1,
        why: why.to_string(),
    }
}

/// webpki tells when a certificate begins or ends only to who asks about it too
/// early or too late: so it is asked about both ends of time.
fn validity_of(certificate: &CertificateDer<'_>) -> Result<Validity, webpki::Error> {
    let certificate = EndEntityCert::try_from(certificate)?;
    let at = |secs| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let usage = KeyUsage::server_auth();
        let verified = certificate.verify_for_usage(&[], &[], &[], time, usage, None, None);
        verified.err()
    };
    let not_after = match at(u64::MAX) {
        Some(webpki::Error::CertExpired { not_after, .. }) => not_after,
        Some(error) => return Err(error),
        None => return Err(webpki::Error::InvalidCertValidity),
    };
    let not_before = match at(0) {
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before,
        _ => UnixTime::since_unix_epoch(Duration::ZERO),
    };
    let millis = |time: UnixTime| UnixMillis(time.as_secs().saturating_mul(1_000));
    Ok(Validity {
        not_before: millis(not_before),
        not_after: millis(not_after),
    })
}

/// ring, as everywhere in weir.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
pub(crate) mod tests;
