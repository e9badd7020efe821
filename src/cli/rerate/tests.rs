//! The command as it is used: what it prints, and what it says is wrong.

use super::*;
use crate::ledger::row::{Link, NO_HASH, Row, chained};
use crate::ledger::sink::Sink;
use crate::ledger::store::query::Query;
use crate::ledger::store::{Store, StoreConfig};
use crate::ledger::wire;
use clap::Parser;
use serde_json::{Value, json};
use std::io;
use std::path::Path;

#[derive(Debug, Parser)]
struct Weir {
    #[command(flatten)]
    rerate: Rerate,
}

/// 2026-11-26.
const NOW: UnixMillis = UnixMillis(1_795_651_200_000);
/// 2026-11-01.
const NOVEMBER: u64 = 1_793_491_200_000;

const FRESH: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

/// Files as they are, and a pepper.
struct Real;

impl Outside for Real {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            "WEIR_PEPPER" => Some(b"pepper-of-32-bytes-for-the-tests".to_vec()),
            "PG_URL" => Some(b"postgres://root:hunter22@db/ledger".to_vec()),
            "BAD_URL" => Some(b"mysql://root:hunter22@db/".to_vec()),
            _ => None,
        }
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        Process.file(path, bytes_max)
    }
}

fn weir(args: &[&str]) -> Result<String, String> {
    let args = std::iter::once(&"weir").chain(args);
    let parsed = Weir::try_parse_from(args).map_err(|error| error.to_string())?;
    let done = rerated(&parsed.rerate, &Real, NOW, FRESH);
    done.map_err(|error| format!("{error:#}"))
}

fn said(args: &[&str]) -> String {
    weir(args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

fn wrong(args: &[&str]) -> String {
    match weir(args) {
        Ok(text) => panic!("{args:?}: {text}"),
        Err(error) => error,
    }
}

/// A call of 1000 tokens in and 500 out, which cost 0.0075 dollars.
fn call(number: u64, tenant: &str, model: &str, served: &str, provider: &str) -> UsageEvent {
    let at = NOVEMBER + number * 1_000;
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let id = HoldId::new(UnixMillis(at), &random);
    let event = json!({
        "schema": "weir.usage.v1", "id": id.to_string(), "outcome": "exact",
        "known": "provider", "started_at_ms": at, "ended_at_ms": at + 10, "tenant": tenant,
        "dialect": "openai", "provider": provider, "model": model, "model_served": served,
        "stream": false, "input_tokens": 1_000, "output_tokens": 500, "request_bytes": 0,
        "cost_nanos": 7_500_000, "price_version": "2026-10 openai/gpt-4o",
    });
    serde_json::from_value(event).unwrap()
}

struct Site {
    folder: tempfile::TempDir,
    ledger: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = path.display().to_string();
        let events = [
            call(1, "acme", "gpt-4o", "gpt-4o-2024-08-06", "openai"),
            call(2, "acme", "gpt-4o", "gpt-4o-2024-08-06", "openai"),
            call(3, "globex", "fast", "gpt-4o-2024-08-06", "openai"),
            call(4, "globex", "gpt-4o", "gpt-4o", "azure"),
            call(5, "globex", "own\u{1b}[2J", "llama", "vllm"),
        ];
        let (mut hash, mut rows) = (NO_HASH, Vec::new());
        for (event, sequence) in events.into_iter().zip(1..) {
            hash = chained(&hash, &wire::encode_event(&event));
            let chain = Uuid::from_u128(7);
            let link = Link {
                chain,
                sequence,
                hash,
            };
            rows.push(Row { event, link });
        }
        on_store(path, async |mut store| store.deliver(&rows).await.unwrap());
        Self { folder, ledger }
    }

    fn with(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// What all calls cost, by the ledger's own report.
    fn net(&self) -> i128 {
        let path = self.folder.path().join("ledger.db");
        on_store(path, async |store| {
            let report = store.usage(&Query::of(UnixMillis(NOVEMBER), NOW)).await;
            report.unwrap().rows[0].sums.net_nanos()
        })
    }

    fn config(&self, ledger: &str) -> String {
        self.config_as("weir.yaml", ledger)
    }

    fn config_as(&self, name: &str, ledger: &str) -> String {
        let good = include_str!("../../config/tests/good.yaml");
        let text = good.replace("ledger: { path: weir-ledger }", ledger);
        let price = "gpt-4o: { tier: premium, price: { input: 2, output: 8 }, ";
        self.with(name, &text.replace("gpt-4o: { tier: premium, ", price))
    }
}

fn on_store<T>(path: PathBuf, work: impl AsyncFnOnce(Store) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
        let done = work(store.clone()).await;
        store.close().await;
        done
    })
}

