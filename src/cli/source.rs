//! Which ledger a command reads or writes, from its arguments.

use crate::app::reports::database;
use crate::config::{self, Config, Process};
use crate::ledger::store::{PostgresConfig, Store, StoreConfig};
use anyhow::{Context, anyhow, bail};
use std::path::{Path, PathBuf};

/// The ledger: by weir's configuration, or by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The configuration that weir serves with; its ledger is read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sqlite", "postgres_env"])]
    config: Option<PathBuf>,
    /// The ledger's SQLite file, in place of a configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "postgres_env")]
    sqlite: Option<PathBuf>,
    /// The environment variable that holds the ledger's postgres:// URL, in
    /// place of a configuration.
    #[arg(long, value_name = "NAME")]
    postgres_env: Option<String>,
}

/// A ledger's database.
pub(super) struct Database {
    pub store: StoreConfig,
    /// What to call it.
    pub name: String,
    /// The configuration that named it.
    pub config: Option<Box<Config>>,
}

impl Source {
    /// Opens it, to read.
    pub async fn open(&self) -> anyhow::Result<Store> {
        let Database { store, name, .. } = self.database("reports")?;
        if let StoreConfig::Sqlite { path } = &store {
            exists(path)?;
        }
        let opened = Store::open_to_read(&store).await;
        opened.with_context(|| format!("{name}: can't be read"))
    }

    /// Which database, for what.
    pub fn database(&self, what: &str) -> anyhow::Result<Database> {
        let named = |store, name| Database {
            store,
            name,
            config: None,
        };
        if let Some(path) = &self.sqlite {
            let path = path.clone();
            let name = path.display().to_string();
            return Ok(named(StoreConfig::Sqlite { path }, name));
        }
        if let Some(name) = &self.postgres_env {
            let url = std::env::var(name);
            let url = url.map_err(|_| anyhow!("--postgres-env: {name} is not set, or no text"))?;
            let store = StoreConfig::Postgres(PostgresConfig::new(url));
            return Ok(named(store, name.clone()));
        }
        let Some(path) = &self.config else {
            bail!(
                "which ledger? Name weir's configuration with --config FILE, or the ledger \
                 itself with --sqlite FILE or --postgres-env NAME"
            );
        };
        let config = config::load_file(path, &Process).map_err(|error| anyhow!("{error}"))?;
        let shown = path.display();
        let Some(ledger) = &config.ledger else {
            bail!(
                "{shown}: there is no ledger: {what} need one; with `ledger: {{}}` weir \
                 records every call from then on"
            );
        };
        let Some(database) = database(ledger) else {
            bail!(
                "{shown}: the ledger has only a file: {what} need ledger.sqlite or \
                 ledger.postgres, besides it or in its place"
            );
        };
        let name = match &database {
            StoreConfig::Sqlite { path } => format!("ledger.sqlite: {}", path.display()),
            StoreConfig::Postgres(_) => "ledger.postgres".to_owned(),
        };
        Ok(Database {
            store: database,
            name,
            config: Some(Box::new(config)),
        })
    }
}

/// A file that isn't there is no empty ledger.
pub(super) fn exists(path: &Path) -> anyhow::Result<()> {
    let found = std::fs::metadata(path);
    let found = found.with_context(|| {
        format!(
            "{}: there is no ledger: has weir served here, and is the path right?",
            path.display()
        )
    })?;
    if !found.is_file() {
        bail!("{}: is no file", path.display());
    }
    Ok(())
}
