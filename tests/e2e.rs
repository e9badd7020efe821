//! End to end: the real Envoy, a real Redis, weir as its users run it, and a
//! fake provider whose own log is the oracle.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

#[path = "e2e/admin_accounts.rs"]
mod admin_accounts;
#[path = "e2e/admin_api.rs"]
mod admin_api;
#[path = "e2e/admin_certificates.rs"]
mod admin_certificates;
#[path = "e2e/alerts.rs"]
mod alerts;
#[path = "e2e/authz.rs"]
mod authz;
#[path = "e2e/backlog.rs"]
mod backlog;
#[path = "e2e/bypasses.rs"]
mod bypasses;
#[path = "e2e/calls.rs"]
mod calls;
#[path = "e2e/canaries.rs"]
mod canaries;
#[path = "e2e/configurations.rs"]
mod configurations;
#[path = "e2e/dialects.rs"]
mod dialects;
#[path = "e2e/encodings.rs"]
mod encodings;
#[path = "e2e/explain.rs"]
mod explain;
#[path = "e2e/failures.rs"]
mod failures;
#[path = "e2e/health.rs"]
mod health;
#[path = "e2e/identities.rs"]
mod identities;
#[path = "e2e/image.rs"]
mod image;
#[path = "e2e/keys.rs"]
mod keys;
#[path = "e2e/kills.rs"]
mod kills;
#[path = "e2e/ledger.rs"]
mod ledger;
#[path = "e2e/ledger_command.rs"]
mod ledger_command;
#[path = "e2e/ledger_sinks.rs"]
mod ledger_sinks;
#[path = "e2e/limits.rs"]
mod limits;
#[path = "e2e/limits_command.rs"]
mod limits_command;
#[path = "e2e/outages.rs"]
mod outages;
#[path = "e2e/policies.rs"]
mod policies;
#[path = "e2e/program.rs"]
mod program;
#[path = "e2e/rate_limits.rs"]
mod rate_limits;
#[path = "e2e/rebuild.rs"]
mod rebuild;
#[path = "e2e/receivers.rs"]
mod receivers;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/reload.rs"]
mod reload;
#[path = "e2e/replicas.rs"]
mod replicas;
#[path = "e2e/routes.rs"]
mod routes;
#[path = "e2e/sdk.rs"]
mod sdk;
#[path = "e2e/sinks.rs"]
mod sinks;
mod support;
#[path = "e2e/transport.rs"]
mod transport;
#[path = "e2e/upgrades.rs"]
mod upgrades;
#[path = "e2e/usage.rs"]
mod usage;
