//! How to reach the servers.

use crate::units::Millis;
use std::fmt;

/// How to reach the servers.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    pub servers: Servers,
    /// The name and password of an ACL user, in place of those in a URL.
    pub username: Option<String>,
    pub password: Option<String>,
    /// Certificates that a server's may be signed by, as PEM, for `rediss://`;
    /// `None`: those that the system trusts.
    pub ca_pem: Option<Vec<u8>>,
    /// How long one call may take, from asking to the answer.
    pub response_timeout: Millis,
    /// How long one attempt to connect may take.
    pub connect_timeout: Millis,
}

/// Which servers there are. A URL begins with `redis://`, `rediss://` (TLS),
/// `redis+unix://` or `unix://`, and may hold a user and a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Servers {
    Single {
        url: String,
    },
    /// Some of its nodes: the others are learned from them.
    Cluster {
        urls: Vec<String>,
    },
    /// Sentinels, and the name of the master that they watch over. Username,
    /// password and certificates are the master's; a Sentinel's own are in its
    /// URL.
    Sentinel {
        urls: Vec<String>,
        master: String,
    },
}

impl RedisConfig {
    pub const RESPONSE_TIMEOUT_DEFAULT: Millis = Millis(15);
    pub const CONNECT_TIMEOUT_DEFAULT: Millis = Millis(1_000);

    /// One server, with the default time-outs.
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Servers::Single { url: url.into() })
    }

    /// With the default time-outs.
    pub fn of(servers: Servers) -> Self {
        Self {
            servers,
            username: None,
            password: None,
            ca_pem: None,
            response_timeout: Self::RESPONSE_TIMEOUT_DEFAULT,
            connect_timeout: Self::CONNECT_TIMEOUT_DEFAULT,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
