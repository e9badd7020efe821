//! The rules, each a function from a file to its faults. A fault is one line:
//! place, what is wrong, and what to do.

use super::map::Map;
use super::paths::{self, Function, Named, Said};
use super::source::Source;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What a repository allows.
pub struct House {
    /// Layers up to this one are pure.
    pub pure_up_to: usize,
    pub file_lines_max: usize,
    pub function_lines_max: usize,
    pub pure_dependencies: &'static [&'static str],
    pub owners: &'static [Owner],
    /// `from -> to` between modules of one layer.
    pub siblings: &'static [Exception],
    /// Paths of files past the budget.
    pub long_files: &'static [Exception],
    /// `path: function`, past the budget.
    pub long_functions: &'static [Exception],
}

/// The only modules that may name a dependency.
pub struct Owner {
    pub dependency: &'static str,
    pub modules: &'static [&'static str],
}

/// Something that breaks a rule, and why it may.
pub struct Exception {
    pub what: &'static str,
    pub reason: &'static str,
}

/// What pure layers leave to those who call them.
const IMPURE: [&str; 20] = [
    "std::env",
    "std::fs",
    "std::io::Stdin",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    // Not addresses: they are values.
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::net::*",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "std::hash::RandomState",
    "std::collections::hash_map::RandomState",
    "std::random",
];

/// Macros that write, stop the process, or read its environment.
const IMPURE_MACROS: [&str; 7] = [
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
    "env",
    "option_env",
];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 9] = [
    "utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "mod",
];

/// All faults of all files.
pub fn check(
    house: &House,
    map: &Map,
    dependencies: &BTreeSet<String>,
    sources: &[Source],
) -> Vec<String> {
    let checker = Checker {
        house,
        map,
        dependencies,
        used: RefCell::default(),
    };
    let mut faults: Vec<String> = sources
        .iter()
        .flat_map(|source| checker.file(source))
        .collect();
    faults.extend(checker.exceptions());
    faults
}

struct Checker<'a> {
    house: &'a House,
    map: &'a Map,
    dependencies: &'a BTreeSet<String>,
    /// Exceptions that something needed.
    used: RefCell<BTreeSet<String>>,
}

