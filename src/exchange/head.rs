//! Judging a request's head: who calls, and is it a call that weir meters.

use super::admit::Refused;
use super::credentials;
use super::identify::{Known, entitle, identify, is_credential};
use super::message::{HeaderEdits, Headers, Judged, RequestHead};
use super::routing::{is_chosen_without_a_client, route};
use super::{Settings, guardrails, hints};
use crate::identity::source::Caller;
use crate::identity::table::Account;
use crate::identity::{Principal, Scopes};
use crate::policy::Snapshot;
use crate::policy::facts::Hints;
use crate::policy::route::Route;
use crate::protocol::denial::{Denial, EncodingFault, Entitlement, Scope};
use crate::protocol::inflate::Encoding;
use crate::protocol::refusal::Form;
use crate::protocol::request::is_model_name;
use crate::protocol::{Dialect, Endpoint, multipart};
use crate::units::UnixMillis;
use std::borrow::Cow;
use std::sync::Arc;

/// Headers of this prefix are the gateway's own; a client's are removed.
const INTERNAL_PREFIX: &str = "x-weir-";

/// Headers by which a client could keep an answer from saying what was used:
/// Google's servers leave out what isn't asked for.
/// And those by which it could be another request than the one that is judged.
const HIDING_HEADERS: [&str; 4] = [
    "x-goog-fieldmask",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// A call whose sender and purpose are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identified {
    pub principal: Arc<Principal>,
    /// It is known by a key.
    pub by_key: bool,
    pub endpoint: Endpoint,
    /// The model that the path names, if it names one.
    pub path_model: Option<String>,
    /// What its body is written in.
    pub content: Content,
    /// It asks for an upgrade: no bodies follow that could be read.
    pub upgrade: bool,
    /// The path as it goes on, where it names the model.
    pub sent_path: Option<String>,
    /// The name of the configuration's route that fits it.
    pub route: Option<Arc<str>>,
    /// What conditions may see of the head.
    pub hints: Hints,
    pub started_at: UnixMillis,
    pub traceparent: Option<String>,
}

/// How a body is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// What stands between its parts, where it is a form.
    pub boundary: Option<String>,
    pub encoding: Encoding,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            boundary: None,
            encoding: Encoding::Identity,
        }
    }
}

impl Identified {
    /// Nothing of it is read but its head: it is let through as it is, and
    /// counted as a request.
    pub fn passes_unread(&self) -> bool {
        self.endpoint == Endpoint::Other
    }

    /// Its body has to be decoded before it can be read.
    pub fn is_encoded(&self) -> bool {
        self.content.encoding != Encoding::Identity
    }

    /// Whom another filter needn't look for again.
    pub fn judged(&self) -> Judged {
        let who = &self.principal;
        if self.by_key {
            return Judged::Key(who.key_id.to_string());
        }
        Judged::Caller(Box::new(Caller {
            id: Arc::clone(&who.key_id),
            user: who.user.clone(),
            account: Account {
                tenant: Arc::clone(&who.tenant),
                project: who.project.clone(),
                environment: who.environment.clone(),
                labels: who.labels.clone(),
                scopes: None,
                limits: None,
            },
        }))
    }

    /// The provider answered a body that weir was never shown: the gateway is
    /// set up so that calls could pass unmetered, and this one must not.
    pub fn unmetered(self) -> Box<Refused> {
        let Self {
            principal,
            endpoint,
            started_at,
            ..
        } = self;
        Refused::new(
            Denial::Unmetered,
            Some(&principal),
            Some(endpoint),
            started_at,
        )
    }
}

