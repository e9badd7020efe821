//! The names of facts: what conditions may write, and what each of it is.

use super::moment::WEEKDAYS;
use crate::expressions::condition::{Field, Kind, NoField, Schema};
use crate::limits::Mode;
use crate::protocol::Endpoint;
use crate::protocol::request::Want;
use std::collections::HashSet;
use std::sync::Arc;

/// The names that conditions of a plan may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Of its limits, and then of its budgets.
    pub counters: Arc<[Arc<str>]>,
    /// How many of them are limits.
    pub limits: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
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
    Route,
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
pub(super) const FACTS: &[(&[&str], Kind, Fact)] = &[
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
    (&["request", "route"], Kind::Text, Fact::Route),
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

/// What is known of a budget or limit.
pub(super) const OF_COUNTERS: &[(&str, Kind)] = &[
    ("used", Kind::Float),
    ("taken", Kind::Int),
    ("amount", Kind::Int),
    ("remaining", Kind::Int),
    ("resets_in", Kind::Int),
];

/// Fields from here on are of counters.
pub(super) const COUNTERS: u32 = 1 << 16;

impl Schema for Names {
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
    pub tools: Want,
    pub metadata: Want,
}

impl Needs {
    pub fn of(fields: impl Iterator<Item = Field>) -> Self {
        let mut needs = Self::default();
        for Field(field) in fields {
            match fact(field) {
                None => needs.counters = true,
                Some(Fact::Tools) => needs.tools = Want::Whole,
                // A hint may stand in the metadata.
                Some(Fact::Metadata | Fact::Task | Fact::Latency) => needs.metadata = Want::Whole,
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

    /// The same of what refuses nothing in shadow mode.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        match mode {
            Mode::Enforce => self,
            Mode::Shadow => Self {
                tools: self.tools.if_readable(),
                metadata: self.metadata.if_readable(),
                ..self
            },
        }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            counters: self.counters || other.counters,
            time: self.time || other.time,
            tools: self.tools.max(other.tools),
            metadata: self.metadata.max(other.metadata),
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

/// Whether a field holds names of providers of models.
pub fn names_providers(field: Field) -> bool {
    fact(field.0) == Some(Fact::Provider)
}

/// Whether a field holds names of plans.
pub fn names_plans(field: Field) -> bool {
    fact(field.0) == Some(Fact::Plan)
}

/// Whether a field holds names of routes.
pub fn names_routes(field: Field) -> bool {
    fact(field.0) == Some(Fact::Route)
}

/// Whether a field has a value only for models that have a price.
pub fn needs_price(field: Field) -> bool {
    matches!(
        fact(field.0),
        Some(Fact::CostMax | Fact::InputPrice | Fact::OutputPrice)
    )
}

/// Whether a field is the map of a call's headers.
pub fn is_of_headers(field: Field) -> bool {
    fact(field.0) == Some(Fact::Headers)
}

/// What a field's words are called, and all that there are, where no others can be.
pub fn words_of(field: Field) -> Option<(&'static str, HashSet<&'static str>)> {
    let endpoints = Endpoint::ALL.into_iter();
    Some(match fact(field.0)? {
        Fact::Endpoint => ("endpoint", endpoints.map(Endpoint::path).collect()),
        Fact::Dialect => {
            let dialects = endpoints.map(|endpoint| endpoint.dialect().as_str());
            ("dialect", dialects.collect())
        }
        Fact::Weekday => ("weekday", WEEKDAYS.into()),
        _ => return None,
    })
}

pub(super) fn fact(field: u32) -> Option<Fact> {
    FACTS
        .get(usize::try_from(field).ok()?)
        .map(|(_, _, fact)| *fact)
}
