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
mod chosen;
mod opened;
mod refused;

pub(super) use ask::Ask;
pub(super) use refused::{blocked, crowded};

use refused::{Against, refused};

use super::admit::{Admission, Refused};
use super::approval::{self, Consent, Needed};
use super::deciding::Deciding;
use super::head::Identified;
use super::planning::{Given, Planned};
use super::rules_told::{self, Told};
use super::{guardrails, planning};
use crate::limits::Reservation;
use crate::policy::choice::VirtualModel;
use crate::policy::facts::{Counters, Facts, Moment, Needs};
use crate::policy::rule::{self, Judgement, Shape, Swap, Taken};
use crate::policy::{self, Model, Snapshot, Terms};
use crate::protocol::denial::Denial;
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
    /// How it was planned before rules shaped it.
    pub counted: Counted,
}

/// A model, and a call at it: its prompt is counted once, however often the call is
/// weighed.
pub(super) type Counted = (Arc<str>, Planned);

/// What a call is once its counters are known.
pub(super) enum Again {
    /// The call that was reserved for.
    Same(Told),
    Other(Box<Weighed>),
}

/// What rules made of a call: where two weighings agree in it, the reservation of
/// the first is that of the second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Became {
    model: Arc<str>,
    clamp: Option<u64>,
    /// Fields that are left out.
    dropped: Vec<Arc<str>>,
    cluster: Option<Arc<str>>,
    limits_per_mille: Option<u64>,
    /// The names of their limits.
    grants: Vec<Arc<str>>,
}

/// One weighing.
pub(super) struct Scale<'a> {
    admission: &'a Admission<'a>,
    ask: &'a Ask,
    pub terms: Terms<'a>,
    counters: Option<&'a Counters>,
    counted: Option<&'a Counted>,
    moment: Moment,
}

/// A call as rules have shaped it, before it is judged.
pub(super) struct Stood<'a> {
    /// The model of the name that the call has.
    pub first: &'a Arc<Model>,
    pub model: &'a Arc<Model>,
    pub planned: Planned,
    pub shape: Shape<'a>,
    /// What rules in shadow mode would have done.
    shadows: Vec<Taken<'a>>,
    counted: Counted,
}

/// A call as rules have made it, before anything is reserved.
struct Found<'a> {
    model: &'a Arc<Model>,
    planned: Planned,
    delay: Option<(Millis, Arc<str>)>,
    became: Became,
    told: Told,
    consent: Consent,
    counted: Counted,
}

impl Admission<'_> {
    /// Weighs a call, as far as it is known how its counters stood before it, and what
    /// was counted.
    pub fn weigh(
        &self,
        ask: &Ask,
        counters: Option<&Counters>,
        counted: Option<&Counted>,
    ) -> Result<Weighed, Box<Refused>> {
        let weighed = self.scale(ask, counters, counted).and_then(|scale| {
            let found = scale.find()?;
            Ok(scale.opened(found))
        });
        weighed.map_err(|against| refused(ask, *against))
    }

    /// Weighs it again, as its counters stood before it.
    pub fn weigh_again(
        &self,
        ask: &Ask,
        counters: &Counters,
        before: (&Became, &Counted),
        waited: Option<Millis>,
    ) -> Result<Again, Box<Refused>> {
        let (became, counted) = before;
        let again = self
            .scale(ask, Some(counters), Some(counted))
            .and_then(|scale| {
                let found = scale.find()?;
                let longer = |waited| {
                    found
                        .delay
                        .as_ref()
                        .is_some_and(|(delay, _)| *delay > waited)
                };
                let waits = waited.is_some_and(longer);
                Ok(match found.became == *became && !waits {
                    true => Again::Same(found.told),
                    false => Again::Other(Box::new(scale.opened(found))),
                })
            });
        again.map_err(|against| refused(ask, *against))
    }

    /// What a call is weighed by.
    ///
    /// # Errors
    /// Its caller is on no plan.
    pub fn scale<'a>(
        &'a self,
        ask: &'a Ask,
        counters: Option<&'a Counters>,
        counted: Option<&'a Counted>,
    ) -> Result<Scale<'a>, Box<Against>> {
        let terms = self.snapshot.terms(&ask.who.principal);
        let terms = terms.ok_or_else(|| Box::new(Denial::UnknownModel.into()))?;
        let of_virtual = self.names_virtual(ask).map(|choice| choice.needs);
        Ok(Scale {
            admission: self,
            ask,
            terms,
            counters,
            counted,
            moment: self.moment(&ask.who, terms, of_virtual.unwrap_or_default()),
        })
    }

    /// The time of a call, where anything looks at it; `more` is what more is needed
    /// than by rules and limits.
    pub fn moment(&self, who: &Identified, terms: Terms, more: Needs) -> Moment {
        match needs(self.snapshot, who, terms).and(more).time {
            true => Moment::of(who.started_at, &zone(terms)),
            false => Moment::default(),
        }
    }

    pub fn names_virtual(&self, ask: &Ask) -> Option<&Arc<VirtualModel>> {
        self.snapshot.virtual_models.get(ask.facts.model.as_str())
    }
}

/// What the rules of a caller need to be told, and the conditions of limits that its
/// calls may be charged to.
pub(super) fn needs(snapshot: &Snapshot, who: &Identified, terms: Terms) -> Needs {
    let own = snapshot.own_limits(&who.principal).unwrap_or_default();
    let limits = terms.limits().chain(own).chain(&*snapshot.shared);
    let of_limits = limits.map(|limit| limit.when.needs().in_mode(limit.limit.mode));
    let of_rules = terms.rules().map(|rules| rules.needs);
    of_rules.chain(of_limits).fold(Needs::default(), Needs::and)
}

