//! Sinks that hand rows on: to a file, to a collector, to an HTTP endpoint.
//!
//! | module | rows go as |
//! |---|---|
//! | [`file`] | JSON lines appended to a file: the usage log |
//! | [`otlp`] | OpenTelemetry log records over gRPC |
//! | [`cloudevents`] | CloudEvents over HTTP, as metering services take them in |
//! | [`dead_letters`] | what none of them takes, kept for another try |
//!
//! ```text
//!            ┌─ file ─────────► lines (one thread)
//! relay ─────┼─ otlp ─────┐
//!            └─ cloudevents ┴► halving ─► endpoint (TCP, TLS) ─► receiver
//!                                 └────► dead_letters (a row nobody takes) ─► lines
//! ```
//! Always holds: a row is offered with its event's id, the same each time; the
//! file takes each id once, receivers are told it so that they can. A row is
//! acknowledged when it is safe: on disk, or in a receiver's own words.
//!
//! Left to others: when to try again and how often (the relay), what is
//! configured (`config`), the tables of SQL stores.

pub mod cloudevents;
pub mod dead_letters;
pub mod endpoint;
pub mod file;
mod halving;
pub mod http;
pub mod lines;
pub mod otlp;

#[cfg(test)]
mod tests;
