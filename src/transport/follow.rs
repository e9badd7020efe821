//! Certificates follow their files, and tell when they expire.
//!
//! The files are read, not watched: whoever brings new ones may write them anew,
//! rename them into place or, as Kubernetes does, turn a link to a folder; only
//! what they hold is the same for all. A change counts once two looks in a row
//! find the same, so a certificate whose key is still being written is nobody's
//! error.

use super::tls::{Mark, Tls};
use crate::config::Outside;
use crate::telemetry::metrics::{CertificateOf, Listener, Metrics, Reload};
use crate::units::UnixMillis;
use std::sync::Arc;
use std::time::Duration;

/// How often files are looked at: three small reads.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the files of all of a server's addresses.
pub struct Follow {
    followed: Vec<Followed>,
    listener: Listener,
    outside: Arc<dyn Outside + Send + Sync>,
    metrics: Arc<Metrics>,
}

/// The files of one address.
struct Followed {
    tls: Arc<Tls>,
    /// What the last look found.
    seen: Found,
    /// What was last taken or refused.
    judged: Found,
    refused: bool,
}

/// What a look at the files finds, as far as two looks can differ.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Files(Mark),
    Unreadable(String),
}

impl Follow {
    /// Tells of them at once.
    pub fn new(
        all: Vec<Arc<Tls>>,
        listener: Listener,
        outside: Arc<dyn Outside + Send + Sync>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let followed = all.into_iter().map(Followed::new).collect();
        let follow = Self {
            followed,
            listener,
            outside,
            metrics,
        };
        follow.tell();
        follow
    }

    /// Goes on for as long as it is waited for.
    pub async fn run(mut self) {
        while !self.followed.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
            // Where files are slow to read, no call waits for them.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(follow) => self = follow,
                Err(error) => {
                    tracing::error!(%error, "certificates are no longer followed");
                    break;
                }
            }
        }
        std::future::pending().await
    }

    /// Looks at all files once.
    pub(super) fn look(&mut self) {
        for followed in &mut self.followed {
            if let Some(outcome) = followed.look(&*self.outside, self.listener) {
                self.metrics.tls().reloaded(self.listener, outcome);
            }
        }
        self.tell();
    }

    fn tell(&self) {
        if self.followed.is_empty() {
            return;
        }
        let (now, metrics) = (self.outside.now(), self.metrics.tls());
        let used: Vec<_> = self.followed.iter().map(|one| one.tls.used()).collect();
        let server = used.iter().map(|used| used.server.not_after).min();
        let client_ca = used.iter().filter_map(|used| used.client_ca);
        let client_ca = client_ca.map(|validity| validity.not_after).min();
        for (of, first) in [
            (CertificateOf::Server, server),
            (CertificateOf::ClientCa, client_ca),
        ] {
            if let Some(first) = first {
                metrics.expires_in(self.listener, of, seconds(now, first));
            }
        }
        let refused = self.followed.iter().any(|followed| followed.refused);
        metrics.files_refused(self.listener, refused);
    }
}

/// From `now` to `then`; less than 0 where that is over.
fn seconds(now: UnixMillis, then: UnixMillis) -> i64 {
    let seconds = |span: u64| i64::try_from(span / 1_000).unwrap_or(i64::MAX);
    seconds(then.since(now).0) - seconds(now.since(then).0)
}

impl Followed {
    fn new(tls: Arc<Tls>) -> Self {
        let judged = Found::Files(tls.used().mark.clone());
        Self {
            tls,
            seen: judged.clone(),
            judged,
            refused: false,
        }
    }

    /// What became of a change, where there is one that has settled.
    fn look(&mut self, outside: &dyn Outside, listener: Listener) -> Option<Reload> {
        let read = self.tls.read(outside);
        let found = match &read {
            Ok(files) => Found::Files(files.mark()),
            Err(error) => Found::Unreadable(whole(error)),
        };
        let settled = found == self.seen;
        self.seen.clone_from(&found);
        if !settled || found == self.judged {
            return None;
        }
        self.judged = found;
        let taken = read.and_then(|files| self.tls.take(&files));
        let (listener, cert) = (listener.as_str(), self.tls.name().display());
        self.refused = taken.is_err();
        match taken {
            Ok(()) => {
                tracing::info!(listener, %cert, "certificates were renewed");
                Some(Reload::Taken)
            }
            Err(error) => {
                let error = whole(&error);
                tracing::error!(
                    listener,
                    %cert,
                    error,
                    "new certificates can't be used; the old ones still are"
                );
                Some(Reload::Refused)
            }
        }
    }
}

/// With all that it comes from.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
