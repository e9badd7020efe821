//! A configuration as JSON: resolved, with every default in its place and every
//! secret hidden, in the words of the file. For people and for comparing two.
//!
//! Always holds: no secret is in it, nor what one is made from; of a secret it is
//! said only that there is one, and of two configurations whether theirs is the
//! same. Tenants and keys may be very many: they are counted.

mod alerts;
mod below;
mod callers;
mod differences;
mod ledger;
mod limits;
mod listen;
mod models;
mod plans;
mod secrets;

pub use differences::{Difference, differences, keys_differ, tenants_differ};

use super::{
    Config, CountersConfig, ExtAuthzLimits, LogFormat, RedisServers, RedisSettings, Secret, Server,
    Telemetry, UpstreamAuthorization,
};
use crate::identity::Peppers;
use crate::limits::share::OnCounterFailure;
use crate::policy::Snapshot;
use callers::{of_route, of_scopes, of_source};
use secrets::Secrets;
use serde_json::{Map, Value, json};

/// What is hashed under a pepper to tell it from others: no key, which is longer.
const PEPPER_PROBE: &[u8] = b"pepper";

/// A configuration as it is shown, and what tells its secrets from others.
#[derive(Debug)]
pub struct Shown {
    value: Value,
    secrets: Secrets,
}

impl Shown {
    /// All of it but the names of tenants and keys.
    pub fn of(config: &Config) -> Self {
        let mut secrets = Secrets::default();
        let value = of_config(config, &mut secrets);
        Self { value, secrets }
    }

    /// What anybody may see who may see a configuration.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The same, but that what stands at these paths, and below, is of another.
    #[must_use]
    pub(super) fn with(mut self, other: &Self, paths: &[&str]) -> Self {
        for path in paths {
            let pointer = format!("/{}", path.replace('.', "/"));
            let theirs = other.value.pointer(&pointer);
            if let (Some(theirs), Some(place)) = (theirs, self.value.pointer_mut(&pointer)) {
                *place = theirs.clone();
            }
        }
        let is_theirs = |path: &str| paths.iter().any(|above| lies_at(path, above));
        self.secrets.replace(&other.secrets, is_theirs);
        self
    }
}

/// Whether a path is another, or below it.
pub(super) fn lies_at(path: &str, above: &str) -> bool {
    let below = path.strip_prefix(above);
    below.is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
}

fn of_config(config: &Config, secrets: &mut Secrets) -> Value {
    let Config {
        listen,
        admin,
        counters,
        ledger,
        learned_path,
        holds,
        keys_stale_max,
        trust_ext_authz,
        server,
        telemetry,
        snapshot,
        tenants,
        warnings: _,
        alerts,
        read: _,
    } = config;
    let mut identity = of_identity(snapshot, secrets);
    identity.insert("stale_max_ms".to_owned(), json!(keys_stale_max.0));
    identity.insert("trust_ext_authz".to_owned(), json!(trust_ext_authz));
    json!({
        "listen": listen::of_listen(listen, secrets),
        "admin": listen::of_admin(admin, secrets),
        "counters": of_counters(counters, secrets),
        "ledger": ledger.as_ref().map(|ledger| ledger::of_ledger(ledger, secrets)),
        "alerts": alerts::of_alerts(alerts, secrets),
        "holds": {
            "ttl_ms": holds.ttl.0,
            "lease_ttl_ms": holds.lease_ttl.0,
            "renew_every_ms": holds.renew_every.0,
            "handover_ms": holds.handover.0,
        },
        "identity": identity,
        "server": of_server(server),
        "telemetry": of_telemetry(telemetry),
        "tokens": { "learned_path": learned_path },
        "tenants": tenants,
        "below": below::of_tenants(snapshot),
        "models": models::of_all(snapshot),
        "conditions": { "headers": *snapshot.condition_headers },
        "plans": named(snapshot.plans.iter().map(|(name, plan)| (&**name, plans::of_plan(plan)))),
        "limits": snapshot.shared.iter().map(limits::of_limit).collect::<Vec<_>>(),
        "routes": snapshot.routes.iter().map(of_route).collect::<Vec<_>>(),
        "rate_limit_service": limits::of_domains(&snapshot.domains),
    })
}

