//! From what is written to what the program runs on: defaults, references,
//! and rules that span several fields.
//!
//! Always holds: `None` comes only after a problem was reported.

mod accounts;
mod admin;
mod alerts;
mod budgets;
mod counters;
mod descriptors;
mod entitlements;
mod extends;
mod ledger;
mod limits;
mod listen;
mod models;
mod own_limits;
mod plans;
mod prices;
mod receivers;
mod routes;
mod rules;
mod tenants;
mod tls;
mod virtual_models;

pub(super) use limits::Known;
pub(super) use own_limits::of_key as limits_of_key;

use super::problem::{Findings, shown};
use super::quantity::AsSpan;
use super::raw::{Raw, RawHolds, RawOtlp, RawServer};
use super::reader::Located;
use super::secret::{Secret, SecretError, read_secret};
use super::*;
use std::sync::Arc;

/// An outage of the ledger's database must not become one of all calls; a day is
/// for how long a key may go on that was withdrawn where this sidecar can't see.
const KEYS_STALE_MAX_DEFAULT: Millis = Millis::from_mins(24 * 60);
const BODY_BYTES_DEFAULT: u64 = 10 << 20;
const DRAIN_TIMEOUT_DEFAULT: Millis = Millis(30_000);

/// Resolves everything, reporting all that is wrong.
pub fn resolve(raw: Raw, outside: &dyn Outside, findings: &Findings) -> Option<Config> {
    let policy = plans::resolve(&raw, outside, findings);
    let accounts = accounts::accounts(&raw, policy.as_ref(), outside, findings);
    let domains = descriptors::resolve(&raw, findings);
    let routes = routes::resolve(&raw, findings);
    let listen = listen::listen(raw.listen, outside, findings);
    let admin = admin::admin(raw.admin, outside, findings);
    let counters = counters::counters(raw.counters, outside, findings);
    let ledger = ledger::ledger(raw.has_ledger, raw.ledger, outside, findings);
    let alerts = alerts::alerts(raw.alerts, outside, findings);
    let holds = holds(&raw.holds, findings);
    let otlp = match raw.telemetry.otlp {
        Some(raw) => otlp(raw, findings).map(Some),
        None => Some(None),
    };
    let (policy, accounts) = (policy?, accounts?);
    Some(Config {
        listen: listen?,
        admin: admin?,
        counters: counters?,
        ledger: ledger?,
        alerts: Arc::new(alerts?),
        learned_path: raw.learned_path.map(|path| path.value.into()),
        holds,
        keys_stale_max: raw
            .keys_stale_max
            .map_or(KEYS_STALE_MAX_DEFAULT, |span| span.value),
        trust_ext_authz: raw.trust_ext_authz.unwrap_or(true),
        server: server(raw.server)?,
        telemetry: Telemetry {
            log_format: raw.telemetry.format.unwrap_or(LogFormat::Json),
            log_level: raw.telemetry.level.unwrap_or(Level::Info),
            otlp: otlp?,
        },
        snapshot: Snapshot {
            keys: accounts.keys,
            sources: accounts.sources,
            tenants: Arc::new(accounts.tenants),
            default_plan: accounts.default_plan,
            own_limits: Arc::new(accounts.own_limits),
            models: Arc::new(policy.models),
            virtual_models: Arc::new(policy.virtual_models),
            condition_headers: raw.condition_headers?.into(),
            shared: policy.shared.into(),
            plans: Arc::new(policy.plans),
            routes: routes?.into(),
            domains: Arc::new(domains?),
            // They aren't of the file: see `app::keys`.
            ..Snapshot::default()
        },
        tenants: raw.tenants.map_or(0, |tenants| tenants.value.len()),
        warnings: Vec::new(),
        read: OutsideRead::default(),
    })
}

fn server(raw: RawServer) -> Option<Server> {
    Some(Server {
        body_bytes_max: usize::try_from(
            raw.body_bytes_max
                .map_or(BODY_BYTES_DEFAULT, |size| size.value),
        )
        .ok()?,
        shutdown_delay: raw.shutdown_delay.map_or(Millis(0), |span| span.value),
        drain_timeout: raw
            .drain_timeout
            .map_or(DRAIN_TIMEOUT_DEFAULT, |span| span.value),
        workers: raw
            .workers
            .and_then(|workers| NonZeroUsize::new(usize::try_from(workers.value).ok()?)),
        upstream_authorization: raw
            .upstream_authorization
            .unwrap_or(UpstreamAuthorization::Strip),
        ietf_rate_limit_headers: raw.ietf_rate_limit_headers.unwrap_or(false),
        quota_status: raw.quota_status,
        ext_authz_limits: raw.ext_authz_limits.unwrap_or_default(),
    })
}

