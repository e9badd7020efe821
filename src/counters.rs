//! Where counters live: in memory, or in Redis for many sidecars together.
//!
//! Both engines answer alike; `tests/conformance.rs` runs them against each
//! other. What they agree on:
//!
//! - A reservation is taken whole or not at all. The same hold again, while it
//!   is open, is admitted again and charges nothing; once it has ended the
//!   answer is [`Decision::Ended`].
//! - A hold stays open until someone ends it, even past its expiry: a
//!   settlement or a renewal that comes before `expire_due` took it still
//!   counts. Whoever ends it first wins.
//! - A lease counts until its expiry, and then its slot may be another call's.
//!   While its hold is open a renewal brings it back all the same: the call runs,
//!   whoever runs beside it, and no other begins until enough have ended.
//! - An expired hold is claimed by whoever is handed it, for as long as they ask;
//!   until someone says that it is told of, it is handed out again after that.
//!   So who dies with it loses nothing, and who is slow may tell of it twice, under
//!   the same id.
//! - Settling an unknown hold marks it as ended, so that a reservation which
//!   was overtaken by its own settlement takes nothing. An ended hold is
//!   remembered for [`ENDED_KEPT`].
//! - A toll is taken whole or not at all, for good: it leaves no hold, and what
//!   only asks charges nothing. It is not idempotent, as nothing names it.
//! - A limit whose parameters change keeps what is charged to it, and goes on
//!   under the new ones from the next call, though that be refused. Counters of
//!   different algorithms are never mixed up; a limit that changes its unit
//!   should change its name.
//! - What a window has left is carried into the next where its limit says so. A
//!   counter that was put at rest, or never was charged, is carried nothing.
//!
//! Left to others: which charges a call has (`policy`), what is done when an
//! engine fails (`driver`), the algorithms (`limits`).

mod ask;
mod epoch;
pub mod memory;
pub mod redis;

pub use epoch::Epoch;

use crate::limits::counter::Unfit;
use crate::limits::{Actual, Charge, Decision, HoldId, Paid, Reservation, Settled, Standing, Toll};
use crate::units::{Millis, UnixMillis};
use std::sync::Arc;

/// How long a settled hold is remembered. Far longer than any message is late.
/// Where a store can be away, an expired one is remembered for weeks: a
/// settlement may be asked again for as long.
pub const ENDED_KEPT: Millis = Millis::from_secs(60);

/// A counter store.
#[derive(Debug)]
pub enum Counters {
    Memory(memory::Memory),
    Redis(Box<redis::Redis>),
}

/// A hold that nobody settled, handed to one caller at a time to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredHold {
    /// Empty, as `context` is, where the store had lost the hold's record.
    pub slot: Arc<str>,
    pub hold: HoldId,
    pub context: Arc<str>,
}

/// Why a store gave no answer. Never means "admitted". Holds no id, address or
/// credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    #[error("the counter store can't be reached: {0}")]
    Unavailable(String),
    #[error("the counter store did not answer within {} ms", .0.0)]
    Timeout(Millis),
    #[error("the counter store refused: {0}")]
    Refused(String),
    #[error("the counter store holds or answered what can't be read: {0}")]
    Corrupt(String),
    #[error("the counter store would evict counters: maxmemory-policy is {0}, must be noeviction")]
    Eviction(String),
    #[error("the counter store's configuration: {0}")]
    Config(String),
    #[error("a reservation that can't be counted: {0}")]
    Unfit(#[from] Unfit),
}

impl CounterError {
    /// Whether it tells of the store as a whole rather than of what was asked.
    pub fn is_of_the_store(&self) -> bool {
        match self {
            CounterError::Unavailable(_) | CounterError::Timeout(_) | CounterError::Refused(_) => {
                true
            }
            CounterError::Corrupt(_)
            | CounterError::Eviction(_)
            | CounterError::Config(_)
            | CounterError::Unfit(_) => false,
        }
    }

    /// A fixed word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            CounterError::Unavailable(_) => "unavailable",
            CounterError::Timeout(_) => "timeout",
            CounterError::Refused(_) => "refused",
            CounterError::Corrupt(_) => "corrupt",
            CounterError::Eviction(_) => "eviction",
            CounterError::Config(_) => "config",
            CounterError::Unfit(_) => "unfit",
        }
    }
}

