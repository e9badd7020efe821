//! Where counters are kept, checked as far as that goes without asking.

use super::{certificates, elsewhere};
use crate::config::problem::Findings;
use crate::config::raw::counters::{RawCounters, RawRedis, RawServers, RawUrl};
use crate::config::reader::Located;
use crate::config::secret::Secret;
use crate::config::{CountersConfig, Outside, RedisServers, RedisSettings};
use crate::limits::share::OnCounterFailure;
use crate::units::Millis;

const RESPONSE_TIMEOUT_DEFAULT: Millis = Millis(15);
const CONNECT_TIMEOUT_DEFAULT: Millis = Millis(1_000);

/// Half of the time that Envoy waits for one answer of weir unless told otherwise:
/// on a Cluster a call may wait twice, for its tenant's counters and for those
/// that tenants share.
const RESPONSE_TIMEOUT_ADVISED_MAX: Millis = Millis(100);

pub(super) fn counters(
    raw: Option<RawCounters>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<CountersConfig> {
    match raw {
        // A `counters` that couldn't be read has been reported.
        None | Some(RawCounters::Memory) => Some(CountersConfig::Memory),
        Some(RawCounters::Redis(raw)) => {
            let redis = redis(*raw, outside, findings)?;
            Some(CountersConfig::Redis(Box::new(redis)))
        }
    }
}

fn redis(raw: RawRedis, outside: &dyn Outside, findings: &Findings) -> Option<RedisSettings> {
    if let Some(span) = &raw.response_timeout
        && span.value > RESPONSE_TIMEOUT_ADVISED_MAX
    {
        findings.warning(
            &span.at,
            "is more than half of Envoy's default message_timeout of 200ms: calls could fail in \
             Envoy before weir can answer",
        );
    }
    let password = match &raw.password {
        Some(source) => Some(elsewhere(source, outside, findings)?),
        None => None,
    };
    let ca_pem = match &raw.ca_file {
        Some(path) => Some(certificates(path, outside, findings)?),
        None => None,
    };
    let servers = servers(raw.servers?, outside, findings)?;
    if let (Some(name), None) = (&raw.username, &password) {
        findings.problem(&name.at, "needs a password beside it");
        return None;
    }
    raw.is_read.then_some(())?;
    Some(RedisSettings {
        servers,
        username: raw.username.map(|name| name.value),
        password,
        ca_pem,
        response_timeout: raw
            .response_timeout
            .map_or(RESPONSE_TIMEOUT_DEFAULT, |span| span.value),
        connect_timeout: raw
            .connect_timeout
            .map_or(CONNECT_TIMEOUT_DEFAULT, |span| span.value),
        on_failure: raw
            .on_failure
            .map_or(OnCounterFailure::default(), |word| word.value),
    })
}

fn servers(raw: RawServers, outside: &dyn Outside, findings: &Findings) -> Option<RedisServers> {
    match raw {
        RawServers::Single(RawUrl::Here(here)) => {
            url(here, true, findings).map(RedisServers::Single)
        }
        RawServers::Single(RawUrl::Elsewhere(source)) => {
            let there = Located {
                value: elsewhere(&source, outside, findings)?,
                at: source.at,
            };
            url(there, false, findings).map(RedisServers::Single)
        }
        RawServers::Cluster(nodes) => urls(nodes, findings).map(RedisServers::Cluster),
        RawServers::Sentinel { urls: raw, master } => Some(RedisServers::Sentinel {
            urls: urls(raw, findings)?,
            master: master.value,
        }),
    }
}

fn urls(raw: Located<Vec<Located<Secret>>>, findings: &Findings) -> Option<Vec<Secret>> {
    if raw.value.is_empty() {
        findings.problem(&raw.at, "must have at least one address");
        return None;
    }
    let urls: Vec<Option<Secret>> = raw
        .value
        .into_iter()
        .map(|node| match node.value.expose().starts_with("redis") {
            true => url(node, true, findings),
            false => {
                let text = "must be an address as redis://host:6379 (not shown here)";
                findings.problem(&node.at, text);
                None
            }
        })
        .collect();
    urls.into_iter().collect()
}

/// `shown`: it stands in the file.
fn url(url: Located<Secret>, shown: bool, findings: &Findings) -> Option<Secret> {
    if shown && url.value.expose().contains('@') {
        let text = "holds a credential in the file; url_env, url_file or password keep it out";
        findings.warning(&url.at, text);
    }
    if let Some(fault) = fault(url.value.expose()) {
        findings.problem(&url.at, fault);
        return None;
    }
    Some(url.value)
}

/// Only what can be told without the engine, and never the address itself.
fn fault(url: &str) -> Option<&'static str> {
    let rest = ["redis://", "rediss://", "redis+unix://", "unix://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !url.contains(char::is_whitespace) => None,
        _ => Some(
            "must be an address as redis://host:6379/0, rediss://host:6379/0 (TLS) or \
             unix:///path (not shown here)",
        ),
    }
}
