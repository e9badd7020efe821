//! Keys as rows.

use super::error::AccountsError;
use super::key::{NewKey, StoredKey, labels_json, labels_of_json, scopes_json, scopes_of_json};
use crate::identity::Attributes;
use crate::identity::KeyDigest;
use crate::ledger::store::database::{Type, Value};
use crate::units::UnixMillis;
use std::sync::Arc;

/// The columns of a key, in their order.
pub const KEY_COLUMNS: &str = "id, digest, tenant, project, environment, user_name, owner, \
     labels, scopes, limits, created_at_ms, created_by, expires_at_ms, revoked_at_ms, \
     replaced_by, last_used_hour, changed";

pub const KEY_TYPES: [Type; 17] = [
    Type::Text,
    Type::Bytes,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
    Type::Text,
    Type::Int,
    Type::Int,
];

/// A key that is made now.
pub fn of_new(key: NewKey, by: &str, at: UnixMillis, changed: i64) -> StoredKey {
    StoredKey {
        id: key.id,
        digest: key.digest,
        attributes: key.attributes,
        created_at: at,
        created_by: by.into(),
        expires_at: key.expires_at,
        revoked_at: None,
        replaced_by: None,
        last_used_hour: None,
        changed,
    }
}

pub fn of_key(key: &StoredKey) -> Vec<Value> {
    let of = &key.attributes;
    let json = |json: Option<serde_json::Value>| match json {
        Some(json) => Value::Text(json.to_string()),
        None => Value::Null(Type::Text),
    };
    vec![
        Value::Text(key.id.to_string()),
        digest(&key.digest),
        Value::Text(of.tenant.to_string()),
        Value::text(of.project.as_deref()),
        Value::text(of.environment.as_deref()),
        Value::text(of.user.as_deref()),
        Value::text(of.owner.as_deref()),
        json(labels_json(&of.labels)),
        json(scopes_json(&of.scopes)),
        Value::text(of.limits.as_deref()),
        at(Some(key.created_at)),
        Value::Text(key.created_by.to_string()),
        at(key.expires_at),
        at(key.revoked_at),
        Value::text(key.replaced_by.as_deref()),
        key.last_used_hour
            .map_or(Value::Null(Type::Int), |hour| Value::Int(hour.into())),
        Value::Int(key.changed),
    ]
}

pub fn digest(digest: &KeyDigest) -> Value {
    Value::Bytes(digest.0.to_vec())
}

pub fn at(at: Option<UnixMillis>) -> Value {
    let number = at.map(|at| i64::try_from(at.0).unwrap_or(i64::MAX));
    number.map_or(Value::Null(Type::Int), Value::Int)
}

/// A count or an amount; what the databases can't hold is the most that they can.
pub fn number(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// # Errors
/// [`AccountsError::Unreadable`]: it isn't as this program writes it. Nothing is
/// guessed: a key that isn't understood must not become one that may more.
pub fn to_key(row: Vec<Value>) -> Result<StoredKey, AccountsError> {
    let mut row = Reader::of(row);
    Ok(StoredKey {
        id: row.name()?,
        digest: row.digest()?,
        attributes: Attributes {
            tenant: row.name()?,
            project: row.text(),
            environment: row.text(),
            user: row.text(),
            owner: row.text(),
            labels: row.json("labels", labels_of_json)?,
            scopes: row.json("scopes", scopes_of_json)?,
            limits: row.text(),
        },
        created_at: row.at().unwrap_or_default(),
        created_by: row.name()?,
        expires_at: row.at(),
        revoked_at: row.at(),
        replaced_by: row.text(),
        last_used_hour: row.int().and_then(|hour| u32::try_from(hour).ok()),
        changed: row.int().unwrap_or_default(),
    })
}

/// Reads a row's values one after the other.
pub struct Reader(std::vec::IntoIter<Value>);

impl Reader {
    pub fn of(row: Vec<Value>) -> Self {
        Self(row.into_iter())
    }

    pub fn text(&mut self) -> Option<Arc<str>> {
        match self.0.next() {
            Some(Value::Text(text)) => Some(text.into()),
            _ => None,
        }
    }

    pub fn name(&mut self) -> Result<Arc<str>, AccountsError> {
        self.text()
            .ok_or(AccountsError::Unreadable("a name is missing"))
    }

    pub fn int(&mut self) -> Option<i64> {
        match self.0.next() {
            Some(Value::Int(number)) => Some(number),
            _ => None,
        }
    }

    /// A count or an amount; 0 where there is none.
    pub fn number(&mut self) -> u64 {
        let number = self.int().and_then(|number| u64::try_from(number).ok());
        number.unwrap_or_default()
    }

    pub fn at(&mut self) -> Option<UnixMillis> {
        self.int()
            .and_then(|ms| u64::try_from(ms).ok())
            .map(UnixMillis)
    }

    pub fn bytes(&mut self) -> Result<[u8; 32], AccountsError> {
        let bytes = match self.0.next() {
            Some(Value::Bytes(bytes)) => <[u8; 32]>::try_from(bytes).ok(),
            _ => None,
        };
        bytes.ok_or(AccountsError::Unreadable(
            "a digest or a hash has no 32 bytes",
        ))
    }

    pub fn digest(&mut self) -> Result<KeyDigest, AccountsError> {
        self.bytes().map(KeyDigest)
    }

    fn json<T: Default>(
        &mut self,
        what: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, AccountsError> {
        match self.text() {
            None => Ok(T::default()),
            Some(text) => read(&text).ok_or(AccountsError::Unreadable(what)),
        }
    }
}
