//! The configuration as it is written: which fields there are, and of which
//! form. What they mean together is `resolve`'s part.
//!
//! Every field may be missing here: one that couldn't be read is reported and
//! then counts as left out.

pub mod admin;
pub mod alerts;
pub mod budgets;
pub mod counters;
pub mod descriptors;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod listen;
pub mod plans;
pub mod policy;
pub mod prices;
pub mod receivers;
pub mod routes;
pub mod rules;
pub mod sources;
pub mod tenants;

pub use keys::RawKey;
pub use plans::RawPlan;
pub use policy::RawModel;
pub use tenants::RawTenant;

use super::problem::At;
use super::reader::{Fields, Item, Located};
use super::secret::SecretSource;
use super::{ExtAuthzLimits, Level, LogFormat, UpstreamAuthorization};
use crate::identity::source::Source;
use crate::protocol::refusal::QuotaStatus;
use crate::units::Millis;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// The largest request body that may be allowed: Envoy holds it in memory too.
const BODY_BYTES_MAX: u64 = 256 << 20;

/// The most worker threads.
const WORKERS_MAX: u64 = 1_024;

/// The whole file.
#[derive(Debug, Default)]
pub struct Raw {
    pub listen: listen::RawListen,
    pub admin: admin::RawAdmin,
    pub counters: Option<counters::RawCounters>,
    pub ledger: Option<ledger::RawLedger>,
    /// Whether `ledger` is there, be it right or wrong.
    pub has_ledger: bool,
    pub holds: RawHolds,
    pub pepper: Option<Located<SecretSource>>,
    /// The inner is `None` where what is written can't be read.
    pub previous_pepper: Option<Option<Located<SecretSource>>>,
    pub trust_ext_authz: Option<bool>,
    /// The inner is `None` where what is written can't be read.
    pub sources: Option<Option<Located<Vec<Source>>>>,
    pub keys: Option<Located<Vec<RawKey>>>,
    /// Where `identity.keys` is missing.
    pub keys_are_missing: Option<At>,
    pub default_plan: Option<policy::Name>,
    pub keys_stale_max: Option<Located<Millis>>,
    pub models: Option<Located<Vec<RawModel>>>,
    pub plans: Option<Located<Vec<RawPlan>>>,
    pub tenants: Option<Located<Vec<RawTenant>>>,
    /// Beside those of plans.
    pub limits: Option<Located<Vec<limits::RawLimit>>>,
    /// Whether `limits`, but not each of them, was left out or could be read.
    pub limits_are_read: bool,
    pub routes: Option<Located<Vec<Option<routes::RawRoute>>>>,
    /// Of the rate limit service.
    pub domains: Option<Located<Vec<descriptors::RawDomain>>>,
    pub server: RawServer,
    pub telemetry: RawTelemetry,
    pub learned_path: Option<Located<String>>,
    pub prices: Option<prices::RawPrices>,
    pub alerts: Option<alerts::RawAlerts>,
    /// Headers that conditions may see; `None` after a problem.
    pub condition_headers: Option<Vec<std::sync::Arc<str>>>,
}

#[derive(Debug, Default)]
pub struct RawHolds {
    pub ttl: Option<Located<Millis>>,
    pub lease_ttl: Option<Located<Millis>>,
    pub renew_every: Option<Located<Millis>>,
    pub handover: Option<Located<Millis>>,
}

#[derive(Debug, Default)]
pub struct RawServer {
    pub body_bytes_max: Option<Located<u64>>,
    pub shutdown_delay: Option<Located<Millis>>,
    pub drain_timeout: Option<Located<Millis>>,
    pub workers: Option<Located<u64>>,
    pub upstream_authorization: Option<UpstreamAuthorization>,
    pub ietf_rate_limit_headers: Option<bool>,
    pub quota_status: Option<QuotaStatus>,
    pub ext_authz_limits: Option<ExtAuthzLimits>,
}

#[derive(Debug, Default)]
pub struct RawTelemetry {
    pub format: Option<LogFormat>,
    pub level: Option<Level>,
    pub otlp: Option<RawOtlp>,
}

#[derive(Debug)]
pub struct RawOtlp {
    pub endpoint: Option<Located<String>>,
    pub service_name: Option<Located<std::sync::Arc<str>>>,
}

/// Reads the whole tree.
pub fn read(root: &Item) -> Option<Raw> {
    let top = root.fields(&[
        "listen",
        "admin",
        "counters",
        "ledger",
        "holds",
        "identity",
        "models",
        "prices",
        "plans",
        "tenants",
        "limits",
        "routes",
        "rate_limit_service",
        "server",
        "telemetry",
        "tokens",
        "conditions",
        "alerts",
    ])?;
    let mut raw = Raw {
        listen: listen::listen(&top).unwrap_or_default(),
        admin: admin::admin(&top),
        counters: counters::counters(&top),
        ledger: ledger::ledger(&top),
        has_ledger: top.optional("ledger").is_some(),
        holds: holds(&top).unwrap_or_default(),
        models: policy::models(&top),
        prices: prices::prices(&top),
        plans: plans::plans(&top),
        tenants: tenants::tenants(&top),
        limits: top
            .optional("limits")
            .and_then(|item| limits::limits(&item)),
        routes: routes::routes(&top),
        domains: descriptors::domains(&top),
        server: server(&top).unwrap_or_default(),
        telemetry: telemetry(&top).unwrap_or_default(),
        learned_path: tokens(&top),
        alerts: alerts::alerts(&top),
        condition_headers: conditions(&top),
        ..Raw::default()
    };
    raw.limits_are_read = top.optional("limits").is_none() || raw.limits.is_some();
    keys::identity(&top, &mut raw);
    Some(raw)
}

