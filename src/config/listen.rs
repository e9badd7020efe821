//! Where weir listens, and who may connect there.

use super::Secret;
use crate::certificates::AllowedName;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where weir listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// For Envoy. At least one, all different.
    pub grpc: Vec<Address>,
    /// For health checks, metrics, limits and reports, over HTTP.
    pub admin: Address,
    /// What whoever asks the same address about limits must bring; `None`:
    /// nobody may.
    pub admin_token: Option<Secret>,
    /// For ext_authz over HTTP; `None`: nowhere.
    pub http_authz: Option<Address>,
    /// For gRPC health alone; `None`: only beside Envoy's services.
    pub health: Option<Address>,
}

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(UnixSocket),
    Tcp(TcpSocket),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(socket) => write!(f, "unix:{}", socket.path.display()),
            Address::Tcp(socket) => write!(f, "{}", socket.address),
        }
    }
}

/// A Unix socket. Who may write to it may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    pub owner: SocketOwner,
}

/// By number; `None`: as the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketOwner {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSocket {
    pub address: SocketAddr,
    pub tls: Option<TlsSettings>,
}

/// Files of PEM, and whom they let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate, and those between it and an authority.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Who vouches for clients; `None`: a client shows no certificate.
    pub client_ca: Option<PathBuf>,
    /// The names of which a client must have one; none: whoever is vouched for
    /// may connect.
    pub client_names: Vec<AllowedName>,
}
