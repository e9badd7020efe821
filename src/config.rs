//! The configuration: one YAML file, read whole, wrong in all places at once.
//!
//! Three steps: [`yaml`] makes a tree in which every value knows its place,
//! `raw` reads the fields as they are written, `resolve` checks what they mean
//! together and builds what the program runs on. Each step goes on after a
//! problem, so that [`load`] reports all of them.
//!
//! Always holds: no text makes loading panic or recurse without bound; no
//! problem and no `{:?}` of a [`Config`] shows a secret; a `Config` that exists
//! is valid. Variables and files come in through [`Outside`].
//!
//! Left to others: what the values do. Nothing is connected to or bound here.

mod admin;
mod alerts;
pub mod cases;
pub mod examples;
pub mod fixed;
pub mod import;
mod judging;
pub mod keys;
mod listen;
mod model_names;
mod name;
mod outside;
pub mod problem;
mod quantity;
mod raw;
mod reader;
pub mod reference;
mod resolve;
mod secret;
pub mod shown;
mod watched;
mod yaml;

pub use admin::{AdminConfig, ClientRole, JWKS_BYTES_MAX, OidcConfig};
pub use alerts::{AlertsConfig, RefusalsAlert, WebhookSettings};
pub use judging::load_policy_file;
pub use listen::{Address, Listen, SocketOwner, TcpSocket, TlsSettings, UnixSocket};
pub use outside::{Only, Outside, OutsideRead, Process};
pub use problem::{Problem, Problems};
pub use quantity::AsDollars;
pub use secret::{Secret, SecretError, SecretSource, read_pepper, read_token};
pub use watched::{Held, Watched};
pub use yaml::FILE_BYTES_MAX;

use crate::limits::share::OnCounterFailure;
use crate::policy::Snapshot;
use crate::protocol::refusal::QuotaStatus;
use crate::units::Millis;
use problem::Findings;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file of certificates or a key: a bundle of all the world's
/// authorities has a quarter of it.
pub const TLS_FILE_BYTES_MAX: usize = 1 << 20;

/// A whole, valid configuration.
#[derive(Debug)]
pub struct Config {
    pub listen: Listen,
    pub admin: AdminConfig,
    pub counters: CountersConfig,
    /// What calls use is recorded there; `None`: nowhere.
    pub ledger: Option<LedgerConfig>,
    /// Who is told of what, besides callers.
    pub alerts: Arc<AlertsConfig>,
    /// The file that keeps what is learned of the models' tokens; `None`: a
    /// restart learns it again.
    pub learned_path: Option<PathBuf>,
    pub holds: Holds,
    /// For how long stored keys count after the ledger's database was read last.
    pub keys_stale_max: Millis,
    /// Whether the principal that `ext_authz` left in Envoy's dynamic metadata
    /// is taken, instead of judging the key again.
    pub trust_ext_authz: bool,
    pub server: Server,
    pub telemetry: Telemetry,
    /// Keys, models and plans.
    pub snapshot: Snapshot,
    /// How many tenants there are, with and without keys.
    pub tenants: usize,
    /// What is allowed but hardly meant, one line each, bounded.
    pub warnings: Vec<String>,
    /// What it read besides its text.
    pub read: OutsideRead,
}

/// Which engine keeps the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountersConfig {
    Memory,
    Redis(Box<RedisSettings>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    pub servers: RedisServers,
    /// Of an ACL user, in place of the one in a URL.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Whom to believe a server's certificate, as PEM; `None`: whom the system
    /// does.
    pub ca_pem: Option<Vec<u8>>,
    /// How long one script call may take.
    pub response_timeout: Millis,
    pub connect_timeout: Millis,
    pub on_failure: OnCounterFailure,
}

/// Addresses: `redis://`, `rediss://` (TLS), `unix://` or `redis+unix://`,
/// perhaps with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    Single(Secret),
    /// Some nodes of a Cluster.
    Cluster(Vec<Secret>),
    /// Sentinels, and the name of their master.
    Sentinel {
        urls: Vec<Secret>,
        master: String,
    },
}

/// Where the ledger is kept, and where its rows go: at least one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The folder of the spool.
    pub path: PathBuf,
    pub durability: LedgerDurability,
    /// The most bytes of the spool. Admissions stop there.
    pub spool_bytes_max: u64,
    pub sqlite: Option<SqliteSettings>,
    pub postgres: Option<PostgresSettings>,
    pub file: Option<FileSettings>,
    pub otlp: Option<OtlpSettings>,
    pub cloudevents: Option<CloudEventsSettings>,
}

impl LedgerConfig {
    /// The names of its sinks.
    pub fn sinks(&self) -> Vec<&'static str> {
        let all = [
            (self.sqlite.is_some(), "sqlite"),
            (self.postgres.is_some(), "postgres"),
            (self.file.is_some(), "file"),
            (self.otlp.is_some(), "otlp"),
            (self.cloudevents.is_some(), "cloudevents"),
        ];
        let there = all.into_iter().filter(|(there, _)| *there);
        there.map(|(_, name)| name).collect()
    }
}

/// When a call's record is safe enough to let it through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LedgerDurability {
    /// On disk.
    #[default]
    Strict,
    /// Written, and on disk a moment later.
    Relaxed,
}

