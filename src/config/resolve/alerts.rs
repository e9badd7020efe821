//! Who is told of what, checked as far as that goes without asking them.
//!
//! Always holds: no problem repeats a URL, which may be all that is needed to write
//! to somebody's channel, or a secret.

use super::receivers::{Kind as UrlKind, fault, is_https};
use super::{certificates, elsewhere, where_set};
use crate::alerts::{Form, Kind, SigningKey};
use crate::config::alerts::{AlertsConfig, RefusalsAlert, WebhookSettings};
use crate::config::outside::Outside;
use crate::config::problem::{At, Findings};
use crate::config::raw::alerts::{RawAlerts, RawRefusals, RawUrl, RawWebhook};
use crate::config::reader::Located;
use crate::config::secret::{Secret, SecretSource};
use crate::units::Millis;
use std::collections::HashSet;
use std::sync::Arc;

const TIMEOUT_DEFAULT: Millis = Millis(10_000);

/// Where PagerDuty takes events, where nothing else is said.
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// `None` after a problem.
pub(super) fn alerts(
    raw: Option<RawAlerts>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<AlertsConfig> {
    let Some(raw) = raw else {
        return Some(AlertsConfig::default());
    };
    let counted = raw.refusals.is_some();
    let mut names: HashSet<Arc<str>> = HashSet::new();
    let mut webhooks = Vec::new();
    for raw in raw.webhooks {
        if let Some(name) = &raw.name
            && !names.insert(Arc::clone(&name.value))
        {
            findings.problem(&name.at, "is the name of another webhook too");
        }
        webhooks.push(webhook(raw, counted, outside, findings));
    }
    Some(AlertsConfig {
        webhooks: webhooks.into_iter().collect::<Option<_>>()?,
        refusals: where_set(raw.refusals.map(|raw| refusals(&raw)))?,
    })
}

fn refusals(raw: &RawRefusals) -> Option<RefusalsAlert> {
    Some(RefusalsAlert {
        above: raw.above.as_ref()?.value,
        every: raw.every.as_ref()?.value,
    })
}

fn webhook(
    raw: RawWebhook,
    counted: bool,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<WebhookSettings> {
    let form = raw.form.as_ref().map(|form| form.value);
    let on = on(raw.on, counted, findings);
    let url = url(raw.url, form, &raw.at, raw.allow_private, outside, findings);
    let signing_key = own(
        (raw.secret, "secret"),
        (form, Form::Json),
        &raw.at,
        findings,
    );
    let signing_key = signing_key.map(|source| signing_key_of(source, outside, findings));
    let routing_key = own(
        (raw.routing_key, "routing_key"),
        (form, Form::PagerDuty),
        &raw.at,
        findings,
    );
    let routing_key = routing_key.map(|source| routing_key_of(source, outside, findings));
    let ca_pem = raw.ca_file.as_ref();
    let ca_pem = ca_pem.map(|path| certificates(path, outside, findings));
    let url = url?;
    if let Some(path) = &raw.ca_file
        && !is_https(url.expose())
    {
        findings.problem(&path.at, "has no meaning for http://");
    }
    Some(WebhookSettings {
        name: raw.name?.value,
        url,
        form: form?,
        signing_key: where_set(signing_key)?,
        routing_key: where_set(routing_key)?,
        on: on?,
        tenants: raw.tenants,
        allow_private: raw.allow_private,
        ca_pem: where_set(ca_pem)?,
        timeout: raw.timeout.map_or(TIMEOUT_DEFAULT, |span| span.value),
    })
}

fn on(raw: Option<Vec<Located<Kind>>>, counted: bool, findings: &Findings) -> Option<Vec<Kind>> {
    let Some(raw) = raw else {
        return Some(Kind::ALL.to_vec());
    };
    let uncounted = |kind: &&Located<Kind>| kind.value == Kind::Refusals && !counted;
    if let Some(kind) = raw.iter().find(uncounted) {
        let rule = "needs alerts.refusals, as { above: 50, every: 1m }";
        findings.problem(&kind.at, rule);
        return None;
    }
    Some(raw.into_iter().map(|kind| kind.value).collect())
}

fn url(
    raw: Option<Option<RawUrl>>,
    form: Option<Form>,
    at: &At,
    allow_private: bool,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Secret> {
    let (url, at) = match raw {
        Some(raw) => match raw? {
            RawUrl::Written(url) => (url.value, url.at),
            RawUrl::Elsewhere(source) => (elsewhere(&source, outside, findings)?, source.at),
        },
        None if form == Some(Form::PagerDuty) => return Some(Secret::new(PAGERDUTY_URL.into())),
        None => {
            findings.problem(at, "needs url: where alerts are posted to");
            return None;
        }
    };
    let kind = UrlKind::Webhook { allow_private };
    if let Some(fault) = fault(url.expose(), kind, false) {
        findings.problem(&at, format!("{fault} (not shown here)"));
        return None;
    }
    Some(url)
}

/// What one form needs, and no other has.
fn own(
    (source, name): (Option<Option<Located<SecretSource>>>, &str),
    (form, needs): (Option<Form>, Form),
    at: &At,
    findings: &Findings,
) -> Option<Option<Located<SecretSource>>> {
    let form = form?;
    match (&source, form == needs) {
        (None, true) => {
            let form = form.as_str();
            let rule = format!(
                "needs {name}: form {form} has one, as {{ env: NAME }} or {{ file: PATH }}"
            );
            findings.problem(at, rule);
            Some(None)
        }
        (Some(Some(source)), false) => {
            let needs = needs.as_str();
            findings.problem(&source.at, format!("has a meaning for form {needs} only"));
            Some(None)
        }
        _ => source,
    }
}

fn signing_key_of(
    source: Option<Located<SecretSource>>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<SigningKey> {
    let source = source?;
    let key = SigningKey::parse(elsewhere(&source, outside, findings)?.expose());
    if key.is_none() {
        let rule = "must be whsec_ and base64 of 24 to 64 bytes (not shown here)";
        findings.problem(&source.at, rule);
    }
    key
}

fn routing_key_of(
    source: Option<Located<SecretSource>>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Secret> {
    let source = source?;
    let key = elsewhere(&source, outside, findings)?;
    if key
        .expose()
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric())
    {
        return Some(key);
    }
    findings.problem(&source.at, "must be letters and digits (not shown here)");
    None
}
