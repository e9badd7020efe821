//! `k8s/`: the same as the chart, without Helm. The files are written from what the
//! chart renders (`WEIR_WRITE_GOLDEN=1`), and what kustomize makes of them is held
//! against it, so that the two can't drift.

use crate::chart::{Rendered, ask, held, rendered, root};
use crate::rig::{merge, yaml};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BASE: &str = "shared";

/// Folder of `k8s/overlays`, which is the chart's case too, and whether it stands on
/// the base.
const OVERLAYS: [(&str, bool); 8] = [
    ("istio-gateway", true),
    ("istio-inbound", true),
    ("istio-outbound", true),
    ("istio-waypoint", true),
    ("istio-same-pod", false),
    ("envoy-gateway", true),
    ("envoy-gateway-same-pod", false),
    ("gateway", false),
];

/// What Helm alone puts there.
fn without_helm(text: &str) -> String {
    let is_helms = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("helm.sh/chart:") || line.starts_with("app.kubernetes.io/managed-by:")
    };
    let mut text: String = text
        .lines()
        .filter(|line| !is_helms(line))
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The documents of a rendering, as text, by kind and name; hooks apart.
fn documents(rendered: &Rendered) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for text in rendered.text.split("\n---\n") {
        // The name of the template, which Helm's rendering begins with.
        let lines = text.lines().skip_while(|line| {
            line.starts_with("# weir/") || line.trim().is_empty() || *line == "---"
        });
        let text: Vec<&str> = lines.collect();
        let text = without_helm(&text.join("\n"));
        let Some(object) = Some(yaml(&text)).filter(Value::is_object) else {
            continue;
        };
        if object["metadata"]["annotations"]["helm.sh/hook"].is_null() {
            found.push((id(&object), text));
        }
    }
    found
}

fn id(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!(
        "{}/{}/{}",
        object["kind"].as_str().unwrap(),
        metadata["namespace"].as_str().unwrap_or_default(),
        metadata["name"].as_str().unwrap()
    )
}

/// The labels of every object.
const LABELS: &str = "labels: { app.kubernetes.io/name: weir, app.kubernetes.io/instance: weir, app.kubernetes.io/version: \"VERSION\" }";

fn generator(namespace: &str) -> String {
    let labels = LABELS.replace("VERSION", env!("CARGO_PKG_VERSION"));
    format!(
        "configMapGenerator:\n  - name: weir\n    namespace: {namespace}\n    files: [weir.yaml]\n    # One name, so that a running weir follows it.\n    options: {{ disableNameSuffixHash: true, {labels} }}\n"
    )
}

const HEAD: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";

/// A folder's files by name, with all objects of a rendering.
fn whole(rendered: &Rendered) -> BTreeMap<String, String> {
    let config = "ConfigMap/llm/weir";
    let documents: Vec<_> = documents(rendered)
        .into_iter()
        .filter(|(id, _)| id != config)
        .map(|(_, text)| text)
        .collect();
    BTreeMap::from([
        ("objects.yaml".to_owned(), documents.join("---\n")),
        ("weir.yaml".to_owned(), rendered.weir_yaml()),
        (
            "kustomization.yaml".to_owned(),
            format!("{HEAD}resources: [objects.yaml]\n{}", generator("llm")),
        ),
    ])
}

/// The same of what an overlay adds to the base and changes of it.
fn on_base(base: &Rendered, rendered: &Rendered) -> BTreeMap<String, String> {
    assert_eq!(base.weir_yaml(), rendered.weir_yaml());
    let held: BTreeMap<String, String> = documents(base).into_iter().collect();
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for (id, text) in documents(rendered) {
        match held.get(&id) {
            Some(held) if *held == text => {}
            Some(_) => changed.push(text),
            None => added.push(text),
        }
    }
    let mut kustomization = format!("{HEAD}resources: [../../base, objects.yaml]\n");
    let mut files = BTreeMap::from([("objects.yaml".to_owned(), added.join("---\n"))]);
    if !changed.is_empty() {
        kustomization.push_str("patches:\n");
    }
    for text in changed {
        let object = yaml(&text);
        let of = |value: &Value| value.as_str().unwrap().to_lowercase();
        let name = format!(
            "{}-{}.yaml",
            of(&object["kind"]),
            of(&object["metadata"]["name"])
        );
        writeln!(kustomization, "  - path: {name}").unwrap();
        assert!(files.insert(name, text).is_none());
    }
    files.insert("kustomization.yaml".to_owned(), kustomization);
    files
}

fn folder(overlay: &str) -> PathBuf {
    root().join("k8s/overlays").join(overlay)
}

