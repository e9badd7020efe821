//! What others than callers are told of: which alerts there are, when one is new,
//! what is sent of it in which form, and to which addresses that may be.
//!
//! | module | for |
//! |---|---|
//! | [`alert`] | an alert, with a name that every sidecar gives it |
//! | [`told`] | what was told already |
//! | [`rate`] | refusals of a tenant, counted by the window |
//! | [`body`] | the forms that receivers take |
//! | [`signature`] | what shows a receiver who sends |
//! | [`address`] | addresses that nothing is sent to |
//! | [`retry`] | when it is tried again |
//!
//! Always holds: the same alert of the same period has the same id, whoever makes
//! it; no body holds a key, a prompt or an answer; what is remembered of tenants has
//! a bound.
//!
//! Left to others: what a budget is (`policy`), keeping alerts (`accounts`), sending
//! them (`webhooks`), and who does so when (`app`).

pub mod address;
pub mod alert;
pub mod body;
pub mod rate;
pub mod retry;
pub mod signature;
pub mod told;

pub use alert::{Alert, Facts, Kind};
pub use body::Form;
pub use signature::SigningKey;
