//! Whatever heads and claims come: nobody is taken for somebody by chance, and
//! nothing that says who calls travels on.
//!
//! Behind a byte of choices an input is lines: `name: value` is a header, `:path`
//! and `:method` too; a line that begins with `{` holds a verified token's claims,
//! one that begins with `!` the URI of the peer's certificate, one that begins with
//! `>` the name of the route that the gateway chose.

use super::{choices, expanded};
use std::sync::{Arc, OnceLock};
use weir::exchange::door::{Body, Check, Door, Judgement};
use weir::exchange::message::{Headers, Judged, Peer};
use weir::exchange::{RequestHead, Settings};
use weir::expressions::Expression;
use weir::identity::scopes::Pattern;
use weir::identity::source::{
    Caller, HeaderSource, Mapping, MeshSource, NAME_BYTES_MAX, Places, Source, TokenSource, Trusted,
};
use weir::identity::table::{Account, Key};
use weir::identity::{KeyRing, KeyTable, Pepper, format};
use weir::limits::HoldId;
use weir::policy::route::{EnvoyRoute, Route};
use weir::policy::{Plan, Snapshot, Sources};
use weir::protocol::Dialect;
use weir::tokens::Counting;
use weir::units::{Millis, UnixMillis};

/// The one key that is known.
const KEY: &str = "a-key-that-is-known-to-fuzzing";

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// What says who calls, or would make a call another one.
const NEVER_SENT_ON: [&str; 7] = [
    "authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "x-tenant",
    "x-user",
    "x-http-method-override",
];

pub fn check(data: &[u8]) {
    let Some(([choice], rest)) = choices(data) else {
        return;
    };
    let head = head(&expanded(rest), choice);
    let door = Door {
        snapshot: snapshot(),
        settings: settings(choice),
        id: HoldId::new(NOW, &[7; 10]),
        counting: &Counting::unbounded(),
    };
    let check = Check {
        head: head.clone(),
        body: Body::Unseen,
        keeps_path: choice & 4 != 0,
    };
    match door.judge(check, NOW) {
        Judgement::Passed(passed) => {
            by_its_route(&head);
            who_is_known(&passed.judged, &head);
            for (name, _) in &head.headers {
                let never = NEVER_SENT_ON.contains(&name.as_str()) || name.starts_with("x-weir-");
                let removed = passed.edits.remove.contains(name);
                assert!(removed || !never, "{name} is sent on");
            }
            let path = passed.edits.set.iter().find(|(name, _)| *name == ":path");
            assert_eq!(path.is_none(), passed.parameters.is_empty());
        }
        Judgement::Refused { rendered, .. } => {
            assert!((400..=503).contains(&rendered.status));
            let body: Result<serde_json::Value, _> = serde_json::from_slice(&rendered.body);
            assert!(body.is_ok(), "a refusal is no JSON");
            let text = String::from_utf8_lossy(&rendered.body);
            assert!(!text.contains(KEY), "a key is repeated");
        }
        Judgement::Counts(_) => panic!("nothing is counted here"),
    }
    keys(rest);
}

/// By the gateway's route `claude*` nothing passes but Anthropic's, and by no other does
/// anything that is said in the gateway's own headers.
fn by_its_route(head: &RequestHead) {
    let of = |wanted: &str| head.headers.iter().find(|(name, _)| name == wanted);
    assert!(of("x-weir-cluster").is_none() && of("x-weir-model").is_none());
    let by_claude = |name: &String| name.starts_with("claude");
    if head.envoy_route.as_ref().is_some_and(by_claude) {
        let path = of(":path").map(|(_, path)| String::from_utf8_lossy(path));
        assert!(path.is_some_and(|path| path.contains("/messages")));
    }
}

/// A key was brought, or somebody verified who it is, whose name is a name.
fn who_is_known(judged: &Judged, head: &RequestHead) {
    match judged {
        Judged::Key(id) => {
            assert_eq!(id, "key-1");
            let brought =
                |value: &[u8]| value.windows(KEY.len()).any(|part| part == KEY.as_bytes());
            let mut values = head.headers.iter().map(|(_, value)| value);
            assert!(values.any(|value| brought(value)), "nobody brought the key");
        }
        Judged::Caller(caller) => {
            let peer = &head.peer;
            let verified = peer.tokens.is_some() || peer.name.is_some() || peer.address.is_some();
            assert!(verified, "nobody verified who that is");
            for name in [Some(&caller.account.tenant), caller.user.as_ref()] {
                let Some(name) = name else { continue };
                assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
                assert!(!name.contains(char::is_control), "{name:?}");
            }
            assert_eq!(
                Caller::from_json(&caller.to_json()).as_ref(),
                Some(&**caller)
            );
        }
    }
}

