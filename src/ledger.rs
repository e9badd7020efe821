//! The ledger: what money is billed from, in the order it was written.
//!
//! | module | for |
//! |---|---|
//! | [`row`] | one event and its link in the chain of its sidecar |
//! | [`wire`] | the same as a protobuf message |
//! | [`spool`] | the local log: durable before a call is let through |
//! | [`faults`] | where tests let a process die |
//! | [`relay`] | carries rows from the spool to a sink |
//! | [`rerating`] | past calls at corrected prices |
//! | [`sink`] | what every place that rows go to promises |
//! | [`sinks`] | a file, a collector, an HTTP endpoint |
//! | [`reports`] | reports in words: how they are asked for and told |
//! | [`store`] | rows in SQLite or PostgreSQL: reports, corrections, verification |
//!
//! Always holds: a row, once written, is never changed; a place that rows go to
//! takes each of them once, however often it is offered.
//!
//! Left to others: what an event says (`exchange`), what it costs (`pricing`).

pub mod faults;
pub mod relay;
pub mod reports;
pub mod rerating;
pub mod row;
pub mod sink;
pub mod sinks;
pub mod spool;
pub mod store;
pub mod wire;
