//! Judging a call before it is made, for those who ask so (ext_authz): its head,
//! and its body where they show it.
//!
//! The same judgement that an exchange begins with. Always holds: what a check
//! isn't shown whole is not parsed; a check that is counted is counted once, as
//! one request, whatever becomes of its call.

use super::admit::{Admission, Refused, refusal_of};
use super::deciding::{Deciding, SendOn};
use super::event::UsageEvent;
use super::head::Identified;
use super::message::{Effect, HeaderEdits, Judged, Notice, Reply, RequestHead, Settlement};
use super::open_call::ToldHeader;
use super::{Learned, Settings, credentials, head, reading, verdict};
use crate::identity::Principal;
use crate::limits::{Decision, HoldId, Reservation};
use crate::policy::{Model, Snapshot};
use crate::protocol::denial::{Denial, Rendered};
use crate::protocol::refusal::Form;
use crate::tokens::Counting;
use crate::units::UnixMillis;
use std::sync::Arc;

/// What is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    pub head: RequestHead,
    pub body: Body,
    /// Whoever asks can't send on another path than came.
    pub keeps_path: bool,
}

/// What is shown of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    #[default]
    Unseen,
    /// Not all of it: it is never read.
    Cut,
    Whole(Vec<u8>),
}

/// What judging needs.
pub struct Door<'a> {
    pub snapshot: &'a Snapshot,
    pub settings: Settings,
    pub id: HoldId,
    pub counting: &'a Counting,
}

/// What a call is judged to be.
#[derive(Debug)]
pub enum Judgement {
    Passed(Box<Passed>),
    /// It passes where its limits have room.
    Counts(Box<Counts>),
    Refused {
        rendered: Rendered,
        event: Box<UsageEvent>,
        /// What somebody is to be asked for.
        asked: Option<Notice>,
    },
}

/// A call that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub id: HoldId,
    pub principal: Arc<Principal>,
    /// Whose call it is, to be handed on.
    pub judged: Judged,
    /// The headers that must not travel on.
    pub edits: HeaderEdits,
    /// Nor must these parameters of the query, by their names as they are spelt.
    pub parameters: Vec<String>,
    /// How its limits stand, where it was counted.
    pub rate_headers: Vec<ToldHeader>,
}

/// A call that waits for its counters.
#[derive(Debug)]
pub struct Counts {
    pub reservation: Reservation,
    deciding: Deciding,
    judged: Judged,
    parameters: Vec<String>,
    form: Form,
}

impl Door<'_> {
    pub fn judge(&self, check: Check, now: UnixMillis) -> Judgement {
        let form = head::form(&check.head, self.snapshot, self.settings);
        self.admit(check, form, now)
            .unwrap_or_else(|refused| self.refused(*refused, form, now))
    }

    fn admit(&self, check: Check, form: Form, now: UnixMillis) -> Result<Judgement, Box<Refused>> {
        let Door {
            snapshot, settings, ..
        } = *self;
        let (who, mut edits) = head::judge(&check.head, snapshot, settings, now)?;
        let refused = |denial| {
            let endpoint = Some(who.endpoint);
            Refused::new(denial, Some(&who.principal), endpoint, now)
        };
        let mut parameters = credentials::key_parameters(&check.head.headers);
        if !settings.trust_ext_authz && !settings.count_checks {
            edits.leave_credentials();
            parameters.clear();
        }
        if check.keeps_path && !parameters.is_empty() {
            return Err(refused(Denial::BadQuery));
        }
        let body = match check.body {
            Body::Whole(body) if is_shorter(&body, &check.head) => Body::Cut,
            body => body,
        };
        let model = self.model(&who, body).map_err(refused)?;
        let (principal, judged) = (Arc::clone(&who.principal), who.judged());
        if !settings.count_checks {
            return Ok(Judgement::Passed(Box::new(Passed {
                id: self.id,
                principal,
                judged,
                edits,
                parameters,
                rate_headers: Vec::new(),
            })));
        }
        let admission = Admission {
            settings,
            snapshot,
            learned: &Learned::default(),
            hold: self.id,
            counting: self.counting,
            used_up: &[],
        };
        let (deciding, reservation) =
            admission.as_request(&who, model.map(|model| &**model), edits)?;
        Ok(Judgement::Counts(Box::new(Counts {
            reservation,
            deciding,
            judged,
            parameters,
            form,
        })))
    }

    /// The model that it is for, as far as that is shown.
    fn model(&self, who: &Identified, body: Body) -> Result<Option<&Arc<Model>>, Denial> {
        let (snapshot, settings) = (self.snapshot, self.settings);
        if who.passes_unread() {
            return Ok(None);
        }
        let model = match body {
            Body::Unseen => match &who.path_model {
                Some(name) => reading::model(who, name, snapshot)?,
                None => return Ok(None),
            },
            Body::Cut => {
                reading::read(who, (Vec::new(), false), snapshot, settings)?;
                None
            }
            Body::Whole(body) => {
                let read = reading::read(who, (body, true), snapshot, settings)?;
                reading::model(who, &read.facts.model, snapshot)?
            }
        };
        Ok(model)
    }

    fn refused(&self, refused: Refused, form: Form, now: UnixMillis) -> Judgement {
        let mut refused = refused;
        let asked = refused.approval.take().map(Notice::Approval);
        let (rendered, _, event) = refusal_of(refused, form, self.id, now);
        Judgement::Refused {
            rendered,
            event: Box::new(event),
            asked,
        }
    }
}

/// Shorter than its head says.
fn is_shorter(body: &[u8], head: &RequestHead) -> bool {
    let length = head::single(&head.headers, "content-length").ok().flatten();
    let length = length.and_then(|text| text.parse::<u64>().ok());
    length.is_some_and(|bytes| (body.len() as u64) < bytes)
}

impl Counts {
    /// What the counters' answer makes of it, and what has to be done then.
    pub fn decide(
        self,
        decision: Option<Decision>,
        now: UnixMillis,
    ) -> (Result<Passed, Rendered>, Vec<Effect>) {
        let (judged, principal) = (self.judged, Arc::clone(&self.deciding.principal));
        match self.deciding.decide(decision, self.form, now) {
            Ok((call, send_on)) => {
                let passed = Passed {
                    id: call.id,
                    principal,
                    judged,
                    parameters: self.parameters,
                    edits: match send_on {
                        SendOn::Head { edits, .. } => edits,
                        SendOn::Body { .. } => HeaderEdits::default(),
                    },
                    rate_headers: call.rate_headers.clone(),
                };
                (Ok(passed), vec![verdict::unread(&call, now)])
            }
            Err(step) => {
                let rendered = match step.reply {
                    Some(Reply::Refuse { rendered, .. }) => rendered,
                    // It has no other.
                    _ => Rendered {
                        status: 503,
                        headers: Vec::new(),
                        body: Vec::new(),
                    },
                };
                (Err(rendered), step.effects)
            }
        }
    }

    /// What gives back all that may have been taken, where nobody waits for the
    /// answer any more.
    pub fn give_back(&self) -> Settlement {
        self.deciding.give_back(None)
    }
}
