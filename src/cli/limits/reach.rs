//! How an address of a running weir is reached: by TCP or a Unix socket, with TLS
//! where the configuration says so, or the command line.

use crate::certificates::{self, Authorities, CertificateError, Chain, Key, Pair};
use crate::config::{Address, Config, Outside, TLS_FILE_BYTES_MAX, TcpSocket};
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
pub(in crate::cli) struct Where {
    /// The configuration that weir serves with; listen.admin_token must be set.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where weir's admin port is reached, if not where the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    trust: Trust,
}

/// Who is believed over TLS, and what is shown.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Trust {
    /// Who vouches for weir's certificate, as PEM, where its address has TLS.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
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
pub(in crate::cli) struct Reach {
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

enum Place {
    Unix(PathBuf),
    /// The host without brackets, and the port.
    Tcp(String, u16),
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// A connection's bytes.
pub(in crate::cli) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Reach {
    pub fn new(asked: &Where, config: &Config, outside: &dyn Outside) -> anyhow::Result<Self> {
        let at = "listen.admin";
        let address = match (&config.listen.admin, asked.admin) {
            (Address::Unix(_), Some(_)) => {
                bail!("listen.admin is a Unix socket: leave out --admin")
            }
            (Address::Tcp(socket), Some(address)) => Address::Tcp(TcpSocket {
                address,
                ..socket.clone()
            }),
            (address, None) => address.clone(),
        };
        if matches!(&address, Address::Tcp(socket) if socket.address.port() == 0) {
            bail!("listen.admin takes any free port: say which it is with --admin");
        }
        Self::listened(&address, at, &asked.trust, b"http/1.1", outside)
    }

    /// To an address as a configuration has it, `at` which place there; `alpn` is what
    /// is spoken within TLS.
    pub fn listened(
        address: &Address,
        at: &str,
        trust: &Trust,
        alpn: &[u8],
        outside: &dyn Outside,
    ) -> anyhow::Result<Self> {
        let socket = match address {
            Address::Unix(socket) => return Ok(Self::unix(&socket.path)),
            Address::Tcp(socket) => socket,
        };
        let mut ip = socket.address.ip();
        if ip.is_unspecified() {
            ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        }
        let host = ip.to_string();
        let tls = match socket.tls.is_some() {
            true if trust.ca.is_none() => {
                bail!("{at} has TLS: say with --ca who vouches for its certificate")
            }
            true => trust.tls_to(&host, alpn, outside)?,
            false => None,
        };
        Ok(Self {
            place: Place::Tcp(host, socket.address.port()),
            tls,
        })
    }

    pub fn unix(path: &Path) -> Self {
        Self {
            place: Place::Unix(path.to_owned()),
            tls: None,
        }
    }

    /// By TLS where it is said who vouches for it.
    pub fn tcp(
        host: &str,
        port: u16,
        trust: &Trust,
        alpn: &[u8],
        outside: &dyn Outside,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            place: Place::Tcp(host.to_owned(), port),
            tls: trust.tls_to(host, alpn, outside)?,
        })
    }

    pub async fn connect(&self) -> anyhow::Result<TokioIo<Box<dyn Io>>> {
        let io: Box<dyn Io> = match (&self.place, &self.tls) {
            (Place::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
            (Place::Tcp(host, port), None) => {
                Box::new(TcpStream::connect((host.as_str(), *port)).await?)
            }
            (Place::Tcp(host, port), Some((tls, name))) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                Box::new(tls.connect(name.clone(), stream).await?)
            }
        };
        Ok(TokioIo::new(io))
    }
}

impl Trust {
    /// `None` where nobody vouches for the other side: then there is no TLS.
    fn tls_to(
        &self,
        host: &str,
        alpn: &[u8],
        outside: &dyn Outside,
    ) -> anyhow::Result<Option<(TlsConnector, ServerName<'static>)>> {
        let Some(ca) = &self.ca else {
            return Ok(None);
        };
        let ca = read(ca, Authorities::read, outside)?;
        let pair = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = read(cert, Chain::read, outside)?;
                let pair = Pair::new(chain, read(key, Key::read, outside)?);
                Some(pair.with_context(|| key.display().to_string())?)
            }
            _ => None,
        };
        let name = match &self.server_name {
            Some(name) => ServerName::try_from(name.clone()).context("--server-name")?,
            None => ServerName::try_from(host.to_owned()).context("the name of the server")?,
        };
        let config = certificates::client_config(&ca, pair.as_ref(), alpn)?;
        Ok(Some((TlsConnector::from(Arc::new(config)), name)))
    }
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
