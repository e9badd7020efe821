//! What was done to keys and tokens: who, what, before, after, when.
//!
//! Always holds: rows are only added, in the transaction of what they tell of;
//! each holds the hash of the one before it, so that a change, a gap or a cut end
//! shows (whoever rewrites the chain's end and its head too isn't found here: a
//! copy of the head elsewhere tells); no row holds a secret or a digest.

use super::Actor;
use super::error::AccountsError;
use super::head::{self, Head};
use super::row::Reader;
use crate::ledger::row::chained;
use crate::ledger::store::database::{Pool, Tx, Type, Value};
use crate::ledger::store::verify::{self, Fault, Place, Verifier};
use crate::units::UnixMillis;
use std::sync::Arc;

/// The most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub place: Place,
    pub at: UnixMillis,
    pub actor: Arc<str>,
    /// `key.create`, `key.import`, `key.rotate`, `key.revoke`, `token.create`,
    /// `token.revoke`, `approval.grant`, `approval.deny`, `grant.create`,
    /// `grant.revoke`, `budget.top-up`, `budget.revoke-top-up`, or of what isn't kept
    /// here: `limits.reset`, `alerts.test`, say.
    pub action: Arc<str>,
    /// To which key, token, request, grant or top-up.
    pub subject: Arc<str>,
    /// Of which tenant; `None`: of all.
    pub tenant: Option<Arc<str>>,
    /// JSON.
    pub before: Option<Arc<str>>,
    pub after: Option<Arc<str>>,
}

/// Which rows are asked for, by sequence.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Those after this sequence.
    pub after: u64,
    pub subject: Option<Arc<str>>,
    /// Only what was done to this tenant's.
    pub tenant: Option<Arc<str>>,
    /// At most so many, up to [`PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// What is to be added.
pub struct Deed<'a> {
    pub action: &'static str,
    pub subject: &'a str,
    pub tenant: Option<&'a str>,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

const COLUMNS: &str = "sequence, hash, at_ms, actor, action, subject, tenant, before, after";
const TYPES: [Type; 9] = [
    Type::Int,
    Type::Bytes,
    Type::Int,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
    Type::Text,
];

impl Entry {
    /// What its hash is of.
    fn message(&self) -> Vec<u8> {
        serde_json::json!([
            self.place.sequence,
            self.at.0,
            *self.actor,
            *self.action,
            *self.subject,
            self.tenant,
            self.before,
            self.after
        ])
        .to_string()
        .into_bytes()
    }

    fn values(&self) -> Vec<Value> {
        vec![
            Value::Int(i64::try_from(self.place.sequence).unwrap_or(i64::MAX)),
            Value::Bytes(self.place.hash.to_vec()),
            super::row::at(Some(self.at)),
            Value::Text(self.actor.to_string()),
            Value::Text(self.action.to_string()),
            Value::Text(self.subject.to_string()),
            Value::text(self.tenant.as_deref()),
            Value::text(self.before.as_deref()),
            Value::text(self.after.as_deref()),
        ]
    }

    fn of_row(row: Vec<Value>) -> Result<Self, AccountsError> {
        let mut row = Reader::of(row);
        let sequence = row.int().and_then(|sequence| u64::try_from(sequence).ok());
        Ok(Self {
            place: Place {
                sequence: sequence.unwrap_or_default(),
                hash: row.bytes()?,
            },
            at: row.at().unwrap_or_default(),
            actor: row.name()?,
            action: row.name()?,
            subject: row.name()?,
            tenant: row.text(),
            before: row.text(),
            after: row.text(),
        })
    }
}

/// Adds what was done to the chain.
pub(super) async fn append(
    tx: &mut Tx,
    head: &mut Head,
    by: Actor<'_>,
    deeds: Vec<Deed<'_>>,
) -> Result<(), AccountsError> {
    let actor: Arc<str> = by.name.into();
    let mut rows = Vec::with_capacity(deeds.len());
    for deed in deeds {
        let text = |json: Option<serde_json::Value>| json.map(|json| json.to_string().into());
        let mut entry = Entry {
            place: Place {
                sequence: head.audit.sequence.saturating_add(1),
                hash: head.audit.hash,
            },
            at: by.at,
            actor: Arc::clone(&actor),
            action: deed.action.into(),
            subject: deed.subject.into(),
            tenant: deed.tenant.map(Arc::from),
            before: text(deed.before),
            after: text(deed.after),
        };
        entry.place.hash = chained(&head.audit.hash, &entry.message());
        head.audit = entry.place;
        rows.push(entry.values());
    }
    let into = format!("audit ({COLUMNS})");
    tx.insert(&into, rows, "", &[]).await?;
    Ok(())
}

/// Adds something that was done to what isn't kept here.
pub(super) async fn note(pool: &Pool, by: Actor<'_>, deed: Deed<'_>) -> Result<(), AccountsError> {
    let (mut tx, mut head) = head::begin(pool, by).await?;
    append(&mut tx, &mut head, by, vec![deed]).await?;
    head.keep(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// A page.
pub(super) async fn read(pool: &Pool, asked: &Asked) -> Result<Vec<Entry>, AccountsError> {
    let mut tx = pool.read().await?;
    let rows = page(&mut tx, asked).await?;
    tx.rollback().await?;
    rows.into_iter().map(Entry::of_row).collect()
}

async fn page(tx: &mut Tx, asked: &Asked) -> Result<Vec<Vec<Value>>, AccountsError> {
    let mut sql = tx
        .sql(&format!("SELECT {COLUMNS} FROM audit WHERE sequence > "))
        .bind(Value::Int(i64::try_from(asked.after).unwrap_or(i64::MAX)));
    for (column, value) in [("subject", &asked.subject), ("tenant", &asked.tenant)] {
        if let Some(value) = value {
            sql.push(&format!(" AND {column} = "));
            sql.push_value(Value::Text(value.to_string()));
        }
    }
    let limit = asked.limit.clamp(1, PAGE_ROWS_MAX);
    sql.push(&format!(" ORDER BY sequence LIMIT {limit}"));
    Ok(tx.fetch(sql, &TYPES).await?)
}

/// Walks along all of it, as of one moment.
pub(super) async fn verify(pool: &Pool) -> Result<Result<u64, Fault>, AccountsError> {
    let mut tx = pool.read().await?;
    let head = head::read(&mut tx).await?;
    let mut verifier = Verifier::new(Place::START, head.audit);
    let mut asked = Asked {
        limit: PAGE_ROWS_MAX,
        ..Asked::default()
    };
    loop {
        let rows = page(&mut tx, &asked).await?;
        let Some(last) = rows.last() else { break };
        let last = Reader::of(last.clone()).int();
        asked.after = last
            .and_then(|last| u64::try_from(last).ok())
            .unwrap_or(u64::MAX);
        for row in rows {
            let sequence = Reader::of(row.clone()).int().unwrap_or_default();
            let entry = Entry::of_row(row);
            let entry = match entry {
                Ok(entry) => verify::Entry {
                    place: entry.place,
                    message: Some(entry.message()),
                },
                Err(_) => return Ok(Err(Fault::Changed(u64::try_from(sequence).unwrap_or(0)))),
            };
            if let Err(fault) = verifier.step(&entry) {
                return Ok(Err(fault));
            }
        }
    }
    tx.rollback().await?;
    Ok(verifier.finish().map(|place| place.sequence))
}
