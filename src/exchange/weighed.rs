//! From a weighing to the next step: it waits, reserves, or is weighed again with
//! what the store said.

use super::admit::{self, Admission, Refused};
use super::deciding::{Again, Deciding, Looked, Pending, SendOn, Waiting};
use super::message::{Effect, Metadata, Notice, Reply, Step};
use super::weigh::{self, Ask, Weighed};
use super::{Exchange, Role, State, rules_told, verdict};
use crate::limits::{Charge, Decision, HoldId, Refusal, Reservation, Standing};
use crate::policy::budget::Passed;
use crate::policy::facts::Counters;
use crate::policy::{PlanLimit, Terms};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// A budget of which less is used refuses calls that are large for it, and lets others
/// through: nobody is told that it is used up.
const USED_UP_PER_MILLE: u64 = 900;

/// The most grants that are found used up before a call is refused: each costs a
/// question, as a rule one that this sidecar answers by what it remembers. The newest
/// come first, so whoever is granted more passes whatever was used up before.
const GRANTS_TRIED_MAX: usize = 16;

impl Exchange {
    pub(super) fn admission(&self, hold: HoldId) -> Admission<'_> {
        Admission {
            settings: self.settings,
            snapshot: &self.snapshot,
            learned: &self.learned,
            hold,
            counting: &self.counting,
            used_up: &self.used_up,
        }
    }

    pub(super) fn on_weighed(
        &mut self,
        weighed: Result<(Ask, Weighed), Box<Refused>>,
        now: UnixMillis,
    ) -> Step {
        match weighed {
            Ok((ask, weighed)) => {
                let counters = match weighed.needs_counters {
                    true => Looked::NotYet,
                    false => Looked::Needless,
                };
                let again = again(ask, &weighed, counters);
                self.go_on(weighed, again, Millis(0))
            }
            Err(refused) => admit::refuse(*refused, self.form, self.hold, now),
        }
    }

    /// The call waits, or reserves. `waited` is for how long it has.
    fn go_on(&mut self, weighed: Weighed, again: Option<Box<Again>>, waited: Millis) -> Step {
        let Weighed {
            deciding,
            reservation,
            delay,
            ..
        } = weighed;
        let mut pending = Pending {
            deciding,
            again,
            waited,
        };
        match delay.filter(|(delay, _)| *delay > waited) {
            Some((delay, rule)) => {
                pending.waited = delay;
                let most = self.delay_max(&pending.deciding).max(delay);
                self.state = State::Waiting(Box::new(Waiting {
                    pending,
                    reservation,
                    rule,
                }));
                let span = Millis(delay.0 - waited.0);
                Step::effect(Effect::Wait { span, most })
            }
            None => self.reserve(pending, reservation),
        }
    }

    /// The longest that rules may hold a call back.
    fn delay_max(&self, deciding: &Deciding) -> Millis {
        let terms = self.snapshot.terms(&deciding.principal);
        let rules = terms.into_iter().flat_map(Terms::rules);
        rules.map(|rules| rules.delay_max).max().unwrap_or_default()
    }

    pub(super) fn reserve(&mut self, pending: Pending, reservation: Reservation) -> Step {
        self.state = State::Deciding(Box::new(pending));
        Step::effect(Effect::Reserve(reservation))
    }

    /// Nobody more may wait.
    pub(super) fn on_crowd(&mut self, waiting: Waiting, now: UnixMillis) -> Step {
        let Waiting { pending, rule, .. } = waiting;
        let denial = weigh::crowded(&rule, pending.waited);
        let (id, refused) = pending.deciding.refused(denial);
        admit::refuse(refused, self.form, id, now)
    }

    pub(super) fn on_decided(
        &mut self,
        mut pending: Pending,
        decision: Option<Decision>,
        now: UnixMillis,
    ) -> Step {
        if let Some(grant) = self.refused_by_grant(&pending.deciding, decision.as_ref())
            && let Some(again) = pending.again.take()
        {
            self.used_up.push(grant);
            let (seen, counted) = (again.counters.seen(), &again.counted);
            let weighed = self
                .admission(self.hold.again())
                .weigh(&again.ask, seen, Some(counted));
            return self.instead(
                pending,
                decision.as_ref(),
                weighed.map(|weighed| (weighed, *again)),
                now,
            );
        }
        let asks = |again: &Again| matches!(again.counters, Looked::NotYet);
        let counted = pending.again.take_if(|again| asks(again));
        let seen = seen(&pending.deciding, decision.as_ref());
        let Some((mut again, (counters, taken))) = counted.zip(seen) else {
            return self.conclude(pending, decision, now);
        };
        // Who is refused anyhow needn't wait for it.
        let may_wait = taken.then_some(pending.waited);
        let before = (&again.became, &again.counted);
        let admission = self.admission(self.hold.again());
        let weighed = admission.weigh_again(&again.ask, &counters, before, may_wait);
        again.counters = Looked::Seen(counters);
        let weighed = match weighed {
            Ok(weigh::Again::Same(told)) => {
                let call = &mut pending.deciding.call;
                call.actions = told.actions;
                call.rate_headers = told.headers;
                return self.conclude(pending, decision, now);
            }
            Ok(weigh::Again::Other(weighed)) => Ok((*weighed, *again)),
            Err(refused) => Err(refused),
        };
        self.instead(pending, decision.as_ref(), weighed, now)
    }

    /// The grant that refused a call which may have another one.
    fn refused_by_grant(
        &self,
        deciding: &Deciding,
        decision: Option<&Decision>,
    ) -> Option<Arc<str>> {
        let Some(Decision::Refused(refusal, _)) = decision else {
            return None;
        };
        let by = deciding.charges.get(refusal.charge)?;
        let grant = deciding.ungranted.grant(&by.limit.name).cloned();
        grant.filter(|_| self.used_up.len() < GRANTS_TRIED_MAX)
    }

    /// It isn't the call any more that the store was asked for.
    fn instead(
        &mut self,
        pending: Pending,
        decision: Option<&Decision>,
        weighed: Result<(Weighed, Again), Box<Refused>>,
        now: UnixMillis,
    ) -> Step {
        let given_back = pending.deciding.give_back(None);
        self.hold = self.hold.again();
        let mut step = match weighed {
            Ok((weighed, Again { ask, counters, .. })) => {
                let again = again(ask, &weighed, counters);
                self.go_on(weighed, again, pending.waited)
            }
            Err(refused) => admit::refuse(*refused, self.form, self.hold, now),
        };
        // What was refused took nothing, but may have been noted, which ends so too. A
        // refusal that was remembered was neither asked for nor noted.
        let is_remembered =
            matches!(decision, Some(Decision::Refused(_, standings)) if standings.is_empty());
        if !is_remembered {
            step.effects.insert(0, Effect::Settle(Box::new(given_back)));
        }
        step
    }

    /// What the store's decision makes of the call.
    fn conclude(&mut self, pending: Pending, decision: Option<Decision>, now: UnixMillis) -> Step {
        let notices = match &decision {
            Some(Decision::Admitted(standings)) => self.passed(&pending.deciding, standings),
            Some(Decision::Refused(refusal, _)) => self.used_up(&pending.deciding, *refusal),
            Some(Decision::Ended) | None => Vec::new(),
        };
        let mut step = match pending.deciding.decide(decision, self.form, now) {
            Ok((mut call, send_on)) => {
                for notice in &notices {
                    rules_told::warn(&mut call.rate_headers, notice);
                }
                let hand_over = self.role == Role::Door;
                let metadata = hand_over.then(|| Metadata::handing_over(&call));
                if !hand_over {
                    self.state = State::Upstream(Box::new(call));
                }
                Step::reply(sent_on(send_on, metadata))
            }
            Err(step) => *step,
        };
        step.effects.extend(notices.into_iter().map(Effect::Notice));
        step
    }

    /// The thresholds of budgets that are passed.
    fn passed(&self, deciding: &Deciding, standings: &[Standing]) -> Vec<Notice> {
        let Some(terms) = self.snapshot.terms(&deciding.principal) else {
            return Vec::new();
        };
        let budgets = terms.limits().filter_map(|limit| {
            let budget = limit.budget.as_ref()?;
            let charges = deciding.charges.iter().zip(standings);
            let mut of_it = charges.filter(|(charge, _)| charge.limit.name == limit.limit.name);
            let (charge, standing) = of_it.next()?;
            let passed = budget.passed(charge, standing)?;
            Some(Notice::Budget {
                tenant: Arc::clone(&deciding.principal.tenant),
                passed,
                refused: false,
            })
        });
        budgets.collect()
    }

    /// The budget that refused the call, if it was one and is nearly used up.
    fn used_up(&self, deciding: &Deciding, refusal: Refusal) -> Vec<Notice> {
        let charge = deciding.charges.get(refusal.charge);
        let terms = self.snapshot.terms(&deciding.principal);
        let Some((charge, terms)) = charge.zip(terms) else {
            return Vec::new();
        };
        // With what was carried into its period, as far as that can be told.
        let amount = match refusal.remaining {
            0 => charge.limit.amount,
            left => refusal.used.saturating_add(left),
        };
        let used = u128::from(refusal.used) * 1_000;
        if used < u128::from(amount) * u128::from(USED_UP_PER_MILLE) {
            return Vec::new();
        }
        let mut limits = terms.limits();
        let is_budget =
            |limit: &PlanLimit| limit.budget.is_some() && limit.limit.name == charge.limit.name;
        if !limits.any(is_budget) {
            return Vec::new();
        }
        vec![Notice::Budget {
            tenant: Arc::clone(&deciding.principal.tenant),
            passed: Passed {
                budget: Arc::clone(&charge.limit.name),
                counter: Arc::clone(&charge.counter),
                scope: charge.limit.scope,
                unit: charge.limit.unit,
                threshold_per_mille: 1_000,
                used: refusal.used,
                amount,
                resets_in_ms: refusal.reset_after.map(|after| after.0),
            },
            refused: true,
        }]
    }

    /// The client left before anything was reserved.
    pub(super) fn on_left(waiting: &Waiting, now: UnixMillis) -> Step {
        let event = verdict::void(&waiting.pending.deciding.call, now);
        Step::effect(Effect::Record(Box::new(event)))
    }
}

