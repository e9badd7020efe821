//! Which ledger a command reads, from its arguments.

use crate::config::{self, Outside, Process};
use crate::ledger::store::{PostgresConfig, Store, StoreConfig};
use anyhow::{Context, anyhow, bail};
use std::path::{Path, PathBuf};

/// Which ledger: one of these.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct SourceArgs {
    /// The ledger of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The ledger in this SQLite file.
    #[arg(long, value_name = "PATH")]
    sqlite: Option<PathBuf>,
    /// The ledger in PostgreSQL, whose URL is in the environment variable of this
    /// name.
    #[arg(long, value_name = "NAME")]
    postgres_env: Option<String>,
}

impl SourceArgs {
    /// Connects. A SQLite file that isn't there is not made.
    ///
    /// # Errors
    /// Where there is no such ledger, with its place; never with its URL.
    pub async fn open(&self) -> anyhow::Result<Store> {
        let store = self.store_config(&Process)?;
        if let StoreConfig::Sqlite { path } = &store
            && !path.is_file()
        {
            bail!("{}: there is no such file", path.display());
        }
        let opened = Store::open(&store).await;
        opened.with_context(|| match &store {
            StoreConfig::Sqlite { path } => path.display().to_string(),
            StoreConfig::Postgres(_) => "postgres".to_owned(),
        })
    }

    fn store_config(&self, outside: &dyn Outside) -> anyhow::Result<StoreConfig> {
        match (&self.config, &self.sqlite, &self.postgres_env) {
            (Some(path), ..) => configured(path, outside),
            (None, Some(path), _) => Ok(StoreConfig::Sqlite { path: path.clone() }),
            (None, None, Some(name)) => {
                let value = outside.env(name).filter(|value| !value.is_empty());
                let value = value.with_context(|| format!("{name} is not set"))?;
                let url = String::from_utf8(value).ok();
                let url = url.with_context(|| format!("{name} is not UTF-8"))?;
                Ok(StoreConfig::Postgres(PostgresConfig::new(url.trim())))
            }
            (None, None, None) => bail!("say which: --config, --sqlite or --postgres-env"),
        }
    }
}

/// Where a configuration has both, PostgreSQL: there the rows of all sidecars are.
fn configured(path: &Path, outside: &dyn Outside) -> anyhow::Result<StoreConfig> {
    let config = config::load_file(path, outside).map_err(|problems| anyhow!("{problems}"))?;
    let place = path.display();
    let Some(ledger) = config.ledger else {
        bail!("{place}: ledger: is not set, so there are no rows");
    };
    match (ledger.postgres, ledger.sqlite) {
        (Some(postgres), _) => Ok(StoreConfig::Postgres(PostgresConfig::new(
            postgres.url.expose(),
        ))),
        (None, Some(sqlite)) => Ok(StoreConfig::Sqlite { path: sqlite.path }),
        (None, None) => {
            bail!("{place}: ledger: has neither sqlite nor postgres, so no rows can be asked for")
        }
    }
}
