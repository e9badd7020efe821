//! One suite over both counter engines: what they promise, the same in both,
//! and what Redis must do when it fails.
//!
//! - `behaviour`: each promise as a small story, told to both, and to Valkey.
//! - `model` says what counters mean; `machine` holds random histories of each
//!   engine to it, `gcra` any rate of a bucket, `bound` the sliding window's
//!   count to the exact one.
//! - `histories`: both engines side by side, through changes of limits as well.
//! - `crowds`: a thousand tasks against limits that stand still: what is let
//!   through is exactly what is charged.
//! - `fleet`: a thousand calls while windows turn, buckets fill and leases end.
//! - `faults`: a server that is slow, gone, full, or holds rubbish.
//! - `topologies`: Cluster, Sentinel, TLS, users.
//!
//! And one over both databases of the ledger, SQLite and PostgreSQL: `ledger`,
//! with batches in (`writes`), reports held to a model (`reports`), and chains
//! that were tampered with (`chains`); and over what is kept beside it: keys
//! (`accounts`), requests for approval, grants and top-ups (`approvals`),
//! alerts (`alerts`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, measures, and waits by polling"
)]

#[path = "conformance/accounts.rs"]
mod accounts;
#[path = "conformance/alerts.rs"]
mod alerts;
#[path = "conformance/approvals.rs"]
mod approvals;
#[path = "conformance/behaviour.rs"]
mod behaviour;
#[path = "conformance/bound.rs"]
mod bound;
#[path = "conformance/crowds.rs"]
mod crowds;
#[path = "conformance/engine.rs"]
mod engine;
#[path = "conformance/faults.rs"]
mod faults;
#[path = "conformance/fleet.rs"]
mod fleet;
#[path = "conformance/gcra.rs"]
mod gcra;
#[path = "conformance/histories.rs"]
mod histories;
#[path = "conformance/ledger.rs"]
mod ledger;
#[path = "support/link.rs"]
mod link;
#[path = "conformance/machine.rs"]
mod machine;
#[path = "conformance/model.rs"]
mod model;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "conformance/topologies.rs"]
mod topologies;
