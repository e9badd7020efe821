//! The layers, as the table in `src/lib.rs` draws them, and the dependencies, as
//! `Cargo.toml` lists them.

use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};

/// Which layer a top-level module is on.
#[derive(Debug, Clone, Default)]
pub struct Map {
    layers: BTreeMap<String, usize>,
}

impl Map {
    /// Reads rows of the form ``//! | L4 | [`config`] | what for |``. An empty
    /// first cell stands for the layer above it.
    pub fn from_lib(lib: &str) -> Result<Self, String> {
        let mut map = Self::default();
        let mut layer = None;
        for line in lib.lines() {
            let Some(row) = line.strip_prefix("//! |") else {
                continue;
            };
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [level, name, ..] = cells.as_slice() else {
                continue;
            };
            let Some(name) = name
                .strip_prefix("[`")
                .and_then(|name| name.strip_suffix("`]"))
            else {
                continue;
            };
            if !level.is_empty() {
                let number = level
                    .strip_prefix('L')
                    .and_then(|digits| digits.parse::<usize>().ok());
                layer = Some(number.ok_or_else(|| format!("{level:?} is no layer: {line}"))?);
            }
            let layer = layer.ok_or_else(|| format!("a row without a layer: {line}"))?;
            if map.layers.insert(name.to_owned(), layer).is_some() {
                return Err(format!("src/lib.rs: {name} stands in the table twice"));
            }
        }
        if map.layers.is_empty() {
            return Err("src/lib.rs has no table of layers".to_owned());
        }
        Ok(map)
    }

    pub fn layer(&self, module: &str) -> Option<usize> {
        self.layers.get(module).copied()
    }

    /// Modules that are not on the map, and rows without a module.
    pub fn faults(&self, sources: &[Source]) -> Vec<String> {
        let exist: BTreeSet<&str> = sources.iter().filter_map(Source::top).collect();
        let unmapped = exist
            .iter()
            .filter(|name| !self.layers.contains_key(**name));
        let unmapped =
            unmapped.map(|name| format!("src/lib.rs: module {name} is not in the table of layers"));
        let gone = self
            .layers
            .keys()
            .filter(|name| !exist.contains(name.as_str()));
        let gone =
            gone.map(|name| format!("src/lib.rs: the table has {name}, which does not exist"));
        unmapped.chain(gone).collect()
    }
}

/// The names under `[dependencies]`, as code writes them.
pub fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .filter(|name| !name.starts_with('#'))
        .map(|name| name.replace('-', "_"))
        .collect()
}
