//! Rows for the tests of this folder.

use crate::exchange::UsageEvent;
use crate::ledger::row::{Link, Row};
use crate::ledger::sink::{Sink, SinkError};
use crate::limits::HoldId;
use crate::units::UnixMillis;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn id(n: u16) -> HoldId {
    let [high, low] = n.to_be_bytes();
    let random = [0, 0, 0, 0, 0, 0, 0, 0, high, low];
    HoldId::new(UnixMillis(1_700_000_000_000), &random)
}

/// The nth row of a chain, with the given fields in the place of its own;
/// `null` takes a field away.
pub(super) fn row_with(n: u16, fields: Value) -> Row {
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
    Row {
        event: serde_json::from_value::<UsageEvent>(Value::Object(event.clone())).unwrap(),
        link: Link {
            chain: uuid::Uuid::from_u128(7),
            sequence: u64::from(n),
            hash: [n as u8; 32],
        },
    }
}

pub(super) fn row(n: u16) -> Row {
    row_with(n, json!({}))
}

pub(super) fn rows(ns: impl IntoIterator<Item = u16>) -> Vec<Row> {
    ns.into_iter().map(row).collect()
}

pub(super) fn ids(ns: impl IntoIterator<Item = u16>) -> Vec<String> {
    ns.into_iter().map(|n| id(n).to_string()).collect()
}

/// What a relay does: offers all until all are taken or set aside. Gives those
/// that were set aside.
pub(super) async fn relay(sink: &mut impl Sink, rows: &[Row]) -> Vec<HoldId> {
    let mut left = rows.to_vec();
    let mut aside = Vec::new();
    for _ in 0..100 {
        match sink.deliver(&left).await {
            Ok(()) => return aside,
            Err(SinkError::Poison { index, why }) => {
                let row = left.remove(index);
                sink.set_aside(&row, &why).await.unwrap();
                aside.push(row.event.id);
            }
            Err(SinkError::Away(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    panic!("never done");
}
