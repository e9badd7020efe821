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
use crate::limits::{Asked, Charge, Decision, Reservation, SHARED_SLOT, Standing, decision};
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
        let mut inquiry = Self {
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
        };
        inquiry.step(Event::RequestHeaders(head));
        if let State::Identified(who) = &inquiry.exchange.state {
            let who = Identified::clone(who);
            inquiry.read(who);
        }
        inquiry.rest();
        inquiry
    }

    /// What has to be known of counters; `None`: it is over.
    pub fn looks(&self) -> Option<&Looks> {
        self.wanted.as_ref()
    }

    /// Goes on with what the store says of [`Inquiry::looks`], one answer for each
    /// charge, in order.
    pub fn go_on(&mut self, own: &[Asked], shared: &[Asked]) {
        let Some(looks) = self.wanted.take() else {
            return;
        };
        let each = [(false, &looks.own, own), (true, &looks.shared, shared)];
        for (is_shared, charges, asked) in each {
            for (charge, asked) in charges.iter().zip(asked) {
                let name = (is_shared, Arc::clone(&charge.counter));
                self.known.insert(name, *asked);
            }
        }
        let charges = [&*looks.own, &looks.shared].concat();
        let asked = [own, shared].concat();
        let standings: Vec<Standing> = asked.iter().map(|asked| asked.told.standing).collect();
        // Rules see counters as they were when the store was asked first.
        let counters = || Counters::before(charges.iter(), &standings, false);
        self.counters.get_or_insert_with(counters);
        if !self.is_told {
            // A store decides on each slot by itself, the tenant's own first.
            let decided = match decision(&looks.own, own) {
                refused @ Decision::Refused(..) => refused,
                _ => decision(&charges, &asked),
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
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let Step { reply, effects } = self.exchange.step(event, self.now);
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
                        next = Some(Event::Waited(true));
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

/// Whether all counters of some charges are among those of others.
fn is_within(charges: &[Charge], others: &[Charge]) -> bool {
    let is_there = |charge: &Charge| others.iter().any(|o| o.counter == charge.counter);
    charges.iter().all(is_there)
}
