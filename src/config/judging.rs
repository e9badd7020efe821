//! A configuration for what it says of calls alone: judged where its secrets aren't
//! at hand, as in somebody's CI.
//!
//! Always holds: whatever it says of models, plans, tenants and keys is held to what
//! `weir serve` holds it to. Left out, where they can't be resolved here: where weir
//! listens, where its counters and its ledger are, and what it tells whom.

use super::outside::Outside;
use super::problem::{Findings, Problems};
use super::yaml::{self, Entry, Node, Value};
use super::{Config, FILE_BYTES_MAX, of_root, reader};
use std::io;
use std::path::Path;

/// What stands for a secret that isn't there: long enough for a pepper. Keys are
/// never looked up by it.
const STAND_IN: &[u8] = b"a pepper that no key was hashed with";

/// Parts of a configuration that say nothing of what becomes of calls.
const SERVICES: [&str; 6] = [
    "admin",
    "alerts",
    "counters",
    "ledger",
    "listen",
    "telemetry",
];

/// What stands in their place; with a ledger, as keys may be kept in its database.
const SERVED: &str = "listen: { grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }\n\
                      counters: { memory: {} }\n\
                      ledger: { path: weir-ledger, sqlite: { path: weir.db } }\n";

/// What is there, and stand-ins for secrets that aren't.
struct Lenient<'o>(&'o dyn Outside);

impl Outside for Lenient<'_> {
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.0.env(name).or_else(|| Some(STAND_IN.to_vec()))
    }

    fn file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.0.file(path, bytes_max)
    }

    fn secret_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        match self.0.secret_file(path, bytes_max) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(STAND_IN.to_vec()),
            read => read,
        }
    }

    fn now(&self) -> crate::units::UnixMillis {
        self.0.now()
    }
}

/// Reads a configuration file to judge calls by.
///
/// # Errors
/// Everything that is wrong with what it says of them.
pub fn load_policy_file(path: &Path, outside: &dyn Outside) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let whole_file = |text| Problems::whole_file(&name, None, text);
    let bytes = outside
        .file(path, FILE_BYTES_MAX)
        .map_err(|error| whole_file(format!("can't be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| whole_file(format!("is not UTF-8: {}", error.utf8_error())))?;
    load_policy(&text, &name, outside)
}

fn load_policy(text: &str, file_name: &str, outside: &dyn Outside) -> Result<Config, Problems> {
    let parse = |text: &str| {
        yaml::parse(text).map_err(|(place, text)| Problems::whole_file(file_name, place, text))
    };
    let whole = of_root(&parse(text)?, file_name, &Lenient(outside));
    if let Ok(config) = whole {
        return Ok(config);
    }
    // All that is wrong but for want of a secret.
    let root = without_services(parse(text)?, parse(SERVED)?);
    let config = of_root(&root, file_name, &Lenient(outside))?;
    Ok(Config {
        ledger: None,
        ..config
    })
}

fn without_services(root: Node, served: Node) -> Node {
    let entries = |node: Node| match node.value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    };
    let is_service = |entry: &Entry| SERVICES.contains(&entry.key.as_str());
    let place = root.place;
    let own = entries(root).into_iter().filter(|entry| !is_service(entry));
    Node {
        place,
        value: Value::Map(own.chain(entries(served)).collect()),
    }
}

/// Reads a YAML file of some form.
pub(super) fn read<T>(
    text: &str,
    file_name: &str,
    meaning: impl FnOnce(&reader::Item) -> Option<T>,
) -> Result<T, Problems> {
    let root =
        yaml::parse(text).map_err(|(place, text)| Problems::whole_file(file_name, place, text))?;
    let findings = Findings::default();
    let read = meaning(&reader::Item::root(&root, &findings));
    match read {
        Some(read) if !findings.has_problems() => Ok(read),
        _ => Err(findings.into_problems(file_name)),
    }
}
