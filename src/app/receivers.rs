//! From the configuration of receivers to the sinks that send to them.
//!
//! Nothing is connected to here: a receiver that is away keeps no process from
//! starting.

use crate::config::{
    CloudEventsMode, CloudEventsSettings, CloudEventsSubject, OtlpSettings, ReceiverSettings,
};
use crate::ledger::sinks::cloudevents::{
    CloudEventsConfig, CloudEventsError, CloudEventsSink, Mode, Subject,
};
use crate::ledger::sinks::endpoint::{Credential, EndpointConfig, EndpointError};
use crate::ledger::sinks::otlp::{OtlpConfig, OtlpSink};
use std::path::Path;
use std::time::Duration;

/// `folder` is where dead letters go.
pub(super) fn otlp(settings: &OtlpSettings, folder: &Path) -> Result<OtlpSink, EndpointError> {
    let receiver = &settings.receiver;
    OtlpSink::new(OtlpConfig {
        endpoint: endpoint(receiver)?,
        service_name: settings.service_name.clone(),
        request_bytes_max: as_usize(receiver.request_bytes_max),
        timeout: Duration::from_millis(receiver.timeout.0),
        dead_letters_folder: folder.to_owned(),
    })
}

/// `folder` is where dead letters go.
pub(super) fn cloudevents(
    settings: &CloudEventsSettings,
    folder: &Path,
) -> Result<CloudEventsSink, CloudEventsError> {
    let receiver = &settings.receiver;
    CloudEventsSink::new(CloudEventsConfig {
        endpoint: endpoint(receiver)?,
        mode: match settings.mode {
            CloudEventsMode::Batch => Mode::Batch,
            CloudEventsMode::Single => Mode::Single,
        },
        source: settings.source.clone(),
        subject: match settings.subject {
            CloudEventsSubject::Tenant => Subject::Tenant,
            CloudEventsSubject::Project => Subject::Project,
            CloudEventsSubject::Environment => Subject::Environment,
            CloudEventsSubject::User => Subject::User,
            CloudEventsSubject::KeyId => Subject::KeyId,
            CloudEventsSubject::Plan => Subject::Plan,
        },
        subject_otherwise: settings.subject_otherwise.clone(),
        request_rows_max: as_usize(settings.request_rows_max),
        request_bytes_max: as_usize(receiver.request_bytes_max),
        timeout: Duration::from_millis(receiver.timeout.0),
        dead_letters_folder: folder.to_owned(),
    })
}

fn endpoint(settings: &ReceiverSettings) -> Result<EndpointConfig, EndpointError> {
    let credential = match (&settings.token, &settings.token_header) {
        (None, _) => None,
        (Some(token), None) => Some(Credential::bearer(token.expose())?),
        (Some(token), Some(header)) => Some(Credential::header(header, token.expose())?),
    };
    Ok(EndpointConfig {
        url: settings.url.expose().to_owned(),
        ca_pem: settings.ca_pem.clone(),
        credential,
    })
}

fn as_usize(bound: u64) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
