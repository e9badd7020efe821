//! Clients: the names that their certificates give them, and which may connect.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, DnsName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::fmt;
use std::sync::Arc;
use webpki::EndEntityCert;

/// Who a verified client is: the subject alternative names of its certificate.
/// As many as fit into a handshake, whose bound is TLS's own (64 KiB).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientNames {
    /// As `spiffe://cluster.local/ns/edge/sa/envoy`.
    pub uris: Vec<String>,
    /// As `envoy.edge.svc`.
    pub dns: Vec<String>,
}

impl ClientNames {
    /// `None` where it is no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        Some(Self {
            uris: certificate.valid_uri_names().map(str::to_owned).collect(),
            dns: certificate.valid_dns_names().map(str::to_owned).collect(),
        })
    }

    pub(super) fn has(&self, name: &AllowedName) -> bool {
        match name {
            AllowedName::Uri(uri) => self.uris.contains(uri),
            AllowedName::Dns(dns) => self.dns.iter().any(|own| own.eq_ignore_ascii_case(dns)),
        }
    }
}

/// A name that a client must have to connect. It is compared whole: a wildcard
/// in a certificate stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedName {
    Uri(String),
    Dns(String),
}

impl AllowedName {
    /// `None` where it is neither a URI (`scheme://...`) nor a DNS name.
    pub fn read(text: &str) -> Option<Self> {
        match text.split_once("://") {
            Some((scheme, rest)) => {
                let letters = |c: u8| c.is_ascii_alphanumeric() || b"+-.".contains(&c);
                let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.bytes().all(letters)
                    && !rest.is_empty()
                    && rest.bytes().all(|c| c.is_ascii_graphic());
                good.then(|| Self::Uri(text.to_owned()))
            }
            None => {
                let good = DnsName::try_from(text).is_ok();
                good.then(|| Self::Dns(text.to_owned()))
            }
        }
    }
}

impl fmt::Display for AllowedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Uri(name) | Self::Dns(name)) = self;
        f.write_str(name)
    }
}

/// Lets in whom the other verifier does, if it has one of the names.
#[derive(Debug)]
pub(super) struct Named {
    pub verifier: Arc<dyn ClientCertVerifier>,
    pub allowed: Vec<AllowedName>,
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        let names = ClientNames::of(end_entity)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self.allowed.iter().any(|name| names.has(name)) {
            return Ok(verified);
        }
        // To the client this is `access_denied`.
        let unfit = CertificateError::ApplicationVerificationFailure;
        Err(Error::InvalidCertificate(unfit))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.verifier.requires_raw_public_keys()
    }
}
