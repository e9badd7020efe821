//! What of a configuration a process keeps for as long as it runs: where it
//! listens, where it counts and records, its threads. All else a new configuration
//! changes while calls go on.
//!
//! Always holds: a field of [`Config`] is either kept or taken; one that is added
//! doesn't compile before it is said here which. Two configurations that differ in
//! what is kept, in their secrets too, are told apart.

use super::shown::{differences, shown};
use super::{AlertsConfig, Config, CountersConfig, Holds, LedgerConfig, Listen, Otlp, Server};
use crate::config::LogFormat;
use crate::units::Millis;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Where what is kept stands in what is [`shown`]. Of each, all that lies below.
const KEPT: [&str; 13] = [
    "listen.grpc",
    "listen.admin",
    "listen.http_authz",
    "counters",
    "ledger",
    "alerts",
    "holds",
    "identity.stale_max_ms",
    "identity.trust_ext_authz",
    "server",
    "telemetry.log.format",
    "telemetry.otlp",
    "tokens.learned_path",
];

/// The most fields that are told.
const WAITING_MAX: usize = 100;

/// What a process began with and keeps.
#[derive(Debug, Clone)]
pub struct Fixed {
    kept: Kept,
    shown: Value,
}

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    listen: Listen,
    counters: CountersConfig,
    ledger: Option<LedgerConfig>,
    alerts: Arc<AlertsConfig>,
    learned_path: Option<PathBuf>,
    holds: Holds,
    keys_stale_max: Millis,
    trust_ext_authz: bool,
    server: Server,
    log_format: LogFormat,
    otlp: Option<Otlp>,
}

impl Kept {
    fn of(config: &Config) -> Self {
        let Config {
            listen,
            admin: _,
            counters,
            ledger,
            alerts,
            learned_path,
            holds,
            keys_stale_max,
            trust_ext_authz,
            server,
            telemetry,
            snapshot: _,
            tenants: _,
            warnings: _,
            read: _,
        } = config;
        Self {
            listen: Listen {
                admin_token: None,
                ..listen.clone()
            },
            counters: counters.clone(),
            ledger: ledger.clone(),
            alerts: Arc::clone(alerts),
            learned_path: learned_path.clone(),
            holds: *holds,
            keys_stale_max: *keys_stale_max,
            trust_ext_authz: *trust_ext_authz,
            server: *server,
            log_format: telemetry.log_format,
            otlp: telemetry.otlp.clone(),
        }
    }

    /// What differs though nothing of it is shown: a secret, a certificate.
    fn hidden_differences(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        let sections = [
            ("counters", self.counters != new.counters),
            ("ledger", self.ledger != new.ledger),
            ("alerts", self.alerts != new.alerts),
            ("listen", self.listen != new.listen),
        ];
        let differ = sections.into_iter().filter(|(_, differs)| *differs);
        differ.map(|(section, _)| section)
    }
}

impl Fixed {
    /// Of the configuration that the process starts with.
    pub fn of(config: &Config) -> Self {
        Self {
            kept: Kept::of(config),
            shown: shown(config),
        }
    }

    /// What a new configuration sets otherwise, by path: it takes effect at the next
    /// start. At most a hundred.
    pub fn waiting(&self, new: &Config) -> Vec<String> {
        let kept = Kept::of(new);
        if kept == self.kept {
            return Vec::new();
        }
        let new = shown(new);
        let mut waiting = Vec::new();
        for path in KEPT {
            let (before, after) = (at(&self.shown, path), at(&new, path));
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            let below = differences(before, after, WAITING_MAX - waiting.len());
            let below = below.into_iter();
            waiting.extend(below.map(|difference| joined(path, &difference.path)));
        }
        for section in self.kept.hidden_differences(&kept) {
            if !waiting
                .iter()
                .any(|path: &String| path.starts_with(section))
            {
                waiting.push(section.to_owned());
            }
        }
        waiting
    }

