//! Refusals as Cohere's own API gives them.
//!
//! Source: Cohere's reference "Errors": 402 is a limit on spending, 400 also
//! "too many tokens". cohere-python retries 408, 409, 429 and 5xx, and waits as
//! `retry-after-ms` and `retry-after` say, a minute at most.

use crate::protocol::denial::Rendered;
use crate::protocol::refusal::Said;
use serde_json::json;

pub fn render(said: &Said) -> Rendered {
    let body = json!({"id": said.id, "message": said.message});
    Rendered {
        status: said.status(said.fault.status()),
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    }
}
