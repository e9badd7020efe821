//! `/v1/tokens`: who may use this API. A token is told once, to who makes it.

use super::AdminState;
use super::answer::{Answer, Parameters, Told, Wrong, read};
use super::caller::Caller;
use crate::accounts::{Actor, AdminToken, NewToken, making};
use crate::config::keys::name_fault;
use crate::identity::Role;
use crate::units::UnixMillis;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    id: String,
    /// viewer, tenant-admin, operator or owner.
    role: &'static str,
    /// A tenant-admin's.
    tenant: Option<String>,
    created_at_ms: u64,
    created_by: String,
    expires_at_ms: Option<u64>,
    revoked_at_ms: Option<u64>,
    /// Hours since 1970.
    last_used_hour: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// It is told this once.
    secret: String,
    token: Token,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenWanted {
    /// viewer, tenant-admin, operator or owner; no more than who asks has.
    role: String,
    /// A tenant-admin's.
    tenant: Option<String>,
    /// Without it, when the maker's own token ends, if that does.
    expires_at_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    /// Whether it wasn't before.
    revoked: bool,
    /// Of a key, a grant or a top-up: the database is away. It counts no more here, nor
    /// where sidecars share a counter store; the database and its audit are told when
    /// it is back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    database_away: bool,
}

impl From<&AdminToken> for Token {
    fn from(token: &AdminToken) -> Self {
        Self {
            id: token.id.to_string(),
            role: token.role.as_str(),
            tenant: token.role.tenant().map(ToString::to_string),
            created_at_ms: token.created_at.0,
            created_by: token.created_by.to_string(),
            expires_at_ms: token.expires_at.map(|at| at.0),
            revoked_at_ms: token.revoked_at.map(|at| at.0),
            last_used_hour: token.last_used_hour,
        }
    }
}

impl Revoked {
    pub(super) fn of(revoked: bool) -> Told<Self> {
        Told(Self {
            revoked,
            database_away: false,
        })
    }

    /// The database isn't told yet.
    pub(super) fn meanwhile() -> Told<Self> {
        Told(Self {
            revoked: true,
            database_away: true,
        })
    }
}

/// All tokens; to a tenant-admin those of the tenant.
#[utoipa::path(get, path = "/v1/tokens", responses((status = 200, body = Tokens)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer<Tokens> {
    Parameters::read(query.as_deref(), &[])?;
    let tokens = state
        .accounts
        .with(|accounts| async move { accounts.tokens().await });
    let tokens = tokens.await?;
    let seen = tokens.iter().filter(|token| may_see(&caller, token));
    Ok(Told(Tokens {
        tokens: seen.map(Token::from).collect(),
    }))
}

fn may_see(caller: &Caller, token: &AdminToken) -> bool {
    let tenant = token.role.tenant().map(|tenant| &**tenant);
    caller.role.may_see(tenant)
}

/// Makes a token.
#[utoipa::path(
    post, path = "/v1/tokens",
    request_body = TokenWanted,
    responses((status = 200, body = MadeToken))
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<MadeToken> {
    let wanted: TokenWanted = read(&headers, &body)?;
    let now = state.access.now();
    let role = Role::new(&wanted.role, wanted.tenant.as_deref());
    let role = role.map_err(|error| Wrong::parameter("role", error.to_string()))?;
    if let Some(fault) = wanted.tenant.as_deref().and_then(name_fault) {
        return Err(Wrong::parameter("tenant", format!("tenant {fault}")));
    }
    if !caller.role.may_grant(&role) {
        let error = format!(
            "a {} may not make such a token: it may do more",
            caller.role
        );
        return Err(Wrong::forbidden(error));
    }
    let expires_at = ends(&caller, wanted.expires_at_ms.map(UnixMillis), now)?;
    let secret = making::admin_token().map_err(|error| Wrong::busy(error.to_string()))?;
    let id = making::token_id().map_err(|error| Wrong::busy(error.to_string()))?;
    let new = NewToken {
        id: id.into(),
        digest: state.accounts.pepper()?.digest(secret.as_bytes()),
        role,
        expires_at,
    };
    let name = &caller.name;
    let made = state
        .accounts
        .with(|accounts| async move { accounts.create_token(Actor { name, at: now }, new).await });
    let made = made.await?;
    Ok(Told(MadeToken {
        secret,
        token: Token::from(&made),
    }))
}

/// Nobody makes what outlives their own.
fn ends(
    caller: &Caller,
    wanted: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, Wrong> {
    let wrong = |error: &str| Err(Wrong::parameter("expires_at_ms", error));
    match (wanted, caller.ends_at) {
        // What the databases can hold.
        (Some(end), _) if end.0 > i64::MAX.unsigned_abs() => wrong("is too far away"),
        (Some(end), _) if end <= now => wrong("is over already"),
        (Some(end), Some(own)) if end > own => wrong("is after the end of what you brought"),
        (wanted, own) => Ok(wanted.or(own)),
    }
}

/// Withdraws a token and all that were made with it: they count no more at once.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}",
    params(("id" = String, Path, description = "The token's name")),
    responses((status = 200, body = Revoked))
)]
pub(super) async fn revoke(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Revoked> {
    let tokens = state
        .accounts
        .with(|accounts| async move { accounts.tokens().await });
    let tokens = tokens.await?;
    let mut known = tokens.iter().filter(|token| may_see(&caller, token));
    let known = known.find(|token| *token.id == *id);
    let known = known.ok_or_else(|| Wrong::nothing("token"))?;
    if !caller.role.may_grant(&known.role) {
        let error = format!("a {} may not withdraw it: it may do more", caller.role);
        return Err(Wrong::forbidden(error));
    }
    let (name, at) = (&caller.name, state.access.now());
    let revoked = state
        .accounts
        .with(|accounts| async move { accounts.revoke_token(Actor { name, at }, &id).await });
    Ok(Revoked::of(revoked.await?))
}
