//! The tables, version by version: the ledger's, and those that others keep in
//! the same database.
//!
//! Always holds: a version is applied once, whole, by one of the programs that
//! start at the same time; a database of a newer version is left alone, unless the
//! newer program said that older ones may go on with it ([`Version::oldest`]): then
//! they work with the tables that they know of, and a release can be taken back.
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
        oldest: 1,
        sqlite: include_str!("migrations/0001_ledger.sqlite.sql"),
        postgres: include_str!("migrations/0001_ledger.postgres.sql"),
    },
    Version {
        oldest: 2,
        sqlite: include_str!("migrations/0002_served.sqlite.sql"),
        postgres: include_str!("migrations/0002_served.postgres.sql"),
    },
    Version {
        oldest: 3,
        sqlite: include_str!("migrations/0003_known_by_kind.sqlite.sql"),
        postgres: include_str!("migrations/0003_known_by_kind.postgres.sql"),
    },
    Version {
        oldest: 4,
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
    /// The oldest version whose programs can write and read these tables too: this
    /// one's own, or an earlier one where columns that may be absent and tables of
    /// their own are all that came since.
    pub oldest: i64,
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

impl Tables {
    fn known(&self) -> i64 {
        i64::try_from(self.versions.len()).unwrap_or(i64::MAX)
    }

    /// Where each version's [`Version::oldest`] is told, to programs that don't know it.
    fn oldest_table(&self) -> String {
        format!("{}_oldest", self.version_table)
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
        return match works_with(&mut tx, tables).await? {
            true => tx.commit().await,
            false => Err(StoreError::Newer { found, known }),
        };
    }
    let oldest = tables.oldest_table();
    tx.script(&format!(
        "CREATE TABLE IF NOT EXISTS {oldest} (version BIGINT NOT NULL PRIMARY KEY, oldest BIGINT NOT NULL)"
    ))
    .await?;
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
        let told = tx
            .sql(&format!("INSERT INTO {oldest} VALUES ("))
            .bind(Value::Int(version))
            .and(", ")
            .bind(Value::Int(scripts.oldest))
            .and(") ON CONFLICT (version) DO UPDATE SET oldest = excluded.oldest");
        tx.execute(told).await?;
    }
    tx.commit().await
}

/// Whether newer tables say that programs as old as this one may go on with them.
async fn works_with(tx: &mut Tx, tables: &Tables) -> Result<bool, StoreError> {
    let (oldest, known) = (tables.oldest_table(), tables.known());
    if !is_there(tx, &oldest).await? {
        return Ok(false);
    }
    // A version that doesn't say it is for its own programs alone.
    let told = tx.sql(&format!(
        "SELECT COALESCE(MAX(COALESCE(o.oldest, v.version)), 0) FROM {} v \
         LEFT JOIN {oldest} o ON o.version = v.version",
        tables.version_table
    ));
    Ok(tx.number(told).await? <= known)
}

async fn is_there(tx: &mut Tx, table: &str) -> Result<bool, StoreError> {
    let name = Value::Text(table.to_owned());
    let there = match tx.dialect() {
        Dialect::Sqlite => tx
            .sql("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ")
            .bind(name),
        Dialect::Postgres => tx.sql("SELECT COUNT(to_regclass(").bind(name).and("))"),
    };
    Ok(tx.number(there).await? > 0)
}

/// Whether the database is of the version that this program knows. Changes
/// nothing.
///
/// # Errors
/// [`StoreError::NoLedger`], [`StoreError::Older`], [`StoreError::Newer`], or it
/// can't be reached.
pub async fn check(pool: &Pool, tables: &Tables) -> Result<(), StoreError> {
    let mut tx = pool.read().await?;
    if !is_there(&mut tx, tables.version_table).await? {
        return Err(StoreError::NoLedger);
    }
    let found = tx.sql(&tables.found());
    let found = tx.number(found).await?;
    let known = tables.known();
    let works = found > known && works_with(&mut tx, tables).await?;
    tx.rollback().await?;
    match found.cmp(&known) {
        Ordering::Less => Err(StoreError::Older { found, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater if works => Ok(()),
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
