//! The command as it is used: what it prints, and what it says is wrong.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Weir {
    #[command(subcommand)]
    command: PricesCommand,
}

/// 2026-11-26.
const NOW: UnixMillis = UnixMillis(1_795_651_200_000);

fn weir(args: &[&str]) -> Result<String, String> {
    let args = std::iter::once(&"weir").chain(args);
    let parsed = Weir::try_parse_from(args).map_err(|error| error.to_string())?;
    let done = match &parsed.command {
        PricesCommand::List(args) => list(args, NOW),
        PricesCommand::Show(args) => show(args, NOW),
        PricesCommand::Diff(args) => diff(args, NOW),
        PricesCommand::Import(args) => import::run(args, NOW),
    };
    done.map_err(|error| format!("{error:#}"))
}

fn said(args: &[&str]) -> String {
    weir(args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn with(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }
}

const OURS: &str = "weir prices 1\nversion ours-1\n\n\
    a/old = a/new\n\
    a/new input=1 cached_input=0.1 output=2 >1000 input=3 /batch input=0.5\n\
    a/new @2027-01-01 input=9 output=9\n\
    b/other request=0.04\n";

#[test]
fn models_are_listed() {
    let folder = Folder::new();
    let file = folder.with("ours.txt", OURS);
    assert_eq!(
        said(&["list", "--file", &file]),
        "MODEL    INPUT  CACHED  OUTPUT  BESIDES\n\
         a/new        1     0.1       2  >1000 /batch\n\
         a/old        1     0.1       2  = a/new >1000 /batch\n\
         b/other      -       -       -  request=0.04\n\
         3 models; prices ours-1, in dollars per million tokens\n"
    );
    let later = said(&[
        "list",
        "--file",
        &file,
        "--at",
        "2027-01-01",
        "--filter",
        "NEW",
    ]);
    assert!(
        later.contains("a/new      9       -       9\n1 model;"),
        "{later}"
    );
    let json = said(&["list", "--file", &file, "--provider", "a", "--json"]);
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["same_as"], "a/new");
    assert_eq!(lines[0]["standard"]["above"][0]["input"], "3");
    assert_eq!(lines[0]["batch"]["input"], "0.5");
    let own = said(&["list", "--provider", "OpenAI", "--filter", "gpt-4o"]);
    assert!(
        own.lines().any(|line| line.starts_with("openai/gpt-4o ")),
        "{own}"
    );
}

#[test]
fn a_models_prices_are_shown() {
    let folder = Folder::new();
    let file = folder.with("ours.txt", OURS);
    let shown = said(&["show", "a/old", "--file", &file]);
    assert!(
        shown.starts_with(
            "a/new, of the prices ours-1\n\
             before 2027-01-01 (today's)\n\
             \x20 standard                          input 1, cached_input 0.1, output 2\n\
             \x20 standard, above 1000 input        input 3\n\
             \x20 batch                             input 0.5\n\
             from 2027-01-01\n\
             \x20 standard                          input 9, output 9\n"
        ),
        "{shown}"
    );
    let json = said(&[
        "show",
        "a/new",
        "--file",
        &file,
        "--json",
        "--at",
        "2027-01-01",
    ]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["prices"].as_array().unwrap().len(), 1);
    assert_eq!(json["prices"][0]["from"], "2027-01-01");
    assert_eq!(json["prices"][0]["standard"]["input"], "9");
    assert!(said(&["show", "gpt-4o"]).starts_with("openai/gpt-4o, of the prices "));
    assert!(said(&["show", "gpt-4o-2024-05-13", "--provider", "azure"]).starts_with("azure/"));
}

#[test]
fn other_prices_are_compared() {
    let folder = Folder::new();
    let before = Catalogue::read(OURS).unwrap();
    let changed = OURS
        .replace("cached_input=0.1", "cached_input=0.2")
        .replace("b/other request=0.04", "b/next free")
        .replace(
            "weir prices 1\nversion ours-1",
            "weir prices 1\nversion ours-2",
        );
    let after = Catalogue::read(&changed).unwrap();
    let changes = compare::catalogues(&before, &after);
    let text = compare::text(&changes, NOW);
    assert_eq!(
        text,
        "~ a/new\n\
         \x20   was input=1 cached_input=0.1 output=2 >1000 input=3 /batch input=0.5\n\
         \x20   is  input=1 cached_input=0.2 output=2 >1000 input=3 /batch input=0.5\n\
         ~ a/old\n\
         \x20   was input=1 cached_input=0.1 output=2 >1000 input=3 /batch input=0.5\n\
         \x20   is  input=1 cached_input=0.2 output=2 >1000 input=3 /batch input=0.5\n\
         + b/next free\n\
         - b/other request=0.04\n\
         1 new, 1 gone, 2 changed\n"
    );
    assert_eq!(compare::json_lines(&changes, NOW).lines().count(), 4);
    let data = folder.with(
        "data.json",
        r#"{ "gpt-4o": { "litellm_provider": "openai", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6 } }"#,
    );
    let said = said(&["diff", &data, "--provider", "openai"]);
    assert!(said.contains("~ openai/gpt-4o\n"), "{said}");
    assert!(said.contains("    is  input=1 output=2\n"), "{said}");
}

