//! One recorded call after the other, on counters in memory.

use super::Report;
use super::tally::{Fate, Tally};
use crate::counters::memory::Memory;
use crate::exchange::cost::{Recharge, recharge};
use crate::exchange::event::Outcome;
use crate::exchange::message::{Event, Reply};
use crate::exchange::{Effect, Exchange, Learned, OpenCall, Role, Settings, Step, UsageEvent};
use crate::limits::counter::HOLD_TTL_MAX;
use crate::limits::{Actual, Decision, HoldId, Refusal, Reservation, SHARED_SLOT};
use crate::policy::facts::{is_in_rows, spelt};
use crate::policy::grants::{Grant, GrantChange};
use crate::policy::rule::Rule;
use crate::policy::{Plan, Snapshot};
use crate::tokens::Counting;
use crate::units::UnixMillis;
use anyhow::bail;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// The most calls that are open at one time: far more than any fleet has. Beyond,
/// those that end first are taken to have ended.
const OPEN_MAX: usize = 1_000_000;

/// The most tenants that are told apart; those beyond are summed up.
const TENANTS_MAX: usize = 100_000;

/// Who those beyond are.
const OTHERS: &str = "(others)";

/// Headers by which an answer says what policy did.
const CLAMPED: &str = "x-weir-clamped";
const DOWNGRADED: &str = "x-weir-downgraded-from";

/// A replay under way.
pub(super) struct Course {
    snapshot: Arc<Snapshot>,
    settings: Settings,
    memory: Memory,
    now: UnixMillis,
    open: BinaryHeap<Reverse<Open>>,
    calls: u64,
    tenants: BTreeMap<Arc<str>, Tally>,
}

/// A call that was let through, by when it ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    ends_at: UnixMillis,
    id: HoldId,
    slot: Arc<str>,
    shared: bool,
    used: [u64; 4],
}

