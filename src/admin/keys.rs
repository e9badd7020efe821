//! `/v1/keys`: the keys of the ledger's database. A key is told once, to who makes
//! it.

mod wanted;

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong, next_after, read};
use super::caller::Caller;
use super::tokens::Revoked;
use super::withdrawn::{Kind, withdrawn};
use crate::accounts::{Actor, Listing, PAGE_KEYS_MAX, StoredKey, Successor, making};
use crate::units::{Millis, UnixMillis};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;
pub(super) use wanted::{ImportWanted, KeyWanted};

/// The keys of a page where nobody says how many.
const ROWS: usize = 100;

/// How long a replaced key counts where nobody says so.
const OVERLAP: Millis = Millis::from_mins(24 * 60);

/// Who replaces a key wants the old one gone one day.
const OVERLAP_MAX: Millis = Millis::from_mins(90 * 24 * 60);

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoredKeyShown {
    id: String,
    /// active, replaced (counts until it ends), ended or revoked.
    state: &'static str,
    tenant: String,
    project: Option<String>,
    environment: Option<String>,
    user: Option<String>,
    /// Whom to ask about it.
    owner: Option<String>,
    /// Names and their values; null: none.
    #[schema(value_type = Option<Object>)]
    labels: Value,
    /// What it is for, as in the configuration; null: everything.
    #[schema(value_type = Option<Object>)]
    scopes: Value,
    /// Its own limits, as in the configuration; null: none.
    limits: Value,
    created_at_ms: u64,
    created_by: String,
    expires_at_ms: Option<u64>,
    revoked_at_ms: Option<u64>,
    replaced_by: Option<String>,
    /// Hours since 1970.
    last_used_hour: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyPage {
    keys: Vec<StoredKeyShown>,
    /// What to ask `after` for the page that follows; null: this is the last.
    next: Option<String>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeKey {
    /// It is told this once.
    secret: String,
    key: StoredKeyShown,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationWanted {
    /// How long the old key still counts; without it, a day.
    #[schema(minimum = 0, maximum = 7_776_000_000_u64)]
    overlap_ms: Option<u64>,
    /// When the new key ends; without it, when the old one would have.
    expires_at_ms: Option<u64>,
    /// A key that begins with weir_test_ instead of weir_live_.
    #[serde(default)]
    #[schema(required = false)]
    test: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedKeys {
    added: usize,
    /// The names of those whose name or secret is there already.
    passed_over: Vec<String>,
}

impl StoredKeyShown {
    fn of(key: &StoredKey, now: UnixMillis) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let mut json = key.to_json();
        let mut part = |name: &str| json[name].take();
        let of = &key.attributes;
        Self {
            id: key.id.to_string(),
            state: key.state(now).as_str(),
            tenant: of.tenant.to_string(),
            project: text(&of.project),
            environment: text(&of.environment),
            user: text(&of.user),
            owner: text(&of.owner),
            labels: part("labels"),
            scopes: part("scopes"),
            limits: part("limits"),
            created_at_ms: key.created_at.0,
            created_by: key.created_by.to_string(),
            expires_at_ms: key.expires_at.map(|at| at.0),
            revoked_at_ms: key.revoked_at.map(|at| at.0),
            replaced_by: text(&key.replaced_by),
            last_used_hour: key.last_used_hour,
        }
    }
}

/// A page of keys, by their names; to a tenant-admin those of the tenant.
#[utoipa::path(
    get, path = "/v1/keys",
    params(
        ("tenant" = Option<String>, Query, description = "Only this tenant's"),
        ("user" = Option<String>, Query, description = "Only this user's"),
        ("owner" = Option<String>, Query, description = "Only those of this owner"),
        ("revoked" = Option<bool>, Query, description = "Those too that were revoked"),
        ("after" = Option<String>, Query, description = "What the page before said is next"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 999, description = "At most so many"),
    ),
    responses((status = 200, body = KeyPage))
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<KeyPage> {
    let known = &["tenant", "user", "owner", "revoked", "after", "limit"];
    let parameters = Parameters::read(query.as_deref(), known)?;
    let limit = parameters.limit(ROWS, PAGE_KEYS_MAX - 1)?;
    let text = |name| parameters.get(name).map(Arc::from);
    let listing = Listing {
        after: text("after"),
        tenant: caller.narrowed(parameters.get("tenant"))?,
        user: text("user"),
        owner: text("owner"),
        revoked: parameters.flag("revoked")?,
        limit: limit + 1,
    };
    let keys = state
        .accounts
        .with(|accounts| async move { accounts.list(&listing).await });
    let mut keys = keys.await?;
    let next = next_after(&mut keys, limit, |key| key.id.to_string());
    let now = state.access.now();
    Ok(Told(KeyPage {
        keys: keys
            .iter()
            .map(|key| StoredKeyShown::of(key, now))
            .collect(),
        next,
    }))
}

/// A key.
#[utoipa::path(
    get, path = "/v1/keys/{id}",
    params(("id" = String, Path, description = "The key's name")),
    responses((status = 200, body = StoredKeyShown))
)]
pub(super) async fn show(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<StoredKeyShown> {
    let key = seen(&state, &caller, &id).await?;
    Ok(Told(StoredKeyShown::of(&key, state.access.now())))
}

/// A key that the caller may see; others are as good as not there.
async fn seen(state: &AdminState, caller: &Caller, id: &str) -> Result<StoredKey, Wrong> {
    let key = state
        .accounts
        .with(|accounts| async move { accounts.key(id).await });
    let key = key.await?;
    let key = key.filter(|key| caller.role.may_see(Some(&key.attributes.tenant)));
    key.ok_or_else(|| Wrong::nothing("key"))
}

/// Makes a key.
#[utoipa::path(
    post, path = "/v1/keys",
    request_body = KeyWanted,
    responses((status = 200, body = MadeKey))
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<MadeKey> {
    let wanted: KeyWanted = read(&headers, &body)?;
    let now = state.access.now();
    let secret = making::key(wanted.test).map_err(|error| Wrong::busy(error.to_string()))?;
    let digest = state.accounts.pepper()?.digest(secret.as_bytes());
    let new = wanted::new_key(&state, &caller, wanted, digest)?;
    let name = &caller.name;
    let made = state
        .accounts
        .with(|accounts| async move { accounts.create(Actor { name, at: now }, new).await });
    let made = made.await?;
    Ok(Told(MadeKey {
        secret,
        key: StoredKeyShown::of(&made, now),
    }))
}

/// Puts a new key in the place of one, with all that it may; both count for a while.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate",
    params(("id" = String, Path, description = "The name of the key that is replaced")),
    request_body = RotationWanted,
    responses((status = 200, body = MadeKey))
)]
pub(super) async fn rotate(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<MadeKey> {
    let wanted: RotationWanted = read(&headers, &body)?;
    let now = state.access.now();
    let overlap = wanted.overlap_ms.map_or(OVERLAP, Millis);
    if overlap > OVERLAP_MAX {
        let error = format!("must be at most {}", OVERLAP_MAX.0);
        return Err(Wrong::parameter("overlap_ms", error));
    }
    let expires_at = wanted::end(wanted.expires_at_ms.map(UnixMillis), now)?;
    let old = seen(&state, &caller, &id).await?;
    caller.may_change(&old.attributes.tenant)?;
    let secret = making::key(wanted.test).map_err(|error| Wrong::busy(error.to_string()))?;
    let new_id = making::key_id().map_err(|error| Wrong::busy(error.to_string()))?;
    let to = Successor {
        id: new_id.into(),
        digest: state.accounts.pepper()?.digest(secret.as_bytes()),
        expires_at,
    };
    let name = &caller.name;
    let made = state.accounts.with(|accounts| async move {
        accounts
            .rotate(Actor { name, at: now }, &id, to, overlap)
            .await
    });
    let made = made.await?;
    Ok(Told(MadeKey {
        secret,
        key: StoredKeyShown::of(&made, now),
    }))
}

/// Withdraws a key: it counts nowhere a few seconds later. While the database is away
/// it counts no more here, and the database is told when it is back.
#[utoipa::path(
    delete, path = "/v1/keys/{id}",
    params(("id" = String, Path, description = "The key's name")),
    responses((status = 200, body = Revoked))
)]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Revoked> {
    let revoked = revoked(&state, &caller, &id).await;
    withdrawn(&state, &caller, &id, Kind::Key, revoked).await
}

async fn revoked(state: &AdminState, caller: &Caller, id: &str) -> Result<bool, Wrong> {
    let key = seen(state, caller, id).await?;
    caller.may_change(&key.attributes.tenant)?;
    let (name, at) = (&caller.name, state.access.now());
    let revoked = state
        .accounts
        .with(|accounts| async move { accounts.revoke(Actor { name, at }, id).await });
    revoked.await
}

/// Brings keys from elsewhere, or their hashes.
#[utoipa::path(
    post, path = "/v1/keys/import",
    request_body = ImportWanted,
    responses((status = 200, body = ImportedKeys))
)]
pub(super) async fn import(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<ImportedKeys> {
    let wanted: ImportWanted = read(&headers, &body)?;
    let keys = wanted::brought(&state, &caller, wanted)?;
    let (name, at) = (&caller.name, state.access.now());
    let imported = state
        .accounts
        .with(|accounts| async move { accounts.import(Actor { name, at }, keys).await });
    let imported = imported.await?;
    Ok(Told(ImportedKeys {
        added: imported.added,
        passed_over: imported
            .passed_over
            .iter()
            .map(ToString::to_string)
            .collect(),
    }))
}
