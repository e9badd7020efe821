//! Plans: what may be used, what bounds calls, and which rules do what.

use super::limits::{mode, of_limit, word};
use crate::policy::rule::{Action, Approval, Block, Route, Rule, Swap, Throttle};
use crate::policy::{Entitlements, Guardrails, Hold, OutputRule, Over, Plan};
use serde_json::{Value, json};

pub(super) fn of_plan(plan: &Plan) -> Value {
    let Plan {
        name: _,
        limits,
        output,
        entitlements,
        guardrails,
        rules,
        time_zone,
    } = plan;
    json!({
        "limits": limits.iter().map(of_limit).collect::<Vec<_>>(),
        "output": of_output(output),
        "allow": of_entitlements(entitlements),
        "guardrails": of_guardrails(guardrails),
        "policies": rules.list.iter().map(of_rule).collect::<Vec<_>>(),
        "time_zone": time_zone.as_ref().map(|zone| zone.iana_name()),
    })
}

fn of_output(of: &OutputRule) -> Value {
    let OutputRule {
        max_tokens_default,
        max_tokens_cap,
        max_tokens_required,
        max_tokens_over,
        choices_cap,
        choices_over,
        choices_refused_over: _,
        hold,
    } = of;
    json!({
        "max_tokens_default": max_tokens_default,
        "max_tokens_cap": max_tokens_cap,
        "max_tokens_required": max_tokens_required,
        "max_tokens_over": max_tokens_over.map(over),
        "choices_cap": choices_cap,
        "choices_over": choices_over.map(over),
        "hold": match hold.unwrap_or_default() {
            Hold::Maximum => "maximum".to_owned(),
            Hold::Expected { percentile } => format!("expected at {percentile}%"),
        },
    })
}

fn over(over: Over) -> &'static str {
    match over {
        Over::Clamp => "clamp",
        Over::Refuse => "refuse",
    }
}

/// Null: all.
fn of_entitlements(of: &Entitlements) -> Value {
    let Entitlements {
        models,
        tiers,
        endpoints,
        tools,
    } = of;
    let endpoints = endpoints.as_ref();
    json!({
        "models": models.as_deref().map(super::callers::texts),
        "tiers": tiers,
        "endpoints": endpoints.map(|all| all.iter().map(word).collect::<Vec<_>>()),
        "tools": tools.as_deref().map(super::callers::texts),
    })
}

fn of_guardrails(of: &Guardrails) -> Value {
    let Guardrails {
        input_tokens_max,
        body_bytes_max,
        images_max,
        tools_max,
        forbidden,
        dropped,
    } = of;
    json!({
        "input_tokens_max": input_tokens_max,
        "body_bytes_max": body_bytes_max,
        "images_max": images_max,
        "tools_max": tools_max,
        "forbid": forbidden,
        "drop": dropped,
    })
}

/// `when` null: always.
fn of_rule(rule: &Rule) -> Value {
    let then = rule.then.iter().map(of_action);
    json!({
        "name": *rule.name,
        "when": rule.when.as_ref().map(|when| when.as_str()),
        "then": then.collect::<Vec<_>>(),
        "mode": mode(rule.mode),
    })
}

fn of_action(action: &Action) -> Value {
    match action {
        Action::Warn { message } => json!({ "warn": { "message": message } }),
        Action::Throttle(Throttle {
            delay,
            limits_per_mille,
        }) => json!({ "throttle": {
            "delay_ms": delay.map(|delay| delay.0),
            "limits_per_mille": limits_per_mille,
        } }),
        Action::ClampOutput { max_tokens } => {
            json!({ "clamp_output": { "max_tokens": max_tokens } })
        }
        Action::Downgrade(Swap { to, drop, refuse }) => {
            json!({ "downgrade": { "to": to, "drop": drop, "refuse": refuse } })
        }
        Action::Route(Route { cluster }) => json!({ "route": { "cluster": cluster } }),
        Action::RequireApproval(Approval {
            valid_for,
            approvers,
            by_tenant_admin,
            message,
        }) => json!({ "require_approval": {
            "valid_for_ms": valid_for.0,
            "approvers": approvers,
            "by": if *by_tenant_admin { "tenant_admin" } else { "operator" },
            "message": message,
        } }),
        Action::Block(Block {
            status,
            code,
            message,
        }) => json!({ "block": { "status": status, "code": code, "message": message } }),
    }
}
