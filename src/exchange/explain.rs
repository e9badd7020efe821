//! What would become of a call, and why: by the very steps that judge one, on
//! counters that are asked and not charged.
//!
//! An [`Inquiry`] carries an [`Exchange`] up to where it would send the call on. It
//! says which counters it has to know ([`Inquiry::looks`]); whoever asks the store
//! tells it ([`Inquiry::go_on`]), until there is nothing more to look at.
//!
//! | module | for |
//! |---|---|
//! | [`question`] | the call that is asked about |
//! | [`explanation`] | what is told of it |
//! | `findings` | which limits, rules and guardrails apply, with their values |
//! | `outcome` | the verdict: how it would be sent on, or what its client gets |
//!
//! Always holds: nothing is charged, recorded or announced; the verdict is the
//! exchange's own. Left to others: whom the asker may ask about.

pub mod explanation;
mod findings;
mod outcome;
pub mod question;

pub use explanation::Explanation;
pub use question::{Question, Whom};

use super::admit::Admission;
use super::event::UsageEvent;
use super::head::Identified;
use super::message::{Effect, Event, Notice, Reply, Step};
use super::weigh::Ask;
use super::{Exchange, State};
use crate::limits::{Asked, Charge, Decision, Reservation, SHARED_SLOT, decision};
use crate::policy::facts::Counters;
use crate::units::{Millis, UnixMillis};
use std::collections::HashMap;
use std::sync::Arc;

/// A call that is asked about.
#[derive(Debug)]
pub struct Inquiry {
    exchange: Exchange,
    now: UnixMillis,
    body: Vec<u8>,
    who: Option<Identified>,
    ask: Option<Ask>,
    /// What it would reserve, as it was weighed last.
    reservation: Option<Reservation>,
    wanted: Option<Looks>,
    /// The exchange has had its say; what is looked at is for the telling alone.
    is_told: bool,
    known: HashMap<(bool, Arc<str>), Asked>,
    counters: Option<Counters>,
    seen: Seen,
}

/// What the exchange has said.
#[derive(Debug, Default)]
struct Seen {
    reply: Option<Reply>,
    delay: Millis,
    event: Option<UsageEvent>,
    notices: Vec<Notice>,
}

/// Counters that must be known for an inquiry to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// Whose `own` are.
    pub slot: Arc<str>,
    pub own: Vec<Charge>,
    /// On counters that tenants share, in the slot [`SHARED_SLOT`].
    pub shared: Vec<Charge>,
}

impl Looks {
    /// Both, each with its slot.
    pub fn slots(&self) -> [(Arc<str>, &[Charge]); 2] {
        [
            (Arc::clone(&self.slot), &self.own),
            (SHARED_SLOT.into(), &self.shared),
        ]
    }
}

impl Inquiry {
    /// Asks about a call. The exchange is a fresh one.
    pub fn begin(exchange: Exchange, question: Question, now: UnixMillis) -> Self {
        let mut exchange = exchange;
        // Who calls is said by whoever asks.
        exchange.settings.trust_ext_authz = true;
        let Question { head, body } = question;
        let mut inquiry = Self::of(exchange, body, now);
        inquiry.step(Event::RequestHeaders(head));
        if let State::Identified(who) = &inquiry.exchange.state {
            let who = Identified::clone(who);
            inquiry.read(who);
        }
        inquiry.rest();
        inquiry
    }

    /// Asks about a call that the ledger has, as if it were made at this time. The
    /// exchange is a fresh one. `None`: its row doesn't tell enough.
    pub fn recall(exchange: Exchange, event: &UsageEvent, now: UnixMillis) -> Option<Self> {
        let mut inquiry = Self::of(exchange, Vec::new(), now);
        let (ask, step) = inquiry.exchange.recalled(event, now)?;
        inquiry.who = ask.as_ref().map(|ask| ask.who.clone());
        inquiry.ask = ask;
        inquiry.hear(step);
        inquiry.rest();
        Some(inquiry)
    }

    fn of(exchange: Exchange, body: Vec<u8>, now: UnixMillis) -> Self {
        Self {
            exchange,
            now,
            body,
            who: None,
            ask: None,
            reservation: None,
            wanted: None,
            is_told: false,
            known: HashMap::new(),
            counters: None,
            seen: Seen::default(),
        }
    }

    /// What has to be known of counters; `None`: it is over.
    pub fn looks(&self) -> Option<&Looks> {
        self.wanted.as_ref()
    }

    /// Goes on with what the store says of [`Inquiry::looks`], one answer for each
    /// charge, in order.
    pub fn go_on(&mut self, own: &[Asked], shared: &[Asked]) {
        let known = |all: &[Asked]| all.iter().copied().map(Some).collect::<Vec<_>>();
        self.go_on_with(&known(own), &known(shared));
    }

