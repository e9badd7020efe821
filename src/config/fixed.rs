//! What of a configuration a process keeps for as long as it runs: where it
//! listens, where it counts and records, its threads. All else a new configuration
//! changes while calls go on.
//!
//! Always holds: a field of [`Config`] is either kept or taken; one that is added
//! doesn't compile before it is said here which. Two configurations that differ in
//! what is kept, in their secrets too, are told apart.

use super::shown::{Shown, differences, lies_at};
use super::{AlertsConfig, Config, CountersConfig, Holds, LedgerConfig, Listen, Otlp, Server};
use crate::config::LogFormat;
use crate::units::Millis;
use std::path::PathBuf;
use std::sync::Arc;

/// Where what is kept stands in what is [`Shown`]. Of each, all that lies below.
pub const KEPT: [&str; 14] = [
    "listen.grpc",
    "listen.admin",
    "listen.http_authz",
    "listen.health",
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
    shown: Arc<Shown>,
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
            shown: Arc::new(Shown::of(config)),
        }
    }

    /// What a new configuration sets otherwise, by path: it takes effect at the next
    /// start. At most a hundred.
    pub fn waiting(&self, new: &Config) -> Vec<String> {
        let kept = Kept::of(new);
        if kept == self.kept {
            return Vec::new();
        }
        let found = differences(&self.shown, &Shown::of(new), usize::MAX);
        let paths = found.into_iter().map(|difference| difference.path);
        let is_kept = |path: &String| KEPT.iter().any(|kept| lies_at(path, kept));
        let mut waiting: Vec<String> = paths.filter(is_kept).take(WAITING_MAX).collect();
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
    pub fn shown_with(&self, new: &Config) -> Shown {
        Shown::of(new).with(&self.shown, &KEPT)
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
        let all = Shown::of(&config(&[]));
        for path in KEPT {
            let pointer = format!("/{}", path.replace('.', "/"));
            assert!(all.value().pointer(&pointer).is_some(), "{path}");
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
                &["listen.grpc[1].address"],
            ),
            (&[], &[("9090", "9091")], &["listen.admin.address"]),
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
                &["counters.redis.servers.url"],
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
        let runs = runs.value();
        assert_eq!(runs["plans"]["team"]["limits"][0]["amount"], 700);
        assert!(runs["listen"]["grpc"].to_string().contains("50051"));
    }

    /// A secret that waits for the next start runs as it was, and is told of whenever
    /// the file is read; one that was taken isn't told of twice.
    #[test]
    fn secrets_that_are_kept_are_those_of_the_start() {
        let redis = (
            "counters: { memory: {} }",
            "counters: { redis: { url_env: URL } }",
        );
        let token = ("9090\"", "9090\"\n  admin_token: { env: TOKEN }");
        let before = config(&[redis, token]);
        let others = outside()
            .with_env("URL", "redis://:two@127.0.0.1:6379")
            .with_env("TOKEN", "another-token-of-sixteen");
        let text = GOOD.replace(redis.0, redis.1).replace(token.0, token.1);
        let after =
            load(&text, "weir.yaml", &others).unwrap_or_else(|problems| panic!("{problems}"));
        let fixed = Fixed::of(&before);
        let runs = fixed.shown_with(&after);
        let paths = |before: &Shown, after: &Shown| {
            let found = differences(before, after, 10).into_iter();
            found.map(|difference| difference.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(&Shown::of(&before), &runs), ["listen.admin_token"]);
        assert_eq!(paths(&runs, &fixed.shown_with(&after)), [""; 0]);
        assert_eq!(fixed.waiting(&after), ["counters.redis.servers.url"]);
    }
}
