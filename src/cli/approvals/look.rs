//! `weir approvals list` and `grants`.

use super::{ListArgs, Listed};
use crate::accounts::approvals::{Asked, PAGE_ROWS_MAX, State};
use crate::accounts::grants::StoredGrant;
use crate::cli::keys::stored::{block_on, now};
use crate::cli::lasting::{self, LastingArgs};
use crate::cli::terms::{all, at, print, usd, word};
use clap::ValueEnum;
use serde_json::Value;
use std::sync::Arc;

pub fn requests(args: &ListArgs) -> anyhow::Result<()> {
    let state = Some(args.state).filter(|state| *state != Listed::All);
    let state = state.and_then(|state| state.to_possible_value());
    let state = state.as_ref().map(|state| state.get_name());
    let mut rows = match args.at.server.opened()? {
        Some(server) => {
            let parameters = [("tenant", args.tenant.as_deref()), ("state", state)];
            all(&server, "/v1/approvals", "approvals", &parameters)?
        }
        None => kept(args, state.and_then(State::parse))?,
    };
    // Who waits longest comes first.
    rows.sort_by_key(|row| row["asked_at_ms"].as_u64());
    let head = [
        "ID",
        "STATE",
        "TENANT",
        "WHO",
        "RULE",
        "MODEL",
        "COST AT MOST",
        "ASKED",
        "TIMES",
        "APPROVERS",
    ];
    print(args.at.format, &rows, head, request, "nothing is asked")
}

fn kept(args: &ListArgs, state: Option<State>) -> anyhow::Result<Vec<Value>> {
    block_on(async {
        let accounts = args.at.open_to_read().await?.accounts;
        let mut asked = Asked {
            after: None,
            tenant: args.tenant.as_deref().map(Arc::from),
            state,
            now: now(),
            limit: PAGE_ROWS_MAX,
        };
        let mut rows = Vec::new();
        loop {
            let page = accounts.approvals(&asked).await?;
            let Some(last) = page.last() else { break };
            asked.after = Some(Arc::clone(&last.request.id));
            rows.extend(page.iter().map(|row| row.to_json()));
        }
        accounts.close().await;
        Ok(rows)
    })
}

fn request(row: &Value) -> [String; 10] {
    let cost = row["cost_max_nanos"].as_u64().unwrap_or_default();
    [
        word(row, "id"),
        word(row, "state"),
        word(row, "tenant"),
        who(row),
        word(row, "rule"),
        word(row, "model"),
        usd(cost),
        at(row, "asked_at_ms"),
        row["asked_count"].to_string(),
        word(row, "approvers"),
    ]
}

/// The user, or the key where it names none.
fn who(row: &Value) -> String {
    match row["user"].as_str() {
        Some(user) => user.to_owned(),
        None => format!("key {}", word(row, "key")),
    }
}

pub fn grants(args: &LastingArgs) -> anyhow::Result<()> {
    let rows = lasting::rows::<StoredGrant>(args, "/v1/grants", "grants")?;
    let head = [
        "ID", "STATE", "TENANT", "FOR", "RULE", "MODELS", "ALLOWS", "LEFT", "UNTIL", "BY",
    ];
    print(args.at.format, &rows, head, grant, "no grants")
}

fn grant(row: &Value) -> [String; 10] {
    let models = row["models"].as_array().into_iter().flatten();
    let models: Vec<&str> = models.filter_map(Value::as_str).collect();
    [
        word(row, "id"),
        word(row, "state"),
        word(row, "tenant"),
        whom(row),
        row["rule"].as_str().unwrap_or("any").to_owned(),
        match models.is_empty() {
            true => "any".to_owned(),
            false => models.join(","),
        },
        allows(row),
        left(row),
        at(row, "until_ms"),
        word(row, "granted_by"),
    ]
}

/// For whom a grant is, within the tenant.
pub fn whom(row: &Value) -> String {
    let parts = ["project", "environment", "user", "key"].into_iter();
    let parts = parts.filter_map(|part| Some(format!("{part} {}", row[part].as_str()?)));
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => "anyone".to_owned(),
        false => parts.join(", "),
    }
}

/// What is left of a grant, where a running weir has told: a database doesn't know.
fn left(row: &Value) -> String {
    match (row["left"].as_u64(), row["calls"].as_u64()) {
        (None, _) => "-".to_owned(),
        (Some(1), Some(_)) => "1 call".to_owned(),
        (Some(left), Some(_)) => format!("{left} calls"),
        (Some(left), None) => usd(left),
    }
}

/// How much a grant allows.
pub fn allows(row: &Value) -> String {
    match (row["calls"].as_u64(), row["cost_nanos"].as_u64()) {
        (Some(1), _) => "1 call".to_owned(),
        (Some(calls), _) => format!("{calls} calls"),
        (None, Some(nanos)) => usd(nanos),
        (None, None) => "unlimited".to_owned(),
    }
}