/// In the order of their names.
fn named<'n>(all: impl Iterator<Item = (&'n str, Value)>) -> Value {
    let mut all: Vec<(&str, Value)> = all.collect();
    all.sort_by_key(|(name, _)| *name);
    let all = all
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Value::Object(all.collect::<Map<_, _>>())
}

fn of_identity(snapshot: &Snapshot, secrets: &mut Secrets) -> Map<String, Value> {
    let digest = |pepper: &crate::identity::Pepper| pepper.digest(PEPPER_PROBE).0;
    let peppers = snapshot.keys.peppers.as_ref();
    let now = peppers.map(|Peppers { now, .. }| digest(now));
    let before = peppers.and_then(|peppers| peppers.before.as_ref().map(digest));
    let sources = snapshot.sources.0.iter().map(of_source);
    let shown = [
        ("pepper", secrets.hide_bytes("identity.pepper", now)),
        (
            "previous_pepper",
            secrets.hide_bytes("identity.previous_pepper", before),
        ),
        ("keys", json!(snapshot.keys.configured.len())),
        ("default_plan", json!(snapshot.default_plan.as_deref())),
        ("sources", json!(sources.collect::<Vec<_>>())),
    ];
    let shown = shown.into_iter();
    shown
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn of_server(server: &Server) -> Value {
    json!({
        "body_bytes_max": server.body_bytes_max,
        "shutdown_delay_ms": server.shutdown_delay.0,
        "drain_timeout_ms": server.drain_timeout.0,
        "workers": server.workers,
        "upstream_authorization": match server.upstream_authorization {
            UpstreamAuthorization::Strip => "strip",
            UpstreamAuthorization::Keep => "keep",
        },
        "ietf_rate_limit_headers": server.ietf_rate_limit_headers,
        "ext_authz_limits": match server.ext_authz_limits {
            ExtAuthzLimits::None => "none",
            ExtAuthzLimits::Requests => "requests",
        },
        "quota_status": server.quota_status.map(|status| status.code()),
    })
}

fn of_telemetry(telemetry: &Telemetry) -> Value {
    let format = match telemetry.log_format {
        LogFormat::Json => "json",
        LogFormat::Human => "human",
    };
    let otlp = telemetry.otlp.as_ref();
    json!({
        "log": { "format": format, "level": telemetry.log_level.as_str() },
        "otlp": otlp.map(|otlp| json!({ "endpoint": otlp.endpoint, "service_name": otlp.service_name })),
    })
}

fn of_counters(counters: &CountersConfig, secrets: &mut Secrets) -> Value {
    match counters {
        CountersConfig::Memory => json!({ "memory": {} }),
        CountersConfig::Redis(redis) => json!({ "redis": of_redis(redis, secrets) }),
    }
}

fn of_redis(redis: &RedisSettings, secrets: &mut Secrets) -> Value {
    // A URL may hold a password.
    let mut all = |path, urls: &[Secret]| {
        let urls: Vec<&[u8]> = urls.iter().map(|url| url.expose().as_bytes()).collect();
        // No URL has such a byte.
        secrets.hide_bytes(path, Some(urls.join(&0)))
    };
    let servers = match &redis.servers {
        RedisServers::Single(url) => {
            let url = std::slice::from_ref(url);
            json!({ "url": all("counters.redis.servers.url", url) })
        }
        RedisServers::Cluster(urls) => json!({
            "cluster": urls.len(),
            "urls": all("counters.redis.servers.urls", urls),
        }),
        RedisServers::Sentinel { urls, master } => json!({
            "sentinels": urls.len(),
            "master": master,
            "urls": all("counters.redis.servers.urls", urls),
        }),
    };
    json!({
        "servers": servers,
        "username": redis.username,
        "password": secrets.hide("counters.redis.password", redis.password.as_ref()),
        "ca": secrets.hide_bytes("counters.redis.ca", redis.ca_pem.as_ref()),
        "response_timeout_ms": redis.response_timeout.0,
        "connect_timeout_ms": redis.connect_timeout.0,
        "on_failure": match redis.on_failure {
            OnCounterFailure::Deny => "deny",
            OnCounterFailure::Allow => "allow",
            OnCounterFailure::Share => "share",
        },
    })
}
