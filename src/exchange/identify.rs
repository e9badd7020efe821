//! Who calls: by what ext_authz has judged already, else by the first source that
//! knows.

use super::credentials;
use super::head::single;
use super::message::{Judged, RequestHead};
use super::{Settings, head};
use crate::identity::source::{
    Caller, HeaderSource, MeshSource, Places, Source, TokenSource, forwarded_client, mesh_facts,
};
use crate::identity::table::Entry;
use crate::identity::{NotFound, Principal};
use crate::policy::Snapshot;
use crate::policy::route::Route;
use crate::protocol::denial::{Credential, Denial, Scope};
use crate::units::UnixMillis;
use serde_json::Value;
use std::sync::Arc;

/// The header in which Envoy tells of its client's certificate.
const FORWARDED_CERTIFICATE: &str = "x-forwarded-client-cert";

/// Who calls.
pub(super) struct Known {
    pub principal: Arc<Principal>,
    /// By a key, whose name is the principal's.
    pub by_key: bool,
}

/// The principal of a head.
///
/// # Errors
/// Nobody is known by it, or what it brings contradicts itself.
pub(super) fn identify(
    head: &RequestHead,
    route: Option<&Route>,
    snapshot: &Snapshot,
    settings: Settings,
    now: UnixMillis,
) -> Result<Known, Denial> {
    if let Some(judged) = head.judged.as_ref().filter(|_| settings.trust_ext_authz) {
        return judged_before(judged, snapshot, now);
    }
    for source in snapshot.sources.0.iter() {
        let found = match source {
            Source::Key(places) => {
                let of_route = route.and_then(|route| route.credentials.as_deref());
                by_key(head, of_route.unwrap_or(places), snapshot, now)?
            }
            Source::Token(source) => with_plan(by_token(head, source)?, snapshot)?,
            Source::Mesh(source) => with_plan(by_mesh(head, source)?, snapshot)?,
            Source::Headers(source) => with_plan(by_headers(head, source)?, snapshot)?,
            Source::Anonymous(caller) => with_plan(Some(caller.clone()), snapshot)?,
        };
        if let Some(principal) = found {
            return Ok(Known {
                principal: Arc::new(principal),
                by_key: matches!(source, Source::Key(_)),
            });
        }
    }
    Err(unauthenticated(Credential::Missing))
}

/// A key that was withdrawn since is as good as unknown.
fn judged_before(judged: &Judged, snapshot: &Snapshot, now: UnixMillis) -> Result<Known, Denial> {
    let principal = match judged {
        Judged::Key(id) => {
            let key = snapshot.keys.judged(id, now).map_err(not_found)?;
            of_key(key, snapshot)?
        }
        Judged::Caller(caller) => {
            let found = with_plan(Some((**caller).clone()), snapshot)?;
            found.ok_or(unauthenticated(Credential::Unknown))?
        }
    };
    Ok(Known {
        principal: Arc::new(principal),
        by_key: matches!(judged, Judged::Key(_)),
    })
}

fn by_key(
    head: &RequestHead,
    places: &Places,
    snapshot: &Snapshot,
    now: UnixMillis,
) -> Result<Option<Principal>, Denial> {
    let key = match credentials::key(&head.headers, places) {
        Ok(key) => key,
        Err(Credential::Missing) => return Ok(None),
        Err(wrong) => return Err(unauthenticated(wrong)),
    };
    let found = snapshot.keys.authenticate(key.as_bytes(), now);
    let found = found.map_err(not_found)?;
    found.key.touch(now);
    of_key(found.key, snapshot).map(Some)
}

fn not_found(why: NotFound) -> Denial {
    unauthenticated(match why {
        NotFound::Mistyped => Credential::Mistyped,
        NotFound::Unknown => Credential::Unknown,
        NotFound::Ended => Credential::Ended,
        NotFound::Unjudged => return Denial::KeysUnavailable,
    })
}

fn by_token(head: &RequestHead, source: &TokenSource) -> Result<Option<Caller>, Denial> {
    let payloads = head.peer.tokens.as_ref();
    let Some(claims) = payloads.and_then(|all| all.get(&*source.payload)) else {
        return Ok(None);
    };
    let issuer = claims.get("iss").and_then(Value::as_str);
    let mut issuers = source.issuers.iter();
    if !source.issuers.is_empty() && !issuers.any(|known| issuer == Some(&**known)) {
        return Ok(None);
    }
    let caller = source.mapping.caller("claims", claims);
    caller.map(Some).map_err(|_| unmapped())
}

