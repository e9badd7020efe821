//! What the conditions of rules may speak of, and what each of it is for a call.
//!
//! | name | what |
//! |---|---|
//! | `principal` | who calls |
//! | `request` | what is asked for |
//! | `metadata` | the request's own metadata, as `request.metadata` |
//! | `model` | the model that the call is for as it stands |
//! | `budget`, `limit` | a budget or limit of the plan, by its name, before this call |
//! | `time` | now, in the plan's time zone |
//!
//! Always holds: looking a fact up allocates nothing; what isn't known has no
//! value, so a condition that needs it doesn't hold.

use super::{Call, Model};
use crate::expressions::condition::{self, Field, Kind, NoField, Value};
use crate::limits::{Charge, Standing};
use crate::pricing::{Kind as PriceKind, ServiceTier, cost_nanos};
use crate::units::UnixMillis;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// What a request says of itself, besides what it may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The model that it names.
    pub model: Arc<str>,
    pub stream: bool,
    /// Answers to each prompt.
    pub choices: u64,
    pub messages: u64,
    pub images: u64,
    pub searches: u64,
    pub body_bytes: u64,
    /// Names of the tools that it brings.
    pub tools: Vec<String>,
    pub metadata: Vec<(String, String)>,
    pub hints: Hints,
}

/// What the head of a request says of what it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// `x-weir-task`, else the body's `metadata.task`.
    pub task: Option<String>,
    /// `x-weir-latency`, else the body's `metadata.latency`.
    pub latency: Option<String>,
    /// Headers that the configuration lets conditions see, by name.
    pub headers: Vec<(Arc<str>, String)>,
}

/// A time of day, as conditions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    unix: i64,
    hour: i64,
    minute: i64,
    day: i64,
    month: i64,
    /// From Monday, 0.
    weekday: usize,
}

/// A call's counters, as they stood before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(Vec<Counter>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Counter {
    name: Arc<str>,
    amount: u64,
    used: u64,
    remaining: u64,
    reset_secs: Option<u64>,
}

/// All that is known of a call when rules judge it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'c> {
    pub call: Call<'c>,
    pub request: &'c Request,
    /// `None`: not looked at yet.
    pub counters: Option<&'c Counters>,
    pub now: UnixMillis,
    pub moment: Moment,
}

/// The same for conditions that were compiled with these names of counters.
#[derive(Debug, Clone, Copy)]
pub struct Named<'f, 'c> {
    pub facts: &'f Facts<'c>,
    pub names: &'f [Arc<str>],
}

/// The names that conditions of a plan may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Of its limits, and then of its budgets.
    pub counters: Arc<[Arc<str>]>,
    /// How many of them are limits.
    pub limits: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Tenant,
    Project,
    Environment,
    User,
    Key,
    Plan,
    Labels,
    Endpoint,
    Dialect,
    ModelAsked,
    Stream,
    InputTokens,
    OutputMax,
    Tokens,
    CostMax,
    Choices,
    Messages,
    Images,
    Searches,
    BodyBytes,
    Tools,
    Task,
    Latency,
    Headers,
    Metadata,
    ModelName,
    Tier,
    Provider,
    InputPrice,
    OutputPrice,
    Unix,
    Hour,
    Minute,
    Day,
    Month,
    Weekday,
}