/// What weighing a call again needs, where anything may ask for that.
fn again(ask: Ask, weighed: &Weighed, counters: Looked) -> Option<Box<Again>> {
    let is_asked = matches!(counters, Looked::NotYet) || weighed.deciding.ungranted.is_some();
    is_asked.then(|| {
        Box::new(Again {
            ask,
            became: weighed.became.clone(),
            counted: weighed.counted.clone(),
            counters,
        })
    })
}

/// How the call's counters stood before it, and whether it was taken.
fn seen(deciding: &Deciding, decision: Option<&Decision>) -> Option<(Counters, bool)> {
    let charges = || all_charges(deciding);
    match decision? {
        Decision::Admitted(standings) => Some((Counters::before(charges(), standings, true), true)),
        // One that is remembered is the refusal alone.
        Decision::Refused(refusal, standings) if standings.is_empty() => {
            let by = charges().nth(refusal.charge)?;
            Some((Counters::of_refusal(by, refusal), false))
        }
        Decision::Refused(_, standings) => {
            Some((Counters::before(charges(), standings, false), false))
        }
        Decision::Ended => None,
    }
}

fn all_charges(deciding: &Deciding) -> impl Iterator<Item = &Charge> {
    deciding.charges.iter().chain(&*deciding.shared)
}

fn sent_on(send_on: SendOn, metadata: Option<Metadata>) -> Reply {
    match send_on {
        SendOn::Body { body, head } => Reply::RequestBody {
            body,
            head,
            metadata,
        },
        SendOn::Head {
            edits,
            without_bodies,
        } => Reply::RequestHeaders {
            edits,
            metadata,
            without_bodies,
        },
    }
}
