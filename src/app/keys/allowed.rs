//! Grants, denials and top-ups, followed beside the keys.
//!
//! Always holds: while the database is away, what was read last goes on, each until
//! it ends by itself; what was taken back by way of the counter store stays so.

use super::announced::Announced;
use super::in_time;
use crate::accounts::allowed::Allowed;
use crate::accounts::{Accounts, AccountsError, allowed_copy};
use crate::driver::Driver;
use crate::identity::format;
use crate::policy::Snapshot;
use crate::policy::grants::{GrantChange, Grants};
use crate::policy::top_ups::{TopUpChange, TopUps};
use crate::units::UnixMillis;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The most changes of each kind that are read at once.
const CHANGES_MAX: usize = 4_096;

/// A database that takes longer is away.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How often what is over is forgotten.
const FORGET_EVERY_MS: u64 = 60_000;

pub(super) struct Following {
    path: PathBuf,
    /// The last change that is known.
    after: i64,
    forgot_at: UnixMillis,
    /// What is known isn't in the file.
    is_dirty: bool,
    writing: Option<JoinHandle<bool>>,
}

impl Following {
    pub fn new(folder: &std::path::Path) -> Self {
        Self {
            path: allowed_copy::path(folder),
            after: 0,
            forgot_at: UnixMillis(0),
            is_dirty: false,
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
        announced: &Announced,
    ) -> Result<(), AccountsError> {
        let live_at = Some(driver.clock().now());
        let (mut grants, mut top_ups) = (Grants::default(), TopUps::default());
        let mut after = 0;
        loop {
            let read = accounts.allowed(after, live_at, CHANGES_MAX).await?;
            tell_of(&read);
            (after, grants, top_ups) = (
                read.upto,
                grants.changed(announced.without_grants(read.grants)),
                top_ups.changed(announced.without_top_ups(read.top_ups)),
            );
            if read.upto >= read.head {
                break;
            }
        }
        put(driver, grants, top_ups);
        self.after = after;
        self.is_dirty = true;
        Ok(())
    }

    /// Reads what has changed, up to the database's last change or past it.
    pub async fn follow(
        &mut self,
        head: i64,
        accounts: &Accounts,
        driver: &Driver,
        announced: &Announced,
    ) -> Result<(), AccountsError> {
        while self.after < head {
            let read = accounts.allowed(self.after, None, CHANGES_MAX);
            let read = in_time(READ_TIMEOUT, read).await?;
            tell_of(&read);
            self.after = read.upto;
            let grants = announced.without_grants(read.grants);
            let top_ups = announced.without_top_ups(read.top_ups);
            self.change(driver, grants, top_ups);
            if read.upto >= read.head {
                break;
            }
        }
        Ok(())
    }

    /// What was taken back by way of the counter store.
    pub fn take_back(&mut self, driver: &Driver, ids: &[Arc<str>]) {
        let ids = ids.iter().filter(|id| format::is_of_the_allowed(id));
        let ids: Vec<Arc<str>> = ids.map(Arc::clone).collect();
        let grants = ids.iter().map(Arc::clone).map(GrantChange::Revoked);
        let grants = grants.collect();
        let top_ups = ids.into_iter().map(TopUpChange::Revoked).collect();
        self.change(driver, grants, top_ups);
    }

    fn change(&mut self, driver: &Driver, grants: Vec<GrantChange>, top_ups: Vec<TopUpChange>) {
        if grants.is_empty() && top_ups.is_empty() {
            return;
        }
        self.is_dirty = true;
        driver.change_snapshot(|before| Snapshot {
            grants: Arc::new(before.grants.changed(grants)),
            top_ups: Arc::new(before.top_ups.changed(top_ups)),
            ..before.clone()
        });
    }

    /// Goes on from what an earlier process left.
    pub fn go_on_from_copy(&self, driver: &Driver, announced: &Announced) {
        match allowed_copy::read(&self.path) {
            Ok(Some((grants, top_ups))) => {
                let back = |id: Arc<str>| {
                    (
                        GrantChange::Revoked(Arc::clone(&id)),
                        TopUpChange::Revoked(id),
                    )
                };
                let (back_grants, back_top_ups): (Vec<_>, Vec<_>) =
                    announced.of_the_allowed().map(back).unzip();
                put(
                    driver,
                    grants.changed(back_grants),
                    top_ups.changed(back_top_ups),
                );
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the copy of grants and top-ups can't be read: none counts until the database answers");
            }
        }
    }

    /// Forgets what is over, and writes the copy where something has changed.
    pub fn keep(&mut self, driver: &Driver) {
        let now = driver.clock().now();
        if now.since(self.forgot_at).0 >= FORGET_EVERY_MS {
            self.forgot_at = now;
            self.forget(driver, now);
        }
        if !self.is_done() || !self.is_dirty {
            return;
        }
        self.is_dirty = false;
        let (path, snapshot) = (self.path.clone(), driver.snapshot());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = allowed_copy::write(&path, &snapshot.grants, &snapshot.top_ups);
            if let Err(error) = &written {
                tracing::warn!(%error, "grants and top-ups can't be copied beside the spool");
            }
            written.is_ok()
        }));
    }

    fn forget(&mut self, driver: &Driver, now: UnixMillis) {
        let before = driver.snapshot();
        let (grants, top_ups) = (
            before.grants.without_ended(now),
            before.top_ups.without_ended(now),
        );
        if grants.is_some() || top_ups.is_some() {
            self.is_dirty = true;
            // Only this thread changes them.
            put(
                driver,
                grants.unwrap_or_else(|| Grants::clone(&before.grants)),
                top_ups.unwrap_or_else(|| TopUps::clone(&before.top_ups)),
            );
        }
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
        self.is_dirty |= written != Some(true);
        true
    }
}

fn put(driver: &Driver, grants: Grants, top_ups: TopUps) {
    driver.change_snapshot(|before| Snapshot {
        grants: Arc::new(grants),
        top_ups: Arc::new(top_ups),
        ..before.clone()
    });
}

fn tell_of(read: &Allowed) {
    for id in &read.unread {
        tracing::error!(%id, "what was granted, denied or added can't be read; it doesn't count");
    }
}
