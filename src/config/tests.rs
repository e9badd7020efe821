//! Configurations that load, and what no text may do to the loader.

use super::outside::Given;
use super::*;
use crate::identity::Pepper;
use crate::identity::Principal;
use crate::identity::scopes::Pattern;
use crate::identity::source::Source;
use crate::limits::{Algorithm, Scope, Unit};
use crate::policy::route::{EnvoyRoute, Host, Route};
use crate::policy::{OutputField, Vocabulary};
use crate::protocol::Dialect;
use crate::units::UnixMillis;
use proptest::prelude::*;

mod admin;
mod alerts;
mod budgets;
mod descriptors;
mod limits;
mod listen;
mod policies;
mod prices;
mod wrong;

const PEPPER: &str = "pepper-of-32-bytes-for-the-tests";
const KEY: &str = "a-key-for-the-tests-of-weir";

/// The file that the README shows, whole.
const GOOD: &str = include_str!("tests/good.yaml");

fn outside() -> Given {
    Given::default()
        .with_env("WEIR_PEPPER", PEPPER)
        .with_env("SHORT", "hunter2")
        .with_env("EMPTY", "")
        .with_env("SPACED", "hunter2 hunter2")
        .with_env("REDIS_URL", "redis://:hunter2@127.0.0.1:6379/0")
        .with_env("REDIS_PASSWORD", "hunter2")
        .with_env("TLS_URL", "rediss://:hunter2@127.0.0.1:6379/0")
        .with_file("/run/pepper", b"pepper-of-32-bytes-for-the-tests\n")
        .with_file("/run/ca.pem", b"-----BEGIN CERTIFICATE-----\n")
        .with_file(
            "prices.txt",
            b"weir prices 1\nversion ours-1\n\nopenai/our-model input=7 output=8\n",
        )
        .with_file(
            "openai.txt",
            b"weir prices 1\nversion ours-2\n\nopenai/gpt-4o input=1 output=2\n\
              gemini/qwen3-8b input=3 output=4\n",
        )
        .with_file(
            "azure.txt",
            b"weir prices 1\nversion ours-3\n\nopenai/gpt-4o input=1 output=2\n\
              azure/gpt-4o = openai/gpt-4o\nazure/gpt-5 input=5 output=6\n",
        )
        .with_file("bad.txt", b"weir prices 1\nversion 1\na/b input=1\n")
        .with_file("/run/not-utf8", b"\xff\xfe0123456789abcdef")
}

fn hash_of(key: &str) -> String {
    Pepper::new(PEPPER.as_bytes())
        .unwrap()
        .digest(key.as_bytes())
        .to_string()
}

