//! `identity` as it is written: peppers and keys.

use super::policy::Name;
use super::{Raw, secret_source, sources};
use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::Secret;
use crate::identity::scopes::{ENTRIES_MAX, Pattern, Scopes};
use crate::identity::source::Source;
use crate::pricing::date;
use crate::units::UnixMillis;
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// The most labels of a key.
const LABELS_MAX: usize = 16;

#[derive(Debug)]
pub struct RawKey {
    pub id: Option<Name>,
    pub hash: Option<Located<Secret>>,
    pub tenant: Option<Name>,
    pub project: Option<Name>,
    pub environment: Option<Name>,
    pub user: Option<Name>,
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub scopes: Option<Scopes>,
    pub ends_at: Option<UnixMillis>,
    /// Whether what may be left out was, or could be read.
    pub is_read: bool,
}

pub fn identity(top: &Fields, raw: &mut Raw) {
    let what = "the keys that callers present";
    let Some(fields) = top.required("identity", what).and_then(|item| {
        item.fields(&[
            "pepper",
            "previous_pepper",
            "keys",
            "sources",
            "trust_ext_authz",
        ])
    }) else {
        return;
    };
    raw.pepper = fields
        .required("pepper", "the secret that key hashes are made with")
        .and_then(|item| secret_source(&item));
    raw.previous_pepper = fields
        .optional("previous_pepper")
        .map(|item| secret_source(&item));
    raw.sources = sources::sources(&fields);
    raw.keys = keys(&fields, raw.sources.as_ref());
    raw.trust_ext_authz = fields
        .optional("trust_ext_authz")
        .and_then(|item| item.boolean())
        .map(|trust| trust.value);
}

/// Where nobody is known by a key, none is needed.
fn keys(
    identity: &Fields,
    sources: Option<&Option<Located<Vec<Source>>>>,
) -> Option<Located<Vec<RawKey>>> {
    let sources = sources.and_then(|sources| sources.as_ref());
    let by_key = |source: &Source| matches!(source, Source::Key(_));
    if sources.is_some_and(|sources| !sources.value.iter().any(by_key))
        && let Some(sources) = sources
        && identity.optional("keys").is_none()
    {
        return Some(Located {
            value: Vec::new(),
            at: sources.at.clone(),
        });
    }
    let item = identity.required("keys", "without a key nobody can call")?;
    let keys = item.list()?.iter().filter_map(key).collect();
    Some(Located {
        value: keys,
        at: item.at,
    })
}

fn key(item: &Item) -> Option<RawKey> {
    let fields = item.fields(&[
        "id",
        "hash",
        "tenant",
        "project",
        "environment",
        "user",
        "labels",
        "scopes",
        "expires",
    ])?;
    let name = |field| fields.optional(field).and_then(|item: Item| item.name());
    let labels = fields.optional("labels").map(|item| labels(&item));
    let scopes = fields.optional("scopes").map(|item| scopes(&item));
    let ends_at = fields.optional("expires").map(|item| instant(&item));
    Some(RawKey {
        id: fields
            .required("id", "the name of the key in events and logs")
            .and_then(|item| item.name()),
        hash: fields
            .required("hash", "what `weir keys hash` prints for the key")
            .and_then(|item| item.secret()),
        tenant: fields
            .required("tenant", "on whose account the key's calls go")
            .and_then(|item| item.name()),
        project: name("project"),
        environment: name("environment"),
        user: name("user"),
        is_read: labels != Some(None) && scopes != Some(None) && ends_at != Some(None),
        labels: labels.flatten().unwrap_or_default(),
        scopes: scopes.flatten(),
        ends_at: ends_at.flatten(),
    })
}

fn labels(item: &Item) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let written = item.named()?;
    if written.len() > LABELS_MAX {
        return item.report(format!(
            "must have at most {LABELS_MAX} labels (got {})",
            written.len()
        ));
    }
    let each = written.into_iter();
    let labels = each.map(|(name, item)| Some((name.value, item.name()?.value)));
    let mut labels = labels
        .collect::<Vec<_>>()
        .into_iter()
        .collect::<Option<Vec<_>>>()?;
    labels.sort();
    Some(labels)
}

fn scopes(item: &Item) -> Option<Scopes> {
    let fields = item.fields(&["models", "endpoints", "addresses", "environments"])?;
    let models = list(&fields, "models", pattern);
    let endpoints = list(&fields, "endpoints", pattern);
    let addresses = list(&fields, "addresses", network);
    let environments = list(&fields, "environments", |item| Some(item.name()?.value));
    Some(Scopes {
        models: models?,
        endpoints: endpoints?,
        addresses: addresses?,
        environments: environments?,
    })
}

pub fn network(item: &Item) -> Option<IpNet> {
    let text = item.text()?.value;
    let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let net = text.parse().ok().or_else(one);
    net.or_else(|| item.report("must be an address or a network, as 10.0.0.0/8"))
}

pub fn pattern(item: &Item) -> Option<Pattern> {
    let text = item.text()?.value;
    Pattern::new(&text)
        .map_err(|error| item.report::<()>(error.to_string()))
        .ok()
}

/// An empty list would allow nothing, or everything: it is neither.
pub fn list<T>(fields: &Fields, name: &str, read: impl Fn(&Item) -> Option<T>) -> Option<Vec<T>> {
    let Some(item) = fields.optional(name) else {
        return Some(Vec::new());
    };
    let items = item.one_or_list()?;
    if items.is_empty() || items.len() > ENTRIES_MAX {
        return item.report(format!(
            "must have 1 to {ENTRIES_MAX} entries, or be left out"
        ));
    }
    items
        .iter()
        .map(read)
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

/// A date, whose first moment in UTC counts, or a time with its offset.
fn instant(item: &Item) -> Option<UnixMillis> {
    let text = item.text()?.value;
    let time = || {
        let time: Timestamp = text.parse().ok()?;
        u64::try_from(time.as_millisecond()).ok().map(UnixMillis)
    };
    let read = date::read(&text).or_else(time);
    let rule = "must be a date, as 2027-01-01, or a time, as 2027-01-01T12:00:00Z";
    read.or_else(|| item.report(rule))
}
