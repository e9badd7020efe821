//! `POST /v1/config/reload`: the configuration is read anew, as it is when its file
//! changes or SIGHUP comes; who asks is told what came of it.
//!
//! Always holds: the audit is told before anything is read; a file that can't be
//! used changes nothing, and is answered with all that is wrong with it.
//!
//! Left to others: the reading, by whoever takes what is asked here ([`ReloadAsks`]).

use super::AdminState;
use super::answer::{Answer, Told, Wrong, json};
use super::caller::Caller;
use super::configuration::{DifferenceTold, told};
use super::limits::tell_end;
use super::stored::Change;
use crate::config::Problems;
use crate::config::shown::Difference;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

/// How long who asks waits: less than a request may take. Large files take longer,
/// and are taken all the same.
const RELOAD_MAX: Duration = Duration::from_secs(8);

/// So many may wait for one reading, which answers all of them.
const ASKS_MAX: usize = 16;

/// The most paths that the audit keeps of one reading.
const PATHS_MAX: usize = 100;

/// What a reading changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taken {
    /// What runs now and did not before, as far as there is room.
    pub differences: Vec<Difference>,
    pub more: bool,
    /// What is allowed but hardly meant.
    pub warnings: Vec<String>,
    /// Fields that take effect at the next start.
    pub waiting: Vec<String>,
}

/// What came of a reading.
pub type ReloadOutcome = Result<Arc<Taken>, Arc<Problems>>;

/// Who waits for one.
pub type ReloadAsked = oneshot::Sender<ReloadOutcome>;

/// Those who wait, as they come.
pub type ReloadAsks = mpsc::Receiver<ReloadAsked>;

/// Whom to ask for a reading.
#[derive(Debug, Clone)]
pub struct ReloadApi {
    asks: mpsc::Sender<ReloadAsked>,
}

impl ReloadApi {
    pub fn new() -> (Self, ReloadAsks) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        (Self { asks }, asked)
    }

    /// `None`: it takes long, and goes on.
    async fn reload(&self) -> Result<Option<ReloadOutcome>, Wrong> {
        let (answer, answered) = oneshot::channel();
        let asked = self.asks.try_send(answer);
        asked.map_err(|_| Wrong::busy("many wait for it already; ask again"))?;
        match tokio::time::timeout(RELOAD_MAX, answered).await {
            Ok(Ok(outcome)) => Ok(Some(outcome)),
            Ok(Err(_)) => Err(Wrong::busy("the configuration can't be read now")),
            Err(_) => Ok(None),
        }
    }
}

/// What was taken of the configuration's file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// What runs now and did not before.
    differences: Vec<DifferenceTold>,
    /// Whether there are more.
    more: bool,
    /// What is allowed but hardly meant.
    warnings: Vec<String>,
    /// What the file sets that takes effect at the next start.
    at_next_start: Vec<String>,
}

impl Reloaded {
    fn of(taken: &Taken) -> Self {
        Self {
            differences: taken.differences.iter().cloned().map(told).collect(),
            more: taken.more,
            warnings: taken.warnings.clone(),
            at_next_start: taken.waiting.clone(),
        }
    }
}

/// Reads the configuration's file, and what it names, anew. What can change while
/// weir runs does at once; a file that can't be used changes nothing.
#[utoipa::path(
    post, path = "/v1/config/reload",
    responses(
        (status = 200, body = Reloaded),
        (status = 202, description = "It takes long, and goes on", body = super::answer::Error),
    )
)]
pub(super) async fn reload(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
) -> Response {
    match reloaded(&state, &caller).await {
        Ok(Some(told)) => told.into_response(),
        Ok(None) => {
            let error = "it takes long, and goes on; /readyz and the log tell what comes of it";
            json(StatusCode::ACCEPTED, &json!({ "error": error }))
        }
        Err(wrong) => wrong.into_response(),
    }
}

async fn reloaded(state: &AdminState, caller: &Caller) -> Result<Option<Told<Reloaded>>, Wrong> {
    state.limits.driver()?;
    let change = |action, after| Change {
        action,
        subject: "config",
        tenant: None,
        before: None,
        after,
    };
    let begun = change("config.reload", None);
    state
        .accounts
        .note(caller, state.access.now(), begun)
        .await?;
    let Some(outcome) = state.reload.reload().await? else {
        return Ok(None);
    };
    let done = change("config.reload.done", Some(noted(&outcome)));
    tell_end(state, caller, done).await;
    let answer: Answer<Reloaded> = match outcome {
        Ok(taken) => Ok(Told(Reloaded::of(&taken))),
        Err(problems) => Err(Wrong::problems("the configuration", &problems)),
    };
    answer.map(Some)
}

/// What the audit keeps of it: which fields, not what they hold.
fn noted(outcome: &ReloadOutcome) -> Value {
    match outcome {
        Ok(taken) => {
            let paths = taken.differences.iter().map(|one| &one.path);
            let paths: Vec<_> = paths.take(PATHS_MAX).collect();
            let more = taken.more || taken.differences.len() > PATHS_MAX;
            json!({ "taken": true, "changed": paths, "more": more, "at_next_start": taken.waiting })
        }
        Err(problems) => json!({ "taken": false, "problems": problems.count() }),
    }
}
