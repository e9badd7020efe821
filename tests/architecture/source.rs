//! A file under `src/` and where it stands.

use std::fs;
use std::path::Path;

/// One parsed file.
pub struct Source {
    /// From the repository's root: `src/limits/counter.rs`.
    pub path: String,
    /// `["limits", "counter"]`; empty for `lib.rs` and `main.rs`.
    pub module: Vec<String>,
    pub text: String,
    pub syntax: syn::File,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let inner = path
            .strip_prefix("src/")
            .and_then(|path| path.strip_suffix(".rs"));
        let inner = inner.unwrap_or_else(|| panic!("{path} is no Rust file under src"));
        let module = match inner {
            "lib" | "main" => Vec::new(),
            inner => inner.split('/').map(str::to_owned).collect(),
        };
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self {
            path: path.to_owned(),
            module,
            text: text.to_owned(),
            syntax,
        }
    }

    /// Every Rust file under a folder that is named `src`.
    pub fn all_under(src: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut folders = vec![src.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(src).unwrap().display().to_string();
                    let text = fs::read_to_string(&path).unwrap();
                    sources.push(Self::new(&format!("src/{name}"), &text));
                }
            }
        }
        sources
    }

    /// The top-level module that the file belongs to.
    pub fn top(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }

    /// Whether it holds tests alone: `foo/tests.rs`, or anything below
    /// `foo/tests/`. That such a file is behind `#[cfg(test)]` is a rule.
    pub fn is_test(&self) -> bool {
        self.module.iter().any(|name| name == "tests")
    }
}
