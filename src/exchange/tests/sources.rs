//! Callers who are known otherwise than by a key, judged on a whole head.

use super::*;
use crate::exchange::message::{Judged, Peer};
use crate::expressions::Expression;
use crate::identity::scopes::Pattern;
use crate::identity::source::{
    Caller, HeaderSource, Mapping, MeshSource, Places, Source, TokenSource, Trusted,
};
use crate::policy::Sources;
use crate::policy::route::Route;
use serde_json::{Value, json};

fn mapping(root: &str, tenant: &str, user: &str) -> Mapping {
    let compiled = |text: &str| Expression::compile(text, &[root]).unwrap();
    Mapping {
        id: root.into(),
        tenant: compiled(tenant),
        project: None,
        environment: None,
        user: Some(compiled(user)),
        labels: Vec::new(),
    }
}

fn patterns(text: &str) -> Vec<Pattern> {
    vec![Pattern::new(text).unwrap()]
}

fn gateway() -> Trusted {
    Trusted {
        addresses: vec!["10.0.0.7/32".parse().unwrap()],
        names: patterns("spiffe://mesh/ns/edge/sa/gateway"),
    }
}

fn all_sources() -> Vec<Source> {
    vec![
        Source::Token(TokenSource {
            payload: "claims".into(),
            issuers: vec!["https://sso".into()],
            mapping: mapping("claims", "claims.org", "claims.sub"),
        }),
        Source::Headers(HeaderSource {
            gateway: gateway(),
            names: vec!["x-tenant".into(), "x-user".into()],
            mapping: mapping("headers", "headers['x-tenant']", "headers['x-user']"),
        }),
        Source::Mesh(MeshSource {
            peers: patterns("spiffe://mesh/ns/*"),
            proxies: Some(gateway()),
            mapping: mapping("mesh", "'acme'", "mesh.service_account"),
        }),
        Source::Key(Places {
            headers: vec!["x-acme-key".into()],
            ..Places::default()
        }),
    ]
}

/// The bare head with these headers and this peer.
fn head(more: &[(&str, &str)], peer: Peer) -> RequestHead {
    let mut head = request_head("/v1/chat/completions");
    head.headers.retain(|(name, _)| name != "authorization");
    head.headers.extend(headers(more));
    head.peer = peer;
    head
}

fn judged(head: &RequestHead, sources: Vec<Source>, routes: Vec<Route>) -> Judgement {
    let mut snapshot = Arc::into_inner(snapshot()).unwrap();
    snapshot.sources = Sources(sources.into());
    snapshot.routes = routes.into();
    at_door(head, &snapshot)
}

/// By which source the caller was known and as which user, or the status.
fn known(head: &RequestHead, sources: Vec<Source>) -> Result<(String, String), u16> {
    match judged(head, sources, Vec::new()) {
        Judgement::Passed(passed) => Ok(match passed.judged {
            Judged::Key(id) => ("key".to_owned(), id),
            Judged::Caller(caller) => {
                assert_eq!(&*caller.account.tenant, "acme");
                let user = caller.user.as_deref().unwrap_or("").to_owned();
                (caller.id.to_string(), user)
            }
        }),
        Judgement::Refused { rendered, .. } => Err(rendered.status),
        Judgement::Counts(_) => panic!("nothing is counted here"),
    }
}

fn tokens(claims: Value) -> Peer {
    Peer {
        tokens: Some(json!({ "claims": claims })),
        ..Peer::default()
    }
}

fn from(address: Option<&str>, name: Option<&str>) -> Peer {
    Peer {
        address: address.map(|text| text.parse().unwrap()),
        name: name.map(str::to_owned),
        tokens: None,
    }
}

const GATEWAY: Option<&str> = Some("spiffe://mesh/ns/edge/sa/gateway");
const BOT: Option<&str> = Some("spiffe://mesh/ns/search/sa/bot");
const XFCC: &str = "x-forwarded-client-cert";

