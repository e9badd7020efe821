//! What holds for calls by where they go: whose form they have, and what
//! becomes of those that weir can't read.

use crate::identity::scopes::Pattern;
use crate::identity::source::Places;
use crate::protocol::Dialect;
use std::sync::Arc;

/// The most routes of a configuration: each call may be held against all.
pub const ROUTES_MAX: usize = 64;

/// Some of the calls, and what holds for them. The first that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// What conditions see as `request.route`.
    pub name: Option<Arc<str>>,
    /// `None`: any route of the gateway, and calls whose route isn't told.
    pub envoy_route: Option<EnvoyRoute>,
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

/// Names of the routes that Envoy chooses among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvoyRoute {
    /// A name, or the beginning of names.
    Named(Pattern),
    /// The end of names.
    Ending(Arc<str>),
}

impl Route {
    /// Whether it is for a call to this host (as the client wrote it, with or
    /// without a port) and path (without a query), for which Envoy chose the route
    /// of this name, if that is told.
    pub fn fits(&self, host: &str, path: &str, envoy_route: Option<&str>) -> bool {
        let route_fits = self.envoy_route.as_ref().is_none_or(|known| {
            let told = envoy_route.filter(|name| !name.is_empty());
            told.is_some_and(|name| known.fits(name))
        });
        let host_fits = self.host.as_ref().is_none_or(|known| known.fits(host));
        let path_fits = self.path.as_ref().is_none_or(|front| {
            let behind = path.strip_prefix(&**front);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
        });
        route_fits && host_fits && path_fits
    }
}

impl EnvoyRoute {
    fn fits(&self, name: &str) -> bool {
        match self {
            EnvoyRoute::Named(pattern) => pattern.fits(name),
            EnvoyRoute::Ending(end) => name.ends_with(&**end),
        }
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
            assert_eq!(
                route.fits(host, path, None),
                fits,
                "{route:?} {host} {path}"
            );
        }
    }

    #[test]
    fn a_route_of_envoys_is_known_by_its_name_where_that_is_told() {
        let named = |text: &str| EnvoyRoute::Named(Pattern::new(text).unwrap());
        let ending = |text: &str| EnvoyRoute::Ending(text.into());
        for (envoy_route, told, fits) in [
            (None, None, true),
            (None, Some("any"), true),
            (Some(named("batch")), Some("batch"), true),
            (Some(named("batch")), Some("Batch"), false),
            (Some(named("batch")), Some("batches"), false),
            (Some(named("batch")), None, false),
            (Some(named("batch*")), Some("batches"), true),
            (Some(named("batch*")), Some("a-batch"), false),
            (Some(ending("-batch")), Some("night-batch"), true),
            (Some(ending("-batch")), Some("night-batches"), false),
            // Not even what fits every name: Envoy tells of one without a name so.
            (Some(named("*")), Some(""), false),
            (Some(named("*")), None, false),
            (Some(named("*")), Some("x"), true),
            (Some(ending("")), Some(""), false),
        ] {
            let route = Route {
                envoy_route,
                ..Route::default()
            };
            assert_eq!(route.fits("h", "/", told), fits, "{route:?} {told:?}");
            let elsewhere = Route {
                host: Some(Host::Is("other".into())),
                ..route
            };
            assert!(!elsewhere.fits("h", "/", told), "all must fit");
        }
    }
}
