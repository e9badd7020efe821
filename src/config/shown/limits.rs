//! Limits, and the rules of the rate limit service.

use crate::config::raw::limits::ENDPOINTS;
use crate::limits::period::{CalendarUnit, Period};
use crate::limits::{Algorithm, Limit, Mode, Scope};
use crate::policy::descriptors::{Domain, Domains, Entry, Pattern, Rule};
use crate::policy::{PlanLimit, When};
use crate::protocol::Endpoint;
use jiff::civil::Weekday;
use serde_json::{Map, Value, json};

pub(super) fn of_limit(of: &PlanLimit) -> Value {
    let mut shown = amounts(&of.limit);
    shown.insert("per".to_owned(), scope(of.limit.scope));
    shown.insert("hard".to_owned(), json!(of.hard));
    shown.insert("when".to_owned(), when(&of.when));
    if let Some(budget) = &of.budget {
        let warn_at = json!(budget.warn_at_per_mille);
        shown.insert("warn_at_per_mille".to_owned(), warn_at);
    }
    Value::Object(shown)
}

/// What descriptors' limits have too.
fn amounts(limit: &Limit) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("name", json!(*limit.name));
    put("unit", json!(limit.unit.as_str()));
    put("amount", json!(limit.amount));
    put("algorithm", json!(limit.algorithm.as_str()));
    match &limit.algorithm {
        Algorithm::FixedWindow { period, rollover } => {
            if let Some(rollover) = rollover {
                put("rollover", json!(rollover.most));
            }
            shown.extend(of_period(period));
        }
        Algorithm::SlidingWindow { every } => {
            put("every_ms", json!(every.0));
        }
        Algorithm::TokenBucket { every, burst } | Algorithm::LeakyBucket { every, burst } => {
            put("every_ms", json!(every.0));
            put("burst", json!(burst));
        }
        Algorithm::Concurrency => {}
    }
    shown.insert("mode".to_owned(), json!(mode(limit.mode)));
    shown
}

fn of_period(period: &Period) -> Vec<(String, Value)> {
    if period.is_forever() {
        return vec![("period".to_owned(), json!("forever"))];
    }
    let shown = match (period.length(), period.calendar_unit()) {
        (Some(every), _) => {
            let starts = match period.from_first_hit() {
                Some(_) => "first_hit",
                None => "aligned",
            };
            vec![("every_ms", json!(every.0)), ("starts", json!(starts))]
        }
        (None, Some(unit)) => {
            let (word, anchor) = match unit {
                CalendarUnit::Hour => ("hour", Value::Null),
                CalendarUnit::Day => ("day", Value::Null),
                CalendarUnit::Week(first) => ("week", json!(weekday(first))),
                CalendarUnit::Month(anchor) => ("month", json!(anchor)),
            };
            let zone = json!(period.zone_name());
            vec![("period", json!(word)), ("anchor", anchor), ("zone", zone)]
        }
        (None, None) => Vec::new(),
    };
    let shown = shown.into_iter();
    shown
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "monday",
        Weekday::Tuesday => "tuesday",
        Weekday::Wednesday => "wednesday",
        Weekday::Thursday => "thursday",
        Weekday::Friday => "friday",
        Weekday::Saturday => "saturday",
        Weekday::Sunday => "sunday",
    }
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    }
}

fn scope(scope: Scope) -> Value {
    let names: Vec<&str> = scope.dimensions().map(|one| one.as_str()).collect();
    match names.is_empty() {
        true => json!("global"),
        false => json!(names),
    }
}

/// Null: always.
fn when(when: &When) -> Value {
    if *when == When::default() {
        return Value::Null;
    }
    let When {
        models,
        tiers,
        endpoints,
        condition,
    } = when;
    json!({
        "model": models,
        "tier": tiers,
        "endpoint": endpoints.iter().map(word).collect::<Vec<_>>(),
        "condition": condition.as_ref().map(|condition| condition.as_str()),
    })
}

/// Of an endpoint, as the file has it.
pub(super) fn word(endpoint: &Endpoint) -> Value {
    let mut words = ENDPOINTS.iter();
    let known = words.find(|(_, known)| known == endpoint);
    known.map_or_else(|| json!(endpoint), |(word, _)| json!(word))
}

/// Rules by what they match, as no order of theirs counts.
pub(super) fn of_domains(domains: &Domains) -> Value {
    let all = domains.iter();
    super::named(all.map(|(name, domain)| (name, of_domain(domain))))
}

fn of_domain(domain: &Domain) -> Value {
    let rules = domain.rules();
    let mut rules: Vec<(String, Value)> = rules
        .iter()
        .map(|(entries, rule)| (matched(entries), of_rule(rule)))
        .collect();
    rules.sort_by(|(one, _), (other, _)| one.cmp(other));
    json!({
        "mode": mode(domain.mode()),
        "rules": rules.into_iter().collect::<Map<_, _>>(),
    })
}

/// As `path=/v1/*, user`.
fn matched(entries: &[Entry]) -> String {
    let parts = entries.iter().map(|entry| match &entry.value {
        Pattern::Exact(value) => format!("{}={value}", entry.key),
        Pattern::Prefix(prefix) => format!("{}={prefix}*", entry.key),
        Pattern::Any => entry.key.to_string(),
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn of_rule(rule: &Rule) -> Value {
    let limits = rule.limits().map(|limit| Value::Object(amounts(limit)));
    let limits: Vec<Value> = limits.collect();
    json!({
        "unlimited": limits.is_empty(),
        "limits": limits,
        "on_done": rule.is_on_done(),
    })
}
