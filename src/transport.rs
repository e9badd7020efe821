//! How connections come in: Unix sockets with their mode and owner, TCP, TLS
//! whose certificates follow their files.
//!
//! Always holds: nobody can connect to a Unix socket before its mode and owner
//! are as configured. What [`Incoming`] gives has shaken hands; at most
//! [`HANDSHAKES_MAX`] handshakes are open at a time, each for at most
//! [`HANDSHAKE_MAX`], and none keeps others from beginning: where too many are
//! open, the oldest gives way. Certificates that can't be used never take the
//! place of those that are.
//!
//! Left to others: what is spoken, and how many connections there may be.

mod connection;
mod follow;
mod handshakes;
mod tls;
mod unix;

pub use connection::Connection;
pub use follow::Follow;
pub use tls::Tls;

use crate::certificates::CertificateError;
use crate::config::{Address, Outside};
use crate::telemetry::metrics::{Listener, Metrics};
use connection::Io;
use handshakes::Handshakes;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::Stream;

/// From a connection's first byte to the end of its handshake. One between
/// machines takes milliseconds; Envoy waits 5 s for it where nothing is said.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// Handshakes that are open at a time, at each address. Envoy opens few
/// connections; a handshake takes some ten KiB of memory.
pub const HANDSHAKES_MAX: usize = 256;

/// After a connection could not be accepted (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why an address can't be listened at.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("can't listen on {address}")]
    Listen { address: String, source: io::Error },
    #[error("can't make the folder {}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("{} exists and is not a socket", path.display())]
    NoSocket { path: PathBuf },
    #[error("another process is listening on {}", path.display())]
    Busy { path: PathBuf },
    #[error("can't remove the old socket {}", path.display())]
    OldSocket { path: PathBuf, source: io::Error },
    #[error("can't set the mode of {}", path.display())]
    Mode { path: PathBuf, source: io::Error },
    #[error("can't give {} to its owner", path.display())]
    Owner { path: PathBuf, source: io::Error },
    #[error("{} can't be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}", path.display())]
    Certificate {
        path: PathBuf,
        source: CertificateError,
    },
}

/// An open address, and what comes in there.
pub struct Incoming {
    socket: Socket,
    listener: Listener,
    tls: Option<Arc<Tls>>,
    handshakes: Handshakes,
}

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Incoming {
    /// Opens an address. Must be called within a runtime.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn open(
        address: &Address,
        listener: Listener,
        outside: &dyn Outside,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, TransportError> {
        let (socket, tls) = match address {
            Address::Unix(socket) => (Socket::Unix(unix::listen(socket).await?), None),
            Address::Tcp(socket) => {
                let tls = socket.tls.as_ref();
                let tls = tls.map(|settings| Tls::load(settings, listener, outside));
                let opened = TcpListener::bind(socket.address).await;
                let opened = opened.map_err(|source| TransportError::Listen {
                    address: socket.address.to_string(),
                    source,
                })?;
                (Socket::Tcp(opened), tls.transpose()?)
            }
        };
        Ok(Self {
            socket,
            listener,
            tls: tls.map(Arc::new),
            handshakes: Handshakes::new(listener, Arc::clone(metrics)),
        })
    }

    /// What TLS is spoken with here.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Where it listens, if by TCP.
    ///
    /// # Errors
    /// As the system says.
    pub fn tcp_address(&self) -> io::Result<Option<std::net::SocketAddr>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Some),
            Socket::Unix(_) => Ok(None),
        }
    }

    /// The next connection that is ready to be spoken on. Nothing is lost where
    /// it isn't waited for.
    pub async fn next(&mut self) -> Connection {
        loop {
            let accepted = tokio::select! {
                Some(connection) = self.handshakes.done() => return connection,
                accepted = self.socket.accept() => accepted,
            };
            match (accepted, &self.tls) {
                (Ok(Io::Tcp(stream)), Some(tls)) => self.handshakes.begin(tls, stream),
                (Ok(io), _) => return Connection::plain(io),
                (Err(error), _) => {
                    let listener = self.listener.as_str();
                    tracing::warn!(listener, %error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Connections for as long as it is asked for them.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        futures_util::stream::unfold(self, |mut incoming| async {
            let connection = incoming.next().await;
            Some((Ok(connection), incoming))
        })
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<Io> {
        match self {
            Socket::Unix(listener) => Ok(Io::Unix(listener.accept().await?.0)),
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Messages are small and each is waited for.
                stream.set_nodelay(true)?;
                Ok(Io::Tcp(stream))
            }
        }
    }
}

#[cfg(test)]
mod tests;
