//! One call from its first byte to its last, without I/O.
//!
//! An [`Exchange`] is a value that steps: [`Event`]s go in, a [`Reply`] for the
//! gateway and [`Effect`]s for the driver come out. Time, ids and the results
//! of effects are events or arguments, so any interleaving is a table test.
//!
//! ```text
//! RequestHeaders -> who calls, where to             reply, or refuse
//! RequestBody    -> what it asks, what it may cost  Effect::Reserve, or Wait first
//! Waited         -> its turn, or too many wait      Effect::Reserve, or refuse
//! Decided        -> admitted or not, or another     reply (edited body), or refuse,
//!                   call by rules that see counters or reserve again
//! ResponseHeaders-> what comes back                 reply (rate headers)
//! ResponseBody*  -> read as it passes               reply at once
//! end, or Closed -> what was used                   Effect::Settle, once
//! ```
//!
//! Always holds: an admitted hold gets exactly one `Effect::Settle`, however
//! the call ends, unless it was handed over; a refused call gets exactly one
//! `Effect::Record`; nothing that came from a client is in an event but the
//! names that configuration knows.

mod admit;
mod answering;
mod approval;
pub mod cost;
mod credentials;
mod deciding;
pub mod door;
pub mod event;
pub mod explain;
mod guardrails;
mod head;
mod hints;
mod identify;
pub mod message;
mod of_head;
pub mod open_call;
mod output_cap;
mod planning;
pub mod prompt;
mod reading;
mod recall;
mod routing;
mod rules_told;
mod throttle;
mod told;
mod verdict;
mod weigh;
mod weighed;

pub use event::UsageEvent;
pub use message::{
    Effect, Event, HeaderEdits, Metadata, Notice, Origin, Reply, RequestHead, ResponseHead,
    Settlement, Step,
};
pub use open_call::OpenCall;
pub use verdict::{expired as expired_event, interrupted as interrupted_settlement};

use crate::limits::{HoldId, Reservation};
use crate::policy::Snapshot;
use crate::policy::choice::Failures;
use crate::policy::expected::Expected;
use crate::policy::token_ratios::Ratios;
use crate::protocol::denial::Denial;
use crate::protocol::refusal::{Form, QuotaStatus};
use crate::tokens::Counting;
use crate::units::{Millis, UnixMillis};
use answering::Answering;
use deciding::{Deciding, Pending, Waiting};
use head::Identified;
use std::sync::Arc;

/// Which part of a call this exchange sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The whole of it.
    #[default]
    Full,
    /// The request only; the hold is handed over to a meter.
    Door,
    /// The response only, with a hold that a door handed over.
    Meter,
}

/// What holds for every exchange of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A larger request body is refused.
    pub body_bytes_max: usize,
    /// Let the caller's own `authorization` travel on to the provider.
    pub keep_authorization: bool,
    /// Take the principal from what ext_authz put into dynamic metadata.
    pub trust_ext_authz: bool,
    /// A check of ext_authz is charged to the limits of requests: it sees all that
    /// is ever seen of its call.
    pub count_checks: bool,
    /// Answers carry the IETF's rate limit headers besides their dialect's.
    pub ietf_rate_limit_headers: bool,
    /// The status of a call that a used up quota refuses; `None`: the dialect's
    /// own.
    pub quota_status: Option<QuotaStatus>,
    pub hold_ttl: Millis,
    pub lease_ttl: Millis,
    /// How long a door's hold is kept alive for a meter to adopt.
    pub handover_max: Millis,
}

/// What was learned of calls that ended.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// How much they produce.
    pub expected: Arc<Expected>,
    /// How many tokens their models count.
    pub ratios: Arc<Ratios>,
    /// How often their models failed of late.
    pub failures: Arc<Failures>,
}

