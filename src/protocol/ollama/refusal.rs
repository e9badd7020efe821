//! Refusals as Ollama gives them.
//!
//! Source: Ollama's reference "Errors". ollama-python shows the text under
//! `error` with the status, and retries nothing.

use crate::protocol::denial::Rendered;
use crate::protocol::refusal::Said;
use serde_json::json;

pub fn render(said: &Said) -> Rendered {
    Rendered {
        status: said.status(said.fault.status()),
        headers: Vec::new(),
        body: json!({"error": said.message}).to_string().into_bytes(),
    }
}
