//! Grants, denials and top-ups, and then what changes: what every sidecar reads.
//!
//! Always holds: who has read up to a number has all that was changed before it, as
//! of keys ([`super::follow`]), by the same numbers; what isn't understood counts as
//! taken back.

use super::error::AccountsError;
use super::grants::StoredGrant;
use super::lasting::Lasting;
use super::top_ups::StoredTopUp;
use super::{Accounts, approvals, head, row};
use crate::ledger::store::database::{Tx, Type, Value};
use crate::policy::grants::GrantChange;
use crate::policy::top_ups::TopUpChange;
use crate::units::UnixMillis;
use std::sync::Arc;

/// What has changed of what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The database's own name: of another one all must be read anew.
    pub database: Arc<str>,
    /// The number of the last change there is.
    pub head: i64,
    /// All changes up to this one were read; if it isn't [`Allowed::head`], there
    /// are more.
    pub upto: i64,
    /// In the order of their changes.
    pub grants: Vec<GrantChange>,
    pub top_ups: Vec<TopUpChange>,
    /// The ids of rows that aren't understood.
    pub unread: Vec<Arc<str>>,
}

/// A table that is followed: its first column is the id, its last the number of the
/// last change.
struct Table {
    name: &'static str,
    columns: &'static str,
    types: &'static [Type],
    /// Of what holds at a time that follows.
    live: &'static str,
}

const REQUESTS: Table = Table {
    name: "approval_requests",
    columns: approvals::COLUMNS,
    types: &approvals::TYPES,
    live: "state = 'denied' AND denied_until_ms > ",
};
const GRANTS: Table = lasting::<StoredGrant>();
const TOP_UPS: Table = lasting::<StoredTopUp>();

const fn lasting<T: Lasting>() -> Table {
    Table {
        name: T::TABLE,
        columns: T::COLUMNS,
        types: T::TYPES,
        live: "revoked_at_ms IS NULL AND until_ms > ",
    }
}

/// What was read of a table, by the numbers of changes.
type Read<T> = Vec<(i64, Result<T, Arc<str>>)>;

impl Accounts {
    /// What has changed after a change, at most about so many of each kind.
    /// `live_at`: of what is there only what holds then, to begin with.
    ///
    /// # Errors
    /// [`AccountsError::Database`].
    pub async fn allowed(
        &self,
        after: i64,
        live_at: Option<UnixMillis>,
        max: usize,
    ) -> Result<Allowed, AccountsError> {
        let mut tx = self.pool.read().await?;
        let head = head::read(&mut tx).await?;
        let of = Asked {
            after,
            live_at,
            max,
        };
        let request = |row| approvals::StoredRequest::of_row(row).map(|row| row.change());
        let requests = of.read(&mut tx, &REQUESTS, request).await?;
        let grant = |row| StoredGrant::of_row(row).map(|row| row.change());
        let grants = of.read(&mut tx, &GRANTS, grant).await?;
        let top_up = |row| StoredTopUp::of_row(row).map(|row| row.change());
        let top_ups = of.read(&mut tx, &TOP_UPS, top_up).await?;
        tx.rollback().await?;
        // What a page was too short for is read with the next one.
        let ends = [of.end(&requests), of.end(&grants), of.end(&top_ups)];
        let upto = ends.into_iter().flatten().min().unwrap_or(head.changed);
        let mut unread = Vec::new();
        let undenied = GrantChange::Undenied;
        let mut of_both = understood(requests, upto, undenied, &mut unread);
        of_both.extend(understood(grants, upto, GrantChange::Revoked, &mut unread));
        let top_ups = understood(top_ups, upto, TopUpChange::Revoked, &mut unread);
        Ok(Allowed {
            database: head.name,
            head: head.changed,
            upto,
            grants: of_both,
            top_ups,
            unread,
        })
    }
}

#[derive(Clone, Copy)]
struct Asked {
    after: i64,
    live_at: Option<UnixMillis>,
    max: usize,
}

impl Asked {
    async fn read<T>(
        self,
        tx: &mut Tx,
        table: &Table,
        read: impl Fn(Vec<Value>) -> Result<T, AccountsError>,
    ) -> Result<Read<T>, AccountsError> {
        let Table {
            name,
            columns,
            types,
            live,
        } = table;
        let mut sql = tx
            .sql(&format!("SELECT {columns} FROM {name} WHERE changed > "))
            .bind(Value::Int(self.after));
        if let Some(now) = self.live_at {
            sql.push(&format!(" AND {live}"));
            sql.push_value(row::at(Some(now)));
        }
        sql.push(&format!(" ORDER BY changed LIMIT {}", self.max.max(1)));
        let rows = tx.fetch(sql, types).await?.into_iter();
        let each = rows.map(|row| {
            let id = row::Reader::of(row.get(..1).unwrap_or_default().to_vec()).name()?;
            match row.last() {
                Some(Value::Int(changed)) => Ok((*changed, read(row).map_err(|_| id))),
                _ => Err(AccountsError::Unreadable("a change has no number")),
            }
        });
        each.collect()
    }

    /// The last change of a page that may be too short; `None`: it has all.
    fn end<T>(self, page: &Read<T>) -> Option<i64> {
        let is_full = page.len() >= self.max.max(1);
        page.last().map(|(changed, _)| *changed).filter(|_| is_full)
    }
}

fn understood<T>(
    page: Read<T>,
    upto: i64,
    taken_back: impl Fn(Arc<str>) -> T,
    unread: &mut Vec<Arc<str>>,
) -> Vec<T> {
    let read = page.into_iter().filter(|(changed, _)| *changed <= upto);
    let each = read.map(|(_, row)| {
        row.unwrap_or_else(|id| {
            unread.push(Arc::clone(&id));
            taken_back(id)
        })
    });
    each.collect()
}
