//! The database itself, for tables that aren't the ledger's: one database, one way
//! to open it, to bring its tables on, and to speak to both engines.

pub use super::connect::{connect, connect_to_read};
pub use super::engine::{Pool, Tx};
pub use super::migrations::{Tables, Version, check, migrate};
pub use super::value::{Dialect, Sql, Type, Value};
