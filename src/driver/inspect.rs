//! How a tenant's limits stand, and putting them at rest, for an operator.

use super::Driver;
use crate::counters::CounterError;
use crate::limits::{Charge, SHARED_SLOT, Standing, Unit};
use crate::policy::standing::{Counted, Listed, counters};
use std::sync::Arc;

/// The most counters that one look is given.
pub const COUNTERS_MAX: usize = 1_000;

/// How a tenant's counters stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    pub counters: Vec<Inspected>,
    /// There are more.
    pub more: bool,
}

/// One counter as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    pub counted: Counted,
    /// Other tenants' calls count too.
    pub shared: bool,
    pub standing: Standing,
    /// What of it open calls hold; `None` where that isn't known.
    pub held: Option<u64>,
}

/// What was put at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    pub counters: usize,
    /// Counters of calls in flight, which are as they were.
    pub kept: usize,
    /// There are more.
    pub more: bool,
}

impl Driver {
    /// How the counters of a tenant's calls stand; of one limit, where its name
    /// is given. `None` where no key is the tenant's.
    ///
    /// # Errors
    /// Where the store can't be asked.
    pub async fn standings(
        &self,
        tenant: &str,
        limit: Option<&str>,
    ) -> Result<Option<Standings>, CounterError> {
        let Some(listed) = self.listed(tenant, limit) else {
            return Ok(None);
        };
        let mut inspected = self.inspect(tenant.into(), listed.own, false).await?;
        inspected.extend(
            self.inspect(SHARED_SLOT.into(), listed.shared, true)
                .await?,
        );
        Ok(Some(Standings {
            counters: inspected,
            more: listed.more,
        }))
    }

    /// Puts the tenant's own counters at rest, or those of one limit. What is
    /// counted of calls in flight stays: each ends by itself. `None` where no
    /// key is the tenant's.
    ///
    /// # Errors
    /// Where the store can't be asked: some may be at rest then.
    pub async fn reset(
        &self,
        tenant: &str,
        limit: Option<&str>,
    ) -> Result<Option<Reset>, CounterError> {
        let Some(listed) = self.listed(tenant, limit) else {
            return Ok(None);
        };
        let looks: Vec<Charge> = listed.own.iter().map(Counted::look).collect();
        self.counters.reset(tenant, &looks).await?;
        self.denials.forget(tenant);
        let in_flight = |look: &&Charge| look.limit.unit == Unit::Concurrency;
        let kept = looks.iter().filter(in_flight).count();
        Ok(Some(Reset {
            counters: looks.len() - kept,
            kept,
            more: listed.more,
        }))
    }

    fn listed(&self, tenant: &str, limit: Option<&str>) -> Option<Listed> {
        let mut listed = counters(&self.snapshot(), tenant, COUNTERS_MAX, limit)?;
        // An empty slot's name is that of what tenants share.
        listed.own.retain(|_| !tenant.is_empty());
        Some(listed)
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
        let looks: Vec<Charge> = counted.iter().map(Counted::look).collect();
        let now = self.clock.now();
        let standings = self.counters.look(&slot, &looks, now).await?;
        let held = self.counters.held(&slot, &looks).await?;
        let each = counted.into_iter().zip(standings).enumerate();
        let inspected = each.map(|(place, (counted, standing))| Inspected {
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
