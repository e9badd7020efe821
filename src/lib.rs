//! weir limits and meters generative-API traffic for Envoy. This is the code
//! map: where things are, what always holds, and what is deliberately absent.
//!
//! # The life of a call
//! ```text
//!  client ── request ──► Envoy ── ext_proc: head, body ──► envoy::ext_proc
//!                                                             │ translate
//!                                                             ▼
//!                         exchange::Exchange::step(event) ──► Reply + Effects
//!                                                             │
//!                        driver: reserve in counters ◄────────┤ Effect::Reserve
//!                                record, settle once ◄────────┘ Effect::Settle
//!  client ◄─ answer ──── Envoy ◄─ reply at once, chunk by chunk
//! ```
//!
//! # Layers
//! A module imports only from lower layers, and siblings don't import each
//! other. `tests/architecture.rs` holds this page to its word.
//!
//! | layer | module | for |
//! |---|---|---|
//! | L0 | [`units`] | time and tokens as integers |
//! |    | [`expressions`] | CEL, compiled once; conditions, checked against a schema and asked without allocating |
//! | L1 | [`protocol`] | what a provider's bytes mean; one folder a dialect |
//! |    | [`tokens`] | counting, within a bound |
//! |    | [`pricing`] | what a call's usage costs |
//! |    | [`identity`] | keys and principals |
//! |    | [`certificates`] | what TLS certificates say, and what a server makes of them |
//! |    | [`limits`] | algorithms, charges, reservations |
//! | L2 | [`policy`] | what applies to a call: plans, models, grants, top-ups |
//! | L3 | [`exchange`] | one call from first byte to last, without I/O; the same explained, and made anew from its row |
//! |    | [`alerts`] | what others than callers are told of, in which form, to which addresses |
//! | L4 | [`config`] | the YAML file, every problem at once; which files it was read from; what a running process takes of another |
//! |    | [`counters`] | the store of counters and holds: memory, Redis |
//! |    | [`accounts`] | keys, admin tokens, approvals, grants, top-ups and alerts in the ledger's database, and what was done to them |
//! |    | [`ledger`] | what money is billed from: the spool, its relays, their sinks; reports, re-rating |
//! |    | [`telemetry`] | metrics, traces, logs, readiness: whether all is well, whether new calls should come |
//! | L5 | [`driver`] | carries out what an exchange asks for, by itself where the store is away; what the store lost comes back from the ledger |
//! |    | [`webhooks`] | alerts on their way out |
//! |    | [`transport`] | how connections come in: Unix sockets, TCP, TLS that follows its files |
//! | L6 | [`envoy`] | ext_proc, ext_authz and the rate limit service: the only code that knows Envoy's protobuf |
//! |    | [`http_authz`] | ext_authz over HTTP, for gateways that don't speak gRPC |
//! |    | [`admin`] | health, readiness, metrics, and the API of operators over HTTP: limits, explanations, reports, keys, tokens, approvals, budgets, alerts, the configuration, who did what |
//! | L7 | [`app`] | wiring, start, drain; gRPC health; alerts told once; the configuration read anew as it changes; another try of what sinks set aside |
//! | L8 | [`cli`] | `serve`, `check`, `keys`, `tokens`, `approvals`, `budgets`, `alerts`, `audit`, `config`, `health`, `limits`, `usage`, `explain`, `policy`, `ledger`, `import`, `meter`, `prices` |
//!
//! # Invariants
//! - **L0 to L3 are pure.** Time, ids, randomness and the results of effects
//!   come in as arguments, so a whole call, in any interleaving, is a table
//!   test.
//! - **Two machines, one inside the other.** `envoy::ext_proc::phase` knows
//!   which message may follow which; `exchange` knows what a call means. Both
//!   are values that step; neither awaits.
//! - **A hold ends once.** By settlement, void or expiry, whichever comes
//!   first; the one that ends it writes the call's only event.
//! - **A configuration counts whole.** A call goes on by the snapshot that it began
//!   with; a file that can't be used changes nothing.
//! - **Nothing passes unseen.** A stream is not ended cleanly before its call is
//!   settled; what can't be read, bounded or counted is refused.
//! - **Everything is bounded**, and each bound has a name and a reason.
//! - The meaning of a limit lives in `limits`, in Rust; the Redis scripts are
//!   the same algorithms made atomic. One suite holds both to the same answers,
//!   and to those of a plain, slow, exact model.
//!
//! # To add
//! - a limit algorithm: a module in `limits`, a variant of `limits::Algorithm`,
//!   its twin in `counters/redis`, its meaning in `tests/conformance/model.rs`;
//! - a scope or unit of limits: a variant in `limits`, its value or amount in
//!   `policy::limit`, its word in `config::raw::limits`;
//! - a vocabulary: a variant and its engine in `tokens::tokenizer`, its word in
//!   `config::raw::policy`; without one, a family's row in `tokens::ratios`;
//! - a kind of price: a variant of `pricing::Kind`, what stands in for it in
//!   `pricing::rates`, its names in `pricing::import`, its figure in
//!   `protocol::answer::usage`, its field in `config::raw::prices`;
//! - a dialect: a folder in `protocol` with its tables (`requests`, `answers`)
//!   and its words (`refusal`), its rows in the table of `protocol::endpoint`;
//! - an endpoint: a variant and a row there, a table of its fields each way;
//! - a fact that conditions may name: a variant and a row in `policy::facts`, its
//!   value there, and in `policy::facts::spelt` whether the ledger's rows tell it;
//! - a field of a key: its word in `config::raw::keys`, a column in
//!   `accounts::row` and a file in its `migrations`, its place in `accounts::copy`,
//!   its option in `cli::keys::attributes`; in `identity::table` what judges calls;
//! - a field of the configuration: its word in `config::raw`, its meaning in
//!   `config::resolve`, its place in `config::shown`, its line in `config::reference`;
//!   where a running process can't take another value of it, in `config::fixed`;
//! - a field of the usage event: its line in `proto/weir/v1` and `ledger::wire`,
//!   a column in `ledger::store::columns` and a file in its `migrations`.
//!
//! # Deliberately absent
//! No proxying (Envoy does that), no retries of a provider, no prompt or answer
//! kept anywhere, no floating point in anything that is charged.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::disallowed_methods,
        reason = "tests may measure, sleep while they poll, and know their numbers"
    )
)]

pub mod accounts;
pub mod admin;
pub mod alerts;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod counters;
pub mod driver;
pub mod envoy;
pub mod exchange;
pub mod expressions;
pub mod http_authz;
pub mod identity;
pub mod ledger;
pub mod limits;
pub mod policy;
pub mod pricing;
pub mod protocol;
pub mod telemetry;
pub mod tokens;
pub mod transport;
pub mod units;
pub mod webhooks;
