//! Who is told of what, besides callers.

use super::secrets::{HIDDEN, Secrets};
use crate::config::AlertsConfig;
use serde_json::{Value, json};

pub(super) fn of_alerts(alerts: &AlertsConfig, secrets: &mut Secrets) -> Value {
    let mut all = Vec::new();
    let webhooks = alerts.webhooks.iter().map(|of| {
        let on: Vec<&str> = of.on.iter().map(|kind| kind.as_str()).collect();
        for secret in [Some(&of.url), of.routing_key.as_ref()]
            .into_iter()
            .flatten()
        {
            all.extend_from_slice(secret.expose().as_bytes());
            all.push(0);
        }
        json!({
            "name": *of.name,
            // A URL may be all that is needed to write there.
            "url": HIDDEN,
            "form": of.form.as_str(),
            "secret": of.signing_key.as_ref().map(|_| HIDDEN),
            "routing_key": of.routing_key.as_ref().map(|_| HIDDEN),
            "on": on,
            "tenants": of.tenants,
            "allow_private": of.allow_private,
            "ca": of.ca_pem.is_some(),
            "timeout_ms": of.timeout.0,
        })
    });
    let webhooks: Vec<Value> = webhooks.collect();
    // Of all of them together: there are few.
    let _ = secrets.hide_bytes("alerts.webhooks", (!all.is_empty()).then_some(all));
    json!({
        "webhooks": webhooks,
        "refusals": alerts.refusals.map(|of| {
            json!({ "per": "tenant", "above": of.above, "every_ms": of.every.0 })
        }),
    })
}
