//! Weighing a call: which model it gets, what the rules of its plan make of it, and
//! what it reserves then.
//!
//! ```text
//! the model it names, or one behind a virtual name
//!   -> bounds and prices                              planning
//!   -> rules that shape it, planned anew if they do   policy::rule::shape
//!   -> rules that judge what it is then               policy::rule::judge
//!   -> charges
//! ```
//!
//! Rules that speak of counters can't hold before the store has answered: such a
//! call is weighed again with that answer, and reserves anew if it has become
//! another one. So what rules see of a counter is what the reservation saw.

mod ask;
mod opened;
mod refused;

pub(super) use ask::Ask;
pub(super) use refused::crowded;

use refused::blocked;

use super::admit::{Admission, Refused};
use super::approval::{self, Granted, Needed};
use super::deciding::Deciding;
use super::planning::Planned;
use super::rules_told;
use super::{guardrails, planning, reading};
use crate::limits::Reservation;
use crate::policy::facts::{Counters, Facts, Moment, Needs};
use crate::policy::grants::ApprovalRequest;
use crate::policy::rule::{self, Shape, Swap};
use crate::policy::{self, Model, Terms};
use crate::protocol::Dialect;
use crate::protocol::denial::{Denial, Entitlement};
use crate::units::Millis;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// What a call was weighed to be.
#[derive(Debug)]
pub(super) struct Weighed {
    pub deciding: Deciding,
    pub reservation: Reservation,
    /// It is held back for so long before it reserves, by this rule.
    pub delay: Option<(Millis, Arc<str>)>,
    pub became: Became,
    /// Its plan has rules that need to know how its counters stand.
    pub needs_counters: bool,
}

/// What rules made of a call: where two weighings agree in it, the reservation of
/// the first is that of the second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Became {
    model: Arc<str>,
    clamp: Option<u64>,
    cluster: Option<Arc<str>>,
    limits_per_mille: Option<u64>,
    grant: Option<Arc<str>>,
}

/// A call that isn't let through, and the model that it was for by then.
pub(super) struct Against {
    pub denial: Denial,
    pub model: Option<Arc<str>>,
    /// What rules in shadow mode would have done.
    pub actions: Vec<Arc<str>>,
    /// What is to be approved.
    pub approval: Option<Box<ApprovalRequest>>,
}

impl From<Denial> for Against {
    fn from(denial: Denial) -> Self {
        Self {
            denial,
            model: None,
            actions: Vec::new(),
            approval: None,
        }
    }
}

/// One weighing.
struct Scale<'a> {
    admission: &'a Admission<'a>,
    ask: &'a Ask,
    terms: Terms<'a>,
    counters: Option<&'a Counters>,
    moment: Moment,
}

impl Admission<'_> {
    /// Weighs a call; `counters` where the store has said how they stand.
    pub fn weigh(&self, ask: &Ask, counters: Option<&Counters>) -> Result<Weighed, Box<Refused>> {
        let who = &ask.who;
        self.weighed(ask, counters).map_err(|against| {
            let Against {
                denial,
                model,
                actions,
                approval,
            } = *against;
            let (principal, endpoint) = (Some(&who.principal), Some(who.endpoint));
            let mut refused = Refused::new(denial, principal, endpoint, who.started_at);
            refused.model = model;
            refused.actions = actions;
            refused.approval = approval;
            refused
        })
    }

    fn weighed(&self, ask: &Ask, counters: Option<&Counters>) -> Result<Weighed, Box<Against>> {
        let terms = self.snapshot.terms(&ask.who.principal);
        let terms = terms.ok_or_else(|| Box::new(Denial::UnknownModel.into()))?;
        guardrails::before(terms, ask).map_err(|denial| Box::new(denial.into()))?;
        let needs = needs(terms);
        let moment = match needs.time || self.names_virtual(ask).is_some_and(|v| v.needs.time) {
            true => Moment::of(ask.who.started_at, &zone(terms)),
            false => Moment::default(),
        };
        let scale = Scale {
            admission: self,
            ask,
            terms,
            counters,
            moment,
        };
        scale.weigh(needs)
    }

    fn names_virtual(&self, ask: &Ask) -> Option<&Arc<policy::choice::VirtualModel>> {
        self.snapshot.virtual_models.get(ask.facts.model.as_str())
    }
}

/// What the rules of a caller need to be told.
pub(super) fn needs(terms: Terms) -> Needs {
    let rules = terms.rules();
    rules.fold(Needs::default(), |needs, rules| needs.and(rules.needs))
}

fn zone(terms: Terms) -> TimeZone {
    let zone = terms.plan().time_zone.clone();
    zone.unwrap_or(TimeZone::UTC)
}

