//! The ledger: what money is billed from, in the order it was written.
//!
//! | module | for |
//! |---|---|
//! | [`row`] | one event and its link in the chain of its sidecar |
//! | [`wire`] | the same as a protobuf message |
//! | [`sink`] | what every place that rows go to promises |
//! | [`store`] | rows in SQLite or PostgreSQL: reports, corrections, verification |
//!
//! Always holds: a row, once written, is never changed; a place that rows go to
//! takes each of them once, however often it is offered.
//!
//! Left to others: what an event says (`exchange`), what it costs (`pricing`).

pub mod row;
pub mod sink;
pub mod store;
pub mod wire;
