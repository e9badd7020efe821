//! Anthropic's dialect.

pub mod answers;
pub(super) mod rate_headers;
pub(super) mod refusal;
pub mod requests;
