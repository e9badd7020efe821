//! Ollama's own dialect.

pub mod answers;
pub mod requests;
