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

mod moment;
mod names;
mod spelt;

pub use moment::Moment;
pub use names::{
    Names, Needs, is_of_headers, names_models, names_plans, names_providers, names_routes,
    names_tiers, needs_price, words_of,
};
pub use spelt::{is_in_rows, spelt, told};

use super::{Call, Model};
use crate::expressions::condition::{self, Field, Value};
use crate::limits::{Charge, Refusal, Standing};
use crate::pricing::{Kind as PriceKind, ServiceTier, cost_nanos};
use crate::units::UnixMillis;
use jiff::tz::TimeZone;
use names::{COUNTERS, Fact, OF_COUNTERS, fact};
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
    /// The name of the configuration's route that fits it.
    pub route: Option<Arc<str>>,
    pub seen: Seen,
}

/// How much of a request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seen {
    #[default]
    Whole,
    /// It is made anew from the ledger, which doesn't know what it said of itself.
    Row,
    /// Nothing but its head, and its model where that says it.
    Head,
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

impl Counters {
    /// As they stood before the call took its charges, if it has.
    pub fn before<'c>(
        charges: impl Iterator<Item = &'c Charge>,
        standings: &[Standing],
        taken: bool,
    ) -> Self {
        let before = charges.zip(standings).map(|(charge, standing)| {
            let own = if taken { charge.amount } else { 0 };
            let limit = &charge.limit;
            let used = standing.used.saturating_sub(own);
            Counter {
                name: Arc::clone(&limit.name),
                amount: standing.whole(limit.amount),
                used,
                remaining: standing.without(own).remaining,
                reset_secs: standing.reset_after.map(|after| after.0.div_ceil(1_000)),
            }
        });
        Self(before.collect())
    }

    /// The one that refused a call; of the others nothing is known.
    pub fn of_refusal(charge: &Charge, refusal: &Refusal) -> Self {
        let standing = Standing {
            used: refusal.used,
            exceeded: true,
            remaining: refusal.remaining,
            reset_after: refusal.reset_after,
            carried: 0,
        };
        Self::before(std::iter::once(charge), &[standing], false)
    }

    fn get(&self, name: &str) -> Option<&Counter> {
        self.0.iter().find(|counter| *counter.name == *name)
    }
}

impl<'c> Facts<'c> {
    /// The same, where the time is told by this zone, if there is one and anything
    /// asks for the time.
    #[must_use]
    pub fn in_zone(&self, zone: Option<&TimeZone>) -> Self {
        let zone = zone.filter(|_| self.moment != Moment::default());
        Self {
            moment: zone.map_or(self.moment, |zone| Moment::of(self.now, zone)),
            ..*self
        }
    }

    /// Whether such a thing is known of the call at all.
    fn knows(&self, fact: Fact) -> bool {
        let hints = &self.request.hints;
        match self.request.seen {
            Seen::Whole => true,
            Seen::Row => fact.is_in_rows(),
            Seen::Head => match fact {
                Fact::Task => hints.task.is_some(),
                Fact::Latency => hints.latency.is_some(),
                Fact::ModelAsked => !self.request.model.is_empty(),
                fact if fact.is_of_models() => !self.call.model.name.is_empty(),
                fact => !fact.is_of_bodies(),
            },
        }
    }

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
        if !self.facts.knows(fact(field.0)?) {
            return None;
        }
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
            Fact::CostMax => {
                call.model.price.as_ref()?;
                int(call.most.cost_nanos)
            }
            Fact::Choices => int(request.choices),
            Fact::Messages => int(request.messages),
            Fact::Images => int(request.images),
            Fact::Searches => int(request.searches),
            Fact::BodyBytes => int(request.body_bytes),
            Fact::Task => Value::Text(request.task()),
            Fact::Latency => Value::Text(request.latency()),
            Fact::Route => text(request.route.as_ref()),
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
            Fact::Weekday => Value::Text(moment.weekday()?),
            Fact::Labels | Fact::Tools | Fact::Headers | Fact::Metadata => return None,
        })
    }

    fn is_map_known(&self, map: Field) -> bool {
        fact(map.0).is_some_and(|fact| self.facts.knows(fact))
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
        let is_known = fact(list.0)? == Fact::Tools && self.facts.knows(Fact::Tools);
        is_known.then_some(self.facts.request.tools.len())
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