/// A secret that is kept elsewhere: `env` or `file`.
fn secret_source(item: &Item) -> Option<Located<SecretSource>> {
    match item.fields(&["env", "file"])?.one_kind(&["env", "file"])? {
        ("env", item) => env_source(&item),
        (_, item) => file_source(&item),
    }
}

fn env_source(item: &Item) -> Option<Located<SecretSource>> {
    let name = item.secret()?;
    Some(Located {
        value: SecretSource::Env(name.value.expose().to_owned()),
        at: name.at,
    })
}

fn file_source(item: &Item) -> Option<Located<SecretSource>> {
    let path = item.text()?;
    Some(Located {
        value: SecretSource::File(path.value.into()),
        at: path.at,
    })
}

fn holds(top: &Fields) -> Option<RawHolds> {
    let names = &["ttl", "lease_ttl", "renew_every", "handover"];
    let fields = top.optional("holds")?.fields(names)?;
    let span = |name| {
        let item = fields.optional(name)?;
        item.span(10..=DAY_MS)
    };
    Some(RawHolds {
        ttl: span("ttl"),
        lease_ttl: span("lease_ttl"),
        renew_every: span("renew_every"),
        handover: span("handover"),
    })
}

/// The most headers that conditions may see: each is looked for in each call.
const CONDITION_HEADERS_MAX: usize = 16;

fn conditions(top: &Fields) -> Option<Vec<std::sync::Arc<str>>> {
    let Some(item) = top.optional("conditions") else {
        return Some(Vec::new());
    };
    let Some(item) = item.fields(&["headers"])?.optional("headers") else {
        return Some(Vec::new());
    };
    let items = item.one_or_list()?;
    if items.len() > CONDITION_HEADERS_MAX {
        let text = format!("must have at most {CONDITION_HEADERS_MAX} headers");
        return item.report(text);
    }
    let headers: Vec<Option<_>> = items.iter().map(sources::header).collect();
    headers.into_iter().collect()
}

fn tokens(top: &Fields) -> Option<Located<String>> {
    let fields = top.optional("tokens")?.fields(&["learned_path"])?;
    fields.optional("learned_path")?.text()
}

fn server(top: &Fields) -> Option<RawServer> {
    let fields = top.optional("server")?.fields(&[
        "body_bytes_max",
        "shutdown_delay",
        "drain_timeout",
        "workers",
        "upstream_authorization",
        "ietf_rate_limit_headers",
        "quota_status",
        "ext_authz_limits",
    ])?;
    let statuses = &[
        ("402", QuotaStatus::PaymentRequired),
        ("403", QuotaStatus::Forbidden),
        ("429", QuotaStatus::TooManyRequests),
    ];
    let words = &[
        ("strip", UpstreamAuthorization::Strip),
        ("keep", UpstreamAuthorization::Keep),
    ];
    let limits = &[
        ("none", ExtAuthzLimits::None),
        ("requests", ExtAuthzLimits::Requests),
    ];
    Some(RawServer {
        body_bytes_max: fields
            .optional("body_bytes_max")
            .and_then(|item| item.size_bytes(1_024..=BODY_BYTES_MAX)),
        shutdown_delay: fields
            .optional("shutdown_delay")
            .and_then(|item| item.span(0..=60 * MINUTE_MS)),
        drain_timeout: fields
            .optional("drain_timeout")
            .and_then(|item| item.span(0..=60 * MINUTE_MS)),
        workers: fields
            .optional("workers")
            .and_then(|item| item.amount(1..=WORKERS_MAX)),
        ietf_rate_limit_headers: fields
            .optional("ietf_rate_limit_headers")
            .and_then(|item| item.boolean())
            .map(|on| on.value),
        quota_status: fields
            .optional("quota_status")
            .and_then(|item| item.word(statuses))
            .map(|word| word.value),
        ext_authz_limits: fields
            .optional("ext_authz_limits")
            .and_then(|item| item.word(limits))
            .map(|word| word.value),
        upstream_authorization: fields
            .optional("upstream_authorization")
            .and_then(|item| item.word(words))
            .map(|word| word.value),
    })
}

fn telemetry(top: &Fields) -> Option<RawTelemetry> {
    let fields = top.optional("telemetry")?.fields(&["log", "otlp"])?;
    let mut telemetry = RawTelemetry::default();
    if let Some(log) = fields
        .optional("log")
        .and_then(|item| item.fields(&["format", "level"]))
    {
        let formats = &[("json", LogFormat::Json), ("human", LogFormat::Human)];
        let levels = &[
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("info", Level::Info),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ];
        let format = log.optional("format").and_then(|item| item.word(formats));
        let level = log.optional("level").and_then(|item| item.word(levels));
        telemetry.format = format.map(|word| word.value);
        telemetry.level = level.map(|word| word.value);
    }
    telemetry.otlp = fields
        .optional("otlp")
        .and_then(|item| item.fields(&["endpoint", "service_name"]))
        .map(|otlp| RawOtlp {
            endpoint: otlp
                .required("endpoint", "where spans go, as http://127.0.0.1:4317")
                .and_then(|item| item.text()),
            service_name: otlp.optional("service_name").and_then(|item| item.name()),
        });
    Some(telemetry)
}