fn good() -> Config {
    load(GOOD, "weir.yaml", &outside()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// TCP without TLS.
fn plain(address: &str) -> Address {
    Address::Tcp(TcpSocket {
        address: address.parse().unwrap(),
        tls: None,
    })
}

#[test]
fn the_example_loads_as_it_reads() {
    let config = good();
    assert_eq!(
        config.listen,
        Listen {
            grpc: vec![
                Address::Unix(UnixSocket {
                    path: "/run/weir/weir.sock".into(),
                    mode: 0o660,
                    owner: SocketOwner::default(),
                }),
                plain("127.0.0.1:50051"),
            ],
            admin: plain("127.0.0.1:9090"),
            admin_token: None,
            http_authz: None,
            health: None,
        }
    );
    assert_eq!(config.counters, CountersConfig::Memory);
    assert_eq!(
        config.ledger,
        Some(LedgerConfig {
            path: "weir-ledger".into(),
            durability: LedgerDurability::Strict,
            spool_bytes_max: 4 << 30,
            sqlite: Some(SqliteSettings {
                path: "weir-ledger/weir.db".into(),
                retention: LedgerRetention::default(),
            }),
            postgres: None,
            file: None,
            otlp: None,
            cloudevents: None,
        })
    );
    assert_eq!(config.server.body_bytes_max, 10 << 20);
    assert_eq!(config.tenants, 2);
    assert_eq!(config.warnings, Vec::<String>::new());

    let plan = &config.snapshot.plans["team"];
    let limits: Vec<_> = plan
        .limits
        .iter()
        .map(|limit| {
            let limit = &limit.limit;
            (
                &*limit.name,
                limit.scope,
                limit.unit,
                limit.amount,
                limit.algorithm.clone(),
            )
        })
        .collect();
    let every = Millis::from_mins(1);
    let window = Algorithm::SlidingWindow { every };
    let bucket = |burst| Algorithm::TokenBucket { every, burst };
    assert_eq!(
        limits,
        [
            (
                "tenant-requests",
                Scope::TENANT,
                Unit::Requests,
                600,
                window
            ),
            (
                "tenant-tokens",
                Scope::TENANT,
                Unit::Tokens,
                200_000,
                bucket(50_000)
            ),
            (
                "user-tokens",
                Scope::USER,
                Unit::Tokens,
                20_000,
                bucket(20_000)
            ),
            (
                "tenant-concurrency",
                Scope::TENANT,
                Unit::Concurrency,
                20,
                Algorithm::Concurrency
            ),
        ]
    );
    assert_eq!(plan.output.max_tokens_default, Some(1_024));
    assert_eq!(plan.output.max_tokens_cap, Some(8_192));
    assert_eq!(plan.output.choices_cap, Some(4));

    let model = &config.snapshot.models["gpt-4o"];
    assert_eq!(model.vocabulary, Vocabulary::O200kBase);
    assert_eq!(model.output_field, OutputField::Either);
    assert_eq!(model.tier.as_deref(), Some("premium"));
    assert!(model.inject_include_usage);
    assert_eq!(
        config.snapshot.models["llama-3.1-70b"].max_output_tokens,
        Some(4_096)
    );
}

fn caller(snapshot: &Snapshot, key: &str) -> Option<Principal> {
    let found = snapshot.keys.authenticate(key.as_bytes(), UnixMillis(0));
    snapshot.principal(found.ok()?.key)
}

#[test]
fn the_keys_of_the_example_authenticate() {
    let config = good();
    let principal = caller(&config.snapshot, KEY).unwrap();
    assert_eq!(&*principal.tenant, "acme");
    assert_eq!(principal.user.as_deref(), Some("ada"));
    assert_eq!(&*principal.plan, "team");
    assert_eq!(caller(&config.snapshot, "another-gateways-key"), None);
    let hash = hash_of(KEY);
    let found = caller(&config.snapshot, &hash);
    assert_eq!(found, None, "a stored hash is no key");
}

#[test]
fn the_shortest_file_gets_the_defaults() {
    let text = format!(
        "listen: {{ grpc: '127.0.0.1:0' }}\n\
         identity: {{ pepper: {{ file: /run/pepper }}, keys: [ {{ id: k, tenant: 007, hash: {} }} ] }}\n\
         models: {{ gpt-4o: , text-embedding-3-small: }}\n\
         plans: {{ p: {{ output: {{ max_tokens: {{ default: 100 }} }} }} }}\n\
         tenants: {{ 007: {{ plan: p }} }}\n",
        hash_of(KEY)
    );
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    let principal = caller(&config.snapshot, KEY).unwrap();
    assert_eq!(&*principal.tenant, "007", "a name is what is written");
    assert!(config.trust_ext_authz);
    assert_eq!(
        config.holds,
        Holds {
            ttl: Millis(60_000),
            lease_ttl: Millis(15_000),
            renew_every: Millis(5_000),
            handover: Millis(600_000)
        }
    );
    assert_eq!(
        config.server,
        Server {
            body_bytes_max: 10 << 20,
            shutdown_delay: Millis(0),
            drain_timeout: Millis(30_000),
            ietf_rate_limit_headers: false,
            quota_status: None,
            ext_authz_limits: ExtAuthzLimits::None,
            workers: None,
            upstream_authorization: UpstreamAuthorization::Strip
        }
    );
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    assert_eq!(config.telemetry.otlp, None);
    assert_eq!(
        config.snapshot.models["text-embedding-3-small"].max_output_tokens,
        Some(0)
    );
    assert_eq!(
        config.warnings,
        [
            "weir.yaml: ledger: is not set: what calls use is recorded nowhere",
            "weir.yaml:4:10: plans.p: the plan has no limits",
        ]
    );
}

#[test]
fn a_models_tokens_follow_its_name_unless_said_otherwise() {
    let text = GOOD.replace(
        "ledger: { path: weir-ledger }",
        "tokens: { learned_path: /var/lib/weir/learned.json }",
    );
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    let path = config.learned_path.expect("it is set");
    assert_eq!(path.to_str(), Some("/var/lib/weir/learned.json"));
    assert_eq!(good().learned_path, None);
    for (written, vocabulary, per_mille, learned) in [
        (
            "vocabulary: cl100k_base",
            Vocabulary::Cl100kBase,
            1_000,
            false,
        ),
        ("tier: any", Vocabulary::O200kBase, 1_050, true),
        ("token_ratio: 1.15", Vocabulary::O200kBase, 1_150, false),
        (
            "token_ratio: 2, vocabulary: voyage3_base",
            Vocabulary::Voyage3Base,
            2_000,
            false,
        ),
    ] {
        let text = GOOD.replace("vocabulary: cl100k_base", written);
        let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
        let model = &config.snapshot.models["llama-3.1-70b"];
        let ratio = model.token_ratio;
        assert_eq!(model.vocabulary, vocabulary, "{written}");
        assert_eq!(
            (ratio.ratio.per_mille(), ratio.learned),
            (per_mille, learned),
            "{written}"
        );
    }
}

#[test]
fn an_anchor_shares_limits_between_plans() {
    let text = GOOD
        .replace(
            "    limits:\n      - { per: tenant, unit: requests",
            "    limits: &shared\n      - { per: tenant, unit: requests",
        )
        .replace(
            "tenants:\n",
            "  other: { limits: *shared, output: { max_tokens: { default: 9 } } }\ntenants:\n",
        );
    assert_ne!(text, GOOD);
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(
        config.snapshot.plans["team"].limits,
        config.snapshot.plans["other"].limits
    );
}

#[test]
fn redis_by_variable_keeps_its_password_to_itself() {
    let text = GOOD.replace("{ memory: {} }", "{ redis: { url_env: REDIS_URL } }");
    let config = load(&text, "weir.yaml", &outside()).unwrap();
    let CountersConfig::Redis(redis) = &config.counters else {
        panic!("{:?}", config.counters)
    };
    let RedisServers::Single(url) = &redis.servers else {
        panic!("{:?}", redis.servers)
    };
    assert_eq!(url.expose(), "redis://:hunter2@127.0.0.1:6379/0");
    let timeouts = (redis.response_timeout.0, redis.connect_timeout.0);
    assert_eq!(timeouts, (15, 1_000));
    assert_eq!(redis.on_failure, OnCounterFailure::Share);
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("hunter2") && !debug.contains(PEPPER) && !debug.contains(&hash_of(KEY))
    );
}

#[test]
fn a_ledger_with_receivers_keeps_their_secrets_to_itself() {
    let load = |ledger: &str| {
        let text = GOOD.replace("{ path: weir-ledger }", ledger);
        let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.warnings, Vec::<String>::new());
        config.ledger.unwrap()
    };
    let receiver = |url: &str, request_bytes_max| ReceiverSettings {
        url: Secret::new(url.into()),
        token: None,
        token_header: None,
        ca_pem: None,
        timeout: Millis(10_000),
        request_bytes_max,
    };
    let ledger = load(
        "{ file: { path: f }, otlp: { endpoint: 'http://c:4317' }, cloudevents: { url: 'https://m/?k=hunter2' } }",
    );
    assert_eq!(ledger.sinks(), ["file", "otlp", "cloudevents"]);
    assert_eq!(
        ledger.file.map(|file| (file.sync, file.links)),
        Some((true, false))
    );
    assert_eq!(
        ledger.otlp,
        Some(OtlpSettings {
            receiver: receiver("http://c:4317", 3_670_016),
            service_name: "weir".into(),
        })
    );
    assert_eq!(
        ledger.cloudevents,
        Some(CloudEventsSettings {
            receiver: receiver("https://m/?k=hunter2", 1 << 20),
            mode: CloudEventsMode::Batch,
            source: None,
            subject: CloudEventsSubject::Tenant,
            subject_otherwise: None,
            request_rows_max: 500,
        })
    );
    let ledger = load(
        "{ file: { path: f, sync: false, links: true }, \
         otlp: { endpoint: 'https://c', service_name: edge, token: { env: SHORT }, token_header: api-key, \
         ca_file: /run/ca.pem, timeout: 2s, request_bytes_max: 1MiB }, \
         cloudevents: { url: 'http://[::1]:8888/in', mode: single, source: //weir/eu, subject: user, \
         subject_otherwise: nobody, token: { env: SHORT }, timeout: 500ms, request_rows_max: 9 } }",
    );
    assert_eq!(
        ledger.file.map(|file| (file.sync, file.links)),
        Some((false, true))
    );
    let token = Some(Secret::new("hunter2".into()));
    assert_eq!(
        ledger.otlp,
        Some(OtlpSettings {
            receiver: ReceiverSettings {
                token: token.clone(),
                token_header: Some("api-key".into()),
                ca_pem: Some(b"-----BEGIN CERTIFICATE-----".to_vec()),
                timeout: Millis(2_000),
                ..receiver("https://c", 1 << 20)
            },
            service_name: "edge".into(),
        })
    );
    assert_eq!(
        ledger.cloudevents,
        Some(CloudEventsSettings {
            receiver: ReceiverSettings {
                token,
                timeout: Millis(500),
                ..receiver("http://[::1]:8888/in", 1 << 20)
            },
            mode: CloudEventsMode::Single,
            source: Some("//weir/eu".into()),
            subject: CloudEventsSubject::User,
            subject_otherwise: Some("nobody".into()),
            request_rows_max: 9,
        })
    );
}

