//! Grants, denials and top-ups, followed beside the keys.
//!
//! Always holds: while the database is away, what was read last goes on, each until
//! it ends by itself; what was taken back by way of the counter store stays so.

use super::in_time;
use super::late::keep;
use crate::accounts::allowed::Allowed;
use crate::accounts::withdrawals::Withdrawals;
use crate::accounts::{Accounts, AccountsError, allowed_copy};
use crate::driver::Driver;
use crate::identity::format;
use crate::policy::Snapshot;
use crate::policy::grants::{GrantChange, Grants};
use crate::policy::top_ups::{TopUpChange, TopUps};
use crate::units::UnixMillis;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The most changes of each kind that are read at once.
const CHANGES_MAX: usize = 4_096;

/// A database that takes longer is away.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How often what is over is forgotten.
const FORGET_EVERY_MS: u64 = 60_000;

/// What is known, as a snapshot holds it.
type Known = (Arc<Grants>, Arc<TopUps>);

pub(super) struct Following {
    path: PathBuf,
    withdrawals: Arc<Withdrawals>,
    /// The last change that is known.
    after: i64,
    forgot_at: UnixMillis,
    /// What the file holds, or what is being written there.
    copied: Option<Known>,
    writing: Option<JoinHandle<bool>>,
}

impl Following {
    pub fn new(folder: &Path, withdrawals: &Arc<Withdrawals>) -> Self {
        Self {
            path: allowed_copy::path(folder),
            withdrawals: Arc::clone(withdrawals),
            after: 0,
            forgot_at: UnixMillis(0),
            copied: None,
            writing: None,
        }
    }

    /// The last change that is known.
    pub fn known(&self) -> i64 {
        self.after
    }

    /// Reads all that holds now.
    pub async fn load(
        &mut self,
        accounts: &Accounts,
        driver: &Driver,
    ) -> Result<(), AccountsError> {
        let live_at = Some(driver.clock().now());
        let (mut grants, mut top_ups) = (Grants::default(), TopUps::default());
        let mut after = 0;
        loop {
            let read = accounts.allowed(after, live_at, CHANGES_MAX).await?;
            tell_of(&read);
            (after, grants, top_ups) = (
                read.upto,
                grants.changed(read.grants),
                top_ups.changed(read.top_ups),
            );
            if read.upto >= read.head {
                break;
            }
        }
        let there: HashSet<Arc<str>> = ids(&grants, &top_ups).map(Arc::clone).collect();
        if self.withdrawals.hold_against(|id| there.contains(id)) {
            keep(&self.withdrawals);
        }
        self.put(driver, grants, top_ups);
        self.after = after;
        self.copied = None;
        Ok(())
    }

    /// Reads what has changed, up to the database's last change or past it.
    pub async fn follow(
        &mut self,
        head: i64,
        accounts: &Accounts,
        driver: &Driver,
    ) -> Result<(), AccountsError> {
        while self.after < head {
            let read = accounts.allowed(self.after, None, CHANGES_MAX);
            let read = in_time(READ_TIMEOUT, read).await?;
            tell_of(&read);
            self.after = read.upto;
            let is_last = read.upto >= read.head;
            let Allowed {
                grants, top_ups, ..
            } = read;
            if !grants.is_empty() || !top_ups.is_empty() {
                change(driver, || {
                    let grants = self.withdrawals.without_those_granted(grants);
                    (grants, self.withdrawals.without_those_added(top_ups))
                });
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Goes on from what an earlier process left.
    pub fn go_on_from_copy(&mut self, driver: &Driver) {
        match allowed_copy::read(&self.path) {
            Ok(Some((grants, top_ups))) => self.put(driver, grants, top_ups),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the copy of grants and top-ups can't be read: none counts until the database answers");
            }
        }
        self.copied = Some(known(&driver.snapshot()));
    }

    /// All that is known is this, but for what was withdrawn: whoever withdraws
    /// something tells of it first and takes it out of the snapshot then, so it is in
    /// neither.
    fn put(&self, driver: &Driver, grants: Grants, top_ups: TopUps) {
        driver.change_snapshot(|before| Snapshot {
            grants: Arc::new(self.withdrawals.without_grants(grants)),
            top_ups: Arc::new(self.withdrawals.without_top_ups(top_ups)),
            ..before.clone()
        });
    }

    /// Forgets what is over, and writes the copy where something has changed.
    pub fn keep(&mut self, driver: &Driver) {
        let now = driver.clock().now();
        if now.since(self.forgot_at).0 >= FORGET_EVERY_MS {
            self.forgot_at = now;
            forget(driver, now);
        }
        let (path, known) = (self.path.clone(), known(&driver.snapshot()));
        if !self.is_done() || self.is_copied(&known) {
            return;
        }
        self.copied = Some((Arc::clone(&known.0), Arc::clone(&known.1)));
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = allowed_copy::write(&path, &known.0, &known.1);
            if let Err(error) = &written {
                tracing::warn!(%error, "grants and top-ups can't be copied beside the spool");
            }
            written.is_ok()
        }));
    }

    /// Every change makes another of it, whoever makes it.
    fn is_copied(&self, known: &Known) -> bool {
        let copied = self.copied.as_ref();
        copied.is_some_and(|(grants, top_ups)| {
            Arc::ptr_eq(grants, &known.0) && Arc::ptr_eq(top_ups, &known.1)
        })
    }

    /// Whether nothing is being written. What failed is written again.
    fn is_done(&mut self) -> bool {
        use futures_util::FutureExt;
        let Some(writing) = self.writing.take() else {
            return true;
        };
        if !writing.is_finished() {
            self.writing = Some(writing);
            return false;
        }
        let written = writing.now_or_never().and_then(Result::ok);
        if written != Some(true) {
            self.copied = None;
        }
        true
    }
}