#[test]
fn a_configurations_prices_are_compared_and_shown() {
    let folder = Folder::new();
    let pepper = folder.with("pepper", "pepper-of-32-bytes-for-the-tests");
    let config = format!(
        "listen: {{ grpc: '127.0.0.1:0' }}\n\
         identity: {{ pepper: {{ file: '{pepper}' }}, keys: [ {{ id: k, tenant: t, hash: 71efe7e35fd598b6a84d475985f403dbf6edb5bef30d3af639274b01ec46fa30 }} ] }}\n\
         models: {{ gpt-4o: {{ price: {{ input: 2, output: 9 }} }}, gpt-4o-mini: {{}} }}\n\
         plans: {{ p: {{ output: {{ max_tokens: {{ default: 100 }} }} }} }}\n\
         tenants: {{ t: {{ plan: p }} }}\n"
    );
    let config = folder.with("weir.yaml", &config);
    let changes = said(&["diff", "--config", &config]);
    assert!(
        changes.starts_with("~ gpt-4o\n    was input=2.5 "),
        "{changes}"
    );
    assert!(changes.ends_with("    is  input=2 output=9\n0 new, 0 gone, 1 changed\n"));
    let shown = said(&["show", "gpt-4o", "--config", &config]);
    assert!(shown.contains("always (today's)\n"), "{shown}");
    assert!(shown.contains("input 2, output 9"), "{shown}");
}

#[test]
fn data_sets_become_a_file_that_weir_takes() {
    let folder = Folder::new();
    let first = folder.with(
        "a.json",
        r#"[ { "id": "p", "models": [ { "id": "m", "match": { "equals": "m" }, "prices": { "input_mtok": 1, "output_mtok": 2 } } ] } ]"#,
    );
    let second = folder.with(
        "b.json",
        r#"{ "m": { "litellm_provider": "p", "input_cost_per_token": 9e-6, "output_cost_per_token": 2e-6 },
             "n": { "litellm_provider": "p", "input_cost_per_token": 3e-6, "output_cost_per_token": 4e-6 } }"#,
    );
    let output = folder.path("prices.txt");
    let told = said(&[
        "import",
        &first,
        &second,
        "--output",
        &output,
        "--source",
        "first, MIT",
    ]);
    assert!(
        told.contains("a.json: 1 models and 0 other names; 0 models left out"),
        "{told}"
    );
    assert!(
        told.ends_with("prices.txt: 2 models, prices 2026-11-26\n"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_to_string(&output).unwrap(),
        "weir prices 1\nversion 2026-11-26\nsource first, MIT\nsource litellm\n\n\
         p/m input=1 output=2\np/n input=3 output=4\n"
    );
    assert!(said(&["list", "--file", &output]).contains("2 models"));
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let folder = Folder::new();
    let bad = folder.with("bad.txt", "weir prices 1\nversion 1\n\na/b input=1\n");
    let data = folder.with("data.json", "{}");
    let output = folder.path("out.txt");
    for (args, wrong) in [
        (
            vec!["show", "gpt-4oo"],
            "no price is known of \"gpt-4oo\"; `weir prices list",
        ),
        (
            vec!["show", "nowhere/gpt-4o"],
            "\"nowhere/gpt-4o\"; known are ",
        ),
        (
            vec!["show", "m", "--provider", "nobody"],
            "--provider: no prices of \"nobody\" are known; known are ",
        ),
        (
            vec!["show", "gpt-4o", "--at", "soon"],
            "must be a date as 2026-01-31",
        ),
        (
            vec!["show", "gpt-4o", "--config", "missing.yaml"],
            "missing.yaml: can't be read",
        ),
        (
            vec!["list", "--filter", "zzz"],
            "no model's name holds \"zzz\"",
        ),
        (vec!["list", "--file", "missing.txt"], "missing.txt"),
        (
            vec!["list", "--file", &bad],
            "bad.txt:4: the price says nothing of what output costs",
        ),
        (vec!["diff"], "--config"),
        (
            vec![
                "import",
                &data,
                "--output",
                &output,
                "--format",
                "genai-prices",
            ],
            "data.json: is not of the form of genai-prices",
        ),
        (
            vec!["import", &data, "--output", &output, "--format", "csv"],
            "must be one of litellm, genai-prices",
        ),
        (
            vec!["import", &data, "--output", &output, "--as", "two words"],
            "--as: must be one word, as in 2026-11-26",
        ),
        (
            vec!["import", &bad, "--output", &output],
            "bad.txt: is no JSON",
        ),
    ] {
        let error = weir(&args).expect_err(wrong);
        assert!(error.contains(wrong), "{args:?}: {error}");
    }
}
