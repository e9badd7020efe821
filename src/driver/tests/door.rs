//! A driver for who judges calls at the door alone, with a key and a limit.

use crate::config::load;
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::{Driver, Leases, Recorder};
use crate::exchange::Settings;
use crate::identity::Pepper;
use crate::limits::share::OnCounterFailure;
use crate::telemetry::metrics::Metrics;
use std::io;
use std::path::Path;
use std::sync::Arc;

const PEPPER: &str = "a pepper that only tests know";
/// Of tenant `acme`, user `ada`, for models `gpt-4*`.
pub const KEY: &str = "a-key-of-ada-at-acme";

/// Where every variable holds the pepper.
pub struct Outside;

impl crate::config::Outside for Outside {
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        Some(PEPPER.into())
    }

    fn file(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A driver over counters in memory; tenants may make three requests a day.
pub fn driver(count_checks: bool) -> Arc<Driver> {
    let hash = Pepper::new(PEPPER.as_bytes())
        .unwrap()
        .digest(KEY.as_bytes());
    let yaml = format!(
        r#"listen: {{ grpc: "127.0.0.1:0" }}
counters: {{ memory: {{}} }}
ledger: {{ path: unused, file: {{ path: unused }} }}
identity:
  pepper: {{ env: P }}
  keys: [ {{ id: ada-key, tenant: acme, project: search, user: ada, hash: "{hash}", scopes: {{ models: [ "gpt-4*" ] }} }} ]
  sources: [ {{ api_key: {{}} }}, {{ anonymous: {{ tenant: guests }} }} ]
models: {{ gpt-4o: {{ max_output_tokens: 9 }}, gpt-5: {{ max_output_tokens: 9 }} }}
plans: {{ team: {{ limits: [ {{ per: tenant, unit: requests, amount: 3, every: 24h }} ] }} }}
tenants: {{ acme: {{ plan: team }}, guests: {{ plan: team }} }}
routes: [ {{ name: other, envoy_route: other, dialect: anthropic }} ]
"#
    );
    let config = load(&yaml, "weir.yaml", &Outside);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let settings = Settings {
        body_bytes_max: 4096,
        keep_authorization: false,
        trust_ext_authz: true,
        count_checks,
        ietf_rate_limit_headers: false,
        quota_status: None,
        hold_ttl: config.holds.ttl,
        lease_ttl: config.holds.lease_ttl,
        handover_max: config.holds.handover,
    };
    Driver::new(
        Arc::new(config.snapshot),
        settings,
        Counters::Memory(Memory::default()),
        Recorder::new(None, Arc::new(Metrics::new()), None),
        Leases::default(),
        OnCounterFailure::Deny,
    )
}
