//! A row as columns of a table, and back.
//!
//! Always holds: the event that is read back gives, encoded again, the very
//! bytes that its link's hash is of; what the columns can't hold is refused
//! before it is written ([`check`]).
//!
//! `calls` and `refusals` have the same columns, in the order of [`COLUMNS`].
//! Absent is `NULL`, never 0 or empty text. Counts are `u64` in the event and
//! 63 bits wide here. Lists of names are JSON, what a cost is the sum of is
//! `kind:units:nanos` with commas between.

mod reader;

use super::value::{Type, Value};
use crate::exchange::UsageEvent;
use crate::exchange::event::{Known, SCHEMA};
use crate::identity::labels;
use crate::ledger::row::Row;
use crate::limits::HoldId;
use crate::pricing::CostPart;
use crate::protocol::Endpoint;
use crate::units::{Millis, UnixMillis};
use reader::Reader;
use std::fmt::Write;
use std::sync::Arc;
use uuid::Uuid;

/// How far a call's time may lie from its id's. Both are taken within
/// milliseconds; the bound is what lets a span of time be found by ids alone.
pub const AT_FROM_ID_MAX: Millis = Millis::from_secs(60);

const ID: Type = Type::Id;
const INT: Type = Type::Int;
const TEXT: Type = Type::Text;
const BOOL: Type = Type::Bool;
const BYTES: Type = Type::Bytes;

/// Name and type of every column.
pub const COLUMNS: [(&str, Type); 53] = [
    ("id", ID),
    ("at_ms", INT),
    ("chain", ID),
    ("sequence", INT),
    ("hash", BYTES),
    ("outcome", TEXT),
    ("known", TEXT),
    ("tenant", TEXT),
    ("project", TEXT),
    ("environment", TEXT),
    ("user_name", TEXT),
    ("key_id", TEXT),
    ("plan", TEXT),
    ("endpoint", TEXT),
    ("dialect", TEXT),
    ("provider", TEXT),
    ("model", TEXT),
    ("model_served", TEXT),
    ("service_tier", TEXT),
    ("stream", BOOL),
    ("cache_hit", BOOL),
    ("status", INT),
    ("finish_reason", TEXT),
    ("refusal", TEXT),
    ("refused_by", TEXT),
    ("would_refuse", TEXT),
    ("actions", TEXT),
    ("started_at_ms", INT),
    ("first_token_at_ms", INT),
    ("ended_at_ms", INT),
    ("input_tokens", INT),
    ("cached_input_tokens", INT),
    ("cache_write_tokens", INT),
    ("cache_write_1h_tokens", INT),
    ("input_audio_tokens", INT),
    ("input_image_tokens", INT),
    ("output_tokens", INT),
    ("reasoning_tokens", INT),
    ("output_audio_tokens", INT),
    ("output_image_tokens", INT),
    ("searches", INT),
    ("reserved_tokens", INT),
    ("cost_nanos", INT),
    ("cost_parts", TEXT),
    ("price_version", TEXT),
    ("request_bytes", INT),
    ("traceparent", TEXT),
    ("cached_input_audio_tokens", INT),
    ("cached_input_image_tokens", INT),
    ("input_known", TEXT),
    ("output_known", TEXT),
    ("labels", TEXT),
    ("model_asked", TEXT),
];

/// Takes the columns of a row, in order.
pub trait Columns {
    fn id(&mut self, id: Uuid);
    fn int(&mut self, number: Option<i64>);
    fn bool(&mut self, truth: bool);
    fn text(&mut self, text: Option<&str>);
    fn bytes(&mut self, bytes: &[u8]);
}

