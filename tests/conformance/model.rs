//! What counters mean, written down as plainly as possible: a list of all that
//! ever happened, and every question answered by going through the whole list.
//!
//! Nothing of it is shared with the engines but the types of questions and
//! answers. It is slow, counts in whole numbers far wider than needed, and
//! keeps nothing that it could look up. Limits keep their parameters here; what
//! happens when those change is in `histories.rs`.

#[path = "model/calendars.rs"]
pub mod calendars;
#[path = "model/fixed.rs"]
mod fixed;
#[path = "model/gcra.rs"]
mod gcra;
#[path = "model/leases.rs"]
mod leases;
#[path = "model/sliding.rs"]
pub mod sliding;

use std::collections::BTreeSet;
use std::sync::Arc;
use weir::counters::ExpiredHold;
use weir::limits::*;
use weir::units::{Millis, UnixMillis};

/// Moments and amounts, too wide to overflow.
pub type Whole = i128;

/// How long an ended hold is remembered.
const REMEMBERED: Whole = 60_000;

/// How often the store in memory looks for counters at rest, at most.
const LOOK_EVERY: Whole = 60_000;

#[derive(Debug, Clone, Default)]
pub struct Model {
    log: Vec<Event>,
    /// When the store last looked for counters at rest; `None` where it had
    /// nothing to look at. Only a clock that steps back makes this visible: what
    /// was seen at a later time stays seen.
    looked: Option<Whole>,
}

#[derive(Debug, Clone)]
struct Event {
    at: Whole,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// The store was asked something, and forgot what ended long ago.
    Call,
    /// These counters were looked at.
    Read(Vec<Arc<str>>),
    /// A call that needed these counters was refused.
    Refused(Vec<Arc<str>>),
    Admitted {
        hold: HoldId,
        charges: Vec<Charge>,
        slot: Arc<str>,
        context: Arc<str>,
        until: Whole,
        lease_until: Whole,
    },
    Settled {
        hold: HoldId,
        actual: Actual,
    },
    /// A settlement came for a hold that isn't known.
    Marked {
        hold: HoldId,
    },
    Renewed {
        hold: HoldId,
        until: Whole,
        lease_until: Whole,
    },
    Expired {
        hold: HoldId,
    },
    /// An expired hold is someone's to tell of, until then.
    Claimed {
        hold: HoldId,
        until: Whole,
    },
    Told {
        hold: HoldId,
    },
    /// The store looked for counters at rest.
    Looked,
}

/// What happened to one counter.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub at: Whole,
    pub what: Move,
}

#[derive(Debug, Clone, Copy)]
pub enum Move {
    Take {
        hold: HoldId,
        amount: Whole,
        lease_until: Whole,
    },
    /// Settled: what was held becomes what was used. A lease ends.
    Correct {
        hold: HoldId,
        held: Whole,
        used: Whole,
    },
    /// Expired: the charge stays, a lease ends.
    Expire {
        hold: HoldId,
    },
    Renew {
        hold: HoldId,
        lease_until: Whole,
    },
    Read,
    /// A fixed window that a clock from far ahead had opened is cut short, though
    /// the call was refused.
    Refused,
    Look,
}

/// One counter's answers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub standing: Standing,
    /// Why a call of the size that was asked for doesn't pass.
    pub refuses: Option<Retry>,
    /// Whether anything is kept of it.
    pub kept: bool,
}

/// A hold that nobody ended.
#[derive(Debug, Clone)]
struct Open {
    hold: HoldId,
    until: Whole,
    slot: Arc<str>,
    context: Arc<str>,
}

struct Holds {
    open: Vec<Open>,
    /// Expired, and nobody has told of them.
    claimed: Vec<Open>,
    /// The remembered ones, the longest ended first.
    ended: Vec<(Whole, HoldId, Settled)>,
}

impl Model {
    pub fn reserve(&mut self, call: &Reservation, now: UnixMillis) -> Decision {
        let now = Whole::from(now.0);
        self.note(now, What::Call);
        self.look(now);
        let holds = self.holds();
        if holds.ended.iter().any(|(_, hold, _)| *hold == call.hold) {
            return Decision::Ended;
        }
        // The store looks from when it first heard of the slot, whether or not
        // anything was taken then.
        self.looked.get_or_insert(now);
        let names = call.charges.iter().map(|charge| charge.counter.clone());
        let names: Vec<Arc<str>> = names.collect();
        self.note(now, What::Read(names.clone()));
        // A call that is refused has a place in the store all the same.
        self.looked.get_or_insert(now);
        if holds.open.iter().all(|open| open.hold != call.hold) {
            if let Some(refusal) = self.judge(&call.charges, now) {
                let standings = call.charges.iter().map(|c| self.answer(c, now).standing);
                let standings = standings.collect();
                self.note(now, What::Refused(names));
                return Decision::Refused(refusal, standings);
            }
            let admitted = What::Admitted {
                hold: call.hold,
                charges: call.charges.to_vec(),
                slot: Arc::clone(&call.slot),
                context: Arc::clone(&call.context),
                until: now + Whole::from(call.hold_ttl.0),
                lease_until: now + Whole::from(call.lease_ttl.0),
            };
            self.note(now, admitted);
        }
        let standings = call.charges.iter().map(|c| self.answer(c, now).standing);
        Decision::Admitted(standings.collect())
    }

