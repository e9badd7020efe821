//! Corrections of what calls cost: rows of their own, since a call's row is
//! never changed.
//!
//! Always holds: of one run, a call has one correction at most, however often
//! the run is repeated; rollups have it at the call's own time; of two that
//! correct the same call at once from the same sum, one is overtaken
//! ([`adjust_after`]).

use super::columns;
use super::engine::{Pool, Tx};
use super::error::StoreError;
use super::measure::Sums;
use super::rollup::Deltas;
use super::served::is_short;
use super::value::{Dialect, Type, Value};
use super::write::{add_groups, add_up, names};
use crate::limits::HoldId;
use crate::units::UnixMillis;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The most corrections of one transaction.
pub const ADJUSTMENTS_MAX: usize = 1_000;

/// The most ids of one statement.
const IDS: usize = 256;
/// The most ids of one statement that sums corrections.
const SUM_IDS_MAX: usize = 256;

/// The advisory lock in PostgreSQL of corrections that hang on others:
/// "weiradju".
const LOCK: i64 = 0x7765_6972_6164_6a75;

/// One correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// The call.
    pub event: HoldId,
    /// What made it: the same run corrects a call once.
    pub run: Uuid,
    pub at: UnixMillis,
    /// Added to what the call cost; negative: given back.
    pub delta_nanos: i64,
    /// The price that it was corrected by.
    pub price_version: Option<String>,
    pub reason: String,
}

/// What became of corrections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adjusted {
    /// Now in the ledger.
    pub applied: usize,
    /// There already.
    pub already: usize,
    /// Of calls that the ledger doesn't have (any more).
    pub unknown: Vec<HoldId>,
    /// Of calls whose corrections come to something else by now: not written.
    pub overtaken: Vec<HoldId>,
}

impl Adjustment {
    /// Its id: the first half of the SHA-256 of the call's and the run's.
    pub fn id(&self) -> Uuid {
        let mut sha = Sha256::new();
        sha.update(self.event.0.as_bytes());
        sha.update(self.run.as_bytes());
        let hash: [u8; 32] = sha.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(half).into_uuid()
    }
}

/// Takes corrections in, [`ADJUSTMENTS_MAX`] at a time: each such part wholly or
/// not at all.
pub async fn adjust(pool: &Pool, all: &[Adjustment]) -> Result<Adjusted, StoreError> {
    let mut adjusted = Adjusted::default();
    for some in all.chunks(ADJUSTMENTS_MAX) {
        let some: Vec<&Adjustment> = some.iter().collect();
        let tx = pool.write().await?;
        adjust_some(tx, &some, &mut adjusted).await?;
    }
    Ok(adjusted)
}

/// As [`adjust`], but only where a call's corrections so far come to what the
/// new one was made from; at most one for each call.
pub async fn adjust_after(pool: &Pool, all: &[(i64, Adjustment)]) -> Result<Adjusted, StoreError> {
    let mut adjusted = Adjusted::default();
    for some in all.chunks(ADJUSTMENTS_MAX) {
        let mut tx = pool.write().await?;
        // A writing transaction of SQLite keeps others from writing by itself.
        if tx.dialect() == Dialect::Postgres {
            let lock = tx.sql("SELECT pg_advisory_xact_lock(");
            tx.execute(lock.bind(Value::Int(LOCK)).and(")")).await?;
        }
        let ids: Vec<HoldId> = some
            .iter()
            .map(|(_, adjustment)| adjustment.event)
            .collect();
        let sums = sums_of(&mut tx, &ids).await?;
        let so_far = |event: &HoldId| sums.get(event).copied().unwrap_or(0);
        let (good, overtaken): (Vec<_>, Vec<_>) = some
            .iter()
            .partition(|(from, adjustment)| so_far(&adjustment.event) == *from);
        let overtaken = overtaken.iter().map(|(_, adjustment)| adjustment.event);
        adjusted.overtaken.extend(overtaken);
        let good: Vec<&Adjustment> = good.iter().map(|(_, adjustment)| adjustment).collect();
        adjust_some(tx, &good, &mut adjusted).await?;
    }
    Ok(adjusted)
}

/// What the corrections of calls come to; a call without any isn't among them.
pub async fn sums(pool: &Pool, ids: &[HoldId]) -> Result<HashMap<HoldId, i64>, StoreError> {
    let mut tx = pool.read().await?;
    let sums = sums_of(&mut tx, ids).await?;
    tx.rollback().await?;
    Ok(sums)
}

async fn sums_of(tx: &mut Tx, ids: &[HoldId]) -> Result<HashMap<HoldId, i64>, StoreError> {
    let mut sums = HashMap::new();
    for ids in ids.chunks(SUM_IDS_MAX) {
        let mut sql = tx.sql(
            "SELECT event_id, CAST(SUM(delta_nanos) AS BIGINT) FROM adjustments WHERE event_id IN ",
        );
        sql.push_tuple(ids.iter().map(|id| Value::Id(id.0)));
        sql.push(" GROUP BY event_id");
        for row in tx.fetch(sql, &[Type::Id, Type::Int]).await? {
            if let [Value::Id(id), Value::Int(sum)] = row.as_slice() {
                sums.insert(HoldId(*id), *sum);
            }
        }
    }
    Ok(sums)
}

