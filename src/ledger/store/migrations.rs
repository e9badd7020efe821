//! The tables, version by version.
//!
//! Always holds: a version is applied once, whole, by one of the programs that
//! start at the same time; a database of a newer version is left alone.
//!
//! To add one: a file for each engine beside the others, a row in [`VERSIONS`].
//! A released file is never edited.

use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::value::{Dialect, Value};
use std::cmp::Ordering;

/// For both engines, the oldest first: version 1, 2, ...
const VERSIONS: [Version; 3] = [
    Version {
        sqlite: include_str!("migrations/0001_ledger.sqlite.sql"),
        postgres: include_str!("migrations/0001_ledger.postgres.sql"),
    },
    Version {
        sqlite: include_str!("migrations/0002_served.sqlite.sql"),
        postgres: include_str!("migrations/0002_served.postgres.sql"),
    },
    Version {
        sqlite: include_str!("migrations/0003_known_by_kind.sqlite.sql"),
        postgres: include_str!("migrations/0003_known_by_kind.postgres.sql"),
    },
];

/// The advisory lock in PostgreSQL that guards tables and partitions: "weirledg".
pub const LOCK: i64 = 0x7765_6972_6c65_6467;

struct Version {
    sqlite: &'static str,
    postgres: &'static str,
}

/// Brings the database to the version that this program knows.
///
/// # Errors
/// [`StoreError::Newer`], or it can't be reached.
pub async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    let mut tx = pool.write().await?;
    lock(&mut tx).await?;
    tx.script("CREATE TABLE IF NOT EXISTS ledger_version (version BIGINT NOT NULL PRIMARY KEY)")
        .await?;
    let found = tx.sql("SELECT COALESCE(MAX(version), 0) FROM ledger_version");
    let found = tx.number(found).await?;
    let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, scripts) in (1..).zip(&VERSIONS) {
        if version <= found {
            continue;
        }
        tx.script(match tx.dialect() {
            Dialect::Sqlite => scripts.sqlite,
            Dialect::Postgres => scripts.postgres,
        })
        .await?;
        let applied = tx
            .sql("INSERT INTO ledger_version VALUES (")
            .bind(Value::Int(version))
            .and(")");
        tx.execute(applied).await?;
    }
    tx.commit().await
}

/// Whether the database is of the version that this program knows. Changes
/// nothing.
///
/// # Errors
/// [`StoreError::NoLedger`], [`StoreError::Older`], [`StoreError::Newer`], or it
/// can't be reached.
pub async fn check(pool: &Pool) -> Result<(), StoreError> {
    let mut tx = pool.read().await?;
    let there = tx.sql(match tx.dialect() {
        Dialect::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'ledger_version'"
        }
        Dialect::Postgres => "SELECT COUNT(to_regclass('ledger_version'))",
    });
    if tx.number(there).await? == 0 {
        return Err(StoreError::NoLedger);
    }
    let found = tx.sql("SELECT COALESCE(MAX(version), 0) FROM ledger_version");
    let found = tx.number(found).await?;
    tx.rollback().await?;
    let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
    match found.cmp(&known) {
        Ordering::Less => Err(StoreError::Older { found, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { found, known }),
    }
}

/// Keeps others from changing tables until the transaction ends. A writing
/// transaction of SQLite does so by itself.
pub async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres {
        let lock = tx
            .sql("SELECT pg_advisory_xact_lock(")
            .bind(Value::Int(LOCK))
            .and(")");
        tx.execute(lock).await?;
    }
    Ok(())
}
