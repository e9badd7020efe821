//! `/v1/alerts`: what others than callers were told of, and whether that arrived.

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong, next_after, read};
use super::approvals::{ROWS, shown};
use super::caller::Caller;
use super::stored::Change;
use crate::accounts::alerts::{AlertsAsked, DeliveryState, PAGE_ROWS_MAX};
use crate::alerts::Alert;
use crate::config::AlertsConfig;
use crate::units::UnixMillis;
use crate::webhooks::Webhook;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a test waits: less than a request may take.
const TEST_MAX: Duration = Duration::from_secs(8);

/// Which webhooks a process started with.
#[derive(Debug, Clone, Default)]
pub struct AlertsApi(Arc<AlertsConfig>);

impl AlertsApi {
    pub fn new(config: &Arc<AlertsConfig>) -> Self {
        Self(Arc::clone(config))
    }
}

/// An alert, as it stands with each webhook.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertShown {
    id: String,
    /// budget, approval or refusals.
    kind: String,
    tenant: Option<String>,
    at_ms: u64,
    /// One sentence.
    summary: String,
    deliveries: Vec<DeliveryShown>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryShown {
    webhook: String,
    /// waiting, sent or dead.
    state: String,
    /// Tries that were begun.
    tries: u64,
    /// When it is tried next, while it waits.
    next_at_ms: Option<u64>,
    /// What came of the last try that failed; null to a tenant-admin.
    last_error: Option<String>,
    /// When it was sent or given up.
    done_at_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertPage {
    /// The newest first.
    alerts: Vec<AlertShown>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestWanted {
    /// The webhook's name.
    webhook: String,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tested {
    sent: bool,
    /// Why it wasn't.
    error: Option<String>,
}

/// A page of alerts and of what became of them; to a tenant-admin those of the
/// tenant.
#[utoipa::path(
    get, path = "/v1/alerts",
    params(
        ("tenant" = Option<String>, Query, description = "Only this tenant's"),
        ("state" = Option<String>, Query, description = "Only those of which a delivery is waiting, sent or dead; without it, all"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 999, description = "At most so many"),
    ),
    responses((status = 200, body = AlertPage))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<AlertPage> {
    let known = &["tenant", "state", "after", "limit"];
    let parameters = Parameters::read(query.as_deref(), known)?;
    let limit = parameters.limit(ROWS, PAGE_ROWS_MAX - 1)?;
    let standing = parameters.get("state").map(|text| {
        let wrong = || Wrong::parameter("state", "must be waiting, sent or dead");
        DeliveryState::parse(text).ok_or_else(wrong)
    });
    let after = parameters.get("after").map(|text| {
        let wrong = || Wrong::parameter("after", "must be what a page before said is next");
        place(text).ok_or_else(wrong)
    });
    let asked = AlertsAsked {
        after: after.transpose()?,
        tenant: caller.narrowed(parameters.get("tenant"))?,
        state: standing.transpose()?,
        limit: limit + 1,
    };
    let rows = state
        .accounts
        .with(|accounts| async move { accounts.alerts(&asked).await });
    let mut rows = rows.await?;
    let next = next_after(&mut rows, limit, |row| row.place());
    if caller.role.tenant().is_some() {
        // Where an operator's webhooks are is none of a tenant's business.
        let deliveries = rows.iter_mut().flat_map(|row| &mut row.deliveries);
        deliveries.for_each(|of| of.last_error = None);
    }
    let alerts = rows.iter().map(|row| shown(row.to_json()));
    Ok(Told(AlertPage {
        alerts: alerts.collect::<Result<_, _>>()?,
        next: next.map(|(at, id)| format!("{}.{id}", at.0)),
    }))
}

fn place(text: &str) -> Option<(UnixMillis, Arc<str>)> {
    let (at, id) = text.split_once('.')?;
    Some((UnixMillis(at.parse().ok()?), id.into()))
}

/// Sends a test to a webhook, now and once.
#[utoipa::path(
    post, path = "/v1/alerts/test",
    request_body = TestWanted,
    responses((status = 200, body = Tested))
)]
pub(super) async fn test(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Tested> {
    let wanted: TestWanted = read(&headers, &body)?;
    let mut all = state.alerts.0.webhooks.iter();
    let settings = all.find(|of| *of.name == *wanted.webhook);
    let settings = settings.ok_or_else(|| Wrong {
        parameter: Some("webhook"),
        ..Wrong::new(StatusCode::NOT_FOUND, "there is no webhook of this name")
    })?;
    let now = state.access.now();
    let change = Change {
        action: "alerts.test",
        subject: &settings.name,
        tenant: None,
        before: None,
        after: None,
    };
    state.accounts.note(&caller, now, change).await?;
    let webhook = Webhook::new(settings);
    let mut webhook = webhook.map_err(|error| Wrong::busy(error.to_string()))?;
    let alert = Alert::test(&settings.name, now);
    let sent = tokio::time::timeout(TEST_MAX, webhook.send(&alert, now)).await;
    let error = match sent {
        Ok(Ok(())) => None,
        Ok(Err(not_sent)) => Some(not_sent.why),
        Err(_) => Some("no answer in time".to_owned()),
    };
    Ok(Told(Tested {
        sent: error.is_none(),
        error,
    }))
}