/// Of keys themselves: one is told from all that differ in one character.
fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let first = text.lines().next().unwrap_or("");
    assert!(format::check(first).is_err() || first.len() <= format::KEY_BYTES_MAX);
    let Some(([place, other], rest)) = choices(data) else {
        return;
    };
    let mut random = [0; 32];
    for (to, from) in random.iter_mut().zip(rest) {
        *to = *from;
    }
    let key = format::key(random, other & 1 == 0);
    assert_eq!(format::check(&key), Ok(()));
    let at = "weir_live_".len() + usize::from(place) % (key.len() - "weir_live_".len());
    let mut changed = key.clone().into_bytes();
    changed[at] = b'!' + other % 94;
    let changed = String::from_utf8(changed).unwrap();
    assert_eq!(format::check(&changed).is_ok(), changed == key, "{changed}");
}

fn head(text: &[u8], choice: u8) -> RequestHead {
    let mut headers = Headers::new();
    let mut peer = Peer {
        // The gateway's own, or somebody's.
        address: match choice & 3 {
            0 => None,
            1 => "10.0.0.7".parse().ok(),
            _ => "192.0.2.1".parse().ok(),
        },
        ..Peer::default()
    };
    let mut envoy_route = None;
    for line in text.split(|byte| *byte == b'\n') {
        match line {
            [b'{', ..] => {
                let claims: Option<serde_json::Value> = serde_json::from_slice(line).ok();
                peer.tokens = claims.map(|claims| serde_json::json!({ "claims": claims }));
            }
            [b'>', name @ ..] => envoy_route = String::from_utf8(name.to_vec()).ok(),
            [b'!', uri @ ..] => peer.name = std::str::from_utf8(uri).ok().map(str::to_owned),
            line => {
                let mut colons = line.iter().enumerate().skip(1);
                let Some((colon, _)) = colons.find(|(_, byte)| **byte == b':') else {
                    continue;
                };
                let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
                let value = line[colon + 1..].trim_ascii().to_vec();
                headers.push((name, value));
            }
        }
    }
    RequestHead {
        headers,
        peer,
        envoy_route,
        ..RequestHead::default()
    }
}

fn settings(choice: u8) -> Settings {
    Settings {
        body_bytes_max: 1 << 20,
        keep_authorization: false,
        trust_ext_authz: true,
        count_checks: false,
        ietf_rate_limit_headers: choice & 8 != 0,
        quota_status: None,
        hold_ttl: Millis::from_secs(60),
        lease_ttl: Millis::from_secs(15),
        handover_max: Millis::from_mins(10),
    }
}

/// Made once: a key, and every source that knows who calls.
fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let pepper = Pepper::new(b"a pepper that only fuzzing knows").unwrap();
        let key = Key {
            digest: pepper.digest(KEY.as_bytes()),
            id: "key-1".into(),
            user: None,
            account: Account {
                tenant: "acme".into(),
                ..Account::default()
            },
            ends_at: None,
            replaced: false,
        };
        let plan = Plan {
            name: "team".into(),
            limits: Vec::new(),
            ..Plan::default()
        };
        let tenants = ["acme", "globex"].map(|name| (name.into(), "team".into()));
        Snapshot {
            keys: KeyRing {
                peppers: Some(pepper.into()),
                configured: Arc::new(KeyTable::of([key]).unwrap()),
                ..KeyRing::default()
            },
            sources: Sources(sources().into()),
            tenants: Arc::new(tenants.into_iter().collect()),
            plans: Arc::new([("team".into(), Arc::new(plan))].into_iter().collect()),
            routes: [Route {
                envoy_route: Some(EnvoyRoute::Named(Pattern::new("claude*").unwrap())),
                dialect: Some(Dialect::Anthropic),
                ..Route::default()
            }]
            .into(),
            ..Snapshot::default()
        }
    })
}

fn sources() -> Vec<Source> {
    let mapping = |root: &str, tenant: &str, user: &str| Mapping {
        id: root.into(),
        tenant: Expression::compile(tenant, &[root]).unwrap(),
        project: None,
        environment: None,
        user: Some(Expression::compile(user, &[root]).unwrap()),
        labels: Vec::new(),
    };
    let gateway = Trusted {
        addresses: vec!["10.0.0.7/32".parse().unwrap()],
        names: vec![Pattern::new("spiffe://mesh/gateway").unwrap()],
    };
    vec![
        Source::Token(TokenSource {
            payload: "claims".into(),
            issuers: vec!["https://sso".into()],
            mapping: mapping("claims", "claims.org", "claims.sub.split('|')[0]"),
        }),
        Source::Headers(HeaderSource {
            gateway: gateway.clone(),
            names: vec!["x-tenant".into(), "x-user".into()],
            mapping: mapping("headers", "headers['x-tenant']", "headers['x-user']"),
        }),
        Source::Mesh(MeshSource {
            peers: vec![Pattern::new("spiffe://mesh/ns/*").unwrap()],
            proxies: Some(gateway),
            mapping: mapping("mesh", "mesh.namespace", "mesh.service_account"),
        }),
        Source::Key(Places::default()),
    ]
}
