//! What goes wrong with a store, and whose fault it is.

use super::columns::Unreadable;
use super::period::PeriodError;
use super::report::ReportError;
use crate::ledger::sink::SinkError;
use crate::units::UnixMillis;

/// Why a store didn't do what it was asked to. Holds neither an address nor a
/// value of a row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the ledger's address is none: {0}")]
    Address(&'static str),
    /// It can't be reached, is locked or full: the same may work later.
    #[error("the ledger can't be reached or doesn't take it: {0}")]
    Away(String),
    /// It refuses what was written for what it is.
    #[error("the ledger refuses a value: {0}")]
    Data(String),
    #[error(
        "the ledger is of version {found}, this program knows up to {known}: \
         use a newer program, or another database"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "the ledger is of version {found}, this program needs {known}: \
         `weir serve` of this version brings it there"
    )]
    Older { found: i64, known: i64 },
    #[error("the database holds no ledger of weir")]
    NoLedger,
    #[error("rows before {} ms (Unix time) are no longer kept; begin on a quarter of an hour, or later", .0.0)]
    NotKept(UnixMillis),
    #[error("sums of less than a day before {} ms (Unix time) are no longer kept; begin on a day (UTC), or later", .0.0)]
    QuartersNotKept(UnixMillis),
    #[error("sums before {} ms (Unix time) are no longer kept; begin later", .0.0)]
    DaysNotKept(UnixMillis),
    #[error("sums don't fit 64 bits; ask for a shorter time")]
    Large,
    #[error(transparent)]
    Row(#[from] Unreadable),
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Something with this key is there already.
    #[error("a row with the same key is there already")]
    Taken,
    /// PostgreSQL has no partition for a row.
    #[error("there is no partition for a row")]
    Unpartitioned,
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> Self {
        SinkError::Away(error.to_string())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return StoreError::Away(kind(&error));
        };
        let code = database.code().unwrap_or_default();
        if let Some(number) = code.parse::<u32>().ok().filter(|_| code.len() != 5) {
            return of_sqlite(number, database.message());
        }
        match code.as_ref() {
            "23505" => StoreError::Taken,
            "23514" => StoreError::Unpartitioned,
            "22003" => StoreError::Large,
            // Their messages may quote the value.
            code if code.starts_with("22") || code.starts_with("23") => {
                StoreError::Data(format!("SQLSTATE {code}"))
            }
            code => StoreError::Away(format!("SQLSTATE {code}: {}", database.message())),
        }
    }
}

/// <https://www.sqlite.org/rescode.html>
fn of_sqlite(code: u32, message: &str) -> StoreError {
    const CONSTRAINT: u32 = 19;
    const PRIMARY_KEY: u32 = 1_555;
    const UNIQUE: u32 = 2_067;
    const TOO_BIG: u32 = 18;
    const MISMATCH: u32 = 20;
    match (code, code & 0xff) {
        (PRIMARY_KEY | UNIQUE, _) => StoreError::Taken,
        (_, CONSTRAINT | TOO_BIG | MISMATCH) => StoreError::Data(format!("SQLite error {code}")),
        // What `sum` says, and only as text.
        _ if message.contains("integer overflow") => StoreError::Large,
        _ => StoreError::Away(format!("SQLite error {code}: {message}")),
    }
}

/// An error without its address.
fn kind(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => format!("{}", error.kind()),
        sqlx::Error::Tls(_) => "TLS failed".to_owned(),
        sqlx::Error::PoolTimedOut => "no connection in time".to_owned(),
        sqlx::Error::PoolClosed => "it is closed".to_owned(),
        sqlx::Error::Protocol(what) => format!("unexpected answer: {what}"),
        sqlx::Error::Configuration(_) => "its settings aren't understood".to_owned(),
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} can't be read"),
        _ => "unexpected answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_is_refused_for_is_told_from_what_ails_the_database() {
        let away = |code| matches!(of_sqlite(code, "why"), StoreError::Away(_));
        // Busy, locked, an error of the disk, full, read only, corrupt.
        assert!([5, 6, 261, 10, 1_034, 13, 8, 11].into_iter().all(away));
        let data = |code| matches!(of_sqlite(code, "why"), StoreError::Data(_));
        // Not null, a type that a strict table refuses, too big.
        assert!([1_299, 3_091, 18].into_iter().all(data));
        assert!(matches!(of_sqlite(1_555, "why"), StoreError::Taken));
        assert!(matches!(
            of_sqlite(1, "integer overflow"),
            StoreError::Large
        ));
    }
}
