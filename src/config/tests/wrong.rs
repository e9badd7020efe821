//! Every wrong file says exactly what is wrong with it.

use super::*;

/// A change to the good file (what stands there, what is put in its place) and
/// all that is said of it. `HASH1` and `HASH2` are the hashes in the file,
/// `KEYS`, `MODELS` and `PLANS` the whole sections, `FILE` everything.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &[&str])] = &[
    ("amount: 600,", "amount: -5,", &[
        "19:48: plans.team.limits[0].amount: must be more than 0 (got -5)",
    ]),
    ("amount: 600,", "amount: 0,", &[
        "19:48: plans.team.limits[0].amount: must be more than 0 (got 0)",
    ]),
    ("amount: 600,", "ammount: 600,", &[
        r#"19:40: plans.team.limits[0].ammount: unknown field; did you mean "amount"?"#,
    ]),
    ("amount: 600,", "", &[
        "19:9: plans.team.limits[0].amount: is required: how many",
    ]),
    ("amount: 600,", "amount: lots,", &[
        "19:48: plans.team.limits[0].amount: must be a whole number such as 600, 200k or 5M (got lots)",
    ]),
    ("amount: 600,", "amount: 1.5k,", &[
        "19:48: plans.team.limits[0].amount: must be a whole number such as 600, 200k or 5M (got 1.5k)",
    ]),
    ("amount: 600,", "amount: true,", &[
        "19:48: plans.team.limits[0].amount: must be a whole number such as 600, 200k or 5M (got true)",
    ]),
    ("amount: 600,", "amount: [600],", &[
        "19:48: plans.team.limits[0].amount: must be a whole number such as 600, 200k or 5M (got a list)",
    ]),
    ("amount: 600,", "amount: 10_000_000G,", &[
        "19:48: plans.team.limits[0].amount: must be at most 9007199254740991 (got 10_000_000G)",
    ]),
    ("amount: 600,", "amount: 600, amount: 700,", &[
        "19:53: plans.team.limits[0].amount: is given twice (first in line 19)",
    ]),
    ("per: tenant, unit: requests", "per: team, unit: requests", &[
        r#"19:16: plans.team.limits[0].per: must be one of tenant, project, environment, user, key, model, tier, endpoint, provider (got "team")"#,
    ]),
    ("unit: requests", "unit: request", &[
        r#"19:30: plans.team.limits[0].unit: must be one of requests, input_tokens, output_tokens, tokens, cost, concurrency (got "request"); did you mean "requests"?"#,
    ]),
    ("unit: requests", "unit: dollars", &[
        r#"19:30: plans.team.limits[0].unit: must be one of requests, input_tokens, output_tokens, tokens, cost, concurrency (got "dollars")"#,
    ]),
    ("every: 1m, algorithm: sliding_window", "every: 60, algorithm: sliding_window", &[
        "19:60: plans.team.limits[0].every: needs its unit, as in 250ms, 10s, 1m, 1h or 1d (got 60)",
    ]),
    ("every: 1m, algorithm: sliding_window", "algorithm: sliding_window", &[
        "19:9: plans.team.limits[0].every: is required: the time that the amount is for, as 1m (or a period, as month)",
    ]),
    ("every: 1m, algorithm: sliding_window", "every: 5ms, algorithm: sliding_window", &[
        "19:60: plans.team.limits[0].every: must be at least 12ms for a sliding window (got 5ms)",
    ]),
    ("every: 1m, algorithm: sliding_window", "every: 500d, algorithm: sliding_window", &[
        "19:60: plans.team.limits[0].every: must be at most 400d (got 500d)",
    ]),
    ("algorithm: sliding_window", "algorithm: leaking_bucket", &[
        r#"19:75: plans.team.limits[0].algorithm: must be one of fixed_window, sliding_window, token_bucket, leaky_bucket (got "leaking_bucket"); did you mean "leaky_bucket"?"#,
    ]),
    ("algorithm: sliding_window", "algorithm: sliding_window, burst: 5", &[
        "19:98: plans.team.limits[0].burst: has a meaning only with algorithm: token_bucket or leaky_bucket",
    ]),
    ("burst: 50k", "burst: 0", &[
        "20:95: plans.team.limits[1].burst: must be more than 0 (got 0)",
    ]),
    ("amount: 20 }", "amount: 20, every: 1m, burst: 3 }", &[
        "22:62: plans.team.limits[3].every: has no meaning with unit: concurrency, which counts calls in flight",
        "22:73: plans.team.limits[3].burst: has no meaning with unit: concurrency, which counts calls in flight",
    ]),
    ("unit: tokens, amount: 20k", "name: tenant-tokens, unit: tokens, amount: 20k", &[
        r#"21:28: plans.team.limits[2].name: plans.team.limits[1] is named "tenant-tokens" already; give one of them another name"#,
    ]),
    ("unit: tokens, amount: 20k", r#"name: "a\nb", unit: tokens, amount: 20k"#, &[
        "21:28: plans.team.limits[2].name: must not hold control characters",
    ]),
    ("default: 1024, cap: 8192", "default: 9000, cap: 8192", &[
        "23:38: plans.team.output.max_tokens.default: must be at most the cap of 8192 (got 9000)",
    ]),
    ("default: 1024, cap: 8192", "cap: 8192", &[
        r#"17:3: plans.team.output.max_tokens.default: is required, as nothing else bounds the output of "gpt-4o", "gpt-4o-mini": set it, or set max_output_tokens of each of these models"#,
    ]),
    ("choices: { cap: 4 }", "choices: { cap: 200 }", &[
        "23:73: plans.team.output.choices.cap: must be at most 128 (got 200)",
    ]),
    ("choices: { cap: 4 }", "choices: { cap: 4 }, hold: expekted", &[
        r#"23:84: plans.team.output.hold: must be one of maximum, expected (got "expekted"); did you mean "expected"?"#,
    ]),
    ("choices: { cap: 4 }", "choices: { cap: 4 }, hold: expected, percentile: 100", &[
        "23:106: plans.team.output.percentile: must be at most 99 (got 100)",
    ]),
    ("choices: { cap: 4 }", "choices: { cap: 4 }, percentile: 95", &[
        "23:90: plans.team.output.percentile: is only for hold: expected",
    ]),
    ("burst: 50k", "burst: 50k, hard: yess", &[
        r#"20:106: plans.team.limits[1].hard: must be true or false (got "yess")"#,
    ]),
    ("amount: 20 }", "amount: 20, hard: true }", &[
        "22:61: plans.team.limits[3].hard: is only for tokens, output_tokens and cost (unit is concurrency)",
    ]),
    ("acme: { plan: team }", "acme: { plan: tean }", &[
        r#"25:17: tenants.acme.plan: there is no plan "tean"; did you mean "team"?"#,
    ]),
    ("acme: { plan: team }", "acme: { plan: gold }", &[
        r#"25:17: tenants.acme.plan: there is no plan "gold""#,
    ]),
    ("acme: { plan: team }", "acme:", &[
        "25:7: tenants.acme.plan: is required: the name of one of the plans",
    ]),
    ("acme: { plan: team }", "acme: team", &[
        "25:9: tenants.acme: must be a mapping (got a text)",
    ]),
    ("tenant: acme, user: ada", "tenant: acmee, user: ada", &[
        r#"9:33: identity.keys[0].tenant: there is no tenant "acmee"; did you mean "acme"?"#,
    ]),
    ("id: support-bot", "id: ada-laptop", &[
        "10:13: identity.keys[1].id: another key has this id (in line 9)",
    ]),
    ("HASH2", "HASH1", &[
        "10:66: identity.keys[1].hash: another key has this hash (in line 9)",
    ]),
    ("HASH2", "abc", &[
        "10:66: identity.keys[1].hash: must be 64 hexadecimal digits, as `weir keys hash` prints them (got 3 characters)",
    ]),
    ("HASH2", "weir_live_hunter2", &[
        "10:66: identity.keys[1].hash: is a key itself, not its hash: it must be replaced by a new one, of which `weir keys hash` prints the hash",
    ]),
    (", hash: HASH2", ", hash: HASH2, limits: [{ per: user, unit: requests, amount: 1, every: 1m }]", &[
        "10:148: identity.keys[1].limits[0].per: must be key: a limit of a key counts that key's calls alone",
    ]),
    (", hash: HASH2", ", hash: HASH2, limits: []", &[
        "10:140: identity.keys[1].limits: must have 1 to 8 limits, or be left out (got 0)",
    ]),
    ("- { per: tenant, unit: requests", "- { name: 'own:x', per: tenant, unit: requests", &[
        "19:17: plans.team.limits[0].name: must not begin with \"own:\": so begin those of keys",
    ]),
    ("KEYS", "keys: []\n  default_plan: tean", &[
        "9:17: identity.default_plan: there is no plan \"tean\"; did you mean \"team\"?",
    ]),
    (", hash: HASH2", "", &[
        "10:7: identity.keys[1].hash: is required: what `weir keys hash` prints for the key",
    ]),
    ("id: support-bot", "id: weir_live_hunter2", &[
        "10:13: identity.keys[1].id: looks like an API key; a name stands in logs and events",
    ]),
    ("{ env: WEIR_PEPPER }", "{ env: NOT_SET }", &[
        "7:18: identity.pepper.env: names an environment variable that is not set",
    ]),
    ("{ env: WEIR_PEPPER }", "{ env: SHORT }", &[
        "7:18: identity.pepper.env: is too short for a pepper: at least 16 bytes are needed (got 7)",
    ]),
    ("{ env: WEIR_PEPPER }", "{ env: EMPTY }", &[
        "7:18: identity.pepper.env: is empty",
    ]),
    ("{ env: WEIR_PEPPER }", r#"{ env: "hunter2/hunter2==" }"#, &[
        "7:18: identity.pepper.env: must be the name of an environment variable (letters, digits and _)",
    ]),
    ("{ env: WEIR_PEPPER }", "{ env: WEIR_PEPPER, file: /run/pepper }", &[
        "7:37: identity.pepper.file: only one of env, file may be set, and another stands before this one",
    ]),
    ("{ env: WEIR_PEPPER }", "{ file: /run/none }", &[
        "7:19: identity.pepper.file: names a file that can't be read: entity not found",
    ]),
    ("{ env: WEIR_PEPPER }", "{}", &[
        "7:11: identity.pepper: must have one of env, file",
    ]),
    ("{ env: WEIR_PEPPER }", "hunter2", &[
        "7:11: identity.pepper: must be a mapping (got a text)",
    ]),
    ("{ memory: {} }", "{ memory: {}, redis: { url: 'redis://h' } }", &[
        "4:32: counters.redis: only one of memory, redis may be set, and another stands before this one",
    ]),
    ("{ memory: {} }", "{ reddis: { url: 'redis://:hunter2@h' } }", &[
        r#"4:13: counters.reddis: unknown field; did you mean "redis"?"#,
    ]),
    ("{ memory: {} }", "{ redis: {} }", &[
        "4:20: counters.redis: must have one of url, url_env, url_file, cluster, sentinel",
    ]),
    ("{ memory: {} }", "{ redis: { url: 'http://:hunter2@h' } }", &[
        "4:27: counters.redis.url: must be an address as redis://host:6379/0, rediss://host:6379/0 (TLS) or unix:///path (not shown here)",
    ]),
    ("{ memory: {} }", "{ redis: { url_env: TLS_URL, ca_file: /run/pepper } }", &[
        "4:49: counters.redis.ca_file: holds no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----",
    ]),
    ("{ memory: {} }", "{ redis: { url: 'redis://h', cluster: [] } }", &[
        "4:49: counters.redis.cluster: only one of url, url_env, url_file, cluster, sentinel may be set, and another stands before this one",
    ]),
    ("{ memory: {} }", "{ redis: { cluster: [], on_failure: maybe } }", &[
        "4:31: counters.redis.cluster: must have at least one address",
        r#"4:47: counters.redis.on_failure: must be one of deny, allow, share (got "maybe")"#,
    ]),
    ("{ memory: {} }", "{ redis: { cluster: ['unix:///s'] } }", &[
        "4:32: counters.redis.cluster[0]: must be an address as redis://host:6379 (not shown here)",
    ]),
    ("{ memory: {} }", "{ redis: { sentinel: { urls: ['redis://s'] } } }", &[
        "4:32: counters.redis.sentinel.master: is required: the name of the master that they watch over",
    ]),
    ("{ memory: {} }", "{ redis: { url: 'redis://h', username: weir } }", &[
        "4:50: counters.redis.username: needs a password beside it",
    ]),
    ("{ memory: {} }", "{ redis: { url_file: /run/not-utf8 } }", &[
        "4:32: counters.redis.url_file: is not UTF-8",
    ]),
    ("{ memory: {} }", "{ redis: { url: 'redis://h', response_timeout: 11s } }", &[
        "4:58: counters.redis.response_timeout: must be at most 10s (got 11s)",
    ]),
    (r#""127.0.0.1:50051""#, r#""0.0.0.0:50051""#, &[
        r#"2:38: listen.grpc[1]: is not a loopback address: whoever reaches it could speak as Envoy; use a Unix socket or 127.0.0.1, verify clients by tls.client_ca, or set listen.allow_remote: true (got "0.0.0.0:50051")"#,
    ]),
    (r#""127.0.0.1:50051""#, r#""weir.example:50051""#, &[
        r#"2:38: listen.grpc[1]: must be "unix:/path" or an IP address and a port, as in 127.0.0.1:9000 (got "weir.example:50051")"#,
    ]),
    (r#""127.0.0.1:50051""#, r#""127.0.0.1:9090""#, &[
        "3:10: listen.admin: is listened at for gRPC already",
    ]),
    (r#""127.0.0.1:50051""#, r#""unix:/run/weir/weir.sock""#, &[
        "2:38: listen.grpc[1]: is listed twice",
    ]),
    (r#""127.0.0.1:50051""#, r#""unix:""#, &[
        "2:38: listen.grpc[1]: the path of a Unix socket must have 1 to 103 bytes (got 0)",
    ]),
    (r#"["unix:/run/weir/weir.sock", "127.0.0.1:50051"]"#, "[]", &[
        "2:9: listen.grpc: must have at least one address",
    ]),
    (r#"["unix:/run/weir/weir.sock", "127.0.0.1:50051"]"#, "", &[
        r#"2:7: listen.grpc: is required: "unix:/path" or "host:port", or a list of them"#,
    ]),
    ("ledger: { path: weir-ledger }", "ledger: weir-ledger", &[
        "5:9: ledger: must be a mapping (got a text)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { durability: lax, spool_bytes_max: 1MiB, file: {}, sqlite: { retention: 1h } }", &[
        r#"5:23: ledger.durability: must be one of strict, relaxed (got "lax")"#,
        "5:45: ledger.spool_bytes_max: must be at least 64MiB (got 1MiB)",
        "5:57: ledger.file.path: is required: the file that usage events are appended to",
        "5:82: ledger.sqlite.retention: must be at least 1d (got 1h)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { sqlite: { retention: 90d, quarters_retention: 89d, days_retention: 88d } }", &[
        "5:57: ledger.sqlite.quarters_retention: must not be shorter than retention (left out: for ever)",
        "5:78: ledger.sqlite.days_retention: must not be shorter than quarters_retention (left out: for ever)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { sqlite: { quarters_retention: 90d, set_aside_retention: 1h } }", &[
        "5:41: ledger.sqlite.quarters_retention: must not be shorter than retention (left out: for ever)",
        "5:67: ledger.sqlite.set_aside_retention: must be at least 1d (got 1h)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { postgres: { url: 'postgres://a:b@c/d' } }", &[
        "5:28: ledger.postgres.url: must be a mapping (got a text)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { postgres: { url: { env: NO_URL } } }", &[
        "5:35: ledger.postgres.url.env: names an environment variable that is not set",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { file: { path: f, links: maybe }, otlp: {}, cloudevents: { mode: batches, subject: key } }", &[
        r#"5:35: ledger.file.links: must be true or false (got "maybe")"#,
        "5:50: ledger.otlp.endpoint: is required: where log records go by gRPC, as https://collector:4317",
        "5:67: ledger.cloudevents.url: is required: where events are posted to, as https://host/path",
        r#"5:75: ledger.cloudevents.mode: must be one of batch, single (got "batches"); did you mean "batch"?"#,
        r#"5:93: ledger.cloudevents.subject: must be one of tenant, project, environment, user, key_id, plan (got "key")"#,
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { otlp: , cloudevents: [] }", &[
        "5:15: ledger.otlp.endpoint: is required: where log records go by gRPC, as https://collector:4317",
        "5:32: ledger.cloudevents: must be a mapping (got a list)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { otlp: { endpoint: 'http://hunter2:4317', token: { env: SHORT }, timeout: 10, request_bytes_max: 1KiB }, cloudevents: { url: 'http://meter/?k=hunter2' }, postgres: { url: { env: NO_URL } } }", &[
        "5:29: ledger.otlp.endpoint: must be https://, as a token goes with it (http:// only to this machine) (not shown here)",
        "5:84: ledger.otlp.timeout: needs its unit, as in 250ms, 10s, 1m, 1h or 1d (got 10)",
        "5:107: ledger.otlp.request_bytes_max: must be at least 128KiB (got 1KiB)",
        "5:135: ledger.cloudevents.url: must be https:// (http:// only to this machine: localhost, 127.0.0.1 or [::1]) (not shown here)",
        "5:188: ledger.postgres.url.env: names an environment variable that is not set",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { otlp: { endpoint: 'https://c:4318/v1/hunter2', token: { env: hunter2! } }, cloudevents: { url: 'https://me:hunter2@meter/', token: { file: /run/hunter3 }, source: 'a b', request_rows_max: 3k } }", &[
        "5:29: ledger.otlp.endpoint: must have no path: records go by gRPC, as to https://collector:4317 (not shown here)",
        "5:72: ledger.otlp.token.env: must be the name of an environment variable (letters, digits and _)",
        "5:106: ledger.cloudevents.url: must have no user and no password: give them as a token (not shown here)",
        "5:150: ledger.cloudevents.token.file: names a file that can't be read: entity not found",
        r#"5:174: ledger.cloudevents.source: must be a URI or a path, in visible ASCII characters (got "a b")"#,
        "5:199: ledger.cloudevents.request_rows_max: must be at most 2048 (got 3k)",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { otlp: { endpoint: 'collector:4317', token_header: 'a b', token: hunter2 }, cloudevents: { url: 'https://meter:99999/hunter2', token_header: Host, token: { env: SPACED }, ca_file: /run/pepper } }", &[
        "5:29: ledger.otlp.endpoint: must be a URL as https://host:port (not shown here)",
        r#"5:61: ledger.otlp.token_header: must be the name of a header, as api-key (got "a b")"#,
        "5:75: ledger.otlp.token: must be a mapping (got a text)",
        "5:106: ledger.cloudevents.url: must be a URL as https://host:port/path (not shown here)",
        r#"5:151: ledger.cloudevents.token_header: is a header that requests have of their own (got "Host")"#,
        "5:171: ledger.cloudevents.token.env: must have visible ASCII characters only, as it stands in a header (not shown here)",
        "5:190: ledger.cloudevents.ca_file: holds no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { otlp: { endpoint: 'http://c:4317', token_header: api-key, ca_file: /run/ca.pem } }", &[
        r#"5:60: ledger.otlp.token_header: needs a token beside it (got "api-key")"#,
        "5:78: ledger.otlp.ca_file: has no meaning for http://",
    ]),
    ("ledger: { path: weir-ledger }", "holds: { renew_every: 10s }", &[
        "5:23: holds.renew_every: renew_every must be at most half of lease_ttl, so that one renewal may fail (got 10s and 15s)",
    ]),
    ("ledger: { path: weir-ledger }", "holds: { lease_ttl: 2m }", &[
        "5:21: holds.lease_ttl: lease_ttl must be at most ttl: a lease belongs to a hold (got 2m and 1m)",
    ]),
    ("ledger: { path: weir-ledger }", "holds: { renew_every: 100ms, lease_ttl: 500ms }", &[
        "5:41: holds.lease_ttl: must be at least 1s: a lease must outlive a slow answer (got 500ms)",
    ]),
    ("ledger: { path: weir-ledger }", "holds: { ttl: 1ms }", &[
        "5:15: holds.ttl: must be at least 10ms (got 1ms)",
    ]),
    ("ledger: { path: weir-ledger }", "server: { body_bytes_max: 10MB, workers: 0, upstream_authorization: drop }", &[
        "5:27: server.body_bytes_max: must be a size such as 512KiB or 10MiB (got 10MB)",
        "5:42: server.workers: must be more than 0 (got 0)",
        r#"5:69: server.upstream_authorization: must be one of strip, keep (got "drop")"#,
    ]),
    ("ledger: { path: weir-ledger }", "telemetry: { log: { format: xml, level: inof }, otlp: { endpoint: 'https://c:4317' } }", &[
        r#"5:29: telemetry.log.format: must be one of json, human (got "xml")"#,
        r#"5:41: telemetry.log.level: must be one of error, warn, info, debug, trace (got "inof"); did you mean "info"?"#,
        r#"5:67: telemetry.otlp.endpoint: TLS to the collector is not built in (got "https://c:4317")"#,
    ]),
    ("ledger: { path: weir-ledger }", "ledgers: { path: weir-ledger }", &[
        r#"5:1: ledgers: unknown field; did you mean "ledger"?"#,
    ]),
    ("ledger: { path: weir-ledger }", "budgets: {}", &[
        "5:1: budgets: unknown field; known here: listen, admin, counters, ledger, holds, identity, models, prices, plans, tenants, limits, routes, rate_limit_service, server, telemetry, tokens, conditions, alerts",
    ]),
    ("tier: premium", "tier: ''", &[
        "12:19: models.gpt-4o.tier: must have 1 to 128 bytes (got 0)",
    ]),
    ("vocabulary: cl100k_base", "vocabulary: cl100k", &[
        r#"14:32: models."llama-3.1-70b".vocabulary: must be one of o200k_base, cl100k_base, voyage3_base (got "cl100k")"#,
    ]),
    ("vocabulary: cl100k_base", "token_ratio: 3.5", &[
        r#"14:33: models."llama-3.1-70b".token_ratio: must be at most 3 (got 3.5)"#,
    ]),
    ("vocabulary: cl100k_base", "token_ratio: 1.0005", &[
        r#"14:33: models."llama-3.1-70b".token_ratio: must be a number such as 1 or 1.15, with three decimals at most (got 1.0005)"#,
    ]),
    ("ledger: { path: weir-ledger }", "tokens: { learned: x }", &[
        "5:11: tokens.learned: unknown field; known here: learned_path",
    ]),
    ("image_tokens: 1_500", "image_tokens: 0, inject_include_usage: yes", &[
        "12:42: models.gpt-4o.image_tokens: must be more than 0 (got 0)",
        r#"12:67: models.gpt-4o.inject_include_usage: must be true or false (got "yes")"#,
    ]),
    ("  gpt-4o-mini:", "  gpt-4o:", &[
        "13:3: models.gpt-4o: is given twice (first in line 12)",
    ]),
    ("  gpt-4o-mini:", "  ' gpt-4o-mini':", &[
        r#"13:3: models." gpt-4o-mini": the name must not begin or end with white space"#,
    ]),
    ("MODELS", "models: {}", &[
        "11:9: models: must have at least one model",
    ]),
    ("PLANS", "plans: {}", &[
        "16:8: plans: must have at least one plan",
        r#"18:17: tenants.acme.plan: there is no plan "team""#,
        r#"19:19: tenants.globex.plan: there is no plan "team""#,
    ]),
    ("ledger: { path: weir-ledger }", "ledger: { path: weir-ledger", &[
        "6:9: is not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'",
    ]),
    ("ledger: { path: weir-ledger }", "ledger: !file weir-ledger", &[
        "5:15: has a tag of no meaning here; a text that begins with ! goes in quotes",
    ]),
    ("tier: premium", "tier: true", &[
        "12:19: models.gpt-4o.tier: must be a name: put true in quotes if it is one",
    ]),
    ("amount: 600,", "amount: 600xyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy,", &[
        r#"19:48: plans.team.limits[0].amount: must be a whole number such as 600, 200k or 5M (got "600xyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy...")"#,
    ]),
    ("{ memory: {} }", "{ memory: { size: 1 } }", &[
        "4:23: counters.memory.size: unknown field; none is known here",
    ]),
    ("plans:\n", "routes: { host: a }\nplans:\n", &[
        "16:9: routes: must be a list (got a mapping)",
    ]),
    ("plans:\n", "routes: [ { hots: a } ]\nplans:\n", &[
        r#"16:13: routes[0].hots: unknown field; did you mean "host"?"#,
    ]),
    ("plans:\n", "routes: [ { host: \"a:443\" }, { path: v1 }, { path: /v1?x } ]\nplans:\n", &[
        r#"16:19: routes[0].host: must be a host without a port, as api.openai.com, or *.openai.azure.com (got "a:443")"#,
        r#"16:38: routes[1].path: must begin with a slash, and have no query and no wildcard: it is for all paths below it (got "v1")"#,
        r#"16:52: routes[2].path: must begin with a slash, and have no query and no wildcard: it is for all paths below it (got "/v1?x")"#,
    ]),
    ("plans:\n", "routes: [ { envoy_route: \"*-batch*\" }, { envoy_route: \"**\" }, { envoy_route: \"a*b\" }, { envoy_route: \"\" } ]\nplans:\n", &[
        r#"16:26: routes[0].envoy_route: must be the name of a route of Envoy's, or with one * the beginning or the end of names, as httproute/default/chat/* (got "*-batch*")"#,
        r#"16:55: routes[1].envoy_route: must be the name of a route of Envoy's, or with one * the beginning or the end of names, as httproute/default/chat/* (got "**")"#,
        r#"16:78: routes[2].envoy_route: must be the name of a route of Envoy's, or with one * the beginning or the end of names, as httproute/default/chat/* (got "a*b")"#,
        "16:102: routes[3].envoy_route: must have 1 to 4096 bytes and no control characters",
    ]),
    ("plans:\n", "routes: [ { name: a }, { name: b, path: x }, { name: a } ]\nplans:\n", &[
        r#"16:41: routes[1].path: must begin with a slash, and have no query and no wildcard: it is for all paths below it (got "x")"#,
        r#"16:54: routes[2].name: routes[0].name is "a" already"#,
    ]),
    ("plans:\n", "routes: [ { dialect: anthropics }, { unknown_endpoints: allow }, { upgrades: pass } ]\nplans:\n", &[
        r#"16:22: routes[0].dialect: must be one of openai, anthropic, gemini, bedrock, cohere, ollama (got "anthropics"); did you mean "anthropic"?"#,
        r#"16:57: routes[1].unknown_endpoints: must be one of refuse, pass (got "allow")"#,
        r#"16:78: routes[2].upgrades: must be one of refuse, allow (got "pass")"#,
    ]),
    ("plans:\n", "server: { quota_status: 400 }\nplans:\n", &[
        r#"16:25: server.quota_status: must be one of 402, 403, 429 (got "400"); did you mean "402"?"#,
    ]),
    ("plans:\n", "server: { quota_status: [] }\nplans:\n", &[
        "16:25: server.quota_status: must be one of 402, 403, 429 (got a list)",
    ]),
    ("plans:\n", "server: { ext_authz_limits: all }\nplans:\n", &[
        r#"16:29: server.ext_authz_limits: must be one of none, requests (got "all")"#,
    ]),
    (r#""127.0.0.1:9090""#, "\"127.0.0.1:9090\"\n  http_authz: \"127.0.0.1:50051\"", &[
        "4:15: listen.http_authz: is listened at already",
    ]),
    (r#""127.0.0.1:9090""#, "\"127.0.0.1:9090\"\n  http_authz: \"127.0.0.1:9090\"", &[
        "4:15: listen.http_authz: is listened at already",
    ]),
    (r#""127.0.0.1:9090""#, "\"127.0.0.1:9090\"\n  http_authz: \"0.0.0.0:9192\"", &[
        r#"4:15: listen.http_authz: is not a loopback address: whoever reaches it could speak as Envoy; use a Unix socket or 127.0.0.1, verify clients by tls.client_ca, or set listen.allow_remote: true (got "0.0.0.0:9192")"#,
    ]),
    (r#""127.0.0.1:9090""#, "\"127.0.0.1:9090\"\n  health: \"127.0.0.1:9090\"", &[
        "4:11: listen.health: is listened at already",
    ]),
    (r#""127.0.0.1:9090""#, "\"127.0.0.1:9090\"\n  http_authz: \"127.0.0.1:9192\"\n  health: \"127.0.0.1:9192\"", &[
        "5:11: listen.health: is listened at already",
    ]),
    (r#""127.0.0.1:9090""#, "\"127.0.0.1:9090\"\n  health: \"weir.example:50052\"", &[
        r#"4:11: listen.health: must be "unix:/path" or an IP address and a port, as in 127.0.0.1:9000 (got "weir.example:50052")"#,
    ]),
    ("plans:\n", "server: { shutdown_delay: 2h }\nplans:\n", &[
        "16:27: server.shutdown_delay: must be at most 1h (got 2h)",
    ]),
    ("FILE", "- a", &[
        "1:1: must be a mapping (got a list)",
    ]),
];

