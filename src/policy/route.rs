//! What holds for calls by where they go: whose form they have, and what
//! becomes of those that weir can't read.

use crate::identity::source::Places;
use crate::protocol::Dialect;
use std::sync::Arc;

/// The most routes of a configuration: each call may be held against all.
pub const ROUTES_MAX: usize = 64;

/// Some of the calls, and what holds for them. The first that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// `None`: any host.
    pub host: Option<Host>,
    /// The path is this or begins with it and a slash; without its last slash.
    /// `None`: any path.
    pub path: Option<Arc<str>>,
    /// What it is for: keys of other environments alone may not call it.
    pub environment: Option<Arc<str>>,
    /// Where API keys are looked for; `None`: where `identity.sources` says.
    pub credentials: Option<Arc<Places>>,
    /// Calls have this form, and endpoints of others are not known here.
    pub dialect: Option<Dialect>,
    /// Calls to endpoints that are not known pass, counted as requests.
    pub pass_unknown: bool,
    /// WebSockets and other upgrades pass, counted as requests.
    pub allow_upgrades: bool,
}

/// Hosts, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Is(Arc<str>),
    /// Ends with this, which begins with a dot.
    Under(Arc<str>),
}

impl Route {
    /// Whether it is for a call to this host (as the client wrote it, with or
    /// without a port) and path (without a query).
    pub fn fits(&self, host: &str, path: &str) -> bool {
        let host_fits = self.host.as_ref().is_none_or(|known| known.fits(host));
        let path_fits = self.path.as_ref().is_none_or(|front| {
            let behind = path.strip_prefix(&**front);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
        });
        host_fits && path_fits
    }
}

impl Host {
    fn fits(&self, host: &str) -> bool {
        // An address in brackets has colons of its own.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        match self {
            Host::Is(known) => name.eq_ignore_ascii_case(known),
            Host::Under(suffix) => {
                let at = name.len().checked_sub(suffix.len());
                let end = at.filter(|at| *at > 0).and_then(|at| name.get(at..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_for_its_host_and_below_its_path() {
        let route = |host: Option<Host>, path: Option<&str>| Route {
            host,
            path: path.map(Arc::from),
            ..Route::default()
        };
        let is = |host: &str| Some(Host::Is(host.into()));
        let under = |suffix: &str| Some(Host::Under(suffix.into()));
        for (route, host, path, fits) in [
            (route(None, None), "any", "/x", true),
            (route(is("api.x.ai"), None), "api.x.ai", "/", true),
            (route(is("api.x.ai"), None), "API.x.ai:443", "/", true),
            (route(is("api.x.ai"), None), "x.ai", "/", false),
            (route(is("[::1]"), None), "[::1]:80", "/", true),
            (route(under(".azure.com"), None), "a.b.azure.com", "/", true),
            (route(under(".azure.com"), None), ".azure.com", "/", false),
            (route(under(".azure.com"), None), "azure.com", "/", false),
            (route(None, Some("/anthropic")), "h", "/anthropic", true),
            (route(None, Some("/anthropic")), "h", "/anthropic/v1", true),
            (route(None, Some("/anthropic")), "h", "/anthropics", false),
            (route(is("h"), Some("/a")), "h", "/b", false),
        ] {
            assert_eq!(route.fits(host, path), fits, "{route:?} {host} {path}");
        }
    }
}
