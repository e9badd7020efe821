//! Where reports are read from: a configuration's ledger.

use crate::config::LedgerConfig;
use crate::ledger::store::{PostgresConfig, StoreConfig};

/// The database that is the ledger's sink of this name.
pub fn database_of(ledger: &LedgerConfig, sink: &str) -> Option<StoreConfig> {
    let only = LedgerConfig {
        postgres: ledger.postgres.clone().filter(|_| sink == "postgres"),
        sqlite: ledger.sqlite.clone().filter(|_| sink == "sqlite"),
        ..ledger.clone()
    };
    database(&only)
}

/// The database of a ledger that has one. Of both, PostgreSQL: a fleet shares
/// it, while a file has only what its own sidecar wrote.
pub fn database(ledger: &LedgerConfig) -> Option<StoreConfig> {
    if let Some(postgres) = &ledger.postgres {
        let mut config = PostgresConfig::new(postgres.url.expose());
        config.connections_max = u32::try_from(postgres.connections).unwrap_or(u32::MAX);
        return Some(StoreConfig::Postgres(config));
    }
    let sqlite = ledger.sqlite.as_ref()?;
    Some(StoreConfig::Sqlite {
        path: sqlite.path.clone(),
    })
}
