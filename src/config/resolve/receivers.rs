//! Receivers that the ledger's rows are sent to, checked as far as that goes
//! without asking them.
//!
//! Always holds: what passes here their sinks take (a test of `app` tries); no
//! problem repeats a URL, which may hold a key, or a token.

use super::{certificates, elsewhere, where_set};
use crate::config::outside::Outside;
use crate::config::problem::{Findings, shown};
use crate::config::raw::receivers::{RawCloudEvents, RawOtlpSink, RawReceiver};
use crate::config::reader::Located;
use crate::config::secret::{Secret, SecretSource};
use crate::config::{
    CloudEventsMode, CloudEventsSettings, CloudEventsSubject, OtlpSettings, ReceiverSettings,
};
use crate::units::Millis;
use hyper::Uri;
use hyper::header::{self, HeaderName};
use rustls::pki_types::ServerName;
use std::net::IpAddr;

const TIMEOUT_DEFAULT: Millis = Millis(10_000);

/// Below the 4 MiB that gRPC servers take by default.
const OTLP_BYTES_DEFAULT: u64 = (3 << 20) + (512 << 10);

/// What common HTTP servers take by default.
const CLOUDEVENTS_BYTES_DEFAULT: u64 = 1 << 20;

/// Half a megabyte or so of rows.
const CLOUDEVENTS_ROWS_DEFAULT: u64 = 500;

/// Where `http://` may lead, and what may stand behind the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// gRPC: no path. `http://` anywhere, as to a collector in the cluster, if no
    /// token goes with it.
    Grpc,
    /// `http://` to this machine only.
    Http,
    /// `http://` where private addresses are allowed.
    Webhook { allow_private: bool },
}

pub(super) fn otlp(
    raw: RawOtlpSink,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<OtlpSettings> {
    let name = raw.service_name.map(|name| name.value.to_string());
    Some(OtlpSettings {
        receiver: receiver(
            raw.receiver,
            Kind::Grpc,
            OTLP_BYTES_DEFAULT,
            outside,
            findings,
        )?,
        service_name: name.unwrap_or_else(|| "weir".to_owned()),
    })
}

pub(super) fn cloudevents(
    raw: RawCloudEvents,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<CloudEventsSettings> {
    let source = raw.source.map(|source| self::source(source, findings));
    let receiver = receiver(
        raw.receiver,
        Kind::Http,
        CLOUDEVENTS_BYTES_DEFAULT,
        outside,
        findings,
    );
    let otherwise = raw.subject_otherwise.map(|name| name.value.to_string());
    Some(CloudEventsSettings {
        mode: raw.mode.unwrap_or(CloudEventsMode::Batch),
        source: where_set(source)?,
        subject: raw.subject.unwrap_or(CloudEventsSubject::Tenant),
        subject_otherwise: otherwise,
        request_rows_max: raw
            .request_rows_max
            .map_or(CLOUDEVENTS_ROWS_DEFAULT, |rows| rows.value),
        receiver: receiver?,
    })
}

/// The attribute is a reference to a URI.
fn source(source: Located<String>, findings: &Findings) -> Option<String> {
    if source.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(source.value);
    }
    let got = shown(&source.value);
    let rule = "must be a URI or a path, in visible ASCII characters";
    findings.problem(&source.at, format!("{rule} (got {got})"));
    None
}

fn receiver(
    raw: RawReceiver,
    kind: Kind,
    request_bytes_default: u64,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<ReceiverSettings> {
    let has_token = raw.token.is_some();
    let token = raw.token.map(|source| token(&source, outside, findings));
    let ca_pem = raw.ca_file.as_ref();
    let ca_pem = ca_pem.map(|path| certificates(path, outside, findings));
    let header = raw.token_header;
    let token_header = header.map(|name| token_header(name, has_token, findings));
    let url = raw.url?;
    if let Some(fault) = fault(url.value.expose(), kind, has_token) {
        findings.problem(&url.at, format!("{fault} (not shown here)"));
        return None;
    }
    if let Some(path) = &raw.ca_file
        && !is_https(url.value.expose())
    {
        findings.problem(&path.at, "has no meaning for http://");
        return None;
    }
    Some(ReceiverSettings {
        url: url.value,
        token: where_set(token)?,
        token_header: where_set(token_header)?,
        ca_pem: where_set(ca_pem)?,
        timeout: raw.timeout.map_or(TIMEOUT_DEFAULT, |span| span.value),
        request_bytes_max: raw
            .request_bytes_max
            .map_or(request_bytes_default, |bytes| bytes.value),
    })
}

fn token(
    source: &Located<SecretSource>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Secret> {
    let token = elsewhere(source, outside, findings)?;
    if token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(token);
    }
    let rule = "must have visible ASCII characters only, as it stands in a header (not shown here)";
    findings.problem(&source.at, rule);
    None
}

/// Headers that the requests have of their own.
const TAKEN: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

fn token_header(name: Located<String>, has_token: bool, findings: &Findings) -> Option<String> {
    let fault = match HeaderName::from_bytes(name.value.as_bytes()) {
        Ok(header) if TAKEN.contains(&header) || header.as_str().starts_with("grpc-") => {
            "is a header that requests have of their own"
        }
        Ok(_) if !has_token => "needs a token beside it",
        Ok(_) => return Some(name.value),
        Err(_) => "must be the name of a header, as api-key",
    };
    let got = shown(&name.value);
    findings.problem(&name.at, format!("{fault} (got {got})"));
    None
}

pub(super) fn is_https(url: &str) -> bool {
    let uri = url.parse::<Uri>();
    uri.is_ok_and(|uri| uri.scheme_str() == Some("https"))
}

/// What is wrong with a URL, without any of it.
pub(super) fn fault(url: &str, kind: Kind, has_token: bool) -> Option<&'static str> {
    let form = match kind {
        Kind::Grpc => "must be a URL as https://host:port",
        Kind::Http | Kind::Webhook { .. } => "must be a URL as https://host:port/path",
    };
    let Ok(uri) = url.parse::<Uri>() else {
        return Some(form);
    };
    let (Some(scheme @ ("https" | "http")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        return Some(form);
    };
    if authority.as_str().contains('@') {
        return Some(match kind {
            Kind::Webhook { .. } => "must have no user and no password",
            Kind::Grpc | Kind::Http => "must have no user and no password: give them as a token",
        });
    }
    let host = authority.host();
    let bare = host.trim_matches(['[', ']']);
    let has_odd_port = authority.as_str().len() > host.len() && authority.port_u16().is_none();
    if has_odd_port || ServerName::try_from(bare).is_err() {
        return Some(form);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if kind == Kind::Grpc && !matches!(path, "" | "/") {
        return Some("must have no path: records go by gRPC, as to https://collector:4317");
    }
    if let Kind::Webhook { allow_private } = kind {
        return (scheme != "https" && !allow_private)
            .then_some("must be https:// (http:// only with allow_private: true)");
    }
    if scheme == "https" || is_this_machine(bare) {
        return None;
    }
    match kind {
        Kind::Http => {
            Some("must be https:// (http:// only to this machine: localhost, 127.0.0.1 or [::1])")
        }
        Kind::Grpc if has_token => {
            Some("must be https://, as a token goes with it (http:// only to this machine)")
        }
        Kind::Grpc | Kind::Webhook { .. } => None,
    }
}

fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
