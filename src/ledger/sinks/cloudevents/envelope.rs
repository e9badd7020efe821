//! A row as a CloudEvent in JSON.

use super::CloudEventsConfig;
use crate::exchange::UsageEvent;
use crate::exchange::event::SCHEMA;
use crate::ledger::row::Row;
use crate::units::UnixMillis;
use jiff::Timestamp;
use std::borrow::Cow;

/// Which of the event's names is the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Tenant,
    Project,
    Environment,
    User,
    KeyId,
    Plan,
}

#[derive(serde::Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: Cow<'a, str>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    data: &'a UsageEvent,
}

/// One event.
pub(super) fn json(row: &Row, config: &CloudEventsConfig) -> Result<Vec<u8>, serde_json::Error> {
    let source = match &config.source {
        Some(source) => Cow::Borrowed(source.as_str()),
        None => Cow::Owned(format!("weir/{}", row.link.chain)),
    };
    // An empty one is not allowed.
    let subject = subject(&row.event, config.subject).or(config.subject_otherwise.as_deref());
    serde_json::to_vec(&Envelope {
        specversion: "1.0",
        id: row.event.id.to_string(),
        source,
        r#type: SCHEMA,
        subject: subject.filter(|subject| !subject.is_empty()),
        time: rfc3339(row.event.ended_at_ms),
        datacontenttype: "application/json",
        data: &row.event,
    })
}

/// A list of events.
pub(super) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let bytes = items.iter().map(|item| item.len() + 1).sum::<usize>();
    let mut list = Vec::with_capacity(bytes + 1);
    for (n, item) in items.iter().enumerate() {
        list.push(if n == 0 { b'[' } else { b',' });
        list.extend_from_slice(item);
    }
    list.push(b']');
    list
}

fn subject(event: &UsageEvent, subject: Subject) -> Option<&str> {
    match subject {
        Subject::Tenant => event.tenant.as_deref(),
        Subject::Project => event.project.as_deref(),
        Subject::Environment => event.environment.as_deref(),
        Subject::User => event.user.as_deref(),
        Subject::KeyId => event.key_id.as_deref(),
        Subject::Plan => event.plan.as_deref(),
    }
}

fn rfc3339(time: UnixMillis) -> String {
    let ms = i64::try_from(time.0).unwrap_or(i64::MAX);
    let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    moment.to_string()
}
