//! Who asks, by what they bring.
//!
//! | brought | known as | role |
//! |---|---|---|
//! | `listen.admin_token` | `listen.admin_token` | owner |
//! | `weir_admin_...` | the token's name | the token's |
//! | a token of `admin.oidc` | `oidc/` and its `sub` | as `admin.oidc.role` says |
//! | a certificate, and no `authorization` | `certificate/` and its name | as `admin.clients` says |
//!
//! Always holds: secrets are compared by digests, in constant time; who brings
//! something wrong too often is not listened to for a while, whatever they bring;
//! what can't be judged is refused.

mod oidc;

use super::answer::Wrong;
use super::caller::{Caller, Known, Needs};
use super::stored::AccountsApi;
use super::tries::{Peer, Tries};
use crate::certificates::ClientNames;
use crate::config::{AdminConfig, ClientRole};
use crate::driver::clock::Clock;
use crate::identity::{Role, format};
use crate::units::{Millis, UnixMillis};
use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use oidc::Oidc;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Wrong credentials of a peer: who mistypes does so a few times.
const WRONG_BURST: u64 = 10;
const WRONG_EVERY: Millis = Millis(2_000);

/// Requests of a peer to `/v1`: a program that goes through many pages has room, a
/// loop without end hasn't.
const REQUEST_BURST: u64 = 200;
const REQUEST_EVERY: Millis = Millis(10);

/// A certificate is sent by a browser itself; this header isn't, to other sites.
pub(super) const CHANGE_HEADER: &str = "x-weir-request";

/// The names of the certificate that was verified of who asks: URIs, and DNS names
/// in small letters.
#[derive(Debug, Clone)]
pub struct CertificateNames(pub Arc<[String]>);

impl CertificateNames {
    pub fn of(names: &ClientNames) -> Self {
        let dns = names.dns.iter().map(|name| name.to_ascii_lowercase());
        Self(names.uris.iter().cloned().chain(dns).collect())
    }
}

/// Who may ask.
pub struct Access {
    configured: ArcSwap<Configured>,
    accounts: AccountsApi,
    wrong: Tries,
    requests: Tries,
    clock: Clock,
}

/// What the configuration says of who may ask.
struct Configured {
    /// The hash of `listen.admin_token`.
    token: Option<[u8; 32]>,
    oidc: Option<Oidc>,
    clients: Vec<ClientRole>,
    hosts: Arc<[String]>,
}

impl Configured {
    fn new(token: Option<&str>, config: &AdminConfig) -> Self {
        Self {
            token: token.map(|token| Sha256::digest(token).into()),
            oidc: config.oidc.clone().map(Oidc::new),
            clients: config.clients.clone(),
            hosts: config.hosts.clone().into(),
        }
    }

