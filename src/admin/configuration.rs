//! `/v1/config`: what weir runs on, and what another text would change.
//!
//! Always holds: no secret is shown; nothing is applied; of this machine's files
//! and variables a text is given those that the running configuration reads, and no
//! others, so that asking tells nothing of them. Of two secrets it is told whether
//! they are the same: so who may compare may try guesses, one text at a time, and only
//! those may who may change everything.

use super::AdminState;
use super::answer::{Answer, Told, Wrong, read};
use crate::config::shown::{Difference, Shown, differences, keys_differ, tenants_differ};
use crate::config::{Config, Only, OutsideRead, load};
use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// The largest text that is compared: some fifty thousand tenants. Larger ones are
/// for `weir check`.
pub(super) const TEXT_BYTES_MAX: usize = 8 << 20;

/// The most differences that are told.
const DIFFERENCES_MAX: usize = 1_000;

/// Reading one takes some hundred megabytes at most.
const READINGS_MAX: usize = 1;

/// What weir runs on.
#[derive(Debug, Clone)]
pub struct ConfigurationApi {
    running: Arc<ArcSwap<Running>>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Running {
    shown: Arc<Shown>,
    value: Arc<Value>,
    read: OutsideRead,
}

impl Running {
    fn new(shown: Shown, read: OutsideRead) -> Self {
        Self {
            value: Arc::new(shown.value().clone()),
            shown: Arc::new(shown),
            read,
        }
    }
}

impl ConfigurationApi {
    pub fn new(config: &Config) -> Self {
        Self {
            running: Arc::new(ArcSwap::from_pointee(Running::new(
                Shown::of(config),
                config.read.clone(),
            ))),
            turns: Arc::new(Semaphore::new(READINGS_MAX)),
        }
    }

    /// What runs, to compare others with.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.running.load().shown)
    }

    /// What runs, as it is shown.
    pub fn value(&self) -> Arc<Value> {
        Arc::clone(&self.running.load().value)
    }

    /// Another runs from now on, which is shown so and has read this.
    pub(super) fn change(&self, shown: Shown, read: OutsideRead) {
        self.running.store(Arc::new(Running::new(shown, read)));
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextWanted {
    /// The whole file, as YAML.
    text: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Differences {
    differences: Vec<DifferenceTold>,
    /// Whether there are more.
    more: bool,
    /// What is allowed but hardly meant.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferenceTold {
    /// As plans.team.limits[0].amount.
    path: String,
    /// What weir runs on; null: nothing.
    before: Value,
    /// What the text says; null: nothing.
    after: Value,
}

/// The configuration, resolved, with its secrets hidden. Tenants and keys are
/// counted; they have pages of their own.
#[utoipa::path(get, path = "/v1/config", responses((status = 200, body = Object)))]
pub(super) async fn show(State(state): State<AdminState>) -> Told<Arc<Value>> {
    Told(state.configuration.value())
}

/// What another text would change; nothing is applied.
#[utoipa::path(
    post, path = "/v1/config/diff",
    request_body = TextWanted,
    responses((status = 200, body = Differences))
)]
pub(super) async fn diff(
    State(state): State<AdminState>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Differences> {
    let wanted: TextWanted = read(&headers, &body)?;
    let api = state.configuration.clone();
    let turn = Arc::clone(&api.turns).try_acquire_owned();
    let turn = turn.map_err(|_| Wrong::busy("another text is being read; ask again"))?;
    let running = state.limits.driver()?.snapshot();
    let compared = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let now = api.running.load();
        let outside = Only::of(&now.read);
        let config = load(&wanted.text, "text", &outside);
        let config = config.map_err(|problems| Wrong::problems("the text", &problems))?;
        let max = DIFFERENCES_MAX + 1;
        let mut found = differences(&now.shown, &Shown::of(&config), max);
        found.extend(keys_differ(&running, &config.snapshot, max));
        found.extend(tenants_differ(&running, &config.snapshot, max));
        Ok(Differences {
            more: found.len() >= max,
            differences: found.into_iter().take(DIFFERENCES_MAX).map(told).collect(),
            warnings: config.warnings,
        })
    });
    let compared = compared.await;
    compared
        .map_err(|_| Wrong::busy("the text couldn't be read"))?
        .map(Told)
}

pub(super) fn told(difference: Difference) -> DifferenceTold {
    DifferenceTold {
        path: difference.path,
        before: difference.before.unwrap_or_default(),
        after: difference.after.unwrap_or_default(),
    }
}
