//! `identity.sources` as they are written, and where keys are looked for.

use super::keys::{list, pattern};
use crate::config::problem::Findings;
use crate::config::reader::{Fields, Item, Located};
use crate::expressions::Expression;
use crate::identity::source::{
    Caller, HeaderSource, Mapping, MeshSource, Places, Source, TokenSource, Trusted,
};
use crate::identity::table::Account;
use std::sync::Arc;

/// The most sources: each call may be held against all.
const SOURCES_MAX: usize = 16;

/// The name under which Envoy's `jwt_authn` keeps claims in our examples.
const PAYLOAD_DEFAULT: &str = "claims";

const KINDS: [&str; 5] = ["api_key", "jwt", "mesh", "headers", "anonymous"];

/// The outer `None` where nothing is written, the inner where it is wrong.
pub fn sources(identity: &Fields) -> Option<Option<Located<Vec<Source>>>> {
    let item = identity.optional("sources")?;
    Some(read(&item))
}

fn read(item: &Item) -> Option<Located<Vec<Source>>> {
    let items = item.list()?;
    if items.is_empty() || items.len() > SOURCES_MAX {
        return item.report(format!("must have 1 to {SOURCES_MAX} sources"));
    }
    let sources: Vec<Option<Source>> = items.iter().map(source).collect();
    let sources = sources.into_iter().collect::<Option<Vec<_>>>()?;
    let behind = sources.iter().rev().skip(1);
    if behind
        .into_iter()
        .any(|source| matches!(source, Source::Anonymous(_)))
    {
        return item.report("anonymous must be the last: those behind it would never be asked");
    }
    Some(Located {
        value: sources,
        at: item.at.clone(),
    })
}

fn source(item: &Item) -> Option<Source> {
    let (kind, item) = item.fields(&KINDS)?.one_kind(&KINDS)?;
    match kind {
        "api_key" => {
            let fields = item.fields(&["from"])?;
            let from = fields.optional("from");
            let places = from.map_or(Some(Places::default()), |item| places(&item));
            places.map(Source::Key)
        }
        "jwt" => token(&item).map(Source::Token),
        "mesh" => mesh(&item).map(Source::Mesh),
        "headers" => headers(&item).map(Source::Headers),
        _ => anonymous(&item).map(Source::Anonymous),
    }
}

/// Where keys are looked for: the places by their headers, and `query`.
pub fn places(item: &Item) -> Option<Places> {
    let written = item.one_or_list()?;
    if written.is_empty() || written.len() > SOURCES_MAX {
        return item.report(format!("must have 1 to {SOURCES_MAX} places"));
    }
    let mut places = Places {
        authorization: false,
        api_key: false,
        x_api_key: false,
        x_goog_api_key: false,
        query: false,
        headers: Vec::new(),
    };
    for item in &written {
        let place = match &*item.text()?.value {
            "authorization" => &mut places.authorization,
            "api-key" => &mut places.api_key,
            "x-api-key" => &mut places.x_api_key,
            "x-goog-api-key" => &mut places.x_goog_api_key,
            "query" => &mut places.query,
            _ => {
                places.headers.push(header(item)?);
                continue;
            }
        };
        *place = true;
    }
    Some(places)
}

/// A header's name, in lower case, that weir has no other use for.
pub fn header(item: &Item) -> Option<Arc<str>> {
    let text = item.text()?.value;
    let token = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
    let taken = [
        "host",
        "content-type",
        "content-length",
        "cookie",
        "connection",
    ];
    if taken.contains(&&*text) {
        return item.report("has a use of its own: must be another header, as x-acme-key");
    }
    if !text.bytes().all(token) || text.len() > 64 {
        return item.report("must be a header's name in lower case, as x-acme-key");
    }
    if text.starts_with("x-weir-") {
        return item.report("must not begin with x-weir-: such headers are weir's own");
    }
    Some(text.into())
}

fn token(item: &Item) -> Option<TokenSource> {
    let fields = item.fields(&[
        "name",
        "payload",
        "issuers",
        "tenant",
        "project",
        "environment",
        "user",
        "labels",
    ])?;
    let payload = fields.optional("payload").map(|item| item.name());
    let issuers = list(&fields, "issuers", |item| Some(item.text()?.value.into()));
    let mapping = mapping(&fields, "jwt", "claims");
    Some(TokenSource {
        payload: match payload {
            None => PAYLOAD_DEFAULT.into(),
            Some(name) => name?.value,
        },
        issuers: issuers?,
        mapping: mapping?,
    })
}