/// One call. See the module's text.
#[derive(Debug)]
pub struct Exchange {
    role: Role,
    settings: Settings,
    snapshot: Arc<Snapshot>,
    learned: Learned,
    hold: HoldId,
    counting: Counting,
    /// How it is refused, if it is.
    form: Form,
    /// Grants that have refused it, by the names of their limits.
    used_up: Vec<Arc<str>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Identified(Box<Identified>),
    /// Held back; nothing is reserved.
    Waiting(Box<Waiting>),
    Deciding(Box<Pending>),
    /// Admitted; the answer hasn't begun.
    Upstream(Box<OpenCall>),
    Answering(Box<Answering>),
    /// Settled, handed over, refused, or never weir's business.
    Over,
}

impl Exchange {
    pub fn new(
        role: Role,
        settings: Settings,
        snapshot: Arc<Snapshot>,
        learned: Learned,
        hold: HoldId,
        counting: Counting,
    ) -> Self {
        Self {
            role,
            settings,
            snapshot,
            learned,
            hold,
            counting,
            form: Form::default(),
            used_up: Vec::new(),
            state: State::Start,
        }
    }

    /// Whether this exchange owes anything: while it does, its stream must not
    /// be ended cleanly.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether something is open that nobody else will end.
    pub fn owes_settlement(&self) -> bool {
        matches!(
            self.state,
            State::Waiting(_) | State::Deciding(_) | State::Upstream(_) | State::Answering(_)
        )
    }

