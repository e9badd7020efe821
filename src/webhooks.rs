//! Alerts on their way out: posted to webhooks, signed.
//!
//! Always holds: nothing is followed elsewhere; only the address that was looked at
//! is connected to, and none that is private or reserved, unless that is allowed; a
//! request and its answer have a bound in time and size; what is told of a failure
//! has no URL, no secret and none of the receiver's words.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | it arrived |
//! | 400, 410, 413, 415, 422 | it never will |
//! | anything else, or none | it is tried again |

use crate::alerts::signature::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::alerts::{Alert, address, body};
use crate::config::{Secret, WebhookSettings};
use crate::ledger::sinks::endpoint::{Endpoint, EndpointConfig, EndpointError, Plain};
use crate::ledger::sinks::http::Client;
use crate::units::UnixMillis;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

/// Where alerts are posted to.
#[derive(Debug)]
pub struct Webhook {
    settings: WebhookSettings,
    client: Client,
}

/// Why an alert did not arrive. Fit to be kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotSent {
    pub why: String,
    /// Another try would come to the same.
    pub for_good: bool,
}

impl Webhook {
    /// Checks its address; connects when the first alert is sent. May read the
    /// system's certificates: call it before serving.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(settings: &WebhookSettings) -> Result<Self, EndpointError> {
        let config = EndpointConfig {
            url: settings.url.expose().to_owned(),
            ca_pem: settings.ca_pem.clone(),
            credential: None,
        };
        let allow_private = settings.allow_private;
        let plain = match allow_private {
            true => Plain::WithoutCredential,
            false => Plain::ThisMachine,
        };
        let endpoint = Endpoint::new(config, b"http/1.1", plain)?;
        let endpoint = endpoint.guarded(move |of| address::is_allowed(of, allow_private));
        Ok(Self {
            client: Client::new(endpoint, settings.timeout.into()),
            settings: settings.clone(),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    pub fn settings(&self) -> &WebhookSettings {
        &self.settings
    }

    /// Sends an alert, once. A receiver knows by the id that it has it already.
    ///
    /// # Errors
    /// [`NotSent`].
    pub async fn send(&mut self, alert: &Alert, now: UnixMillis) -> Result<(), NotSent> {
        let of = &self.settings;
        let routing_key = of.routing_key.as_ref().map_or("", Secret::expose);
        let body = body::body(alert, of.form, routing_key).to_string();
        let headers = headers(of, &alert.id, now, body.as_bytes());
        let headers = headers.ok_or_else(|| NotSent {
            why: "its headers can't be made".to_owned(),
            for_good: true,
        })?;
        let reply = self.client.post(&headers, body.into()).await;
        let status = reply.map_err(|why| NotSent {
            why,
            for_good: false,
        })?;
        match status.status {
            200..=299 => Ok(()),
            status @ 300..=399 => Err(NotSent {
                why: format!("answered {status}: a redirect, which is not followed"),
                for_good: false,
            }),
            status => Err(NotSent {
                why: format!("answered {status}"),
                for_good: matches!(status, 400 | 410 | 413 | 415 | 422),
            }),
        }
    }
}

fn headers(of: &WebhookSettings, id: &str, now: UnixMillis, body: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &of.signing_key {
        let at_secs = now.0 / 1_000;
        for (name, value) in [
            (ID_HEADER, id.to_owned()),
            (TIMESTAMP_HEADER, at_secs.to_string()),
            (SIGNATURE_HEADER, key.sign(id, at_secs, body)),
        ] {
            let value = HeaderValue::from_str(&value).ok()?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Some(headers)
}

#[cfg(test)]
pub(crate) mod tests;
