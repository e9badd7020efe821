//! How a tenant's limits stand, and putting them at rest, for an operator. Both
//! go page by page: a tenant may have any number of counters.

use super::Driver;
use crate::counters::CounterError;
use crate::limits::{Charge, SHARED_SLOT, Standing, Unit};
use crate::policy::grants::Grant;
use crate::policy::standing::{Asked, Counted, Listed, NotListed, counters};
use std::sync::Arc;

/// The most counters that one look is given, and one reset puts at rest.
pub const COUNTERS_MAX: usize = 1_000;

/// A page of a tenant's counters.
#[derive(Debug, Clone, Copy)]
pub struct Page<'p> {
    pub tenant: &'p str,
    /// Only this limit's.
    pub limit: Option<&'p str>,
    /// What the page before said is next.
    pub after: Option<&'p str>,
}

/// Why nothing can be told or done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    NotListed(#[from] NotListed),
    #[error(transparent)]
    Store(#[from] CounterError),
}

/// How a tenant's counters stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    pub counters: Vec<Inspected>,
    /// There are more: the page after this.
    pub next: Option<Arc<str>>,
}

/// One counter as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    pub counted: Counted,
    /// Other tenants' calls count too.
    pub shared: bool,
    pub standing: Standing,
    /// What was added to the limit once, and counts now.
    pub topped_up: u64,
    /// What of it open calls hold; `None` where that isn't known.
    pub held: Option<u64>,
}

/// What was put at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    pub counters: usize,
    /// Counters of calls in flight, which are as they were.
    pub kept: usize,
    /// Those that count calls in flight, of which there are none.
    pub idle: usize,
    /// There are more: the page after this.
    pub next: Option<Arc<str>>,
}

impl Driver {
    /// How the counters of a tenant's calls stand.
    ///
    /// # Errors
    /// Where there are none such, or the store can't be asked.
    pub async fn standings(&self, page: Page<'_>) -> Result<Standings, InspectError> {
        let listed = self.listed(page, true)?;
        let mut inspected = self.inspect(page.tenant.into(), listed.own, false).await?;
        inspected.extend(
            self.inspect(SHARED_SLOT.into(), listed.shared, true)
                .await?,
        );
        Ok(Standings {
            counters: inspected,
            next: listed.next,
        })
    }

    /// What of some grants of a tenant is used, what open calls hold included, and what is
    /// left, in order: calls or nano-dollars. `None`: it is without bounds.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn grants_used(
        &self,
        tenant: &Arc<str>,
        grants: &[&Grant],
    ) -> Result<Vec<Option<(u64, u64)>>, CounterError> {
        let looks: Vec<Option<Charge>> = grants
            .iter()
            .map(|grant| {
                let (limit, counter) = grant.limit()?;
                Some(Charge::new(Arc::new(limit), counter, 0))
            })
            .collect();
        let bounded: Vec<Charge> = looks.iter().flatten().cloned().collect();
        if bounded.is_empty() {
            return Ok(vec![None; grants.len()]);
        }
        let now = self.clock.now();
        let standings = self.counters.look(tenant, &bounded, now).await?;
        let mut standings = standings.into_iter();
        let used = looks.iter().map(|look| {
            let standing = look.as_ref().and_then(|_| standings.next())?;
            Some((standing.used, standing.remaining))
        });
        Ok(used.collect())
    }

    /// Puts the tenant's own counters at rest, and forgets what this sidecar
    /// knows of them for when the store is away. What is counted of calls in
    /// flight stays: each ends by itself.
    ///
    /// # Errors
    /// Where there are none such, or the store can't be asked: some may be at
    /// rest then.
    pub async fn reset(&self, page: Page<'_>) -> Result<Reset, InspectError> {
        let listed = self.listed(page, false)?;
        let looks: Vec<Charge> = listed.own.iter().map(Counted::look).collect();
        self.put_at_rest(&page.tenant.into(), &looks).await?;
        let counts_calls = |look: &&Charge| look.limit.unit == Unit::Concurrency;
        let leased: Vec<Charge> = looks.iter().filter(counts_calls).cloned().collect();
        let kept = match leased.is_empty() {
            true => 0,
            false => {
                let now = self.clock.now();
                let standings = self
                    .counters
                    .look(&page.tenant.into(), &leased, now)
                    .await?;
                standings
                    .iter()
                    .filter(|standing| standing.used > 0)
                    .count()
            }
        };
        Ok(Reset {
            counters: looks.len() - leased.len(),
            kept,
            idle: leased.len() - kept,
            next: listed.next,
        })
    }

    async fn put_at_rest(&self, slot: &Arc<str>, looks: &[Charge]) -> Result<(), CounterError> {
        if looks.is_empty() {
            return Ok(());
        }
        self.counters.reset(slot, looks).await?;
        // Only now: where the store could not be asked, all stays as it was.
        let now = self.clock.now();
        self.denials.forget(slot);
        for look in looks {
            self.known.reset(slot, &look.counter, now);
        }
        self.local.reset(slot, looks);
        Ok(())
    }

    fn listed(&self, page: Page, shared: bool) -> Result<Listed, NotListed> {
        let Page {
            tenant,
            limit,
            after,
        } = page;
        let asked = Asked {
            tenant,
            limit,
            after,
            shared,
            max: COUNTERS_MAX,
        };
        let mut listed = counters(&self.snapshot(), asked)?;
        // An empty slot's name is that of what tenants share.
        listed.own.retain(|_| !tenant.is_empty());
        Ok(listed)
    }

    async fn inspect(
        &self,
        slot: Arc<str>,
        counted: Vec<Counted>,
        shared: bool,
    ) -> Result<Vec<Inspected>, CounterError> {
        if counted.is_empty() {
            return Ok(Vec::new());
        }
        let mut looks: Vec<Charge> = counted.iter().map(Counted::look).collect();
        let now = self.clock.now();
        if !shared {
            let snapshot = self.snapshot();
            for look in &mut looks {
                snapshot.top_up(look, &slot, now);
            }
        }
        let standings = self.counters.look(&slot, &looks, now).await?;
        let held = self.counters.held(&slot, &looks).await?;
        let each = counted.into_iter().zip(standings).enumerate();
        let inspected = each.map(|(place, (counted, standing))| Inspected {
            topped_up: looks.get(place).map_or(0, |look| {
                look.limit.amount.saturating_sub(counted.limit.amount)
            }),
            counted,
            shared,
            standing,
            // Part of it may have gone to a window that is over.
            held: held
                .as_ref()
                .and_then(|held| held.get(place).copied())
                .map(|held| held.min(standing.used)),
        });
        Ok(inspected.collect())
    }
}
