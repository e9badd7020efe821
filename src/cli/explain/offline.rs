//! Calls judged by a configuration alone, on counters in memory that stand as is
//! said.

mod given;

use crate::app;
use crate::config::Config;
use crate::config::cases::{GrantGiven, State};
use crate::config::problem::{did_you_mean, shown};
use crate::counters::Counters;
use crate::counters::memory::Memory;
use crate::driver::clock::Clock;
use crate::exchange::explain::{Explanation, Inquiry, Question, Whom};
use crate::exchange::{Exchange, Learned, Role, Settings};
use crate::limits::{AMOUNT_MAX, Charge, HoldId, Reservation, Toll, Unit};
use crate::policy::Snapshot;
use crate::policy::grants::{Grant, GrantChange};
use crate::tokens::Counting;
use crate::units::{Millis, UnixMillis};
use anyhow::{Context, bail};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The most calls in flight that are said to be.
const LEASES_MAX: u64 = 100_000;

/// How long what is said to be granted holds: longer than a call is judged.
const GRANTED_FOR: Millis = Millis::from_mins(24 * 60);

/// A configuration to judge calls by.
pub(in crate::cli) struct Offline {
    snapshot: Arc<Snapshot>,
    settings: Settings,
    runtime: Runtime,
}

/// Counters, and which of them stand as was said.
struct Stand<'s> {
    counters: Counters,
    state: &'s State,
    set: HashSet<(Arc<str>, Arc<str>)>,
    leases: u64,
    now: UnixMillis,
}

impl Offline {
    pub fn of(config: Config) -> anyhow::Result<Self> {
        Ok(Self {
            settings: app::settings(&config),
            snapshot: Arc::new(config.snapshot),
            // Memory never waits.
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
        })
    }

    /// What would become of a call. `by` makes it.
    ///
    /// # Errors
    /// What is said to stand can't, or nobody is known by that name.
    pub fn explain(
        &self,
        by: &Whom,
        question: Question,
        state: &State,
    ) -> anyhow::Result<Explanation> {
        let now = state.time.unwrap_or_else(|| Clock::start().now());
        given::check(&self.snapshot, by, state)?;
        let exchange = Exchange::new(
            Role::Full,
            self.settings,
            self.granted(by, state, now)?,
            Learned {
                failures: Arc::new(state.failures.clone().into_iter().collect()),
                ..Learned::default()
            },
            HoldId::new(now, &[0; 10]),
            Counting::unbounded(),
        );
        let mut inquiry = Inquiry::begin(exchange, question, now);
        let mut stand = Stand {
            counters: Counters::Memory(Memory::default()),
            state,
            set: HashSet::new(),
            leases: 0,
            now,
        };
        self.runtime.block_on(async {
            while let Some(looks) = inquiry.looks().cloned() {
                let mut answers = Vec::new();
                for (slot, charges) in looks.slots() {
                    stand.set(&slot, charges).await?;
                    answers.push(stand.counters.ask(&slot, charges, now).await?);
                }
                let [own, shared] = &answers[..] else { break };
                inquiry.go_on(own, shared);
            }
            anyhow::Ok(())
        })?;
        Ok(inquiry.explanation())
    }

    /// What is wrong with a tenant's name, where nobody of that name is on a plan.
    pub fn unknown(&self, tenant: &str) -> Option<String> {
        if self.snapshot.plan_of(tenant).is_some() {
            return None;
        }
        let known = self.snapshot.tenants.keys().map(|name| &**name);
        let meant = did_you_mean(tenant, known);
        Some(format!("there is no tenant {}{meant}", shown(tenant)))
    }

    /// With what is said to be granted.
    fn granted(&self, by: &Whom, state: &State, now: UnixMillis) -> anyhow::Result<Arc<Snapshot>> {
        let tenant = match by {
            Whom::Caller(caller) => &caller.account.tenant,
            Whom::Key(id) => {
                let key = self.snapshot.keys.by_id(id);
                let key = key.with_context(|| {
                    format!(
                        "the configuration has no key {id}: those of the ledger's database are \
                         known to a running weir, which --server asks"
                    )
                })?;
                &key.account().tenant
            }
        };
        if state.grants.is_empty() {
            return Ok(Arc::clone(&self.snapshot));
        }
        let grants = state.grants.iter().enumerate();
        let grants = grants.map(|(at, given)| GrantChange::Granted(grant(at, given, tenant, now)));
        let mut snapshot = Snapshot::clone(&self.snapshot);
        snapshot.grants = Arc::new(snapshot.grants.changed(grants));
        Ok(Arc::new(snapshot))
    }
}

fn grant(at: usize, given: &GrantGiven, tenant: &Arc<str>, now: UnixMillis) -> Grant {
    Grant {
        id: format!("given-{}", at + 1).into(),
        tenant: Arc::clone(tenant),
        project: None,
        environment: None,
        user: None,
        key_id: None,
        rule: given.rule.clone(),
        models: given.models.clone(),
        allowance: given.allowance,
        from: now,
        until: now + GRANTED_FOR,
        granted_by: "what is given".into(),
    }
}

impl Stand<'_> {
    /// Makes these counters stand as is said, before they are looked at first.
    async fn set(&mut self, slot: &Arc<str>, charges: &[Charge]) -> anyhow::Result<()> {
        for charge in charges {
            let Some(used) = self.state.used.get(&charge.limit.name) else {
                continue;
            };
            let name = (Arc::clone(slot), Arc::clone(&charge.counter));
            let amount = used.of(&charge.limit);
            if amount == 0 || !self.set.insert(name) {
                continue;
            }
            if amount > AMOUNT_MAX {
                bail!("{}: more is used than can be counted", charge.limit.name);
            }
            let limit = Arc::new(charge.limit.shadowed());
            let counter = Arc::clone(&charge.counter);
            if limit.unit == Unit::Concurrency {
                self.lease(slot, &Charge::new(limit, counter, 1), amount)
                    .await?;
                continue;
            }
            let toll = Toll {
                slot: Arc::clone(slot),
                charges: vec![Charge::new(limit, counter, amount)],
            };
            self.counters.charge(&toll, self.now).await?;
        }
        Ok(())
    }

    /// So many calls in flight.
    async fn lease(&mut self, slot: &Arc<str>, one: &Charge, calls: u64) -> anyhow::Result<()> {
        if calls > LEASES_MAX {
            bail!(
                "{}: at most {LEASES_MAX} calls can be in flight here",
                one.limit.name
            );
        }
        for _ in 0..calls {
            self.leases += 1;
            let mut random = [1; 10];
            random[2..].copy_from_slice(&self.leases.to_be_bytes());
            let reservation = Reservation {
                hold: HoldId::new(self.now, &random),
                slot: Arc::clone(slot),
                charges: [one.clone()].into(),
                shared: Arc::default(),
                hold_ttl: GRANTED_FOR,
                lease_ttl: GRANTED_FOR,
                context: "".into(),
            };
            self.counters.reserve(&reservation, self.now).await?;
        }
        Ok(())
    }
}