fn by_mesh(head: &RequestHead, source: &MeshSource) -> Result<Option<Caller>, Denial> {
    let peer = head.peer.name.as_deref();
    let mut proxies = source.proxies.iter();
    let is_proxy = proxies.any(|proxies| proxies.holds(head.peer.address, peer));
    let forwarded = match single(&head.headers, FORWARDED_CERTIFICATE) {
        Ok(forwarded) => forwarded.filter(|_| is_proxy),
        Err(_) if is_proxy => return Err(unauthenticated(Credential::Several)),
        Err(_) => None,
    };
    let uri = match forwarded {
        Some(value) => Some(forwarded_client(value).ok_or(unmapped())?),
        // A proxy is not its clients.
        None if is_proxy => None,
        None => peer,
    };
    let known = |uri: &&str| source.peers.iter().any(|pattern| pattern.fits(uri));
    let Some(uri) = uri.filter(known) else {
        return Ok(None);
    };
    let caller = source.mapping.caller("mesh", &mesh_facts(uri));
    caller.map(Some).map_err(|_| unmapped())
}

fn by_headers(head: &RequestHead, source: &HeaderSource) -> Result<Option<Caller>, Denial> {
    let peer = &head.peer;
    if !source.gateway.holds(peer.address, peer.name.as_deref()) {
        return Ok(None);
    }
    let mut facts = serde_json::Map::new();
    for name in &source.names {
        let value = single(&head.headers, name);
        let value = value.map_err(|_| unauthenticated(Credential::Several))?;
        facts.extend(value.map(|value| (name.to_string(), Value::from(value))));
    }
    if facts.is_empty() {
        return Ok(None);
    }
    let caller = source.mapping.caller("headers", &Value::Object(facts));
    caller.map(Some).map_err(|_| unmapped())
}

fn of_key(key: &Entry, snapshot: &Snapshot) -> Result<Principal, Denial> {
    let principal = snapshot.principal(key).ok_or(no_plan())?;
    // One that can't be held to its limits isn't let through without them.
    let own = snapshot.own_limits(&principal);
    own.ok_or(Denial::OutOfScope(Scope::Limits))?;
    Ok(principal)
}

fn with_plan(caller: Option<Caller>, snapshot: &Snapshot) -> Result<Option<Principal>, Denial> {
    let Some(caller) = caller else {
        return Ok(None);
    };
    let Caller { id, user, account } = &caller;
    let principal = snapshot.principal_of(account, user.as_ref(), id);
    principal.ok_or(no_plan()).map(Some)
}

/// What of a head must not travel on, as it says who calls.
pub(super) fn is_credential(name: &str, snapshot: &Snapshot, route: Option<&Route>) -> bool {
    let in_places = |places: &Places| places.headers.iter().any(|known| **known == *name);
    let in_source = |source: &Source| match source {
        Source::Key(places) => in_places(places),
        Source::Headers(source) => source.names.iter().any(|known| **known == *name),
        Source::Token(_) | Source::Mesh(_) | Source::Anonymous(_) => false,
    };
    let of_route = route.and_then(|route| route.credentials.as_deref());
    credentials::KEY_HEADERS.contains(&name)
        || of_route.is_some_and(in_places)
        || snapshot.sources.0.iter().any(in_source)
}

fn unauthenticated(credential: Credential) -> Denial {
    Denial::Unauthenticated(credential)
}

fn unmapped() -> Denial {
    unauthenticated(Credential::Unmapped)
}

fn no_plan() -> Denial {
    Denial::OutOfScope(Scope::Plan)
}

/// Whether the caller may call from there, by this route.
///
/// # Errors
/// What its key is not for.
pub(super) fn entitle(
    principal: &Principal,
    head: &RequestHead,
    route: Option<&Route>,
) -> Result<(), Denial> {
    let environment = route.and_then(|route| route.environment.as_deref());
    let address = head.peer.address;
    if !head::scopes_allow(principal, |scopes| scopes.allow_address(address)) {
        return Err(Denial::OutOfScope(Scope::Address));
    }
    if !head::scopes_allow(principal, |scopes| scopes.allow_environment(environment)) {
        return Err(Denial::OutOfScope(Scope::Environment));
    }
    Ok(())
}
