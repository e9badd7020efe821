//! A call of the ledger, explained: by what its row tells of it, and by how counters
//! stood when it began, as far as the ledger knows.
//!
//! What limits count by the clock or the calendar is summed up anew from calls that
//! had ended by then; what calls held that were open, what sliding windows and buckets
//! knew, and what windows before had left, isn't known any more. It is judged by the
//! configuration that is given, which may not be the one of then.

use super::rebuild::{Tenants, used_at};
use crate::counters::memory::Memory;
use crate::counters::{CounterError, Counters};
use crate::exchange::explain::{Explanation, Inquiry};
use crate::exchange::{Exchange, Learned, Role, Settings, UsageEvent};
use crate::ledger::store::{Store, StoreError};
use crate::limits::{Asked, Charge, Toll};
use crate::policy::Snapshot;
use crate::tokens::Counting;
use crate::units::UnixMillis;
use std::sync::Arc;

/// Why a call of the ledger can't be explained.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error("the ledger: {0}")]
    Ledger(#[from] StoreError),
    #[error(transparent)]
    Counters(#[from] CounterError),
}

/// What would become of the call, as limits stood when it began. `None`: its row
/// doesn't tell enough, as of one that was never read.
///
/// # Errors
/// The ledger gave no answer.
pub async fn explain_past(
    store: &Store,
    snapshot: &Arc<Snapshot>,
    settings: Settings,
    event: &UsageEvent,
) -> Result<Option<Explanation>, PastError> {
    let at = event.started_at_ms;
    let exchange = Exchange::new(
        Role::Full,
        settings,
        Arc::clone(snapshot),
        Learned::default(),
        event.id,
        Counting::unbounded(),
    );
    let Some(mut inquiry) = Inquiry::recall(exchange, event, at) else {
        return Ok(None);
    };
    let past = Past {
        store,
        tenants: Tenants::of(snapshot),
        tenant: event.tenant.as_deref().unwrap_or_default(),
        at,
    };
    while let Some(looks) = inquiry.looks().cloned() {
        let [(slot, own), (shared_slot, shared)] = looks.slots();
        let own = past.ask(&slot, own).await?;
        let shared = past.ask(&shared_slot, shared).await?;
        inquiry.go_on_with(&own, &shared);
    }
    Ok(Some(inquiry.explanation()))
}

struct Past<'p> {
    store: &'p Store,
    tenants: Tenants<'p>,
    tenant: &'p str,
    at: UnixMillis,
}

impl Past<'_> {
    /// What each charge would have met; `None` where that isn't known any more.
    async fn ask(
        &self,
        slot: &Arc<str>,
        charges: &[Charge],
    ) -> Result<Vec<Option<Asked>>, PastError> {
        let mut asked = Vec::new();
        for charge in charges {
            let of = (self.tenant, charge);
            let used = used_at(self.store, &self.tenants, of, self.at).await?;
            asked.push(match used {
                Some(used) => Some(self.stood(slot, charge, used).await?),
                None => None,
            });
        }
        Ok(asked)
    }

    /// What a charge meets where so much is used.
    async fn stood(
        &self,
        slot: &Arc<str>,
        charge: &Charge,
        used: u64,
    ) -> Result<Asked, CounterError> {
        let counters = Counters::Memory(Memory::default());
        if used > 0 {
            let limit = Arc::new(charge.limit.shadowed());
            let toll = Toll {
                slot: Arc::clone(slot),
                charges: vec![Charge::new(limit, Arc::clone(&charge.counter), used)],
            };
            counters.charge(&toll, self.at).await?;
        }
        let one = std::slice::from_ref(charge);
        let asked = counters.ask(slot, one, self.at).await?;
        let asked = asked.into_iter().next().map(|asked| Asked {
            // Calls that were open then held more.
            held: None,
            ..asked
        });
        Ok(asked.unwrap_or_else(|| Asked::unknown(charge)))
    }
}
