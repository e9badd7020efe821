//! What reports answer, as it is described: they are made of what was asked, row by
//! row, by `ledger::reports::tell`, which a test holds these against.

use crate::telemetry::readiness;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A page of a report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsagePage {
    /// A time with its offset.
    since: String,
    until: String,
    time_zone: String,
    /// What the rows are of, in order.
    by: Vec<String>,
    rows: Vec<UsageRow>,
    more: bool,
    /// What to ask `after` for the page that follows.
    next: Option<String>,
}

/// The names that were asked for (null: none), the period (its name, from and until)
/// where one was, and every sum. Costs are billionths of a dollar.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageRow {
    calls: u64,
    refused: u64,
    unpriced: u64,
    input_tokens: u64,
    cached_input_tokens: u64,
    cache_write_tokens: u64,
    cache_write_1h_tokens: u64,
    input_audio_tokens: u64,
    input_image_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    output_audio_tokens: u64,
    output_image_tokens: u64,
    searches: u64,
    cost_nanos: u64,
    adjustment_nanos: i64,
    total_tokens: u64,
    net_nanos: i64,
    #[serde(flatten)]
    names: BTreeMap<String, Value>,
}

/// A call of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Call {
    /// The usage event, of schema weir.usage.v1.
    #[schema(value_type = Object)]
    event: Value,
    chain: ChainPlace,
    adjustments: Vec<Adjustment>,
    /// What it costs after corrections, in billionths of a dollar.
    net_nanos: Option<i64>,
}

/// Where a call stands in the chain of its sidecar.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChainPlace {
    id: String,
    sequence: u64,
    hash: String,
}

/// A correction of a call's price.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Adjustment {
    run: String,
    at_ms: u64,
    delta_nanos: i64,
    price_version: Option<String>,
    reason: String,
}

/// Whether weir is ready, by part.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    pub ready: bool,
    pub checks: BTreeMap<&'static str, bool>,
    pub configuration: FileState,
}

/// Whether what runs is what the configuration's file says. It makes nobody unready.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileState {
    pub current: bool,
    /// Why what the file holds can't be used, so that what was before still runs:
    /// the first problems.
    pub problems: Vec<String>,
    /// How many there are beyond those.
    pub problems_more: usize,
    /// What it sets that takes effect at the next start.
    pub at_next_start: Vec<String>,
}

impl FileState {
    pub fn of(state: &readiness::FileState) -> Self {
        Self {
            current: state.is_current(),
            problems: state.problems.clone(),
            problems_more: state.problems_more,
            at_next_start: state.waiting.clone(),
        }
    }
}
