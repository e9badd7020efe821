//! Which ledger a command reads, from its arguments.

use crate::app::reports::database;
use crate::config::{self, Process};
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

impl Source {
    /// Opens it, to read.
    pub async fn open(&self) -> anyhow::Result<Store> {
        let (config, name) = self.config()?;
        if let StoreConfig::Sqlite { path } = &config {
            exists(path)?;
        }
        let opened = Store::open_to_read(&config).await;
        opened.with_context(|| format!("{name}: can't be read"))
    }

    /// Which database, and what to call it.
    fn config(&self) -> anyhow::Result<(StoreConfig, String)> {
        if let Some(path) = &self.sqlite {
            let path = path.clone();
            let name = path.display().to_string();
            return Ok((StoreConfig::Sqlite { path }, name));
        }
        if let Some(name) = &self.postgres_env {
            let url = std::env::var(name);
            let url = url.map_err(|_| anyhow!("--postgres-env: {name} is not set, or no text"))?;
            return Ok((
                StoreConfig::Postgres(PostgresConfig::new(url)),
                name.clone(),
            ));
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
                "{shown}: there is no ledger: reports need one; with `ledger: {{}}` weir \
                 records every call from then on"
            );
        };
        let Some(database) = database(ledger) else {
            bail!(
                "{shown}: the ledger has only a file: reports need ledger.sqlite or \
                 ledger.postgres, besides it or in its place"
            );
        };
        let name = match &database {
            StoreConfig::Sqlite { path } => format!("ledger.sqlite: {}", path.display()),
            StoreConfig::Postgres(_) => "ledger.postgres".to_owned(),
        };
        Ok((database, name))
    }
}

/// A file that isn't there is no empty ledger.
fn exists(path: &Path) -> anyhow::Result<()> {
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
