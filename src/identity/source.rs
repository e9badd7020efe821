//! The ways in which a caller may be known, and what is made of each.
//!
//! A source that has nothing to say leaves the call to the next; one that has, but
//! what can't be right, refuses it: nobody falls back to a weaker source by
//! sending rubbish to a stronger.
//!
//! Left to others: what a call brings (`exchange`), who verified it (the gateway).

use super::scopes::Pattern;
use super::table::Account;
use crate::expressions::{Expression, Facts, NoValue};
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest name of a tenant, a user and so on.
pub const NAME_BYTES_MAX: usize = 256;

/// The largest number that is a name. Claims come as doubles: up to here two that
/// differ are told apart.
const NAME_NUMBER_MAX: u64 = (1 << 53) - 1;

/// One way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An API key.
    Key(Places),
    /// A JWT that the gateway has verified.
    Token(TokenSource),
    /// The certificate that the peer showed.
    Mesh(MeshSource),
    /// Headers of a gateway in front.
    Headers(HeaderSource),
    /// Whoever comes without anything.
    Anonymous(Caller),
}

/// Where API keys are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `Authorization: Bearer`.
    pub authorization: bool,
    /// Azure's header.
    pub api_key: bool,
    /// Anthropic's.
    pub x_api_key: bool,
    /// Google's.
    pub x_goog_api_key: bool,
    /// `?key=` of Google's endpoints.
    pub query: bool,
    /// More headers, in lower case.
    pub headers: Vec<Arc<str>>,
}

/// JWTs whose claims the gateway hands on as metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// The name under which the gateway keeps the claims.
    pub payload: Arc<str>,
    /// Of other issuers nothing is believed; empty: the gateway has seen to it.
    pub issuers: Vec<Arc<str>>,
    /// Over `claims`.
    pub mapping: Mapping,
}

/// Workloads of a mesh, by the URI in their certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshSource {
    /// Whose calls count.
    pub peers: Vec<Pattern>,
    /// Peers that tell of their own clients in `x-forwarded-client-cert`, and
    /// are believed.
    pub proxies: Option<Trusted>,
    /// Over `mesh`: `id`, and of `spiffe://T/ns/N/sa/S` `trust_domain`,
    /// `namespace` and `service_account`.
    pub mapping: Mapping,
}

/// Headers that a gateway in front has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSource {
    /// Which gateway; of nobody else they are believed.
    pub gateway: Trusted,
    /// Their names, in lower case. They are never sent on.
    pub names: Vec<Arc<str>>,
    /// Over `headers`.
    pub mapping: Mapping,
}

/// Peers that are believed: those of one of these addresses or names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    pub addresses: Vec<IpNet>,
    /// URIs in certificates.
    pub names: Vec<Pattern>,
}

/// How facts become a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The source's name, which stands where a key's would.
    pub id: Arc<str>,
    pub tenant: Expression,
    pub project: Option<Expression>,
    pub environment: Option<Expression>,
    pub user: Option<Expression>,
    /// In the order of their names.
    pub labels: Vec<(Arc<str>, Expression)>,
}

/// Who calls, before it is known on which plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    pub id: Arc<str>,
    pub user: Option<Arc<str>>,
    pub account: Account,
}

/// What was said is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmapped;

impl Default for Places {
    /// All but headers of one's own.
    fn default() -> Self {
        Self {
            authorization: true,
            api_key: true,
            x_api_key: true,
            x_goog_api_key: true,
            query: true,
            headers: Vec::new(),
        }
    }
}

impl Trusted {
    /// Whether this peer is one of them. Without either there is none.
    pub fn holds(&self, address: Option<IpAddr>, name: Option<&str>) -> bool {
        let address = address.map(|address| address.to_canonical());
        let mut nets = self.addresses.iter();
        let mut names = self.names.iter();
        address.is_some_and(|address| nets.any(|net| net.contains(&address)))
            || name.is_some_and(|name| names.any(|known| known.fits(name)))
    }
}

