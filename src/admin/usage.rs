//! `/v1/usage`: the reports of `weir usage` over HTTP.
//!
//! | request | answers |
//! |---|---|
//! | `GET /v1/usage?by=tenant,day&since=2026-11-01[&until=][&time_zone=][&where=tenant=acme][&order=cost][&limit=100][&after=NEXT]` | a page of a report |
//! | `GET /v1/usage/top?by=key&most=cost[&since=][&until=][&time_zone=][&where=][&limit=10]` | the groups with the most |
//! | `GET /v1/usage/calls/{id}` | one call |
//!
//! Always holds: a tenant-admin is told of the own tenant's calls only, whatever is
//! asked; at most [`REPORTS_MAX`] reports are made at a time, each
//! for at most [`REPORT_TIME_MAX`], on threads of their own: sums of a large
//! ledger never keep a probe or a scrape waiting. An answer has at most
//! `PAGE_ROWS_MAX` rows. The ledger is only read.

use super::AdminState;
use super::answer::{Answer, Told, Wrong};
use super::caller::Caller;
use crate::driver::clock::Clock;
use crate::ledger::reports::ask::{self, AskError, Asked, Part};
use crate::ledger::reports::tell;
use crate::ledger::store::measure::Dimension;
use crate::ledger::store::query::{Condition, Order, Query};
use crate::ledger::store::{Store, StoreConfig, StoreError};
use crate::limits::HoldId;
use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};

/// Each may hold some hundred megabytes while it is summed up.
const REPORTS_MAX: usize = 2;

/// How long one waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(2);

/// Within what a whole request may take, its turn included.
const REPORT_TIME_MAX: Duration = Duration::from_secs(7);

/// The rows of a page where nobody says how many.
const ROWS: usize = 1_000;

/// The rows of [`top`] where nobody says how many.
const TOP_ROWS: usize = 10;

/// What [`report`] can be asked.
pub(super) const REPORT_PARAMETERS: [&str; 8] = [
    "by",
    "since",
    "until",
    "time_zone",
    "where",
    "order",
    "limit",
    "after",
];

/// What [`top`] can be asked.
pub(super) const TOP_PARAMETERS: [&str; 7] = [
    "by",
    "most",
    "since",
    "until",
    "time_zone",
    "where",
    "limit",
];

/// The ledger that reports are made of.
#[derive(Clone)]
pub struct UsageApi {
    config: Option<Arc<StoreConfig>>,
    /// Opened when first asked.
    store: Arc<OnceCell<Store>>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for UsageApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageApi").finish_non_exhaustive()
    }
}

impl UsageApi {
    /// `None`: the ledger, if there is one, has no database.
    pub fn new(config: Option<StoreConfig>) -> Self {
        Self {
            config: config.map(Arc::new),
            store: Arc::default(),
            turns: Arc::new(Semaphore::new(REPORTS_MAX)),
        }
    }

    /// Asks the ledger on another thread, where summing, ordering and writing
    /// down keep nobody waiting.
    async fn ask<W>(&self, ask: impl FnOnce(Store) -> W + Send + 'static) -> Result<Value, Wrong>
    where
        W: Future<Output = Result<Value, Wrong>>,
    {
        let config = self.config.clone().ok_or_else(|| {
            let error = "there are no reports: set ledger.sqlite or ledger.postgres";
            Wrong::new(StatusCode::NOT_FOUND, error)
        })?;
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(TURN_MAX, turn).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Wrong::busy("other reports are being made; ask again"));
        };
        let (cell, handle) = (Arc::clone(&self.store), Handle::current());
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            handle.block_on(tokio::time::timeout(REPORT_TIME_MAX, async {
                let opened = cell.get_or_try_init(|| Store::open_to_read(&config));
                ask(opened.await.map_err(Wrong::from)?.clone()).await
            }))
        });
        match made.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Wrong::busy(
                "this takes too long: ask for a shorter time, or use `weir usage`",
            )),
            Err(_) => Err(Wrong::busy("the report couldn't be made")),
        }
    }
}

impl From<AskError> for Wrong {
    fn from(error: AskError) -> Self {
        Self::parameter(error.part.as_str(), error.why.to_string())
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        use crate::ledger::store::report::ReportError;
        let text = error.to_string();
        match error {
            StoreError::NotKept(_)
            | StoreError::QuartersNotKept(_)
            | StoreError::DaysNotKept(_)
            | StoreError::Large
            | StoreError::Period(_) => Self::parameter("since", text),
            StoreError::Report(ReportError::Cursor) => Self::parameter("after", text),
            StoreError::Report(ReportError::Groups) => Self::parameter("by", text),
            StoreError::Row(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, text),
            _ => Self::busy(text),
        }
    }
}

