//! What TLS is spoken with: read from files, exchanged while it is used.

use super::TransportError;
use crate::certificates::{self, Authorities, CertificateError, Chain, Key, Pair, Validity};
use crate::config::{Outside, TLS_FILE_BYTES_MAX, TlsSettings};
use crate::telemetry::metrics::Listener;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// TLS of one address.
pub struct Tls {
    settings: TlsSettings,
    listener: Listener,
    used: ArcSwap<Used>,
}

/// What new connections shake hands with.
pub(super) struct Used {
    config: Arc<ServerConfig>,
    pub server: Validity,
    pub client_ca: Option<Validity>,
    /// Of the files that it was made of.
    pub mark: Mark,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.settings)
    }
}

impl Tls {
    /// # Errors
    /// Where a file can't be read or used.
    pub(super) fn load(
        settings: &TlsSettings,
        listener: Listener,
        outside: &dyn Outside,
    ) -> Result<Self, TransportError> {
        let files = Files::read(settings, outside)?;
        Ok(Self {
            used: ArcSwap::from_pointee(files.make(settings, listener)?),
            settings: settings.clone(),
            listener,
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.used.load().config))
    }

    pub(super) fn used(&self) -> Arc<Used> {
        self.used.load_full()
    }

    /// The files as they are now.
    pub(super) fn read(&self, outside: &dyn Outside) -> Result<Files, TransportError> {
        Files::read(&self.settings, outside)
    }

    /// From now on handshakes are made with these, if they can be.
    pub(super) fn take(&self, files: &Files) -> Result<(), TransportError> {
        let used = files.make(&self.settings, self.listener)?;
        self.used.store(Arc::new(used));
        Ok(())
    }

    /// The certificate's file, which says which address it is.
    pub(super) fn name(&self) -> &Path {
        &self.settings.cert
    }
}

/// Tells contents of files apart without keeping a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark([u8; 32]);

/// What the files hold.
pub(super) struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(settings: &TlsSettings, outside: &dyn Outside) -> Result<Self, TransportError> {
        let file = |path: &Path| {
            let read = outside.file(path, TLS_FILE_BYTES_MAX);
            read.map_err(|source| TransportError::File {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Self {
            cert: file(&settings.cert)?,
            key: file(&settings.key)?,
            client_ca: settings.client_ca.as_deref().map(file).transpose()?,
        })
    }

    pub fn mark(&self) -> Mark {
        let mut hash = Sha256::new();
        for part in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            let part = part.map_or(&[][..], Vec::as_slice);
            // With its length, so that no byte can move to the next unseen.
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Mark(hash.finalize().into())
    }

    fn make(&self, settings: &TlsSettings, listener: Listener) -> Result<Used, TransportError> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |source: CertificateError| TransportError::Certificate { path, source }
        };
        let chain = Chain::read(&self.cert).map_err(of(&settings.cert))?;
        let key = Key::read(&self.key).map_err(of(&settings.key))?;
        let pair = Pair::new(chain, key).map_err(of(&settings.key))?;
        let client_ca = match (&self.client_ca, &settings.client_ca) {
            (Some(text), Some(path)) => Some(Authorities::read(text).map_err(of(path))?),
            _ => None,
        };
        let alpn: &[u8] = match listener {
            Listener::Grpc | Listener::Health => b"h2",
            Listener::Admin | Listener::HttpAuthz => b"http/1.1",
        };
        let config =
            certificates::server_config(&pair, client_ca.as_ref(), &settings.client_names, alpn)
                .map_err(of(&settings.cert))?;
        Ok(Used {
            config: Arc::new(config),
            server: pair.validity,
            client_ca: client_ca.map(|ca| ca.validity),
            mark: self.mark(),
        })
    }
}
