//! Cohere's own dialect.

pub mod answers;
pub(super) mod refusal;
pub mod requests;
