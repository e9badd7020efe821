//! A configuration as JSON: resolved, with every default in its place and every
//! secret hidden. For people and for comparing two.
//!
//! Always holds: no secret is in it, nor what one is made from; of a secret it is
//! said only that there is one. Tenants and keys may be very many: they are counted.

use super::{
    AdminConfig, AlertsConfig, Config, CountersConfig, LedgerConfig, Listen, RedisServers, Secret,
};
use crate::policy::{Hold, Model, Plan, PlanLimit, Snapshot};
use serde_json::{Map, Value, json};
use std::fmt::Debug;

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";

/// All of it but the names of tenants and keys.
pub fn shown(config: &Config) -> Value {
    let Config {
        listen,
        admin,
        counters,
        ledger,
        alerts,
        learned_path,
        holds,
        keys_stale_max,
        trust_ext_authz,
        server,
        telemetry,
        snapshot,
        tenants,
        warnings: _,
        read: _,
    } = config;
    json!({
        "listen": of_listen(listen),
        "admin": of_admin(admin),
        "counters": of_counters(counters),
        "ledger": ledger.as_ref().map(of_ledger),
        "alerts": of_alerts(alerts),
        "holds": {
            "ttl_ms": holds.ttl.0,
            "lease_ttl_ms": holds.lease_ttl.0,
            "renew_every_ms": holds.renew_every.0,
            "handover_ms": holds.handover.0,
        },
        "identity": {
            "pepper": snapshot.keys.peppers.as_ref().map(|_| HIDDEN),
            "previous_pepper": snapshot.keys.peppers.as_ref().and_then(|all| all.before.as_ref()).map(|_| HIDDEN),
            "keys": snapshot.keys.configured.iter().count(),
            "default_plan": snapshot.default_plan.as_deref(),
            "stale_max_ms": keys_stale_max.0,
            "trust_ext_authz": trust_ext_authz,
        },
        "server": {
            "body_bytes_max": server.body_bytes_max,
            "drain_timeout_ms": server.drain_timeout.0,
            "workers": server.workers,
            "upstream_authorization": word(&server.upstream_authorization),
            "ietf_rate_limit_headers": server.ietf_rate_limit_headers,
            "ext_authz_limits": word(&server.ext_authz_limits),
            "quota_status": server.quota_status.as_ref().map(word),
        },
        "telemetry": {
            "log": { "format": word(&telemetry.log_format), "level": telemetry.log_level.as_str() },
            "otlp": telemetry.otlp.as_ref().map(|otlp| json!({ "endpoint": otlp.endpoint, "service_name": otlp.service_name })),
        },
        "tokens": { "learned_path": learned_path },
        "tenants": tenants,
        "models": named(snapshot.models.iter().map(|(name, model)| (&**name, of_model(model)))),
        "plans": named(snapshot.plans.iter().map(|(name, plan)| (&**name, of_plan(plan)))),
        "limits": snapshot.shared.iter().map(of_limit).collect::<Vec<_>>(),
        "routes": snapshot.routes.iter().map(word).collect::<Vec<_>>(),
        "rate_limit_service": word(&snapshot.domains),
    })
}

fn of_listen(listen: &Listen) -> Value {
    json!({
        "grpc": listen.grpc.iter().map(word).collect::<Vec<_>>(),
        "admin": word(&listen.admin),
        "admin_token": hidden(listen.admin_token.as_ref()),
        "http_authz": listen.http_authz.as_ref().map(word),
    })
}

fn hidden(secret: Option<&Secret>) -> Option<&'static str> {
    secret.map(|_| HIDDEN)
}

