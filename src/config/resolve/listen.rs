//! Where weir listens: addresses, who may open a socket, TLS.

use super::tls::tls;
use crate::config::problem::{Findings, shown, shown_bare};
use crate::config::raw::listen::{RawAddress, RawListen};
use crate::config::reader::Located;
use crate::config::secret::{SecretError, read_token};
use crate::config::{Address, Listen, Outside, SocketOwner, TcpSocket, UnixSocket};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// The longest path of a Unix socket: `sun_path` holds 104 bytes on the system
/// with the least, its closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// Who may connect where nothing is said: the sidecar's own user and group
/// (Envoy's).
const SOCKET_MODE_DEFAULT: u32 = 0o660;

/// Who may write to a socket may connect to it.
const OTHERS_WRITE: u32 = 0o002;

const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// The largest list of users or groups that is looked through.
const ACCOUNTS_BYTES_MAX: usize = 1 << 20;

/// What the system takes for "leave it as it is".
const NO_ID: u32 = u32::MAX;

/// A place that only one server can listen at.
#[derive(PartialEq, Eq, Hash)]
enum Taken {
    Path(std::path::PathBuf),
    Port(SocketAddr),
}

impl Taken {
    /// `None` where any number of servers may: any free port.
    fn of(address: &Address) -> Option<Self> {
        match address {
            Address::Unix(socket) => Some(Self::Path(socket.path.clone())),
            Address::Tcp(socket) if socket.address.port() == 0 => None,
            Address::Tcp(socket) => Some(Self::Port(socket.address)),
        }
    }
}

pub(super) fn listen(raw: RawListen, outside: &dyn Outside, findings: &Findings) -> Option<Listen> {
    let surroundings = Surroundings {
        reached_by: match raw.allow_remote {
            true => ReachedBy::Allowed,
            false => ReachedBy::ThisMachine,
        },
        outside,
        findings,
    };
    let mut seen = HashSet::new();
    let grpc = surroundings.for_envoy(&mut seen, &raw.grpc?);
    let admin = match &raw.admin {
        None => Address::Tcp(TcpSocket {
            address: ADMIN_DEFAULT,
            tls: None,
        }),
        Some(raw) => {
            let address = surroundings.address(raw)?;
            if Taken::of(&address).is_some_and(|place| seen.contains(&place)) {
                report(raw, "is listened at for gRPC already", findings);
            }
            address
        }
    };
    seen.extend(Taken::of(&admin));
    let http_authz = raw.http_authz.as_ref();
    let http_authz = http_authz.map(|raw| surroundings.apart_from(&mut seen, raw));
    let surroundings = Surroundings {
        reached_by: ReachedBy::Anyone,
        ..surroundings
    };
    let health = raw.health.as_ref();
    let health = health.map(|raw| surroundings.apart_from(&mut seen, raw));
    let admin_token = match &raw.admin_token {
        None => None,
        Some(source) => {
            let token = read_token(&source.value, outside);
            let report = |error: SecretError| findings.problem(&source.at, error.to_string());
            Some(token.map_err(report).ok()?)
        }
    };
    Some(Listen {
        grpc,
        admin,
        admin_token,
        http_authz: super::where_set(http_authz)?,
        health: super::where_set(health)?,
    })
}

fn report(raw: &RawAddress, text: &str, findings: &Findings) {
    if let Some(address) = &raw.address {
        findings.problem(&address.at, text);
    }
}

/// Who may reach an address, besides whom its certificates let in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReachedBy {
    /// Who is there could speak as Envoy, or as an operator.
    ThisMachine,
    /// The same, from wherever the configuration allows it.
    Allowed,
    /// It tells a state, and takes nothing in.
    Anyone,
}

/// What addresses are judged by.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    reached_by: ReachedBy,
    outside: &'a dyn Outside,
    findings: &'a Findings,
}

