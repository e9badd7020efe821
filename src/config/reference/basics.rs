//! The whole file, and what is about the process: sockets, counters, server.

use super::forms::*;
use super::{
    Block, Form, access, alerts, block, choice, def, ledger, limits, models, opt, plans, req,
};
use super::{services, tenants};

#[rustfmt::skip]
pub static FILE: Block = block("file", "The whole file.", &[
    req("listen", &Form::Block(&LISTEN), "Where Envoy reaches weir."),
    opt("admin", &Form::Block(&access::ADMIN), "`listen.admin_token` alone says who may use the admin API", "Who may use the admin API."),
    opt("counters", &Form::Block(&COUNTERS), "in this process' memory", "Where counters of limits and budgets are."),
    opt("ledger", &Form::Block(&ledger::LEDGER), "what calls use is recorded nowhere, and `weir check` warns", "What money is billed from: a row for each call that ended."),
    opt("alerts", &Form::Block(&alerts::ALERTS), "nobody", "Who is told of what, besides callers."),
    opt("holds", &Form::Block(&HOLDS), "the defaults of its fields", "How long what is held for a call in flight lives. Always `2 * renew_every <= lease_ttl <= ttl`."),
    req("identity", &Form::Block(&access::IDENTITY), "Who may call, and how callers are known."),
    req("models", &Form::Named(&models::MODEL), "The models that calls may name, by the name that calls send; at least one. A call that names any other is refused."),
    opt("prices", &Form::Block(&models::PRICES), "models cost what the catalogue says", "Where prices come from besides the catalogue that weir brings."),
    req("plans", &Form::Named(&plans::PLAN), "What tenants may use, by name; at least one."),
    req("tenants", &Form::Named(&tenants::TENANT), "Who may call, and on which plan."),
    opt("limits", &limits::LIMITS, "none", "Limits beside those of plans. `per` may be `global` here; where it names no tenant, project, environment, user or key, tenants share the counters. With a plan's limits at most 32."),
    opt("routes", &services::ROUTES, "every call is told by its path, and what isn't known is refused", "What is known of calls by their host and path; the first that fits counts."),
    opt("rate_limit_service", &Form::Block(&services::RATE_LIMIT_SERVICE), "every request passes", "What Envoy's own ratelimit filter is answered."),
    opt("server", &Form::Block(&SERVER), "the defaults of its fields", "How calls are taken."),
    opt("telemetry", &Form::Block(&TELEMETRY), "the defaults of its fields", "Logs and traces."),
    opt("tokens", &Form::Block(&TOKENS), "the defaults of its fields", "How tokens are counted."),
    opt("conditions", &Form::Block(&CONDITIONS), "conditions see no headers", "What conditions may see."),
]);

#[rustfmt::skip]
static LISTEN: Block = block("listen", "Where Envoy reaches weir. Addresses are numeric (`localhost` is `127.0.0.1`); port 0 takes any free one.", &[
    req("grpc", &Form::Some(&ADDRESS), "Where Envoy's gRPC filters reach weir."),
    def("admin", &ADDRESS, "127.0.0.1:9090", "Health, metrics and the admin API, over HTTP."),
    opt("admin_token", &SECRET, "nobody is known by it", "Who brings it, 16 to 1024 visible characters, may see and reset limits."),
    opt("http_authz", &ADDRESS, "not served", "ext_authz over HTTP, for gateways that don't speak gRPC."),
    opt("health", &ADDRESS, "only `grpc` tells it", "gRPC health alone (`grpc.health.v1`), as for Kubernetes' probes, from the process' first moment on. The service `\"\"` says whether new calls should come here, `live` whether the process runs. It tells nothing else and takes nothing in, so it may be any TCP address, without `allow_remote`."),
    def("allow_remote", &BOOLEAN, "false", "Allow TCP addresses that are not loopback without `tls.client_ca`. Who reaches the gRPC port can speak as Envoy."),
]);

static ADDRESS: Form = Form::Any(&[TEXT_OF_ADDRESS, Form::Block(&ADDRESS_BLOCK)]);
const TEXT_OF_ADDRESS: Form = Form::Written(&super::Written {
    id: "address_text",
    doc: "`unix:/path` (at most 103 bytes of path) or `address:port`",
    example: "127.0.0.1:0",
    types: &["string"],
    pattern: "",
});

#[rustfmt::skip]
static ADDRESS_BLOCK: Block = block("address", "An address with more beside it.", &[
    req("address", &TEXT, "`unix:/path` or `address:port`."),
    def("mode", &TEXT, "0660", "Of a Unix socket: who may connect, in octal; put it in quotes."),
    opt("owner", &TEXT, "weir's own", "Of a Unix socket: `user:group`, `user` or `:group`, names or numbers."),
    opt("tls", &Form::Block(&TLS), "plain", "Of TCP: TLS 1.2 and 1.3."),
]);

#[rustfmt::skip]
static TLS: Block = block("tls", "TLS of an address. Its files are followed: a change counts within seconds.", &[
    req("cert", &TEXT, "The PEM file of weir's certificate."),
    req("key", &TEXT, "The PEM file of the certificate's private key."),
    opt("client_ca", &TEXT, "clients show no certificate", "Clients must show a certificate that this PEM file vouches for."),
    opt("client_names", &TEXTS, "any", "URI or DNS names of which a client's certificate must have one, compared whole."),
]);