/// What was taken back by another way than the database.
pub(super) fn take_back(driver: &Driver, ids: &[Arc<str>]) {
    let ids = ids.iter().filter(|id| format::is_of_the_allowed(id));
    let ids: Vec<Arc<str>> = ids.map(Arc::clone).collect();
    if ids.is_empty() {
        return;
    }
    change(driver, || {
        let grants = ids.iter().map(Arc::clone).map(GrantChange::Revoked);
        let top_ups = ids.iter().map(Arc::clone).map(TopUpChange::Revoked);
        (grants.collect(), top_ups.collect())
    });
}

/// The ids of all grants and top-ups, where any of these may be one of them.
pub(super) fn ids_where_named(snapshot: &Snapshot, named: &[Arc<str>]) -> HashSet<Arc<str>> {
    match named.iter().any(|id| format::is_of_the_allowed(id)) {
        true => ids(&snapshot.grants, &snapshot.top_ups)
            .map(Arc::clone)
            .collect(),
        false => HashSet::new(),
    }
}

fn ids<'a>(grants: &'a Grants, top_ups: &'a TopUps) -> impl Iterator<Item = &'a Arc<str>> {
    let top_ups = top_ups.iter().map(|top_up| &top_up.id);
    grants.all().map(|grant| &grant.id).chain(top_ups)
}

fn known(snapshot: &Snapshot) -> Known {
    (Arc::clone(&snapshot.grants), Arc::clone(&snapshot.top_ups))
}

/// What has changed is asked for once nobody else changes anything.
fn change(driver: &Driver, changes: impl FnOnce() -> (Vec<GrantChange>, Vec<TopUpChange>)) {
    driver.change_snapshot(|before| {
        let (grants, top_ups) = changes();
        let mut after = before.clone();
        if !grants.is_empty() {
            after.grants = Arc::new(before.grants.changed(grants));
        }
        if !top_ups.is_empty() {
            after.top_ups = Arc::new(before.top_ups.changed(top_ups));
        }
        after
    });
}

fn forget(driver: &Driver, now: UnixMillis) {
    let before = driver.snapshot();
    let ended = |snapshot: &Snapshot| {
        (
            snapshot.grants.without_ended(now),
            snapshot.top_ups.without_ended(now),
        )
    };
    if ended(&before) == (None, None) {
        return;
    }
    driver.change_snapshot(|before| {
        let (grants, top_ups) = ended(before);
        Snapshot {
            grants: grants.map_or_else(|| Arc::clone(&before.grants), Arc::new),
            top_ups: top_ups.map_or_else(|| Arc::clone(&before.top_ups), Arc::new),
            ..before.clone()
        }
    });
}

fn tell_of(read: &Allowed) {
    for id in &read.unread {
        tracing::error!(%id, "what was granted, denied or added can't be read; it doesn't count");
    }
}
