//! Receivers that the ledger's rows are sent to, as they are written.

use super::{MINUTE_MS, secret_source};
use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::{Secret, SecretSource};
use crate::config::{CloudEventsMode, CloudEventsSubject};
use crate::units::Millis;
use std::sync::Arc;

/// The smallest request: a row of the longest that the spool takes goes into it.
const REQUEST_BYTES_MIN: u64 = 128 << 10;

/// The largest request: it is held in memory, more than once.
const REQUEST_BYTES_MAX: u64 = 64 << 20;

/// Rows are offered in batches of so many.
const REQUEST_ROWS_MAX: u64 = 2_048;

/// A shorter time-out would fail where the network is only slow.
pub(super) const TIMEOUT_MIN_MS: u64 = 100;

pub(super) const TIMEOUT_MAX_MS: u64 = 5 * MINUTE_MS;

/// What all receivers have.
#[derive(Debug)]
pub struct RawReceiver {
    /// It may hold a key, so no problem repeats it.
    pub url: Option<Located<Secret>>,
    pub token: Option<Located<SecretSource>>,
    pub token_header: Option<Located<String>>,
    pub ca_file: Option<Located<String>>,
    pub timeout: Option<Located<Millis>>,
    pub request_bytes_max: Option<Located<u64>>,
}

#[derive(Debug)]
pub struct RawOtlpSink {
    pub receiver: RawReceiver,
    pub service_name: Option<Located<Arc<str>>>,
}

#[derive(Debug)]
pub struct RawCloudEvents {
    pub receiver: RawReceiver,
    pub mode: Option<CloudEventsMode>,
    pub source: Option<Located<String>>,
    pub subject: Option<CloudEventsSubject>,
    pub subject_otherwise: Option<Located<Arc<str>>>,
    pub request_rows_max: Option<Located<u64>>,
}

pub fn otlp(item: &Item) -> Option<RawOtlpSink> {
    let fields = item.fields(&[
        "endpoint",
        "service_name",
        "token",
        "token_header",
        "ca_file",
        "timeout",
        "request_bytes_max",
    ])?;
    let what = "where log records go by gRPC, as https://collector:4317";
    let service_name = fields.optional("service_name");
    Some(RawOtlpSink {
        receiver: receiver(&fields, "endpoint", what),
        service_name: service_name.and_then(|item| item.name()),
    })
}

pub fn cloudevents(item: &Item) -> Option<RawCloudEvents> {
    let fields = item.fields(&[
        "url",
        "mode",
        "source",
        "subject",
        "subject_otherwise",
        "token",
        "token_header",
        "ca_file",
        "timeout",
        "request_rows_max",
        "request_bytes_max",
    ])?;
    let modes = &[
        ("batch", CloudEventsMode::Batch),
        ("single", CloudEventsMode::Single),
    ];
    let subjects = &[
        ("tenant", CloudEventsSubject::Tenant),
        ("project", CloudEventsSubject::Project),
        ("environment", CloudEventsSubject::Environment),
        ("user", CloudEventsSubject::User),
        ("key_id", CloudEventsSubject::KeyId),
        ("plan", CloudEventsSubject::Plan),
    ];
    let mode = fields.optional("mode");
    let subject = fields.optional("subject");
    let subject_otherwise = fields.optional("subject_otherwise");
    let request_rows_max = fields.optional("request_rows_max");
    Some(RawCloudEvents {
        receiver: receiver(
            &fields,
            "url",
            "where events are posted to, as https://host/path",
        ),
        mode: mode
            .and_then(|item| item.word(modes))
            .map(|word| word.value),
        source: fields.optional("source").and_then(|item| item.text()),
        subject: subject
            .and_then(|item| item.word(subjects))
            .map(|word| word.value),
        subject_otherwise: subject_otherwise.and_then(|item| item.name()),
        request_rows_max: request_rows_max.and_then(|item| item.amount(1..=REQUEST_ROWS_MAX)),
    })
}

/// `url` is the field of the address, `what` says what it is.
fn receiver(fields: &Fields, url: &'static str, what: &str) -> RawReceiver {
    let timeout = fields.optional("timeout");
    let request_bytes_max = fields.optional("request_bytes_max");
    RawReceiver {
        url: fields.required(url, what).and_then(|item| item.secret()),
        token: fields
            .optional("token")
            .and_then(|item| secret_source(&item)),
        token_header: fields.optional("token_header").and_then(|item| item.text()),
        ca_file: fields.optional("ca_file").and_then(|item| item.text()),
        timeout: timeout.and_then(|item| item.span(TIMEOUT_MIN_MS..=TIMEOUT_MAX_MS)),
        request_bytes_max: request_bytes_max
            .and_then(|item| item.size_bytes(REQUEST_BYTES_MIN..=REQUEST_BYTES_MAX)),
    }
}
