//! TLS handshakes under way: each on a task of its own, bounded in time and in
//! number.

use super::connection::Connection;
use super::tls::Tls;
use super::{HANDSHAKE_MAX, HANDSHAKES_MAX};
use crate::telemetry::metrics::{HandshakeFault, Listener, Metrics};
use rustls::{CertificateError, Error};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

pub(super) struct Handshakes {
    tasks: JoinSet<(u64, Result<Connection, Failure>)>,
    /// Those of `tasks` that were not heard of yet, by when they began.
    open: BTreeMap<u64, AbortHandle>,
    /// How many began.
    begun: u64,
    listener: Listener,
    metrics: Arc<Metrics>,
    pub time_max: Duration,
    pub open_max: usize,
}

enum Failure {
    Late,
    Io(io::Error),
}

impl Handshakes {
    pub fn new(listener: Listener, metrics: Arc<Metrics>) -> Self {
        Self {
            tasks: JoinSet::new(),
            open: BTreeMap::new(),
            begun: 0,
            listener,
            metrics,
            time_max: HANDSHAKE_MAX,
            open_max: HANDSHAKES_MAX,
        }
    }

    /// Begins one more. Where too many are open the oldest is given up: one that
    /// is honest is over in a moment, so who is old is slow.
    pub fn begin(&mut self, tls: &Tls, stream: TcpStream) {
        while self.open.len() >= self.open_max
            && let Some((_, oldest)) = self.open.pop_first()
        {
            oldest.abort();
            self.failed(HandshakeFault::Crowded, None);
        }
        let accept = tokio::time::timeout(self.time_max, tls.acceptor().accept(stream));
        let number = self.begun;
        self.begun += 1;
        let task = self.tasks.spawn(async move {
            let done = match accept.await {
                Ok(Ok(stream)) => Ok(Connection::tls(stream)),
                Ok(Err(error)) => Err(Failure::Io(error)),
                Err(_) => Err(Failure::Late),
            };
            (number, done)
        });
        self.open.insert(number, task);
    }

    /// The next that succeeds; `None` once none is open.
    pub async fn done(&mut self) -> Option<Connection> {
        loop {
            // What was given up ends as an error, and is counted already.
            let Ok((number, done)) = self.tasks.join_next().await? else {
                continue;
            };
            self.open.remove(&number);
            match done {
                Ok(connection) => return Some(connection),
                Err(Failure::Late) => self.failed(HandshakeFault::Timeout, None),
                Err(Failure::Io(error)) => self.failed(fault(&error), Some(&error)),
            }
        }
    }

    fn failed(&self, why: HandshakeFault, error: Option<&io::Error>) {
        self.metrics.tls().handshake_failed(self.listener, why);
        let listener = self.listener.as_str();
        let error = error.map(tracing::field::display);
        // Anybody can make it happen as often as they like, so it isn't louder.
        tracing::debug!(listener, ?why, error, "a TLS handshake failed");
    }
}

fn fault(error: &io::Error) -> HandshakeFault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::NoCertificatesPresented) => HandshakeFault::NoCertificate,
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            HandshakeFault::Name
        }
        Some(Error::InvalidCertificate(_)) => HandshakeFault::Certificate,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => HandshakeFault::Protocol,
        Some(Error::AlertReceived(_)) => HandshakeFault::Client,
        _ => HandshakeFault::Other,
    }
}
