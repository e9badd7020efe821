//! `ledger` as it is written.

use super::receivers::{self, RawCloudEvents, RawOtlpSink};
use super::{DAY_MS, secret_source};
use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::SecretSource;
use crate::config::{LedgerDurability, LedgerRetention};
use crate::units::Millis;

/// The smallest spool: some segments, and room for what is open when it is full.
const SPOOL_BYTES_MIN: u64 = 64 << 20;
const SPOOL_BYTES_MAX: u64 = 16 << 40;

/// Fewer would wait for one another, more are of no use to one writer.
const CONNECTIONS_MAX: u64 = 64;

#[derive(Debug)]
pub struct RawLedger {
    pub path: Option<Located<String>>,
    pub durability: Option<LedgerDurability>,
    pub spool_bytes_max: Option<Located<u64>>,
    pub sqlite: Option<RawSqlite>,
    pub postgres: Option<RawPostgres>,
    pub file: Option<RawFile>,
    pub otlp: Option<RawOtlpSink>,
    pub cloudevents: Option<RawCloudEvents>,
    /// Whether a sink is named, be it right or wrong.
    pub has_sink: bool,
    /// All sinks that are there could be read.
    pub is_read: bool,
}

#[derive(Debug)]
pub struct RawSqlite {
    pub path: Option<Located<String>>,
    pub retention: LedgerRetention,
}

#[derive(Debug)]
pub struct RawPostgres {
    pub url: Located<SecretSource>,
    pub retention: LedgerRetention,
    pub connections: Option<Located<u64>>,
}

#[derive(Debug)]
pub struct RawFile {
    pub path: Located<String>,
    pub sync: Option<bool>,
    pub links: Option<bool>,
}

pub fn ledger(top: &Fields) -> Option<RawLedger> {
    let fields = top.optional("ledger")?.fields(&[
        "path",
        "durability",
        "spool_bytes_max",
        "sqlite",
        "postgres",
        "file",
        "otlp",
        "cloudevents",
    ])?;
    let words = &[
        ("strict", LedgerDurability::Strict),
        ("relaxed", LedgerDurability::Relaxed),
    ];
    let durability = fields.optional("durability");
    let spool_bytes_max = fields.optional("spool_bytes_max");
    let (sqlite, postgres, file) = (
        fields.present("sqlite").map(|item| sqlite(&item)),
        fields.present("postgres").map(|item| postgres(&item)),
        fields.present("file").map(|item| file(&item)),
    );
    let otlp = fields.present("otlp").map(|item| receivers::otlp(&item));
    let cloudevents = fields.present("cloudevents");
    let cloudevents = cloudevents.map(|item| receivers::cloudevents(&item));
    Some(RawLedger {
        path: fields.optional("path").and_then(|item| item.text()),
        durability: durability
            .and_then(|item| item.word(words))
            .map(|word| word.value),
        spool_bytes_max: spool_bytes_max
            .and_then(|item| item.size_bytes(SPOOL_BYTES_MIN..=SPOOL_BYTES_MAX)),
        has_sink: sqlite.is_some()
            || postgres.is_some()
            || file.is_some()
            || otlp.is_some()
            || cloudevents.is_some(),
        is_read: !matches!(sqlite, Some(None))
            && !matches!(postgres, Some(None))
            && !matches!(file, Some(None))
            && !matches!(otlp, Some(None))
            && !matches!(cloudevents, Some(None)),
        sqlite: sqlite.flatten(),
        postgres: postgres.flatten(),
        file: file.flatten(),
        otlp: otlp.flatten(),
        cloudevents: cloudevents.flatten(),
    })
}

fn sqlite(item: &Item) -> Option<RawSqlite> {
    let fields = item.fields(&[
        "path",
        "retention",
        "quarters_retention",
        "days_retention",
        "set_aside_retention",
    ])?;
    Some(RawSqlite {
        path: fields.optional("path").and_then(|item| item.text()),
        retention: retention(&fields),
    })
}

fn postgres(item: &Item) -> Option<RawPostgres> {
    let fields = item.fields(&[
        "url",
        "retention",
        "quarters_retention",
        "days_retention",
        "set_aside_retention",
        "connections",
    ])?;
    let url = fields.required(
        "url",
        "{ env: NAME } or { file: PATH }, as it holds a password",
    );
    Some(RawPostgres {
        retention: retention(&fields),
        connections: fields
            .optional("connections")
            .and_then(|item| item.amount(1..=CONNECTIONS_MAX)),
        url: secret_source(&url?)?,
    })
}

fn file(item: &Item) -> Option<RawFile> {
    let fields = item.fields(&["path", "sync", "links"])?;
    let is = |name| fields.optional(name)?.boolean().map(|is| is.value);
    let path = fields.required("path", "the file that usage events are appended to");
    Some(RawFile {
        sync: is("sync"),
        links: is("links"),
        path: path?.text()?,
    })
}

/// How long what is kept. Sums outlive what they are sums of, as reports are put
/// together from the coarser ones within and the finer ones at both ends.
fn retention(fields: &Fields) -> LedgerRetention {
    let span = |name| {
        let item = fields.optional(name)?;
        Some(item.span(DAY_MS..=36_600 * DAY_MS)?.value)
    };
    let kept = LedgerRetention {
        rows: span("retention"),
        quarters: span("quarters_retention"),
        days: span("days_retention"),
        set_aside: span("set_aside_retention"),
    };
    let outlives = |name, sums: Option<Millis>, of: Option<Millis>, whose: &str| {
        if let (Some(sums), Some(item)) = (sums, fields.optional(name))
            && of.is_none_or(|of| sums < of)
        {
            let text = format!("must not be shorter than {whose} (left out: for ever)");
            let _: Option<()> = item.report(text);
        }
    };
    let (rows, quarters) = (kept.rows, kept.quarters);
    outlives("quarters_retention", quarters, rows, "retention");
    outlives("days_retention", kept.days, quarters, "quarters_retention");
    kept
}
