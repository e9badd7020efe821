//! Keys that are wanted, read as the configuration reads its own.

use super::super::AdminState;
use super::super::answer::Wrong;
use super::super::caller::Caller;
use crate::accounts::{NewKey, making};
use crate::config::keys::{KeyAttributes, OwnLimits, key_attributes, name_fault};
use crate::identity::{KeyDigest, format};
use crate::policy::Snapshot;
use crate::units::UnixMillis;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// The most keys of one import: a request has a bound.
const IMPORT_KEYS_MAX: usize = 1_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct KeyWanted {
    /// Its name in events and logs; without it, one is made.
    pub id: Option<String>,
    /// What it is for: tenant and the other fields of `identity.keys` but id and
    /// hash, as in the configuration.
    #[schema(value_type = Object)]
    pub key: Map<String, Value>,
    /// A key that begins with weir_test_ instead of weir_live_.
    #[serde(default)]
    #[schema(required = false)]
    pub test: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct ImportWanted {
    #[schema(max_items = 1000)]
    keys: Vec<KeyBrought>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyBrought {
    /// Its name in events and logs; without it, one is made.
    id: Option<String>,
    /// What `weir keys hash` prints for it; this or `secret`.
    hash: Option<String>,
    /// The key itself.
    secret: Option<String>,
    /// What it is for, as in the configuration.
    #[schema(value_type = Object)]
    key: Map<String, Value>,
}

/// When a key ends.
pub(super) fn end(
    wanted: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, Wrong> {
    match wanted {
        // What the databases can hold.
        Some(end) if end.0 > i64::MAX.unsigned_abs() => {
            Err(Wrong::parameter("expires_at_ms", "is too far away"))
        }
        Some(end) if end <= now => Err(Wrong::parameter("expires_at_ms", "is over already")),
        wanted => Ok(wanted),
    }
}

/// A key to be made for who asks.
pub(super) fn new_key(
    state: &AdminState,
    caller: &Caller,
    wanted: KeyWanted,
    digest: KeyDigest,
) -> Result<NewKey, Wrong> {
    let reading = Reading::of(state)?;
    if wanted.id.is_some() && caller.role.tenant().is_some() {
        // Whether a name is taken would tell of other tenants.
        let error = "a tenant-admin's keys are named by weir: leave out id";
        return Err(Wrong {
            parameter: Some("id"),
            ..Wrong::forbidden(error)
        });
    }
    reading.key(caller, wanted.id, wanted.key, digest)
}

/// Keys from elsewhere.
pub(super) fn brought(
    state: &AdminState,
    caller: &Caller,
    wanted: ImportWanted,
) -> Result<Vec<NewKey>, Wrong> {
    let reading = Reading::of(state)?;
    if wanted.keys.len() > IMPORT_KEYS_MAX {
        let error = format!("there must be at most {IMPORT_KEYS_MAX} at a time");
        return Err(Wrong::parameter("keys", error));
    }
    let pepper = state.accounts.pepper()?;
    let each = wanted.keys.into_iter().enumerate().map(|(place, one)| {
        let digest = match (one.hash.as_deref(), one.secret.as_deref()) {
            (Some(hash), None) => {
                KeyDigest::from_hex(hash).ok_or_else(|| wrong("hash must be 64 hexadecimal digits"))
            }
            (None, Some(secret)) => match format::check(secret) {
                Ok(()) => Ok(pepper.digest(secret.as_bytes())),
                Err(error) => Err(wrong(&error.to_string())),
            },
            _ => Err(wrong("hash or secret is needed, one of them")),
        };
        let key = digest.and_then(|digest| reading.key(caller, one.id, one.key, digest));
        key.map_err(|wrong| Wrong {
            error: format!("keys[{place}]: {}", wrong.error),
            ..wrong
        })
    });
    each.collect()
}

fn wrong(error: &str) -> Wrong {
    Wrong::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}

/// What a key is held against.
struct Reading {
    snapshot: Arc<Snapshot>,
    own_limits: OwnLimits,
    now: UnixMillis,
}

impl Reading {
    fn of(state: &AdminState) -> Result<Self, Wrong> {
        let snapshot = state.limits.driver()?.snapshot();
        Ok(Self {
            own_limits: OwnLimits::of(&snapshot),
            snapshot,
            now: state.access.now(),
        })
    }

    fn key(
        &self,
        caller: &Caller,
        id: Option<String>,
        key: Map<String, Value>,
        digest: KeyDigest,
    ) -> Result<NewKey, Wrong> {
        let id = match id {
            Some(id) => match name_fault(&id) {
                None => id,
                Some(fault) => return Err(wrong(&format!("id {fault}"))),
            },
            None => making::key_id().map_err(|error| Wrong::busy(error.to_string()))?,
        };
        let text = Value::Object(key).to_string();
        let read = key_attributes(&text, "key", &self.own_limits);
        let read = read.map_err(|problems| Wrong::problems("the key", &problems))?;
        caller.may_change(&read.attributes.tenant)?;
        let known = self.snapshot.tenants.contains_key(&read.attributes.tenant);
        if !known && self.snapshot.default_plan.is_none() {
            return Err(wrong(
                "the configuration has no such tenant, and identity.default_plan is not set",
            ));
        }
        let KeyAttributes {
            attributes,
            expires_at,
        } = read;
        Ok(NewKey {
            id: id.into(),
            digest,
            attributes,
            expires_at: end(expires_at, self.now)?,
        })
    }
}