/// Judges a head. In order: can it be read, who is it, where does it go, what
/// does it bring.
pub(super) fn judge(
    head: &RequestHead,
    snapshot: &Snapshot,
    settings: Settings,
    now: UnixMillis,
) -> Result<(Identified, HeaderEdits), Box<Refused>> {
    let anonymous = |denial| Refused::new(denial, None, None, now);
    let values_ok = head.headers.iter().all(|(_, value)| is_text(value));
    if !values_ok {
        return Err(anonymous(Denial::BadHeader(
            "a value is not UTF-8, or holds a NUL",
        )));
    }
    is_chosen_without_a_client(head, snapshot).map_err(anonymous)?;
    let route = route(head, snapshot);
    let found = identify(head, route, snapshot, settings, now).map_err(anonymous)?;
    let Known { principal, by_key } = found;
    let refused = |denial, endpoint| Refused::new(denial, Some(&principal), endpoint, now);
    entitle(&principal, head, route).map_err(|denial| refused(denial, None))?;
    let upgrade = asks_for_upgrade(&head.headers);
    let (endpoint, path_model) =
        endpoint(&head.headers, route, upgrade).map_err(|denial| refused(denial, None))?;
    if !scopes_allow(&principal, |scopes| scopes.allow_endpoint(endpoint.path())) {
        return Err(refused(Denial::OutOfScope(Scope::Endpoint), Some(endpoint)));
    }
    let terms = snapshot.terms(&principal);
    if terms.is_some_and(|terms| !terms.allow_endpoint(endpoint)) {
        let denial = guardrails::not_entitled(Entitlement::Endpoint);
        return Err(refused(denial, Some(endpoint)));
    }
    let content = match endpoint {
        Endpoint::Other => Content::default(),
        _ => content(head, endpoint, settings.body_bytes_max)
            .map_err(|denial| refused(denial, Some(endpoint)))?,
    };
    let is_credential = |name: &str| is_credential(name, snapshot, route);
    let edits = edits(&head.headers, settings, is_credential);
    let traceparent = single(&head.headers, "traceparent")
        .ok()
        .flatten()
        .filter(|value| value.len() <= 128 && value.is_ascii())
        .map(str::to_owned);
    let identified = Identified {
        principal,
        by_key,
        endpoint,
        content,
        upgrade,
        sent_path: sent_path(&head.headers, &edits, path_model.is_some()),
        path_model,
        route: route.and_then(|route| route.name.clone()),
        hints: hints::of(&head.headers, snapshot),
        started_at: now,
        traceparent,
    };
    Ok((identified, edits))
}

/// The path that goes on to the provider.
fn sent_path(headers: &Headers, edits: &HeaderEdits, wanted: bool) -> Option<String> {
    let mut set = edits.set.iter();
    let edited = set.find(|(name, _)| *name == ":path");
    let came = || single(headers, ":path").ok().flatten();
    let path = edited.map(|(_, path)| path.as_str()).or_else(came);
    path.filter(|_| wanted).map(str::to_owned)
}

/// In which form a call with this head is refused.
pub(super) fn form(head: &RequestHead, snapshot: &Snapshot, settings: Settings) -> Form {
    let path = single(&head.headers, ":path").ok().flatten().unwrap_or("");
    let guess = Form::of_head(path, head.headers.iter().map(|(name, _)| name.as_str()));
    let said = route(head, snapshot).and_then(|route| route.dialect);
    Form {
        dialect: said.unwrap_or(guess.dialect),
        quota_status: settings.quota_status,
        ..guess
    }
}

fn asks_for_upgrade(headers: &Headers) -> bool {
    let connects = single(headers, ":method").ok().flatten() == Some("CONNECT");
    connects || headers.iter().any(|(name, _)| name == "upgrade")
}

pub(super) fn scopes_allow(principal: &Principal, allow: impl Fn(&Scopes) -> bool) -> bool {
    principal.scopes.as_deref().is_none_or(allow)
}

fn endpoint(
    headers: &Headers,
    route: Option<&Route>,
    upgrade: bool,
) -> Result<(Endpoint, Option<String>), Denial> {
    let (path, _) = split_path(headers);
    if upgrade {
        // Whoever doesn't know the upgrade answers the request that it came with.
        let method = single(headers, ":method").ok().flatten();
        let allowed = route.is_some_and(|route| route.allow_upgrades)
            && matches!(method, Some("GET" | "CONNECT"))
            && !Endpoint::resembles_a_known_path(path)
            && !Endpoint::may_not_pass(path);
        let denied = Err(Denial::Upgrade);
        return allowed
            .then_some((Endpoint::Other, None))
            .map_or(denied, Ok);
    }
    let dialect = route.and_then(|route| route.dialect);
    let Some((endpoint, model)) = Endpoint::of_request_path(path, dialect) else {
        // What a provider might take for a call that can be metered is never
        // let through unread.
        let passes = route.is_some_and(|route| route.pass_unknown)
            && !Endpoint::resembles_a_known_path(path)
            && !Endpoint::may_not_pass(path);
        let denied = Err(Denial::UnknownEndpoint);
        return passes.then_some((Endpoint::Other, None)).map_or(denied, Ok);
    };
    if endpoint.dialect() == Dialect::Gemini && !credentials::query_is_known(headers) {
        return Err(Denial::BadQuery);
    }
    let model = model.map(Cow::into_owned);
    if model.as_deref().is_some_and(|name| !is_model_name(name)) {
        return Err(Denial::UnknownModel);
    }
    match single(headers, ":method") {
        Ok(Some("POST")) => Ok((endpoint, model)),
        _ => Err(Denial::MethodNotAllowed),
    }
}