    pub fn settle(&mut self, hold: HoldId, actual: Actual, now: UnixMillis) -> Settled {
        let now = Whole::from(now.0);
        self.note(now, What::Call);
        let holds = self.holds();
        if holds.open.iter().any(|open| open.hold == hold) {
            self.looked.get_or_insert(now);
            self.note(now, What::Settled { hold, actual });
            return Settled::Applied;
        }
        let ended = holds.ended.iter().find(|(_, ended, _)| *ended == hold);
        if let Some((_, _, how)) = ended {
            return *how;
        }
        self.note(now, What::Marked { hold });
        Settled::Unknown
    }

    pub fn renew(&mut self, hold: HoldId, ttl: Millis, lease: Millis, now: UnixMillis) -> bool {
        let now = Whole::from(now.0);
        let open = self.holds().open.iter().any(|open| open.hold == hold);
        if open {
            self.looked.get_or_insert(now);
            let renewed = What::Renewed {
                hold,
                until: now + Whole::from(ttl.0),
                lease_until: now + Whole::from(lease.0),
            };
            self.note(now, renewed);
        }
        open
    }

    /// What was claimed before comes first, then the longest due.
    pub fn expire_due(&mut self, now: UnixMillis, max: usize, claim: Millis) -> Vec<ExpiredHold> {
        let now = Whole::from(now.0);
        self.note(now, What::Call);
        let Holds { open, claimed, .. } = self.holds();
        let [mut again, mut due] = [claimed, open].map(|mut holds| {
            holds.retain(|open| open.until <= now);
            holds.sort_by_key(|open| (open.until, open.hold));
            holds
        });
        again.truncate(max);
        due.truncate(max - again.len());
        for open in &due {
            self.note(now, What::Expired { hold: open.hold });
        }
        let handed: Vec<Open> = again.into_iter().chain(due).collect();
        for open in &handed {
            let (hold, until) = (open.hold, now + Whole::from(claim.0));
            self.note(now, What::Claimed { hold, until });
        }
        self.look(now);
        let handed = handed.into_iter().map(|open| ExpiredHold {
            slot: open.slot,
            hold: open.hold,
            context: open.context,
        });
        handed.collect()
    }

    pub fn told(&mut self, holds: &[ExpiredHold]) {
        for told in holds {
            self.note(0, What::Told { hold: told.hold });
        }
    }

    pub fn open_holds(&self) -> u64 {
        self.holds().open.len() as u64
    }

    fn note(&mut self, at: Whole, what: What) {
        self.log.push(Event { at, what });
    }

    /// Of several refusals the one that takes longest; of equals the first.
    fn judge(&self, charges: &[Charge], now: Whole) -> Option<Refusal> {
        let mut worst: Option<Refusal> = None;
        for (index, charge) in charges.iter().enumerate() {
            let answer = self.answer(charge, now);
            let Some(retry) = answer.refuses else {
                continue;
            };
            let longer = worst.is_none_or(|worst| lasts(retry) > lasts(worst.retry));
            if charge.limit.mode == Mode::Enforce && longer {
                worst = Some(Refusal {
                    charge: index,
                    used: answer.standing.used,
                    requested: charge.wanted(),
                    remaining: answer.standing.remaining,
                    reset_after: answer.standing.reset_after,
                    retry,
                });
            }
        }
        worst
    }

    fn answer(&self, charge: &Charge, now: Whole) -> Answer {
        let entries = self.entries(&charge.counter);
        let limit = &charge.limit;
        let most = Whole::from(limit.amount);
        let amount = Whole::from(charge.wanted());
        match &limit.algorithm {
            Algorithm::FixedWindow { period, rollover } => {
                let rollover = rollover.map(|rollover| fixed::Rollover {
                    amount: Whole::from(rollover.amount),
                    most: Whole::from(rollover.most),
                });
                fixed::answer(&entries, (period, rollover), most, amount, now)
            }
            Algorithm::SlidingWindow { every } => {
                sliding::answer(&entries, Whole::from(every.0), most, amount, now)
            }
            Algorithm::TokenBucket { every, burst } | Algorithm::LeakyBucket { every, burst } => {
                let rate = gcra::Rate {
                    amount: most,
                    every: Whole::from(every.0),
                    burst: Whole::from(*burst),
                };
                gcra::answer(&entries, rate, amount, now)
            }
            Algorithm::Concurrency => leases::answer(&entries, most, now),
        }
    }

