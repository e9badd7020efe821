//! What the head of a request says of what the call is for.

use super::head::single;
use super::message::Headers;
use crate::policy::Snapshot;
use crate::policy::facts::Hints;
use std::sync::Arc;

/// Headers by which a client says what its call is for.
const TASK_HEADER: &str = "x-weir-task";
const LATENCY_HEADER: &str = "x-weir-latency";

/// The longest value of a header that conditions see; longer ones count as absent.
const HINT_BYTES_MAX: usize = 256;

/// What the head says of what the call is for. A client may say what it likes of
/// that; these headers don't travel on.
pub(super) fn of(headers: &Headers, snapshot: &Snapshot) -> Hints {
    let said = |name: &str| single(headers, name).ok().flatten().filter(|v| is_hint(v));
    let seen = snapshot.condition_headers.iter();
    let seen = seen.filter_map(|name| Some((Arc::clone(name), said(name)?.to_owned())));
    Hints {
        task: said(TASK_HEADER).map(str::to_owned),
        latency: said(LATENCY_HEADER).map(str::to_owned),
        headers: seen.collect(),
    }
}

fn is_hint(value: &str) -> bool {
    value.len() <= HINT_BYTES_MAX
}
