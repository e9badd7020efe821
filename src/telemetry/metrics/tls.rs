//! Metrics of TLS: handshakes, certificates and their files.

use super::labels::{ByTwo, Label};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Pairs<const N: usize> = [(&'static str, &'static str); N];

/// Counts and gauges of TLS.
#[derive(Debug)]
pub struct TlsMetrics {
    handshake_faults: ByTwo<Listener, HandshakeFault, Counter>,
    reloads: ByTwo<Listener, Reload, Counter>,
    /// Unlike others made when first set: 0 would read as expired.
    expires_in_seconds: Family<Pairs<2>, Gauge>,
    files_refused: Family<Pairs<1>, Gauge>,
}

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let expires_in_seconds = Family::default();
        registry.register(
            "tls_certificate_expires_in_seconds",
            "Until the first certificate expires",
            expires_in_seconds.clone(),
        );
        let files_refused = Family::default();
        registry.register(
            "tls_files_refused",
            "Whether files of certificates hold what can not be used",
            files_refused.clone(),
        );
        Self {
            handshake_faults: ByTwo::register(
                registry,
                "tls_handshake_failures",
                "TLS handshakes that came to nothing",
                Counter::default,
            ),
            reloads: ByTwo::register(
                registry,
                "tls_reloads",
                "Changes of certificates' files",
                Counter::default,
            ),
            expires_in_seconds,
            files_refused,
        }
    }

    pub fn handshake_failed(&self, listener: Listener, why: HandshakeFault) {
        if let Some(counter) = self.handshake_faults.get(listener, why) {
            counter.inc();
        }
    }

    pub fn reloaded(&self, listener: Listener, outcome: Reload) {
        if let Some(counter) = self.reloads.get(listener, outcome) {
            counter.inc();
        }
    }

    /// Less than 0: it has expired so long ago.
    pub fn expires_in(&self, listener: Listener, of: CertificateOf, seconds: i64) {
        let labels = [
            (Listener::NAME, listener.value()),
            ("certificate", of.value()),
        ];
        self.expires_in_seconds.get_or_create(&labels).set(seconds);
    }

    /// Whether files are there that can't be used, so older ones still are.
    pub fn files_refused(&self, listener: Listener, refused: bool) {
        let labels = [(Listener::NAME, listener.value())];
        let gauge = self.files_refused.get_or_create(&labels);
        gauge.set(i64::from(refused));
    }
}

/// Which server a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    Grpc,
    Admin,
    HttpAuthz,
    Health,
}

impl Label for Listener {
    const NAME: &'static str = "listener";
    const ALL: &'static [Self] = &[
        Listener::Grpc,
        Listener::Admin,
        Listener::HttpAuthz,
        Listener::Health,
    ];
    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl Listener {
    pub fn as_str(self) -> &'static str {
        match self {
            Listener::Grpc => "grpc",
            Listener::Admin => "admin",
            Listener::HttpAuthz => "http_authz",
            Listener::Health => "health",
        }
    }
}

/// Whose certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateOf {
    /// weir's own, with those that vouch for it.
    Server,
    /// Those that vouch for clients.
    ClientCa,
}

impl CertificateOf {
    fn value(self) -> &'static str {
        match self {
            CertificateOf::Server => "server",
            CertificateOf::ClientCa => "client_ca",
        }
    }
}

/// What became of files that changed: certificates, the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// What they hold counts from then on.
    Taken,
    /// They can't be used, so what was is kept.
    Refused,
}

impl Label for Reload {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[Reload::Taken, Reload::Refused];
    fn value(self) -> &'static str {
        match self {
            Reload::Taken => "taken",
            Reload::Refused => "refused",
        }
    }
}

/// Why a TLS handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFault {
    /// It took too long.
    Timeout,
    /// Too many were open, and it was the oldest.
    Crowded,
    /// The client showed no certificate.
    NoCertificate,
    /// The client's certificate isn't vouched for, or has expired.
    Certificate,
    /// The client's certificate has none of the names that may connect.
    Name,
    /// No version, cipher or protocol that both speak.
    Protocol,
    /// The client took offence, as at weir's own certificate.
    Client,
    /// The connection ended or spoke something else.
    Other,
}

impl Label for HandshakeFault {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[
        HandshakeFault::Timeout,
        HandshakeFault::Crowded,
        HandshakeFault::NoCertificate,
        HandshakeFault::Certificate,
        HandshakeFault::Name,
        HandshakeFault::Protocol,
        HandshakeFault::Client,
        HandshakeFault::Other,
    ];
    fn value(self) -> &'static str {
        match self {
            HandshakeFault::Timeout => "timeout",
            HandshakeFault::Crowded => "crowded",
            HandshakeFault::NoCertificate => "no_certificate",
            HandshakeFault::Certificate => "certificate",
            HandshakeFault::Name => "name",
            HandshakeFault::Protocol => "protocol",
            HandshakeFault::Client => "client",
            HandshakeFault::Other => "other",
        }
    }
}