fn zone(terms: Terms) -> TimeZone {
    let zone = terms.plan().time_zone.clone();
    zone.unwrap_or(TimeZone::UTC)
}

impl<'a> Scale<'a> {
    /// What rules make of the call.
    fn find(&self) -> Result<Found<'a>, Box<Against>> {
        guardrails::before(self.terms, self.ask).map_err(|denial| Box::new(denial.into()))?;
        let Stood {
            model,
            planned,
            shape,
            mut shadows,
            counted,
            ..
        } = self.stood()?;
        let facts = self.facts(model, &planned);
        let rules = self.terms.rules();
        let judgement = rule::judge(rules, &facts, |taken| shadows.push(taken));
        let told = rules_told::told(&shape, &judgement, &planned, &self.ask.facts.model);
        let mut told = told.with(&shadows);
        told.goes_to(&model.name, &self.ask.facts.model);
        let granted = self
            .judged(&judgement, &planned, &facts)
            .map_err(|against| {
                Box::new(Against {
                    model: Some(Arc::clone(&model.name)),
                    actions: told.actions.clone(),
                    ..*against
                })
            });
        let consent = granted?;
        told.actions.extend(consent.actions.iter().cloned());
        let grants = consent.charges.iter();
        let delay = judgement.delay;
        Ok(Found {
            became: Became {
                model: Arc::clone(&model.name),
                clamp: shape.clamp.map(|(most, _)| most),
                dropped: planned.drop_fields.clone(),
                cluster: told.cluster.clone(),
                limits_per_mille: judgement.limits_per_mille.map(|(share, _)| share),
                grants: grants.map(|grant| Arc::clone(&grant.limit.name)).collect(),
            },
            delay: delay.map(|(delay, rule)| (delay, Arc::clone(&rule.name))),
            model,
            planned,
            told,
            consent,
            counted,
        })
    }

    /// Whether it may go on, and by which grants, if it needs any.
    fn judged(
        &self,
        judgement: &Judgement,
        planned: &Planned,
        facts: &Facts,
    ) -> Result<Consent, Box<Against>> {
        if let Some((block, rule)) = judgement.block {
            return Err(Box::new(blocked(block, rule).into()));
        }
        guardrails::after(self.terms, planned).map_err(|denial| Box::new(denial.into()))?;
        let used_up = self.admission.used_up;
        let granted = approval::granted(
            self.admission.snapshot,
            &judgement.approvals,
            facts,
            used_up,
        );
        granted.map_err(|needed| {
            let Needed { denial, request } = *needed;
            Box::new(Against {
                approval: request,
                ..denial.into()
            })
        })
    }

    /// The call as rules shape it.
    pub fn stood(&self) -> Result<Stood<'a>, Box<Against>> {
        let first = self.model()?;
        let about = |denial: Denial| Against {
            model: Some(Arc::clone(&first.name)),
            ..denial.into()
        };
        let planned = self.planned(first, Given::default()).map_err(about)?;
        let counted = (Arc::clone(&first.name), planned.clone());
        let mut shadows = Vec::new();
        let facts = self.facts(first, &planned);
        let may_swap = |swap: &'a Swap| self.swapped(swap, first).is_some();
        let rules = self.terms.rules();
        let shape = rule::shape(rules, &facts, may_swap, |taken| shadows.push(taken));
        let (model, planned) = self.shaped(first, planned, &shape).map_err(about)?;
        Ok(Stood {
            first,
            model,
            planned,
            shape,
            shadows,
            counted,
        })
    }

    pub fn facts<'f>(&'f self, model: &'f Model, planned: &'f Planned) -> Facts<'f> {
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

    /// The model that a swap puts in the place of this one.
    fn swapped(&self, swap: &Swap, model: &Model) -> Option<&'a Arc<Model>> {
        // One of those that are good enough.
        if swap.to.contains(&model.name) || !self.can_be_rewritten() {
            return None;
        }
        let models = &self.admission.snapshot.models;
        let endpoint = self.ask.who.endpoint;
        let takes = |other: &Model| endpoint.takes_alike(&model.name, &other.name);
        let mut known = swap.to.iter().filter_map(|name| models.get(name));
        known.find(|other| self.may_use(other) && self.speaks(other) && takes(other))
    }

    fn can_be_rewritten(&self) -> bool {
        self.ask.who.path_model.is_some() || self.ask.facts.model_is_rewritable()
    }

    /// The call at this model, as far as rules have shaped it.
    pub fn planned(&self, model: &Model, mut given: Given) -> Result<Planned, Denial> {
        let before = self.counted.filter(|(of, _)| *of == model.name);
        if let (Some((_, planned)), None, true) = (before, given.clamp, given.drop.is_empty()) {
            return Ok(planned.clone());
        }
        let prompt = given.prompt.or(before.map(|(_, planned)| planned.prompt));
        given.prompt = prompt.or_else(|| self.ask.recorded_prompt());
        planning::plan(self.admission, self.ask, self.terms, model, given)
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
        let clamp = shape.clamp.map(|(most, _)| most);
        let (model, prompt, drop) = match other {
            Some((other, swap, _)) => (other, None, &swap.drop[..]),
            None => (model, Some(planned.prompt), &[][..]),
        };
        let given = Given {
            clamp,
            prompt,
            drop,
        };
        Ok((model, self.planned(model, given)?))
    }
}