impl<'a> Scale<'a> {
    fn weigh(&self, needs: Needs) -> Result<Weighed, Box<Against>> {
        let model = self.model()?;
        let about = |denial: Denial| Against {
            model: Some(Arc::clone(&model.name)),
            ..denial.into()
        };
        let planned = self.planned(model, None).map_err(about)?;
        let mut shadows = Vec::new();
        let facts = self.facts(model, &planned);
        let may_swap = |swap: &'a Swap| self.swapped(swap, model).is_some();
        let rules = self.terms.rules();
        let shape = rule::shape(rules, &facts, may_swap, |taken| shadows.push(taken));
        let (model, planned) = self.shaped(model, planned, &shape).map_err(about)?;
        let facts = self.facts(model, &planned);
        let rules = self.terms.rules();
        let judgement = rule::judge(rules, &facts, |taken| shadows.push(taken));
        let told = rules_told::told(&shape, &judgement, &planned, &self.ask.facts.model);
        let mut told = told.with(&shadows);
        told.goes_to(&model.name, &self.ask.facts.model);
        let against = |denial| {
            Box::new(Against {
                model: Some(Arc::clone(&model.name)),
                actions: told.actions.clone(),
                ..Against::from(denial)
            })
        };
        if let Some((block, rule)) = judgement.block {
            return Err(against(blocked(block, rule)));
        }
        guardrails::after(self.terms, &planned).map_err(against)?;
        let grant = match judgement.approval {
            Some((approval, rule)) => {
                let granted = approval::granted(self.admission.snapshot, approval, rule, &facts);
                Some(granted.map_err(|needed| {
                    let Needed { denial, request } = *needed;
                    let mut against = against(denial);
                    against.approval = Some(Box::new(request));
                    against
                })?)
            }
            None => None,
        };
        let mut weighed = self.opened(model, planned, &judgement, told);
        weighed.needs_counters = needs.counters
            || (self.admission.names_virtual(self.ask)).is_some_and(|v| v.needs.counters);
        weighed.became.clamp = shape.clamp.map(|(most, _)| most);
        if let Some((route, _)) = shape.route {
            weighed.became.cluster = Some(Arc::clone(&route.cluster));
        }
        if let Some(Granted { charge, otherwise }) = grant {
            weighed.became.grant = charge.as_ref().map(|c| Arc::clone(&c.limit.name));
            weighed.deciding.charges.extend(charge);
            weighed.deciding.ungranted = Some(otherwise);
        }
        weighed.reservation = self.admission.reservation(&weighed.deciding);
        Ok(weighed)
    }

    fn facts<'f>(&'f self, model: &'f Model, planned: &'f Planned) -> Facts<'f> {
        Facts {
            call: policy::Call {
                who: &self.ask.who.principal,
                model,
                endpoint: self.ask.who.endpoint,
                estimate: planned.estimate,
                most: planned.most,
            },
            request: &self.ask.request,
            counters: self.counters,
            now: self.ask.who.started_at,
            moment: self.moment,
        }
    }

    /// The model of the name that the call has.
    fn model(&self) -> Result<&'a Arc<Model>, Against> {
        let snapshot = self.admission.snapshot;
        let name = self.ask.facts.model.as_str();
        let Some(choice) = self.admission.names_virtual(self.ask) else {
            let model = snapshot.models.get(name).ok_or(Denial::UnknownModel)?;
            let may = reading::may_use(&self.ask.who, self.terms, model);
            may.map_err(|denial| Against {
                model: Some(Arc::clone(&model.name)),
                ..denial.into()
            })?;
            return Ok(model);
        };
        let named = |name: &str| snapshot.models.get(name);
        let may_use = |name: &str| {
            let model = named(name);
            model.is_some_and(|model| self.may_use(model) && self.speaks(model))
        };
        // Conditions may speak of what the call would cost: by the last way, which is
        // for any call.
        let ways = choice.ways.iter().rev().flat_map(|way| &way.models);
        let usual = ways.map(|(name, _)| name).find(|name| may_use(name));
        let usual = usual.and_then(|name| named(name));
        let usual = usual.ok_or_else(|| guardrails::not_entitled(Entitlement::Model))?;
        let planned = self.planned(usual, None)?;
        let facts = self.facts(usual, &planned);
        let failures = &self.admission.learned.failures;
        let chosen = choice.choose(&facts, failures, may_use, self.admission.point());
        Ok(chosen.and_then(|name| named(name)).unwrap_or(usual))
    }

    /// Whether the caller may use a model.
    fn may_use(&self, model: &Model) -> bool {
        reading::may_use(&self.ask.who, self.terms, model).is_ok()
    }

    /// Whether a model can answer calls of this form.
    fn speaks(&self, model: &Model) -> bool {
        let provider = model.provider.as_deref();
        let dialect = provider.and_then(Dialect::of_provider);
        dialect.is_none_or(|dialect| dialect == self.ask.who.endpoint.dialect())
    }

    /// The model that a swap puts in the place of this one.
    fn swapped(&self, swap: &Swap, model: &Model) -> Option<&'a Arc<Model>> {
        // One of those that are good enough.
        if swap.to.contains(&model.name) || !self.can_be_rewritten() {
            return None;
        }
        let models = &self.admission.snapshot.models;
        let mut known = swap.to.iter().filter_map(|name| models.get(name));
        known.find(|model| self.may_use(model) && self.speaks(model))
    }

    fn can_be_rewritten(&self) -> bool {
        self.ask.who.path_model.is_some() || self.ask.facts.model_is_rewritable()
    }

    fn planned(&self, model: &Model, clamp: Option<u64>) -> Result<Planned, Denial> {
        planning::plan(self.admission, self.ask, self.terms, model, clamp)
    }

    /// The call as rules have shaped it.
    fn shaped(
        &self,
        model: &'a Arc<Model>,
        planned: Planned,
        shape: &Shape,
    ) -> Result<(&'a Arc<Model>, Planned), Denial> {
        let other = shape.swap.and_then(|(swap, rule)| {
            let other = self.swapped(swap, model)?;
            Some((other, swap, rule))
        });
        if let Some((other, swap, rule)) = other {
            guardrails::lacks(self.ask, &swap.refuse, &other.name, rule)?;
        }
        if other.is_none() && shape.clamp.is_none() {
            return Ok((model, planned));
        }
        let model = other.map_or(model, |(other, ..)| other);
        let clamp = shape.clamp.map(|(most, _)| most);
        let mut planned = self.planned(model, clamp)?;
        if let Some((_, swap, _)) = other {
            planned.drop_fields.extend(swap.drop.iter().cloned());
        }
        Ok((model, planned))
    }
}
