//! Which ledger is corrected.

use crate::config::{Config, Outside};
use crate::ledger::store::{PostgresConfig, StoreConfig};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The ledger: of a configuration, or by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The configuration that weir serves with: its ledger, and its prices where
    /// no others are given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The ledger in this SQLite file.
    #[arg(long, value_name = "PATH", conflicts_with = "postgres_env")]
    sqlite: Option<PathBuf>,
    /// The ledger in PostgreSQL, whose postgres:// URL is in the environment
    /// variable of this name.
    #[arg(long, value_name = "NAME")]
    postgres_env: Option<String>,
}

impl Source {
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Which database, and what to call it: never by its URL. `config` is that of
    /// [`Source::config`].
    pub fn database(
        &self,
        config: Option<&Config>,
        outside: &dyn Outside,
    ) -> anyhow::Result<(StoreConfig, String)> {
        if let Some(path) = &self.sqlite {
            return sqlite(path);
        }
        if let Some(name) = &self.postgres_env {
            let url = outside
                .env(name)
                .and_then(|url| String::from_utf8(url).ok());
            let url = url.filter(|url| !url.trim().is_empty());
            let url = url.with_context(|| format!("--postgres-env: {name} is not set, or no text"));
            let config = PostgresConfig::new(url?.trim());
            return Ok((StoreConfig::Postgres(config), name.clone()));
        }
        let (Some(config), Some(path)) = (config, self.config()) else {
            bail!(
                "which ledger? Name weir's configuration with --config FILE, or the ledger \
                 itself with --sqlite PATH or --postgres-env NAME"
            );
        };
        let path = path.display();
        let Some(ledger) = &config.ledger else {
            bail!("{path}: ledger: is not set, so there are no calls to re-rate");
        };
        match (&ledger.postgres, &ledger.sqlite) {
            (Some(_), Some(_)) => bail!(
                "{path}: the ledger is in ledger.postgres and in ledger.sqlite: say which with \
                 --postgres-env NAME or --sqlite PATH, besides --config; they are corrected one \
                 by one"
            ),
            (Some(postgres), None) => {
                let config = PostgresConfig::new(postgres.url.expose());
                Ok((StoreConfig::Postgres(config), "ledger.postgres".to_owned()))
            }
            (None, Some(settings)) => sqlite(&settings.path),
            (None, None) => bail!(
                "{path}: the ledger has only a file: to re-rate its calls it needs ledger.sqlite \
                 or ledger.postgres"
            ),
        }
    }
}

/// A file that isn't there is no empty ledger.
fn sqlite(path: &Path) -> anyhow::Result<(StoreConfig, String)> {
    let name = path.display().to_string();
    if !path.is_file() {
        bail!("{name}: there is no such file, so no ledger");
    }
    let path = path.to_owned();
    Ok((StoreConfig::Sqlite { path }, name))
}