    /// Takes one event. A reply is due to every event but [`Event::Closed`] and
    /// to [`Event::RequestBody`] while a reservation is under way.
    pub fn step(&mut self, event: Event, now: UnixMillis) -> Step {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, event) {
            (State::Start, Event::RequestHeaders(head)) => self.on_request_headers(head, now),
            (State::Start, Event::ResponseHeaders(head)) => self.on_first_response(head, now),
            (State::Identified(who), Event::RequestBody { body, end }) => {
                self.on_request_body(*who, body, end, now)
            }
            (State::Identified(who), Event::ResponseHeaders(head))
                if head.origin == Origin::Upstream =>
            {
                admit::refuse(*who.unmetered(), self.form, self.hold, now)
            }
            (State::Waiting(waiting), Event::Waited(true)) => {
                self.reserve(waiting.pending, waiting.reservation)
            }
            (State::Waiting(waiting), Event::Waited(false)) => self.on_crowd(*waiting, now),
            (State::Waiting(waiting), Event::Closed) => Self::on_left(&waiting, now),
            (State::Deciding(pending), Event::Decided(decision)) => {
                self.on_decided(*pending, decision, now)
            }
            (State::Deciding(pending), Event::Closed) => pending.deciding.abandon(now),
            (State::Upstream(call), Event::ResponseHeaders(head)) => {
                self.on_response_headers(*call, head, now)
            }
            (State::Upstream(call), Event::Closed) => {
                Step::effect(verdict::unseen(*call, Origin::Unknown, now))
            }
            (State::Answering(answering), Event::ResponseBody { body, end }) => {
                self.on_response_body(answering, body, end, now)
            }
            (State::Answering(answering), Event::ResponseTrailers) => {
                let (settle, metadata) = answering.finish(answering::End::OfAnswer, now);
                let metadata = Some(metadata);
                Step {
                    reply: Some(Reply::ResponseTrailers { metadata }),
                    effects: vec![settle],
                }
            }
            (State::Answering(answering), Event::Closed) => {
                Step::effect(answering.finish(answering::End::Cut, now).0)
            }
            // A message that means nothing here (a refused call's own answer,
            // trailers, a body nobody asked for) passes as it is. What was
            // under way stays under way.
            (state, event) => {
                self.state = state;
                Step {
                    reply: event.pass(),
                    effects: Vec::new(),
                }
            }
        }
    }

    fn on_request_headers(&mut self, head: RequestHead, now: UnixMillis) -> Step {
        self.form = head::form(&head, &self.snapshot, self.settings);
        // Refused before it leaves: nobody would see what it used.
        if self.role == Role::Full && head.answer_unseen {
            let refused = admit::Refused::new(Denial::Unmetered, None, None, now);
            return admit::refuse(*refused, self.form, self.hold, now);
        }
        match head::judge(&head, &self.snapshot, self.settings, now) {
            Ok((who, edits)) if who.passes_unread() => {
                let judged = self.admission(self.hold).unread(who, edits);
                self.on_unread(judged, now)
            }
            Ok((identified, mut edits)) => {
                // What is sent on is what was read: see `admit`.
                if identified.is_encoded() {
                    edits.remove.push("content-encoding".to_owned());
                }
                self.state = State::Identified(Box::new(identified));
                Step::reply(Reply::head(edits))
            }
            Err(refused) => admit::refuse(*refused, self.form, self.hold, now),
        }
    }

    fn on_request_body(
        &mut self,
        who: Identified,
        body: Vec<u8>,
        end: bool,
        now: UnixMillis,
    ) -> Step {
        let weighed = self.admission(self.hold).judge(who, body, end);
        self.on_weighed(weighed, now)
    }

    fn on_unread(
        &mut self,
        judged: Result<(Deciding, Reservation), Box<admit::Refused>>,
        now: UnixMillis,
    ) -> Step {
        match judged {
            Ok((deciding, reservation)) => {
                let pending = Pending {
                    deciding,
                    again: None,
                    waited: Millis(0),
                };
                self.reserve(pending, reservation)
            }
            Err(refused) => admit::refuse(*refused, self.form, self.hold, now),
        }
    }

    /// A response without a request: the meter's first message, or the answer
    /// of an earlier filter that refused the call, which costs nothing.
    fn on_first_response(&mut self, head: ResponseHead, now: UnixMillis) -> Step {
        let handed_over = match self.role {
            Role::Meter => head.handed_over.as_deref().and_then(OpenCall::from_json),
            Role::Full | Role::Door => None,
        };
        match handed_over {
            // The provider answered a request that weir was never shown.
            None if self.role == Role::Full && head.origin == Origin::Upstream => {
                let refused = admit::Refused::new(Denial::Unmetered, None, None, now);
                admit::refuse(*refused, self.form, self.hold, now)
            }
            Some(call) => {
                let adopt = Effect::Adopt {
                    hold: call.id,
                    slot: Arc::clone(&call.tenant),
                    shared: call.shared,
                };
                let mut step = self.on_response_headers(call, head, now);
                step.effects.insert(0, adopt);
                step
            }
            None => Step::reply(Reply::ResponseHeaders {
                edits: HeaderEdits::default(),
                metadata: None,
            }),
        }
    }

    fn on_response_headers(&mut self, call: OpenCall, head: ResponseHead, now: UnixMillis) -> Step {
        let ended = head.end;
        let (answering, edits) = Answering::begin(call, head, self.counting.clone());
        if ended {
            let (settle, metadata) = answering.finish(answering::End::OfAnswer, now);
            return Step {
                reply: Some(Reply::ResponseHeaders {
                    edits,
                    metadata: Some(metadata),
                }),
                effects: vec![settle],
            };
        }
        self.state = State::Answering(Box::new(answering));
        Step::reply(Reply::ResponseHeaders {
            edits,
            metadata: None,
        })
    }

    fn on_response_body(
        &mut self,
        mut answering: Box<Answering>,
        body: Vec<u8>,
        end: bool,
        now: UnixMillis,
    ) -> Step {
        let replacement = answering.read(&body, end, now);
        if !end {
            self.state = State::Answering(answering);
            return Step::reply(Reply::ResponseBody {
                replacement,
                metadata: None,
            });
        }
        let (settle, metadata) = answering.finish(answering::End::OfAnswer, now);
        Step {
            reply: Some(Reply::ResponseBody {
                replacement,
                metadata: Some(metadata),
            }),
            effects: vec![settle],
        }
    }
}

#[cfg(test)]
mod tests;