/// In the order of [`Fact`].
const FACTS: &[(&[&str], Kind, Fact)] = &[
    (&["principal", "tenant"], Kind::Text, Fact::Tenant),
    (&["principal", "project"], Kind::Text, Fact::Project),
    (&["principal", "environment"], Kind::Text, Fact::Environment),
    (&["principal", "user"], Kind::Text, Fact::User),
    (&["principal", "key"], Kind::Text, Fact::Key),
    (&["principal", "plan"], Kind::Text, Fact::Plan),
    (&["principal", "labels"], Kind::Map, Fact::Labels),
    (&["request", "endpoint"], Kind::Text, Fact::Endpoint),
    (&["request", "dialect"], Kind::Text, Fact::Dialect),
    (&["request", "model"], Kind::Text, Fact::ModelAsked),
    (&["request", "stream"], Kind::Bool, Fact::Stream),
    (&["request", "input_tokens"], Kind::Int, Fact::InputTokens),
    (&["request", "output_max"], Kind::Int, Fact::OutputMax),
    (&["request", "tokens"], Kind::Int, Fact::Tokens),
    (&["request", "cost_max"], Kind::Int, Fact::CostMax),
    (&["request", "choices"], Kind::Int, Fact::Choices),
    (&["request", "messages"], Kind::Int, Fact::Messages),
    (&["request", "images"], Kind::Int, Fact::Images),
    (&["request", "searches"], Kind::Int, Fact::Searches),
    (&["request", "body_bytes"], Kind::Int, Fact::BodyBytes),
    (&["request", "tools"], Kind::Texts, Fact::Tools),
    (&["request", "task"], Kind::Text, Fact::Task),
    (&["request", "latency"], Kind::Text, Fact::Latency),
    (&["request", "headers"], Kind::Map, Fact::Headers),
    (&["request", "metadata"], Kind::Map, Fact::Metadata),
    (&["metadata"], Kind::Map, Fact::Metadata),
    (&["model", "name"], Kind::Text, Fact::ModelName),
    (&["model", "tier"], Kind::Text, Fact::Tier),
    (&["model", "provider"], Kind::Text, Fact::Provider),
    (&["model", "input_price"], Kind::Int, Fact::InputPrice),
    (&["model", "output_price"], Kind::Int, Fact::OutputPrice),
    (&["time", "unix"], Kind::Int, Fact::Unix),
    (&["time", "hour"], Kind::Int, Fact::Hour),
    (&["time", "minute"], Kind::Int, Fact::Minute),
    (&["time", "day"], Kind::Int, Fact::Day),
    (&["time", "month"], Kind::Int, Fact::Month),
    (&["time", "weekday"], Kind::Text, Fact::Weekday),
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// What is known of a budget or limit.
const OF_COUNTERS: &[(&str, Kind)] = &[
    ("used", Kind::Float),
    ("taken", Kind::Int),
    ("amount", Kind::Int),
    ("remaining", Kind::Int),
    ("resets_in", Kind::Int),
];

/// Fields from here on are of counters.
const COUNTERS: u32 = 1 << 16;

impl condition::Schema for Names {
    fn field(&self, path: &[&str]) -> Result<(Field, Kind), NoField> {
        let known = FACTS.iter().position(|(known, ..)| *known == path);
        if let Some(place) = known
            && let Some((_, kind, _)) = FACTS.get(place)
        {
            return Ok((Field(u32::try_from(place).unwrap_or(u32::MAX)), *kind));
        }
        match path {
            [root @ ("budget" | "limit"), rest @ ..] => self.counter(root, rest),
            [root, ..] => {
                let of_root = FACTS
                    .iter()
                    .filter(|(known, ..)| known.first() == Some(root));
                let names = of_root.filter_map(|(known, ..)| known.get(1));
                let known: Vec<String> = names.map(|name| (*name).to_owned()).collect();
                match known.is_empty() {
                    true => Err(no_field(0, roots())),
                    false => Err(no_field(1, known)),
                }
            }
            [] => Err(no_field(0, roots())),
        }
    }
}

fn no_field(at: usize, known: Vec<String>) -> NoField {
    NoField { at, known }
}

fn roots() -> Vec<String> {
    let mut roots: Vec<String> = Vec::new();
    for root in FACTS.iter().filter_map(|(known, ..)| known.first()) {
        if !roots.iter().any(|known| known == root) {
            roots.push((*root).to_owned());
        }
    }
    roots.extend(["budget".to_owned(), "limit".to_owned()]);
    roots
}

impl Names {
    pub fn of(limits: impl IntoIterator<Item = Arc<str>>, budgets: &[Arc<str>]) -> Self {
        let mut counters: Vec<Arc<str>> = limits.into_iter().collect();
        let limits = counters.len();
        counters.extend(budgets.iter().cloned());
        Self {
            counters: counters.into(),
            limits,
        }
    }

    fn counter(&self, root: &str, rest: &[&str]) -> Result<(Field, Kind), NoField> {
        let (of_limits, of_budgets) = self.counters.split_at(self.limits.min(self.counters.len()));
        let (first, names) = match root {
            "limit" => (0, of_limits),
            _ => (of_limits.len(), of_budgets),
        };
        let all = || names.iter().map(|name| name.to_string()).collect();
        let name = rest.first().ok_or_else(|| no_field(1, all()))?;
        let place = names.iter().position(|known| **known == **name);
        let place = place.ok_or_else(|| no_field(1, all()))?;
        let found = rest.get(1).and_then(|what| {
            let mut whats = OF_COUNTERS.iter().enumerate();
            whats.find(|(_, (known, _))| known == what)
        });
        let Some((which, (_, kind))) = found.filter(|_| rest.len() == 2) else {
            let whats = OF_COUNTERS.iter().map(|(what, _)| (*what).to_owned());
            return Err(no_field(
                if rest.len() > 2 { 3 } else { 2 },
                whats.collect(),
            ));
        };
        let field = (first + place) * OF_COUNTERS.len() + which;
        let field = u32::try_from(field).unwrap_or(u32::MAX);
        Ok((Field(COUNTERS.saturating_add(field)), *kind))
    }
}

/// What a condition has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// How counters stand.
    pub counters: bool,
    /// The time of day.
    pub time: bool,
    pub tools: bool,
    pub metadata: bool,
}

