//! What all commands on stored keys need: the database, the pepper, a name for the
//! audit, and ways to print.

use crate::accounts::Accounts;
use crate::cli::server::ServerArgs;
use crate::cli::source::{Database, Source, sqlite};
use crate::config::keys::OwnLimits;
use crate::config::{Config, Process, SecretSource, read_pepper};
use crate::driver::clock::Clock;
use crate::identity::Pepper;
use crate::ledger::store::StoreConfig;
use crate::pricing::date::Written;
use crate::units::UnixMillis;
use anyhow::{Context, anyhow};
use std::io::Write;
use std::path::PathBuf;

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// The longest name of a user that the audit takes.
const ACTOR_BYTES_MAX: usize = 64;

/// How things are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Which database.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Where {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    pub server: ServerArgs,
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// What keys are hashed with, where no configuration says it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PepperArgs {
    /// The environment variable that holds the pepper; with --config, the
    /// configuration says what it is.
    #[arg(long, value_name = "NAME", default_value = "WEIR_PEPPER")]
    pepper_env: String,
    /// A file that holds the pepper.
    #[arg(long, value_name = "FILE", conflicts_with = "pepper_env")]
    pepper_file: Option<PathBuf>,
}

/// An opened database.
pub(in crate::cli) struct Opened {
    pub accounts: Accounts,
    pub config: Option<Box<Config>>,
}

impl Where {
    /// To read; nothing is made.
    pub async fn open_to_read(&self) -> anyhow::Result<Opened> {
        let Database {
            store,
            name,
            config,
        } = self.source.database()?;
        if let StoreConfig::Sqlite { path } = &store {
            sqlite(path, name.clone())?;
        }
        let accounts = Accounts::open_to_read(&store).await;
        let accounts = accounts.with_context(|| format!("{name}: can't be read"))?;
        Ok(Opened { accounts, config })
    }

    /// To write; a configuration's database is prepared where weir hasn't served
    /// yet.
    pub async fn open(&self) -> anyhow::Result<Opened> {
        let database = self.source.database()?;
        let accounts = Self::open_database(&database).await?;
        let config = database.config;
        Ok(Opened { accounts, config })
    }

    /// Which database it is.
    pub fn database(&self) -> anyhow::Result<Database> {
        self.source.database()
    }

    /// As [`Where::open`], of one that is known.
    pub async fn open_database(database: &Database) -> anyhow::Result<Accounts> {
        let Database {
            store,
            name,
            config,
        } = database;
        if let StoreConfig::Sqlite { path } = store {
            match (config, path.parent()) {
                (Some(_), Some(folder)) => std::fs::create_dir_all(folder)
                    .with_context(|| format!("{}: can't be made", folder.display()))?,
                _ => drop(sqlite(path, name.clone())?),
            }
        }
        let accounts = Accounts::open(store).await;
        accounts.with_context(|| format!("{name}: can't be opened"))
    }
}

impl Opened {
    /// What keys are hashed with.
    pub fn pepper(&self, args: &PepperArgs) -> anyhow::Result<Pepper> {
        if let Some(config) = &self.config {
            let peppers = config.snapshot.keys.peppers.as_ref();
            let peppers = peppers.ok_or_else(|| anyhow!("identity.pepper is not set"))?;
            return Ok(peppers.now.clone());
        }
        let (source, name) = match &args.pepper_file {
            Some(path) => (SecretSource::File(path.clone()), "--pepper-file"),
            None => (SecretSource::Env(args.pepper_env.clone()), "--pepper-env"),
        };
        read_pepper(&source, &Process).map_err(|error| anyhow!("the pepper ({name}) {error}"))
    }

    /// What limits of keys may speak of.
    pub fn own_limits(&self) -> OwnLimits {
        let config = self.config.as_ref();
        config.map_or_else(OwnLimits::default, |config| OwnLimits::of(&config.snapshot))
    }

    /// Whether a key of this name would be hidden by one of the configuration.
    pub fn is_configured(&self, id: &str) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.snapshot.keys.by_id(id).is_some())
    }

    /// Says so where a tenant's calls would be refused as things are.
    pub fn warn_of_tenant(&self, tenant: &str) {
        let Some(config) = &self.config else { return };
        let snapshot = &config.snapshot;
        if snapshot.default_plan.is_none() && !snapshot.tenants.contains_key(tenant) {
            hint(&format!(
                "warning: {tenant} is not among the configuration's tenants, and identity.default_plan \
                 is not set: its calls are refused"
            ));
        }
    }
}

/// A line for people, beside what is printed.
pub(in crate::cli) fn hint(text: &str) {
    // Nobody is left to tell where this fails too.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Who asks, as the system knows them.
pub(in crate::cli) fn actor() -> String {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    let known: String = user.chars().filter(|c| c.is_ascii_graphic()).collect();
    let end = known.len().min(ACTOR_BYTES_MAX);
    format!("cli/{}", known.get(..end).unwrap_or_default())
}

pub(in crate::cli) fn now() -> UnixMillis {
    Clock::start().now()
}

/// Carries out what waits for a database.
pub(in crate::cli) fn block_on<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// Whether it is that nobody reads what is printed any more.
pub(in crate::cli) fn nobody_listens(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

pub(in crate::cli) fn time(at: Option<UnixMillis>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| Written(at).to_string())
}

/// To the hour.
pub(in crate::cli) fn hour(hour: Option<u32>) -> String {
    let at = hour.map(|hour| UnixMillis(u64::from(hour).saturating_mul(HOUR_MS)));
    at.map_or_else(|| "never".to_owned(), |at| Written(at).to_string())
}

/// Rows under their heads, in columns.
pub(in crate::cli) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let head = head.map(str::to_owned);
    std::iter::once(&head).chain(rows).map(line).collect()
}
