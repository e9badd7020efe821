//! What every request must be, whoever asks, so that no page of a browser can ask
//! in somebody's stead.
//!
//! Always holds: nothing is allowed across origins, so no answer has a header of
//! CORS; a request that a browser marks as another site's is refused, and so is
//! one for a name that isn't weir's (DNS rebinding); no answer is stored, or taken
//! for something that it isn't.

use super::access::Access;
use super::answer::Wrong;
use super::tries::Peer;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// What answers say besides their content.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Probes come by whatever name a machine has, and are told nothing of worth.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

pub(super) async fn guard(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let local = request.extensions().get() == Some(&Peer::Local);
    let judged = judge(request.uri(), request.headers(), &access.hosts(), local);
    let mut response = match judged {
        Ok(()) => next.run(request).await,
        Err(wrong) => wrong.into_response(),
    };
    response.headers_mut().extend(HEADERS);
    response
}

/// Whether a request may be looked at. `local`: it came by a Unix socket, which no
/// browser opens, so its name says nothing.
fn judge(uri: &Uri, headers: &HeaderMap, hosts: &[String], local: bool) -> Result<(), Wrong> {
    let foreign = |error: &str| Err(Wrong::forbidden(error));
    if let Some(site) = headers.get("sec-fetch-site")
        && !["same-origin", "none"].iter().any(|own| site == own)
    {
        return foreign("a page of another site asks (sec-fetch-site)");
    }
    let host = host(uri, headers);
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let own = host.as_ref().is_some_and(|host| is_of(origin, host));
        if !own || origins.next().is_some() {
            return foreign("a page of another site asks (origin)");
        }
    }
    if local || PROBES.contains(&uri.path()) {
        return Ok(());
    }
    match host {
        Some(host) if is_own(&host, hosts) => Ok(()),
        Some(_) => Err(Wrong::new(
            StatusCode::MISDIRECTED_REQUEST,
            "the request is for a host that isn't weir: add its name to admin.hosts",
        )),
        None => Err(Wrong::new(
            StatusCode::BAD_REQUEST,
            "the request must say once which host it is for",
        )),
    }
}

/// Which host is asked; `None` where it is said never or twice.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut said = headers.get_all(header::HOST).iter();
    let of_header = said
        .next()
        .map(|host| Authority::try_from(host.as_bytes()).ok());
    if said.next().is_some() || of_header == Some(None) {
        return None;
    }
    // Both are there where a proxy is spoken to.
    match (uri.authority(), of_header.flatten()) {
        (Some(asked), Some(host)) if *asked != host => None,
        (asked, host) => asked.cloned().or(host),
    }
    .filter(|host| !host.as_str().contains('@'))
}

/// An address is no name that somebody else could point here.
fn is_own(host: &Authority, hosts: &[String]) -> bool {
    let name = host.host();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    bare.unwrap_or(&name).parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || hosts.contains(&name)
}

fn is_of(origin: &HeaderValue, host: &Authority) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(path: &str, headers: &[(&str, &str)], local: bool) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let hosts = ["weir.internal".to_owned()];
        match judge(&path.parse().unwrap(), &map, &hosts, local) {
            Ok(()) => 200,
            Err(wrong) => wrong.status.as_u16(),
        }
    }

    #[test]
    fn only_weirs_own_names_are_answered() {
        for (host, status) in [
            ("localhost", 200),
            ("LOCALHOST:9090", 200),
            ("localhost.", 200),
            ("weir.localhost:1", 200),
            ("127.0.0.1:9090", 200),
            ("10.1.2.3", 200),
            ("[::1]:9090", 200),
            ("Weir.Internal:9090", 200),
            ("weir.internal.", 200),
            ("evil.example", 421),
            ("weir.internal.evil.example", 421),
            ("localhost.evil.example:9090", 421),
            ("127.0.0.1.evil.example", 421),
            ("evil.example@localhost", 400),
            ("a b", 400),
            ("", 400),
        ] {
            assert_eq!(
                judged("/v1/keys", &[("host", host)], false),
                status,
                "{host}"
            );
            assert_eq!(
                judged("/metrics", &[("host", host)], false),
                status,
                "{host}"
            );
            assert_eq!(judged("/healthz", &[("host", host)], false), 200, "{host}");
            assert_eq!(judged("/v1/keys", &[("host", host)], true), 200, "{host}");
        }
        assert_eq!(judged("/v1/keys", &[], false), 400);
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(judged("/v1/keys", &twice, false), 400);
        let whole = "http://evil.example/v1/keys";
        assert_eq!(judged(whole, &[("host", "localhost")], false), 400);
        assert_eq!(judged(whole, &[], false), 421);
        assert_eq!(judged("http://localhost/v1/keys", &[], false), 200);
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "localhost:9090");
        for (name, value, status) in [
            ("origin", "http://localhost:9090", 200),
            ("origin", "https://LOCALHOST:9090", 200),
            ("origin", "http://localhost", 403),
            ("origin", "http://localhost:9091", 403),
            ("origin", "https://evil.example", 403),
            ("origin", "null", 403),
            ("origin", "", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "anything", 403),
        ] {
            for path in ["/v1/keys", "/healthz", "/metrics"] {
                assert_eq!(
                    judged(path, &[host, (name, value)], false),
                    status,
                    "{name}: {value}"
                );
                assert_eq!(
                    judged(path, &[host, (name, value)], true),
                    status,
                    "{name}: {value}"
                );
            }
        }
        let own = ("origin", "http://localhost:9090");
        assert_eq!(judged("/v1/keys", &[host, own, own], false), 403);
        assert_eq!(
            judged("/v1/keys", &[own], true),
            403,
            "of which host it is isn't said"
        );
    }
}
