//! What is sent: weir's own JSON, Slack's, PagerDuty's.
//!
//! Slack: <https://api.slack.com/messaging/webhooks>. PagerDuty's Events API v2:
//! <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>.
//!
//! Always holds: names of others' making are text there, never markup or mentions;
//! bodies have a bound, as names have.

use super::alert::{Alert, Facts};
use crate::units::UnixMillis;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    Json,
    Slack,
    PagerDuty,
}

/// PagerDuty takes 1,024 characters, a Slack text 3,000.
const SUMMARY_CHARS_MAX: usize = 1_000;

/// Of a Slack header.
const TITLE_CHARS_MAX: usize = 150;

const NANOS_IN_CENT: u64 = 10_000_000;

impl Form {
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Slack => "slack",
            Form::PagerDuty => "pagerduty",
        }
    }
}

/// The body for a receiver. PagerDuty's own has the routing key.
pub fn body(alert: &Alert, form: Form, routing_key: &str) -> Value {
    match form {
        Form::Json => generic(alert),
        Form::Slack => slack(alert),
        Form::PagerDuty => pagerduty(alert, routing_key),
    }
}

/// `{type, id, at, tenant}`, and a field with what is of its type.
pub fn generic(alert: &Alert) -> Value {
    let mut all = json!({
        "type": alert.kind().event_type(),
        "id": alert.id,
        "at": time(alert.at),
        "tenant": alert.tenant,
    });
    // A map with one field, named as its kind.
    let facts = serde_json::to_value(&alert.facts).unwrap_or_default();
    if let (Some(all), Value::Object(facts)) = (all.as_object_mut(), facts) {
        all.extend(facts);
    }
    all
}

fn slack(alert: &Alert) -> Value {
    let text = summary(alert);
    json!({
        // Read as markup where blocks aren't shown.
        "text": escaped(&text),
        "blocks": [
            {
                "type": "header",
                "text": { "type": "plain_text", "text": cut(title(alert), TITLE_CHARS_MAX), "emoji": false },
            },
            {
                "type": "section",
                "text": { "type": "plain_text", "text": text, "emoji": false },
            },
            {
                "type": "context",
                "elements": [
                    { "type": "plain_text", "text": format!("{} {}", time(alert.at), alert.id), "emoji": false },
                ],
            },
        ],
    })
}

fn pagerduty(alert: &Alert, routing_key: &str) -> Value {
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": alert.id,
        "payload": {
            "summary": summary(alert),
            "source": "weir",
            "severity": severity(alert),
            "timestamp": time(alert.at),
            "component": alert.tenant,
            "class": alert.kind().event_type(),
            "custom_details": generic(alert),
        },
    })
}

fn severity(alert: &Alert) -> &'static str {
    match &alert.facts {
        Facts::Budget {
            threshold_per_mille: 1_000..,
            ..
        } => "critical",
        Facts::Budget {
            threshold_per_mille: 900..,
            ..
        }
        | Facts::Refusals { .. } => "error",
        Facts::Budget { .. } | Facts::Approval { .. } => "warning",
        Facts::Test {} => "info",
    }
}

fn title(alert: &Alert) -> &'static str {
    match &alert.facts {
        Facts::Budget { refused: true, .. } => "A budget is used up",
        Facts::Budget { .. } => "A budget passed a threshold",
        Facts::Approval { .. } => "A call waits for approval",
        Facts::Refusals { .. } => "Many calls are refused",
        Facts::Test {} => "A test of weir's alerts",
    }
}

/// One sentence.
pub fn summary(alert: &Alert) -> String {
    let tenant = alert.tenant.as_deref().unwrap_or("-");
    let text = match &alert.facts {
        Facts::Budget {
            name,
            of,
            unit,
            threshold_per_mille,
            used,
            amount,
            refused,
            period_ends_at_ms,
        } => {
            let of = of.iter().map(|(what, whose)| format!(" of {what} {whose}"));
            let of: String = of.collect();
            let amounts = format!("{} of {}", much(*used, unit), much(*amount, unit));
            let ends = period_ends_at_ms.map(|at| format!("; it ends {}", time(UnixMillis(at))));
            let ends = ends.unwrap_or_default();
            match refused {
                true => format!(
                    "{tenant}: budget {name}{of} is used up and refuses calls ({amounts}{ends})"
                ),
                false => {
                    let percent = percent(*threshold_per_mille);
                    format!("{tenant}: budget {name}{of} is over {percent}% ({amounts}{ends})")
                }
            }
        }
        Facts::Approval {
            request,
            rule,
            model,
            user,
            cost_max_nanos,
            approvers,
            ..
        } => {
            let who = user.as_deref().unwrap_or("someone");
            let cost = much(*cost_max_nanos, "cost");
            let asks = approvers.as_deref().map(|who| format!(" Ask {who}."));
            let asks = asks.unwrap_or_default();
            format!(
                "{tenant}: {who} asks for {model}, at most {cost} a call, which rule {rule} \
                 wants approved: weir approvals grant {request}.{asks}"
            )
        }
        Facts::Refusals {
            count, every_ms, ..
        } => {
            let secs = every_ms / 1_000;
            format!("{tenant}: {count} calls were refused within {secs} s, and it may be more")
        }
        Facts::Test {} => "weir sends alerts here".to_owned(),
    };
    cut(&text, SUMMARY_CHARS_MAX)
}

