//! Who is told of what, and what is wrong with it.

use super::super::shown::Shown;
use super::*;
use crate::alerts::{Form, Kind};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with(alerts: &str) -> Result<Config, String> {
    let text = format!("{GOOD}\nalerts:\n{alerts}\n");
    let outside = outside()
        .with_env("SECRET", SECRET)
        .with_env("SHORT", "whsec_c2hvcnQ=")
        .with_env("ROUTING", "R0UT1NG0fPagerDuty")
        .with_env("SLACK", "https://hooks.slack.com/services/T0/B0/s3cr3t");
    load(&text, "weir.yaml", &outside).map_err(|problems| problems.to_string())
}

#[test]
fn webhooks_are_read_and_their_secrets_are_not_shown() {
    let config = with(
        "  webhooks:
    - { name: ops, url: \"https://ops.example/s3cr3t\", form: json, secret: { env: SECRET } }
    - { name: chat, url: { env: SLACK }, form: slack, on: [budget], tenants: [acme], timeout: 3s }
    - { name: pager, form: pagerduty, routing_key: { env: ROUTING }, on: refusals }
    - { name: near, url: \"http://10.0.0.1/x\", form: slack, allow_private: true }
  refusals: { per: tenant, above: 50, every: 1m }",
    )
    .unwrap();
    let alerts = &config.alerts;
    let [ops, chat, pager, near] = &alerts.webhooks[..] else {
        panic!();
    };
    assert_eq!((ops.form, &ops.on[..]), (Form::Json, &Kind::ALL[..]));
    assert!(ops.signing_key.is_some() && !ops.allow_private && near.allow_private);
    assert!(chat.wants(Kind::Budget, Some("acme")));
    assert!(!chat.wants(Kind::Budget, Some("globex")) && !chat.wants(Kind::Approval, Some("acme")));
    assert_eq!((chat.timeout, ops.timeout), (Millis(3_000), Millis(10_000)));
    assert_eq!(
        pager.url.expose(),
        "https://events.pagerduty.com/v2/enqueue"
    );
    let refusals = alerts.refusals.unwrap();
    assert_eq!((refusals.above, refusals.every), (50, Millis(60_000)));
    for text in [
        format!("{config:?}"),
        Shown::of(&config).value().to_string(),
    ] {
        for secret in ["s3cr3t", "R0UT1NG", "MfKQ9r8", "hooks.slack"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    assert_eq!(
        Shown::of(&config).value()["alerts"]["webhooks"][0]["url"],
        "(hidden)"
    );
    let without = load(GOOD, "weir.yaml", &outside()).unwrap();
    assert!(without.alerts.webhooks.is_empty());
}

#[test]
fn what_is_wrong_with_alerts_is_said_at_once_and_without_secrets() {
    let error = with(
        "  webhooks:
    - { name: a, url: \"http://ops.example/s3cr3t\", form: json }
    - { name: a, url: \"https://u:s3cr3t@ops.example/\", form: slack, secret: { env: SECRET } }
    - { name: c, form: json, secret: { env: SHORT } }
    - { name: d, form: pagerduty, on: [budgets] }
    - { name: e, url: \"https://ops.example\", form: teams, on: [refusals], timeout: 1ms }
    - { url: \"s3cr3t\", form: slack, tenants: [], allow_private: 1 }
    - { name: g, url: { env: NONE }, form: slack, ca_file: /none.pem }
  refusal: {}",
    )
    .unwrap_err();
    for part in [
        "alerts.webhooks[0].url: must be https:// (http:// only with allow_private: true) (not shown here)",
        "alerts.webhooks[0]: needs secret: form json has one, as { env: NAME } or { file: PATH }",
        "alerts.webhooks[1].name: is the name of another webhook too",
        "alerts.webhooks[1].url: must have no user and no password (not shown here)",
        "alerts.webhooks[1].secret.env: has a meaning for form json only",
        "alerts.webhooks[2]: needs url: where alerts are posted to",
        "alerts.webhooks[2].secret.env: must be whsec_ and base64 of 24 to 64 bytes (not shown here)",
        "alerts.webhooks[3]: needs routing_key: form pagerduty has one",
        "alerts.webhooks[3].on[0]: must be one of budget, approval, refusals (got \"budgets\"); did you mean \"budget\"?",
        "alerts.webhooks[4].form: must be one of json, slack, pagerduty (got \"teams\")",
        "alerts.webhooks[4].on[0]: needs alerts.refusals, as { above: 50, every: 1m }",
        "alerts.webhooks[4].timeout: ",
        "alerts.webhooks[5].name: is required",
        "alerts.webhooks[5].url: must be a URL as https://host:port/path (not shown here)",
        "alerts.webhooks[5].tenants: must have at least one entry",
        "alerts.webhooks[5].allow_private: must be true or false",
        "alerts.webhooks[6].url.env: ",
        "alerts.webhooks[6].ca_file: ",
        "alerts.refusal: unknown field; did you mean \"refusals\"?",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    for secret in ["s3cr3t", "c2hvcnQ"] {
        assert!(!error.contains(secret), "{error}");
    }
    let error = with("  refusals: { per: user, above: 0, every: 1ms }").unwrap_err();
    for part in [
        "alerts.webhooks: is required",
        "alerts.refusals.per: must be one of tenant",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