const CORRECTED: &str = "weir prices 1\nversion 2026-11-b\n\nopenai/gpt-4o input=2 output=8\n";

#[test]
fn a_file_corrects_the_calls_of_its_models() {
    let site = Site::new();
    let file = site.with("corrected.txt", CORRECTED);
    let args = [
        "--sqlite",
        &site.ledger,
        "--prices",
        &file,
        "--since",
        "2026-11",
    ];
    let dry = said(&[&args[..], &["--dry-run"]].concat());
    let table = "TENANT  CALLS  CHANGED  LEFT ALONE  BEFORE  AFTER  DIFFERENCE\n\
         acme        2        2           0   0.015  0.012      -0.003\n\
         globex      3        1           2  0.0225  0.021     -0.0015\n\
         in all      5        3           2  0.0375  0.033     -0.0045\n\
         Costs in dollars, corrections included, of calls from 2026-11-01 until 2026-11-26.\n\
         Left alone, as no price is known of them:\n  \
           azure/gpt-4o: 1 call\n  \
           vllm/own\u{fffd}[2J (answered by llama): 1 call\n";
    assert_eq!(dry, format!("{table}A dry run: nothing was written.\n"));
    assert_eq!(site.net(), 37_500_000);
    let done = said(&args);
    assert_eq!(done, format!("{table}Run {FRESH}: 3 calls corrected.\n"));
    assert_eq!(site.net(), 33_000_000);
    let again = said(&[&args[..], &["--run", "0190000000007000800000000000aaaa"]].concat());
    assert!(
        again.contains("in all      5        0           2   0.033"),
        "{again}"
    );
    let run = "Run 01900000-0000-7000-8000-00000000aaaa: 0 calls corrected.\n";
    assert!(again.ends_with(run), "{again}");
}

#[test]
fn json_has_the_same_figures_in_nanos() {
    let site = Site::new();
    let file = site.with("corrected.txt", CORRECTED);
    let args = [
        "--sqlite",
        &site.ledger,
        "--prices",
        &file,
        "--since",
        "2026-11-01",
    ];
    let more = ["--json", "--where", "tenant!=globex"];
    let text = said(&[&args[..], &more[..]].concat());
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["run"], FRESH.to_string());
    assert_eq!(told["total"]["difference_nanos"], -3_000_000);
    let tenants = json!([{
        "tenant": "acme", "calls": 2, "changed": 2, "left_alone": 0,
        "before_nanos": 15_000_000, "after_nanos": 12_000_000, "difference_nanos": -3_000_000,
    }]);
    assert_eq!(told["tenants"], tenants);
}