/// A page of a report, as [`described`](super::described::UsagePage).
#[utoipa::path(
    get, path = "/v1/usage",
    params(
        ("by" = Option<Vec<String>>, Query, description = "Names, labels and a period, with commas: tenant,label:team,day"),
        ("since" = Option<String>, Query, description = "A date, a time, or a span back from now; the month's begin"),
        ("until" = Option<String>, Query, description = "The same; now"),
        ("time_zone" = Option<String>, Query, description = "As Asia/Kolkata; UTC"),
        ("where" = Option<Vec<String>>, Query, description = "As tenant=acme or model!=gpt-4o; may be repeated"),
        ("order" = Option<String>, Query, description = "groups, or a sum of which the most comes first"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 10000, description = "At most so many rows"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
    ),
    responses((status = 200, body = super::described::UsagePage))
)]
pub(super) async fn report(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<Value> {
    let (mut asked, _) = asked(&query.unwrap_or_default(), &REPORT_PARAMETERS)?;
    asked.limit.get_or_insert(ROWS);
    let query = narrowed(asked.query(Clock::start().now())?, &caller)?;
    state.usage.ask(|store| page(store, query)).await.map(Told)
}

/// The groups with the most.
#[utoipa::path(
    get, path = "/v1/usage/top",
    params(
        ("by" = Option<Vec<String>>, Query, description = "Names, labels and a period, with commas: tenant,label:team,day"),
        ("most" = Option<String>, Query, description = "The sum of which there is the most; cost after corrections"),
        ("since" = Option<String>, Query, description = "A date, a time, or a span back from now; the month's begin"),
        ("until" = Option<String>, Query, description = "The same; now"),
        ("time_zone" = Option<String>, Query, description = "As Asia/Kolkata; UTC"),
        ("where" = Option<Vec<String>>, Query, description = "As tenant=acme or model!=gpt-4o; may be repeated"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 10000, description = "At most so many rows"),
    ),
    responses((status = 200, body = super::described::UsagePage))
)]
pub(super) async fn top(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<Value> {
    let (mut asked, most) = asked(&query.unwrap_or_default(), &TOP_PARAMETERS)?;
    asked.limit.get_or_insert(TOP_ROWS);
    let order = match most {
        Some(word) => ask::most(&word).map_err(|why| AskError {
            part: Part::Most,
            why,
        })?,
        None => Order::MostNet,
    };
    let query = Query {
        order,
        ..narrowed(asked.query(Clock::start().now())?, &caller)?
    };
    state.usage.ask(|store| page(store, query)).await.map(Told)
}

/// Who may see one tenant sees that one's calls: what was asked holds besides.
fn narrowed(mut query: Query, caller: &Caller) -> Result<Query, Wrong> {
    let Some(own) = caller.role.tenant() else {
        return Ok(query);
    };
    let tenants = query
        .only
        .iter()
        .filter(|one| one.dimension == Dimension::Tenant && one.among);
    for name in tenants.flat_map(|one| &one.names) {
        caller.may_see(name.as_deref().unwrap_or_default())?;
    }
    query.only.push(Condition::is(Dimension::Tenant, own));
    Ok(query)
}

async fn page(store: Store, query: Query) -> Result<Value, Wrong> {
    let report = store.usage(&query).await?;
    let mut document = tell::asked(&query);
    let rows = report.rows.iter().map(|row| tell::row(row, &query));
    document.insert("rows".into(), Value::Array(rows.collect()));
    document.insert("more".into(), report.next.is_some().into());
    let next = report.next.map(|cursor| cursor.0);
    document.insert("next".into(), next.into());
    Ok(Value::Object(document))
}

/// A call, what was corrected of it, and its place in the ledger's chain.
#[utoipa::path(
    get, path = "/v1/usage/calls/{id}",
    params(("id" = String, Path, description = "The call's id: 32 hexadecimal digits, perhaps with dashes")),
    responses((status = 200, body = super::described::Call))
)]
pub(super) async fn call(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Value> {
    let id = HoldId::parse(&id.replace('-', ""));
    let id = id.ok_or_else(|| {
        Wrong::parameter(
            "id",
            "this is no id of a call: it has 32 hexadecimal digits",
        )
    })?;
    let role = caller.role;
    let shown = state.usage.ask(move |store| async move {
        let shown = store.show(id).await?;
        let seen = shown.filter(|shown| role.may_see(shown.row.event.tenant.as_deref()));
        let seen = seen.ok_or_else(|| Wrong {
            parameter: Some("id"),
            ..Wrong::new(
                StatusCode::NOT_FOUND,
                "the ledger has no such call; it may be older than rows are kept",
            )
        })?;
        Ok(tell::call(&seen))
    });
    shown.await.map(Told)
}

/// The question, and what there must be most of.
fn asked(query: &str, known: &[&'static str]) -> Result<(Asked, Option<String>), Wrong> {
    let (mut asked, mut most) = (Asked::default(), None);
    let mut limit: Option<String> = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(name) = known.iter().find(|known| **known == name) else {
            let error = format!("only {} can be asked for", known.join(", "));
            return Err(Wrong::new(StatusCode::BAD_REQUEST, error));
        };
        let value = value.into_owned();
        let place = match *name {
            "by" => {
                asked.by.push(value);
                continue;
            }
            "where" => {
                asked.only.push(value);
                continue;
            }
            "since" => &mut asked.since,
            "until" => &mut asked.until,
            "time_zone" => &mut asked.time_zone,
            "order" => &mut asked.order,
            "after" => &mut asked.after,
            "limit" => &mut limit,
            _ => &mut most,
        };
        if place.replace(value).is_some() {
            return Err(Wrong::parameter(name, format!("{name} is there twice")));
        }
    }
    if let Some(limit) = limit {
        let number = limit.parse();
        let number = number.map_err(|_| Wrong::parameter("limit", "this is no number"))?;
        asked.limit = Some(number);
    }
    Ok((asked, most))
}