/// How long a database of the ledger keeps what. `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerRetention {
    pub rows: Option<Millis>,
    /// Sums by quarter of an hour: not shorter than rows.
    pub quarters: Option<Millis>,
    /// Sums by day: not shorter than those.
    pub days: Option<Millis>,
    /// Rows that were set aside.
    pub set_aside: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSettings {
    pub path: PathBuf,
    pub retention: LedgerRetention,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    pub url: Secret,
    pub retention: LedgerRetention,
    pub connections: u64,
}

/// A file of JSON lines, one for each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    pub path: PathBuf,
    /// Whether rows are on disk before the spool may forget them.
    pub sync: bool,
    /// Whether a line says where its row stands in the chain.
    pub links: bool,
}

/// A server that rows are sent to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverSettings {
    /// It may hold a key. `https://`; `http://` to this machine, for OTLP
    /// anywhere if there is no token.
    pub url: Secret,
    pub token: Option<Secret>,
    /// The header that the token stands in; `None`: `Authorization`, as a bearer.
    pub token_header: Option<String>,
    /// Whom to believe the server's certificate, as PEM; `None`: whom the system
    /// does.
    pub ca_pem: Option<Vec<u8>>,
    /// For a request and its answer.
    pub timeout: Millis,
    /// The most bytes of a request.
    pub request_bytes_max: u64,
}

/// A collector that rows are sent to as log records by OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    pub receiver: ReceiverSettings,
    pub service_name: String,
}

/// A server that rows are posted to as CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEventsSettings {
    pub receiver: ReceiverSettings,
    pub mode: CloudEventsMode,
    /// `None`: `weir/` and the chain's id.
    pub source: Option<String>,
    pub subject: CloudEventsSubject,
    /// The subject where a row doesn't have that name.
    pub subject_otherwise: Option<String>,
    /// The most rows of a request.
    pub request_rows_max: u64,
}

/// How many rows a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudEventsMode {
    Batch,
    Single,
}

/// Which name of a row is its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudEventsSubject {
    Tenant,
    Project,
    Environment,
    User,
    KeyId,
    Plan,
}

/// How long holds and their leases live. `renew_every * 2 <= lease_ttl <= ttl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// How long a hold lives that nobody renews.
    pub ttl: Millis,
    /// How long a concurrency lease lives that nobody renews.
    pub lease_ttl: Millis,
    /// How often the calls in flight are renewed.
    pub renew_every: Millis,
    /// How long a hold waits for its answer when another filter meters it.
    pub handover: Millis,
}

/// How requests are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// How long new calls are still taken when weir is told to stop, while its health
    /// sends them elsewhere.
    pub shutdown_delay: Millis,
    /// How long open calls may take to finish after that.
    pub drain_timeout: Millis,
    /// Threads that serve Envoy; `None`: half of the cores, at least one.
    pub workers: Option<NonZeroUsize>,
    pub upstream_authorization: UpstreamAuthorization,
    /// The IETF's rate limit headers besides the dialect's.
    pub ietf_rate_limit_headers: bool,
    /// The status of a call that a used up quota refuses; `None`: the dialect's
    /// own.
    pub quota_status: Option<QuotaStatus>,
    pub ext_authz_limits: ExtAuthzLimits,
}

/// Which limits a check of ext_authz is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtAuthzLimits {
    /// ext_proc stands behind it, and charges the call.
    #[default]
    None,
    /// Those of requests: nobody behind counts the call.
    Requests,
}

/// What becomes of the caller's `Authorization` header on its way upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamAuthorization {
    /// It is removed: weir's keys are nobody else's business.
    Strip,
    Keep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    pub log_format: LogFormat,
    pub log_level: Level,
    /// Where traces go; `None`: nowhere.
    pub otlp: Option<Otlp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Human,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// An OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// `http://host:port` (gRPC without TLS).
    pub endpoint: String,
    pub service_name: String,
}

/// Reads a configuration. `file_name` is only for messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(text: &str, file_name: &str, outside: &dyn Outside) -> Result<Config, Problems> {
    let root =
        yaml::parse(text).map_err(|(place, text)| Problems::whole_file(file_name, place, text))?;
    of_root(&root, file_name, outside)
}

fn of_root(root: &yaml::Node, file_name: &str, outside: &dyn Outside) -> Result<Config, Problems> {
    let findings = Findings::default();
    let noted = outside::Noted::of(outside);
    let config = raw::read(&reader::Item::root(root, &findings))
        .and_then(|raw| resolve::resolve(raw, &noted, &findings));
    match config {
        Some(mut config) if !findings.has_problems() => {
            config.read = noted.into_read();
            config.warnings = findings.into_warnings(file_name);
            Ok(config)
        }
        _ => Err(findings.into_problems(file_name)),
    }
}

/// Reads a configuration file.
///
/// # Errors
/// As [`load`]; a file that can't be read is a problem like any other.
pub fn load_file(path: &Path, outside: &dyn Outside) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let whole_file = |text| Problems::whole_file(&name, None, text);
    let bytes = outside
        .file(path, FILE_BYTES_MAX)
        .map_err(|error| whole_file(format!("can't be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| whole_file(format!("is not UTF-8: {}", error.utf8_error())))?;
    load(&text, &name, outside)
}

#[cfg(test)]
mod tests;