impl Course {
    pub fn new(snapshot: Snapshot, settings: Settings) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            settings: Settings {
                // Nobody renews here; each call is ended.
                hold_ttl: HOLD_TTL_MAX,
                lease_ttl: HOLD_TTL_MAX,
                ..settings
            },
            memory: Memory::default(),
            now: UnixMillis(0),
            open: BinaryHeap::new(),
            calls: 0,
            tenants: BTreeMap::new(),
        }
    }

    /// How many have been seen.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// These count beside what the draft says, each at its time.
    pub fn grant(&mut self, grants: Vec<Grant>) {
        let granted = grants.into_iter().map(GrantChange::Granted);
        let grants = Arc::new(self.snapshot.grants.changed(granted));
        self.snapshot = Arc::new(Snapshot {
            grants,
            ..Snapshot::clone(&self.snapshot)
        });
    }

    /// The next call, by its id's time, that was refused then. What it would have used
    /// nobody knows: it takes nothing.
    ///
    /// # Errors
    /// The draft can't be counted.
    pub fn refused(&mut self, event: &UsageEvent) -> anyhow::Result<()> {
        let mut exchange = self.exchange(event);
        let step = exchange.recall(event, self.now);
        let fate = match step {
            Some(step) => self.carry(&mut exchange, step)?,
            // Of one that was never read nothing can be told.
            None => return Ok(()),
        };
        if let Some(call) = exchange.open_call() {
            self.settle(&call.tenant, call.id, call.shared, Actual::VOID, self.now);
        }
        let tally = self.of(event);
        tally.refused_then += 1;
        tally.would_pass += u64::from(!fate.refused);
        Ok(())
    }

    fn exchange(&mut self, event: &UsageEvent) -> Exchange {
        self.now = self.now.max(event.started_at_ms);
        self.end_until(self.now);
        Exchange::new(
            Role::Full,
            self.settings,
            Arc::clone(&self.snapshot),
            Learned::default(),
            event.id,
            Counting::unbounded(),
        )
    }

    /// The next call, by its id's time.
    ///
    /// # Errors
    /// The draft can't be counted.
    pub fn call(&mut self, event: &UsageEvent) -> anyhow::Result<()> {
        self.calls += 1;
        let mut exchange = self.exchange(event);
        let Some(step) = exchange.recall(event, self.now) else {
            self.tally(event).unread += 1;
            return Ok(());
        };
        let fate = self.carry(&mut exchange, step)?;
        let cost_then = event.cost_nanos.unwrap_or(0);
        let (mut cost_draft, mut unpriced) = (0, false);
        let mut fate = fate;
        if let Some(call) = exchange.open_call() {
            let has = |name: &str| call.rate_headers.iter().any(|(known, _)| known == name);
            fate.downgraded = has(DOWNGRADED);
            fate.clamped = has(CLAMPED);
            let event = as_made(event, call, fate.clamped);
            let cost = self.cost(&event, call);
            unpriced = cost.is_none();
            cost_draft = cost.unwrap_or(0);
            self.ends_later(&event, call, cost_draft);
        }
        let tally = self.tally(event);
        tally.add(&fate);
        tally.cost_then_nanos += u128::from(cost_then);
        tally.cost_draft_nanos += u128::from(cost_draft);
        tally.unpriced += u64::from(unpriced);
        Ok(())
    }

    /// All that was found, once there are no more calls.
    pub fn finish(self) -> Report {
        let narrower = self.snapshot.tenants.values().flat_map(|t| &t.narrower);
        let below = narrower.flat_map(|narrower| narrower.plans());
        let plans = self.snapshot.plans.values().chain(below);
        let blind: BTreeSet<String> = plans.flat_map(|plan| blind(plan)).collect();
        Report {
            calls: self.calls,
            tenants: self.tenants,
            blind,
        }
    }

    fn tally(&mut self, event: &UsageEvent) -> &mut Tally {
        let tally = self.of(event);
        tally.calls += 1;
        tally
    }

    /// That of its tenant.
    fn of(&mut self, event: &UsageEvent) -> &mut Tally {
        let tenant = event.tenant.clone().unwrap_or_else(|| "".into());
        let is_full = self.tenants.len() >= TENANTS_MAX && !self.tenants.contains_key(&tenant);
        let name = if is_full { OTHERS.into() } else { tenant };
        self.tenants.entry(name).or_default()
    }

    /// Carries out what an exchange asks for, as a sidecar does.
    fn carry(&self, exchange: &mut Exchange, step: Step) -> anyhow::Result<Fate> {
        let (mut fate, mut next) = (Fate::default(), Some(step));
        while let Some(Step { reply, effects }) = next.take() {
            let mut event = None;
            for effect in effects {
                match effect {
                    Effect::Reserve(reservation) => {
                        event = Some(Event::Decided(Some(self.reserve(&reservation)?)));
                    }
                    Effect::Wait { .. } => {
                        fate.delayed = true;
                        event = Some(Event::Waited(true));
                    }
                    Effect::Settle(settlement) => {
                        self.settle(
                            &settlement.slot,
                            settlement.hold,
                            settlement.shared,
                            Actual::VOID,
                            self.now,
                        );
                    }
                    Effect::Record(row) => {
                        fate.refusal = row.refusal.clone();
                        fate.refused_by = row.refused_by.clone();
                    }
                    Effect::Notice(_) | Effect::Adopt { .. } => {}
                }
            }
            if let Some(Reply::Refuse { .. }) = reply {
                fate.refused = true;
            }
            next = event.map(|event| exchange.step(event, self.now));
        }
        Ok(fate)
    }

    /// The tenant's own part first, and what tenants share behind it.
    fn reserve(&self, reservation: &Reservation) -> anyhow::Result<Decision> {
        let own = self.memory.reserve(reservation, self.now)?;
        let (Decision::Admitted(mut standings), Some(part)) =
            (own.clone(), reservation.shared_part())
        else {
            return Ok(own);
        };
        match self.memory.reserve(&part, self.now)? {
            Decision::Admitted(shared) => {
                standings.extend(shared);
                Ok(Decision::Admitted(standings))
            }
            Decision::Refused(refusal, shared) => {
                let (slot, hold) = (&reservation.slot, reservation.hold);
                self.memory.settle(slot, hold, Actual::VOID, self.now);
                let before = reservation.charges.iter().zip(standings);
                let before = before.map(|(charge, standing)| standing.without(charge.amount));
                let charge = refusal.charge + reservation.charges.len();
                Ok(Decision::Refused(
                    Refusal { charge, ..refusal },
                    before.chain(shared).collect(),
                ))
            }
            Decision::Ended => bail!("a call is in the ledger twice"),
        }
    }

    fn settle(&self, slot: &str, hold: HoldId, shared: bool, actual: Actual, now: UnixMillis) {
        self.memory.settle(slot, hold, actual, now);
        if shared {
            self.memory.settle(SHARED_SLOT, hold.shared(), actual, now);
        }
    }

    /// What it costs at the model that it goes to; `None`: that has no price.
    fn cost(&self, event: &UsageEvent, call: &OpenCall) -> Option<u64> {
        if event.outcome == Outcome::Void {
            return Some(0);
        }
        let price = self.snapshot.models.get(&call.model)?.price.as_ref()?;
        match recharge(event, price) {
            Recharge::Nothing => Some(0),
            Recharge::Costs { cost_nanos, .. } => Some(cost_nanos),
            Recharge::UnknownTier => None,
        }
    }

    fn ends_later(&mut self, event: &UsageEvent, call: &OpenCall, cost_nanos: u64) {
        let used = match event.outcome {
            Outcome::Void | Outcome::Refused => [0; 4],
            Outcome::Exact | Outcome::Estimated => [
                1,
                event.input_tokens.unwrap_or(0),
                event.output_tokens.unwrap_or(0),
                cost_nanos,
            ],
        };
        self.open.push(Reverse(Open {
            ends_at: event.ended_at_ms.max(self.now),
            id: call.id,
            slot: Arc::clone(&call.tenant),
            shared: call.shared,
            used,
        }));
        if self.open.len() > OPEN_MAX
            && let Some(Reverse(first)) = self.open.pop()
        {
            self.end(&first);
        }
    }

    fn end_until(&mut self, now: UnixMillis) {
        while let Some(Reverse(first)) = self.open.peek() {
            if first.ends_at > now {
                return;
            }
            if let Some(Reverse(first)) = self.open.pop() {
                self.end(&first);
            }
        }
    }

    fn end(&self, open: &Open) {
        let [requests, input_tokens, output_tokens, cost_nanos] = open.used;
        let actual = Actual {
            requests,
            input_tokens,
            output_tokens,
            cost_nanos,
        };
        self.settle(&open.slot, open.id, open.shared, actual, open.ends_at);
    }
}

/// The call as it would have been: one that is clamped can't have produced more.
fn as_made(event: &UsageEvent, call: &OpenCall, clamped: bool) -> UsageEvent {
    let mut made = event.clone();
    if clamped {
        let most = call.expected.map_or(call.output_tokens, |of| of.max_tokens);
        made.output_tokens = made.output_tokens.map(|output| output.min(most));
        made.reasoning_tokens = made
            .reasoning_tokens
            .zip(made.output_tokens)
            .map(|(a, b)| a.min(b));
    }
    made
}

/// Rules of a plan that speak of what rows don't tell.
fn blind(plan: &Plan) -> Vec<String> {
    let names = &plan.rules.names;
    let unknown = |rule: &Rule| -> Vec<String> {
        let fields = rule.when.iter().flat_map(|when| when.fields());
        let fields = fields.filter(|field| !is_in_rows(*field));
        fields.map(|field| spelt(field, names, |_| false)).collect()
    };
    let rules = plan.rules.list.iter().map(|rule| (rule, unknown(rule)));
    let rules = rules.filter(|(_, unknown)| !unknown.is_empty());
    rules
        .map(|(rule, unknown)| format!("{} of {} ({})", rule.name, plan.name, unknown.join(", ")))
        .collect()
}