impl Needs {
    pub fn of(fields: impl Iterator<Item = Field>) -> Self {
        let mut needs = Self::default();
        for Field(field) in fields {
            match fact(field) {
                None => needs.counters = true,
                Some(Fact::Tools) => needs.tools = true,
                // A hint may stand in the metadata.
                Some(Fact::Metadata | Fact::Task | Fact::Latency) => needs.metadata = true,
                Some(
                    Fact::Unix
                    | Fact::Hour
                    | Fact::Minute
                    | Fact::Day
                    | Fact::Month
                    | Fact::Weekday,
                ) => needs.time = true,
                Some(_) => {}
            }
        }
        needs
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            counters: self.counters || other.counters,
            time: self.time || other.time,
            tools: self.tools || other.tools,
            metadata: self.metadata || other.metadata,
        }
    }
}

/// Whether a field holds names of models.
pub fn names_models(field: Field) -> bool {
    matches!(fact(field.0), Some(Fact::ModelAsked | Fact::ModelName))
}

/// Whether a field holds names of tiers.
pub fn names_tiers(field: Field) -> bool {
    fact(field.0) == Some(Fact::Tier)
}

fn fact(field: u32) -> Option<Fact> {
    FACTS
        .get(usize::try_from(field).ok()?)
        .map(|(_, _, fact)| *fact)
}

impl Moment {
    pub fn of(now: UnixMillis, zone: &TimeZone) -> Self {
        let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
        let Ok(time) = Timestamp::from_millisecond(millis) else {
            return Self::default();
        };
        let local = zone.to_datetime(time);
        let weekday = local.date().weekday().to_monday_zero_offset();
        Self {
            unix: time.as_second(),
            hour: local.hour().into(),
            minute: local.minute().into(),
            day: local.day().into(),
            month: local.month().into(),
            weekday: usize::try_from(weekday).unwrap_or_default(),
        }
    }
}

impl Counters {
    /// As they stood before the call took its charges, if it has.
    pub fn before(charges: &[Charge], standings: &[Standing], taken: bool) -> Self {
        let before = charges.iter().zip(standings).map(|(charge, standing)| {
            let own = if taken { charge.amount } else { 0 };
            let limit = &charge.limit;
            let used = standing.used.saturating_sub(own);
            Counter {
                name: Arc::clone(&limit.name),
                amount: limit.amount,
                used,
                remaining: standing.without(own).remaining,
                reset_secs: standing.reset_after.map(|after| after.0.div_ceil(1_000)),
            }
        });
        Self(before.collect())
    }

    fn get(&self, name: &str) -> Option<&Counter> {
        self.0.iter().find(|counter| *counter.name == *name)
    }
}

impl<'c> Facts<'c> {
    /// Of a call of which no more is known.
    pub fn of(call: Call<'c>, request: &'c Request) -> Self {
        Self {
            call,
            request,
            counters: None,
            now: UnixMillis(0),
            moment: Moment::default(),
        }
    }
}

impl Counter {
    fn value(&self, which: usize) -> Option<Value<'static>> {
        Some(match OF_COUNTERS.get(which)?.0 {
            // Decides no money: which rule holds near a threshold.
            #[expect(clippy::cast_precision_loss, reason = "amounts stay below 2^53")]
            "used" => Value::Float(self.used as f64 / self.amount.max(1) as f64),
            "taken" => int(self.used),
            "amount" => int(self.amount),
            "remaining" => int(self.remaining),
            _ => int(self.reset_secs?),
        })
    }
}

fn int(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(text: Option<&Arc<str>>) -> Value<'_> {
    Value::Text(text.map_or("", |text| text))
}

