//! Rows into PostgreSQL by `COPY` in its binary form, which costs the server a
//! fraction of what parsing and planning `INSERT`s does.
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use super::columns::{self, COLUMNS, Columns};
use super::error::StoreError;
use super::remote::Remote;
use super::write::names;
use crate::ledger::row::Row;
use sqlx::PgConnection;
use uuid::Uuid;

/// Begins every binary copy: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Ends it.
const TRAILER: i16 = -1;
/// The length of what is absent.
const ABSENT: i32 = -1;

/// The bytes that are sent together. The server reads them while the next ones
/// are written.
const PIECE_BYTES: usize = 64 << 10;

/// All of them, or an error and none. `each` is told of every row on its way, so
/// that what it does is done while the server works.
pub async fn rows<'a>(
    remote: &mut Remote,
    table: &str,
    rows: &[&'a Row],
    each: impl FnMut(&'a Row),
) -> Result<(), StoreError> {
    let (connection, limit) = remote.ask()?;
    let said = tokio::time::timeout(limit, copy(connection, table, rows, each)).await;
    remote.hear(said)
}

async fn copy<'a>(
    connection: &mut PgConnection,
    table: &str,
    rows: &[&'a Row],
    mut each: impl FnMut(&'a Row),
) -> Result<(), sqlx::Error> {
    let statement = format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", names());
    let mut copy = connection.copy_in_raw(&statement).await?;
    let mut fields = Fields(Vec::with_capacity(2 * PIECE_BYTES));
    fields.0.extend(HEADER);
    for row in rows {
        fields.number(COLUMNS.len());
        columns::write(row, &mut fields);
        each(row);
        if fields.0.len() >= PIECE_BYTES {
            copy.send(fields.0.as_slice()).await?;
            fields.0.clear();
        }
    }
    fields.0.extend(TRAILER.to_be_bytes());
    copy.send(fields.0).await?;
    copy.finish().await?;
    Ok(())
}

/// Fields as the wire has them: a length, then the bytes.
struct Fields(Vec<u8>);

impl Fields {
    /// How many fields a row has.
    fn number(&mut self, fields: usize) {
        let fields = i16::try_from(fields).unwrap_or(i16::MAX);
        self.0.extend(fields.to_be_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        // Longer ones aren't: the server has no field of 1 GiB or more.
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        self.0.extend(length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn absent(&mut self) {
        self.0.extend(ABSENT.to_be_bytes());
    }
}

impl Columns for Fields {
    fn id(&mut self, id: Uuid) {
        self.field(id.as_bytes());
    }

    fn int(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.field(&number.to_be_bytes()),
            None => self.absent(),
        }
    }

    fn bool(&mut self, truth: bool) {
        self.field(&[u8::from(truth)]);
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.field(text.as_bytes()),
            None => self.absent(),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.field(bytes);
    }
}
