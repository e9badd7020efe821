//! Alert rules and dashboards: taken by Prometheus' own tool, each alert tried by it,
//! and all that they speak of in a scrape of a weir that runs.

use crate::chart::{case, render};
use crate::support::authority::Authority;
use crate::support::client;
use crate::support::stack::{Engine, Setup, Stack, weir_binary};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Labels that Prometheus gives what it scrapes, and its own.
const OF_TARGETS: [&str; 7] = [
    "namespace",
    "job",
    "pod",
    "instance",
    "alertname",
    "alertstate",
    "severity",
];

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

/// The units that these dashboards use, as Grafana names them.
const UNITS: [&str; 7] = [
    "short",
    "reqps",
    "ops",
    "s",
    "bytes",
    "percentunit",
    "currencyUSD",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rules_path() -> PathBuf {
    root().join("helm/weir/files/rules.yaml")
}

/// All rules, of all groups.
fn rules() -> Vec<Value> {
    let groups = yaml(&rules_path())["groups"].clone();
    let groups = groups.as_array().unwrap().clone();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.collect()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

fn dashboards() -> BTreeMap<String, Value> {
    let folder = root().join("helm/weir/files/dashboards");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let read = files.map(|file| {
        let name = file.file_name().into_string().unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let read = serde_json::from_str(&text);
        (
            name.clone(),
            read.unwrap_or_else(|error| panic!("{name}: {error}")),
        )
    });
    read.collect()
}

fn promtool(arguments: &[&str]) -> String {
    let mut command = Command::new("promtool");
    let done = command.args(arguments).current_dir(root()).output();
    let done = done.expect("promtool, of the system's package prometheus: run `make prometheus`");
    let said = [&*done.stdout, &*done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(done.status.success(), "{arguments:?}:\n{said}");
    said
}

#[test]
fn prometheus_takes_the_rules() {
    let said = promtool(&["check", "rules", "helm/weir/files/rules.yaml"]);
    assert!(
        said.contains(&format!("{} rules found", rules().len())),
        "{said}"
    );
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    let tests =
        ["rules_test.yaml", "rules_days_test.yaml"].map(|name| format!("tests/deploy/{name}"));
    promtool(&["test", "rules", &tests[0], &tests[1]]);
    // How often each is said to fire, and that it doesn't.
    let mut tried: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in tests {
        for case in yaml(&root().join(path))["tests"].as_array().unwrap() {
            let tries = case["promql_expr_test"].as_array();
            for one in tries.map(Vec::as_slice).unwrap_or_default() {
                let Some((_, rest)) = text(one, "expr").split_once("alertname=\"") else {
                    continue;
                };
                let alert = rest.split_once('"').unwrap().0.to_owned();
                let (fires, quiet) = tried.entry(alert).or_default();
                match one["exp_samples"].as_array().unwrap().is_empty() {
                    true => *quiet += 1,
                    false => *fires += 1,
                }
            }
        }
    }
    let alerts = rules();
    let alerts = alerts.iter().filter_map(|rule| rule["alert"].as_str());
    for alert in alerts {
        let told = tried.remove(alert);
        let (fires, quiet) = told.unwrap_or_else(|| panic!("{alert} is not tried"));
        assert!(
            fires > 0 && quiet > 0,
            "{alert} fires {fires}, doesn't {quiet}"
        );
    }
    assert!(tried.is_empty(), "there are no such alerts: {tried:?}");
}

#[test]
fn each_alert_says_what_is_so_and_what_to_do() {
    let mut names = BTreeSet::new();
    for rule in rules() {
        let Some(alert) = rule["alert"].as_str() else {
            assert!(text(&rule, "record").starts_with("weir:"), "{rule:#}");
            continue;
        };
        assert!(names.insert(alert.to_owned()), "{alert} is there twice");
        let severity = text(&rule["labels"], "severity");
        assert!(SEVERITIES.contains(&severity), "{alert}: {severity}");
        for field in ["summary", "description", "action"] {
            let said = text(&rule["annotations"], field);
            assert!(said.len() > 15, "{alert}: {field}");
            assert!(
                said.ends_with(['.', ')']),
                "{alert}: {field} is cut: {said}"
            );
        }
        let annotations = rule["annotations"].as_object().unwrap();
        assert_eq!(annotations.len(), 3, "{alert}");
    }
    assert!(names.len() >= 30, "{}", names.len());
}

/// `weir ...` in backquotes.
#[test]
fn the_commands_that_alerts_and_dashboards_name_exist() {
    let mut said: Vec<String> = dashboards().values().map(Value::to_string).collect();
    said.extend(rules().iter().map(Value::to_string));
    let all = said.join("\n");
    let quoted = all.split('`').skip(1).step_by(2);
    let commands: BTreeSet<&str> = quoted.filter(|text| text.starts_with("weir ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let words = command.split(' ').skip(1);
        let words = words.take_while(|word| !word.starts_with("--"));
        let mut help = Command::new(weir_binary());
        let done = help.args(words).arg("--help").output().unwrap();
        assert!(done.status.success(), "{command}");
        let flags = command.split(' ').filter(|word| word.starts_with("--"));
        let told = String::from_utf8_lossy(&done.stdout);
        for flag in flags {
            assert!(told.contains(flag), "{command}: {flag}");
        }
    }
}

/// One series of a scrape or of a rule: its name and its labels.
type Series = BTreeMap<String, String>;

/// Labels, and the values where these are fixed.
type Matchers = Vec<(String, Vec<String>)>;

/// What an expression speaks of.
#[derive(Debug, Default)]
struct Spoken {
    /// Each metric with the labels that it is chosen by.
    metrics: Vec<(String, Matchers)>,
    /// Labels that are grouped or joined by.
    by: BTreeSet<String>,
}

fn is_word(byte: char) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, '_' | ':')
}

/// Reads as much of PromQL as there is here: names with matchers, and the lists
/// behind `by`, `on` and their like.
fn spoken(expression: &str) -> Spoken {
    let mut spoken = Spoken::default();
    let mut rest = expression;
    while let Some(at) = rest.find(|c| is_word(c) || c == '"') {
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix('"') {
            rest = behind.split_once('"').expect("a string that ends").1;
            continue;
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let after = behind.trim_start();
        if ["by", "without", "on", "ignoring"].contains(&word) {
            let list = after
                .strip_prefix('(')
                .and_then(|list| list.split_once(')'));
            let (list, behind) = list.expect("a list of labels");
            spoken
                .by
                .extend(list.split(',').map(|label| label.trim().to_owned()));
            rest = behind;
        } else if word.starts_with("weir") || word.starts_with("process_") || word == "up" {
            let chosen = behind
                .strip_prefix('{')
                .and_then(|list| list.split_once('}'));
            let matchers = chosen.map_or(Vec::new(), |(list, _)| matchers(list));
            spoken.metrics.push((word.to_owned(), matchers));
            rest = chosen.map_or(behind, |(_, behind)| behind);
        }
    }
    spoken
}

fn matchers(list: &str) -> Matchers {
    let mut found = Vec::new();
    let mut rest = list;
    while let Some((name, behind)) = rest.split_once(['=', '!']) {
        let (sign, behind) = behind.split_once('"').unwrap();
        let (value, behind) = behind.split_once('"').unwrap();
        let values = match value.contains('$') {
            // A variable of a dashboard.
            true => Vec::new(),
            false if sign.contains('~') => value.split('|').map(str::to_owned).collect(),
            false => vec![value.to_owned()],
        };
        found.push((name.trim_start_matches(',').trim().to_owned(), values));
        rest = behind;
    }
    found
}

/// Every series of a scrape, by the name of its metric.
fn scraped(text: &str) -> BTreeMap<String, Vec<Series>> {
    let mut all: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = matchers(labels.trim_end_matches('}'));
        let labels = labels.into_iter();
        let labels = labels.map(|(name, values)| (name, values.concat()));
        all.entry(name.to_owned())
            .or_default()
            .push(labels.collect());
    }
    all
}

/// Over mutual TLS and Redis, so that whatever a weir can tell is told; after calls
/// of each outcome.
async fn scrape_of_a_running_weir() -> String {
    const NAMES: &str = r#"{ address: "127.0.0.1:GRPC", tls: { cert: "DIR/tls/weir.pem", key: "DIR/tls/weir-key.pem", client_ca: "DIR/tls/ca.pem", client_names: [ "spiffe://example.org/envoy" ] } }"#;
    let ca = Authority::new("ca");
    let (weir, envoy) = (ca.sign(&["weir"]), ca.sign(&["spiffe://example.org/envoy"]));
    let stack = Stack::start(Setup {
        engine: Engine::Redis,
        envoy: "tls.yaml",
        grpc: NAMES.to_owned(),
        sqlite: true,
        files: vec![
            ("tls/ca.pem", ca.pem()),
            ("tls/weir.pem", weir.cert),
            ("tls/weir-key.pem", weir.key),
            ("tls/envoy.pem", envoy.cert),
            ("tls/envoy-key.pem", envoy.key),
        ],
        ..Setup::default()
    })
    .await;
    let ask = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "hello out there" }] });
    for (model, headers, status) in [
        ("gpt-4o", &[][..], 200),
        ("gpt-4o", &[("x-fake-no-usage", "1")], 200),
        ("no-such-model", &[], 404),
    ] {
        let answer = stack.send(stack.chat(&ask(model), headers)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    stack.wait_for_events(3).await;
    // Told by the second.
    for series in ["weir_ledger_spool_bytes", "weir_stored_keys_age_seconds"] {
        crate::support::until(series, crate::support::stack::SOON, || async {
            let text = client::get(stack.admin, "/metrics").await.text();
            let is_told = |line: &str| line.starts_with(&format!("{series} "));
            text.lines().any(is_told).then_some(())
        })
        .await;
    }
    let scrape = client::get(stack.admin, "/metrics").await.text();
    let value = |series: &str| {
        let mut lines = scrape.lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("{series} ")));
        let value = value.unwrap_or_else(|| panic!("no {series} in\n{scrape}"));
        value.parse::<f64>().unwrap()
    };
    for outcome in ["exact", "estimated", "refused"] {
        let labels = format!("endpoint=\"/v1/chat/completions\",outcome=\"{outcome}\"");
        assert_eq!(value(&format!("weir_calls_total{{{labels}}}")), 1.0);
    }
    for part in ["started", "not_draining", "counters", "ledger", "keys"] {
        assert_eq!(value(&format!("weir_part_ready{{part=\"{part}\"}}")), 1.0);
    }
    for series in [
        "weir_cost_nanodollars_total",
        "weir_decision_seconds_count",
        "weir_refusals_total{reason=\"unknown_model\"}",
        "weir_ledger_spool_bytes",
        "weir_ledger_rows_total{sink=\"sqlite\"}",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
    ] {
        assert!(value(series) > 0.0, "{series}");
    }
    assert_eq!(value("weir_ledger_spool_bytes_max"), 4_294_967_296.0);
    assert_eq!(value("weir_ledger_sink_lag_seconds{sink=\"sqlite\"}"), 0.0);
    scrape
}

