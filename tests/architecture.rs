//! The rules of the house, held by a test: the layers and the purity that
//! `src/lib.rs` draws, who may use which dependency, a `//!` line in every
//! module, budgets for files and functions, and names that are not used.
//!
//! The map itself is read from the table in `src/lib.rs`, so page and rule
//! can't part. Named exceptions stand in [`HOUSE`], each with its reason; one
//! that is no longer needed fails as well. `architecture/snippets.rs` shows each
//! rule at work on code that breaks it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "architecture/map.rs"]
mod map;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/snippets.rs"]
mod snippets;
#[path = "architecture/source.rs"]
mod source;

use map::Map;
use rules::{Exception, House, Owner};
use source::Source;
use std::fs;
use std::path::Path;

/// What this repository allows.
const HOUSE: House = House {
    pure_up_to: 3,
    file_lines_max: 400,
    function_lines_max: 60,
    // What L0 to L3 may use besides `std`: text, bytes, arithmetic; nothing that
    // waits, reads, tells the time or rolls dice.
    pure_dependencies: &[
        // Maps are seeded at random as `std`'s are, and nothing hangs on their order; what
        // must be the same everywhere is seeded by what it hashes: see `identity::table`.
        "ahash",
        "bpe_openai",
        "brotli_decompressor",
        "bytes",
        "base64",
        "cel",
        "crc32fast",
        "flate2",
        "fnv",
        "hashbrown",
        "itoa",
        "hmac",
        "ipnet",
        // Its clock is banned by clippy, and it is built without the system's
        // time zones.
        "jiff",
        // Signatures only: its clock isn't asked.
        "jsonwebtoken",
        "memchr",
        "regex_automata",
        "ring",
        // What it makes of certificates; whoever speaks TLS by it passes the time.
        "rustls",
        "serde",
        "serde_json",
        "sha2",
        "simdutf8",
        "strsim",
        "subtle",
        "thiserror",
        "uuid",
        "webpki",
        "zstd",
    ],
    // Who knows an engine, a protocol or a tool. Nobody else does.
    owners: &[
        Owner {
            dependency: "anyhow",
            modules: &["app", "cli"],
        },
        Owner {
            dependency: "axum",
            modules: &["admin"],
        },
        Owner {
            dependency: "bpe_openai",
            modules: &["tokens"],
        },
        Owner {
            dependency: "clap",
            modules: &["cli"],
        },
        Owner {
            dependency: "csv",
            modules: &["cli"],
        },
        Owner {
            dependency: "envoy_types",
            modules: &["envoy"],
        },
        Owner {
            dependency: "indicatif",
            modules: &["cli"],
        },
        Owner {
            dependency: "jsonwebtoken",
            modules: &["identity"],
        },
        Owner {
            dependency: "opentelemetry",
            modules: &["telemetry"],
        },
        Owner {
            dependency: "opentelemetry_otlp",
            modules: &["telemetry"],
        },
        Owner {
            dependency: "opentelemetry_proto",
            modules: &["ledger"],
        },
        Owner {
            dependency: "opentelemetry_sdk",
            modules: &["telemetry"],
        },
        Owner {
            dependency: "parquet",
            modules: &["cli"],
        },
        Owner {
            dependency: "prometheus_client",
            modules: &["telemetry"],
        },
        Owner {
            dependency: "redis",
            modules: &["counters"],
        },
        Owner {
            dependency: "serde_saphyr",
            modules: &["config"],
        },
        Owner {
            dependency: "sqlx",
            modules: &["ledger"],
        },
        Owner {
            dependency: "ring",
            modules: &["identity"],
        },
        Owner {
            dependency: "tonic",
            modules: &["envoy", "app", "cli", "ledger", "transport"],
        },
        Owner {
            dependency: "tonic_health",
            modules: &["app", "cli"],
        },
        Owner {
            dependency: "tonic_reflection",
            modules: &["app"],
        },
        Owner {
            dependency: "utoipa",
            modules: &["admin"],
        },
    ],
    siblings: &[Exception {
        what: "accounts -> ledger",
        reason: "one database, one way to open it, and one way to chain rows",
    }],
    long_files: &[],
    long_functions: &[Exception {
        what: "src/telemetry/metrics.rs: new",
        reason: "a list: each metric is made and registered once",
    }],
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_house_is_as_it_says() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let map = Map::from_lib(&lib).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = map::dependencies(&manifest);
    let sources = Source::all_under(&root().join("src"));
    assert!(
        sources.len() > 20,
        "only {} files found under src",
        sources.len()
    );
    let mut faults = map.faults(&sources);
    faults.extend(rules::check(&HOUSE, &map, &dependencies, &sources));
    faults.sort();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
