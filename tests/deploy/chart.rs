//! The chart, as Helm's own engine renders it.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub const RELEASE: &str = "weir";
pub const NAMESPACE: &str = "llm";

/// Of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn chart() -> PathBuf {
    root().join("helm/weir")
}

/// What a chart becomes.
#[derive(Debug)]
pub struct Rendered {
    pub objects: Vec<Value>,
    pub hooks: Vec<Value>,
    pub notes: String,
    pub text: String,
}

impl Rendered {
    /// The one of this kind and name.
    pub fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name)
            .unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    pub fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        let of = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        self.objects.iter().find(of)
    }

    /// A text in a ConfigMap.
    pub fn data(&self, name: &str, key: &str) -> String {
        let text = self.get("ConfigMap", name)["data"][key].as_str();
        text.unwrap_or_else(|| panic!("ConfigMap {name} has no {key}"))
            .to_owned()
    }

    /// weir's own file.
    pub fn weir_yaml(&self) -> String {
        self.data("weir", "weir.yaml")
    }
}

/// Asks `chart.py`.
pub fn ask(verb: &str, mut request: Value) -> Value {
    request["verb"] = verb.into();
    request["chart"] = chart().display().to_string().into();
    if request["release"].is_null() {
        request["release"] = RELEASE.into();
    }
    request["namespace"] = NAMESPACE.into();
    let mut child = Command::new(root().join("target/venv/bin/python3"))
        .arg(root().join("tests/deploy/chart.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 in target/venv: run `make helm`");
    let mut input = child.stdin.take().unwrap();
    input.write_all(request.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "chart.py {verb} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Renders the chart with these values, or tells why it can't be.
pub fn try_render(values: &str) -> Result<Rendered, String> {
    let answer = ask("render", json!({ "values": values }));
    read(&answer)
}

fn read(answer: &Value) -> Result<Rendered, String> {
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    let list = |name: &str| answer[name].as_array().unwrap().clone();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Ok(Rendered {
        objects: list("objects"),
        hooks: list("hooks"),
        notes: text("notes"),
        text: text("text"),
    })
}

pub fn render(values: &str) -> Rendered {
    try_render(values).unwrap_or_else(|error| panic!("{error}\n{values}"))
}

/// The combinations of values that the chart ships: name and text.
pub fn cases() -> BTreeMap<String, String> {
    let folder = fs::read_dir(chart().join("ci")).unwrap();
    let all = folder.map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.strip_suffix("-values.yaml").unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    all.collect()
}

/// What the chart makes of each, by its name.
pub fn rendered() -> &'static BTreeMap<String, Rendered> {
    static RENDERED: OnceLock<BTreeMap<String, Rendered>> = OnceLock::new();
    RENDERED.get_or_init(|| {
        let answers = ask("renders", json!({ "cases": cases() }));
        let answers = answers.as_object().unwrap().iter().map(|(name, answer)| {
            let rendered = read(answer).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.clone(), rendered)
        });
        answers.collect()
    })
}

/// One of them.
pub fn case(name: &str) -> String {
    cases()
        .remove(name)
        .unwrap_or_else(|| panic!("no case {name}"))
}

/// Holds a file to what it should be; writes it where `WEIR_WRITE_GOLDEN` is set.
pub fn held(path: &Path, expected: &str) {
    if std::env::var_os("WEIR_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, expected).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    if written == expected {
        return;
    }
    let mut lines = written.lines().zip(expected.lines()).enumerate();
    let at = lines.find(|(_, (left, right))| left != right);
    panic!(
        "{} isn't what it should be, first at {at:?} ({} lines, should be {}); WEIR_WRITE_GOLDEN=1 writes it",
        path.display(),
        written.lines().count(),
        expected.lines().count()
    );
}