#[rustfmt::skip]
static COUNTERS: Block = choice("counters", "Where counters are: exactly one of these.", &[
    opt("memory", &Form::Block(&MEMORY), "", "In this process: of one sidecar alone, and gone when it ends."),
    opt("redis", &Form::Block(&REDIS), "", "In Redis: shared by all sidecars."),
]);

static MEMORY: Block = block("memory", "Nothing more can be said of it.", &[]);

#[rustfmt::skip]
static REDIS: Block = block("redis", "Exactly one of `url`, `url_env`, `url_file`, `cluster` and `sentinel` must be there.", &[
    opt("url", &TEXT, "one of the other four is set", "One server: `redis://[user:password@]host:port/db`, `rediss://...` (TLS) or `unix:///path`."),
    opt("url_env", &TEXT, "one of the other four is set", "The environment variable that holds such a URL."),
    opt("url_file", &TEXT, "one of the other four is set", "The file that holds such a URL."),
    opt("cluster", &SOME_TEXTS, "one of the other four is set", "A Redis Cluster: URLs of some of its nodes."),
    opt("sentinel", &Form::Block(&SENTINEL), "one of the other four is set", "Servers that Sentinels watch over."),
    opt("username", &TEXT, "the URL's", "An ACL user; it needs `password` beside it."),
    opt("password", &SECRET, "the URL's", "Its password."),
    opt("ca_file", &TEXT, "the system's", "PEM certificates that a server's may be signed by, for `rediss://`."),
    def("response_timeout", &SPAN, "15ms", "The longest that a decision waits for one script call, 1ms to 10s. weir warns above 100ms."),
    def("connect_timeout", &SPAN, "1s", "The longest that a connection may take, 1ms to 1m."),
    def("on_failure", &Form::Words(&["deny", "allow", "share"]), "share", "What becomes of calls while Redis doesn't answer: refused, let through, or held to this sidecar's share of each limit."),
]);

#[rustfmt::skip]
static SENTINEL: Block = block("sentinel", "Where the master is asked for.", &[
    req("urls", &SOME_TEXTS, "URLs of the Sentinels."),
    req("master", &TEXT, "The name of the master that they watch over."),
]);

#[rustfmt::skip]
static HOLDS: Block = block("holds", "Each from 10ms to 1d; `lease_ttl` at least 1s.", &[
    def("ttl", &SPAN, "60s", "How long a hold lives that nobody renews; then it is charged as estimated."),
    def("lease_ttl", &SPAN, "15s", "How long a slot of `concurrency` lives that nobody renews."),
    def("renew_every", &SPAN, "5s", "How often calls in flight are renewed."),
    def("handover", &SPAN, "10m", "In the split profile: how long a hold waits for its answer."),
]);

#[rustfmt::skip]
static SERVER: Block = block("server", "How calls are taken.", &[
    def("body_bytes_max", &SIZE, "10MiB", "Larger request bodies get 413, compressed ones too that expand to more; 1KiB to 256MiB."),
    def("shutdown_delay", &SPAN, "0s", "How long weir goes on taking new calls after SIGTERM or SIGINT, while its health says that they should go elsewhere; 0s to 1h. A second signal ends it."),
    def("drain_timeout", &SPAN, "30s", "How long open calls may take to finish at SIGTERM, behind `shutdown_delay`, 0s to 1h."),
    opt("workers", &AMOUNT, "half of the cores", "Threads that serve Envoy, 1 to 1024."),
    def("upstream_authorization", &Form::Words(&["strip", "keep"]), "strip", "Whether the caller's `Authorization` goes on to the provider."),
    def("ietf_rate_limit_headers", &BOOLEAN, "false", "Answers carry `RateLimit-Policy` and `RateLimit` besides `x-ratelimit-*`."),
    opt("quota_status", &Form::Words(&["402", "403", "429"]), "the API's own", "The status of a call that a used up quota or budget refuses."),
    def("ext_authz_limits", &Form::Words(&["none", "requests"]), "none", "`requests`: each check of ext_authz takes one of each limit of requests. Not with ext_proc behind, or calls count twice."),
]);

#[rustfmt::skip]
static TELEMETRY: Block = block("telemetry", "Logs and traces.", &[
    opt("log", &Form::Block(&LOG), "the defaults of its fields", "The log on standard error."),
    opt("otlp", &Form::Block(&OTLP), "no traces", "Where traces go."),
]);

#[rustfmt::skip]
static LOG: Block = block("log", "The log.", &[
    def("format", &Form::Words(&["json", "human"]), "json", "How its lines are written."),
    def("level", &Form::Words(&["error", "warn", "info", "debug", "trace"]), "info", "The least that is logged."),
]);

#[rustfmt::skip]
static OTLP: Block = block("otlp_traces", "Traces by OTLP.", &[
    req("endpoint", &TEXT, "`http://host:port` of a collector (gRPC, no TLS, no credentials)."),
    def("service_name", &NAME, "weir", "What traces call this process."),
]);

#[rustfmt::skip]
static TOKENS: Block = block("tokens", "How tokens are counted.", &[
    opt("learned_path", &TEXT, "not kept", "The file that keeps the learned `token_ratio`s over a restart."),
]);

#[rustfmt::skip]
static CONDITIONS: Block = block("conditions", "What conditions may see.", &[
    opt("headers", &SOME_HEADERS, "none", "Headers that conditions see as `request.headers`, at most 16."),
]);
