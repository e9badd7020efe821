//! The two engines behind one face: connections, transactions, statements.
//!
//! Everything happens in a transaction, which ends by being committed or, on any
//! other way out, rolled back; so a dropped future leaves nothing half done.

use super::error::StoreError;
use super::remote::{Remote, Server};
use super::value::{Dialect, Sql, Type, Value};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row as _};
use tokio::time::timeout;

/// The rows of one of SQLite's statements with many: a few sizes, so that each is
/// prepared once.
const CHUNKS: [usize; 5] = [256, 64, 16, 4, 1];

/// Connections to one engine.
#[derive(Debug, Clone)]
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(Server),
}

/// A transaction.
#[derive(Debug)]
pub enum Tx {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(Remote),
}

impl Pool {
    pub fn dialect(&self) -> Dialect {
        match self {
            Pool::Sqlite(_) => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A transaction that sees everything as of one moment.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Pool::Sqlite(pool) => Tx::Sqlite(pool.begin().await?),
            Pool::Postgres(server) => Tx::Postgres(server.read().await?),
        })
    }

    /// A transaction that writes: SQLite's takes its lock at once, since one that
    /// read first can't always get it later.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Pool::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(server) => Tx::Postgres(server.write().await?),
        })
    }

    pub async fn close(&self) {
        match self {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(server) => server.close().await,
        }
    }
}

impl Tx {
    pub fn dialect(&self) -> Dialect {
        match self {
            Tx::Sqlite(_) => Dialect::Sqlite,
            Tx::Postgres(_) => Dialect::Postgres,
        }
    }

    pub fn sql(&self, text: &str) -> Sql {
        Sql::new(self.dialect(), text)
    }

    /// SQL for the server's time in Unix milliseconds.
    pub fn now_ms(&self) -> &'static str {
        match self {
            Tx::Sqlite(_) => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Tx::Postgres(_) => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await?,
            Tx::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => tx.rollback().await?,
            Tx::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Rolls back after something else went wrong, if it can be. Where it can't,
    /// its connection is closed, which comes to the same.
    pub async fn give_up(self) {
        let _ = self.rollback().await;
    }

    /// Statements without values, one after the other.
    pub async fn script(&mut self, text: &str) -> Result<(), StoreError> {
        let script = sqlx::raw_sql(AssertSqlSafe(text));
        match self {
            Tx::Sqlite(tx) => script.execute(&mut **tx).await.map(drop)?,
            Tx::Postgres(remote) => {
                let (connection, limit) = remote.ask()?;
                let said = timeout(limit, script.execute(connection)).await;
                remote.hear(said)?;
            }
        }
        Ok(())
    }

    /// How many rows it changed.
    pub async fn execute(&mut self, sql: Sql) -> Result<u64, StoreError> {
        let text = AssertSqlSafe(sql.text);
        Ok(match self {
            Tx::Sqlite(tx) => {
                let query = sqlx::query_with(text, for_sqlite(sql.values)?);
                query.execute(&mut **tx).await?.rows_affected()
            }
            Tx::Postgres(remote) => {
                let query = sqlx::query_with(text, for_postgres(sql.values)?);
                let (connection, limit) = remote.ask()?;
                let said = timeout(limit, query.execute(connection)).await;
                remote.hear(said)?.rows_affected()
            }
        })
    }

    /// The rows that it gives. How many is the statement's business.
    pub async fn fetch(&mut self, sql: Sql, types: &[Type]) -> Result<Vec<Vec<Value>>, StoreError> {
        let text = AssertSqlSafe(sql.text);
        match self {
            Tx::Sqlite(tx) => {
                let query = sqlx::query_with(text, for_sqlite(sql.values)?);
                let rows = query.fetch_all(&mut **tx).await?;
                rows.iter().map(|row| of_sqlite(row, types)).collect()
            }
            Tx::Postgres(remote) => {
                let query = sqlx::query_with(text, for_postgres(sql.values)?);
                let (connection, limit) = remote.ask()?;
                let said = timeout(limit, query.fetch_all(connection)).await;
                let rows = remote.hear(said)?;
                rows.iter().map(|row| of_postgres(row, types)).collect()
            }
        }
    }

    /// One number, 0 where there is none.
    pub async fn number(&mut self, sql: Sql) -> Result<i64, StoreError> {
        let rows = self.fetch(sql, &[Type::Int]).await?;
        Ok(match rows.first().and_then(|row| row.first()) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        })
    }

    /// `INSERT INTO table (columns) rows after`; gives what `after` returns.
    pub async fn insert(
        &mut self,
        into: &str,
        rows: Vec<Vec<Value>>,
        after: &str,
        types: &[Type],
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        if self.dialect() == Dialect::Postgres {
            return self.insert_arrays(into, rows, after, types).await;
        }
        let mut returned = Vec::new();
        let mut left = rows.len();
        let mut rows = rows.into_iter();
        for chunk in CHUNKS {
            while left >= chunk {
                left -= chunk;
                let mut sql = self.sql("INSERT INTO ").and(into).and(" VALUES ");
                for (at, row) in rows.by_ref().take(chunk).enumerate() {
                    sql.push(if at == 0 { "" } else { ", " });
                    sql.push_tuple(row);
                }
                sql.push(" ");
                sql.push(after);
                if types.is_empty() {
                    self.execute(sql).await?;
                } else {
                    returned.extend(self.fetch(sql, types).await?);
                }
            }
        }
        Ok(returned)
    }

