//! What weir tells the outside about itself and its calls.
//!
//! | module | for |
//! |---|---|
//! | [`metrics`] | counts and durations for Prometheus |
//! | [`traces`] | one OpenTelemetry span for every call, where configured |
//! | [`logs`] | what the process says on its standard error |
//! | [`readiness`] | whether this process should get calls now |
//!
//! Always holds: no prompt, answer or key is in any of it; nothing here can
//! grow without bound, whatever the peers (disk, collector, scraper) do; labels
//! of metrics come from fixed sets.
//!
//! Left to others: what an event says (`exchange`), serving it (`admin`).

pub mod logs;
pub mod metrics;
pub mod readiness;
pub mod traces;

#[cfg(test)]
mod tests;