/// What a row can't be written for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("`{0}` is beyond 63 bits")]
    Large(&'static str),
    #[error("`{0}` has a NUL character")]
    Nul(&'static str),
}

/// A stored row that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the column `{0}` holds what was never written there")]
pub struct Unreadable(pub &'static str);

/// The time that a call is reported under: when its head reached weir, at most
/// [`AT_FROM_ID_MAX`] from the time in its id.
pub fn at(event: &UsageEvent) -> UnixMillis {
    let made = event.id.made_at();
    let earliest = made - AT_FROM_ID_MAX;
    event.started_at_ms.clamp(earliest, made + AT_FROM_ID_MAX)
}

/// The smallest id that was made at this time, or later.
pub fn id_from(at: UnixMillis) -> Uuid {
    const TIME_MAX: u64 = (1 << 48) - 1;
    Uuid::from_u128(u128::from(at.0.min(TIME_MAX)) << 80)
}

/// Whether columns can hold this row.
///
/// # Errors
/// [`Unfit`], for the first column that can't.
pub fn check(row: &Row) -> Result<(), Unfit> {
    let mut columns = Check {
        next: 0,
        unfit: None,
    };
    for (number, name) in numbers(row) {
        if number > i64::MAX as u64 {
            return Err(Unfit::Large(name));
        }
    }
    write(row, &mut columns);
    columns.unfit.map_or(Ok(()), Err)
}

/// Every number of a row, with its column's name.
fn numbers(row: &Row) -> impl Iterator<Item = (u64, &'static str)> {
    let event = &row.event;
    let fixed = [
        (Some(row.link.sequence), "sequence"),
        (Some(event.started_at_ms.0), "started_at_ms"),
        (event.first_token_at_ms.map(|at| at.0), "first_token_at_ms"),
        (Some(event.ended_at_ms.0), "ended_at_ms"),
        (event.reserved_tokens, "reserved_tokens"),
        (event.cost_nanos, "cost_nanos"),
        (Some(event.request_bytes), "request_bytes"),
    ];
    fixed
        .into_iter()
        .chain(counts(event))
        .chain(cached_counts(event))
        .filter_map(|(number, name)| Some((number?, name)))
}

/// What was used, by kind.
pub fn counts(event: &UsageEvent) -> [(Option<u64>, &'static str); 11] {
    [
        (event.input_tokens, "input_tokens"),
        (event.cached_input_tokens, "cached_input_tokens"),
        (event.cache_write_tokens, "cache_write_tokens"),
        (event.cache_write_1h_tokens, "cache_write_1h_tokens"),
        (event.input_audio_tokens, "input_audio_tokens"),
        (event.input_image_tokens, "input_image_tokens"),
        (event.output_tokens, "output_tokens"),
        (event.reasoning_tokens, "reasoning_tokens"),
        (event.output_audio_tokens, "output_audio_tokens"),
        (event.output_image_tokens, "output_image_tokens"),
        (event.searches, "searches"),
    ]
}

/// What was read from the provider's cache, by kind.
pub fn cached_counts(event: &UsageEvent) -> [(Option<u64>, &'static str); 2] {
    [
        (event.cached_input_audio_tokens, "cached_input_audio_tokens"),
        (event.cached_input_image_tokens, "cached_input_image_tokens"),
    ]
}

struct Check {
    next: usize,
    unfit: Option<Unfit>,
}

impl Columns for Check {
    fn id(&mut self, _: Uuid) {
        self.next += 1;
    }

    fn int(&mut self, _: Option<i64>) {
        self.next += 1;
    }

    fn bool(&mut self, _: bool) {
        self.next += 1;
    }

    fn text(&mut self, text: Option<&str>) {
        if text.is_some_and(|text| text.as_bytes().contains(&0)) && self.unfit.is_none() {
            let name = COLUMNS.get(self.next).map_or("", |(name, _)| name);
            self.unfit = Some(Unfit::Nul(name));
        }
        self.next += 1;
    }

    fn bytes(&mut self, _: &[u8]) {
        self.next += 1;
    }
}

/// Gives a row's columns in order. A number that [`check`] refuses is written as
/// the largest there is.
pub fn write(row: &Row, to: &mut impl Columns) {
    let event = &row.event;
    let at = at(event);
    to.id(event.id.0);
    to.int(Some(wide(at.0)));
    to.id(row.link.chain);
    to.int(Some(wide(row.link.sequence)));
    to.bytes(&row.link.hash);
    to.text(Some(event.outcome.as_str()));
    to.text(event.known.map(Known::as_str));
    write_names(event, to);
    to.bool(event.stream);
    to.bool(event.cache_hit);
    to.int(event.status.map(i64::from));
    to.text(event.finish_reason.as_deref());
    to.text(event.refusal.as_deref());
    to.text(event.refused_by.as_deref());
    to.text(list(&event.would_refuse).as_deref());
    to.text(list(&event.actions).as_deref());
    to.int((event.started_at_ms != at).then(|| wide(event.started_at_ms.0)));
    to.int(event.first_token_at_ms.map(|at| wide(at.0)));
    to.int(Some(wide(event.ended_at_ms.0)));
    for (count, _) in counts(event) {
        to.int(count.map(wide));
    }
    to.int(event.reserved_tokens.map(wide));
    to.int(event.cost_nanos.map(wide));
    to.text(parts(&event.cost_parts).as_deref());
    to.text(event.price_version.as_deref());
    to.int(Some(wide(event.request_bytes)));
    to.text(event.traceparent.as_deref());
    for (count, _) in cached_counts(event) {
        to.int(count.map(wide));
    }
    to.text(event.input_known.map(Known::as_str));
    to.text(event.output_known.map(Known::as_str));
    to.text(labels::written(event.labels.as_deref()).as_deref());
    to.text(event.model_asked.as_deref());
}

fn write_names(event: &UsageEvent, to: &mut impl Columns) {
    to.text(event.tenant.as_deref());
    to.text(event.project.as_deref());
    to.text(event.environment.as_deref());
    to.text(event.user.as_deref());
    to.text(event.key_id.as_deref());
    to.text(event.plan.as_deref());
    to.text(event.endpoint.map(Endpoint::path));
    to.text(Some(&event.dialect));
    to.text(event.provider.as_deref());
    to.text(event.model.as_deref());
    to.text(event.model_served.as_deref());
    to.text(event.service_tier.as_deref());
}

fn wide(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn list(names: &[Arc<str>]) -> Option<String> {
    // The only error is of a map whose keys aren't text.
    (!names.is_empty()).then(|| serde_json::to_string(names).unwrap_or_default())
}

fn parts(parts: &[CostPart]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        let comma = if text.is_empty() { "" } else { "," };
        let (kind, units, cost) = (part.kind.as_str(), part.units, part.cost_nanos);
        // Writing to a string can't fail.
        let _ = write!(text, "{comma}{kind}:{units}:{cost}");
    }
    (!text.is_empty()).then_some(text)
}

/// Reads what [`write`] gave.
///
/// # Errors
/// [`Unreadable`]: somebody else has written it.
pub fn read(values: Vec<Value>) -> Result<Row, Unreadable> {
    let mut from = Reader::new(values);
    let id = HoldId(from.id()?);
    let stored_at = from.time()?;
    let row = read_rest(id, stored_at, &mut from)?;
    // The event has no field of it, so no hash shows that it was changed.
    if at(&row.event) == stored_at {
        Ok(row)
    } else {
        Err(Unreadable("at_ms"))
    }
}

fn read_rest(id: HoldId, at: UnixMillis, from: &mut Reader) -> Result<Row, Unreadable> {
    let link = from.link()?;
    Ok(Row {
        event: UsageEvent {
            schema: SCHEMA.to_owned(),
            id,
            outcome: from.outcome()?,
            known: from.known()?,
            tenant: from.name()?,
            project: from.name()?,
            environment: from.name()?,
            user: from.name()?,
            key_id: from.name()?,
            plan: from.name()?,
            endpoint: from.endpoint()?,
            dialect: from.required_name()?,
            provider: from.name()?,
            model: from.name()?,
            model_served: from.text()?,
            service_tier: from.name()?,
            stream: from.bool()?,
            cache_hit: from.bool()?,
            status: from.status()?,
            finish_reason: from.text()?,
            refusal: from.name()?,
            refused_by: from.name()?,
            would_refuse: from.list()?,
            actions: from.list()?,
            started_at_ms: from.count()?.map_or(at, UnixMillis),
            first_token_at_ms: from.count()?.map(UnixMillis),
            ended_at_ms: from.time()?,
            input_tokens: from.count()?,
            cached_input_tokens: from.count()?,
            cache_write_tokens: from.count()?,
            cache_write_1h_tokens: from.count()?,
            input_audio_tokens: from.count()?,
            input_image_tokens: from.count()?,
            output_tokens: from.count()?,
            reasoning_tokens: from.count()?,
            output_audio_tokens: from.count()?,
            output_image_tokens: from.count()?,
            searches: from.count()?,
            reserved_tokens: from.count()?,
            cost_nanos: from.count()?,
            cost_parts: from.parts()?,
            price_version: from.name()?,
            request_bytes: from.required()?,
            traceparent: from.text()?,
            cached_input_audio_tokens: from.count()?,
            cached_input_image_tokens: from.count()?,
            input_known: from.known()?,
            output_known: from.known()?,
            labels: from.labels()?,
            model_asked: from.name()?,
        },
        link,
    })
}
