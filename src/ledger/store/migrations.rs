//! The tables, version by version: the ledger's, and those that others keep in
//! the same database.
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

/// The ledger's.
pub const LEDGER: Tables = Tables {
    version_table: "ledger_version",
    versions: &VERSIONS,
};

/// For both engines, the oldest first: version 1, 2, ...
const VERSIONS: [Version; 4] = [
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
    Version {
        sqlite: include_str!("migrations/0004_asked.sqlite.sql"),
        postgres: include_str!("migrations/0004_asked.postgres.sql"),
    },
];

/// The advisory lock in PostgreSQL that guards tables and partitions: "weirledg".
pub const LOCK: i64 = 0x7765_6972_6c65_6467;

/// Tables that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// Where it stands how far they are.
    pub version_table: &'static str,
    pub versions: &'static [Version],
}

/// One step of some tables, as a script for each engine.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

impl Tables {
    fn known(&self) -> i64 {
        i64::try_from(self.versions.len()).unwrap_or(i64::MAX)
    }

    fn found(&self) -> String {
        format!(
            "SELECT COALESCE(MAX(version), 0) FROM {}",
            self.version_table
        )
    }
}

/// Brings the database to the version that this program knows.
///
/// # Errors
/// [`StoreError::Newer`], or it can't be reached.
pub async fn migrate(pool: &Pool, tables: &Tables) -> Result<(), StoreError> {
    let mut tx = pool.write().await?;
    lock(&mut tx).await?;
    let name = tables.version_table;
    tx.script(&format!(
        "CREATE TABLE IF NOT EXISTS {name} (version BIGINT NOT NULL PRIMARY KEY)"
    ))
    .await?;
    let found = tx.sql(&tables.found());
    let found = tx.number(found).await?;
    let known = tables.known();
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, scripts) in (1..).zip(tables.versions) {
        if version <= found {
            continue;
        }
        tx.script(match tx.dialect() {
            Dialect::Sqlite => scripts.sqlite,
            Dialect::Postgres => scripts.postgres,
        })
        .await?;
        let applied = tx
            .sql(&format!("INSERT INTO {name} VALUES ("))
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
pub async fn check(pool: &Pool, tables: &Tables) -> Result<(), StoreError> {
    let mut tx = pool.read().await?;
    let name = Value::Text(tables.version_table.to_owned());
    let there = match tx.dialect() {
        Dialect::Sqlite => tx
            .sql("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ")
            .bind(name),
        Dialect::Postgres => tx.sql("SELECT COUNT(to_regclass(").bind(name).and("))"),
    };
    if tx.number(there).await? == 0 {
        return Err(StoreError::NoLedger);
    }
    let found = tx.sql(&tables.found());
    let found = tx.number(found).await?;
    tx.rollback().await?;
    let known = tables.known();
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
