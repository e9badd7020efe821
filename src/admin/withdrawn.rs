//! What is withdrawn: keys, grants and top-ups, while the database is away too.
//!
//! Always holds: what is said to be withdrawn is in the database, or on the disk of this
//! process, which tells the database when it is back.

use super::AdminState;
use super::answer::{Answer, Wrong};
use super::caller::Caller;
use super::tokens::Revoked;
use crate::accounts::withdrawals::Withdrawal;
use crate::identity::Change;
use crate::policy::Snapshot;
use crate::policy::grants::GrantChange;
use crate::policy::top_ups::TopUpChange;
use axum::http::StatusCode;
use std::sync::Arc;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Grant,
    TopUp,
}

impl Kind {
    /// Whose it is, where it is known here.
    fn tenant(self, snapshot: &Snapshot, id: &str) -> Option<Arc<str>> {
        let tenant = match self {
            Kind::Key => &snapshot.keys.stored.by_id(id)?.account().tenant,
            Kind::Grant => &snapshot.grants.all().find(|one| *one.id == *id)?.tenant,
            Kind::TopUp => &snapshot.top_ups.iter().find(|one| *one.id == *id)?.tenant,
        };
        Some(Arc::clone(tenant))
    }

    fn without(self, before: &Snapshot, id: &Arc<str>) -> Snapshot {
        let (mut after, id) = (before.clone(), Arc::clone(id));
        match self {
            Kind::Key => {
                let without = before.keys.stored.changed([Change::Remove(id)]);
                after.keys.stored = Arc::new(without);
            }
            Kind::Grant => {
                after.grants = Arc::new(before.grants.changed([GrantChange::Revoked(id)]));
            }
            Kind::TopUp => {
                after.top_ups = Arc::new(before.top_ups.changed([TopUpChange::Revoked(id)]));
            }
        }
        after
    }
}

/// Tells sidecars of what was withdrawn, as the database answered; where that is away,
/// withdraws it without.
pub(super) async fn withdrawn(
    state: &AdminState,
    caller: &Caller,
    id: &str,
    kind: Kind,
    revoked: Result<bool, Wrong>,
) -> Answer<Revoked> {
    let answer = match revoked {
        Ok(revoked) => Revoked::of(revoked),
        Err(away) if away.status == StatusCode::SERVICE_UNAVAILABLE => {
            meanwhile(state, caller, id, kind, away).await?;
            Revoked::meanwhile()
        }
        Err(wrong) => return Err(wrong),
    };
    tell_sidecars(state, caller, id).await;
    Ok(answer)
}

/// Without the database, which is away: of what is known here.
async fn meanwhile(
    state: &AdminState,
    caller: &Caller,
    id: &str,
    kind: Kind,
    away: Wrong,
) -> Result<(), Wrong> {
    let driver = state.limits.driver()?;
    let tenant = kind.tenant(&driver.snapshot(), id);
    let tenant = tenant.filter(|tenant| caller.role.may_see(Some(tenant)));
    caller.may_change(&tenant.ok_or(away)?)?;
    let id: Arc<str> = id.into();
    let one = Withdrawal {
        id: Arc::clone(&id),
        actor: Arc::clone(&caller.name),
        at: state.access.now(),
    };
    state.accounts.withdraw(one).await?;
    // Told of first, so that nobody who reads all of them puts it back.
    driver.change_snapshot(|before| kind.without(before, &id));
    tracing::warn!(actor = %caller.name, ?kind, %id, "withdrawn while the database is away; it is told when it is back");
    Ok(())
}

/// By way of the counter store too, where they have one in common: they follow the
/// database anyhow.
async fn tell_sidecars(state: &AdminState, caller: &Caller, id: &str) {
    let Ok(driver) = state.limits.driver() else {
        return;
    };
    if let Err(error) = driver.counters().withdraw(id, &caller.name).await {
        tracing::warn!(%error, id, "the counter store isn't told of what was withdrawn");
    }
}
