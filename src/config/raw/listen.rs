//! `listen` as it is written.

use super::secret_source;
use crate::config::problem::At;
use crate::config::reader::{Fields, Item, Located};
use crate::config::secret::SecretSource;

#[derive(Debug, Default)]
pub struct RawListen {
    pub grpc: Option<Located<Vec<RawAddress>>>,
    pub admin: Option<RawAddress>,
    pub admin_token: Option<Located<SecretSource>>,
    pub http_authz: Option<RawAddress>,
    pub health: Option<RawAddress>,
    pub allow_remote: bool,
}

/// `"unix:/path"`, `"host:port"`, or one of them as `address` among fields.
#[derive(Debug)]
pub struct RawAddress {
    pub address: Option<Located<String>>,
    /// Of a Unix socket.
    pub mode: Option<Located<String>>,
    pub owner: Option<Located<String>>,
    /// Of TCP.
    pub tls: Option<RawTls>,
}

#[derive(Debug)]
pub struct RawTls {
    pub at: At,
    pub cert: Option<Located<String>>,
    pub key: Option<Located<String>>,
    pub client_ca: Option<Located<String>>,
    /// Whether `client_ca` is there, be it right or wrong.
    pub has_client_ca: bool,
    pub client_names: Option<Located<Vec<Located<String>>>>,
}

pub fn listen(top: &Fields) -> Option<RawListen> {
    let fields = top
        .required("listen", "where Envoy reaches weir")?
        .fields(&[
            "grpc",
            "admin",
            "admin_token",
            "http_authz",
            "health",
            "allow_remote",
        ])?;
    let grpc = fields
        .required("grpc", "\"unix:/path\" or \"host:port\", or a list of them")
        .and_then(|item| {
            let addresses = item.one_or_list()?.iter().filter_map(address).collect();
            Some(Located {
                value: addresses,
                at: item.at,
            })
        });
    Some(RawListen {
        grpc,
        admin: fields.optional("admin").and_then(|item| address(&item)),
        http_authz: fields
            .optional("http_authz")
            .and_then(|item| address(&item)),
        health: fields.optional("health").and_then(|item| address(&item)),
        admin_token: fields
            .optional("admin_token")
            .and_then(|item| secret_source(&item)),
        allow_remote: fields
            .optional("allow_remote")
            .and_then(|item| item.boolean())
            .is_some_and(|allow| allow.value),
    })
}

fn address(item: &Item) -> Option<RawAddress> {
    if !item.is_mapping() {
        return Some(RawAddress {
            address: Some(item.text()?),
            mode: None,
            owner: None,
            tls: None,
        });
    }
    let fields = item.fields(&["address", "mode", "owner", "tls"])?;
    let text = |name| fields.optional(name).and_then(|item| item.text());
    Some(RawAddress {
        address: fields
            .required("address", "\"unix:/path\" or \"host:port\"")
            .and_then(|item| item.text()),
        mode: text("mode"),
        owner: text("owner"),
        tls: fields.optional("tls").and_then(|item| tls(&item)),
    })
}

fn tls(item: &Item) -> Option<RawTls> {
    let fields = item.fields(&["cert", "key", "client_ca", "client_names"])?;
    let file = |name, what| fields.required(name, what).and_then(|item| item.text());
    let client_ca = fields.optional("client_ca");
    let client_names = fields.optional("client_names").and_then(|item| {
        let names = item.list()?.iter().filter_map(Item::text).collect();
        Some(Located {
            value: names,
            at: item.at,
        })
    });
    Some(RawTls {
        cert: file("cert", "the PEM file of weir's certificate"),
        key: file("key", "the PEM file of the certificate's private key"),
        has_client_ca: client_ca.is_some(),
        client_ca: client_ca.and_then(|item| item.text()),
        client_names,
        at: fields.at,
    })
}