/// The path and what follows its first `?`.
pub(super) fn split_path(headers: &Headers) -> (&str, Option<&str>) {
    let path = single(headers, ":path").ok().flatten().unwrap_or("");
    match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    }
}

/// One content type that the endpoint takes, at most one coding, a length within
/// the bound, a body.
fn content(
    head: &RequestHead,
    endpoint: Endpoint,
    body_bytes_max: usize,
) -> Result<Content, Denial> {
    let unsupported = Denial::UnsupportedMediaType {
        form: endpoint.takes_forms(),
    };
    let Ok(Some(content_type)) = single(&head.headers, "content-type") else {
        return Err(unsupported);
    };
    let boundary = multipart::boundary(content_type).filter(|_| endpoint.takes_forms());
    if boundary.is_none() && (endpoint.takes_forms() || !is_json(content_type)) {
        return Err(unsupported);
    }
    let encoding = match single(&head.headers, "content-encoding") {
        Ok(None) => Some(Encoding::Identity),
        Ok(Some(value)) => Encoding::from_header(value).filter(|_| !value.is_empty()),
        Err(Several) => None,
    };
    let encoding = encoding.ok_or(Denial::Encoding(EncodingFault::Unsupported))?;
    let length = single(&head.headers, "content-length")
        .map_err(|Several| Denial::BadHeader("several content-length"))?;
    let length = length.and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|bytes| bytes > body_bytes_max) {
        return Err(Denial::BodyTooLarge {
            bytes_max: body_bytes_max,
        });
    }
    if head.end {
        return Err(Denial::Body(crate::protocol::BodyError {
            message: "The request has no body.".into(),
            param: None,
        }));
    }
    Ok(Content {
        boundary: boundary.map(str::to_owned),
        encoding,
    })
}

/// `application/json`, with no charset or UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or("").trim();
    let charset_ok = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    essence.eq_ignore_ascii_case("application/json") && charset_ok
}

/// No client's to send, whoever it is.
fn is_nobodys(name: &str) -> bool {
    name.starts_with(INTERNAL_PREFIX) || HIDING_HEADERS.contains(&name)
}

impl HeaderEdits {
    /// Leaves what says who calls, for another who judges that.
    pub(super) fn leave_credentials(&mut self) {
        self.remove.retain(|name| is_nobodys(name));
        self.set.retain(|(name, _)| *name != ":path");
    }
}

fn edits(
    headers: &Headers,
    settings: Settings,
    is_credential: impl Fn(&str) -> bool,
) -> HeaderEdits {
    let mut remove: Vec<String> = headers
        .iter()
        .filter(|(name, _)| is_nobodys(name) || is_credential(name))
        .map(|(name, _)| name.clone())
        .collect();
    if !settings.keep_authorization {
        remove.push("authorization".to_owned());
    }
    // An answer that isn't compressed is read without inflating, and the usage
    // that weir asked for can be cut out of it in place. Who asks for nothing is
    // sent nothing compressed.
    let compressed = |(name, value): &(String, Vec<u8>)| {
        name == "accept-encoding" && value.as_slice() != b"identity"
    };
    let mut set = Vec::new();
    if headers.iter().any(compressed) {
        set.push(("accept-encoding", "identity".to_owned()));
    }
    set.extend(credentials::path_without_key(headers).map(|path| (":path", path)));
    HeaderEdits { remove, set }
}

/// There are several headers of a name that may come once.
pub(super) struct Several;

/// The value of a header that may come once.
pub(super) fn single<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Several> {
    let mut found = headers.iter().filter(|(n, _)| n == name);
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => Ok(Some(std::str::from_utf8(value).unwrap_or(""))),
        (Some(_), Some(_)) => Err(Several),
    }
}

fn is_text(value: &[u8]) -> bool {
    !value.contains(&0) && std::str::from_utf8(value).is_ok()
}
