//! Cohere's own dialect.

pub mod answers;