    /// As [`Inquiry::go_on`], where of some counters nothing is known: they are taken to
    /// have room, and told to be unknown.
    pub fn go_on_with(&mut self, own: &[Option<Asked>], shared: &[Option<Asked>]) {
        let Some(looks) = self.wanted.take() else {
            return;
        };
        let each = [(false, &looks.own, own), (true, &looks.shared, shared)];
        for (is_shared, charges, asked) in each {
            for (charge, asked) in charges.iter().zip(asked) {
                if let Some(asked) = asked {
                    let name = (is_shared, Arc::clone(&charge.counter));
                    self.known.insert(name, *asked);
                }
            }
        }
        let charges = [&*looks.own, &looks.shared].concat();
        // Rules see counters as they were when the store was asked first.
        if self.counters.is_none() {
            let told = own.iter().chain(shared);
            let told = charges.iter().zip(told);
            let told = told.filter_map(|(charge, asked)| Some((charge, (*asked)?.told.standing)));
            let (known, standings): (Vec<_>, Vec<_>) = told.unzip();
            self.counters = Some(Counters::before(known.into_iter(), &standings, false));
        }
        if !self.is_told {
            let (own, shared) = (assumed(&looks.own, own), assumed(&looks.shared, shared));
            // A store decides on each slot by itself, the tenant's own first.
            let decided = match decision(&looks.own, &own) {
                refused @ Decision::Refused(..) => refused,
                _ => decision(&charges, &[own, shared].concat()),
            };
            self.step(Event::Decided(Some(decided)));
            self.rest();
        }
    }

    /// What is to be told of the call.
    pub fn explanation(self) -> Explanation {
        findings::explanation(&self)
    }

    /// Reads the body as the exchange will, to tell of it.
    fn read(&mut self, who: Identified) {
        let body = self.body.clone();
        let read = super::reading::read(
            &who,
            (body, true),
            &self.exchange.snapshot,
            self.exchange.settings,
        );
        self.ask = read.ok().map(|read| Ask::of(read, who.clone()));
        self.who = Some(who);
        let body = std::mem::take(&mut self.body);
        self.step(Event::RequestBody { body, end: true });
    }

    fn step(&mut self, event: Event) {
        let step = self.exchange.step(event, self.now);
        self.hear(step);
    }

    fn hear(&mut self, step: Step) {
        let mut next = Some(step);
        while let Some(Step { reply, effects }) = next.take() {
            self.seen.reply = reply.or(self.seen.reply.take());
            for effect in effects {
                match effect {
                    Effect::Reserve(reservation) => {
                        self.wanted = Some(Looks {
                            slot: Arc::clone(&reservation.slot),
                            own: reservation.charges.to_vec(),
                            shared: reservation.shared.to_vec(),
                        });
                        self.reservation = Some(reservation);
                    }
                    Effect::Wait { span, .. } => {
                        self.seen.delay = Millis(self.seen.delay.0 + span.0);
                        next = Some(self.exchange.step(Event::Waited(true), self.now));
                    }
                    Effect::Record(event) => self.seen.event = Some(*event),
                    Effect::Notice(notice) => self.seen.notices.push(notice),
                    // Nothing was taken, so nothing is given back.
                    Effect::Settle(_) | Effect::Adopt { .. } => {}
                }
            }
        }
    }

    /// Once the exchange has had its say: limits that apply and weren't looked at.
    fn rest(&mut self) {
        if self.wanted.is_some() || self.is_told {
            return;
        }
        self.is_told = true;
        let Some((own, shared)) = self.charges() else {
            return;
        };
        let unknown = |is_shared: bool, charges: Vec<Charge>| -> Vec<Charge> {
            let known = |charge: &Charge| {
                let name = (is_shared, Arc::clone(&charge.counter));
                self.known.contains_key(&name)
            };
            charges.into_iter().filter(|c| !known(c)).collect()
        };
        let (own, shared) = (unknown(false, own), unknown(true, shared));
        let Some(ask) = self.ask.as_ref().filter(|_| own.len() + shared.len() > 0) else {
            return;
        };
        self.wanted = Some(Looks {
            slot: Arc::clone(&ask.who.principal.tenant),
            own,
            shared,
        });
    }

    fn admission(&self) -> Admission<'_> {
        self.exchange.admission(self.exchange.hold)
    }

    /// What the call would be charged to: as it was reserved, or where rules say
    /// something else since, as it was weighed then.
    fn charges(&self) -> Option<(Vec<Charge>, Vec<Charge>)> {
        let reserved = self.reservation.as_ref();
        let reserved = reserved.map(|r| (r.charges.to_vec(), r.shared.to_vec()));
        let weighed = self.ask.as_ref().and_then(|ask| {
            let admission = self.admission();
            let scale = admission.scale(ask, self.counters.as_ref(), None).ok()?;
            let stood = scale.stood().ok()?;
            Some(scale.charges(stood.model, &stood.planned))
        });
        match (reserved, weighed) {
            (Some(reserved), Some(weighed)) if !is_within(&weighed.0, &reserved.0) => Some(weighed),
            (reserved, weighed) => reserved.or(weighed),
        }
    }
}

/// What charges meet where some of it isn't known.
fn assumed(charges: &[Charge], asked: &[Option<Asked>]) -> Vec<Asked> {
    let each = charges.iter().zip(asked);
    each.map(|(charge, asked)| asked.unwrap_or_else(|| Asked::unknown(charge)))
        .collect()
}

/// Whether all counters of some charges are among those of others.
fn is_within(charges: &[Charge], others: &[Charge]) -> bool {
    let is_there = |charge: &Charge| others.iter().any(|o| o.counter == charge.counter);
    charges.iter().all(is_there)
}