fn mesh(item: &Item) -> Option<MeshSource> {
    let fields = item.fields(&[
        "name",
        "peers",
        "proxies",
        "tenant",
        "project",
        "environment",
        "user",
        "labels",
    ])?;
    let what = "whose calls count, as \"spiffe://cluster.local/ns/*\"";
    let peers = fields.required("peers", what);
    let peers = peers.and_then(|_| list(&fields, "peers", pattern));
    let proxies = fields.optional("proxies").map(|item| trusted(&item));
    let mapping = mapping(&fields, "mesh", "mesh");
    Some(MeshSource {
        peers: peers?,
        proxies: match proxies {
            None => None,
            Some(proxies) => Some(proxies?),
        },
        mapping: mapping?,
    })
}

fn headers(item: &Item) -> Option<HeaderSource> {
    let fields = item.fields(&[
        "name",
        "gateway",
        "names",
        "tenant",
        "project",
        "environment",
        "user",
        "labels",
    ])?;
    let gateway = fields.required("gateway", "who sets these headers: nobody else is believed");
    let gateway = gateway.and_then(|item| trusted(&item));
    let names = fields.required("names", "the headers, as [x-tenant, x-user]");
    let names = names.and_then(|_| list(&fields, "names", header));
    let mapping = mapping(&fields, "headers", "headers");
    Some(HeaderSource {
        gateway: gateway?,
        names: names?,
        mapping: mapping?,
    })
}

fn trusted(item: &Item) -> Option<Trusted> {
    let fields = item.fields(&["addresses", "names"])?;
    let addresses = list(&fields, "addresses", super::keys::network);
    let names = list(&fields, "names", pattern);
    let trusted = Trusted {
        addresses: addresses?,
        names: names?,
    };
    match trusted == Trusted::default() {
        true => item.report("must have addresses, or names of certificates"),
        false => Some(trusted),
    }
}

fn mapping(fields: &Fields, kind: &'static str, root: &'static str) -> Option<Mapping> {
    let name = fields.optional("name").map(|item| item.name());
    let optional = |field| match fields.optional(field) {
        None => Some(None),
        Some(item) => expression(&item, root).map(Some),
    };
    let tenant = fields.required(
        "tenant",
        "an expression that says on whose account calls go",
    );
    let tenant = tenant.and_then(|item| expression(&item, root));
    let (project, environment) = (optional("project"), optional("environment"));
    let user = optional("user");
    let labels = fields.optional("labels").map_or(Some(Vec::new()), |item| {
        let each = item.named()?;
        let labels = each.map(|(name, item)| Some((name.value, expression(&item, root)?)));
        let labels: Vec<Option<_>> = labels.collect();
        labels.into_iter().collect()
    });
    let mut labels = labels?;
    labels.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(Mapping {
        id: match name {
            None => kind.into(),
            Some(name) => name?.value,
        },
        tenant: tenant?,
        project: project?,
        environment: environment?,
        user: user?,
        labels,
    })
}

fn expression(item: &Item, root: &str) -> Option<Expression> {
    let text = item.text()?.value;
    let compiled = Expression::compile(&text, &[root]);
    compiled
        .map_err(|error| item.report::<()>(error.to_string()))
        .ok()
}

fn anonymous(item: &Item) -> Option<Caller> {
    let fields = item.fields(&["tenant", "project", "environment", "user"])?;
    let name = |field| match fields.optional(field) {
        None => Some(None),
        Some(item) => item.name().map(|name| Some(name.value)),
    };
    let tenant = fields.required("tenant", "on whose account such calls go");
    let tenant = tenant.and_then(|item| item.name());
    let (project, environment, user) = (name("project"), name("environment"), name("user"));
    Some(Caller {
        id: "anonymous".into(),
        user: user?,
        account: Account {
            tenant: tenant?.value,
            project: project?,
            environment: environment?,
            ..Account::default()
        },
    })
}

/// What is allowed, but hardly meant.
pub fn warn(sources: &Located<Vec<Source>>, findings: &Findings) {
    let issuers_are_named = |source: &Source| match source {
        Source::Token(token) => !token.issuers.is_empty(),
        _ => true,
    };
    if sources.value.iter().all(issuers_are_named) {
        return;
    }
    let text = "a jwt without issuers believes whatever token the gateway verifies";
    findings.warning(&sources.at, text);
}
