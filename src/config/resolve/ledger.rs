//! Where the ledger is kept, and where its rows go.

use super::{elsewhere, receivers, where_set};
use crate::config::outside::Outside;
use crate::config::problem::{At, Findings, Path};
use crate::config::raw::ledger::{RawLedger, RawPostgres};
use crate::config::{
    FileSettings, LedgerConfig, LedgerRetention, PostgresSettings, SqliteSettings,
};

/// Where nothing else is said.
const PATH: &str = "weir-ledger";
const SPOOL_BYTES_MAX: u64 = 4 << 30;
const CONNECTIONS: u64 = 4;

/// The outer `None` after a problem, the inner one where no ledger is kept.
pub(super) fn ledger(
    is_there: bool,
    raw: Option<RawLedger>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<Option<LedgerConfig>> {
    let Some(raw) = raw else {
        if is_there {
            return None;
        }
        let at = At {
            place: None,
            path: Path::default().field("ledger"),
        };
        findings.warning(&at, "is not set: what calls use is recorded nowhere");
        return Some(None);
    };
    let path = raw.path.map_or_else(|| PATH.to_owned(), |path| path.value);
    let path = std::path::PathBuf::from(path);
    let sqlite = match raw.sqlite {
        Some(sqlite) => Some(SqliteSettings {
            path: sqlite
                .path
                .map_or_else(|| path.join("weir.db"), |path| path.value.into()),
            retention: sqlite.retention,
        }),
        None if raw.has_sink => None,
        None => Some(SqliteSettings {
            path: path.join("weir.db"),
            retention: LedgerRetention::default(),
        }),
    };
    // All of them before the first `?`, so that all problems are reported.
    let postgres = raw.postgres.map(|raw| postgres(raw, outside, findings));
    let otlp = raw.otlp.map(|raw| receivers::otlp(raw, outside, findings));
    let cloudevents = raw.cloudevents;
    let cloudevents = cloudevents.map(|raw| receivers::cloudevents(raw, outside, findings));
    raw.is_read.then_some(())?;
    Some(Some(LedgerConfig {
        durability: raw.durability.unwrap_or_default(),
        spool_bytes_max: raw
            .spool_bytes_max
            .map_or(SPOOL_BYTES_MAX, |bytes| bytes.value),
        sqlite,
        postgres: where_set(postgres)?,
        file: raw.file.map(|file| FileSettings {
            path: file.path.value.into(),
            sync: file.sync.unwrap_or(true),
            links: file.links.unwrap_or(false),
        }),
        otlp: where_set(otlp)?,
        cloudevents: where_set(cloudevents)?,
        path,
    }))
}

fn postgres(
    raw: RawPostgres,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<PostgresSettings> {
    Some(PostgresSettings {
        url: elsewhere(&raw.url, outside, findings)?,
        retention: raw.retention,
        connections: raw.connections.map_or(CONNECTIONS, |amount| amount.value),
    })
}
