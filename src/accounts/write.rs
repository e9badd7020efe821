//! Keys made, replaced and withdrawn. Each change locks the head, is numbered, and
//! is told of in the audit by the same transaction.

use super::Actor;
use super::audit::{self, Deed};
use super::error::AccountsError;
use super::head::{self, Head};
use super::key::{NewKey, State, StoredKey};
use super::{read, row};
use crate::identity::KeyDigest;
use crate::ledger::store::database::{Dialect, Pool, Sql, Tx, Type, Value};
use crate::units::{Millis, UnixMillis};
use std::collections::HashSet;
use std::sync::Arc;

/// The most keys that one transaction adds: others wait for it.
pub const KEYS_OF_ONE_TRANSACTION: usize = 4_096;

/// The most keys of one statement that notes when they were used.
const USED_OF_ONE_TRANSACTION: usize = 1_000;

/// What became of keys that were brought from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub added: usize,
    /// The names of those that weren't added, as their name or their digest is
    /// there already.
    pub passed_over: Vec<Arc<str>>,
}

/// The key that takes another's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    pub id: Arc<str>,
    pub digest: KeyDigest,
    /// `None`: when the old one would have ended.
    pub expires_at: Option<UnixMillis>,
}

pub async fn create(pool: &Pool, by: Actor<'_>, key: NewKey) -> Result<StoredKey, AccountsError> {
    let (mut tx, mut head) = head::begin(pool, by).await?;
    let added = add(&mut tx, &mut head, by, vec![key], "key.create").await?;
    let key = added.into_iter().next();
    let key = key.ok_or(AccountsError::Taken("key"))?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(key)
}

pub async fn import(
    pool: &Pool,
    by: Actor<'_>,
    keys: Vec<NewKey>,
) -> Result<Imported, AccountsError> {
    let mut imported = Imported::default();
    let mut keys = keys.into_iter();
    loop {
        let some: Vec<NewKey> = keys.by_ref().take(KEYS_OF_ONE_TRANSACTION).collect();
        if some.is_empty() {
            return Ok(imported);
        }
        let names: Vec<Arc<str>> = some.iter().map(|key| Arc::clone(&key.id)).collect();
        let (mut tx, mut head) = head::begin(pool, by).await?;
        let added = add(&mut tx, &mut head, by, some, "key.import").await?;
        head.keep(&mut tx).await?;
        tx.commit().await?;
        imported.added += added.len();
        if added.len() < names.len() {
            // A name may stand there twice: once for each that was added.
            let mut left: HashSet<Arc<str>> = added.into_iter().map(|key| key.id).collect();
            let passed = names.into_iter().filter(|name| !left.remove(name));
            imported.passed_over.extend(passed);
        }
    }
}

/// Adds those whose names and digests are new; gives them.
async fn add(
    tx: &mut Tx,
    head: &mut Head,
    by: Actor<'_>,
    keys: Vec<NewKey>,
    action: &'static str,
) -> Result<Vec<StoredKey>, AccountsError> {
    let keys: Vec<StoredKey> = keys
        .into_iter()
        .map(|key| row::of_new(key, by.name, by.at, head.next()))
        .collect();
    let rows = keys.iter().map(row::of_key).collect();
    let into = format!("keys ({})", row::KEY_COLUMNS);
    let after = "ON CONFLICT DO NOTHING RETURNING changed";
    let added = tx.insert(&into, rows, after, &[Type::Int]).await?;
    let added: HashSet<i64> = added
        .into_iter()
        .filter_map(|row| row::Reader::of(row).int())
        .collect();
    let mut keys = keys;
    keys.retain(|key| added.contains(&key.changed));
    let deeds = keys.iter().map(|key| Deed {
        action,
        subject: &key.id,
        tenant: Some(&key.attributes.tenant),
        before: None,
        after: Some(key.to_json()),
    });
    audit::append(tx, head, by, deeds.collect()).await?;
    Ok(keys)
}

