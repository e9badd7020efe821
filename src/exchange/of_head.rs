//! Calls of which nothing is judged but their head: those that pass unread, and checks
//! that are counted.
//!
//! Rules hold for them as for others: `warn`, `require_approval`, `block`, a throttle's
//! share of limits. What the body would say has no value for them, and neither has
//! what counters say, so conditions that need it don't hold. Nothing of such a call can
//! be changed and it isn't held back, so what shapes calls does nothing to it, nor does
//! a throttle's delay.
//!
//! Left to others: checks that are not counted, whose calls are judged behind them.

use super::admit::{Admission, Refused};
use super::approval::{self, Consent, Needed};
use super::deciding::{Deciding, SendOn};
use super::head::Identified;
use super::message::HeaderEdits;
use super::open_call::OpenCall;
use super::planning::Planned;
use super::rules_told::{self, Told};
use super::throttle::throttle;
use super::weigh::blocked;
use crate::limits::{Charge, Reservation, Unit};
use crate::policy::facts::{Facts, Needs, Request, Seen};
use crate::policy::grants::ApprovalRequest;
use crate::policy::rule::{self, Judgement, Shape};
use crate::policy::{self, Estimate, Model, Terms};
use crate::protocol::denial::Denial;
use std::sync::Arc;

/// The caller's own, and those on counters that tenants share.
type Charges = (Vec<Charge>, Vec<Charge>);

/// What rules made of a head that goes on.
struct Found {
    told: Told,
    consent: Consent,
    limits_per_mille: Option<u64>,
}

impl Admission<'_> {
    /// A call of which only the head is read.
    pub fn unread(
        &self,
        who: Identified,
        edits: HeaderEdits,
    ) -> Result<(Deciding, Reservation), Box<Refused>> {
        self.of_head(&who, None, edits, |_| true)
    }

    /// A call of which nothing is counted but that it came; by what it isn't known
    /// to be, it isn't limited.
    pub fn as_request(
        &self,
        who: &Identified,
        model: Option<&Model>,
        edits: HeaderEdits,
    ) -> Result<(Deciding, Reservation), Box<Refused>> {
        let counts = |charge: &Charge| {
            let limit = &charge.limit;
            limit.unit == Unit::Requests && (model.is_some() || !limit.scope.is_of_models())
        };
        self.of_head(who, model, edits, counts)
    }

    fn of_head(
        &self,
        who: &Identified,
        model: Option<&Model>,
        edits: HeaderEdits,
        counts: impl Fn(&Charge) -> bool,
    ) -> Result<(Deciding, Reservation), Box<Refused>> {
        let terms = self.snapshot.terms(&who.principal).ok_or_else(|| {
            let denial = Denial::UnknownEndpoint;
            Refused::new(denial, Some(&who.principal), None, who.started_at)
        })?;
        let unknown = Model::unknown();
        let model = model.unwrap_or(&unknown);
        let (mut charges, mut shared) = self.charges_of_head(who, terms, model);
        charges.retain(&counts);
        shared.retain(&counts);
        let Found {
            told,
            consent,
            limits_per_mille,
        } = self.found_of_head(who, terms, model)?;
        if let Some(share) = limits_per_mille {
            throttle(&mut charges, terms, share);
            throttle(&mut shared, terms, share);
        }
        charges.extend(consent.charges);
        let mut actions = told.actions;
        actions.extend(consent.actions);
        let is_shared = !shared.is_empty();
        let deciding = Deciding {
            call: OpenCall {
                actions,
                rate_headers: told.headers,
                ..self.open_call(who, terms.plan(), model, Planned::default(), is_shared)
            },
            charges: charges.into(),
            shared: shared.into(),
            principal: Arc::clone(&who.principal),
            ietf_headers: self.settings.ietf_rate_limit_headers,
            send_on: SendOn::Head {
                edits,
                without_bodies: who.upgrade,
            },
            ungranted: consent.otherwise,
        };
        let reservation = self.reservation(&deciding);
        Ok((deciding, reservation))
    }

    /// What rules make of it.
    fn found_of_head(
        &self,
        who: &Identified,
        terms: Terms,
        model: &Model,
    ) -> Result<Found, Box<Refused>> {
        let request = Request {
            model: who.path_model.as_deref().unwrap_or(&model.name).into(),
            hints: who.hints.clone(),
            route: who.route.clone(),
            seen: Seen::Head,
            ..Request::default()
        };
        let facts = self.facts_of_head(who, terms, model, &request);
        let mut shadows = Vec::new();
        let judgement = rule::judge(terms.rules(), &facts, |taken| shadows.push(taken));
        let judgement = Judgement {
            delay: None,
            ..judgement
        };
        let (shape, planned) = (Shape::default(), Planned::default());
        let told = rules_told::told(&shape, &judgement, &planned, &model.name);
        let told = told.with(&shadows);
        let against = |denial: Denial, asked: Option<Box<ApprovalRequest>>| {
            let (principal, endpoint) = (Some(&who.principal), Some(who.endpoint));
            let mut refused = Refused::new(denial, principal, endpoint, who.started_at);
            refused.model = (!model.name.is_empty()).then(|| Arc::clone(&model.name));
            refused.actions.clone_from(&told.actions);
            refused.approval = asked;
            refused
        };
        if let Some((block, rule)) = judgement.block {
            return Err(against(blocked(block, rule), None));
        }
        let consent = approval::granted(self.snapshot, &judgement.approvals, &facts, self.used_up);
        let consent = consent.map_err(|needed| {
            let Needed { denial, request } = *needed;
            against(denial, request)
        })?;
        Ok(Found {
            told,
            consent,
            limits_per_mille: judgement.limits_per_mille.map(|(share, _)| share),
        })
    }

    /// By limits, a call that says nothing.
    fn charges_of_head(&self, who: &Identified, terms: Terms, model: &Model) -> Charges {
        let request = Request {
            route: who.route.clone(),
            ..Request::default()
        };
        let facts = self.facts_of_head(who, terms, model, &request);
        let shared = policy::charges(&*self.snapshot.shared, &facts);
        let mut charges = policy::charges_of(terms, &facts);
        // A head isn't let in without them.
        let own = self.snapshot.own_limits(&who.principal).unwrap_or_default();
        charges.extend(policy::charges(own, &facts));
        for charge in &mut charges {
            let (tenant, now) = (&who.principal.tenant, who.started_at);
            self.snapshot.top_up(charge, tenant, now);
        }
        (charges, shared)
    }

    fn facts_of_head<'f>(
        &self,
        who: &'f Identified,
        terms: Terms,
        model: &'f Model,
        request: &'f Request,
    ) -> Facts<'f> {
        let call = policy::Call {
            who: &who.principal,
            model,
            endpoint: who.endpoint,
            estimate: Estimate::default(),
            most: Estimate::default(),
        };
        Facts {
            now: who.started_at,
            moment: self.moment(who, terms, Needs::default()),
            ..Facts::of(call, request)
        }
    }
}