fn wrong(old: &str, new: &str) -> String {
    let (first, second) = (hash_of(KEY), hash_of("weir_test_for_the_bot"));
    let named = |text: &str| text.replace("HASH1", &first).replace("HASH2", &second);
    let text = match old {
        "KEYS" => section(GOOD, "  keys:", "models:", new),
        "MODELS" => section(GOOD, "models:", "plans:", new),
        "PLANS" => section(GOOD, "plans:", "tenants:", new),
        "FILE" => new.to_owned(),
        _ => GOOD.replacen(&named(old), &named(new), 1),
    };
    assert_ne!(text, GOOD, "{old} stands nowhere");
    text
}

/// Puts `new` in place of what begins with `from` and ends before `to`.
fn section(text: &str, from: &str, to: &str, new: &str) -> String {
    let (before, rest) = text.split_once(from).unwrap();
    let (_, after) = rest.split_once(to).unwrap();
    let indent = " ".repeat(from.len() - from.trim_start().len());
    format!("{before}{indent}{new}\n{to}{after}")
}

fn lines_of(text: &str) -> Vec<String> {
    let problems = load(text, "weir.yaml", &outside())
        .expect_err(text)
        .to_string();
    problems.lines().map(str::to_owned).collect()
}

#[test]
fn every_wrong_file_says_exactly_what_is_wrong() {
    assert!(WRONG.len() >= 40);
    for (old, new, expected) in WRONG {
        let mut lines = lines_of(&wrong(old, new));
        let count = lines.pop().unwrap();
        let expected: Vec<String> = expected.iter().map(|p| format!("weir.yaml:{p}")).collect();
        assert_eq!(lines, expected, "{old} -> {new}");
        let plural = if expected.len() == 1 { "" } else { "s" };
        assert_eq!(
            count,
            format!("weir.yaml: {} problem{plural}", expected.len())
        );
        assert!(!lines.concat().contains("hunter2"), "{lines:?}");
    }
}