    /// In PostgreSQL every column is one array: a statement of the same text for
    /// any number of rows, which is planned once.
    async fn insert_arrays(
        &mut self,
        into: &str,
        rows: Vec<Vec<Value>>,
        after: &str,
        types: &[Type],
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let mut columns: Vec<(Type, Vec<Value>)> = first
            .iter()
            .map(|value| (value.kind(), Vec::with_capacity(rows.len())))
            .collect();
        for row in rows {
            for ((_, column), value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let mut sql = self
            .sql("INSERT INTO ")
            .and(into)
            .and(" SELECT * FROM UNNEST");
        sql.push_tuple(
            columns
                .into_iter()
                .map(|(kind, column)| Value::Array(kind, column)),
        );
        sql.push(" ");
        sql.push(after);
        if types.is_empty() {
            self.execute(sql).await?;
            return Ok(Vec::new());
        }
        self.fetch(sql, types).await
    }
}

fn unbound(_: sqlx::error::BoxDynError) -> StoreError {
    StoreError::Data("a value can't be bound".to_owned())
}

fn for_sqlite(values: Vec<Value>) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match value {
            Value::Null(_) => arguments.add(None::<i64>),
            Value::Id(id) => arguments.add(id.as_bytes().to_vec()),
            Value::Int(number) => arguments.add(number),
            Value::Bool(truth) => arguments.add(i64::from(truth)),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::Array(..) => Err("SQLite has no arrays".into()),
        };
        added.map_err(unbound)?;
    }
    Ok(arguments)
}

fn for_postgres(values: Vec<Value>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Null(Type::Id) => arguments.add(None::<uuid::Uuid>),
            Value::Null(Type::Int) => arguments.add(None::<i64>),
            Value::Null(Type::Bool) => arguments.add(None::<bool>),
            Value::Null(Type::Text) => arguments.add(None::<String>),
            Value::Null(Type::Bytes) => arguments.add(None::<Vec<u8>>),
            Value::Id(id) => arguments.add(id),
            Value::Int(number) => arguments.add(number),
            Value::Bool(truth) => arguments.add(truth),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::Array(kind, values) => array(&mut arguments, kind, values),
        };
        added.map_err(unbound)?;
    }
    Ok(arguments)
}

fn array(
    arguments: &mut PgArguments,
    kind: Type,
    values: Vec<Value>,
) -> Result<(), sqlx::error::BoxDynError> {
    /// The values that are of the array's type; the others are absent.
    macro_rules! of {
        ($variant:ident: $kind:ty) => {{
            let values = values.into_iter().map(|value| match value {
                Value::$variant(value) => Some(value),
                _ => None,
            });
            arguments.add(values.collect::<Vec<Option<$kind>>>())
        }};
    }
    match kind {
        Type::Id => of!(Id: uuid::Uuid),
        Type::Int => of!(Int: i64),
        Type::Bool => of!(Bool: bool),
        Type::Text => of!(Text: String),
        Type::Bytes => of!(Bytes: Vec<u8>),
    }
}

/// What isn't of its type is read as absent: whoever needs it says so.
fn of_sqlite(row: &SqliteRow, types: &[Type]) -> Result<Vec<Value>, StoreError> {
    let mut values = Vec::with_capacity(types.len());
    for (at, kind) in types.iter().enumerate() {
        let value = match kind {
            Type::Id => bytes(row, at)?.map(|bytes| match uuid::Uuid::from_slice(&bytes) {
                Ok(id) => Value::Id(id),
                Err(_) => Value::Bytes(bytes),
            }),
            Type::Int => int(row, at)?.map(Value::Int),
            Type::Bool => int(row, at)?.map(|number| Value::Bool(number != 0)),
            Type::Text => row
                .try_get_unchecked::<Option<String>, _>(at)?
                .map(Value::Text),
            Type::Bytes => bytes(row, at)?.map(Value::Bytes),
        };
        values.push(value.unwrap_or(Value::Null(*kind)));
    }
    Ok(values)
}

fn int(row: &SqliteRow, at: usize) -> Result<Option<i64>, StoreError> {
    Ok(row.try_get_unchecked(at)?)
}

fn bytes(row: &SqliteRow, at: usize) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(row.try_get_unchecked(at)?)
}

fn of_postgres(row: &PgRow, types: &[Type]) -> Result<Vec<Value>, StoreError> {
    let mut values = Vec::with_capacity(types.len());
    for (at, kind) in types.iter().enumerate() {
        let value = match kind {
            Type::Id => row.try_get::<Option<_>, _>(at)?.map(Value::Id),
            Type::Int => row.try_get::<Option<_>, _>(at)?.map(Value::Int),
            Type::Bool => row.try_get::<Option<_>, _>(at)?.map(Value::Bool),
            Type::Text => row.try_get::<Option<_>, _>(at)?.map(Value::Text),
            Type::Bytes => row.try_get::<Option<_>, _>(at)?.map(Value::Bytes),
        };
        values.push(value.unwrap_or(Value::Null(*kind)));
    }
    Ok(values)
}
