//! Who may use the admin API.

use crate::config::Outside;
use crate::config::admin::{AdminConfig, ClientRole, JWKS_BYTES_MAX, OidcConfig};
use crate::config::problem::{Findings, shown};
use crate::config::raw::admin::{RawAdmin, RawClient, RawOidc};
use crate::config::reader::Located;
use crate::expressions::Expression;
use crate::identity::Role;
use crate::identity::jwt::{Expected, PublicKeys};
use crate::identity::scopes::Pattern;
use std::path::PathBuf;

/// `None` after a problem.
pub fn admin(raw: RawAdmin, outside: &dyn Outside, findings: &Findings) -> Option<AdminConfig> {
    let hosts: Vec<Option<String>> = raw.hosts.iter().map(|name| host(name, findings)).collect();
    let oidc = raw.oidc.map(|raw| oidc(raw, outside, findings));
    let clients = raw.clients.into_iter().map(|raw| client(raw, findings));
    let clients: Vec<Option<ClientRole>> = clients.collect();
    if !raw.is_read {
        return None;
    }
    Some(AdminConfig {
        hosts: hosts.into_iter().collect::<Option<_>>()?,
        oidc: match oidc {
            Some(oidc) => Some(oidc?),
            None => None,
        },
        clients: clients.into_iter().collect::<Option<_>>()?,
    })
}

fn host(name: &Located<String>, findings: &Findings) -> Option<String> {
    let good = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
    if name.value.bytes().all(good) {
        return Some(name.value.to_ascii_lowercase());
    }
    let rule = "must be the name of a host, without a scheme or a port";
    findings.problem(&name.at, format!("{rule} (got {})", shown(&name.value)));
    None
}

fn oidc(raw: RawOidc, outside: &dyn Outside, findings: &Findings) -> Option<OidcConfig> {
    let expression = |text: &Located<String>| {
        let compiled = Expression::compile(&text.value, &["claims"]);
        let report = |error: crate::expressions::NotAnExpression| {
            findings.problem(&text.at, error.to_string());
        };
        compiled.map_err(report).ok()
    };
    let role = raw.role.as_ref().and_then(expression);
    let tenant = raw.tenant.map(|text| text.as_ref().and_then(expression));
    let (inline, source) = raw.keys?;
    let keys = match inline {
        true => Some((source.value.clone(), None)),
        false => file(&source, outside, findings).map(|(text, path)| (text, Some(path))),
    };
    let keys = keys.and_then(|(text, path)| {
        let report = |error: crate::identity::jwt::NoKeys| {
            findings.problem(&source.at, error.to_string());
        };
        let keys = PublicKeys::read(&text).map_err(report).ok()?;
        Some((keys, path))
    });
    let (keys, keys_path) = keys?;
    Some(OidcConfig {
        expected: Expected {
            issuer: raw.issuer?.value.into(),
            audience: raw.audience?.value.into(),
        },
        keys,
        keys_path,
        role: role?,
        tenant: match tenant {
            Some(tenant) => Some(tenant?),
            None => None,
        },
    })
}

fn file(
    source: &Located<String>,
    outside: &dyn Outside,
    findings: &Findings,
) -> Option<(String, PathBuf)> {
    let path = PathBuf::from(&source.value);
    let fault = match outside.file(&path, JWKS_BYTES_MAX) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some((text, path)),
            Err(_) => "is not UTF-8".to_owned(),
        },
        Err(error) => format!("names a file that can't be read: {}", error.kind()),
    };
    findings.problem(&source.at, fault);
    None
}

fn client(raw: RawClient, findings: &Findings) -> Option<ClientRole> {
    let name = raw.name.and_then(|name| {
        // DNS names don't tell large letters from small ones; of URIs only the
        // scheme and the host do so, which are written small everywhere.
        let text = match name.value.contains("://") {
            true => name.value.clone(),
            false => name.value.to_ascii_lowercase(),
        };
        let report = |error: crate::identity::scopes::NoPattern| {
            findings.problem(&name.at, error.to_string());
        };
        Pattern::new(&text).map_err(report).ok()
    });
    let written = raw.role?;
    let tenant = raw.tenant.as_ref();
    let role = Role::new(written.value, tenant.map(|tenant| &*tenant.value));
    let at = tenant.map_or(&written.at, |tenant| &tenant.at);
    let role = role.map_err(|error| findings.problem(at, error.to_string()));
    Some(ClientRole {
        name: name?,
        role: role.ok()?,
    })
}
