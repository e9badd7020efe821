//! Events for the tests of this folder.

use crate::exchange::UsageEvent;
use crate::limits::HoldId;
use crate::units::UnixMillis;
use serde_json::{Value, json};

pub(super) fn id(n: u8) -> HoldId {
    HoldId::new(UnixMillis(1_700_000_000_000 + u64::from(n)), &[n; 10])
}

/// A finished stream, with the given fields in the place of its own; `null`
/// takes a field away.
pub(super) fn event(n: u8, fields: Value) -> UsageEvent {
    let mut event = json!({
        "schema": "weir.usage.v1",
        "id": id(n).to_string(),
        "outcome": "exact",
        "started_at_ms": 1_700_000_000_000u64,
        "first_token_at_ms": 1_700_000_000_250u64,
        "ended_at_ms": 1_700_000_002_000u64,
        "tenant": "acme",
        "user": "ann",
        "key_id": "key-1",
        "plan": "team",
        "endpoint": "/v1/chat/completions",
        "dialect": "openai",
        "model": "gpt-4o",
        "model_served": "gpt-4o-2024-08-06",
        "stream": true,
        "status": 200,
        "finish_reason": "stop",
        "known": "provider",
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "output_tokens": 7,
        "reserved_tokens": 1_124,
        "request_bytes": 512,
    });
    let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) else {
        panic!("both are objects");
    };
    for (name, value) in fields {
        match value {
            Value::Null => event.remove(&name),
            value => event.insert(name, value),
        };
    }
    serde_json::from_value(Value::Object(event.clone())).unwrap()
}
