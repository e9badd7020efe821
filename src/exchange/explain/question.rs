//! The call that is asked about, without its credential: who makes it is said.

use crate::exchange::message::{Headers, Judged, Peer, RequestHead};
use crate::identity::labels;
use crate::identity::source::Caller;
use crate::identity::table::Account;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The path that most calls go to.
pub const USUAL_PATH: &str = "/v1/chat/completions";

/// What stands for the key of a caller that is named by its tenant.
const NO_KEY: &str = "-";

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub head: RequestHead,
    pub body: Vec<u8>,
}

/// Who makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// The key of this name.
    Key(String),
    /// Somebody of a tenant.
    Caller(Caller),
}

impl Whom {
    /// Somebody of a tenant, known by no key.
    pub fn of_tenant(
        tenant: &str,
        project: Option<&str>,
        environment: Option<&str>,
        user: Option<&str>,
        labels: BTreeMap<Arc<str>, Arc<str>>,
    ) -> Self {
        Whom::Caller(Caller {
            id: NO_KEY.into(),
            user: user.map(Arc::from),
            account: Account {
                tenant: tenant.into(),
                project: project.map(Arc::from),
                environment: environment.map(Arc::from),
                labels: labels::sorted(labels),
                scopes: None,
                limits: None,
            },
        })
    }
}

impl Question {
    /// A call by `POST` with a body of JSON, unless its headers say otherwise. Names
    /// of headers may have any case; `host` is whom it is for.
    pub fn new(
        whom: Whom,
        path: &str,
        headers: impl IntoIterator<Item = (String, String)>,
        address: Option<IpAddr>,
        body: Vec<u8>,
    ) -> Self {
        let mut all: Headers = vec![
            (":method".to_owned(), b"POST".to_vec()),
            (":path".to_owned(), path.as_bytes().to_vec()),
        ];
        for (name, value) in headers {
            let name = match name.to_ascii_lowercase() {
                host if host == "host" => ":authority".to_owned(),
                name => name,
            };
            all.retain(|(known, _)| !name.starts_with(':') || *known != name);
            all.push((name, value.into_bytes()));
        }
        let has = |name: &str| all.iter().any(|(known, _)| known == name);
        if !has("content-type") {
            all.push(("content-type".to_owned(), b"application/json".to_vec()));
        }
        Self {
            head: RequestHead {
                answer_unseen: false,
                headers: all,
                end: false,
                peer: Peer {
                    address,
                    ..Peer::default()
                },
                envoy_route: None,
                judged: Some(match whom {
                    Whom::Key(name) => Judged::Key(name),
                    Whom::Caller(caller) => Judged::Caller(Box::new(caller)),
                }),
            },
            body,
        }
    }

    /// The same, where Envoy chose the route of this name.
    #[must_use]
    pub fn by_envoy_route(mut self, name: Option<String>) -> Self {
        self.head.envoy_route = name;
        self
    }
}