async fn adjust_some(
    mut tx: Tx,
    some: &[&Adjustment],
    adjusted: &mut Adjusted,
) -> Result<(), StoreError> {
    let events = events(&mut tx, some).await?;
    let mut known: Vec<&Adjustment> = Vec::new();
    for adjustment in some {
        if events.contains_key(&adjustment.event) {
            known.push(adjustment);
        } else {
            adjusted.unknown.push(adjustment.event);
        }
    }
    // Sorted, so that two writers wait for each other and not in a circle.
    known.sort_by_key(|adjustment| (adjustment.event, adjustment.run));
    let rows = known.iter().map(|adjustment| values(adjustment)).collect();
    let after = "ON CONFLICT (event_id, run_id) DO NOTHING RETURNING event_id, run_id";
    let into =
        "adjustments (id, event_id, run_id, adjusted_at_ms, delta_nanos, price_version, reason)";
    let new = tx.insert(into, rows, after, &[Type::Id, Type::Id]).await?;
    let mut new: HashSet<Vec<Value>> = new.into_iter().collect();
    let mut deltas = Deltas::default();
    let mut applied = 0;
    for adjustment in &known {
        // Of two with one key, the first is the one that went in.
        let key = vec![Value::Id(adjustment.event.0), Value::Id(adjustment.run)];
        if let (true, Some(event)) = (new.remove(&key), events.get(&adjustment.event)) {
            let tells_served = event.model_served.as_deref().is_none_or(is_short);
            let sums = Sums::of_adjustment(adjustment.delta_nanos);
            deltas.add(event, tells_served, &sums);
            applied += 1;
        }
    }
    // A call's group may be one that doesn't tell who served; this one does.
    let groups: Vec<Uuid> = deltas.groups.keys().copied().collect();
    add_groups(&mut tx, &deltas, &groups).await?;
    add_up(&mut tx, &deltas).await?;
    tx.commit().await?;
    adjusted.applied += applied;
    adjusted.already += known.len() - applied;
    Ok(())
}

/// The calls that are to be corrected.
async fn events(
    tx: &mut Tx,
    some: &[&Adjustment],
) -> Result<HashMap<HoldId, crate::exchange::UsageEvent>, StoreError> {
    let types = columns::COLUMNS.map(|(_, kind)| kind);
    let mut events = HashMap::new();
    for some in some.chunks(IDS) {
        let mut sql = tx.sql(&format!("SELECT {} FROM calls WHERE id IN ", names()));
        sql.push_tuple(some.iter().map(|adjustment| Value::Id(adjustment.event.0)));
        for values in tx.fetch(sql, &types).await? {
            let row = columns::read(values)?;
            events.insert(row.event.id, row.event);
        }
    }
    Ok(events)
}

/// The corrections of one call, the oldest first.
pub async fn of_event(tx: &mut Tx, event: HoldId) -> Result<Vec<Adjustment>, StoreError> {
    let sql = tx
        .sql(
            "SELECT run_id, adjusted_at_ms, delta_nanos, price_version, reason \
             FROM adjustments WHERE event_id = ",
        )
        .bind(Value::Id(event.0))
        .and(" ORDER BY adjusted_at_ms, run_id");
    let types = [Type::Id, Type::Int, Type::Int, Type::Text, Type::Text];
    let rows = tx.fetch(sql, &types).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| read(event, row))
        .collect())
}

/// The corrections of some calls, by call, the oldest first.
pub async fn of_events(pool: &Pool, events: &[HoldId]) -> Result<Vec<Adjustment>, StoreError> {
    let mut tx = pool.read().await?;
    let mut all = Vec::new();
    for some in events.chunks(IDS) {
        let mut sql = tx.sql(
            "SELECT event_id, run_id, adjusted_at_ms, delta_nanos, price_version, reason \
             FROM adjustments WHERE event_id IN ",
        );
        sql.push_tuple(some.iter().map(|event| Value::Id(event.0)));
        sql.push(" ORDER BY event_id, adjusted_at_ms, run_id");
        let types = [
            Type::Id,
            Type::Id,
            Type::Int,
            Type::Int,
            Type::Text,
            Type::Text,
        ];
        for mut row in tx.fetch(sql, &types).await? {
            if let Value::Id(event) = row.remove(0) {
                all.extend(read(HoldId(event), row));
            }
        }
    }
    tx.rollback().await?;
    Ok(all)
}

fn read(event: HoldId, values: Vec<Value>) -> Option<Adjustment> {
    let [
        Value::Id(run),
        Value::Int(at),
        Value::Int(delta_nanos),
        price_version,
        Value::Text(reason),
    ] = <[Value; 5]>::try_from(values).ok()?
    else {
        return None;
    };
    Some(Adjustment {
        event,
        run,
        at: UnixMillis(u64::try_from(at).unwrap_or(0)),
        delta_nanos,
        price_version: match price_version {
            Value::Text(version) => Some(version),
            _ => None,
        },
        reason,
    })
}

fn values(adjustment: &Adjustment) -> Vec<Value> {
    vec![
        Value::Id(adjustment.id()),
        Value::Id(adjustment.event.0),
        Value::Id(adjustment.run),
        Value::Int(i64::try_from(adjustment.at.0).unwrap_or(i64::MAX)),
        Value::Int(adjustment.delta_nanos),
        Value::text(adjustment.price_version.as_deref()),
        Value::Text(adjustment.reason.clone()),
    ]
}
