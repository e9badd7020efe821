//! Users of an OpenID Connect provider. Its keys are read anew where their file has
//! changed; what can't be read leaves the ones that count in place.

use super::super::answer::Wrong;
use super::super::caller::{Caller, Known};
use crate::config::{JWKS_BYTES_MAX, OidcConfig, Outside, Process};
use crate::expressions::Facts;
use crate::identity::Role;
use crate::identity::jwt::PublicKeys;
use crate::units::{Millis, UnixMillis};
use axum::http::StatusCode;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// How often the file is looked at, where anybody asks.
const LOOK_EVERY: Millis = Millis(5_000);

/// The longest `sub`, as OpenID Connect Core 1.0, section 2, bounds it.
const SUBJECT_BYTES_MAX: usize = 255;

pub(super) struct Oidc {
    config: OidcConfig,
    keys: Mutex<Keys>,
}

struct Keys {
    keys: PublicKeys,
    /// As they were read last, right or wrong.
    text: Vec<u8>,
    look_at: UnixMillis,
}

impl Oidc {
    pub fn new(config: OidcConfig) -> Self {
        let keys = Keys {
            keys: config.keys.clone(),
            text: Vec::new(),
            look_at: UnixMillis(0),
        };
        Self {
            config,
            keys: Mutex::new(keys),
        }
    }

    pub fn caller(&self, token: &str, now: UnixMillis) -> Result<Caller, Wrong> {
        let keys = self.keys(now, &Process);
        let claims = keys.claims(token, &self.config.expected, now);
        let claims =
            claims.map_err(|error| Wrong::new(StatusCode::UNAUTHORIZED, error.to_string()))?;
        let subject = claims["sub"].as_str().filter(|subject| {
            let good = !subject.is_empty() && !subject.contains(char::is_control);
            good && subject.len() <= SUBJECT_BYTES_MAX
        });
        let Some(subject) = subject else {
            let error = "the token has no sub that can be told of";
            return Err(Wrong::new(StatusCode::UNAUTHORIZED, error));
        };
        let role = self.role(&claims);
        let role = role.ok_or_else(|| Wrong::forbidden("admin.oidc.role gives you no role"))?;
        let end = claims["exp"].as_u64();
        Ok(Caller {
            name: format!("oidc/{subject}").into(),
            role,
            ends_at: end.map(|secs| UnixMillis(secs.saturating_mul(1_000))),
            by: Known::Token,
        })
    }

    fn role(&self, claims: &Value) -> Option<Role> {
        let facts = Facts::of("claims", claims).ok()?;
        let role = self.config.role.evaluate(&facts).ok()?;
        let tenant = match (&self.config.tenant, role.as_str()?) {
            (Some(tenant), "tenant-admin") => tenant.evaluate(&facts).ok()?,
            _ => Value::Null,
        };
        Role::new(
            role.as_str()?,
            tenant.as_str().filter(|name| !name.is_empty()),
        )
        .ok()
    }

    fn keys(&self, now: UnixMillis, outside: &dyn Outside) -> PublicKeys {
        let known = self.keys.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.config.keys_path
            && now >= known.look_at
        {
            known.look_at = now + LOOK_EVERY;
            match outside.file(path, JWKS_BYTES_MAX) {
                Ok(text) if text == known.text => {}
                Ok(text) => {
                    let read = std::str::from_utf8(&text).ok().map(PublicKeys::read);
                    match read {
                        Some(Ok(keys)) => known.keys = keys,
                        _ => tracing::warn!("admin.oidc.jwks can't be used; the keys before stay"),
                    }
                    known.text = text;
                }
                Err(error) => tracing::warn!(%error, "admin.oidc.jwks can't be read"),
            }
        }
        known.keys.clone()
    }
}
