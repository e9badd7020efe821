//! Opens the engines, each with the settings that make a delivered batch safe.

use super::engine::Pool;
use super::error::StoreError;
use super::remote::{self, PING_MAX, Server};
use crate::units::Millis;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long SQLite waits for another's transaction: many batches.
const LOCK_TIMEOUT: Millis = Millis(5_000);
/// Between two tries to get a new file alone, which is had for milliseconds.
const SWITCH_PAUSE: Duration = Duration::from_millis(10);
/// Another has locked what is needed.
const SQLITE_BUSY: u32 = 5;
/// One writes at a time anyhow; the others read.
const SQLITE_CONNECTIONS_MAX: u32 = 4;

/// Which engine, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// A file, made if it isn't there. Its folder must be.
    Sqlite {
        path: PathBuf,
    },
    Postgres(PostgresConfig),
}

/// How to reach a PostgreSQL server.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database?sslmode=verify-full`, with
    /// what else libpq knows of such URLs. Never shown.
    pub url: String,
    pub connections_max: u32,
    /// How long to wait for a connection.
    pub connect_timeout: Millis,
    /// How long to wait for the answer to a statement of what is written, and of
    /// what is read. After that the connection is closed.
    pub write_timeout: Millis,
    pub read_timeout: Millis,
}

impl PostgresConfig {
    pub const CONNECTIONS_MAX_DEFAULT: u32 = 4;
    pub const CONNECT_TIMEOUT_DEFAULT: Millis = Millis(5_000);
    /// Far more than a batch needs, and than [`SESSION`] lets a lock be waited for.
    pub const WRITE_TIMEOUT_DEFAULT: Millis = Millis::from_secs(30);
    /// A report over many millions of rows takes minutes.
    pub const READ_TIMEOUT_DEFAULT: Millis = Millis::from_mins(10);

    /// With the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections_max: Self::CONNECTIONS_MAX_DEFAULT,
            connect_timeout: Self::CONNECT_TIMEOUT_DEFAULT,
            write_timeout: Self::WRITE_TIMEOUT_DEFAULT,
            read_timeout: Self::READ_TIMEOUT_DEFAULT,
        }
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("connections_max", &self.connections_max)
            .field("connect_timeout", &self.connect_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("read_timeout", &self.read_timeout)
            .finish_non_exhaustive()
    }
}

/// Connects.
pub async fn connect(config: &StoreConfig) -> Result<Pool, StoreError> {
    match config {
        StoreConfig::Sqlite { path } => sqlite(path).await,
        StoreConfig::Postgres(config) => postgres(config).await,
    }
}

/// Connects to read: a file that isn't there isn't made, one that is isn't
/// changed. PostgreSQL's transactions that read say so themselves.
pub async fn connect_to_read(config: &StoreConfig) -> Result<Pool, StoreError> {
    let path = match config {
        StoreConfig::Sqlite { path } => path,
        StoreConfig::Postgres(config) => return postgres(config).await,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(LOCK_TIMEOUT.into())
        .pragma("cache_size", "-32768")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS_MAX)
        .acquire_timeout(LOCK_TIMEOUT.into());
    Ok(Pool::Sqlite(pool.connect_with(options).await?))
}

/// `synchronous = FULL`: with a write-ahead log `NORMAL` may lose the last
/// commits when power fails, and the relay moves on after a commit. A batch is
/// one commit, so the sync is shared by its rows.
async fn sqlite(path: &Path) -> Result<Pool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_TIMEOUT.into())
        // 32 MiB of pages: the upper levels of the indexes of many rows.
        .pragma("cache_size", "-32768")
        // Pages of the log before it is moved into the file: 16 MiB.
        .pragma("wal_autocheckpoint", "4096")
        .disable_statement_logging();
    write_ahead(&options).await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS_MAX)
        .acquire_timeout(LOCK_TIMEOUT.into());
    Ok(Pool::Sqlite(pool.connect_with(options).await?))
}

/// Gives the file its write-ahead log, which it keeps. A file that has none yet must
/// be had alone for that, and SQLite doesn't wait for it: whoever finds another there,
/// who may want the same, is turned away at once, whatever the timeout
/// ([`SQLITE_BUSY`](https://www.sqlite.org/rescode.html#busy)). So it is asked again.
async fn write_ahead(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let switch = async {
        loop {
            let switched = match options.connect().await {
                Ok(connection) => connection.close().await,
                Err(error) => Err(error),
            };
            match switched {
                Err(error) if is_busy(&error) => tokio::time::sleep(SWITCH_PAUSE).await,
                switched => return switched,
            }
        }
    };
    match tokio::time::timeout(LOCK_TIMEOUT.into(), switch).await {
        Ok(switched) => Ok(switched?),
        Err(_) => Err(StoreError::Away(
            "others have locked the new file".to_owned(),
        )),
    }
}

/// The result code, or an extended one, whose last byte it is.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

async fn postgres(config: &PostgresConfig) -> Result<Pool, StoreError> {
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| config.url.starts_with(scheme))
    {
        return Err(StoreError::Address("it doesn't begin with `postgres://`"));
    }
    let options = PgConnectOptions::from_str(&config.url)
        .map_err(|_| StoreError::Address("what follows `postgres://` isn't understood"))?
        .application_name("weir")
        .disable_statement_logging();
    let session = format!("{SESSION}{}", timeouts(config.read_timeout));
    let session: Arc<str> = session.into();
    let ping_max = PING_MAX.min(config.write_timeout.into());
    let opened = Arc::<AtomicU64>::default();
    let count = Arc::clone(&opened);
    let pool = PgPoolOptions::new()
        .max_connections(config.connections_max.max(2))
        .acquire_timeout(config.connect_timeout.into())
        // Its own asks without a bound.
        .test_before_acquire(false)
        .before_acquire(move |connection, _| Box::pin(remote::is_there(connection, ping_max)))
        .after_connect(move |connection, _| {
            let session = Arc::clone(&session);
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let session = sqlx::raw_sql(AssertSqlSafe(session));
                session.execute(connection).await.map(drop)
            })
        });
    Ok(Pool::Postgres(Server {
        pool: pool.connect_with(options).await?,
        write_max: config.write_timeout.into(),
        read_max: config.read_timeout.into(),
        ping_max,
        opened,
    }))
}

/// What every connection to PostgreSQL begins with: a commit that was answered
/// is on disk, whatever the server's default; nobody waits for locks without
/// end, nor keeps them after being cut off: the server looks within a minute
/// whether who asked is still there.
const SESSION: &str = "\
SELECT set_config('synchronous_commit', 'on', false) \
WHERE current_setting('synchronous_commit') = 'off'; \
SET lock_timeout = '20s'; \
SET idle_in_transaction_session_timeout = '60s'; \
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// Nor does it work on for whoever has stopped waiting.
fn timeouts(read: Millis) -> String {
    let ms = read.0.min(i32::MAX as u64);
    format!(
        "; SELECT set_config('statement_timeout', '{ms}', false) \
         WHERE current_setting('statement_timeout') = '0'"
    )
}
