//! Where the ledger is kept, and where its rows go.

use super::secrets::Secrets;
use crate::config::{
    CloudEventsMode, CloudEventsSettings, CloudEventsSubject, LedgerConfig, LedgerDurability,
    LedgerRetention, OtlpSettings, PostgresSettings, ReceiverSettings,
};
use crate::units::Millis;
use serde_json::{Value, json};

pub(super) fn of_ledger(ledger: &LedgerConfig, secrets: &mut Secrets) -> Value {
    let postgres = ledger.postgres.as_ref();
    let postgres = postgres.map(|postgres| of_postgres(postgres, secrets));
    let otlp = ledger.otlp.as_ref().map(|otlp| of_otlp(otlp, secrets));
    let events = ledger.cloudevents.as_ref();
    let events = events.map(|events| of_cloudevents(events, secrets));
    json!({
        "path": ledger.path,
        "durability": match ledger.durability {
            LedgerDurability::Strict => "strict",
            LedgerDurability::Relaxed => "relaxed",
        },
        "spool_bytes_max": ledger.spool_bytes_max,
        "sqlite": ledger.sqlite.as_ref().map(|sqlite| json!({
            "path": sqlite.path,
            "retention": of_retention(&sqlite.retention),
        })),
        "postgres": postgres,
        "file": ledger.file.as_ref().map(|file| json!({
            "path": file.path,
            "sync": file.sync,
            "links": file.links,
        })),
        "otlp": otlp,
        "cloudevents": events,
    })
}

fn of_postgres(postgres: &PostgresSettings, secrets: &mut Secrets) -> Value {
    json!({
        "url": secrets.hide("ledger.postgres.url", Some(&postgres.url)),
        "retention": of_retention(&postgres.retention),
        "connections": postgres.connections,
    })
}

/// Null: for ever.
fn of_retention(kept: &LedgerRetention) -> Value {
    let ms = |span: Option<Millis>| span.map(|span| span.0);
    json!({
        "rows_ms": ms(kept.rows),
        "quarters_ms": ms(kept.quarters),
        "days_ms": ms(kept.days),
        "set_aside_ms": ms(kept.set_aside),
    })
}

/// Where its secrets stand.
struct Paths {
    url: &'static str,
    token: &'static str,
    ca: &'static str,
}

fn of_receiver(receiver: &ReceiverSettings, paths: &Paths, secrets: &mut Secrets) -> Value {
    json!({
        "url": secrets.hide(paths.url, Some(&receiver.url)),
        "token": secrets.hide(paths.token, receiver.token.as_ref()),
        "token_header": receiver.token_header,
        "ca": secrets.hide_bytes(paths.ca, receiver.ca_pem.as_ref()),
        "timeout_ms": receiver.timeout.0,
        "request_bytes_max": receiver.request_bytes_max,
    })
}

fn of_otlp(otlp: &OtlpSettings, secrets: &mut Secrets) -> Value {
    const PATHS: Paths = Paths {
        url: "ledger.otlp.receiver.url",
        token: "ledger.otlp.receiver.token",
        ca: "ledger.otlp.receiver.ca",
    };
    json!({
        "receiver": of_receiver(&otlp.receiver, &PATHS, secrets),
        "service_name": otlp.service_name,
    })
}

fn of_cloudevents(events: &CloudEventsSettings, secrets: &mut Secrets) -> Value {
    const PATHS: Paths = Paths {
        url: "ledger.cloudevents.receiver.url",
        token: "ledger.cloudevents.receiver.token",
        ca: "ledger.cloudevents.receiver.ca",
    };
    json!({
        "receiver": of_receiver(&events.receiver, &PATHS, secrets),
        "mode": match events.mode {
            CloudEventsMode::Batch => "batch",
            CloudEventsMode::Single => "single",
        },
        "source": events.source,
        "subject": match events.subject {
            CloudEventsSubject::Tenant => "tenant",
            CloudEventsSubject::Project => "project",
            CloudEventsSubject::Environment => "environment",
            CloudEventsSubject::User => "user",
            CloudEventsSubject::KeyId => "key_id",
            CloudEventsSubject::Plan => "plan",
        },
        "subject_otherwise": events.subject_otherwise,
        "request_rows_max": events.request_rows_max,
    })
}
