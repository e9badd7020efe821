//! Ollama's own dialect.

pub mod answers;
