//! How a running weir's admin address is reached: by TCP or a Unix socket, with
//! TLS where the configuration says so.

use crate::certificates::{self, Authorities, CertificateError, Chain, Key, Pair};
use crate::config::{Address, Config, Outside, TLS_FILE_BYTES_MAX};
use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// Which weir is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The configuration that weir serves with; listen.admin_token must be set.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where weir's admin port is reached, if not where the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Who vouches for weir's certificate, as PEM, where listen.admin has TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name in weir's certificate, if it isn't the address.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The certificate to show weir, as PEM, where it asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// A way to a running weir.
pub(super) struct Reach {
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

enum Place {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// A connection's bytes.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Reach {
    pub fn new(asked: &Where, config: &Config, outside: &dyn Outside) -> anyhow::Result<Self> {
        let socket = match (&config.listen.admin, asked.admin) {
            (Address::Unix(socket), None) => {
                return Ok(Self {
                    place: Place::Unix(socket.path.clone()),
                    tls: None,
                });
            }
            (Address::Unix(_), Some(_)) => {
                bail!("listen.admin is a Unix socket: leave out --admin")
            }
            (Address::Tcp(socket), _) => socket,
        };
        let mut address = asked.admin.unwrap_or(socket.address);
        if address.port() == 0 {
            bail!("listen.admin takes any free port: say which it is with --admin");
        }
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let tls = socket.tls.is_some();
        let tls = tls.then(|| tls_to(address, asked, outside));
        Ok(Self {
            place: Place::Tcp(address),
            tls: tls.transpose()?,
        })
    }

    pub async fn connect(&self) -> anyhow::Result<TokioIo<Box<dyn Io>>> {
        let io: Box<dyn Io> = match (&self.place, &self.tls) {
            (Place::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
            (Place::Tcp(address), None) => Box::new(TcpStream::connect(address).await?),
            (Place::Tcp(address), Some((tls, name))) => {
                let stream = TcpStream::connect(address).await?;
                Box::new(tls.connect(name.clone(), stream).await?)
            }
        };
        Ok(TokioIo::new(io))
    }
}

fn tls_to(
    address: SocketAddr,
    asked: &Where,
    outside: &dyn Outside,
) -> anyhow::Result<(TlsConnector, ServerName<'static>)> {
    let Some(ca) = &asked.ca else {
        bail!("listen.admin has TLS: say with --ca who vouches for its certificate");
    };
    let ca = read(ca, Authorities::read, outside)?;
    let pair = match (&asked.cert, &asked.key) {
        (Some(cert), Some(key)) => {
            let chain = read(cert, Chain::read, outside)?;
            let pair = Pair::new(chain, read(key, Key::read, outside)?);
            Some(pair.with_context(|| key.display().to_string())?)
        }
        _ => None,
    };
    let name = match &asked.server_name {
        Some(name) => ServerName::try_from(name.clone()).context("--server-name")?,
        None => ServerName::from(address.ip()),
    };
    let config = certificates::client_config(&ca, pair.as_ref(), b"http/1.1")?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn read<T>(
    path: &Path,
    meaning: fn(&[u8]) -> Result<T, CertificateError>,
    outside: &dyn Outside,
) -> anyhow::Result<T> {
    let place = || path.display().to_string();
    let bytes = outside.file(path, TLS_FILE_BYTES_MAX).with_context(place)?;
    meaning(&bytes).with_context(place)
}