#[test]
fn an_empty_file_lacks_every_section() {
    assert_eq!(
        lines_of(""),
        [
            "weir.yaml:1:1: listen: is required: where Envoy reaches weir",
            "weir.yaml:1:1: models: is required: the models that calls may name",
            "weir.yaml:1:1: plans: is required: what tenants may use",
            "weir.yaml:1:1: tenants: is required: who may call, and on which plan",
            "weir.yaml:1:1: identity: is required: the keys that callers present",
            "weir.yaml: 5 problems",
        ]
    );
}

#[test]
fn all_problems_of_a_file_come_at_once_and_in_its_order() {
    let mut text = GOOD.to_owned();
    let hash = hash_of("weir_test_for_the_bot");
    for (old, new) in [
        ("127.0.0.1:50051", "10.0.0.1:50051"),
        (
            "{ memory: {} }",
            "{ memory: {}, redis: { url: 'redis://h' } }",
        ),
        ("WEIR_PEPPER", "NOT_SET"),
        ("tenant: globex", "tenant: globeks"),
        (hash.as_str(), "12ab"),
        ("vocabulary: cl100k_base", "vocabulry: cl100k_base"),
        ("amount: 600", "amount: -5"),
        ("unit: tokens, amount: 20k", "unit: token, amount: 20k"),
        ("amount: 20 }", "amount: 20, every: 1m }"),
        ("default: 1024", "default: 10k"),
        (
            "globex: { plan: team }",
            "globex: { plan: teem, projekts: {} }",
        ),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    let lines = lines_of(&text);
    let expected = [
        "2:38: listen.grpc[1]: is not a loopback address",
        "4:32: counters.redis: only one of memory, redis",
        "7:18: identity.pepper.env: names an environment variable that is not set",
        "10:34: identity.keys[1].tenant: there is no tenant \"globeks\"; did you mean \"globex\"?",
        "10:67: identity.keys[1].hash: must be 64 hexadecimal digits",
        "14:20: models.\"llama-3.1-70b\".vocabulry: unknown field; did you mean \"vocabulary\"?",
        "19:48: plans.team.limits[0].amount: must be more than 0 (got -5)",
        "21:28: plans.team.limits[2].unit: must be one of requests, input_tokens, output_tokens, tokens, cost, concurrency",
        "22:62: plans.team.limits[3].every: has no meaning with unit: concurrency",
        "23:38: plans.team.output.max_tokens.default: must be at most the cap of 8192 (got 10000)",
        "26:19: tenants.globex.plan: there is no plan \"teem\"; did you mean \"team\"?",
        "26:25: tenants.globex.projekts: unknown field; did you mean \"projects\"?",
        "12 problems",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, part) in lines.iter().zip(expected) {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn a_bucket_that_could_not_be_counted_exactly_is_refused() {
    let every = "every: 399d, algorithm: token_bucket, burst: 9_000_000";
    let lines = lines_of(&wrong(
        "amount: 200k, every: 1m, algorithm: token_bucket, burst: 50k",
        &format!("amount: 200_003, {every}"),
    ));
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("weir.yaml:20:9: plans.team.limits[1]: "),
        "{}",
        lines[0]
    );
}

#[test]
fn more_limits_than_a_call_may_be_charged_are_refused() {
    let limits: String = (0..33)
        .map(|n| {
            format!("      - {{ name: l{n}, per: tenant, unit: requests, amount: 1, every: 1m }}\n")
        })
        .collect();
    let lines = lines_of(&wrong("    limits:\n", &format!("    limits:\n{limits}")));
    assert_eq!(
        lines[0],
        "weir.yaml:19:7: plans.team.limits: must have at most 32 limits (got 37)"
    );
}

#[test]
fn a_remote_address_is_fine_where_it_is_allowed() {
    let text = GOOD
        .replace("127.0.0.1:50051", "0.0.0.0:50051")
        .replace("admin:", "allow_remote: true\n  admin:");
    let config = load(&text, "weir.yaml", &outside()).unwrap();
    assert_eq!(config.listen.grpc[1], plain("0.0.0.0:50051"));
}