impl Surroundings<'_> {
    fn problem<T>(&self, on: &Located<String>, text: impl Into<String>) -> Option<T> {
        self.findings.problem(&on.at, text);
        None
    }

    /// Those of `listen.grpc` that can be listened at.
    fn for_envoy(
        &self,
        seen: &mut HashSet<Taken>,
        written: &Located<Vec<RawAddress>>,
    ) -> Vec<Address> {
        let mut grpc = Vec::new();
        if written.value.is_empty() {
            let findings = self.findings;
            findings.problem(&written.at, "must have at least one address");
        }
        for raw in &written.value {
            let Some(address) = self.address(raw) else {
                continue;
            };
            // Any free port may be asked for once: a second is hardly meant.
            let place = Taken::of(&address);
            let again = match &address {
                Address::Tcp(socket) if place.is_none() => {
                    !seen.insert(Taken::Port(socket.address))
                }
                _ => place.is_some_and(|place| !seen.insert(place)),
            };
            match again {
                false => grpc.push(address),
                true => report(raw, "is listed twice", self.findings),
            }
        }
        grpc
    }

    /// One that nobody listens at yet.
    fn apart_from(&self, seen: &mut HashSet<Taken>, raw: &RawAddress) -> Option<Address> {
        let address = self.address(raw)?;
        if Taken::of(&address).is_some_and(|place| !seen.insert(place)) {
            report(raw, "is listened at already", self.findings);
        }
        Some(address)
    }

    fn address(&self, raw: &RawAddress) -> Option<Address> {
        let text = raw.address.as_ref()?;
        match text.value.strip_prefix("unix:") {
            Some(path) => self.unix(raw, text, path),
            None => self.tcp(raw, text),
        }
    }

    fn unix(&self, raw: &RawAddress, text: &Located<String>, path: &str) -> Option<Address> {
        if let Some(tls) = &raw.tls {
            let text = "has no meaning with a Unix socket: mode and owner say who may connect";
            self.findings.problem(&tls.at, text);
        }
        let mode = raw.mode.as_ref().map(|mode| self.mode(mode));
        let owner = raw.owner.as_ref().map(|owner| self.owner(owner));
        // `unix:///path` is the same in gRPC's notation.
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.len() > SOCKET_PATH_BYTES_MAX {
            let rule =
                format!("the path of a Unix socket must have 1 to {SOCKET_PATH_BYTES_MAX} bytes");
            return self.problem(text, format!("{rule} (got {})", path.len()));
        }
        Some(Address::Unix(UnixSocket {
            path: path.into(),
            mode: mode.unwrap_or(Some(SOCKET_MODE_DEFAULT))?,
            owner: owner.unwrap_or(Some(SocketOwner::default()))?,
        }))
    }

    fn mode(&self, text: &Located<String>) -> Option<u32> {
        let octal = matches!(text.value.len(), 3 | 4)
            && text.value.bytes().all(|c| (b'0'..=b'7').contains(&c));
        let mode = u32::from_str_radix(&text.value, 8).ok();
        match mode.filter(|mode| octal && *mode <= 0o777) {
            Some(mode) => {
                if mode & OTHERS_WRITE != 0 && self.reached_by != ReachedBy::Anyone {
                    let warning = "lets every user of this machine connect: whoever reaches the \
                                   socket could speak as Envoy";
                    self.findings.warning(&text.at, warning);
                }
                Some(mode)
            }
            None => {
                let rule = "must be a mode in octal digits, such as 0660";
                let got = shown_bare(&text.value);
                self.problem(text, format!("{rule} (got {got})"))
            }
        }
    }

    /// `user`, `user:group` or `:group`, each by its name or its number.
    fn owner(&self, text: &Located<String>) -> Option<SocketOwner> {
        let (user, group) = match text.value.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.value.as_str(), None),
        };
        if group == Some("") || (user.is_empty() && group.is_none()) {
            let rule = "must be user:group, user or :group, each a name or a number";
            let got = shown(&text.value);
            return self.problem(text, format!("{rule} (got {got})"));
        }
        let user = Some(user).filter(|user| !user.is_empty());
        let user = user.map(|name| self.id(text, "user", name, "/etc/passwd"));
        let group = group.map(|name| self.id(text, "group", name, "/etc/group"));
        Some(SocketOwner {
            user: super::where_set(user)?,
            group: super::where_set(group)?,
        })
    }

    /// Both lists have a name first and its number third.
    fn id(&self, on: &Located<String>, what: &str, name: &str, list: &str) -> Option<u32> {
        if name.bytes().all(|c| c.is_ascii_digit()) {
            let id = name.parse().ok().filter(|id| *id != NO_ID);
            return id.or_else(|| {
                let rule = format!("a {what}'s number must be less than {NO_ID}");
                self.problem(on, format!("{rule} (got {name})"))
            });
        }
        let accounts = match self.outside.file(Path::new(list), ACCOUNTS_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = format!("the {what}'s number is needed: {list} can't be read");
                return self.problem(on, format!("{why}: {}", error.kind()));
            }
        };
        let accounts = String::from_utf8_lossy(&accounts);
        let id = accounts.lines().find_map(|line| {
            let mut parts = line.split(':');
            let found = parts.next() == Some(name);
            parts.nth(1).filter(|_| found)?.parse().ok()
        });
        id.or_else(|| {
            let name = shown(name);
            self.problem(on, format!("there is no {what} {name} in {list}"))
        })
    }

    fn tcp(&self, raw: &RawAddress, text: &Located<String>) -> Option<Address> {
        for field in [&raw.mode, &raw.owner].into_iter().flatten() {
            let text = "has no meaning with TCP: it is of a Unix socket";
            self.findings.problem(&field.at, text);
        }
        let settings = raw.tls.as_ref();
        let settings = settings.map(|raw| tls(raw, self.outside, self.findings));
        // Clients that are verified may come from anywhere.
        let verified = raw.tls.as_ref().is_some_and(|tls| tls.has_client_ca);
        let anywhere = verified || self.reached_by != ReachedBy::ThisMachine;
        let address = self.socket_address(text, anywhere)?;
        Some(Address::Tcp(TcpSocket {
            address,
            tls: super::where_set(settings)?,
        }))
    }

    fn socket_address(&self, text: &Located<String>, anywhere: bool) -> Option<SocketAddr> {
        // The one host name whose meaning needs no lookup.
        let numeric = match text.value.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.value.clone(),
        };
        let got = shown(&text.value);
        let Ok(address) = numeric.parse::<SocketAddr>() else {
            let rule = "must be \"unix:/path\" or an IP address and a port, as in 127.0.0.1:9000";
            return self.problem(text, format!("{rule} (got {got})"));
        };
        if !address.ip().is_loopback() && !anywhere {
            let rule = "is not a loopback address: whoever reaches it could speak as Envoy; use a \
                        Unix socket or 127.0.0.1, verify clients by tls.client_ca, or set \
                        listen.allow_remote: true";
            return self.problem(text, format!("{rule} (got {got})"));
        }
        Some(address)
    }
}
