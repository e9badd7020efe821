//! PostgreSQL's connections, given up rather than waited for.
//!
//! A network that drops packets resets nothing: TCP waits for many minutes for
//! what it sent to be acknowledged, and without an end where it only listens. So
//! every answer has a time, and what doesn't come in it is away.
//!
//! Always holds: a connection goes back to its pool only when all that was asked
//! on it is answered and its transaction is over. Else it is closed at once,
//! whoever stops waiting: the server rolls back, and nobody takes another's
//! answer for its own.

use super::error::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;

/// How long a connection that rested may take to answer that it is there: many
/// round trips across the world.
pub const PING_MAX: Duration = Duration::from_secs(2);

/// How long connections may take to say goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Connections to a server, and how long it may take to answer.
#[derive(Debug, Clone)]
pub struct Server {
    pub pool: PgPool,
    /// For each statement of a transaction that writes, and of one that reads.
    pub write_max: Duration,
    pub read_max: Duration,
    /// For a connection that rests.
    pub ping_max: Duration,
}

/// A transaction.
#[derive(Debug)]
pub struct Remote {
    /// `None` once it has gone back, or was closed.
    connection: Option<PoolConnection<Postgres>>,
    answer_max: Duration,
    ping_max: Duration,
    /// An answer is still to come.
    asked: bool,
    /// The transaction isn't over.
    open: bool,
}

impl Server {
    /// Everything as of one moment.
    pub async fn read(&self) -> Result<Remote, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Remote::begin(self, begin, self.read_max).await
    }

    pub async fn write(&self) -> Result<Remote, StoreError> {
        Remote::begin(self, "BEGIN", self.write_max).await
    }

    /// Ends all connections, in time.
    pub async fn close(&self) {
        // What doesn't say goodbye ends with its process.
        let _ = tokio::time::timeout(CLOSE_MAX, self.pool.close()).await;
    }
}

impl Remote {
    async fn begin(
        server: &Server,
        statement: &'static str,
        answer_max: Duration,
    ) -> Result<Self, StoreError> {
        let mut own = Self {
            connection: Some(server.pool.acquire().await?),
            answer_max,
            ping_max: server.ping_max,
            asked: false,
            open: true,
        };
        own.run(statement).await?;
        Ok(own)
    }

    /// The connection to ask, and how long to wait for what it says, which goes to
    /// [`Remote::hear`].
    pub fn ask(&mut self) -> Result<(&mut PgConnection, Duration), StoreError> {
        let given_up = || StoreError::Away("its connection was given up".to_owned());
        let connection = self.connection.as_deref_mut().ok_or_else(given_up)?;
        self.asked = true;
        Ok((connection, self.answer_max))
    }

    /// What it said in time.
    pub fn hear<T>(
        &mut self,
        said: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, StoreError> {
        let said = said.map_err(|_| StoreError::Away("no answer in time".to_owned()))?;
        // That it refuses is an answer; what else goes wrong is the connection.
        self.asked = said
            .as_ref()
            .is_err_and(|error| error.as_database_error().is_none());
        Ok(said?)
    }

    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.run("COMMIT").await?;
        self.open = false;
        Ok(())
    }

    pub async fn rollback(mut self) -> Result<(), StoreError> {
        self.run("ROLLBACK").await?;
        self.open = false;
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let (connection, limit) = self.ask()?;
        let said = sqlx::raw_sql(statement).execute(connection);
        let said = tokio::time::timeout(limit, said).await;
        self.hear(said).map(drop)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) if !self.asked && !self.open => {
                // Left to itself, the pool asks it without a bound. Given up, it is
                // closed, and its place in the pool is free.
                let back = tokio::time::timeout(self.ping_max, connection.return_to_pool());
                runtime.spawn(back);
            }
            _ => drop(connection.detach()),
        }
    }
}

/// Whether a connection that rested is there.
pub async fn is_there(connection: &mut PgConnection, limit: Duration) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(limit, connection.ping())
        .await
        .map_err(late)??;
    Ok(true)
}