    /// What runs once a new configuration was taken: the new one, with what is kept
    /// in its place.
    pub fn shown_with(&self, new: &Config) -> Value {
        let mut all = shown(new);
        for path in KEPT {
            let kept = at(&self.shown, path);
            if let (Some(kept), Some(place)) = (kept, all.pointer_mut(&pointer(path))) {
                *place = kept.clone();
            }
        }
        all
    }
}

fn at<'v>(of: &'v Value, path: &str) -> Option<&'v Value> {
    of.pointer(&pointer(path))
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn joined(path: &str, below: &str) -> String {
    match below {
        "" => path.to_owned(),
        below if below.starts_with('[') => format!("{path}{below}"),
        below => format!("{path}.{below}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::config::outside::Given;

    const GOOD: &str = include_str!("tests/good.yaml");

    fn outside() -> Given {
        Given::default()
            .with_env("WEIR_PEPPER", "pepper-of-32-bytes-for-the-tests")
            .with_env("URL", "redis://:one@127.0.0.1:6379")
            .with_env("OTHER_URL", "redis://:two@127.0.0.1:6379")
            .with_env("TOKEN", "a-token-of-sixteen")
    }

    fn config(edits: &[(&str, &str)]) -> Config {
        let mut text = GOOD.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        load(&text, "weir.yaml", &outside()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn each_place_is_one() {
        let all = shown(&config(&[]));
        for path in KEPT {
            assert!(at(&all, path).is_some(), "{path}");
        }
    }

    /// What is replaced by what.
    type Edits<'e> = &'e [(&'e str, &'e str)];

    #[test]
    fn what_a_running_process_cant_take_waits_for_the_next_start() {
        let redis = "counters: { redis: { url_env: URL } }";
        let with_redis = ("counters: { memory: {} }", redis);
        let cases: [(Edits, Edits, &[&str]); 9] = [
            (&[], &[], &[]),
            // Taken while calls go on.
            (
                &[],
                &[
                    ("amount: 600", "amount: 700"),
                    (
                        "acme: { plan: team }",
                        "acme: { plan: team }\n  new: { plan: team }",
                    ),
                    ("9090\"", "9090\"\n  admin_token: { env: TOKEN }"),
                    (
                        "counters:",
                        "telemetry: { log: { level: debug } }\ncounters:",
                    ),
                ],
                &[],
            ),
            (
                &[],
                &[("127.0.0.1:50051", "127.0.0.1:50052")],
                &["listen.grpc[1]"],
            ),
            (&[], &[("9090", "9091")], &["listen.admin"]),
            (
                &[],
                &[("counters:", "holds: { ttl: 2m, handover: 5m }\ncounters:")],
                &["holds.handover_ms", "holds.ttl_ms"],
            ),
            (&[], &[("ledger: { path: weir-ledger }", "")], &["ledger"]),
            (&[], &[with_redis], &["counters.memory", "counters.redis"]),
            // A secret is not shown, but it has changed.
            (
                &[with_redis],
                &[with_redis, ("url_env: URL", "url_env: OTHER_URL")],
                &["counters"],
            ),
            (
                &[],
                &[(
                    "counters:",
                    "telemetry: { log: { format: human } }\nserver: { workers: 3 }\ncounters:",
                )],
                &["server.workers", "telemetry.log.format"],
            ),
        ];
        for (before, after, expected) in cases {
            let fixed = Fixed::of(&config(before));
            let mut waiting = fixed.waiting(&config(after));
            waiting.sort();
            assert_eq!(waiting, expected, "{after:?}");
        }
    }

    #[test]
    fn what_runs_is_the_new_one_with_what_is_kept() {
        let fixed = Fixed::of(&config(&[]));
        let new = config(&[("600", "700"), ("50051", "50052")]);
        let runs = fixed.shown_with(&new);
        assert_eq!(runs["plans"]["team"]["limits"][0]["amount"], 700);
        assert!(runs["listen"]["grpc"].to_string().contains("50051"));
    }
}