#[test]
fn redis_as_a_cluster_or_behind_sentinels_with_a_user() {
    let user = "username: weir, password: { env: REDIS_PASSWORD }, on_failure: allow";
    let cluster = format!("{{ redis: {{ cluster: ['rediss://a:1', 'rediss://b:2'], {user} }} }}");
    let sentinel =
        format!("{{ redis: {{ sentinel: {{ urls: 'redis://s:3', master: limits }}, {user} }} }}");
    for (text, nodes) in [(cluster, 2), (sentinel, 1)] {
        let text = GOOD.replace("{ memory: {} }", &text);
        let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
        let CountersConfig::Redis(redis) = &config.counters else {
            panic!("{:?}", config.counters)
        };
        match &redis.servers {
            RedisServers::Cluster(urls) => assert_eq!(urls.len(), nodes),
            RedisServers::Sentinel { urls, master } => {
                assert_eq!((urls.len(), master.as_str()), (nodes, "limits"));
            }
            RedisServers::Single(_) => panic!("{redis:?}"),
        }
        assert_eq!(redis.username.as_deref(), Some("weir"));
        assert_eq!(redis.password.as_ref().map(Secret::expose), Some("hunter2"));
        assert_eq!(redis.on_failure, OnCounterFailure::Allow);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn what_is_allowed_but_hardly_meant_is_a_warning() {
    let text = GOOD
        .replace(
            "{ memory: {} }",
            "{ redis: { url: 'redis://:hunter2@h', response_timeout: 1s } }",
        )
        .replace("burst: 50k", "burst: 1k")
        .replace(
            "tenants:\n",
            "  idle: {}\ntenants:\n  lonely: { plan: team }\n",
        );
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    let texts = config.warnings.join("\n");
    for part in [
        "counters.redis.url: holds a credential in the file",
        "counters.redis.response_timeout: is more than half of Envoy's",
        "plans.team.limits[1]: never holds more than 1000",
        "plans.idle: no tenant is on this plan",
        "plans.idle: the plan has no limits",
    ] {
        assert!(texts.contains(part), "{part} is not in\n{texts}");
    }
    assert!(!texts.contains("hunter2"));
}

/// With a ledger's database nobody can know who has keys.
#[test]
fn keys_may_be_kept_in_the_ledgers_database_and_nowhere_else() {
    let keys_begin = GOOD.find("  keys:").unwrap();
    let keys_end = GOOD.find("models:").unwrap();
    let without = [
        &GOOD[..keys_begin],
        "  default_plan: team\n",
        &GOOD[keys_end..],
    ]
    .concat();
    let with = |ledger: &str, text: &str| {
        let text = text.replace("{ path: weir-ledger }", ledger);
        load(&text, "weir.yaml", &outside())
    };
    let pg = "{ postgres: { url: { env: REDIS_URL } } }";
    for database in ["{}", "{ sqlite: {} }", pg] {
        let config = with(database, &without).unwrap_or_else(|p| panic!("{p}"));
        assert!(config.snapshot.keys.is_empty());
        assert_eq!(config.snapshot.default_plan.as_deref(), Some("team"));
        assert_eq!(config.keys_stale_max, Millis(24 * 60 * 60 * 1000));
        let warnings = config.warnings.join("\n");
        assert!(
            warnings.contains("identity.keys: there is no key"),
            "{warnings}"
        );
        assert!(!warnings.contains("no key belongs"), "{warnings}");
    }
    let lonely = GOOD.replace("tenants:\n", "tenants:\n  lonely: { plan: team }\n");
    let file = "{ file: { path: usage.jsonl } }";
    let config = with(file, &lonely).unwrap_or_else(|p| panic!("{p}"));
    let warnings = config.warnings.join("\n");
    let expected = "tenants.lonely: no key belongs to this tenant";
    assert!(warnings.contains(expected), "{warnings}");
    let error = with(file, &without).unwrap_err().to_string();
    assert!(
        error.contains("identity.keys: must have at least one key"),
        "{error}"
    );
}

#[test]
fn a_configured_key_has_limits_of_its_own() {
    let limits = "limits: [ { per: key, unit: cost, amount: 2.5, period: month } ]";
    let text = GOOD.replacen(
        "user: ada,",
        &format!("user: ada, owner: ops, {limits},"),
        1,
    );
    let load = |text: &str| load(text, "weir.yaml", &outside());
    // One of the models has no price.
    let text = text.replace("price: unpriced", "price: { input: 0, output: 0 }");
    let config = load(&text).unwrap_or_else(|p| panic!("{p}"));
    let key = config.snapshot.keys.by_id("ada-laptop").unwrap();
    let principal = config.snapshot.principal(key).unwrap();
    let own = config.snapshot.own_limits(&principal).unwrap();
    let names: Vec<(&str, u64)> = own
        .iter()
        .map(|l| (&*l.limit.name, l.limit.amount))
        .collect();
    assert_eq!(names, [("own:key-cost", 2_500_000_000)]);
    let other = config.snapshot.keys.by_id("support-bot").unwrap();
    let other = config.snapshot.principal(other).unwrap();
    assert_eq!(config.snapshot.own_limits(&other), Some(&[][..]));
    let stale = text.replacen("identity:\n", "identity:\n  stale_max: 1h\n", 1);
    assert_eq!(load(&stale).unwrap().keys_stale_max, Millis(3_600_000));
}

#[test]
fn a_file_is_read_by_name_and_named_in_problems() {
    let bytes = GOOD.as_bytes();
    let outside = outside()
        .with_file("good.yaml", bytes)
        .with_file("latin.yaml", b"a: \xe4\n");
    assert!(load_file(Path::new("good.yaml"), &outside).is_ok());
    let problem = |name: &str| {
        load_file(Path::new(name), &outside)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        problem("no.yaml"),
        "no.yaml: can't be read: entity not found\nno.yaml: 1 problem"
    );
    assert!(problem("latin.yaml").starts_with("latin.yaml: is not UTF-8: "));
}

/// A million tenants must be no problem; a tenth of them is enough to see
/// anything quadratic.
#[test]
fn many_tenants_with_the_same_fault_are_all_counted() {
    let tenants: String = (0..100_000)
        .map(|n| format!("  t{n}: {{ plan: tean }}\n"))
        .collect();
    let text = GOOD.replace("tenants:\n", &format!("tenants:\n{tenants}"));
    let problems = load(&text, "weir.yaml", &outside()).unwrap_err();
    assert_eq!(problems.list().len(), problem::PROBLEMS_MAX);
    assert_eq!(problems.count(), 100_000);
    let last = problems.to_string();
    assert!(last.ends_with("... and 99800 more\nweir.yaml: 100000 problems"));
}

/// One change of the good file: bytes cut out, a line doubled, a value put in
/// place of what stands behind a colon.
#[derive(Debug, Clone)]
enum Change {
    Cut(prop::sample::Index, usize),
    Double(prop::sample::Index),
    DropLine(prop::sample::Index),
    Value(prop::sample::Index, String),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    let value = prop_oneof![
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("~".to_owned()),
        Just("-5".to_owned()),
        Just("0".to_owned()),
        Just("99999999999999999999999".to_owned()),
        Just("1e999".to_owned()),
        Just("*x".to_owned()),
        Just("&x [".to_owned()),
        Just("!!binary //8=".to_owned()),
        Just("{<<: {a: 1}}".to_owned()),
        "[ -~äß€😀]{0,12}",
    ];
    prop_oneof![
        (index(), 1usize..40).prop_map(|(at, len)| Change::Cut(at, len)),
        index().prop_map(Change::Double),
        index().prop_map(Change::DropLine),
        (index(), value).prop_map(|(at, value)| Change::Value(at, value)),
    ]
}

fn changed(text: &str, change: &Change) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match change {
        Change::Cut(at, len) => {
            let chars: Vec<char> = text.chars().collect();
            let from = at.index(chars.len());
            let to = (from + len).min(chars.len());
            return chars[..from].iter().chain(&chars[to..]).collect();
        }
        Change::Double(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
        }
        Change::DropLine(at) => {
            lines.remove(at.index(lines.len()));
        }
        Change::Value(at, value) => {
            let colons: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
            let from = colons[at.index(colons.len())];
            let len = text[from..].find([',', '\n', '}']).unwrap_or(0);
            return format!("{}{value}{}", &text[..from], &text[from + len..]);
        }
    }
    lines.join("\n")
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![".{0,200}", "[ \n:{}\\[\\]\"'*&!|>#a-c0-9-]{0,300}"]) {
        let _ = load(&text, "weir.yaml", &outside());
    }

    #[test]
    fn no_change_of_a_good_file_panics(changes in prop::collection::vec(change(), 1..6)) {
        let mut text = GOOD.to_owned();
        for change in &changes {
            if text.len() > 2 && text.contains(": ") {
                text = changed(&text, change);
            }
        }
        if let Err(problems) = load(&text, "weir.yaml", &outside()) {
            prop_assert!(problems.count() > 0);
            prop_assert_eq!(problems.to_string().lines().count(), problems.count() + 1);
        }
    }

    /// Whatever one field becomes, the file is either fine or says why not, and
    /// never repeats a secret.
    #[test]
    fn a_secret_in_any_place_is_not_repeated(at in any::<prop::sample::Index>()) {
        for secret in ["redis://:hunter2@h:1/0", "weir_live_hunter2"] {
            let change = Change::Value(at, format!("\"{secret}\""));
            let text = changed(GOOD, &change);
            if let Err(problems) = load(&text, "weir.yaml", &outside()) {
                let shown = problems.to_string();
                prop_assert!(!shown.contains("hunter2"), "{shown}");
            }
        }
    }
}

