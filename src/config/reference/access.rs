//! Who may call, and who may use the admin API.

use super::forms::*;
use super::{Block, Field, Form, block, choice, def, limits, opt, req};

#[rustfmt::skip]
pub static ADMIN: Block = block("admin", "Who may use the admin API.", &[
    opt("hosts", &TEXTS, "none", "Names of hosts that requests may be for besides addresses and `localhost`, at most 256."),
    opt("oidc", &Form::Block(&OIDC), "tokens of no provider count", "An OpenID Connect provider whose tokens count."),
    opt("clients", &Form::List(&CLIENT), "none", "Whom certificates make known, at most 256; `listen.admin` needs `tls.client_ca`."),
]);

#[rustfmt::skip]
static OIDC: Block = block("oidc", "An OpenID Connect provider.", &[
    req("issuer", &TEXT, "What the tokens' `iss` must be."),
    req("audience", &TEXT, "What the tokens' `aud` must have."),
    req("jwks", &Form::Block(&JWKS), "The provider's public keys."),
    req("role", &EXPRESSION, "Over `claims`: `viewer`, `operator`, `tenant-admin` or `owner`."),
    opt("tenant", &EXPRESSION, "all tenants", "Over `claims`: the one tenant that the role is for."),
]);

#[rustfmt::skip]
static JWKS: Block = choice("jwks", "A set of public keys (JWKS): exactly one of these.", &[
    opt("file", &TEXT, "`inline` is set", "The file that holds it."),
    opt("inline", &TEXT, "`file` is set", "The set itself."),
]);

static CLIENT: Form = Form::Block(&CLIENT_BLOCK);
#[rustfmt::skip]
static CLIENT_BLOCK: Block = block("admin_client", "Somebody with a certificate.", &[
    req("name", &TEXT, "A name of the certificate, or its beginning with a `*`, as `spiffe://mesh/ns/ops/*`."),
    req("role", &Form::Words(&["viewer", "operator", "tenant-admin", "owner"]), "What the client may do."),
    opt("tenant", &NAME, "all tenants", "The one tenant that the role is for; `tenant-admin` needs it."),
]);

#[rustfmt::skip]
pub static IDENTITY: Block = block("identity", "How callers are known.", &[
    req("pepper", &SECRET, "What key hashes are made with, at least 16 bytes."),
    opt("previous_pepper", &SECRET, "none", "While a pepper is replaced: hashes made with the one before still count."),
    opt("keys", &Form::List(&KEY), "required, unless `sources` has no `api_key` or the ledger has a database", "The API keys that callers present."),
    opt("default_plan", &NAME, "such calls get 403", "The plan of tenants that aren't under `tenants`."),
    def("stale_max", &SPAN, "24h", "How long keys of the database count that can't be read anew, 1s to 30d."),
    opt("sources", &Form::List(&SOURCE), "API keys", "How callers are known, 1 to 16, in order: the first that knows the caller counts."),
    def("trust_ext_authz", &BOOLEAN, "true", "Take the principal that weir's own ext_authz left in Envoy's metadata, instead of judging the key again."),
]);

static KEY: Form = Form::Block(&KEY_BLOCK);
#[rustfmt::skip]
static KEY_BLOCK: Block = block("key", "An API key; only its hash is kept.", &[
    req("id", &NAME, "Its name in events and logs; unique."),
    req("hash", &TEXT, "64 hexadecimal digits, as `weir keys hash` prints them; unique."),
    req("tenant", &NAME, "On whose account its calls go."),
    opt("project", &NAME, "none", "Stands in usage events, and limits count by it."),
    opt("environment", &NAME, "none", "Likewise."),
    opt("user", &NAME, "limits per user count the key as a user of its own", "Likewise."),
    opt("owner", &NAME, "nobody", "Whom to ask about it; only shown."),
    opt("labels", &Form::Named(&NAME), "none", "Up to 16 words by name, as `{ team: search }`; they stand in usage events."),
    opt("scopes", &Form::Block(&SCOPES), "all that the plan allows", "What it may be used for."),
    opt("limits", &limits::LIMITS, "none", "1 to 8 limits of its own besides its plan's, each `per: key`."),
    opt("expires", &DATE, "never", "401 from then on."),
]);

#[rustfmt::skip]
static SCOPES: Block = block("scopes", "What a key may be used for. A list has 1 to 256 entries; one that is left out allows all that the plan does.", &[
    opt("models", &SOME_PATTERNS, "all that the plan allows", "Models; others get 403."),
    opt("endpoints", &SOME_PATTERNS, "all that the plan allows", "Paths, as `/v1/chat/*`."),
    opt("addresses", &SOME_NETWORKS, "from anywhere", "Where calls may come from; Envoy has to say where that is."),
    opt("environments", &SOME_NAMES, "any", "Calls by a route of another `environment` get 403."),
]);

