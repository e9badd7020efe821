//! `weir import`: turns another program's configuration into weir's.
//!
//! What was carried over goes to standard output, what couldn't be to standard
//! error, each with its place. Nothing is written that weir would not load.

use crate::config::import::{Imported, ImportedEntry, ImportedRule, ratelimit};
use crate::config::{FILE_BYTES_MAX, Outside, Problems, Process};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Turn another program's configuration into weir's.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub command: ImportCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum ImportCommand {
    /// Of envoyproxy/ratelimit: prints `rate_limit_service` for weir.yaml.
    Ratelimit {
        /// Its files, each with a domain of its own.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

/// Exit code 0 if all files could be read, whatever wasn't carried over; else
/// 1, and nothing on standard output.
pub fn run(args: &ImportArgs) -> ExitCode {
    let ImportCommand::Ratelimit { files } = &args.command;
    let (out, err) = (&mut io::stdout(), &mut io::stderr());
    match import(files, &Process, out, err) {
        Ok(true) => ExitCode::SUCCESS,
        // Nobody is left to tell that the output is gone.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Whether all files could be read.
fn import(
    files: &[PathBuf],
    outside: &dyn Outside,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<bool> {
    let mut domains: Vec<Imported> = Vec::new();
    let mut first_in: HashMap<Arc<str>, &Path> = HashMap::new();
    let mut fine = true;
    for file in files {
        match read(file, outside) {
            Ok(imported) => {
                if let Some(first) = first_in.get(&imported.domain) {
                    let (file, first) = (file.display(), first.display());
                    writeln!(err, "{file}: {first} has the same domain")?;
                    fine = false;
                }
                for note in &imported.notes {
                    writeln!(err, "note: {note}")?;
                }
                first_in.insert(Arc::clone(&imported.domain), file);
                domains.push(imported);
            }
            Err(problems) => {
                writeln!(err, "{problems}")?;
                fine = false;
            }
        }
    }
    if fine {
        out.write_all(yaml(&domains).as_bytes())?;
    }
    Ok(fine)
}

fn read(file: &Path, outside: &dyn Outside) -> Result<Imported, Problems> {
    let name = file.display().to_string();
    let whole_file = |text| Problems::whole_file(&name, None, text);
    let bytes = outside
        .file(file, FILE_BYTES_MAX)
        .map_err(|error| whole_file(format!("can't be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| whole_file(format!("is not UTF-8: {}", error.utf8_error())))?;
    ratelimit(&text, &name)
}

fn yaml(domains: &[Imported]) -> String {
    let mut text = "rate_limit_service:\n  domains:\n".to_owned();
    for domain in domains {
        // Writing to a String can't fail.
        let _ = write!(text, "    {}:\n      rules:\n", quoted(&domain.domain));
        for rule in &domain.rules {
            let _ = write!(text, "{}", rule_yaml(rule));
        }
    }
    text
}

fn rule_yaml(rule: &ImportedRule) -> String {
    let entries: Vec<String> = rule.entries.iter().map(entry_yaml).collect();
    let entries = entries.join(", ");
    let Some(limit) = &rule.limit else {
        return format!("        - {{ match: [ {entries} ], unlimited: true }}\n");
    };
    let name = match &limit.name {
        Some(name) => format!("name: {}, ", quoted(name)),
        None => String::new(),
    };
    let mode = if limit.shadow { ", mode: shadow" } else { "" };
    let (amount, every) = (limit.amount, limit.every);
    format!(
        "        - match: [ {entries} ]\n          limits:\n            - {{ {name}unit: requests, \
         amount: {amount}, every: {every}, algorithm: fixed_window{mode} }}\n"
    )
}

fn entry_yaml(entry: &ImportedEntry) -> String {
    let key = quoted(&entry.key);
    match &entry.value {
        Some(value) => format!("{{ key: {key}, value: {} }}", quoted(value)),
        None => format!("{{ key: {key} }}"),
    }
}

/// As JSON writes it, which YAML reads whatever it holds.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
