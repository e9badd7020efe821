//! Which ledger a command reads, corrects, or keeps keys in, from its arguments.

use crate::accounts::{Accounts, AccountsError};
use crate::app::reports::database;
use crate::config::{self, Config, Outside, Process};
use crate::ledger::store::{PostgresConfig, Store, StoreConfig};
use anyhow::{Context, anyhow, bail};
use std::path::{Path, PathBuf};

/// The ledger: by weir's configuration, or by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The configuration that weir serves with; its ledger is read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sqlite", "postgres_env"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    by_itself: ByItself,
}

/// A ledger without a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct ByItself {
    /// The ledger's SQLite file, in place of that of a configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "postgres_env")]
    sqlite: Option<PathBuf>,
    /// The environment variable that holds the ledger's postgres:// URL, in
    /// place of that of a configuration.
    #[arg(long, value_name = "NAME")]
    postgres_env: Option<String>,
}

/// What is done to a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Of a ledger in two databases either will do.
    Read,
    /// Of a ledger in two databases the one that is meant must be said.
    Change,
}

/// A database, and what to call it: never by its URL.
pub(super) struct Found {
    config: StoreConfig,
    name: String,
}

/// The database that keys are kept in.
pub(super) struct Database {
    pub store: StoreConfig,
    /// What to call it.
    pub name: String,
    /// The configuration that named it.
    pub config: Option<Box<Config>>,
}

impl Source {
    /// Which database keys are kept in. That of a configuration needn't be there
    /// yet.
    pub fn database(&self) -> anyhow::Result<Database> {
        let Some(path) = &self.config else {
            let Found { config, name } = self.by_itself.or_of(None, Use::Read, &Process)?;
            return Ok(Database {
                store: config,
                name,
                config: None,
            });
        };
        let config = load(path, &Process)?;
        let shown = path.display();
        let Some(ledger) = &config.ledger else {
            bail!("{shown}: there is no ledger: stored keys need its database");
        };
        let Some(store) = database(ledger) else {
            bail!(
                "{shown}: the ledger has only a file: stored keys need ledger.sqlite or \
                 ledger.postgres, besides it or in its place"
            );
        };
        let name = match &store {
            StoreConfig::Sqlite { path } => format!("ledger.sqlite: {}", path.display()),
            StoreConfig::Postgres(_) => "ledger.postgres".to_owned(),
        };
        Ok(Database {
            store,
            name,
            config: Some(Box::new(config)),
        })
    }

    /// Opens it, to read.
    pub async fn open(&self) -> anyhow::Result<Store> {
        let config = match &self.config {
            None => None,
            Some(path) => Some((path.as_path(), load(path, &Process)?)),
        };
        let config = config.as_ref().map(|(path, config)| (*path, config));
        let found = self.by_itself.or_of(config, Use::Read, &Process)?;
        found.open_to_read().await
    }
}

/// The configuration at that path.
pub(super) fn load(path: &Path, outside: &dyn Outside) -> anyhow::Result<Config> {
    config::load_file(path, outside).map_err(|problems| anyhow!("{problems}"))
}

/// The configuration at that path, to judge calls by: secrets that aren't there are
/// not missed.
pub(super) fn policy(path: &Path, outside: &dyn Outside) -> anyhow::Result<Config> {
    config::load_policy_file(path, outside).map_err(|problems| anyhow!("{problems}"))
}

impl ByItself {
    /// Which database: the one that is named, or else that of the configuration.
    pub fn or_of(
        &self,
        config: Option<(&Path, &Config)>,
        to: Use,
        outside: &dyn Outside,
    ) -> anyhow::Result<Found> {
        if let Some(path) = &self.sqlite {
            return sqlite(path, path.display().to_string());
        }
        if let Some(name) = &self.postgres_env {
            let url = outside.env(name);
            let url = url.and_then(|url| String::from_utf8(url).ok());
            let url = url.filter(|url| !url.trim().is_empty());
            let url = url.with_context(|| format!("--postgres-env: {name} is not set, or no text"));
            return Ok(Found {
                config: StoreConfig::Postgres(PostgresConfig::new(url?.trim())),
                name: name.clone(),
            });
        }
        let Some((path, config)) = config else {
            bail!(
                "which ledger? Name weir's configuration with --config FILE, or the ledger \
                 itself with --sqlite FILE or --postgres-env NAME"
            );
        };
        of_config(path, config, to)
    }
}

/// The database that is a configuration's sink of this name.
pub(super) fn database_of(config: Option<(&Path, &Config)>, sink: &str) -> anyhow::Result<Found> {
    let ledger = config.and_then(|(_, config)| config.ledger.as_ref());
    let database = ledger.and_then(|ledger| crate::app::reports::database_of(ledger, sink));
    let database = database.with_context(|| format!("ledger.{sink} is not configured"))?;
    named(database)
}

fn of_config(path: &Path, config: &Config, to: Use) -> anyhow::Result<Found> {
    let shown = path.display();
    let need = match to {
        Use::Read => "reports need",
        Use::Change => "corrections need",
    };
    let Some(ledger) = &config.ledger else {
        bail!(
            "{shown}: there is no ledger: {need} one; with `ledger: {{}}` weir records \
             every call from then on"
        );
    };
    if to == Use::Change && ledger.postgres.is_some() && ledger.sqlite.is_some() {
        bail!(
            "{shown}: the ledger is in ledger.postgres and in ledger.sqlite: say which with \
             --postgres-env NAME or --sqlite FILE, besides --config; they are changed one by one"
        );
    }
    let Some(database) = database(ledger) else {
        bail!(
            "{shown}: the ledger has only a file: {need} ledger.sqlite or ledger.postgres, \
             besides it or in its place"
        );
    };
    named(database)
}

fn named(database: StoreConfig) -> anyhow::Result<Found> {
    match database {
        StoreConfig::Sqlite { path } => sqlite(&path, format!("ledger.sqlite: {}", path.display())),
        config @ StoreConfig::Postgres(_) => Ok(Found {
            config,
            name: "ledger.postgres".to_owned(),
        }),
    }
}

/// A file that isn't there is no empty ledger.
pub(super) fn sqlite(path: &Path, name: String) -> anyhow::Result<Found> {
    let found = std::fs::metadata(path);
    let found = found.with_context(|| {
        format!("{name}: there is no ledger: has weir served here, and is the path right?")
    })?;
    if !found.is_file() {
        bail!("{name}: is no file");
    }
    let path = path.to_owned();
    Ok(Found {
        config: StoreConfig::Sqlite { path },
        name,
    })
}

impl Found {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it so that nothing in it can change.
    pub async fn open_to_read(&self) -> anyhow::Result<Store> {
        let opened = Store::open_to_read(&self.config).await;
        opened.with_context(|| format!("{}: can't be read", self.name))
    }

    /// The keys, grants and the like beside it, to read; `None`: there are none.
    pub async fn accounts_to_read(&self) -> anyhow::Result<Option<Accounts>> {
        match Accounts::open_to_read(&self.config).await {
            Ok(accounts) => Ok(Some(accounts)),
            Err(AccountsError::NoAccounts) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{}: can't be read", self.name)),
        }
    }

    /// Opens it, to write too. Tables are made and brought to a newer version by
    /// who serves, not by a command, which may be given another program's database.
    pub async fn open_to_change(&self) -> anyhow::Result<Store> {
        let found = Store::open_to_read(&self.config).await;
        let opened = match found {
            Err(error) => Err(error),
            Ok(found) => {
                found.close().await;
                Store::open(&self.config).await
            }
        };
        opened.with_context(|| format!("{}: can't be opened", self.name))
    }
}