/// What a million tokens cost at the model's usual price, in nano-dollars.
fn price(model: &Model, kind: PriceKind, now: UnixMillis) -> Option<Value<'static>> {
    let dated = model.price.as_ref()?.schedule().at(now);
    let rates = dated.price.rates(ServiceTier::default(), 0);
    Some(int(cost_nanos(1_000_000, rates.get(kind)?)))
}

impl condition::Facts for Named<'_, '_> {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        let Facts {
            call,
            request,
            counters,
            now,
            moment,
        } = self.facts;
        if let Some(of_counters) = field.0.checked_sub(COUNTERS) {
            let at = usize::try_from(of_counters).ok()?;
            let name = self.names.get(at / OF_COUNTERS.len())?;
            return (*counters)?.get(name)?.value(at % OF_COUNTERS.len());
        }
        let who = call.who;
        Some(match fact(field.0)? {
            Fact::Tenant => Value::Text(&who.tenant),
            Fact::Project => text(who.project.as_ref()),
            Fact::Environment => text(who.environment.as_ref()),
            Fact::User => text(who.user.as_ref()),
            Fact::Key => Value::Text(&who.key_id),
            Fact::Plan => Value::Text(&who.plan),
            Fact::Endpoint => Value::Text(call.endpoint.path()),
            Fact::Dialect => Value::Text(call.endpoint.dialect().as_str()),
            Fact::ModelAsked => Value::Text(&request.model),
            Fact::Stream => Value::Bool(request.stream),
            Fact::InputTokens => int(call.most.input_tokens),
            Fact::OutputMax => int(call.most.output_tokens),
            Fact::Tokens => int(call.most.total_tokens()),
            Fact::CostMax => int(call.most.cost_nanos),
            Fact::Choices => int(request.choices),
            Fact::Messages => int(request.messages),
            Fact::Images => int(request.images),
            Fact::Searches => int(request.searches),
            Fact::BodyBytes => int(request.body_bytes),
            Fact::Task => Value::Text(request.task()),
            Fact::Latency => Value::Text(request.latency()),
            Fact::ModelName => Value::Text(&call.model.name),
            Fact::Tier => text(call.model.tier.as_ref()),
            Fact::Provider => text(call.model.provider.as_ref()),
            Fact::InputPrice => price(call.model, PriceKind::Input, *now)?,
            Fact::OutputPrice => price(call.model, PriceKind::Output, *now)?,
            Fact::Unix => Value::Int(moment.unix),
            Fact::Hour => Value::Int(moment.hour),
            Fact::Minute => Value::Int(moment.minute),
            Fact::Day => Value::Int(moment.day),
            Fact::Month => Value::Int(moment.month),
            Fact::Weekday => Value::Text(WEEKDAYS.get(moment.weekday)?),
            Fact::Labels | Fact::Tools | Fact::Headers | Fact::Metadata => return None,
        })
    }

    fn entry(&self, map: Field, key: &str) -> Option<&str> {
        match fact(map.0)? {
            Fact::Labels => {
                let labels = self.facts.call.who.labels.as_ref()?;
                let mut all = labels.iter();
                let found = all.find(|(name, _)| **name == *key);
                found.map(|(_, value)| &**value)
            }
            Fact::Headers => {
                let mut all = self.facts.request.hints.headers.iter();
                let found = all.find(|(name, _)| **name == *key);
                found.map(|(_, value)| value.as_str())
            }
            Fact::Metadata => self.facts.request.metadata(key),
            _ => None,
        }
    }

    fn texts_len(&self, list: Field) -> Option<usize> {
        (fact(list.0)? == Fact::Tools).then_some(self.facts.request.tools.len())
    }

    fn text_at(&self, list: Field, at: usize) -> Option<&str> {
        let tools = &self.facts.request.tools;
        let tools = (fact(list.0)? == Fact::Tools).then_some(tools)?;
        tools.get(at).map(String::as_str)
    }
}

impl Request {
    fn metadata(&self, key: &str) -> Option<&str> {
        let found = self.metadata.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Empty where nothing is said.
    pub fn task(&self) -> &str {
        let said = self.hints.task.as_deref();
        said.or_else(|| self.metadata("task")).unwrap_or("")
    }

    /// Empty where nothing is said.
    pub fn latency(&self) -> &str {
        let said = self.hints.latency.as_deref();
        said.or_else(|| self.metadata("latency")).unwrap_or("")
    }
}
