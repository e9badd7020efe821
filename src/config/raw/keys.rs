//! `identity` as it is written: peppers and keys.

use super::limits::{self, RawLimit};
use super::policy::Name;
use super::{DAY_MS, Raw, SECOND_MS, secret_source, sources};
use crate::config::problem::At;
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

/// Longer than any outage that calls should outlive on keys nobody could withdraw.
const STALE_MS_MAX: u64 = 30 * DAY_MS;

/// The most labels of a key.
const LABELS_MAX: usize = 16;

/// What a key may have besides its name and its hash.
const ATTRIBUTES: &[&str] = &[
    "tenant",
    "project",
    "environment",
    "user",
    "owner",
    "labels",
    "scopes",
    "limits",
    "expires",
];

#[derive(Debug)]
pub struct RawKey {
    pub id: Option<Name>,
    pub hash: Option<Located<Secret>>,
    pub attributes: RawAttributes,
}

#[derive(Debug)]
pub struct RawAttributes {
    pub tenant: Option<Name>,
    pub project: Option<Name>,
    pub environment: Option<Name>,
    pub user: Option<Name>,
    /// Whom to ask about it: only to be shown.
    pub owner: Option<Name>,
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub scopes: Option<Scopes>,
    pub ends_at: Option<UnixMillis>,
    pub limits: Option<Located<Vec<RawLimit>>>,
    /// The same as JSON.
    pub limits_json: Option<String>,
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
            "default_plan",
            "stale_max",
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
    let sources = raw.sources.as_ref().and_then(|sources| sources.as_ref());
    let by_key = |source: &Source| matches!(source, Source::Key(_));
    let none_is_needed = sources.filter(|sources| !sources.value.iter().any(by_key));
    raw.keys = match (fields.optional("keys"), none_is_needed) {
        (Some(item), _) => keys(&item),
        // Where nobody is known by a key, none is needed.
        (None, Some(sources)) => Some(Located {
            value: Vec::new(),
            at: sources.at.clone(),
        }),
        (None, None) => {
            raw.keys_are_missing = Some(At {
                place: fields.at.place,
                path: fields.at.path.field("keys"),
            });
            None
        }
    };
    raw.default_plan = fields.optional("default_plan").and_then(|item| item.name());
    raw.keys_stale_max = fields
        .optional("stale_max")
        .and_then(|item| item.span(SECOND_MS..=STALE_MS_MAX));
    raw.trust_ext_authz = fields
        .optional("trust_ext_authz")
        .and_then(|item| item.boolean())
        .map(|trust| trust.value);
}

fn keys(item: &Item) -> Option<Located<Vec<RawKey>>> {
    let keys = item.list()?.iter().filter_map(key).collect();
    Some(Located {
        value: keys,
        at: item.at.clone(),
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
        "owner",
        "labels",
        "scopes",
        "limits",
        "expires",
    ])?;
    Some(RawKey {
        id: fields
            .required("id", "the name of the key in events and logs")
            .and_then(|item| item.name()),
        hash: fields
            .required("hash", "what `weir keys hash` prints for the key")
            .and_then(|item| item.secret()),
        attributes: attributes_of(&fields),
    })
}

/// A key that is kept elsewhere, without its name and its hash.
pub fn attributes(item: &Item) -> Option<RawAttributes> {
    item.fields(ATTRIBUTES).map(|fields| attributes_of(&fields))
}

fn attributes_of(fields: &Fields) -> RawAttributes {
    let name = |field| fields.optional(field).and_then(|item: Item| item.name());
    let labels = fields.optional("labels").map(|item| labels(&item));
    let scopes = fields.optional("scopes").map(|item| scopes(&item));
    let ends_at = fields.optional("expires").map(|item| instant(&item));
    let own = fields.optional("limits");
    let limits = own.as_ref().map(limits::limits);
    let is_read = labels != Some(None) && scopes != Some(None) && ends_at != Some(None);
    RawAttributes {
        tenant: fields
            .required("tenant", "on whose account the key's calls go")
            .and_then(|item| item.name()),
        project: name("project"),
        environment: name("environment"),
        user: name("user"),
        owner: name("owner"),
        is_read: is_read && !matches!(limits, Some(None)),
        labels: labels.flatten().unwrap_or_default(),
        scopes: scopes.flatten(),
        ends_at: ends_at.flatten(),
        limits: limits.flatten(),
        limits_json: own.map(|item| item.to_json().to_string()),
    }
}

fn labels(item: &Item) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let written: Vec<_> = item.named()?.collect();
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
    let rule = "must be a date, as 2027-01-01, or a time, as 2027-01-01T12:00:00Z";
    instant_of(&text).or_else(|| item.report(rule))
}

pub fn instant_of(text: &str) -> Option<UnixMillis> {
    let time = || {
        let time: Timestamp = text.parse().ok()?;
        u64::try_from(time.as_millisecond()).ok().map(UnixMillis)
    };
    date::read(text).or_else(time)
}
