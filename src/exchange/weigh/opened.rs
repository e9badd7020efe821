//! What a weighed call reserves, and what is sent on of it.

use super::{Found, Scale, Weighed};
use crate::exchange::approval::Granted;
use crate::exchange::deciding::{Deciding, SendOn};
use crate::exchange::message::HeaderEdits;
use crate::exchange::open_call::OpenCall;
use crate::exchange::planning::Planned;
use crate::exchange::rules_told::Told;
use crate::limits::{AMOUNT_MAX, Algorithm, Charge, Limit, Unit};
use crate::policy::{self, Model};
use crate::protocol::{Endpoint, json_edit};
use std::sync::Arc;

impl Scale<'_> {
    pub(super) fn opened(&self, found: Found) -> Weighed {
        let Found {
            model,
            planned,
            delay,
            became,
            told,
            grant,
            counted,
        } = found;
        let who = &self.ask.who;
        let (mut charges, mut shared) = self.charges(model, &planned);
        if let Some(share) = became.limits_per_mille {
            let all = charges.iter_mut().chain(&mut shared);
            // Of a budget a part would be no pace: what is above it would be refused
            // until the budget's period ends.
            let paced = all.filter(|charge| !self.is_budget(&charge.limit));
            paced.for_each(|charge| scale(charge, share));
        }
        let (charge, ungranted) = match grant {
            Some(Granted {
                charge, otherwise, ..
            }) => (charge, Some(otherwise)),
            None => (None, None),
        };
        charges.extend(charge);
        let send_on = self.send_on(model, &planned, &told);
        let deciding = Deciding {
            call: self.open_call(model, planned, told, !shared.is_empty()),
            charges: charges.into(),
            shared: shared.into(),
            principal: Arc::clone(&who.principal),
            ietf_headers: self.admission.settings.ietf_rate_limit_headers,
            send_on,
            ungranted,
        };
        let of_virtual = self.admission.names_virtual(self.ask);
        Weighed {
            delay,
            became,
            counted,
            needs_counters: super::needs(self.admission.snapshot, who, self.terms).counters
                || of_virtual.is_some_and(|choice| choice.needs.counters),
            reservation: self.admission.reservation(&deciding),
            deciding,
        }
    }

    fn is_budget(&self, limit: &Limit) -> bool {
        let mut limits = self.terms.limits();
        limits.any(|known| known.budget.is_some() && known.limit.name == limit.name)
    }

    /// What the call is charged to: the caller's own counters, and those that
    /// tenants share.
    pub fn charges(&self, model: &Model, planned: &Planned) -> (Vec<Charge>, Vec<Charge>) {
        let snapshot = self.admission.snapshot;
        let facts = self.facts(model, planned);
        let mut charges = policy::charges_of(self.terms, &facts);
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
        let edited = (!changes.is_empty() && ask.recorded.is_none())
            .then(|| json_edit::apply(&ask.body, &changes));
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
    let whole = match limit.algorithm {
        // What may be carried into a window is none of it before it is.
        Algorithm::FixedWindow { .. } => limit.amount,
        _ => limit.most(),
    };
    let kept = u128::from(whole) * u128::from(1_000_u64.saturating_sub(per_mille)) / 1_000;
    let kept = u64::try_from(kept).unwrap_or(AMOUNT_MAX);
    if limit.unit != Unit::Concurrency {
        charge.room = charge.wanted().saturating_add(kept).min(AMOUNT_MAX);
    }
}