/// All that rules and dashboards ask for, by where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for rule in rules() {
        let name = rule["alert"].as_str().or(rule["record"].as_str());
        all.push((name.unwrap().to_owned(), text(&rule, "expr").to_owned()));
    }
    for (file, board) in dashboards() {
        for panel in board["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array();
            for target in targets.map(Vec::as_slice).unwrap_or_default() {
                let place = format!("{file}: {}", text(panel, "title"));
                all.push((place, text(target, "expr").to_owned()));
            }
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            if let Some(asked) = variable["definition"].as_str() {
                let asked = asked.rsplit_once(',').unwrap().0;
                all.push((format!("{file}: variables"), asked.to_owned()));
            }
        }
    }
    all
}

/// What rules record, with the labels that it keeps.
fn recorded() -> BTreeMap<String, BTreeSet<String>> {
    let rules = rules();
    let recorded = rules.iter().filter_map(|rule| {
        let name = rule["record"].as_str()?;
        let kept = spoken(text(rule, "expr")).by;
        Some((name.to_owned(), kept))
    });
    recorded.collect()
}

#[tokio::test]
async fn all_that_rules_and_dashboards_speak_of_is_told_by_a_running_weir() {
    let scraped = scraped(&scrape_of_a_running_weir().await);
    let recorded = recorded();
    let of_targets = |label: &str| OF_TARGETS.contains(&label);
    let mut told = BTreeSet::new();
    let mut wrong = Vec::new();
    for (place, expression) in expressions() {
        let Spoken { metrics, by } = spoken(&expression);
        let mut labels = BTreeSet::new();
        assert!(
            !metrics.is_empty() || expression.starts_with("vector("),
            "{place}"
        );
        for (metric, chosen) in metrics {
            told.insert(metric.clone());
            if let Some(kept) = recorded.get(&metric) {
                labels.extend(kept.iter().cloned());
                continue;
            }
            let series = match metric.as_str() {
                "up" => &Vec::new(),
                metric => match scraped.get(metric) {
                    Some(series) => series,
                    None => {
                        wrong.push(format!("{place}: no metric {metric}"));
                        continue;
                    }
                },
            };
            labels.extend(series.iter().flat_map(BTreeMap::keys).cloned());
            for (label, values) in chosen.iter().filter(|(label, _)| !of_targets(label)) {
                let is_of = |value: &String| {
                    let mut with = series.iter().filter_map(|series| series.get(label));
                    with.any(|known| known == value)
                };
                let missing: Vec<_> = values.iter().filter(|value| !is_of(value)).collect();
                if !labels.contains(label) || !missing.is_empty() {
                    wrong.push(format!("{place}: {metric} has no {label} {missing:?}"));
                }
            }
        }
        for label in by.iter().filter(|label| !of_targets(label)) {
            if !labels.contains(label) {
                wrong.push(format!("{place}: nothing has the label {label}"));
            }
        }
        // What its words name.
        let rules = rules();
        let rule = rules.iter().find(|rule| rule["alert"] == place.as_str());
        let words = rule.map_or(String::new(), |rule| rule["annotations"].to_string());
        for named in words.split("$labels.").skip(1) {
            let end = named.find(|c| !is_word(c)).unwrap();
            let label = &named[..end];
            if !labels.contains(label) && !of_targets(label) {
                wrong.push(format!("{place}: its words name {label}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And the other way: what is told of operators' troubles is shown somewhere.
    let shown = |name: &str| {
        told.iter().any(|told| {
            let bare = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| told.strip_suffix(end));
            told == name || bare == Some(name)
        })
    };
    let unseen: Vec<&String> = scraped
        .keys()
        .filter(|name| {
            let bare = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            !shown(bare.unwrap_or(name))
        })
        .collect();
    assert!(unseen.is_empty(), "in no rule and no dashboard: {unseen:?}");
}

#[test]
fn dashboards_are_whole() {
    let dashboards = dashboards();
    assert!(dashboards.len() >= 2);
    let mut uids = BTreeSet::new();
    for (name, board) in &dashboards {
        assert!(
            uids.insert(text(board, "uid")),
            "{name}: its uid is another's"
        );
        assert!(text(board, "title").starts_with("weir"), "{name}");
        assert!(text(board, "description").len() > 40, "{name}");
        assert_eq!(board["schemaVersion"], 41, "{name}");
        assert!(
            board.get("id").is_none(),
            "{name}: an id is a Grafana's own"
        );
        let variables = board["templating"]["list"].as_array().unwrap();
        let variables: Vec<&str> = variables.iter().map(|one| text(one, "name")).collect();
        assert_eq!(
            variables,
            ["datasource", "namespace", "job", "pod"],
            "{name}"
        );
        let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
        let mut taken = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}");
            let grid = &panel["gridPos"];
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| grid[side].as_u64().unwrap());
            assert!(x + w <= 24, "{name}: {title}");
            for place in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
                assert!(taken.insert(place), "{name}: {title} lies on another");
            }
            if panel["type"] == "row" {
                continue;
            }
            let kind = text(panel, "type");
            assert!(
                titles.insert((kind, title)),
                "{name}: {title} is there twice"
            );
            assert!(text(panel, "description").len() > 10, "{name}: {title}");
            let unit = text(&panel["fieldConfig"]["defaults"], "unit");
            assert!(UNITS.contains(&unit), "{name}: {title}: {unit}");
            let source = json!({ "type": "prometheus", "uid": "${datasource}" });
            assert_eq!(panel["datasource"], source, "{name}: {title}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name}: {title}");
            for target in targets {
                assert_eq!(target["datasource"], source, "{name}: {title}");
                let expr = text(target, "expr");
                let chosen = spoken(expr).metrics;
                // Of process metrics, those of weirs alone.
                let is_of_variables = |(metric, chosen): &(String, Matchers)| {
                    let by: Vec<&str> = chosen.iter().map(|(label, _)| label.as_str()).collect();
                    by.starts_with(&["namespace", "job", "pod"]) || metric == "weir_build_info"
                };
                assert!(
                    chosen.iter().all(is_of_variables),
                    "{name}: {title}: {expr}"
                );
                assert!(!text(target, "legendFormat").is_empty(), "{name}: {title}");
            }
        }
    }
}

