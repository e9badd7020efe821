//! Anthropic's dialect.

pub mod answers;