/// `80`, `12.5`.
fn percent(per_mille: u64) -> String {
    match per_mille % 10 {
        0 => (per_mille / 10).to_string(),
        rest => format!("{}.{rest}", per_mille / 10),
    }
}

/// `81.23 USD`, rounded down, or `5000 tokens`.
fn much(amount: u64, unit: &str) -> String {
    if unit != "cost" {
        return format!("{amount} {unit}");
    }
    let cents = amount / NANOS_IN_CENT;
    format!("{}.{:02} USD", cents / 100, cents % 100)
}

/// RFC 3339.
pub fn time(at: UnixMillis) -> String {
    let moment = i64::try_from(at.0).ok();
    let moment = moment.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| format!("{} ms", at.0), |moment| moment.to_string())
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// As Slack's texts want it: <https://api.slack.com/reference/surfaces/formatting#escaping>.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::alert::tests::{passed, request};
    use super::*;
    use crate::units::Millis;
    use std::sync::Arc;

    /// 2026-11-27T10:00:00Z.
    const NOW: UnixMillis = UnixMillis(1_795_773_600_000);

    fn budget(per_mille: u64, refused: bool) -> Alert {
        Alert::budget(&"acme".into(), &passed(per_mille, 60_000), refused, NOW)
    }

    fn refusals(tenant: &str) -> Alert {
        let tenant: Arc<str> = tenant.into();
        Alert::refusals(&tenant, 51, 50, (Millis(60_000), UnixMillis(120_000)), NOW)
    }

    #[test]
    fn the_generic_body_has_what_it_is_of() {
        let alert = budget(800, false);
        let expected = json!({
            "type": "budget.threshold",
            "id": alert.id,
            "at": "2026-11-27T10:00:00Z",
            "tenant": "acme",
            "budget": {
                "name": "monthly",
                "of": { "user": "ada" },
                "unit": "cost",
                "threshold_per_mille": 800,
                "used": 81_234_000_000u64,
                "amount": 100_000_000_000u64,
                "refused": false,
                "period_ends_at_ms": 1_795_773_660_000u64,
            },
        });
        assert_eq!(body(&alert, Form::Json, "k"), expected);
        let approval = body(&Alert::approval(&request(NOW.0), NOW), Form::Json, "");
        assert_eq!(approval["type"], "approval.waiting");
        assert_eq!(approval["approval"]["request"], "apr_1");
        assert!(
            !approval.to_string().contains("k1"),
            "no key, not even its name"
        );
        let refused = body(&refusals("acme"), Form::Json, "");
        assert_eq!(
            (&refused["type"], &refused["refusals"]["count"]),
            (&json!("refusals.rate"), &json!(51))
        );
        let test = body(&Alert::test("ops", NOW), Form::Json, "");
        assert_eq!(
            (&test["type"], &test["tenant"]),
            (&json!("test"), &Value::Null)
        );
    }

    #[test]
    fn each_kind_has_its_sentence_and_severity() {
        let approval = Alert::approval(&request(NOW.0), NOW);
        for (alert, severity, text) in [
            (
                budget(125, false),
                "warning",
                "acme: budget monthly of user ada is over 12.5% (81.23 USD of 100.00 USD; it ends 2026-11-27T10:01:00Z)",
            ),
            (
                budget(900, false),
                "error",
                "acme: budget monthly of user ada is over 90% (81.23 USD of 100.00 USD; it ends 2026-11-27T10:01:00Z)",
            ),
            (
                budget(900, true),
                "critical",
                "acme: budget monthly of user ada is used up and refuses calls (81.23 USD of 100.00 USD; it ends 2026-11-27T10:01:00Z)",
            ),
            (
                approval,
                "warning",
                "acme: ada asks for gpt, at most 5.25 USD a call, which rule big wants approved: weir approvals grant apr_1. Ask finance@acme.com.",
            ),
            (
                refusals("acme"),
                "error",
                "acme: 51 calls were refused within 60 s, and it may be more",
            ),
            (Alert::test("ops", NOW), "info", "weir sends alerts here"),
        ] {
            let sent = body(&alert, Form::PagerDuty, "R0UT1NG");
            assert_eq!(sent["payload"]["summary"], text);
            assert_eq!(sent["payload"]["severity"], severity);
            assert_eq!(sent["dedup_key"], *alert.id);
            assert_eq!(
                (&sent["routing_key"], &sent["event_action"]),
                (&json!("R0UT1NG"), &json!("trigger"))
            );
            assert_eq!(sent["payload"]["custom_details"], generic(&alert));
            let slack = body(&alert, Form::Slack, "R0UT1NG");
            assert_eq!(slack["text"], text);
            assert_eq!(slack["blocks"][1]["text"]["text"], text);
            assert!(!slack.to_string().contains("R0UT1NG"));
        }
    }

    #[test]
    fn names_mention_nobody_and_bodies_have_a_bound() {
        let slack = body(&refusals("<!channel> & co"), Form::Slack, "");
        let text = slack["text"].as_str().unwrap();
        assert!(text.starts_with("&lt;!channel&gt; &amp; co: 51"), "{text}");
        assert_eq!(slack["blocks"][1]["text"]["type"], "plain_text");
        let long = refusals(&"ü".repeat(5_000));
        assert_eq!(summary(&long).chars().count(), SUMMARY_CHARS_MAX);
    }
}