#[test]
fn routes_are_read_in_order() {
    let routes = "routes:
  - { host: \"*.OpenAI.azure.com\", unknown_endpoints: pass }
  - { host: api.anthropic.com, path: /anthropic/, dialect: anthropic, upgrades: allow }
  - { name: batch, envoy_route: httproute/llm/batch/* }
  - { envoy_route: '*-night', path: /v1 }
  - { name: rest }
";
    let text = GOOD.replace("plans:\n", &format!("{routes}plans:\n"));
    let config = load(&text, "weir.yaml", &outside()).unwrap();
    let expected = [
        Route {
            host: Some(Host::Under(".openai.azure.com".into())),
            pass_unknown: true,
            ..Route::default()
        },
        Route {
            host: Some(Host::Is("api.anthropic.com".into())),
            path: Some("/anthropic".into()),
            dialect: Some(Dialect::Anthropic),
            allow_upgrades: true,
            ..Route::default()
        },
        Route {
            name: Some("batch".into()),
            envoy_route: Some(EnvoyRoute::Named(
                Pattern::new("httproute/llm/batch/*").unwrap(),
            )),
            ..Route::default()
        },
        Route {
            envoy_route: Some(EnvoyRoute::Ending("-night".into())),
            path: Some("/v1".into()),
            ..Route::default()
        },
        Route {
            name: Some("rest".into()),
            ..Route::default()
        },
    ];
    assert_eq!(*config.snapshot.routes, expected);
    let many = format!("routes:\n{}plans:\n", "  - {}\n".repeat(65));
    let problems = load(&GOOD.replace("plans:\n", &many), "weir.yaml", &outside()).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("must have at most 64 routes (got 65)")
    );
}

#[test]
fn a_quotas_status_is_read_with_and_without_quotes() {
    for (written, status) in [
        ("402", QuotaStatus::PaymentRequired),
        ("\"403\"", QuotaStatus::Forbidden),
        ("429", QuotaStatus::TooManyRequests),
    ] {
        let server = format!("server: {{ quota_status: {written} }}\nplans:\n");
        let text = GOOD.replacen("plans:\n", &server, 1);
        let config = load(&text, "weir.yaml", &outside()).unwrap();
        assert_eq!(config.server.quota_status, Some(status));
        assert_eq!(status.code().to_string(), written.trim_matches('"'));
    }
}

#[test]
fn a_key_may_have_scopes_labels_and_an_end() {
    let key = "user: ada, labels: { team: search, app: bot }, expires: 2027-01-01, \
               scopes: { models: [gpt-4o, \"claude*\"], endpoints: /v1/chat/completions, \
               addresses: [10.0.0.0/8, \"::1\"], environments: prod }";
    let text = GOOD.replace("user: ada", key);
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    let who = caller(&config.snapshot, KEY).unwrap();
    let labels: Vec<_> = who.labels.iter().flat_map(|all| all.iter()).collect();
    assert_eq!(
        labels,
        [
            &("app".into(), "bot".into()),
            &("team".into(), "search".into())
        ]
    );
    let scopes = who.scopes.unwrap();
    assert!(scopes.allow_model("claude-3") && !scopes.allow_model("gpt-5"));
    assert!(scopes.allow_endpoint("/v1/chat/completions"));
    assert!(scopes.allow_address("::1".parse().ok()));
    assert!(!scopes.allow_address("::2".parse().ok()));
    let key = config.snapshot.keys.by_id("ada-laptop").unwrap();
    assert!(!key.has_ended(UnixMillis(1_798_761_599_999)));
    assert!(key.has_ended(UnixMillis(1_798_761_600_000)));
    for (wrong, said) in [
        (
            "expires: tomorrow",
            "expires: must be a date, as 2027-01-01",
        ),
        (
            "scopes: { models: [\"a*b\"] }",
            "scopes.models[0]: must be a name, or the beginning",
        ),
        (
            "scopes: { models: [] }",
            "scopes.models: must have 1 to 64 entries, or be left out",
        ),
        (
            "scopes: { addresses: [10.0.0.0/40] }",
            "scopes.addresses[0]: must be an address or",
        ),
        ("scopes: { model: x }", "unknown field"),
        ("labels: [a]", "labels: must be a mapping"),
    ] {
        let text = GOOD.replace("user: ada", wrong);
        let problems = load(&text, "weir.yaml", &outside())
            .unwrap_err()
            .to_string();
        assert!(problems.contains(said), "{wrong}: {problems}");
    }
}

#[test]
fn a_pepper_may_have_one_before_it() {
    let peppers = "previous_pepper: { file: /run/pepper }\n  keys:";
    let text = GOOD.replace("keys:", peppers);
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    let found = config.snapshot.keys.peppers.unwrap();
    assert_eq!(found.iter().count(), 2);
    let text = GOOD.replace("keys:", "previous_pepper: { env: NOT_SET }\n  keys:");
    let problems = load(&text, "weir.yaml", &outside())
        .unwrap_err()
        .to_string();
    assert!(problems.contains("identity.previous_pepper"), "{problems}");
}

#[test]
fn sources_are_read_in_order() {
    let sources = "sources:
    - jwt: { name: sso, issuers: [https://sso], tenant: claims.org, user: \"claims.sub.split('|')[1]\" }
    - headers: { gateway: { addresses: 10.0.0.7 }, names: [x-tenant], tenant: \"headers['x-tenant']\" }
    - mesh: { peers: \"spiffe://mesh/*\", tenant: mesh.namespace, labels: { app: mesh.service_account } }
    - api_key: { from: [authorization, x-acme-key] }
    - anonymous: { tenant: acme, user: guest }
  keys:";
    let text = GOOD.replace("keys:", sources);
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    let kinds = config.snapshot.sources.0.iter().map(|source| match source {
        Source::Key(places) => format!("{} {:?}", places.authorization, places.headers),
        Source::Token(token) => format!("{} {}", token.mapping.id, token.payload),
        Source::Mesh(mesh) => format!("{} {}", mesh.mapping.id, mesh.peers.len()),
        Source::Headers(headers) => format!("{} {:?}", headers.mapping.id, headers.names),
        Source::Anonymous(caller) => format!("{:?}", caller.user),
    });
    let kinds: Vec<String> = kinds.collect();
    assert_eq!(
        kinds,
        [
            "sso claims",
            "headers [\"x-tenant\"]",
            "mesh 1",
            "true [\"x-acme-key\"]",
            "Some(\"guest\")",
        ]
    );
}

#[test]
fn without_a_source_of_keys_none_are_needed() {
    let (front, rest) = GOOD.split_once("  keys:").unwrap();
    let (_, rest) = rest.split_once("models:").unwrap();
    let token = "  sources: [ { jwt: { issuers: i, tenant: claims.org } } ]";
    let text = format!("{front}{token}\nmodels:{rest}");
    let config = load(&text, "weir.yaml", &outside()).unwrap_or_else(|p| panic!("{p}"));
    assert!(config.snapshot.keys.is_empty());
}

#[test]
fn what_is_wrong_with_a_source_is_said() {
    for (source, said) in [
        ("[]", "identity.sources: must have 1 to 16 sources"),
        (
            "[ { jwt: {} } ]",
            "identity.sources[0].jwt.tenant: is required",
        ),
        (
            "[ { jwt: { tenant: claim.org } } ]",
            "jwt.tenant: there is no claim here; an expression may use claims",
        ),
        (
            "[ { jwt: { tenant: \"claims.\" } } ]",
            "jwt.tenant: is not an expression",
        ),
        (
            "[ { mesh: { tenant: mesh.id } } ]",
            "mesh.peers: is required",
        ),
        (
            "[ { headers: { names: x-t, tenant: headers.x } } ]",
            "headers.gateway: is required: who sets these headers",
        ),
        (
            "[ { headers: { gateway: {}, names: x-t, tenant: headers.x } } ]",
            "gateway: must have addresses, or names of certificates",
        ),
        (
            "[ { api_key: { from: X-Key } } ]",
            "from: must be a header's name in lower case",
        ),
        (
            "[ { api_key: { from: x-weir-key } } ]",
            "from: must not begin with x-weir-",
        ),
        (
            "[ { oauth: {} } ]",
            "must have one of api_key, jwt, mesh, headers, anonymous",
        ),
        (
            "[ { anonymous: { tenant: acmee } } ]",
            "there is no tenant \"acmee\"",
        ),
        (
            "[ { anonymous: { tenant: acme } }, { api_key: {} } ]",
            "anonymous must be the last",
        ),
    ] {
        let text = GOOD.replace("keys:", &format!("sources: {source}\n  keys:"));
        let problems = load(&text, "weir.yaml", &outside())
            .unwrap_err()
            .to_string();
        assert!(problems.contains(said), "{source}: {problems}");
    }
}