pub async fn rotate(
    pool: &Pool,
    by: Actor<'_>,
    id: &str,
    to: Successor,
    overlap: Millis,
) -> Result<StoredKey, AccountsError> {
    let (mut tx, mut head) = head::begin(pool, by).await?;
    let old = read::one(&mut tx, id).await?;
    let old = old.ok_or(AccountsError::Unknown("key"))?;
    match old.state(by.at) {
        State::Active => {}
        State::Replaced => return Err(AccountsError::Over("was replaced already")),
        State::Ended => return Err(AccountsError::Over("has ended")),
        State::Revoked => return Err(AccountsError::Over("was revoked")),
    }
    let new = NewKey {
        expires_at: to.expires_at.or(old.expires_at),
        id: to.id,
        digest: to.digest,
        attributes: old.attributes.clone(),
    };
    let added = add(&mut tx, &mut head, by, vec![new], "key.create").await?;
    let new = added.into_iter().next();
    let new = new.ok_or(AccountsError::Taken("key"))?;
    let end = by.at + overlap;
    let replaced = StoredKey {
        expires_at: Some(old.expires_at.map_or(end, |known| known.min(end))),
        replaced_by: Some(Arc::clone(&new.id)),
        changed: head.next(),
        ..old.clone()
    };
    update(&mut tx, &mut head, by, "key.rotate", &old, &replaced).await?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(new)
}

pub async fn revoke(pool: &Pool, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
    revoke_in(head::begin(pool, by).await?, by, id).await
}

pub async fn revoke_late(pool: &Pool, by: Actor<'_>, id: &str) -> Result<bool, AccountsError> {
    revoke_in(head::begin_late(pool).await?, by, id).await
}

async fn revoke_in(
    (mut tx, mut head): (Tx, Head),
    by: Actor<'_>,
    id: &str,
) -> Result<bool, AccountsError> {
    let old = read::one(&mut tx, id).await?;
    let old = old.ok_or(AccountsError::Unknown("key"))?;
    if old.revoked_at.is_some() {
        return Ok(false);
    }
    let revoked = StoredKey {
        revoked_at: Some(by.at),
        changed: head.next(),
        ..old.clone()
    };
    update(&mut tx, &mut head, by, "key.revoke", &old, &revoked).await?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Writes what may change of a key, and tells of it.
async fn update(
    tx: &mut Tx,
    head: &mut Head,
    by: Actor<'_>,
    action: &'static str,
    old: &StoredKey,
    new: &StoredKey,
) -> Result<(), AccountsError> {
    let sql = tx
        .sql("UPDATE keys SET expires_at_ms = ")
        .bind(row::at(new.expires_at))
        .and(", revoked_at_ms = ")
        .bind(row::at(new.revoked_at))
        .and(", replaced_by = ")
        .bind(Value::text(new.replaced_by.as_deref()))
        .and(", changed = ")
        .bind(Value::Int(new.changed))
        .and(" WHERE id = ")
        .bind(Value::Text(new.id.to_string()));
    tx.execute(sql).await?;
    let deed = Deed {
        action,
        subject: &new.id,
        tenant: Some(&new.attributes.tenant),
        before: Some(old.to_json()),
        after: Some(new.to_json()),
    };
    audit::append(tx, head, by, vec![deed]).await
}

/// Notes when those of a table were used last. In the order of their names, so that
/// no two who do so wait for each other.
pub async fn used(
    pool: &Pool,
    table: &'static str,
    mut hours: Vec<(Arc<str>, u32)>,
) -> Result<(), AccountsError> {
    hours.sort();
    for some in hours.chunks(USED_OF_ONE_TRANSACTION) {
        let mut tx = pool.write().await?;
        match tx.dialect() {
            Dialect::Postgres => {
                let ids = some.iter().map(|(id, _)| Value::Text(id.to_string()));
                let ids = Value::Array(Type::Text, ids.collect());
                let hours = some.iter().map(|(_, hour)| Value::Int((*hour).into()));
                let hours = Value::Array(Type::Int, hours.collect());
                let sql = tx
                    .sql(&format!(
                        "UPDATE {table} SET last_used_hour = u.hour FROM UNNEST("
                    ))
                    .bind(ids)
                    .and(", ")
                    .bind(hours)
                    .and(&format!(
                        ") AS u (id, hour) WHERE {table}.id = u.id \
                         AND COALESCE({table}.last_used_hour, 0) < u.hour"
                    ));
                tx.execute(sql).await?;
            }
            Dialect::Sqlite => {
                for (id, hour) in some {
                    let sql = used_one(&tx, table, id, *hour);
                    tx.execute(sql).await?;
                }
            }
        }
        tx.commit().await?;
    }
    Ok(())
}

fn used_one(tx: &Tx, table: &str, id: &str, hour: u32) -> Sql {
    tx.sql(&format!("UPDATE {table} SET last_used_hour = "))
        .bind(Value::Int(hour.into()))
        .and(" WHERE id = ")
        .bind(Value::Text(id.to_owned()))
        .and(" AND COALESCE(last_used_hour, 0) < ")
        .bind(Value::Int(hour.into()))
}