    fn is_own_token(&self, token: &str) -> bool {
        // Hashed, so that the time it takes tells nothing of the token.
        let brought: [u8; 32] = Sha256::digest(token).into();
        let own = self.token.as_ref();
        own.is_some_and(|own| brought.ct_eq(own).into())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    pub fn new(token: Option<&str>, config: &AdminConfig, accounts: AccountsApi) -> Self {
        Self {
            configured: ArcSwap::from_pointee(Configured::new(token, config)),
            accounts,
            wrong: Tries::new(WRONG_BURST, WRONG_EVERY),
            requests: Tries::new(REQUEST_BURST, REQUEST_EVERY),
            clock: Clock::start(),
        }
    }

    /// Another configuration says who may ask. Who tried too often did so still.
    pub(super) fn change(&self, token: Option<&str>, config: &AdminConfig) {
        let configured = Configured::new(token, config);
        self.configured.store(Arc::new(configured));
    }

    /// Names that requests may be for.
    pub(super) fn hosts(&self) -> Arc<[String]> {
        Arc::clone(&self.configured.load().hosts)
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Who asks; each request is counted, and each that brings something wrong.
    async fn caller(
        &self,
        headers: &HeaderMap,
        peer: Peer,
        names: Option<&CertificateNames>,
    ) -> Result<Caller, Wrong> {
        let now = self.clock.now();
        let too_often = |tries: &Tries, error: &str| match tries.wait(peer, now) {
            None => Ok(()),
            Some(wait) => Err(Wrong {
                retry_after_secs: Some(wait.0.div_ceil(1_000)),
                ..Wrong::new(StatusCode::TOO_MANY_REQUESTS, error)
            }),
        };
        too_often(&self.requests, "too many requests come from there")?;
        too_often(&self.wrong, "too many wrong credentials came from there")?;
        self.requests.note(peer, now);
        let known = self.known(headers, names, now).await;
        let unknown = known
            .as_ref()
            .is_err_and(|wrong| wrong.status == StatusCode::UNAUTHORIZED);
        // Who brings nothing guesses nothing.
        if unknown && headers.contains_key(header::AUTHORIZATION) {
            self.wrong.note(peer, now);
        }
        known
    }

    async fn known(
        &self,
        headers: &HeaderMap,
        names: Option<&CertificateNames>,
        now: UnixMillis,
    ) -> Result<Caller, Wrong> {
        let configured = self.configured.load_full();
        let mut brought = headers.get_all(header::AUTHORIZATION).iter();
        let Some(first) = brought.next() else {
            return self.by_certificate(&configured, names);
        };
        let bearer = first.as_bytes().strip_prefix(b"Bearer ");
        let (Some(bearer), None) = (bearer, brought.next()) else {
            return Err(unknown());
        };
        let token = std::str::from_utf8(bearer).map_err(|_| unknown())?;
        if configured.is_own_token(token) {
            return Ok(Caller {
                name: "listen.admin_token".into(),
                role: Role::Owner,
                ends_at: None,
                by: Known::Token,
            });
        }
        if format::is_admin_token(token) {
            let found = self.accounts.find_token(token, now).await?;
            let found = found.ok_or_else(unknown)?;
            return Ok(Caller {
                name: found.id,
                role: found.role,
                ends_at: found.expires_at,
                by: Known::Token,
            });
        }
        match &configured.oidc {
            Some(oidc) => oidc.caller(token, now),
            None => Err(unknown()),
        }
    }

    fn by_certificate(
        &self,
        configured: &Configured,
        names: Option<&CertificateNames>,
    ) -> Result<Caller, Wrong> {
        let Configured {
            token,
            oidc,
            clients,
            ..
        } = configured;
        let Some(names) = names.filter(|_| !clients.is_empty()) else {
            let nobody = token.is_none() && oidc.is_none() && !self.accounts.is_there();
            return Err(match nobody && clients.is_empty() {
                true => {
                    Wrong::forbidden("this is switched off: set listen.admin_token to switch it on")
                }
                false => unknown(),
            });
        };
        let fits = |client: &ClientRole| {
            let name = names.0.iter().find(|name| client.name.fits(name))?;
            Some((name.clone(), client.role.clone()))
        };
        let (name, role) = clients.iter().find_map(fits).ok_or_else(|| {
            Wrong::forbidden("the certificate has no name that admin.clients gives a role")
        })?;
        Ok(Caller {
            name: format!("certificate/{name}").into(),
            role,
            ends_at: None,
            by: Known::Certificate,
        })
    }
}

/// Nothing is said of why: it would help to guess.
fn unknown() -> Wrong {
    let error = "a token that counts is needed, as authorization: Bearer";
    Wrong::new(StatusCode::UNAUTHORIZED, error)
}

/// Lets requests in to a page that needs this.
pub(super) async fn enter(
    State((access, needs)): State<(Arc<Access>, Needs)>,
    mut request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let peer = extensions.get().copied().unwrap_or(Peer::Others);
    let names = extensions.get::<CertificateNames>().cloned();
    let headers = request.headers().clone();
    let changes = request.method() != Method::GET && request.method() != Method::HEAD;
    let caller = access.caller(&headers, peer, names.as_ref()).await;
    let let_in = caller.and_then(|caller| {
        let by_browser = caller.by == Known::Certificate && changes;
        if by_browser && !headers.contains_key(CHANGE_HEADER) {
            let error = format!("who is known by a certificate must send {CHANGE_HEADER}: 1");
            return Err(Wrong::forbidden(error));
        }
        needs.permit(&caller.role).map(|()| caller)
    });
    match let_in {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(wrong) => wrong.into_response(),
    }
}
