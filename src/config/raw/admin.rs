//! `admin` as it is written: who may use the admin API.

use crate::config::reader::{Fields, Item, Located};
use std::sync::Arc;

/// The most names of hosts, and of clients: each request is held against all.
const LIST_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct RawAdmin {
    pub hosts: Vec<Located<String>>,
    pub oidc: Option<RawOidc>,
    pub clients: Vec<RawClient>,
    /// Whether what may be left out was, or could be read.
    pub is_read: bool,
}

#[derive(Debug)]
pub struct RawOidc {
    pub issuer: Option<Located<String>>,
    pub audience: Option<Located<String>>,
    /// Whether it stands there itself, and it or its file.
    pub keys: Option<(bool, Located<String>)>,
    pub role: Option<Located<String>>,
    /// The inner is `None` where what is written can't be read.
    pub tenant: Option<Option<Located<String>>>,
}

#[derive(Debug)]
pub struct RawClient {
    pub name: Option<Located<String>>,
    pub role: Option<Located<&'static str>>,
    pub tenant: Option<Located<Arc<str>>>,
}

pub fn admin(top: &Fields) -> RawAdmin {
    let nothing = || RawAdmin {
        is_read: true,
        ..RawAdmin::default()
    };
    let Some(item) = top.optional("admin") else {
        return nothing();
    };
    let Some(fields) = item.fields(&["hosts", "oidc", "clients"]) else {
        return RawAdmin::default();
    };
    let hosts = fields
        .optional("hosts")
        .map(|item| some(&item, |item| item.text()));
    let oidc = fields.optional("oidc").map(|item| oidc(&item));
    let clients = fields.optional("clients").map(|item| some(&item, client));
    let is_read = !matches!(hosts, Some(None))
        && !matches!(oidc, Some(None))
        && !matches!(clients, Some(None));
    RawAdmin {
        hosts: hosts.flatten().unwrap_or_default(),
        oidc: oidc.flatten(),
        clients: clients.flatten().unwrap_or_default(),
        is_read,
    }
}

/// `None` after a problem.
fn some<T>(item: &Item, read: impl Fn(&Item) -> Option<T>) -> Option<Vec<T>> {
    let items = item.list()?;
    if items.len() > LIST_MAX {
        return item.report(format!("must have at most {LIST_MAX} entries"));
    }
    items.iter().map(read).collect()
}

fn oidc(item: &Item) -> Option<RawOidc> {
    let fields = item.fields(&["issuer", "audience", "jwks", "role", "tenant"])?;
    let text = |name, what| {
        let item = fields.required(name, what);
        item.and_then(|item| item.text())
    };
    let keys = fields
        .required("jwks", "the provider's public keys: file or inline")
        .and_then(|item| {
            let kinds = &["file", "inline"];
            let (kind, item) = item.fields(kinds)?.one_kind(kinds)?;
            // It has any length and form, as files do.
            let text = item.secret()?;
            let value = text.value.expose().to_owned();
            Some((kind == "inline", Located { value, at: text.at }))
        });
    Some(RawOidc {
        issuer: text("issuer", "what the tokens' iss must be"),
        audience: text("audience", "what the tokens' aud must have"),
        keys,
        role: text("role", "an expression that gives a role from claims"),
        tenant: fields.optional("tenant").map(|item| item.text()),
    })
}

fn client(item: &Item) -> Option<RawClient> {
    let words = &["viewer", "operator", "tenant-admin", "owner"].map(|word| (word, word));
    let fields = item.fields(&["name", "role", "tenant"])?;
    Some(RawClient {
        name: fields
            .required(
                "name",
                "a name of the client's certificate, as spiffe://mesh/ns/ops/*",
            )
            .and_then(|item| item.text()),
        role: fields
            .required("role", "what the client may do")
            .and_then(|item| item.word(words)),
        tenant: fields.optional("tenant").and_then(|item| item.name()),
    })
}
