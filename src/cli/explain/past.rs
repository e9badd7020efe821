//! A call of the ledger: what became of it, what the configuration that is here says of
//! each rule and limit that had to do with it, and how it would judge the call as limits
//! stood then.

use super::Form;
use crate::app;
use crate::cli::source::{self, ByItself, Use};
use crate::cli::usage::call;
use crate::cli::usage::format::table::{columns, printable};
use crate::config::{Config, Process};
use crate::driver::explain_past;
use crate::exchange::UsageEvent;
use crate::exchange::explain::Explanation;
use crate::identity::Principal;
use crate::ledger::reports::money::{exact, grouped};
use crate::ledger::store::Store;
use crate::limits::HoldId;
use crate::policy::rule::Rule;
use crate::policy::{Plan, PlanLimit, Snapshot};
use anyhow::bail;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Before how a call of then is judged now.
const JUDGED: &str = "\nhow the configuration judges it, as limits stood when it began: used is what \
                      the ledger has of calls that had ended by then; of those that slide or drip, \
                      of calls in flight, headers and metadata nothing is known any more\n\n";

pub(super) fn explained(
    config: Option<&Path>,
    ledger: &ByItself,
    id: &str,
    format: Form,
) -> anyhow::Result<String> {
    let config = match config {
        Some(path) => Some((path, source::policy(path, &Process)?)),
        None => None,
    };
    let id = call::id(id)?;
    let found = ledger.or_of(
        config.as_ref().map(|(path, config)| (*path, config)),
        Use::Read,
        &Process,
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let config = config.as_ref().map(|(_, config)| config);
    let read = runtime.block_on(async {
        let store = found.open_to_read().await?;
        let read = read(&store, id, config).await;
        store.close().await;
        read
    })?;
    let Some((event, judged)) = read else {
        bail!("{}", call::no_call(id));
    };
    let mut told = told(&event, config);
    if let Some(judged) = judged {
        told["judged"] = serde_json::to_value(judged)?;
    }
    match format {
        Form::Json => Ok(format!("{told:#}\n")),
        Form::Text => Ok(text(&told)),
    }
}

/// A call, and how the configuration judges it, if there is one and the row tells enough.
async fn read(
    store: &Store,
    id: HoldId,
    config: Option<&Config>,
) -> anyhow::Result<Option<(UsageEvent, Option<Explanation>)>> {
    let Some(shown) = store.show(id).await? else {
        return Ok(None);
    };
    let event = shown.row.event;
    let judged = match config {
        Some(config) => {
            let snapshot = Arc::new(config.snapshot.clone());
            explain_past(store, &snapshot, app::settings(config), &event).await?
        }
        None => None,
    };
    Ok(Some((event, judged)))
}

/// What is told of a call.
pub(super) fn told(event: &UsageEvent, config: Option<&Config>) -> Value {
    let names = names(event);
    let now = config.map(|config| {
        let said = names.iter().map(|name| {
            let said = said(event, &config.snapshot, name);
            (name.clone(), said.into())
        });
        Value::Object(said.collect())
    });
    json!({
        "id": event.id.to_string(),
        "started_at_ms": event.started_at_ms.0,
        "outcome": event.outcome.as_str(),
        "status": event.status,
        "tenant": event.tenant, "project": event.project, "environment": event.environment,
        "user": event.user, "key": event.key_id, "plan": event.plan,
        "refusal": event.refusal, "refused_by": event.refused_by,
        "would_refuse": event.would_refuse, "actions": event.actions,
        "model_asked": event.model_asked.as_ref().or(event.model.as_ref()),
        "model_charged": event.model,
        "model_served": event.model_served,
        "reserved_tokens": event.reserved_tokens,
        "used_tokens": event.known.map(|_| event.total_tokens()),
        "cost_nanos": event.cost_nanos,
        "now": now,
    })
}

/// Rules and limits that had to do with it.
fn names(event: &UsageEvent) -> BTreeSet<String> {
    let of_action = |action: &Arc<str>| {
        let action = action.strip_prefix("shadow:").unwrap_or(action);
        let name = action.rsplit_once(':').map_or(action, |(name, _)| name);
        name.to_owned()
    };
    // Where neither refused it, the kind stands there again.
    let by = event
        .refused_by
        .as_ref()
        .filter(|by| Some(*by) != event.refusal.as_ref());
    let limits = by.into_iter().chain(&event.would_refuse);
    let limits = limits.map(|name| name.to_string());
    limits.chain(event.actions.iter().map(of_action)).collect()
}

/// What a configuration says by that name of such a call.
fn said(event: &UsageEvent, snapshot: &Snapshot, name: &str) -> String {
    let principal = principal(event, snapshot);
    let terms = principal.as_ref().and_then(|who| snapshot.terms(who));
    let Some(terms) = terms else {
        return "its tenant is on no plan here".to_owned();
    };
    let own = principal.as_ref().and_then(|who| snapshot.own_limits(who));
    let mut found = Vec::new();
    for plan in terms.layers() {
        let rules = plan.rules.list.iter().filter(|rule| *rule.name == *name);
        found.extend(rules.map(|one| rule(plan, one)));
        let limits = plan.limits.iter().filter(|one| *one.limit.name == *name);
        found.extend(limits.map(|one| limit(&plan.name, one)));
    }
    let others = own.into_iter().flatten().map(|one| ("the key", one));
    let shared = snapshot.shared.iter().map(|one| ("all tenants", one));
    let others = others
        .chain(shared)
        .filter(|(_, one)| *one.limit.name == *name);
    found.extend(others.map(|(of, one)| limit(of, one)));
    match found.is_empty() {
        true => "nothing of this name is here any more".to_owned(),
        false => found.join("; "),
    }
}

/// Who made the call, on the plan that they are on now.
fn principal(event: &UsageEvent, snapshot: &Snapshot) -> Option<Principal> {
    let tenant = event.tenant.as_ref()?;
    Some(Principal {
        tenant: Arc::clone(tenant),
        project: event.project.clone(),
        environment: event.environment.clone(),
        user: event.user.clone(),
        key_id: event.key_id.clone().unwrap_or_else(|| "".into()),
        plan: Arc::clone(snapshot.plan_of(tenant)?),
        labels: event.labels.clone(),
        scopes: None,
        limits: (event.key_id.as_ref())
            .and_then(|id| snapshot.keys.by_id(id)?.account().limits.clone()),
    })
}

fn rule(plan: &Plan, rule: &Rule) -> String {
    let when = rule.when.as_ref().map_or("always", |when| when.as_str());
    let then: Vec<&str> = rule.then.iter().map(|action| action.as_str()).collect();
    let mode = match rule.mode {
        crate::limits::Mode::Enforce => "",
        crate::limits::Mode::Shadow => ", in shadow mode",
    };
    format!(
        "a rule of {}{mode}: when {when}, then {}",
        plan.name,
        then.join(", ")
    )
}

fn limit(of: &str, one: &PlanLimit) -> String {
    let limit = &one.limit;
    let kind = if one.budget.is_some() {
        "budget"
    } else {
        "limit"
    };
    let amount = match limit.unit {
        crate::limits::Unit::Cost => format!("${}", exact(limit.amount.into())),
        unit => format!("{} {}", grouped(limit.amount.into()), unit.as_str()),
    };
    format!(
        "a {kind} of {of}: {amount} per {}, {}",
        limit.scope,
        limit.algorithm.as_str()
    )
}

fn text(told: &Value) -> String {
    let mut lines = Vec::new();
    let shown = |value: &Value| match value {
        Value::String(text) => Some(printable(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(all) if !all.is_empty() => {
            let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
            Some(printable(&all.join(", ")))
        }
        _ => None,
    };
    for (name, value) in told.as_object().into_iter().flatten() {
        let text = match (name.as_str(), value.as_i64()) {
            ("cost_nanos", Some(nanos)) => Some(format!("${}", exact(nanos.into()))),
            _ => shown(value),
        };
        let name = name
            .strip_suffix("_nanos")
            .unwrap_or(name)
            .replace('_', " ");
        lines.extend(text.map(|text| vec![name, text]));
    }
    let mut text = columns(&lines, 2);
    let now: Vec<Vec<String>> = (told["now"].as_object().into_iter().flatten())
        .map(|(name, said)| {
            vec![
                format!("  {}", printable(name)),
                said.as_str().map_or_else(String::new, printable),
            ]
        })
        .collect();
    if !now.is_empty() {
        text += "\nwhat the configuration says now\n";
        text += &columns(&now, 2);
    }
    if told["judged"].is_object() {
        text += JUDGED;
        text += &super::text::of(&told["judged"]);
    }
    text
}

#[cfg(test)]
mod tests;
