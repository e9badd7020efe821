//! Plans: what their tenants may use, and what becomes of their calls.

use super::PlanLimit;
use super::rule::{Action, Rules, Swap};
use crate::identity::scopes::Pattern;
use crate::limits::Mode;
use crate::protocol::Endpoint;
use crate::protocol::request::Want;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// How many answers a call may ask for where nothing is said.
pub const CHOICES_DEFAULT: u64 = 8;

/// The most parameters that a plan may forbid.
pub const FORBIDDEN_MAX: usize = 64;

/// A plan: what its tenants may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub name: Arc<str>,
    /// Budgets among them. At most [`crate::limits::CHARGES_MAX`], each with a name
    /// of its own.
    pub limits: Vec<PlanLimit>,
    pub output: OutputRule,
    pub entitlements: Entitlements,
    pub guardrails: Guardrails,
    pub rules: Rules,
    /// By which conditions tell the time; `None`: UTC.
    pub time_zone: Option<TimeZone>,
}

/// What may be used. Each list that is `None` allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// Names of models.
    pub models: Option<Vec<Pattern>>,
    /// Of models; one without a tier is in none.
    pub tiers: Option<Vec<Arc<str>>>,
    pub endpoints: Option<Vec<Endpoint>>,
    /// Names of the tools that a call may bring.
    pub tools: Option<Vec<Pattern>>,
}

/// Bounds on what a call may ask for, besides its output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guardrails {
    pub input_tokens_max: Option<u64>,
    pub body_bytes_max: Option<u64>,
    pub images_max: Option<u64>,
    pub tools_max: Option<u64>,
    /// Fields of bodies that no call may have, as `logit_bias` or
    /// `generationConfig.topK`.
    pub forbidden: Vec<Arc<str>>,
    /// Fields of bodies that are left out.
    pub dropped: Vec<Arc<str>>,
}

/// Guardrails on how much a call may produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputRule {
    /// Written into a call that sets no cap of its own; `None`: the model's
    /// own maximum is held and nothing is written.
    pub max_tokens_default: Option<u64>,
    /// A larger cap in a call is lowered to this one, or refused.
    pub max_tokens_cap: Option<u64>,
    /// A call must set a cap of its own.
    pub max_tokens_required: bool,
    /// What becomes of a cap that is larger than the plan's; `None`: it is lowered.
    pub max_tokens_over: Option<Over>,
    /// The most answers (`n`, `best_of`) that one call may ask for; `None`:
    /// [`CHOICES_DEFAULT`].
    pub choices_cap: Option<u64>,
    /// What becomes of a call that asks for more; `None`: it is refused.
    pub choices_over: Option<Over>,
    /// A call that asks for more answers is refused, whatever becomes of others that
    /// ask for more than they may: by a plan that clamps none, of a child that does.
    pub choices_refused_over: Option<u64>,
    /// How much output is held for a call; `None`: the most that it can produce.
    pub hold: Option<Hold>,
}

/// What becomes of a call that asks for too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It is made to ask for what it may, and its answer says so.
    Clamp,
    Refuse,
}

/// How much output is held for a call while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// The most that it can produce.
    #[default]
    Maximum,
    /// What this many percent of the tenant's answers from the model stay
    /// within, as far as enough of them were seen; else the maximum.
    Expected { percentile: u8 },
}

impl Plan {
    /// Whether it matters which tools a body brings.
    pub fn wants_tools(&self) -> Want {
        match self.entitlements.tools.is_some() || self.guardrails.tools_max.is_some() {
            true => Want::Whole,
            false => Want::Not,
        }
    }

    /// Whether it matters which fields a body has. What rules in shadow mode would do
    /// with them is never done.
    pub fn wants_fields(&self) -> Want {
        let guardrails = &self.guardrails;
        let bans = !guardrails.forbidden.is_empty() || !guardrails.dropped.is_empty();
        let enforced = self.rules.list.iter();
        let enforced = enforced.filter(|rule| rule.mode == Mode::Enforce);
        let mut swaps = enforced
            .flat_map(|rule| &rule.then)
            .filter_map(Action::swap);
        match bans || swaps.any(Swap::looks_at_fields) {
            true => Want::Whole,
            false => Want::Not,
        }
    }
}

impl OutputRule {
    /// This rule as one that stands below it narrows it: nothing becomes more.
    #[must_use]
    pub fn narrowed(self, narrower: OutputRule) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let stricter = |a: Option<Over>, b: Option<Over>| match (a, b) {
            (Some(Over::Refuse), _) | (_, Some(Over::Refuse)) => Some(Over::Refuse),
            (a, b) => a.or(b),
        };
        Self {
            max_tokens_default: least(self.max_tokens_default, narrower.max_tokens_default),
            max_tokens_cap: least(self.max_tokens_cap, narrower.max_tokens_cap),
            max_tokens_required: self.max_tokens_required || narrower.max_tokens_required,
            max_tokens_over: stricter(self.max_tokens_over, narrower.max_tokens_over),
            // Without a cap it is the usual one, which nothing below makes more.
            choices_cap: narrower
                .choices_cap
                .map(|cap| cap.min(self.choices_cap.unwrap_or(CHOICES_DEFAULT)))
                .or(self.choices_cap),
            choices_over: stricter(self.choices_over, narrower.choices_over),
            choices_refused_over: match (self.choices_over, narrower.choices_over) {
                (None, Some(Over::Clamp)) => Some(self.choices_cap.unwrap_or(CHOICES_DEFAULT)),
                _ => self.choices_refused_over,
            },
            hold: most_held(self.hold, narrower.hold),
        }
    }
}

/// Of two ways to hold output the one that holds more. What stands below can't make
/// it less, nor where nothing is said above it.
fn most_held(above: Option<Hold>, below: Option<Hold>) -> Option<Hold> {
    match (above, below) {
        (above, None) => above,
        (Some(Hold::Expected { percentile: a }), Some(Hold::Expected { percentile: b })) => {
            Some(Hold::Expected {
                percentile: a.max(b),
            })
        }
        (_, Some(_)) => Some(Hold::Maximum),
    }
}

impl Entitlements {
    pub fn allow_model(&self, name: &str, tier: Option<&str>) -> bool {
        let tiers = self.tiers.as_ref();
        let tier_fits = |tiers: &Vec<Arc<str>>| {
            tier.is_some_and(|tier| tiers.iter().any(|known| **known == *tier))
        };
        fits(self.models.as_deref(), name) && tiers.is_none_or(tier_fits)
    }

    pub fn allow_endpoint(&self, endpoint: Endpoint) -> bool {
        let endpoints = self.endpoints.as_ref();
        endpoints.is_none_or(|all| all.contains(&endpoint))
    }

    pub fn allow_tool(&self, name: &str) -> bool {
        fits(self.tools.as_deref(), name)
    }
}

fn fits(patterns: Option<&[Pattern]>, name: &str) -> bool {
    patterns.is_none_or(|all| all.iter().any(|pattern| pattern.fits(name)))
}