/// As the program itself would note it down, which holds no secret.
fn word(value: &impl Debug) -> String {
    format!("{value:?}")
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

fn of_admin(admin: &AdminConfig) -> Value {
    let oidc = admin.oidc.as_ref().map(|oidc| {
        json!({
            "issuer": *oidc.expected.issuer,
            "audience": *oidc.expected.audience,
            "jwks": { "file": oidc.keys_path },
            "role": oidc.role.as_str(),
            "tenant": oidc.tenant.as_ref().map(|tenant| tenant.as_str()),
        })
    });
    let clients = admin.clients.iter().map(|client| {
        json!({
            "name": client.name.as_str(),
            "role": client.role.as_str(),
            "tenant": client.role.tenant().map(|tenant| &**tenant),
        })
    });
    json!({ "hosts": admin.hosts, "oidc": oidc, "clients": clients.collect::<Vec<_>>() })
}

fn of_counters(counters: &CountersConfig) -> Value {
    let redis = match counters {
        CountersConfig::Memory => return json!({ "memory": {} }),
        CountersConfig::Redis(redis) => redis,
    };
    // A URL may hold a password.
    let servers = match &redis.servers {
        RedisServers::Single(_) => json!({ "url": HIDDEN }),
        RedisServers::Cluster(urls) => json!({ "cluster": urls.len() }),
        RedisServers::Sentinel { urls, master } => {
            json!({ "sentinels": urls.len(), "master": master })
        }
    };
    json!({ "redis": {
        "servers": servers,
        "username": redis.username,
        "password": hidden(redis.password.as_ref()),
        "ca": redis.ca_pem.is_some(),
        "response_timeout_ms": redis.response_timeout.0,
        "connect_timeout_ms": redis.connect_timeout.0,
        "on_failure": word(&redis.on_failure),
    } })
}

fn of_ledger(ledger: &LedgerConfig) -> Value {
    json!({
        "path": ledger.path,
        "durability": word(&ledger.durability),
        "spool_bytes_max": ledger.spool_bytes_max,
        "sqlite": ledger.sqlite.as_ref().map(word),
        "postgres": ledger.postgres.as_ref().map(word),
        "file": ledger.file.as_ref().map(word),
        "otlp": ledger.otlp.as_ref().map(word),
        "cloudevents": ledger.cloudevents.as_ref().map(word),
    })
}

fn of_alerts(alerts: &AlertsConfig) -> Value {
    let webhooks = alerts.webhooks.iter().map(|of| {
        let on: Vec<&str> = of.on.iter().map(|kind| kind.as_str()).collect();
        json!({
            "name": *of.name,
            // A URL may be all that is needed to write there.
            "url": HIDDEN,
            "form": of.form.as_str(),
            "secret": of.signing_key.as_ref().map(|_| HIDDEN),
            "routing_key": hidden(of.routing_key.as_ref()),
            "on": on,
            "tenants": of.tenants,
            "allow_private": of.allow_private,
            "ca": of.ca_pem.is_some(),
            "timeout_ms": of.timeout.0,
        })
    });
    json!({
        "webhooks": webhooks.collect::<Vec<_>>(),
        "refusals": alerts.refusals.map(|of| {
            json!({ "per": "tenant", "above": of.above, "every_ms": of.every.0 })
        }),
    })
}

fn of_model(model: &Model) -> Value {
    json!({
        "tier": model.tier.as_deref(),
        "provider": model.provider.as_deref(),
        "max_input_tokens": model.max_input_tokens,
        "max_output_tokens": model.max_output_tokens,
        "output_field": model.output_field.as_str(),
        "image_tokens": model.image_tokens,
        "inject_include_usage": model.inject_include_usage,
        "price": model.price.as_ref().map(word),
    })
}

fn of_plan(plan: &Plan) -> Value {
    json!({
        "limits": plan.limits.iter().map(of_limit).collect::<Vec<_>>(),
        "output": {
            "max_tokens_default": plan.output.max_tokens_default,
            "max_tokens_cap": plan.output.max_tokens_cap,
            "choices_cap": plan.output.choices_cap,
            "hold": match plan.output.hold {
                Hold::Maximum => "maximum".to_owned(),
                Hold::Expected { percentile } => format!("expected at {percentile}%"),
            },
        },
    })
}

fn of_limit(of: &PlanLimit) -> Value {
    let limit = &of.limit;
    json!({
        "name": *limit.name,
        "per": word(&limit.scope),
        "unit": limit.unit.as_str(),
        "amount": limit.amount,
        "algorithm": word(&limit.algorithm),
        "mode": word(&limit.mode),
        "hard": of.hard,
        "when": word(&of.when),
    })
}

/// Something that differs between two configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// As plans.team.limits[0].amount.
    pub path: String,
    /// `None`: it isn't there.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// What differs, the first so many.
pub fn differences(before: &Value, after: &Value, max: usize) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), max, &mut found);
    found
}

/// Tenants that come, go, or change their plan, the first so many by name.
pub fn tenants_differ(before: &Snapshot, after: &Snapshot, max: usize) -> Vec<Difference> {
    let changed = before
        .tenants
        .iter()
        .filter(|(name, plan)| after.tenants.get(*name) != Some(*plan));
    let added = after
        .tenants
        .iter()
        .filter(|(name, _)| !before.tenants.contains_key(*name));
    let mut names: Vec<_> = changed.chain(added).map(|(name, _)| name).collect();
    names.sort();
    let plan = |of: &Snapshot, name| {
        of.tenants
            .get(name)
            .map(|tenant| json!({ "plan": *tenant.plan }))
    };
    let each = names.into_iter().take(max).map(|name| Difference {
        path: format!("tenants.{name}"),
        before: plan(before, name),
        after: plan(after, name),
    });
    each.collect()
}

/// As deep as [`shown`] is.
fn compare(
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    max: usize,
    found: &mut Vec<Difference>,
) {
    if before == after || found.len() >= max {
        return;
    }
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{name}");
                compare(&path, before.get(name), after.get(name), max, found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let path = format!("{path}[{index}]");
                compare(&path, before.get(index), after.get(index), max, found);
            }
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}
