//! Routes, and Envoy's own ratelimit filter.

use super::forms::*;
use super::{Block, Form, access, block, def, limits, opt, req};

pub static ROUTES: Form = Form::List(&ROUTE);
static ROUTE: Form = Form::Block(&ROUTE_BLOCK);
#[rustfmt::skip]
static ROUTE_BLOCK: Block = block("known_route", "What is known of calls by where they go: all that is said must fit.", &[
    opt("name", &NAME, "none", "What conditions see as `request.route`; unique."),
    opt("envoy_route", &TEXT, "any", "The name of the route that Envoy chose, or with one `*` where names begin (`httproute/default/chat/*`) or end (`*-batch`). Envoy tells it in the attribute `xds.route_name` (`request_attributes` of ext_proc), and to ext_authz as `route` in `context_extensions`; where it doesn't, this fits no call."),
    opt("host", &TEXT, "any", "`api.openai.com`, or `*.openai.azure.com`; without a port."),
    opt("path", &TEXT, "any", "This path and all below it, as `/anthropic`."),
    opt("environment", &NAME, "none", "What the route is for: keys with `scopes.environments` that lack it are refused."),
    opt("credentials", &access::PLACES, "as `identity.sources` says", "Where API keys are looked for."),
    opt("dialect", &Form::Words(&["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama"]), "by the path", "Calls are in this form, and endpoints of others are unknown here."),
    def("unknown_endpoints", &Form::Words(&["refuse", "pass"]), "refuse", "`pass`: calls to endpoints that weir doesn't know go on unread, counted as requests."),
    def("upgrades", &Form::Words(&["refuse", "allow"]), "refuse", "`allow`: WebSockets and other upgrades likewise."),
]);

#[rustfmt::skip]
pub static RATE_LIMIT_SERVICE: Block = block("rate_limit_service", "What Envoy's ratelimit filter is answered: independent of keys, models and plans.", &[
    req("domains", &Form::Named(&DOMAIN), "By the filter's `domain`; at least one."),
]);

static DOMAIN: Form = Form::Block(&DOMAIN_BLOCK);
#[rustfmt::skip]
static DOMAIN_BLOCK: Block = block("domain", "Rules for descriptors; of several that match the most specific counts.", &[
    def("mode", &MODE, "enforce", "`shadow`: all limits are counted and none refuses."),
    req("rules", &Form::List(&RULE), "At least one."),
]);

static RULE: Form = Form::Block(&RULE_BLOCK);
#[rustfmt::skip]
static RULE_BLOCK: Block = block("descriptor_rule", "What is matched and how it is limited.", &[
    req("match", &Form::List(&ENTRY), "The descriptor's entries, 1 to 16, in order and all of them."),
    opt("limits", &limits::LIMITS_OF_HITS, "`unlimited` is there", "1 to 32 limits."),
    def("unlimited", &BOOLEAN, "false", "`true` in place of `limits`: what matches passes uncounted."),
    def("on_done", &BOOLEAN, "false", "Hits tell what was used already: they are charged past the limits and never refused."),
]);

static ENTRY: Form = Form::Block(&ENTRY_BLOCK);
#[rustfmt::skip]
static ENTRY_BLOCK: Block = block("entry", "An entry of a descriptor.", &[
    req("key", &NAME, "Its key, as Envoy sends it."),
    opt("value", &TEXT, "any", "Its value, which may end in `*`."),
]);