/// A stored key that counts no more, and its place in the list of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    pub place: String,
    pub key: String,
    /// Who did it, where that was told.
    pub by: Option<String>,
    /// By the store's clock.
    pub at: UnixMillis,
}

impl Counters {
    /// Takes all charges or none. `now` is memory's time; Redis has its own.
    pub async fn reserve(
        &self,
        reservation: &Reservation,
        now: UnixMillis,
    ) -> Result<Decision, CounterError> {
        match self {
            Counters::Memory(memory) => memory.reserve(reservation, now),
            Counters::Redis(redis) => redis.reserve(reservation, now).await.map(|at| at.answer),
        }
    }

    /// Takes all charges for good or none, and leaves no hold. Not to be asked
    /// again after an error: what was taken isn't known.
    pub async fn charge(&self, toll: &Toll, now: UnixMillis) -> Result<Paid, CounterError> {
        match self {
            Counters::Memory(memory) => memory.charge(toll, now),
            Counters::Redis(redis) => redis.charge(toll, now).await.map(|at| at.answer),
        }
    }

    /// How counters of a slot stand; takes nothing.
    pub async fn look(
        &self,
        slot: &Arc<str>,
        looks: &[Charge],
        now: UnixMillis,
    ) -> Result<Vec<Standing>, CounterError> {
        match self {
            Counters::Memory(memory) => memory.look(slot, looks, now),
            Counters::Redis(redis) => redis.look(slot, looks, now).await,
        }
    }

    /// What open holds took from counters of a slot, in order, whenever that
    /// was: of a window that is over nothing counts any more. `None` where there
    /// are too many holds to look through.
    pub async fn held(
        &self,
        slot: &str,
        looks: &[Charge],
    ) -> Result<Option<Vec<u64>>, CounterError> {
        match self {
            Counters::Memory(memory) => Ok(Some(memory.held(slot, looks))),
            Counters::Redis(redis) => redis.held(slot, looks).await,
        }
    }

    /// Puts counters of a slot at rest, but not leases, which are given back by
    /// those who have them. What open holds took is forgotten: what they use is
    /// charged when they end.
    pub async fn reset(&self, slot: &str, looks: &[Charge]) -> Result<(), CounterError> {
        match self {
            Counters::Memory(memory) => {
                memory.reset(slot, looks);
                Ok(())
            }
            Counters::Redis(redis) => redis.reset(slot, looks).await,
        }
    }

    /// Ends a hold: each charge becomes what was used, leases are released.
    pub async fn settle(
        &self,
        slot: &str,
        hold: HoldId,
        actual: Actual,
        now: UnixMillis,
    ) -> Result<Settled, CounterError> {
        match self {
            Counters::Memory(memory) => Ok(memory.settle(slot, hold, actual, now)),
            Counters::Redis(redis) => redis.settle(slot, hold, actual).await.map(|at| at.answer),
        }
    }

    /// [`Counters::settle`] of a hold whose name must not be taken again for two
    /// weeks, where the store outlives its process.
    pub async fn settle_long(
        &self,
        slot: &str,
        hold: HoldId,
        actual: Actual,
        now: UnixMillis,
    ) -> Result<(), CounterError> {
        match self {
            Counters::Memory(memory) => {
                memory.settle(slot, hold, actual, now);
                Ok(())
            }
            Counters::Redis(redis) => redis.settle_long(slot, hold, actual).await,
        }
    }

    /// Moves an open hold's expiry, and that of its leases, to at least the given
    /// time from now. Says whether it is open.
    pub async fn renew(
        &self,
        slot: &str,
        hold: HoldId,
        hold_ttl: Millis,
        lease_ttl: Millis,
        now: UnixMillis,
    ) -> Result<bool, CounterError> {
        match self {
            Counters::Memory(memory) => Ok(memory.renew(slot, hold, hold_ttl, lease_ttl, now)),
            Counters::Redis(redis) => {
                let renewed = redis.renew(slot, hold, hold_ttl, lease_ttl).await;
                renewed.map(|at| at.answer)
            }
        }
    }