fn elsewhere(
    source: &Located<SecretSource>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Secret> {
    let read = read_secret(&source.value, outside)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| SecretError::NotUtf8));
    match read {
        Ok(text) => Some(Secret::new(text)),
        Err(error) => {
            findings.problem(&source.at, error.to_string());
            None
        }
    }
}

/// `None` after a problem, `Some(None)` where it isn't set.
fn where_set<T>(resolved: Option<Option<T>>) -> Option<Option<T>> {
    match resolved {
        Some(resolved) => resolved.map(Some),
        None => Some(None),
    }
}

/// Authorities' certificates, as PEM.
fn certificates(
    path: &Located<String>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Vec<u8>> {
    let source = SecretSource::File(path.value.clone().into());
    let fault = match read_secret(&source, outside) {
        Ok(pem) if pem.windows(PEM_MARK.len()).any(|bytes| bytes == PEM_MARK) => return Some(pem),
        Ok(_) => "holds no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----"
            .to_owned(),
        Err(error) => error.to_string(),
    };
    findings.problem(&path.at, fault);
    None
}

const PEM_MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Shorter ones would expire while their store is only slow.
const LEASE_TTL_MIN: Millis = Millis::from_secs(1);

fn holds(raw: &RawHolds, findings: &Findings) -> Holds {
    let or =
        |span: &Option<Located<Millis>>, default| span.as_ref().map_or(default, |span| span.value);
    let holds = Holds {
        ttl: or(&raw.ttl, Millis::from_secs(60)),
        lease_ttl: or(&raw.lease_ttl, Millis::from_secs(15)),
        renew_every: or(&raw.renew_every, Millis::from_secs(5)),
        handover: or(&raw.handover, Millis::from_mins(10)),
    };
    let (lease_ttl, ttl) = (AsSpan(holds.lease_ttl), AsSpan(holds.ttl));
    let renew_every = AsSpan(holds.renew_every);
    // With the defaults nothing is wrong, so one of each pair is written.
    if holds.renew_every.0.saturating_mul(2) > holds.lease_ttl.0
        && let Some(written) = raw.renew_every.as_ref().or(raw.lease_ttl.as_ref())
    {
        let rule = "renew_every must be at most half of lease_ttl, so that one renewal may fail";
        let got = format!("(got {renew_every} and {lease_ttl})");
        findings.problem(&written.at, format!("{rule} {got}"));
    }
    if holds.lease_ttl < LEASE_TTL_MIN
        && let Some(written) = &raw.lease_ttl
    {
        let (rule, least) = ("a lease must outlive a slow answer", AsSpan(LEASE_TTL_MIN));
        findings.problem(
            &written.at,
            format!("must be at least {least}: {rule} (got {lease_ttl})"),
        );
    }
    if holds.lease_ttl > holds.ttl
        && let Some(written) = raw.lease_ttl.as_ref().or(raw.ttl.as_ref())
    {
        let rule = "lease_ttl must be at most ttl: a lease belongs to a hold";
        findings.problem(&written.at, format!("{rule} (got {lease_ttl} and {ttl})"));
    }
    holds
}

fn otlp(raw: RawOtlp, findings: &Findings) -> Option<Otlp> {
    let endpoint = raw.endpoint?;
    let rest = endpoint.value.strip_prefix("http://");
    let fault = match rest {
        _ if endpoint.value.starts_with("https://") => "TLS to the collector is not built in",
        Some(rest) if rest.contains('@') => "must not hold credentials",
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => {
            return Some(Otlp {
                endpoint: endpoint.value,
                service_name: raw
                    .service_name
                    .map_or_else(|| "weir".to_owned(), |name| name.value.to_string()),
            });
        }
        _ => "must be an address as http://127.0.0.1:4317",
    };
    let got = shown(&endpoint.value);
    findings.problem(&endpoint.at, format!("{fault} (got {got})"));
    None
}