impl Checker<'_> {
    fn file(&self, source: &Source) -> Vec<String> {
        let said = paths::read(&source.syntax, &source.module);
        let mut faults = names(source, &said);
        faults.extend(documentation(source));
        if source.is_test() {
            return faults;
        }
        faults.extend(hidden(source, &said));
        faults.extend(self.length(source, &said));
        faults.extend(
            said.functions
                .iter()
                .filter_map(|function| self.function(source, function)),
        );
        let Some(top) = source.top() else {
            return faults;
        };
        let Some(layer) = self.map.layer(top) else {
            return faults;
        };
        for named in &said.paths {
            faults.extend(
                self.layers(top, layer, named)
                    .map(|fault| at(source, named.line, &fault)),
            );
            faults.extend(
                self.owner(top, named)
                    .map(|fault| at(source, named.line, &fault)),
            );
            if layer <= self.house.pure_up_to {
                faults.extend(
                    self.purity(layer, named)
                        .map(|fault| at(source, named.line, &fault)),
                );
            }
        }
        if layer <= self.house.pure_up_to {
            let macros = said
                .macros
                .iter()
                .filter(|(_, name)| IMPURE_MACROS.contains(&name.as_str()));
            faults.extend(macros.map(|(line, name)| {
                at(
                    source,
                    *line,
                    &format!("{name}! in L{layer}, which is pure"),
                )
            }));
        }
        faults
    }

    /// A module imports only from lower layers, and no sibling.
    fn layers(&self, top: &str, layer: usize, named: &Named) -> Option<String> {
        let [root, rest @ ..] = named.path.as_slice() else {
            return None;
        };
        if root != "crate" {
            return None;
        }
        let Some(target) = rest.first() else {
            return Some("the whole crate is imported: name the module".to_owned());
        };
        if target == top {
            return None;
        }
        let Some(below) = self.map.layer(target) else {
            return Some(format!(
                "crate::{target} is no module of the map in src/lib.rs"
            ));
        };
        let sibling =
            below == layer && self.allowed(self.house.siblings, &format!("{top} -> {target}"));
        (below >= layer && !sibling).then(|| {
            format!("{top} (L{layer}) uses {target} (L{below}): only lower layers may be used")
        })
    }

    fn owner(&self, top: &str, named: &Named) -> Option<String> {
        let first = named.path.first()?;
        let owner = self
            .house
            .owners
            .iter()
            .find(|owner| owner.dependency == first)?;
        (!owner.modules.contains(&top)).then(|| {
            format!(
                "{top} uses {first}, which only {} may know",
                owner.modules.join(" and ")
            )
        })
    }

    /// L0 to L3 take time, ids and randomness as arguments, and wait for nothing.
    fn purity(&self, layer: usize, named: &Named) -> Option<String> {
        let first = named.path.first()?.as_str();
        let path = named.path.join("::");
        if self.dependencies.contains(first) {
            let known = self.house.pure_dependencies.contains(&first);
            return (!known)
                .then(|| format!("{path} in L{layer}: {first} is not among what pure layers use"));
        }
        let path = match first {
            "core" | "alloc" => path.replacen(first, "std", 1),
            _ => path,
        };
        let impure = IMPURE
            .iter()
            .any(|bad| begins(&path, bad) || (named.import && begins(bad, &path)));
        // Whole families of harmless names come from these two.
        let harmless = named.import
            && matches!(
                path.as_str(),
                "std::io" | "std::collections::hash_map" | "std::hash"
            );
        (impure && !harmless)
            .then(|| format!("{path} in L{layer}, which is pure: it comes in as an argument"))
    }

    fn length(&self, source: &Source, said: &Said) -> Option<String> {
        let lines = source.text.lines().count();
        let tests: usize = said
            .test_lines
            .iter()
            .map(|lines| lines.end() + 1 - lines.start())
            .sum();
        let (own, most) = (lines.saturating_sub(tests), self.house.file_lines_max);
        (own > most && !self.allowed(self.house.long_files, &source.path)).then(|| {
            at(
                source,
                1,
                &format!("{own} lines without tests, more than {most}: split it"),
            )
        })
    }

    fn function(&self, source: &Source, function: &Function) -> Option<String> {
        let Function { name, line, lines } = function;
        let most = self.house.function_lines_max;
        let what = format!("{}: {name}", source.path);
        (*lines > most && !self.allowed(self.house.long_functions, &what)).then(|| {
            at(
                source,
                *line,
                &format!("{name} has {lines} lines, more than {most}: split it"),
            )
        })
    }

    fn allowed(&self, exceptions: &[Exception], what: &str) -> bool {
        let found = exceptions.iter().any(|exception| exception.what == what);
        if found {
            self.used.borrow_mut().insert(what.to_owned());
        }
        found
    }

    /// An exception has a reason, and something that needs it.
    fn exceptions(&self) -> Vec<String> {
        let House {
            siblings,
            long_files,
            long_functions,
            ..
        } = self.house;
        let used = self.used.borrow();
        let all = siblings.iter().chain(*long_files).chain(*long_functions);
        all.filter(|exception| !used.contains(exception.what) || exception.reason.is_empty())
            .map(|exception| {
                format!(
                    "tests/architecture.rs: {:?} is an exception without need or reason",
                    exception.what
                )
            })
            .collect()
    }
}

fn at(source: &Source, line: usize, fault: &str) -> String {
    format!("{}:{line}: {fault}", source.path)
}

/// Whether `path` is `start` or lies below it.
fn begins(path: &str, start: &str) -> bool {
    path.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every module says first what it is for.
fn documentation(source: &Source) -> Option<String> {
    let first = source.text.lines().find(|line| !line.trim().is_empty());
    let said = first
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|text| !text.trim().is_empty());
    (!said).then(|| {
        at(
            source,
            1,
            "no //! line at the top: say what the module is for",
        )
    })
}

/// No `mod.rs`, and no name that would fit any content.
fn names(source: &Source, said: &Said) -> Vec<String> {
    let own = source.module.iter().map(|name| (1, name));
    let inside = said.modules.iter().map(|name| (1, name));
    let bad = own
        .chain(inside)
        .filter(|(_, name)| EMPTY_NAMES.contains(&name.as_str()));
    bad.map(|(line, name)| {
        at(
            source,
            line,
            &format!("a module named {name}: name it for what it holds"),
        )
    })
    .collect()
}

/// Nothing that would take code out of these rules' sight.
fn hidden(source: &Source, said: &Said) -> Vec<String> {
    let detours = said
        .detours
        .iter()
        .map(|(line, what)| at(source, *line, &format!("{what} hides where code is")));
    let open = said
        .open_tests
        .iter()
        .map(|line| at(source, *line, "a module tests without #[cfg(test)]"));
    detours.chain(open).collect()
}
