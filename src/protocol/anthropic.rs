//! Anthropic's dialect.

pub mod answers;
pub mod requests;