#[test]
fn the_reader_of_promql_reads_what_is_here() {
    let read = spoken(
        "sum by (namespace, le) (rate(weir_a_bucket{x=\"1\",y=~\"b|c\",pod=~\"$pod\"}[5m])) / on (job) weir:b > \
         label_replace(up, \"weir_no\", \"$1\", \"by\", \"(x)\")",
    );
    let names: Vec<&str> = read.metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["weir_a_bucket", "weir:b", "up"]);
    let chosen = &read.metrics[0].1;
    let values = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(
        *chosen,
        [
            ("x".to_owned(), values(&["1"])),
            ("y".to_owned(), values(&["b", "c"])),
            ("pod".to_owned(), Vec::new())
        ]
    );
    assert_eq!(
        read.by,
        ["job", "le", "namespace"].map(str::to_owned).into()
    );
}

/// Helm evaluates nothing in them: what Prometheus and Grafana read is what is here.
#[test]
fn the_chart_ships_them_as_they_are() {
    let monitoring =
        "monitoring: { prometheusRule: { enabled: true }, dashboards: { enabled: true } }";
    let rendered = render(&format!("{}{monitoring}\n", case("minimal")));
    let objects = rendered.objects.iter();
    let rule = objects
        .clone()
        .find(|object| object["kind"] == "PrometheusRule");
    assert_eq!(rule.unwrap()["spec"], yaml(&rules_path()));
    let dashboards = dashboards();
    let data = objects.filter(|object| object["kind"] == "ConfigMap");
    let data = data.flat_map(|object| object["data"].as_object().unwrap());
    let shipped = data.filter(|(name, _)| name.ends_with(".json"));
    let shipped = shipped.map(|(name, text)| {
        let board = serde_json::from_str::<Value>(text.as_str().unwrap());
        (name.clone(), board.unwrap())
    });
    assert_eq!(shipped.collect::<BTreeMap<_, _>>(), dashboards);
}
