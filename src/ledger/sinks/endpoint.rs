//! Where a receiver is, how it is reached, and what shows it who asks.
//!
//! Always holds: a credential is sent over TLS, or to this machine; no error or
//! `Debug` shows it, or anything of a URL but host and port. Certificates are
//! checked against the system's roots, or only against those that were given.
//! Nothing is followed elsewhere.

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// The most of a receiver's own words that an error repeats.
const WORDS_CHARS_MAX: usize = 200;

/// Why a receiver can't be used. Never repeats what was configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("must be a URL like https://host:port/path")]
    Url,
    #[error("must not have a user or a password in the URL; give it as a token")]
    UserInUrl,
    #[error("must be https:// (http:// only to this machine: localhost, 127.0.0.1 or [::1])")]
    Plain,
    #[error("must be https://, as a token goes with it (http:// only to this machine)")]
    PlainWithCredential,
    #[error("the token can't stand in a header: visible ASCII characters are needed")]
    Credential,
    #[error("the CA file can't be used: {0}")]
    Certificates(String),
    #[error("no root certificates are found on this system; give a CA file")]
    NoRoots,
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

/// Why an address isn't connected to.
const NOT_ALLOWED: &str = "its address is private or reserved, which is not allowed here";

/// What is sent along so that the receiver knows who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    name: HeaderName,
    value: HeaderValue,
    /// As the caller gave it.
    secret: String,
}

impl Credential {
    /// `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    /// [`EndpointError::Credential`].
    pub fn bearer(token: &str) -> Result<Self, EndpointError> {
        Self::new(AUTHORIZATION, &format!("Bearer {token}"), token)
    }

    /// A header of the receiver's own, like `api-key`.
    ///
    /// # Errors
    /// [`EndpointError::Credential`].
    pub fn header(name: &str, value: &str) -> Result<Self, EndpointError> {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| EndpointError::Credential)?;
        Self::new(name, value, value)
    }

    fn new(name: HeaderName, value: &str, secret: &str) -> Result<Self, EndpointError> {
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EndpointError::Credential);
        }
        let value = HeaderValue::from_str(value);
        let mut value = value.map_err(|_| EndpointError::Credential)?;
        value.set_sensitive(true);
        Ok(Self {
            name,
            value,
            secret: secret.to_owned(),
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// A receiver as configured.
#[derive(Clone)]
pub struct EndpointConfig {
    /// `https://host:port/path`.
    pub url: String,
    /// Certificates (PEM) of the authorities that may vouch for the receiver;
    /// the system's where there are none.
    pub ca_pem: Option<Vec<u8>>,
    pub credential: Option<Credential>,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may have a key in its query.
        f.write_str("EndpointConfig(..)")
    }
}

/// Where `http://` may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    ThisMachine,
    /// Anywhere, as long as no credential goes with it: a collector beside us in
    /// the cluster.
    WithoutCredential,
}

/// A receiver that can be connected to.
#[derive(Clone)]
pub struct Endpoint {
    pub uri: Uri,
    pub credential: Option<Credential>,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    only_loopback: bool,
    /// Says of an address whether it may be connected to; `None`: any.
    guard: Option<Arc<dyn Fn(IpAddr) -> bool + Send + Sync>>,
    /// What a test's names lead to; `None`: as the system says.
    #[cfg(test)]
    names: Option<Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A connection's bytes.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub type Stream = TokioIo<Box<dyn Io>>;

impl Endpoint {
    /// Checks a configured receiver. Reads the system's certificates: call it
    /// before serving. `alpn` is the protocol to be spoken within TLS.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(config: EndpointConfig, alpn: &[u8], plain: Plain) -> Result<Self, EndpointError> {
        let uri: Uri = config.url.parse().map_err(|_| EndpointError::Url)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(EndpointError::Url);
        };
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInUrl);
        }
        let encrypted = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(EndpointError::Url),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(EndpointError::Url);
        }
        let port = authority
            .port_u16()
            .unwrap_or(if encrypted { 443 } else { 80 });
        let here = is_this_machine(&host);
        if !encrypted && !here {
            if plain == Plain::ThisMachine {
                return Err(EndpointError::Plain);
            }
            if config.credential.is_some() {
                return Err(EndpointError::PlainWithCredential);
            }
        }
        let tls = if encrypted {
            let name = ServerName::try_from(host.clone()).map_err(|_| EndpointError::Url)?;
            let tls = client_config(config.ca_pem.as_deref(), alpn)?;
            Some((TlsConnector::from(Arc::new(tls)), name))
        } else {
            None
        };
        Ok(Self {
            credential: config.credential,
            only_loopback: !encrypted && here,
            guard: None,
            #[cfg(test)]
            names: None,
            uri,
            host,
            port,
            tls,
        })
    }

    /// The same, but only addresses that this allows are connected to, whatever its
    /// name leads to at the time.
    #[must_use]
    pub fn guarded(self, guard: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self {
            guard: Some(Arc::new(guard)),
            ..self
        }
    }

    /// Connects, and shakes hands where it is TLS. Whoever waits has a time-out.
    ///
    /// # Errors
    /// Of the network, of the certificates.
    pub async fn connect(&self) -> io::Result<Stream> {
        let stream = self.connect_tcp().await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Io> = match &self.tls {
            Some((tls, name)) => Box::new(tls.connect(name.clone(), stream).await?),
            None => Box::new(stream),
        };
        Ok(TokioIo::new(stream))
    }

    async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.looked_up().await? {
            // What `localhost` means is for the resolver to say.
            if self.only_loopback && !address.ip().is_loopback() {
                continue;
            }
            // The very address that was looked at is connected to: what the name
            // means a moment later doesn't count.
            if self
                .guard
                .as_ref()
                .is_some_and(|guard| !guard(address.ip()))
            {
                last = io::Error::new(io::ErrorKind::PermissionDenied, NOT_ALLOWED);
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn looked_up(&self) -> io::Result<Vec<SocketAddr>> {
        #[cfg(test)]
        if let Some(names) = &self.names {
            return Ok(names());
        }
        Ok(lookup_host((self.host.as_str(), self.port))
            .await?
            .collect())
    }

    /// The header that shows who asks.
    pub fn credential_header(&self) -> Option<(&HeaderName, &HeaderValue)> {
        let credential = self.credential.as_ref()?;
        Some((&credential.name, &credential.value))
    }

    /// A receiver's words as an error may repeat them: short and printable. None
    /// of them, should the receiver have sent the credential back.
    pub fn quoted(&self, words: &str) -> String {
        let secret = self.credential.as_ref().map(|known| &known.secret);
        if secret.is_some_and(|secret| words.contains(secret)) {
            return "(it repeats the credential)".to_owned();
        }
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        words.chars().take(WORDS_CHARS_MAX).map(printable).collect()
    }
}

fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn client_config(ca_pem: Option<&[u8]>, alpn: &[u8]) -> Result<ClientConfig, EndpointError> {
    let roots = match ca_pem {
        Some(pem) => given_roots(pem)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| EndpointError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore, EndpointError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| EndpointError::Certificates(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| EndpointError::Certificates(error.to_string()))?;
    }
    if roots.is_empty() {
        let why = "it holds no certificate".to_owned();
        return Err(EndpointError::Certificates(why));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, EndpointError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(EndpointError::NoRoots);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