#[test]
fn the_files_are_what_the_chart_renders() {
    let base = &rendered()[BASE];
    for (name, text) in whole(base) {
        held(&root().join("k8s/base").join(name), &text);
    }
    for (overlay, stands_on_base) in OVERLAYS {
        let rendered = &rendered()[overlay];
        let files = match stands_on_base {
            true => on_base(base, rendered),
            false => whole(rendered),
        };
        let mut names: Vec<_> = files.keys().cloned().collect();
        for (name, text) in files {
            held(&folder(overlay).join(name), &text);
        }
        // And nothing else stands there.
        names.sort();
        let mut there: Vec<String> = fs::read_dir(folder(overlay))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, names, "{overlay}");
    }
    let mut there = fs::read_dir(root().join("k8s/overlays")).unwrap().count();
    there -= OVERLAYS.len();
    assert_eq!(there, 0, "overlays without a case");
}

/// What kustomize makes of a folder, as far as `k8s/` uses it: resources, whole
/// objects as patches, generated ConfigMaps.
fn build(folder: &Path) -> Vec<Value> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let kustomization = yaml(&read("kustomization.yaml"));
    let list = |name: &str| kustomization[name].as_array().cloned().unwrap_or_default();
    let mut objects = Vec::new();
    for resource in list("resources") {
        let name = resource.as_str().unwrap();
        if folder.join(name).is_dir() {
            objects.extend(build(&folder.join(name)));
            continue;
        }
        let texts = json!({ "texts": { name: read(name) } });
        objects.extend(ask("files", texts)[name].as_array().unwrap().clone());
    }
    for generated in list("configMapGenerator") {
        let mut data = json!({});
        for file in generated["files"].as_array().unwrap() {
            let file = file.as_str().unwrap();
            data[file] = read(file).into();
        }
        objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {
                "name": generated["name"], "namespace": generated["namespace"],
                "labels": generated["options"]["labels"],
            },
        }));
    }
    for patch in list("patches") {
        let name = patch["path"].as_str().unwrap();
        let texts = json!({ "texts": { name: read(name) } });
        let patch = ask("files", texts)[name][0].clone();
        let mut of = objects.iter_mut().filter(|object| id(object) == id(&patch));
        let object = of.next().expect("what is patched");
        // The whole object is there: lists count as they stand.
        for (field, value) in patch["spec"].as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        merge(&mut object["metadata"], &patch["metadata"]);
    }
    objects
}

fn sorted(mut objects: Vec<Value>) -> BTreeMap<String, Value> {
    for object in &mut objects {
        for place in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = object.pointer_mut(place) {
                let labels = labels.as_object_mut().unwrap();
                labels.remove("helm.sh/chart");
                labels.remove("app.kubernetes.io/managed-by");
            }
        }
        // A text's last line end is kustomize's and Helm's own affair.
        if let Some(data) = object.pointer_mut("/data") {
            for value in data.as_object_mut().unwrap().values_mut() {
                *value = value.as_str().unwrap().trim_end().into();
            }
        }
    }
    objects
        .into_iter()
        .map(|object| (id(&object), object))
        .collect()
}

fn same(built: Vec<Value>, rendered: Vec<Value>, name: &str) {
    let (built, rendered) = (sorted(built), sorted(rendered));
    let ids = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&built), ids(&rendered), "{name}");
    for (id, object) in built {
        assert_eq!(object, rendered[&id], "{name}: {id}");
    }
}

/// Every folder, and the case that it stands for.
fn folders() -> Vec<(PathBuf, &'static str)> {
    let mut all = vec![(root().join("k8s/base"), BASE)];
    all.extend(OVERLAYS.iter().map(|(name, _)| (folder(name), *name)));
    all
}

#[test]
fn what_is_built_is_what_the_chart_renders() {
    for (folder, name) in folders() {
        same(build(&folder), rendered()[name].objects.clone(), name);
    }
}

/// The same by kustomize itself, where there is one.
#[test]
fn kustomize_itself_builds_the_same() {
    for (folder, name) in folders() {
        let output = Command::new("kubectl")
            .arg("kustomize")
            .arg(&folder)
            .output();
        let Ok(output) = output else {
            return eprintln!("no kubectl here: only what it would build is compared");
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        let objects = ask("files", json!({ "texts": { "all": text } }))["all"].clone();
        let objects = objects.as_array().unwrap().clone();
        same(objects, rendered()[name].objects.clone(), name);
    }
}

/// What is built, in files of a folder: to be checked as the chart's objects are.
pub fn built(dir: &Path) -> Vec<PathBuf> {
    let write = |(folder, name): (PathBuf, &str)| {
        let path = dir.join(format!("built-{name}.yaml"));
        let texts: Vec<String> = build(&folder).iter().map(Value::to_string).collect();
        fs::write(&path, texts.join("\n---\n")).unwrap();
        path
    };
    folders().into_iter().map(write).collect()
}
