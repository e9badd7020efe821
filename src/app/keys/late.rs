//! What was withdrawn without the database: kept on disk until it is told of it.

use super::super::reports::database;
use super::{POLL_TIMEOUT, in_time};
use crate::accounts::withdrawals::{Withdrawal, Withdrawals};
use crate::accounts::{Accounts, AccountsError, Actor};
use crate::config::Config;
use crate::identity::format;
use crate::units::Millis;
use anyhow::Context;
use std::collections::HashSet;
use std::sync::Arc;

/// The most of one round: others are to be read of meanwhile.
const TOLD_AT_ONCE: usize = 100;

/// A key that was made so much later than one of its name was withdrawn is another:
/// clocks are less far apart.
const SKEW_MAX: Millis = Millis::from_mins(5);

/// What was withdrawn without the database, in the folder of the ledger that has one.
///
/// # Errors
/// It can't be read: which keys count isn't known then.
pub(in crate::app) fn withdrawals(config: &Config) -> anyhow::Result<Arc<Withdrawals>> {
    let ledger = config.ledger.as_ref();
    let folder = ledger.filter(|ledger| database(ledger).is_some());
    let opened = folder.map(|ledger| Withdrawals::open(&ledger.path));
    let opened = opened.transpose().context("the withdrawn keys")?;
    Ok(Arc::new(opened.unwrap_or_default()))
}

/// Writes down what waits for the database, beside everything else.
pub(super) fn keep(withdrawals: &Arc<Withdrawals>) {
    let withdrawals = Arc::clone(withdrawals);
    // Each writes all that there is by then.
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = withdrawals.save() {
            tracing::warn!(%error, "what was withdrawn can't be kept beside the spool");
        }
    }));
}

/// Tells of some that wait.
///
/// # Errors
/// The database can't be told now; those that it was told of wait no more.
pub(super) async fn tell(
    accounts: &Accounts,
    withdrawals: &Arc<Withdrawals>,
) -> Result<(), AccountsError> {
    let (mut told, mut outcome) = (HashSet::new(), Ok(()));
    for one in withdrawals.untold().into_iter().take(TOLD_AT_ONCE) {
        outcome = in_time(POLL_TIMEOUT, revoke(accounts, &one)).await;
        if outcome.is_err() {
            break;
        }
        told.insert(one.id);
    }
    if withdrawals.told(&told) {
        keep(withdrawals);
    }
    outcome
}

async fn revoke(accounts: &Accounts, one: &Withdrawal) -> Result<(), AccountsError> {
    // A key may have such a name too.
    if format::is_of_the_allowed(&one.id) {
        take_back(accounts, one).await?;
    }
    revoke_key(accounts, one).await
}

/// A grant, or a top-up.
async fn take_back(accounts: &Accounts, one: &Withdrawal) -> Result<(), AccountsError> {
    let by = Actor {
        name: &one.actor,
        at: one.at,
    };
    for taken in [
        accounts.revoke_grant_late(by, &one.id).await,
        accounts.revoke_top_up_late(by, &one.id).await,
    ] {
        match taken {
            Ok(true) => {
                tracing::info!(id = %one.id, actor = %one.actor, "the database is told of what was taken back");
            }
            // It counts nowhere, and keeps no other from being told of.
            Ok(false) | Err(AccountsError::Unknown(_) | AccountsError::Unreadable(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn revoke_key(accounts: &Accounts, one: &Withdrawal) -> Result<(), AccountsError> {
    let known = match accounts.key(&one.id).await {
        // It counts nowhere, and keeps no other from being told of.
        Err(AccountsError::Unreadable(_)) => return Ok(()),
        known => known?,
    };
    let Some(known) = known.filter(|key| key.revoked_at.is_none()) else {
        return Ok(());
    };
    if known.created_at > one.at + SKEW_MAX {
        return Ok(());
    }
    let by = Actor {
        name: &one.actor,
        at: one.at,
    };
    match accounts.revoke_late(by, &one.id).await {
        Ok(_) | Err(AccountsError::Unknown(_)) => {
            tracing::info!(key = %one.id, actor = %one.actor, "the database is told of a withdrawn key");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
