//! `counters` as it is written.

use super::{MINUTE_MS, SECOND_MS, env_source, file_source, secret_source};

use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::{Secret, SecretSource};
use crate::limits::share::OnCounterFailure;
use crate::units::Millis;

#[derive(Debug)]
pub enum RawCounters {
    Memory,
    Redis(Box<RawRedis>),
}

#[derive(Debug)]
pub struct RawRedis {
    pub servers: Option<RawServers>,
    pub username: Option<Located<String>>,
    pub password: Option<Located<SecretSource>>,
    pub ca_file: Option<Located<String>>,
    pub response_timeout: Option<Located<Millis>>,
    pub connect_timeout: Option<Located<Millis>>,
    pub on_failure: Option<Located<OnCounterFailure>>,
    /// All that is there could be read.
    pub is_read: bool,
}

#[derive(Debug)]
pub enum RawServers {
    Single(RawUrl),
    Cluster(Located<Vec<Located<Secret>>>),
    Sentinel {
        urls: Located<Vec<Located<Secret>>>,
        master: Located<String>,
    },
}

/// Where the address of Redis stands.
#[derive(Debug)]
pub enum RawUrl {
    Here(Located<Secret>),
    Elsewhere(Located<SecretSource>),
}

const ON_FAILURE: &[(&str, OnCounterFailure)] = &[
    ("deny", OnCounterFailure::Deny),
    ("allow", OnCounterFailure::Allow),
    ("share", OnCounterFailure::Share),
];

pub fn counters(top: &Fields) -> Option<RawCounters> {
    let fields = top.optional("counters")?.fields(&["memory", "redis"])?;
    let (kind, item) = fields.one_kind(&["memory", "redis"])?;
    if kind == "memory" {
        item.fields(&[])?;
        return Some(RawCounters::Memory);
    }
    let redis = item.fields(&[
        "url",
        "url_env",
        "url_file",
        "cluster",
        "sentinel",
        "username",
        "password",
        "ca_file",
        "response_timeout",
        "connect_timeout",
        "on_failure",
    ])?;
    let timeout = |name, max| redis.optional(name).and_then(|item| item.span(1..=max));
    let username = redis.optional("username").map(|item| item.text());
    let password = redis.optional("password").map(|item| secret_source(&item));
    let ca_file = redis.optional("ca_file").map(|item| item.text());
    let is_read = !matches!(username, Some(None))
        && !matches!(password, Some(None))
        && !matches!(ca_file, Some(None));
    Some(RawCounters::Redis(Box::new(RawRedis {
        servers: servers(&redis),
        username: username.flatten(),
        password: password.flatten(),
        ca_file: ca_file.flatten(),
        response_timeout: timeout("response_timeout", 10 * SECOND_MS),
        connect_timeout: timeout("connect_timeout", MINUTE_MS),
        on_failure: redis
            .optional("on_failure")
            .and_then(|item| item.word(ON_FAILURE)),
        is_read,
    })))
}

fn servers(redis: &Fields) -> Option<RawServers> {
    let kinds = &["url", "url_env", "url_file", "cluster", "sentinel"];
    match redis.one_kind(kinds)? {
        ("url", item) => item.secret().map(RawUrl::Here).map(RawServers::Single),
        ("url_env", item) => env_source(&item)
            .map(RawUrl::Elsewhere)
            .map(RawServers::Single),
        ("url_file", item) => file_source(&item)
            .map(RawUrl::Elsewhere)
            .map(RawServers::Single),
        ("cluster", item) => urls(&item).map(RawServers::Cluster),
        (_, item) => {
            let fields = item.fields(&["urls", "master"])?;
            let urls = fields
                .required("urls", "the addresses of the Sentinels")
                .and_then(|item| urls(&item));
            let master = fields
                .required("master", "the name of the master that they watch over")
                .and_then(|item| item.text());
            Some(RawServers::Sentinel {
                urls: urls?,
                master: master?,
            })
        }
    }
}

fn urls(item: &Item) -> Option<Located<Vec<Located<Secret>>>> {
    let items = item.one_or_list()?;
    let urls: Option<Vec<_>> = items.iter().map(Item::secret).collect();
    Some(Located {
        value: urls?,
        at: item.at.clone(),
    })
}
