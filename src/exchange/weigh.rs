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

use super::admit::{Admission, Refused};
use super::approval::{self, Granted, Needed};
use super::deciding::{Deciding, SendOn};
use super::head::Identified;
use super::message::HeaderEdits;
use super::open_call::OpenCall;
use super::planning::Planned;
use super::reading::Read;
use super::rules_told::{self, Told};
use super::{guardrails, planning, reading};
use crate::limits::{AMOUNT_MAX, Charge, Reservation, Unit};
use crate::policy::facts::{Counters, Facts, Moment, Needs, Request};
use crate::policy::grants::ApprovalRequest;
use crate::policy::rule::{self, Judgement, Rule, Shape, Swap};
use crate::policy::{self, Model, Terms};
use crate::protocol::denial::{Denial, Entitlement, PolicyDenial, PolicyKind};
use crate::protocol::{CallFacts, Dialect, Endpoint, json_edit};
use crate::units::Millis;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// A call whose body was read.
#[derive(Debug)]
pub(super) struct Ask {
    pub who: Identified,
    pub body: Vec<u8>,
    pub facts: CallFacts,
    pub request: Request,
}

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

    fn opened(
        &self,
        model: &Arc<Model>,
        planned: Planned,
        judgement: &Judgement,
        told: Told,
    ) -> Weighed {
        let who = &self.ask.who;
        let (mut charges, mut shared) = self.charges(model, &planned);
        let share = judgement.limits_per_mille.map(|(share, _)| share);
        if let Some(share) = share {
            charges
                .iter_mut()
                .chain(&mut shared)
                .for_each(|charge| scale(charge, share));
        }
        let send_on = self.send_on(model, &planned, &told);
        let call = self.open_call(model, planned, told, !shared.is_empty());
        let deciding = Deciding {
            call,
            charges,
            shared,
            principal: Arc::clone(&who.principal),
            ietf_headers: self.admission.settings.ietf_rate_limit_headers,
            send_on,
            ungranted: None,
        };
        Weighed {
            became: Became {
                model: Arc::clone(&model.name),
                limits_per_mille: share,
                ..Became::default()
            },
            delay: judgement
                .delay
                .map(|(delay, rule)| (delay, Arc::clone(&rule.name))),
            reservation: self.admission.reservation(&deciding),
            deciding,
            needs_counters: false,
        }
    }

    /// What the call is charged to: the caller's own counters, and those that
    /// tenants share.
    fn charges(&self, model: &Model, planned: &Planned) -> (Vec<Charge>, Vec<Charge>) {
        let snapshot = self.admission.snapshot;
        let facts = self.facts(model, planned);
        let mut charges = policy::charges(self.terms.limits(), &facts);
        // A head isn't let in without them.
        let own = snapshot.own_limits(&self.ask.who.principal);
        charges.extend(policy::charges(own.unwrap_or_default(), &facts));
        for charge in &mut charges {
            snapshot.top_up(charge, &self.ask.who.principal.tenant, facts.now);
        }
        (charges, policy::charges(&*snapshot.shared, &facts))
    }

    fn open_call(&self, model: &Model, planned: Planned, told: Told, shared: bool) -> OpenCall {
        let named = self.ask.facts.model.as_str();
        OpenCall {
            asked: (*model.name != *named).then(|| Arc::from(named)),
            actions: told.actions,
            rate_headers: told.headers,
            ..self
                .admission
                .open_call(&self.ask.who, self.terms.plan(), model, planned, shared)
        }
    }

    /// The body with all edits, and the headers that the gateway routes by.
    fn send_on(&self, model: &Model, planned: &Planned, told: &Told) -> SendOn {
        let ask = self.ask;
        let other = (*model.name != *ask.facts.model).then_some(&model.name);
        let changes = planned.edits(&ask.facts, other.map(|name| &**name));
        let edited = (!changes.is_empty()).then(|| json_edit::apply(&ask.body, &changes));
        // What was encoded goes on as it was read.
        let edited = edited.or_else(|| ask.who.is_encoded().then(|| ask.body.clone()));
        let mut head = HeaderEdits::default();
        if let Some(name) = other {
            head.set.push(("x-weir-model", name.to_string()));
            let path = ask.who.sent_path.as_deref();
            let path = path.and_then(|path| on_path(ask.who.endpoint, path, name));
            head.set.extend(path.map(|path| (":path", path)));
        }
        head.set.extend(
            told.cluster
                .iter()
                .map(|name| ("x-weir-cluster", name.to_string())),
        );
        SendOn::Body { body: edited, head }
    }
}

/// A path with its query, for another model.
fn on_path(endpoint: Endpoint, path: &str, model: &str) -> Option<String> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut other = endpoint.path_for_model(path, model)?;
    if let Some(query) = query {
        other.push('?');
        other.push_str(query);
    }
    Some(other)
}

/// Leaves so much of the limit alone that only this many thousandths are left to
/// take from.
fn scale(charge: &mut Charge, per_mille: u64) {
    let limit = &charge.limit;
    let kept = u128::from(limit.most()) * u128::from(1_000_u64.saturating_sub(per_mille)) / 1_000;
    let kept = u64::try_from(kept).unwrap_or(AMOUNT_MAX);
    if limit.unit != Unit::Concurrency {
        charge.room = charge.wanted().saturating_add(kept).min(AMOUNT_MAX);
    }
}

fn blocked(block: &rule::Block, rule: &Rule) -> Denial {
    let message = block.message.as_deref();
    Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::Blocked {
            status: block.status,
            code: block.code.clone(),
        },
        rule: Arc::clone(&rule.name),
        message: message.map_or_else(
            || format!("This call is not allowed by the rule {}.", rule.name),
            str::to_owned,
        ),
    }))
}

/// The refusal of a call that can't be held back, as too many are already.
pub(super) fn crowded(rule: &Arc<str>, delay: Millis) -> Denial {
    Denial::Policy(Box::new(PolicyDenial {
        kind: PolicyKind::Throttled {
            retry_after_ms: delay.0,
        },
        rule: Arc::clone(rule),
        message: format!(
            "Calls are slowed down by the rule {rule}, and too many wait already. Try again later."
        ),
    }))
}

impl Ask {
    pub fn of(read: Read, who: Identified) -> Self {
        let Read { body, facts } = read;
        let request = Request {
            model: Arc::from(facts.model.as_str()),
            stream: facts.stream,
            choices: facts.choices,
            messages: facts.messages,
            images: facts.images.len() as u64,
            searches: facts.searches,
            body_bytes: body.len() as u64,
            tools: facts.tool_names.clone(),
            metadata: facts.metadata.clone(),
            hints: who.hints.clone(),
        };
        Self {
            who,
            body,
            facts,
            request,
        }
    }
}