    /// [`Counters::renew`] for many holds, on their way together; one answer
    /// each, in order.
    pub async fn renew_all(
        &self,
        holds: &[(HoldId, Arc<str>)],
        hold_ttl: Millis,
        lease_ttl: Millis,
        now: UnixMillis,
    ) -> Vec<Result<bool, CounterError>> {
        match self {
            Counters::Memory(memory) => holds
                .iter()
                .map(|(hold, slot)| Ok(memory.renew(slot, *hold, hold_ttl, lease_ttl, now)))
                .collect(),
            Counters::Redis(redis) => redis.renew_all(holds, hold_ttl, lease_ttl).await,
        }
    }

    /// Ends at most `max` holds that are past their expiry, keeping what they
    /// charged, and hands each to this caller alone for as long as `claim` is, as
    /// those whose claim is over and of which nobody has [`Counters::told`].
    pub async fn expire_due(
        &self,
        now: UnixMillis,
        max: usize,
        claim: Millis,
    ) -> Result<Vec<ExpiredHold>, CounterError> {
        match self {
            Counters::Memory(memory) => Ok(memory.expire_due(now, max, claim)),
            Counters::Redis(redis) => redis.expire_due(max, claim).await.map(|at| at.answer),
        }
    }

    /// The rows of these expired holds are where they can't be lost: nobody is
    /// handed them again. Idempotent.
    pub async fn told(&self, holds: &[ExpiredHold]) -> Result<(), CounterError> {
        match self {
            Counters::Memory(memory) => {
                memory.told(holds);
                Ok(())
            }
            Counters::Redis(redis) => redis.told(holds).await,
        }
    }

    /// How many parts of the store can fail one without the other.
    pub fn lanes(&self) -> usize {
        match self {
            Counters::Memory(_) => 1,
            Counters::Redis(redis) => redis.lanes(),
        }
    }

    /// The part that a slot's counters are in; less than [`Counters::lanes`].
    pub fn lane(&self, slot: &str) -> usize {
        match self {
            Counters::Memory(_) => 0,
            Counters::Redis(redis) => redis.lane(slot),
        }
    }

    /// Tells that this sidecar is alive for so long; how many are.
    pub async fn beat(
        &self,
        lane: usize,
        sidecar: &str,
        alive_for: Millis,
    ) -> Result<u64, CounterError> {
        match self {
            Counters::Memory(_) => Ok(1),
            Counters::Redis(redis) => redis.beat(lane, sidecar, alive_for).await,
        }
    }

    /// Since when a lane has kept what it was told; from now on `fresh`, where that
    /// isn't known. Memory is there for as long as its process.
    pub async fn epoch(&self, lane: usize, fresh: Epoch) -> Result<Epoch, CounterError> {
        match self {
            Counters::Memory(_) => Ok(fresh),
            Counters::Redis(redis) => redis.epoch(lane, fresh).await,
        }
    }

    /// Tells all sidecars of the store that a stored key counts no more, and by whom
    /// it was withdrawn. Memory is
    /// nobody else's.
    pub async fn withdraw(&self, key: &str, by: &str) -> Result<(), CounterError> {
        match self {
            Counters::Memory(_) => Ok(()),
            Counters::Redis(redis) => redis.withdraw(key, by).await,
        }
    }

    /// Keys that were withdrawn after a place, some of them; in order.
    pub async fn withdrawn(&self, after: Option<&str>) -> Result<Vec<Withdrawn>, CounterError> {
        match self {
            Counters::Memory(_) => Ok(Vec::new()),
            Counters::Redis(redis) => redis.withdrawn(after).await,
        }
    }

    /// Leaves a connection that may never answer for another.
    pub async fn reconnect(&self) -> Result<(), CounterError> {
        match self {
            Counters::Memory(_) => Ok(()),
            Counters::Redis(redis) => redis.reconnect().await,
        }
    }

    /// Whether asking takes a round trip.
    pub fn is_remote(&self) -> bool {
        matches!(self, Counters::Redis(_))
    }

    /// How many holds are open, over all sidecars of the store.
    pub async fn open_holds(&self) -> Result<u64, CounterError> {
        match self {
            Counters::Memory(memory) => Ok(memory.open_holds()),
            Counters::Redis(redis) => redis.open_holds().await,
        }
    }

    /// Whether the store answers.
    pub async fn check(&self) -> Result<(), CounterError> {
        match self {
            Counters::Memory(_) => Ok(()),
            Counters::Redis(redis) => redis.check().await,
        }
    }
}
