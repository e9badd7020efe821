//! The ledger and where its rows go.

use super::forms::*;
use super::{Block, Field, Form, block, def, opt, req};

#[rustfmt::skip]
pub static LEDGER: Block = block("ledger", "With no place named for its rows they go to SQLite.", &[
    def("path", &TEXT, "weir-ledger", "The ledger's folder, each sidecar's own."),
    def("durability", &Form::Words(&["strict", "relaxed"]), "strict", "When a call is let through: once it is noted on disk, or once it is written (a power cut may take the last 50 ms)."),
    def("spool_bytes_max", &SIZE, "4GiB", "The most that waits on disk, 64MiB to 16384GiB."),
    opt("sqlite", &Form::Block(&SQLITE), "only where no other place is named", "Rows in SQLite."),
    opt("postgres", &Form::Block(&POSTGRES), "not there", "Rows in PostgreSQL."),
    opt("file", &Form::Block(&FILE), "not there", "Rows as JSON lines."),
    opt("otlp", &Form::Block(&OTLP), "not there", "Rows as log records by OTLP."),
    opt("cloudevents", &Form::Block(&CLOUDEVENTS), "not there", "Rows as CloudEvents, as metering services take them."),
]);

#[rustfmt::skip]
const RETENTION: Field = opt("retention", &SPAN, "for ever", "How long rows are kept there, from 1d.");
#[rustfmt::skip]
const QUARTERS: Field = opt("quarters_retention", &SPAN, "for ever", "How long sums by quarter of an hour are kept, not shorter than `retention`.");
#[rustfmt::skip]
const DAYS: Field = opt("days_retention", &SPAN, "for ever", "The same for sums by day, not shorter than `quarters_retention`.");
#[rustfmt::skip]
const SET_ASIDE: Field = opt("set_aside_retention", &SPAN, "as `retention`", "How long rows that the database refused are kept.");

#[rustfmt::skip]
static SQLITE: Block = block("sqlite", "Rows in SQLite.", &[
    opt("path", &TEXT, "`weir.db` in the ledger's folder", "The database's file."),
    RETENTION, QUARTERS, DAYS, SET_ASIDE,
]);

#[rustfmt::skip]
static POSTGRES: Block = block("postgres", "Rows in PostgreSQL.", &[
    req("url", &SECRET, "`postgres://user:password@host/database`, kept elsewhere as it holds a password."),
    RETENTION, QUARTERS, DAYS, SET_ASIDE,
    def("connections", &AMOUNT, "4", "The most connections, 1 to 64."),
]);

#[rustfmt::skip]
static FILE: Block = block("ledger_file", "A line of JSON for each row.", &[
    req("path", &TEXT, "A file, or a pipe. Its folder must exist."),
    def("sync", &BOOLEAN, "true", "Rows leave the spool once the file is on disk, not before."),
    def("links", &BOOLEAN, "false", "Lines have `chain`, `sequence` and `hash`, which show that none is missing or changed."),
]);

#[rustfmt::skip]
const TOKEN: Field = opt("token", &SECRET, "none", "Sent as `Authorization: Bearer`, or as it is in `token_header`.");
#[rustfmt::skip]
const TOKEN_HEADER: Field = opt("token_header", &TEXT, "`Authorization`", "The header that has the token.");
#[rustfmt::skip]
const CA_FILE: Field = opt("ca_file", &TEXT, "the system's", "PEM certificates that the server's may be signed by.");
#[rustfmt::skip]
const TIMEOUT: Field = def("timeout", &SPAN, "10s", "For a request and its answer, 100ms to 5m.");

#[rustfmt::skip]
static OTLP: Block = block("ledger_otlp", "A collector that takes log records by OTLP over gRPC.", &[
    req("endpoint", &TEXT, "`https://host:port`; `http://` to this machine, or to any if no token goes with it."),
    def("service_name", &NAME, "weir", "What the records call this process."),
    TOKEN, TOKEN_HEADER, CA_FILE, TIMEOUT,
    def("request_bytes_max", &SIZE, "3584KiB", "The largest request, 128KiB to 64MiB."),
]);

#[rustfmt::skip]
static CLOUDEVENTS: Block = block("cloudevents", "A receiver of CloudEvents.", &[
    req("url", &TEXT, "Where events are posted to: `https://host/path`; `http://` to this machine only."),
    def("mode", &Form::Words(&["batch", "single"]), "batch", "A request has up to `request_rows_max` events, or one."),
    opt("source", &TEXT, "`weir/` and the chain's id", "The events' `source`."),
    def("subject", &Form::Words(&["tenant", "project", "environment", "user", "key_id", "plan"]), "tenant", "Which name is the events' `subject`."),
    opt("subject_otherwise", &NAME, "they have none", "The subject of rows that lack that name."),
    TOKEN, TOKEN_HEADER, CA_FILE, TIMEOUT,
    def("request_rows_max", &AMOUNT, "500", "Of `batch`: 1 to 2048."),
    def("request_bytes_max", &SIZE, "1MiB", "The largest request, 128KiB to 64MiB."),
]);