#[test]
fn the_first_source_that_knows_the_caller_counts() {
    let ada = json!({"iss": "https://sso", "org": "acme", "sub": "ada"});
    let key = format!("Bearer {KEY}");
    let is = |source: &str, user: &str| Ok((source.to_owned(), user.to_owned()));
    let spoofed = [("x-tenant", "acme"), ("x-user", "eve")];
    let bot_says = [(XFCC, "URI=spiffe://mesh/ns/search/sa/bot")];
    let stranger_says = [(XFCC, "URI=spiffe://mesh/ns/search/sa/bot,URI=spiffe://x")];
    for (name, head, expected) in [
        ("nothing", head(&[], Peer::default()), Err(401)),
        (
            "a token",
            head(&[], tokens(ada.clone())),
            is("claims", "ada"),
        ),
        (
            "a token before a key",
            head(&[("authorization", &key)], tokens(ada)),
            is("claims", "ada"),
        ),
        (
            "another issuer's token",
            head(&[], tokens(json!({"iss": "https://x", "org": "acme"}))),
            Err(401),
        ),
        (
            "a token without an issuer",
            head(&[], tokens(json!({"org": "acme", "sub": "ada"}))),
            Err(401),
        ),
        (
            "a token that names no tenant, and a key",
            head(
                &[("authorization", &key)],
                tokens(json!({"iss": "https://sso"})),
            ),
            Err(401),
        ),
        (
            "a token of a tenant without a plan",
            head(&[], tokens(json!({"iss": "https://sso", "org": "initech"}))),
            Err(403),
        ),
        (
            "headers of nobody known",
            head(&spoofed, Peer::default()),
            Err(401),
        ),
        (
            "of another address",
            head(&spoofed, from(Some("10.0.0.8"), None)),
            Err(401),
        ),
        (
            "of the gateway by its address",
            head(&spoofed, from(Some("10.0.0.7"), None)),
            is("headers", "eve"),
        ),
        (
            "of the gateway by its certificate",
            head(&spoofed, from(None, GATEWAY)),
            is("headers", "eve"),
        ),
        (
            "doubled",
            head(&[("x-tenant", "a"), ("x-tenant", "b")], from(None, GATEWAY)),
            Err(401),
        ),
        ("a workload", head(&[], from(None, BOT)), is("mesh", "bot")),
        (
            "of another mesh",
            head(&[], from(None, Some("spiffe://x/ns/a/sa/b"))),
            Err(401),
        ),
        (
            "a workload behind the gateway",
            head(&bot_says, from(None, GATEWAY)),
            is("mesh", "bot"),
        ),
        (
            "the gateway for itself",
            head(&[], from(None, GATEWAY)),
            Err(401),
        ),
        (
            "forged by a stranger",
            head(&bot_says, Peer::default()),
            Err(401),
        ),
        (
            "a workload that tells of others is itself",
            head(
                &[(XFCC, "URI=spiffe://mesh/ns/a/sa/admin")],
                from(None, BOT),
            ),
            is("mesh", "bot"),
        ),
        (
            "what the gateway's client forged",
            head(&stranger_says, from(None, GATEWAY)),
            Err(401),
        ),
        (
            "forwarded, and unreadable",
            head(&[(XFCC, "Hash=1")], from(None, GATEWAY)),
            Err(401),
        ),
        (
            "a key in a header of one's own",
            head(&[("x-acme-key", KEY)], Peer::default()),
            is("key", "key-1"),
        ),
        (
            "two keys",
            head(
                &[("x-acme-key", KEY), ("x-api-key", "other")],
                Peer::default(),
            ),
            Err(401),
        ),
    ] {
        assert_eq!(known(&head, all_sources()), expected, "{name}");
    }
}

#[test]
fn who_brings_nothing_is_anonymous_where_that_is_allowed() {
    let anonymous = Source::Anonymous(Caller {
        id: "anonymous".into(),
        user: None,
        account: Account {
            tenant: "acme".into(),
            ..Account::default()
        },
    });
    let sources = || vec![Source::Key(Places::default()), anonymous.clone()];
    let found = known(&head(&[], Peer::default()), sources());
    assert_eq!(found, Ok(("anonymous".to_owned(), String::new())));
    // A wrong key is no lesser claim than none.
    let wrong = head(&[("authorization", "Bearer wrong")], Peer::default());
    assert_eq!(known(&wrong, sources()), Err(401));
}

#[test]
fn what_says_who_calls_never_travels_on() {
    let more = [
        ("x-acme-key", KEY),
        ("x-tenant", "acme"),
        ("x-user", "eve"),
        ("x-route-key", KEY),
        ("x-harmless", "1"),
    ];
    let of_route = Route {
        credentials: Some(Arc::new(Places {
            authorization: false,
            headers: vec!["x-route-key".into()],
            ..Places::default()
        })),
        ..Route::default()
    };
    let mut head = head(&more, Peer::default());
    head.headers
        .extend(headers(&[("authorization", "Bearer not-looked-at")]));
    match judged(&head, all_sources(), vec![of_route]) {
        Judgement::Passed(passed) => {
            assert_eq!(passed.judged, Judged::Key("key-1".to_owned()));
            let mut removed = passed.edits.remove;
            removed.sort();
            let expected = [
                "authorization",
                "x-acme-key",
                "x-route-key",
                "x-tenant",
                "x-user",
            ];
            assert_eq!(removed, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whom_ext_authz_found_without_a_key_is_taken_where_that_is_trusted() {
    let caller = |tenant: &str| {
        Judged::Caller(Box::new(Caller {
            id: "claims".into(),
            user: Some("ada".into()),
            account: Account {
                tenant: tenant.into(),
                ..Account::default()
            },
        }))
    };
    let of = |judged: Judged| {
        let mut head = head(&[], Peer::default());
        head.judged = Some(judged);
        known(&head, all_sources())
    };
    assert_eq!(
        of(caller("acme")),
        Ok(("claims".to_owned(), "ada".to_owned()))
    );
    assert_eq!(of(caller("initech")), Err(403));
}
