//! A call whose reservation is under way, and what the store's decision makes
//! of it.

use super::admit::{Refused, refuse};
use super::approval::Needed;
use super::event::UsageEvent;
use super::message::{Effect, HeaderEdits, Settlement, Step};
use super::open_call::OpenCall;
use super::told::Stand;
use super::weigh::{Ask, Became, Counted};
use super::{told, verdict};
use crate::identity::Principal;
use crate::limits::{Actual, Charge, Decision, HoldId, Reservation};
use crate::policy::grants::GRANT_PREFIX;
use crate::protocol::denial::Denial;
use crate::protocol::refusal::Form;
use crate::units::{Millis, UnixMillis};
use std::borrow::Cow;
use std::sync::Arc;

/// A reservation under way.
#[derive(Debug)]
pub(super) struct Deciding {
    pub call: OpenCall,
    pub charges: Arc<[Charge]>,
    /// Those on counters that tenants share.
    pub shared: Arc<[Charge]>,
    pub principal: Arc<Principal>,
    pub ietf_headers: bool,
    pub send_on: SendOn,
    /// What becomes of it where the grant that it goes on by is used up.
    pub ungranted: Option<Box<Needed>>,
}

/// A call that waits for the store, and may be weighed again with its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub deciding: Deciding,
    pub again: Option<Box<Again>>,
    /// How long it was held back.
    pub waited: Millis,
}

/// What weighing it again needs.
#[derive(Debug)]
pub(super) struct Again {
    pub ask: Ask,
    pub became: Became,
    pub counted: Counted,
}

/// A call that is held back.
#[derive(Debug)]
pub(super) struct Waiting {
    pub pending: Pending,
    pub reservation: Reservation,
    /// What holds it back.
    pub rule: Arc<str>,
}

/// What goes on to the provider once the call is admitted.
#[derive(Debug)]
pub(super) enum SendOn {
    Body {
        /// The client's body with weir's edits; `None` where there are none.
        body: Option<Vec<u8>>,
        /// By which the gateway routes it anew; empty where it needn't.
        head: HeaderEdits,
    },
    /// The head alone was judged.
    Head {
        edits: HeaderEdits,
        without_bodies: bool,
    },
}

/// A call's own charges, and those on counters that tenants share.
fn all<'c>(own: &'c [Charge], shared: &[Charge]) -> Cow<'c, [Charge]> {
    match shared {
        [] => Cow::Borrowed(own),
        _ => Cow::Owned([own, shared].concat()),
    }
}

impl Deciding {
    /// What the store's decision makes of the call: the open call and what to
    /// send on, or the step that refuses it.
    pub fn decide(
        self,
        decision: Option<Decision>,
        form: Form,
        now: UnixMillis,
    ) -> Result<(OpenCall, SendOn), Box<Step>> {
        let dialect = form.at(Some(self.call.endpoint)).dialect;
        let told_in = (dialect, self.ietf_headers);
        match decision {
            Some(Decision::Admitted(standings)) => {
                let mut call = self.call;
                let charges = all(&self.charges, &self.shared);
                let stand = Stand::admitted(&charges, &standings);
                let headers = told::headers(&stand, told_in, now).into_iter();
                let headers = headers.map(|(name, value)| (Cow::Borrowed(name), value));
                call.rate_headers.extend(headers);
                call.would_refuse = told::would_refuse(&charges, &standings);
                Ok((call, self.send_on))
            }
            Some(Decision::Refused(refusal, standings)) => {
                let charges = all(&self.charges, &self.shared);
                let stand = Stand::refused(&charges, &standings, refusal);
                let rate_headers = told::headers(&stand, told_in, now);
                let denial = told::denial(&charges, &standings, refusal, &self.call);
                let by = charges.get(refusal.charge);
                let by_grant = by.is_some_and(|by| by.limit.name.starts_with(GRANT_PREFIX));
                drop(charges);
                let mut deciding = self;
                let needed = deciding.ungranted.take().filter(|_| by_grant);
                let (denial, asked) = match needed.map(|needed| *needed) {
                    Some(Needed { denial, request }) => (denial, request),
                    None => (denial, None),
                };
                let (id, mut refused) = deciding.refused(denial);
                refused.approval = asked;
                refused.rate_headers = rate_headers;
                Err(Box::new(refuse(refused, form, id, now)))
            }
            // The store may have taken the reservation without saying so:
            // whatever it holds is given back.
            Some(Decision::Ended) | None => {
                let void = self.void(None);
                let (id, refused) = self.refused(Denial::LimitsUnavailable);
                let mut step = refuse(refused, form, id, now);
                step.effects.insert(0, void);
                Err(Box::new(step))
            }
        }
    }

    /// The client left while the store was deciding: nothing was sent.
    pub fn abandon(self, now: UnixMillis) -> Step {
        let event = verdict::void(&self.call, now);
        Step::effect(self.void(Some(event)))
    }

    fn void(&self, event: Option<UsageEvent>) -> Effect {
        Effect::Settle(Box::new(self.give_back(event)))
    }

    pub fn give_back(&self, event: Option<UsageEvent>) -> Settlement {
        Settlement {
            slot: Arc::clone(&self.call.tenant),
            hold: self.call.id,
            shared: self.call.shared,
            actual: Actual::VOID,
            event,
            lesson: None,
            ratio_lesson: None,
            health_lesson: None,
        }
    }

    pub fn refused(self, denial: Denial) -> (HoldId, Refused) {
        let refused = Refused {
            denial,
            principal: Some(self.principal),
            endpoint: Some(self.call.endpoint),
            model: self.call.known_model(),
            actions: self.call.actions.clone(),
            approval: None,
            rate_headers: Vec::new(),
            started_at: self.call.started_at,
        };
        (self.call.id, refused)
    }
}
