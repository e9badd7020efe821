//! The table of values in the chart's README: made from the comments of
//! `values.yaml`, so that it says what they do.

use crate::chart::{chart, held};
use std::fmt::Write as _;
use std::fs;

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
