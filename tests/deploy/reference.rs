//! The table of values in the chart's README: made from the comments of
//! `values.yaml`, so that it says what they do.

use crate::chart::{case, chart, held, render};
use crate::rig;
use crate::support::stack::weir_binary;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

const BEGIN: &str = "<!-- values -->\n";
const END: &str = "<!-- /values -->\n";

/// A line of `values.yaml`, with the comment that stands above it.
struct Line {
    path: String,
    default: String,
    doc: String,
}

/// The lines that have a comment of `# --`, and those below them that hold a value.
fn lines(text: &str) -> Vec<Line> {
    let (mut found, mut doc) = (Vec::new(), String::new());
    // Names by how far they stand in.
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some(comment) = bare.strip_prefix("# -- ") {
            doc = comment.to_owned();
            continue;
        }
        let Some((name, value)) = bare.split_once(':') else {
            continue;
        };
        if bare.starts_with(['#', '-']) {
            continue;
        }
        above.retain(|(at, _)| *at < indent);
        above.push((indent, name.to_owned()));
        let path: Vec<&str> = above.iter().map(|(_, name)| name.as_str()).collect();
        found.push(Line {
            path: path.join("."),
            default: value.trim().to_owned(),
            doc: std::mem::take(&mut doc),
        });
    }
    // A section without a word of its own and of its fields' would say nothing.
    found.retain(|line| !line.default.is_empty() || !line.doc.is_empty());
    found
}

fn table(text: &str) -> String {
    let mut table = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    for line in lines(text) {
        let default = match line.default.as_str() {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let doc = line.doc.replace('|', "\\|");
        writeln!(table, "| `{}` | {default} | {doc} |", line.path).unwrap();
    }
    table
}

#[test]
fn the_readme_lists_every_value() {
    let values = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let path = chart().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    let table = table(&values);
    assert!(table.lines().count() > 80, "{table}");
    held(&path, &format!("{before}{BEGIN}{table}{END}{after}"));
}

/// The values that the guides tell to write: each is installed as it stands there, over
/// a configuration with a Redis and a PostgreSQL, and weir reads what comes of it.
#[test]
fn the_guides_values_can_be_installed() {
    let readme = fs::read_to_string(chart().join("README.md")).unwrap();
    let begin = readme.find("cat > values.yaml <<'EOF'\n").unwrap();
    let whole = readme[begin..].split("EOF").nth(1).unwrap();
    let whole = whole.trim_start_matches("'\n").to_owned();
    let shared = case("shared").replace("replicas: 2\n", "");
    let mut seen = vec![(whole, "StatefulSet")];
    for block in readme.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let indent = block.len() - block.trim_start_matches(' ').len();
        let lines = block.lines().map(|line| line.get(indent..).unwrap_or(""));
        let values: Vec<&str> = lines.collect();
        let values = values.join("\n");
        if values.starts_with("apiVersion:") {
            continue;
        }
        let kind = match values.contains("envoyGateway") {
            true => "EnvoyExtensionPolicy",
            false if values.contains("istio") => "EnvoyFilter",
            false => "Deployment",
        };
        seen.push((format!("{values}\n{shared}"), kind));
    }
    assert_eq!(seen.len(), 4);
    for (values, kind) in seen {
        let rendered = render(&values);
        let there = rendered.objects.iter().any(|object| object["kind"] == kind);
        assert!(there, "{values}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.yaml");
        fs::write(&path, rig::local(&rendered.weir_yaml(), dir.path())).unwrap();
        let mut check = Command::new(weir_binary());
        let output = check
            .args(["check", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{values}\n{output:?}");
    }
}