impl Mapping {
    /// Who it is by these facts, under the name that expressions know them by.
    ///
    /// # Errors
    /// [`Unmapped`]: they give no tenant, or something that is no name.
    pub fn caller(&self, name: &str, facts: &Value) -> Result<Caller, Unmapped> {
        let facts = Facts::of(name, facts).map_err(|NoValue| Unmapped)?;
        let text = |expression: &Expression| match expression.evaluate(&facts) {
            Ok(Value::String(text)) => named(&text).map(Some),
            Ok(Value::Number(number)) => numbered(&number).map(Some),
            Ok(Value::Null) | Err(NoValue) => Ok(None),
            Ok(_) => Err(Unmapped),
        };
        let optional = |field: &Option<Expression>| match field {
            Some(expression) => text(expression),
            None => Ok(None),
        };
        let mut labels = Vec::new();
        for (name, expression) in &self.labels {
            labels.extend(text(expression)?.map(|value| (Arc::clone(name), value)));
        }
        Ok(Caller {
            id: Arc::clone(&self.id),
            user: optional(&self.user)?,
            account: Account {
                tenant: text(&self.tenant)?.ok_or(Unmapped)?,
                project: optional(&self.project)?,
                environment: optional(&self.environment)?,
                labels: (!labels.is_empty()).then(|| labels.into()),
                scopes: None,
                limits: None,
            },
        })
    }
}

/// A name may hold what it will, but nothing that lines or logs are broken with.
fn named(text: &str) -> Result<Arc<str>, Unmapped> {
    let well_formed = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.contains(char::is_control)
        && text.trim() == text;
    well_formed.then(|| text.into()).ok_or(Unmapped)
}

/// A name that is written as a whole number.
fn numbered(number: &serde_json::Number) -> Result<Arc<str>, Unmapped> {
    let whole = number.as_i64().ok_or(Unmapped)?;
    let exact = whole.unsigned_abs() <= NAME_NUMBER_MAX;
    exact.then(|| whole.to_string().into()).ok_or(Unmapped)
}

/// What a mesh's URI says, for expressions.
pub fn mesh_facts(uri: &str) -> Value {
    let mut facts = serde_json::Map::new();
    facts.insert("id".to_owned(), uri.into());
    let path = uri.strip_prefix("spiffe://");
    let parts: Vec<&str> = path.map_or_else(Vec::new, |path| path.split('/').collect());
    if let [trust_domain, "ns", namespace, "sa", service_account] = parts[..] {
        for (name, value) in [
            ("trust_domain", trust_domain),
            ("namespace", namespace),
            ("service_account", service_account),
        ] {
            facts.insert(name.to_owned(), value.into());
        }
    }
    Value::Object(facts)
}

/// The URI that the last element of an `x-forwarded-client-cert` names: what the
/// peer itself has seen. `None` where it names none, or several, or a quote stays
/// open: whoever wrote the elements before could have opened it, to have the last
/// one read as a part of theirs.
///
/// Source: Envoy's documentation of the header.
pub fn forwarded_client(value: &str) -> Option<&str> {
    let mut quotes = Quotes::default();
    value.chars().for_each(|c| quotes.step(c));
    if quotes.open {
        return None;
    }
    let last = split_outside_quotes(value, ',').last()?;
    let mut uris = split_outside_quotes(last, ';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let is_uri = name.eq_ignore_ascii_case("uri");
        is_uri.then(|| value.trim_matches('"'))
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) if !uri.is_empty() => Some(uri),
        _ => None,
    }
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    text.split(move |c| {
        let is_separator = c == separator && !quotes.open;
        quotes.step(c);
        is_separator
    })
}