#[test]
fn without_a_file_the_configurations_prices_count() {
    let site = Site::new();
    let ledger = format!(
        "ledger: {{ path: spool, sqlite: {{ path: {} }} }}",
        site.ledger
    );
    let config = site.config(&ledger);
    let text = said(&["--config", &config, "--since", "2026-11"]);
    // Its gpt-4o has no provider; of others it has none of these.
    assert!(
        text.contains("in all      5        3           2"),
        "{text}"
    );
    assert!(text.contains("  openai/fast (answered by gpt-4o-2024-08-06): 1 call\n"));
    assert_eq!(site.net(), 5 * 7_500_000 - 3 * 1_500_000);
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let site = Site::new();
    let file = site.with("corrected.txt", CORRECTED);
    let bad = site.with(
        "bad.txt",
        "weir prices 1\nversion 1\n\nopenai/gpt-4o input=x\n",
    );
    let json = site.with("data.json", "{}");
    let config = site.config("ledger: { path: spool, file: { path: usage.jsonl } }");
    let both = "ledger: { path: spool, sqlite: {}, postgres: { url: { env: PG_URL } } }";
    let both = site.config_as("both.yaml", both);
    let ledger = site.ledger.as_str();
    let of_file = ["--prices", &file, "--sqlite", ledger, "--since"];
    let with = |more: &[&'static str]| wrong(&[&of_file[..], more].concat());
    for (text, expected) in [
        (
            with(&["soon"]),
            "--since: \"soon\" is no date: write 2026-11-01",
        ),
        (with(&["2026-13"]), "--since: \"2026-13\" is no date"),
        (
            with(&["2026-11", "--until", "2026-10"]),
            "--until: must be after since",
        ),
        (
            with(&["2026-11", "--time-zone", "Mars"]),
            "--time-zone: \"Mars\" is no time zone",
        ),
        (
            with(&["2026-11", "--where", "acme"]),
            "--where: \"acme\" is no condition: write tenant=acme",
        ),
        (
            with(&["2026-11", "--where", "team=a"]),
            "--where: \"team\" isn't one of tenant, project",
        ),
        (with(&["2026-11", "--run", "7"]), "--run: must be a UUID"),
        (with(&["2027-01"]), "--until: must be after since"),
        (
            with(&["2026-10-25T02:30", "--time-zone", "Europe/Berlin"]),
            "showed 2026-10-25T02:30 twice: add which of both",
        ),
        (
            wrong(&["--prices", &file, "--sqlite", ledger]),
            "--since <TIME>",
        ),
        (
            wrong(&["--prices", &file, "--since", "2026-11"]),
            "which ledger?",
        ),
        (
            wrong(&["--sqlite", ledger, "--since", "2026-11"]),
            "whose prices?",
        ),
        (
            wrong(&[
                "--sqlite", "/no/such", "--prices", &file, "--since", "2026-11",
            ]),
            "/no/such: there is no ledger",
        ),
        (
            wrong(&["--sqlite", ledger, "--prices", &bad, "--since", "2026-11"]),
            "bad.txt:4: the price \"input=x\" is no amount",
        ),
        (
            wrong(&["--sqlite", ledger, "--prices", &json, "--since", "2026-11"]),
            "`weir prices import` makes one",
        ),
        (
            wrong(&[
                "--sqlite", ledger, "--prices", "/no/such", "--since", "2026-11",
            ]),
            "--prices: /no/such: can't be read",
        ),
        (
            wrong(&["--config", &config, "--since", "2026-11"]),
            "the ledger has only a file",
        ),
        (
            wrong(&["--config", &both, "--since", "2026-11"]),
            "is in ledger.postgres and in ledger.sqlite: say which",
        ),
        (
            wrong(&[
                "--postgres-env",
                "NO",
                "--prices",
                &file,
                "--since",
                "2026-11",
            ]),
            "--postgres-env: NO is not set",
        ),
    ] {
        assert!(text.contains(expected), "{text}\nhas no {expected:?}");
    }
    let url = wrong(&[
        "--postgres-env",
        "BAD_URL",
        "--prices",
        &file,
        "--since",
        "2026-11",
    ]);
    assert!(url.contains("BAD_URL: can't be opened: the ledger's address is none"));
    assert!(!url.contains("hunter22"));
    assert_eq!(site.net(), 37_500_000);
}

/// A dry run reads a ledger that nobody may write to: the folder is another
/// user's, or a copy on a disk that is mounted to read.
#[test]
fn a_dry_run_writes_nothing_at_all() {
    let site = Site::new();
    let file = site.with("corrected.txt", CORRECTED);
    let path = site.folder.path().join("ledger.db");
    let before = std::fs::read(&path).unwrap();
    let args = [
        "--sqlite",
        &site.ledger,
        "--prices",
        &file,
        "--since",
        "2026-11",
        "--dry-run",
    ];
    assert!(said(&args).contains("A dry run: nothing was written."));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // A ledger that isn't one is not made one by looking.
    let empty = site.with("empty.db", "");
    let of_empty = args.map(|arg| if arg == site.ledger { &empty } else { arg });
    let told = wrong(&of_empty);
    assert!(told.contains("empty.db: can't be read"), "{told}");
    assert_eq!(std::fs::read(&empty).unwrap(), b"");
}

/// Days are asked for as in reports.
#[test]
fn times_and_conditions_are_those_of_reports() {
    let site = Site::new();
    let file = site.with("corrected.txt", CORRECTED);
    let args = ["--sqlite", &site.ledger, "--prices", &file, "--dry-run"];
    let of = |more: &[&'static str]| said(&[&args[..], more].concat());
    let none = of(&["--since", "yesterday"]);
    assert!(none.contains("in all      0"), "{none}");
    let both = ["--where", "tenant=acme", "--where", "tenant=globex"];
    let either = of(&[&["--since", "2026-11"][..], &both[..]].concat());
    assert!(either.contains("in all      5"), "{either}");
}