static SOURCE: Form = Form::Block(&SOURCE_BLOCK);
#[rustfmt::skip]
static SOURCE_BLOCK: Block = choice("source", "How a caller is known: exactly one of these.", &[
    opt("api_key", &Form::Block(&API_KEY), "", "By an API key."),
    opt("jwt", &Form::Block(&JWT), "", "By a token that Envoy's `jwt_authn` filter has verified."),
    opt("mesh", &Form::Block(&MESH), "", "By the URI in the certificate that the caller showed Envoy."),
    opt("headers", &Form::Block(&HEADERS), "", "By headers that a gateway in front sets."),
    opt("anonymous", &Form::Block(&ANONYMOUS), "", "Whoever brings nothing; the last of the list."),
]);

/// Where keys are looked for.
pub static PLACES: Form = SOME_TEXTS_OF_PLACES;
const SOME_TEXTS_OF_PLACES: Form = Form::Some(&PLACE);
static PLACE: Form = Form::Written(&super::Written {
    id: "key_place",
    doc: "`authorization` (as `Bearer`), `api-key`, `x-api-key`, `x-goog-api-key`, `query` (`?key=`), or a header of your own in lower case",
    example: "authorization",
    types: &["string"],
    pattern: "^[a-z0-9_-]{1,64}$",
});

#[rustfmt::skip]
static API_KEY: Block = block("api_key", "An API key.", &[
    opt("from", &PLACES, "all of them but `query`", "Where keys are looked for, 1 to 16 places. Of two different keys in one call none counts."),
]);

const TENANT: Field = req("tenant", &EXPRESSION, "On whose account calls go.");
const PROJECT: Field = opt("project", &EXPRESSION, "none", "The project.");
const ENVIRONMENT: Field = opt("environment", &EXPRESSION, "none", "The environment.");
const USER: Field = opt("user", &EXPRESSION, "none", "The user.");
static EXPRESSIONS: Form = Form::Named(&EXPRESSION);
#[rustfmt::skip]
const LABELS: Field = opt("labels", &EXPRESSIONS, "none", "Labels, each an expression.");

#[rustfmt::skip]
static JWT: Block = block("jwt", "A verified token; the expressions are over `claims`.", &[
    def("name", &NAME, "jwt", "What stands where a key's id would."),
    def("payload", &NAME, "claims", "The filter's `payload_in_metadata`."),
    opt("issuers", &SOME_TEXTS, "any that the gateway verifies, and `weir check` warns", "Of others nothing is believed."),
    TENANT, PROJECT, ENVIRONMENT, USER, LABELS,
]);

#[rustfmt::skip]
static MESH: Block = block("mesh", "A workload's certificate; the expressions are over `mesh`: `id`, `trust_domain`, `namespace`, `service_account`.", &[
    def("name", &NAME, "mesh", "What stands where a key's id would."),
    req("peers", &SOME_PATTERNS, "Whose calls count, as `spiffe://cluster.local/ns/*`."),
    opt("proxies", &Form::Block(&TRUSTED), "nobody", "Who is believed about its own clients in `x-forwarded-client-cert`."),
    TENANT, PROJECT, ENVIRONMENT, USER, LABELS,
]);

#[rustfmt::skip]
static HEADERS: Block = block("headers", "Headers of a gateway; the expressions are over `headers`, as `headers[\"x-tenant\"]`.", &[
    def("name", &NAME, "headers", "What stands where a key's id would."),
    req("gateway", &Form::Block(&TRUSTED), "Who sets these headers: nobody else is believed."),
    req("names", &SOME_HEADERS, "The headers; they are never sent on."),
    TENANT, PROJECT, ENVIRONMENT, USER, LABELS,
]);

#[rustfmt::skip]
static TRUSTED: Block = block("trusted", "Who is believed; at least one of these.", &[
    opt("addresses", &SOME_NETWORKS, "of no address", "Where it calls from."),
    opt("names", &SOME_PATTERNS, "by no certificate", "Names of its certificate."),
]);

#[rustfmt::skip]
static ANONYMOUS: Block = block("anonymous", "Whoever brings nothing.", &[
    req("tenant", &NAME, "On whose account such calls go."),
    opt("project", &NAME, "none", "The project."),
    opt("environment", &NAME, "none", "The environment."),
    opt("user", &NAME, "none", "The user."),
]);
