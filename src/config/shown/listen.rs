//! Where weir listens, and who may use the admin API.

use super::secrets::Secrets;
use crate::config::{Address, AdminConfig, Listen, TlsSettings};
use serde_json::{Value, json};

pub(super) fn of_listen(listen: &Listen, secrets: &mut Secrets) -> Value {
    json!({
        "grpc": listen.grpc.iter().map(of_address).collect::<Vec<_>>(),
        "admin": of_address(&listen.admin),
        "admin_token": secrets.hide("listen.admin_token", listen.admin_token.as_ref()),
        "http_authz": listen.http_authz.as_ref().map(of_address),
        "health": listen.health.as_ref().map(of_address),
    })
}

fn of_address(address: &Address) -> Value {
    let text = address.to_string();
    match address {
        Address::Unix(socket) => json!({
            "address": text,
            "mode": format!("{:04o}", socket.mode),
            "owner": { "user": socket.owner.user, "group": socket.owner.group },
        }),
        Address::Tcp(socket) => json!({
            "address": text,
            "tls": socket.tls.as_ref().map(of_tls),
        }),
    }
}

fn of_tls(tls: &TlsSettings) -> Value {
    let names = tls.client_names.iter().map(ToString::to_string);
    json!({
        "cert": tls.cert,
        "key": tls.key,
        "client_ca": tls.client_ca,
        "client_names": names.collect::<Vec<_>>(),
    })
}

pub(super) fn of_admin(admin: &AdminConfig, secrets: &mut Secrets) -> Value {
    let oidc = admin.oidc.as_ref().map(|oidc| {
        json!({
            "issuer": *oidc.expected.issuer,
            "audience": *oidc.expected.audience,
            "jwks": {
                "file": oidc.keys_path,
                "keys": secrets.hide_bytes("admin.oidc.jwks.keys", Some(oidc.keys.digest())),
            },
            "role": oidc.role.as_str(),
            "tenant": oidc.tenant.as_ref().map(|tenant| tenant.as_str()),
        })
    });
    let clients = admin.clients.iter().map(|client| {
        json!({
            "name": client.name.as_str(),
            "role": client.role.as_str(),
            "tenant": client.role.tenant().map(|tenant| &**tenant),
        })
    });
    json!({ "hosts": admin.hosts, "oidc": oidc, "clients": clients.collect::<Vec<_>>() })
}