/// Where a text is between quotes.
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn step(&mut self, c: char) {
        self.open ^= c == '"' && !self.escaped;
        self.escaped = c == '\\' && !self.escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn mapping(root: &str, tenant: &str, user: &str) -> Mapping {
        let compiled = |text: &str| Expression::compile(text, &[root]).unwrap();
        Mapping {
            id: "sso".into(),
            tenant: compiled(tenant),
            project: None,
            environment: None,
            user: Some(compiled(user)),
            labels: vec![("team".into(), compiled(&format!("{root}.team")))],
        }
    }

    #[test]
    fn claims_become_a_caller() {
        let mapping = mapping("claims", "claims.org", "claims.sub");
        let of = |claims: Value| mapping.caller("claims", &claims);
        let caller = of(json!({"org": "acme", "sub": "ada", "team": "search"})).unwrap();
        assert_eq!((&*caller.id, caller.user.as_deref()), ("sso", Some("ada")));
        assert_eq!(&*caller.account.tenant, "acme");
        assert_eq!(
            caller.account.labels.as_deref(),
            Some(&[("team".into(), "search".into())][..])
        );
        assert_eq!(&*of(json!({"org": 7})).unwrap().account.tenant, "7");
        assert_eq!(&*of(json!({"org": -7})).unwrap().account.tenant, "-7");
        for wrong in [
            // Numbers come as doubles: of two that are near each other both would be
            // the same user.
            json!({"org": "acme", "sub": 9_007_199_254_740_992_u64}),
            json!({"org": 9_007_199_254_740_993.0_f64}),
            json!({"org": -9.007_199_254_740_992e15_f64}),
            json!({"org": 1e300}),
            json!({"org": 0.5}),
            json!({}),
            json!({"sub": "ada"}),
            json!({"org": ""}),
            json!({"org": null}),
            json!({"org": ["acme"]}),
            json!({"org": {"x": 1}}),
            json!({"org": "a\nb"}),
            json!({"org": " acme"}),
            json!({"org": "x".repeat(257)}),
            // A user that is none isn't left out: its limits would be another's.
            json!({"org": "acme", "sub": "a\u{0}b"}),
            json!({"org": "acme", "sub": true}),
        ] {
            assert_eq!(of(wrong.clone()), Err(Unmapped), "{wrong}");
        }
    }

    #[test]
    fn a_meshs_uri_is_taken_apart_where_it_has_the_usual_form() {
        let facts = mesh_facts("spiffe://cluster.local/ns/search/sa/bot");
        assert_eq!(facts["namespace"], "search");
        assert_eq!(facts["service_account"], "bot");
        assert_eq!(facts["trust_domain"], "cluster.local");
        for other in [
            "spiffe://x/ns/a",
            "https://x/ns/a/sa/b",
            "spiffe://x/ns/a/sa/b/c",
            "",
        ] {
            assert_eq!(mesh_facts(other), json!({ "id": other }));
        }
    }

    #[test]
    fn the_last_element_of_a_forwarded_certificate_counts() {
        for (value, expected) in [
            ("Hash=1;URI=spiffe://a", Some("spiffe://a")),
            (
                "By=x;Hash=1;Subject=\"CN=a,O=b;c\";URI=spiffe://a",
                Some("spiffe://a"),
            ),
            (
                "URI=spiffe://client;Hash=1,URI=spiffe://proxy;Hash=2",
                Some("spiffe://proxy"),
            ),
            ("URI=spiffe://a;URI=spiffe://b", None),
            (
                "Subject=\"x\\\",URI=spiffe://forged\";URI=spiffe://a",
                Some("spiffe://a"),
            ),
            ("URI=spiffe://a,Hash=1", None),
            // A client's own element, left open, would swallow what the peer has seen
            // of it: all of what the peer adds, or all but the part in quotes.
            (
                "URI=spiffe://forged;Subject=\"x,Hash=2;URI=spiffe://a",
                None,
            ),
            (
                "URI=spiffe://forged;Subject=\"x,Hash=2;Subject=\"CN=a\";URI=spiffe://a",
                None,
            ),
            ("Hash=1;URI=\"spiffe://a", None),
            ("Hash=1", None),
            ("", None),
            ("URI=", None),
        ] {
            assert_eq!(forwarded_client(value), expected, "{value}");
        }
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        let address = "10.0.0.1".parse().ok();
        assert!(!Trusted::default().holds(address, Some("spiffe://x")));
        let trusted = Trusted {
            addresses: vec!["10.0.0.0/8".parse().unwrap()],
            names: vec![Pattern::new("spiffe://gateway/*").unwrap()],
        };
        assert!(trusted.holds(address, None));
        assert!(trusted.holds(None, Some("spiffe://gateway/a")));
        assert!(!trusted.holds("11.0.0.1".parse().ok(), Some("spiffe://other")));
        assert!(!trusted.holds(None, None));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in "[a-zA-Z=;,\"\\\\: /]{0,80}") {
            let _ = forwarded_client(&value);
            let _ = mesh_facts(&value);
        }
    }
}
