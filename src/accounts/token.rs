//! Admin tokens: who may do what by HTTP.

use super::Actor;
use super::audit::{self, Deed};
use super::error::AccountsError;
use super::head;
use super::row::{self, Reader};
use crate::identity::{KeyDigest, Role};
use crate::ledger::store::database::{Pool, Sql, Tx, Type, Value};
use crate::units::UnixMillis;
use serde_json::json;
use std::sync::Arc;

/// The most tokens that are listed: people and programs that administer.
const TOKENS_MAX: usize = 10_000;

/// A token that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    pub id: Arc<str>,
    pub digest: KeyDigest,
    pub role: Role,
    pub expires_at: Option<UnixMillis>,
}

/// A token that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    pub id: Arc<str>,
    pub digest: KeyDigest,
    pub role: Role,
    pub created_at: UnixMillis,
    pub created_by: Arc<str>,
    pub expires_at: Option<UnixMillis>,
    pub revoked_at: Option<UnixMillis>,
    /// Hours since 1970.
    pub last_used_hour: Option<u32>,
}

const COLUMNS: &str = "id, digest, role, tenant, created_at_ms, created_by, expires_at_ms, \
     revoked_at_ms, last_used_hour";
const TYPES: [Type; 9] = [
    Type::Text,
    Type::Bytes,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Int,
];

impl AdminToken {
    pub fn counts(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// All but its digest.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "id": *self.id,
            "role": self.role.as_str(),
            "tenant": self.role.tenant(),
            "created_at_ms": self.created_at.0,
            "created_by": *self.created_by,
            "expires_at_ms": self.expires_at.map(|at| at.0),
            "revoked_at_ms": self.revoked_at.map(|at| at.0),
            "last_used_hour": self.last_used_hour,
        })
    }

    fn values(&self) -> Vec<Value> {
        vec![
            Value::Text(self.id.to_string()),
            row::digest(&self.digest),
            Value::Text(self.role.as_str().to_owned()),
            Value::text(self.role.tenant().map(|tenant| &**tenant)),
            row::at(Some(self.created_at)),
            Value::Text(self.created_by.to_string()),
            row::at(self.expires_at),
            row::at(self.revoked_at),
            Value::Null(Type::Int),
        ]
    }

    fn of_row(values: Vec<Value>) -> Result<Self, AccountsError> {
        let mut row = Reader::of(values);
        let (id, digest, role, tenant) = (row.name()?, row.digest()?, row.name()?, row.text());
        let role = Role::new(&role, tenant.as_deref());
        Ok(Self {
            id,
            digest,
            role: role.map_err(|_| AccountsError::Unreadable("a role"))?,
            created_at: row.at().unwrap_or_default(),
            created_by: row.name()?,
            expires_at: row.at(),
            revoked_at: row.at(),
            last_used_hour: row.int().and_then(|hour| u32::try_from(hour).ok()),
        })
    }
}

pub(super) async fn create(
    pool: &Pool,
    by: Actor<'_>,
    new: NewToken,
) -> Result<AdminToken, AccountsError> {
    let token = AdminToken {
        id: new.id,
        digest: new.digest,
        role: new.role,
        created_at: by.at,
        created_by: by.name.into(),
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_hour: None,
    };
    let (mut tx, mut head) = head::begin(pool, by).await?;
    let into = format!("admin_tokens ({COLUMNS})");
    let after = "ON CONFLICT DO NOTHING RETURNING id";
    let added = tx
        .insert(&into, vec![token.values()], after, &[Type::Text])
        .await?;
    if added.is_empty() {
        return Err(AccountsError::Taken("token"));
    }
    let deed = Deed {
        action: "token.create",
        subject: &token.id,
        tenant: token.role.tenant().map(|tenant| &**tenant),
        before: None,
        after: Some(token.to_json()),
    };
    audit::append(&mut tx, &mut head, by, vec![deed]).await?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(token)
}

pub(super) async fn find(
    pool: &Pool,
    digest: &KeyDigest,
    now: UnixMillis,
) -> Result<Option<AdminToken>, AccountsError> {
    let mut tx = pool.read().await?;
    let sql = select(&tx, "digest = ").bind(row::digest(digest));
    let found = fetch(&mut tx, sql).await?.pop();
    tx.rollback().await?;
    Ok(found.filter(|token| token.digest.is(digest) && token.counts(now)))
}

pub(super) async fn list(pool: &Pool) -> Result<Vec<AdminToken>, AccountsError> {
    let mut tx = pool.read().await?;
    let sql = select(&tx, &format!("id > '' ORDER BY id LIMIT {TOKENS_MAX}"));
    let tokens = fetch(&mut tx, sql).await?;
    tx.rollback().await?;
    Ok(tokens)
}

pub(super) async fn revoke(pool: &Pool, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
    let (mut tx, mut head) = head::begin(pool, by).await?;
    let sql = select(&tx, "id = ").bind(Value::Text(id.to_owned()));
    let old = fetch(&mut tx, sql).await?.pop();
    let old = old.ok_or(AccountsError::Unknown("token"))?;
    if old.revoked_at.is_some() {
        return Ok(false);
    }
    for old in with_those_it_made(&mut tx, old).await? {
        let revoked = AdminToken {
            revoked_at: Some(by.at),
            ..old.clone()
        };
        let sql = tx
            .sql("UPDATE admin_tokens SET revoked_at_ms = ")
            .bind(row::at(revoked.revoked_at))
            .and(" WHERE id = ")
            .bind(Value::Text(old.id.to_string()));
        tx.execute(sql).await?;
        let deed = Deed {
            action: "token.revoke",
            subject: &old.id,
            tenant: old.role.tenant().map(|tenant| &**tenant),
            before: Some(old.to_json()),
            after: Some(revoked.to_json()),
        };
        audit::append(&mut tx, &mut head, by, vec![deed]).await?;
    }
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// A token, and all that were made with it, or with one of them, and aren't
/// withdrawn: none outlives its maker.
async fn with_those_it_made(
    tx: &mut Tx,
    token: AdminToken,
) -> Result<Vec<AdminToken>, AccountsError> {
    let mut all = vec![token];
    let mut asked = 0;
    while let Some(maker) = all.get(asked) {
        let sql = select(tx, "created_by = ").bind(Value::Text(maker.id.to_string()));
        let made = fetch(tx, sql.and(" AND revoked_at_ms IS NULL ORDER BY id")).await?;
        // No token is made by one that it made.
        all.extend(made);
        asked += 1;
    }
    Ok(all)
}

/// Whether there is a token of this name that was withdrawn.
pub(super) async fn is_revoked(tx: &mut Tx, name: &str) -> Result<bool, AccountsError> {
    let sql = select(tx, "revoked_at_ms IS NOT NULL AND id = ").bind(Value::Text(name.to_owned()));
    Ok(!fetch(tx, sql).await?.is_empty())
}

fn select(tx: &Tx, which: &str) -> Sql {
    tx.sql(&format!("SELECT {COLUMNS} FROM admin_tokens WHERE {which}"))
}

async fn fetch(tx: &mut Tx, sql: Sql) -> Result<Vec<AdminToken>, AccountsError> {
    let rows = tx.fetch(sql, &TYPES).await?;
    rows.into_iter().map(AdminToken::of_row).collect()
}
