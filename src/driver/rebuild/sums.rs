//! Sums of the ledger, for the counters of each limit.

use super::give::{self, Given, Sums};
use super::lost::{Counters, Lost, Tenants, lost};
use super::{LedgerSource, RebuildError, Rebuilt, granted};
use crate::counters::Epoch;
use crate::driver::Driver;
use crate::driver::losses::Due;
use crate::ledger::row::ChainId;
use crate::ledger::store::{Store, StoreConfig, StoreError};
use crate::limits::AMOUNT_MAX;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the ledger's database may take for what the spool still holds, before
/// it is summed without.
const RELAYED_MAX: Duration = Duration::from_secs(2);

/// The most counters that are rebuilt at once, some hundred bytes each.
const COUNTERS_MAX: usize = 2_000_000;

/// Rebuilds what is due.
pub(super) async fn of_lanes(driver: &Driver, due: &[Due]) -> Result<Rebuilt, RebuildError> {
    let mut rebuilt = Rebuilt::default();
    // Those that were lost together are summed together.
    let mut together: BTreeMap<u64, Vec<Due>> = BTreeMap::new();
    for due in due {
        together.entry(due.epoch.since.0).or_default().push(*due);
    }
    for lanes in together.into_values() {
        of_moment(driver, &lanes, &mut rebuilt).await?;
    }
    Ok(rebuilt)
}

async fn of_moment(
    driver: &Driver,
    lanes: &[Due],
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    let Some(Due { epoch, .. }) = lanes.first() else {
        return Ok(());
    };
    let snapshot = driver.snapshot();
    let (asked, mut left_out) = lost(&snapshot, epoch.since, driver.clock.now());
    rebuilt.left_out.append(&mut left_out);
    // Most that begin have nothing to ask.
    let grants = granted::lost(&snapshot, epoch.since, driver.clock.now());
    if asked.is_empty() && grants.is_empty() {
        return Ok(());
    }
    let source = driver.ledger.get().ok_or(RebuildError::NoLedger)?;
    let sink = match source.store {
        StoreConfig::Sqlite { .. } => "sqlite",
        StoreConfig::Postgres(_) => "postgres",
    };
    rebuilt.may_lack |= !source.spool.delivered(sink, RELAYED_MAX).await;
    let store = Store::open(&source.store).await?;
    let tenants = Tenants::of(&snapshot);
    let summed = async {
        let (name, mut sums) = sum(&store, source, asked, (*epoch, &tenants), rebuilt).await?;
        sums.extend(granted::sums(&store, &grants, *epoch, rebuilt).await?);
        Ok::<_, RebuildError>((name, sums))
    };
    let summed = summed.await;
    store.close().await;
    let (name, sums) = summed?;
    for sums in sums {
        give::all(driver, lanes, name, sums, rebuilt).await?;
    }
    Ok(())
}

/// The ledger's name, and the sums of each limit: all of them before any is told, so
/// that a ledger which fails midway has changed nothing.
async fn sum(
    store: &Store,
    source: &LedgerSource,
    asked: Vec<Lost>,
    (epoch, tenants): (Epoch, &Tenants<'_>),
    rebuilt: &mut Rebuilt,
) -> Result<(ChainId, Vec<Sums>), RebuildError> {
    let name = match source.store {
        // A sidecar's own: the first chain that it ever wrote.
        StoreConfig::Sqlite { .. } => match store.chains().await?.first() {
            Some(chain) => chain.id,
            None => return Ok((ChainId::nil(), Vec::new())),
        },
        // Everybody's.
        StoreConfig::Postgres(_) => ChainId::nil(),
    };
    let (mut sums, mut counters) = (Vec::new(), 0);
    for lost in asked {
        let given = match counters_of(store, &lost, epoch, tenants).await {
            Ok(given) => given,
            Err(
                error @ (StoreError::NotKept(_)
                | StoreError::QuartersNotKept(_)
                | StoreError::DaysNotKept(_)
                | StoreError::Report(_)
                | StoreError::Large),
            ) => {
                rebuilt.left_out.push(lost.left_out(error.to_string()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        counters += given.len();
        if counters > COUNTERS_MAX {
            let why = format!("more than {COUNTERS_MAX} counters are to be rebuilt at once");
            rebuilt.left_out.push(lost.left_out(why));
            counters -= given.len();
            continue;
        }
        let limit = Arc::clone(&lost.limit.limit);
        let given = given.into_iter().map(|((slot, counter), amount)| Given {
            slot,
            counter,
            limit: Arc::clone(&limit),
            amount: amount.min(AMOUNT_MAX),
            until: lost.until,
        });
        sums.push(Sums {
            given: given.collect(),
            limit: Arc::clone(&limit.name),
            unit: limit.unit,
            plan: lost.plan,
        });
    }
    Ok((name, sums))
}

/// What each of a limit's counters is to be given. More than [`COUNTERS_MAX`] are
/// not read to their end.
async fn counters_of(
    store: &Store,
    lost: &Lost,
    epoch: Epoch,
    tenants: &Tenants<'_>,
) -> Result<Counters, StoreError> {
    let mut given = Counters::new();
    for query in lost.queries(epoch, tenants) {
        let rows = store.sums_of_ended(&query, epoch.since).await?;
        lost.add(tenants, &rows, &mut given);
        if given.len() > COUNTERS_MAX {
            break;
        }
    }
    Ok(given)
}