    /// All that happened to this counter.
    fn entries(&self, name: &str) -> Vec<Entry> {
        let mut entries = Vec::new();
        // What each hold took here.
        let mut takes: Vec<(HoldId, &Charge)> = Vec::new();
        let took = |takes: &[(HoldId, &Charge)], hold: HoldId| {
            let last = takes.iter().rfind(|(taker, _)| *taker == hold);
            last.map(|(_, charge)| (Whole::from(charge.amount), charge.limit.unit))
        };
        for event in &self.log {
            let what = match &event.what {
                What::Call | What::Marked { .. } | What::Claimed { .. } | What::Told { .. } => None,
                What::Read(names) => names
                    .iter()
                    .any(|read| **read == *name)
                    .then_some(Move::Read),
                What::Refused(names) => names
                    .iter()
                    .any(|refused| **refused == *name)
                    .then_some(Move::Refused),
                What::Admitted {
                    hold,
                    charges,
                    lease_until,
                    ..
                } => {
                    // What it took before, under the same name, is long over.
                    takes.retain(|(taker, _)| taker != hold);
                    let here = charges.iter().find(|charge| *charge.counter == *name);
                    here.map(|charge| {
                        takes.push((*hold, charge));
                        Move::Take {
                            hold: *hold,
                            amount: Whole::from(charge.amount),
                            lease_until: *lease_until,
                        }
                    })
                }
                What::Settled { hold, actual } => {
                    took(&takes, *hold).map(|(held, unit)| Move::Correct {
                        hold: *hold,
                        held,
                        used: Whole::from(actual.of(unit)),
                    })
                }
                What::Expired { hold } => took(&takes, *hold).map(|_| Move::Expire { hold: *hold }),
                What::Renewed {
                    hold, lease_until, ..
                } => took(&takes, *hold).map(|_| Move::Renew {
                    hold: *hold,
                    lease_until: *lease_until,
                }),
                What::Looked => Some(Move::Look),
            };
            entries.extend(what.map(|what| Entry { at: event.at, what }));
        }
        entries
    }

    fn holds(&self) -> Holds {
        let mut open: Vec<Open> = Vec::new();
        let mut claimed: Vec<Open> = Vec::new();
        let mut ended: Vec<(Whole, HoldId, Settled)> = Vec::new();
        for Event { at, what } in &self.log {
            match what {
                // In the order in which they ended.
                What::Call => {
                    while ended
                        .first()
                        .is_some_and(|(then, ..)| at - then >= REMEMBERED)
                    {
                        ended.remove(0);
                    }
                }
                What::Admitted {
                    hold,
                    slot,
                    context,
                    until,
                    ..
                } => open.push(Open {
                    hold: *hold,
                    until: *until,
                    slot: Arc::clone(slot),
                    context: Arc::clone(context),
                }),
                What::Renewed { hold, until, .. } => {
                    for open in open.iter_mut().filter(|open| open.hold == *hold) {
                        open.until = open.until.max(*until);
                    }
                }
                What::Settled { hold, .. } => {
                    open.retain(|open| open.hold != *hold);
                    ended.push((*at, *hold, Settled::Already));
                }
                What::Marked { hold } => ended.push((*at, *hold, Settled::Already)),
                What::Expired { hold } => {
                    claimed.retain(|claim| claim.hold != *hold);
                    claimed.extend(open.extract_if(.., |open| open.hold == *hold));
                    ended.push((*at, *hold, Settled::Expired));
                }
                What::Claimed { hold, until } => {
                    for claim in claimed.iter_mut().filter(|claim| claim.hold == *hold) {
                        claim.until = *until;
                    }
                }
                What::Told { hold } => claimed.retain(|claim| claim.hold != *hold),
                What::Read(_) | What::Refused(_) | What::Looked => {}
            }
        }
        Holds {
            open,
            claimed,
            ended,
        }
    }

    /// Looks for counters at rest, where it is time.
    fn look(&mut self, now: Whole) {
        let Some(looked) = self.looked else { return };
        if looked <= now && now - looked < LOOK_EVERY {
            return;
        }
        self.note(now, What::Looked);
        let mut names = BTreeSet::new();
        let charges = self.log.iter().flat_map(|event| match &event.what {
            What::Admitted { charges, .. } => charges.as_slice(),
            _ => &[],
        });
        let kept = charges
            .filter(|charge| names.insert(&charge.counter))
            .any(|charge| self.answer(charge, now).kept);
        self.looked = kept.then_some(now);
    }
}

/// Orders refusals by how long they last.
fn lasts(retry: Retry) -> (u8, u64) {
    match retry {
        Retry::WhenOneEnds => (0, 0),
        Retry::After(wait) => (1, wait.0),
        Retry::Never => (2, 0),
    }
}

/// Rounded up; `over` is more than 0.
pub fn div_up(value: Whole, over: Whole) -> Whole {
    value.div_euclid(over) + Whole::from(value.rem_euclid(over) != 0)
}

pub fn narrow(value: Whole) -> u64 {
    u64::try_from(value).expect("a model that stays within the engines' numbers")
}
