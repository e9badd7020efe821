//! The checker on small pieces of code that break one rule each, and on their
//! neighbours that don't.

use super::map::{Map, dependencies};
use super::rules::{self, Exception, House, Owner};
use super::source::Source;

const LIB: &str = "\
//! | layer | module | for |
//! |---|---|---|
//! | L0 | [`units`] | integers |
//! | L1 | [`limits`] | algorithms |
//! |    | [`tokens`] | counting |
//! | L2 | [`driver`] | effects |
";

const MANIFEST: &str = "[package]\nname = \"x\"\n[dependencies]\n# why\ntokio = \"1\"\nenvoy-types = \"0\"\nmemchr = { version = \"2\" }\n\n[dev-dependencies]\nsyn = \"2\"\n";

const TIGHT: House = House {
    pure_up_to: 1,
    file_lines_max: 12,
    function_lines_max: 4,
    pure_dependencies: &["memchr"],
    owners: &[Owner {
        dependency: "envoy_types",
        modules: &["driver"],
    }],
    siblings: &[],
    long_files: &[],
    long_functions: &[],
};

fn faults_in(house: &House, path: &str, text: &str) -> Vec<String> {
    let map = Map::from_lib(LIB).unwrap();
    rules::check(
        house,
        &map,
        &dependencies(MANIFEST),
        &[Source::new(path, text)],
    )
}

/// The faults of a documented file.
fn faults(path: &str, code: &str) -> Vec<String> {
    faults_in(&TIGHT, path, &format!("//! A module.\n{code}"))
}

#[track_caller]
fn fails(path: &str, code: &str, because: &str) {
    let found = faults(path, code);
    assert!(
        found.iter().any(|fault| fault.contains(because)),
        "{code}\nexpected {because:?} in {found:?}"
    );
}

#[track_caller]
fn passes(path: &str, code: &str) {
    assert_eq!(faults(path, code), Vec::<String>::new(), "{code}");
}

#[test]
fn higher_layers_and_siblings_are_not_used() {
    for code in [
        "use crate::driver::Driver;",
        "use crate::{driver, units::A};",
        "use crate::units::{self, B};\nuse crate::{units::C, driver::{D, E}};",
        "use super::driver;",
        "fn f(x: crate::driver::Driver) {}",
        "fn f() { crate::driver::go(); }",
        "fn f() { use super::driver::go; }",
        "fn f() { vec![crate::driver::go()]; }",
        "fn f() { x!(crate::{units, driver}); }",
        "#[derive(crate::driver::Derive)]\nstruct S;",
        "mod inner { use super::super::driver; }",
        "macro_rules! m { () => { $crate::driver::go() } }",
        "impl crate::driver::Trait for S {}",
    ] {
        let because = if code.contains("x!(") {
            "the whole crate"
        } else {
            "uses driver (L2)"
        };
        fails("src/limits.rs", code, because);
    }
    fails(
        "src/limits/bucket.rs",
        "use super::super::driver;",
        "limits (L1) uses driver (L2)",
    );
    fails(
        "src/limits.rs",
        "use crate::tokens::count;",
        "limits (L1) uses tokens (L1)",
    );
    fails("src/limits.rs", "use crate as all;", "the whole crate");
    fails("src/limits.rs", "use crate::*;", "the whole crate");
    fails("src/limits.rs", "use super::*;", "the whole crate");
    fails(
        "src/limits.rs",
        "use crate::elsewhere::X;",
        "no module of the map",
    );
    passes(
        "src/driver.rs",
        "use crate::{limits, tokens::T, units};\nuse tokio::time;",
    );
    passes(
        "src/limits/bucket.rs",
        "use super::Limit;\nuse crate::limits::window;\nuse crate::units::*;",
    );
    passes(
        "src/limits.rs",
        "mod driver_like { use super::X; }\nuse self::driver_like::X;",
    );
    passes(
        "src/limits.rs",
        "#[cfg(test)]\nmod tests { use crate::driver; }",
    );
    passes("src/limits/tests.rs", "use crate::driver;");
}

#[test]
fn pure_layers_have_no_clock_no_files_no_runtime() {
    for code in [
        "use std::time::SystemTime;",
        "use std::time::{Duration, Instant};",
        "use std::time;",
        "use std::time::*;",
        "use std as s;",
        "fn f() { std::time::Instant::now(); }",
        "fn f() -> core::net::TcpStream { x() }",
        "fn f() { format!(\"{}\", std::env::var(\"A\")); }",
        "use std::{fs, fmt};",
        "use std::{collections::BTreeMap, thread};",
        "use std::io::{self, stdout};",
        "use std::hash::RandomState;",
    ] {
        fails("src/limits.rs", code, "which is pure");
    }
    fails(
        "src/units.rs",
        "use tokio::sync::Mutex;",
        "not among what pure layers use",
    );
    fails(
        "src/units.rs",
        "#[tokio::main]\nfn f() {}",
        "not among what pure layers use",
    );
    fails(
        "src/units.rs",
        "fn f() { println!(\"{}\", 1); }",
        "println! in L0",
    );
    fails(
        "src/units.rs",
        "fn f() { x!(eprintln!(\"a\")); }",
        "eprintln! in L0",
    );
    passes(
        "src/limits.rs",
        "use std::time::Duration;\nuse std::io::{self, Read};\nuse memchr::memchr;",
    );
    passes(
        "src/limits.rs",
        "use std::hash::Hash;\nuse std::collections::hash_map::Entry;",
    );
    passes("src/limits.rs", "#[cfg(test)]\nuse std::time::Instant;");
    passes("src/driver.rs", "use std::time::Instant;\nuse tokio::fs;");
}

#[test]
fn what_one_module_owns_others_do_not_know() {
    fails(
        "src/limits.rs",
        "use envoy_types::pb;",
        "only driver may know",
    );
    passes("src/driver.rs", "use envoy_types::pb;");
}

#[test]
fn modules_say_what_they_are_for() {
    let bare = faults_in(&TIGHT, "src/limits.rs", "use std::fmt;\n");
    assert_eq!(bare.len(), 1, "{bare:?}");
    for empty in [
        "",
        "\n",
        "//!\nfn f() {}",
        "// A comment.\nfn f() {}",
        "/// Doc.\nfn f() {}",
    ] {
        let found = faults_in(&TIGHT, "src/limits/tests.rs", empty);
        assert!(
            found.iter().any(|fault| fault.contains("no //! line")),
            "{empty:?}: {found:?}"
        );
    }
}

#[test]
fn budgets_hold_without_tests() {
    let function = |lines: usize| format!("fn f() {{{}}}", "\n".repeat(lines - 1));
    passes("src/limits.rs", &function(4));
    fails("src/limits.rs", &function(5), "f has 5 lines, more than 4");
    fails(
        "src/limits.rs",
        &format!("impl S {{ {} }}", function(5)),
        "f has 5 lines",
    );
    fails(
        "src/limits.rs",
        &format!("trait S {{ {} }}", function(5)),
        "f has 5 lines",
    );
    let tests = format!("#[cfg(test)]\nmod tests {{ {} }}", function(30));
    passes("src/limits.rs", &format!("{}{tests}", "\n".repeat(8)));
    fails(
        "src/limits.rs",
        &"\n".repeat(12),
        "13 lines without tests, more than 12",
    );
    fails(
        "src/limits.rs",
        &format!("{}{tests}", "\n".repeat(12)),
        "13 lines without tests",
    );
}

#[test]
fn names_say_something_and_nothing_hides() {
    fails("src/limits/mod.rs", "", "a module named mod");
    fails("src/limits/utils.rs", "", "a module named utils");
    fails("src/limits.rs", "mod helpers {}", "a module named helpers");
    fails(
        "src/limits.rs",
        "#[path = \"x.rs\"]\nmod x;",
        "#[path] hides",
    );
    fails("src/limits.rs", "include!(\"x.rs\");", "include! hides");
    fails(
        "src/limits.rs",
        "extern crate self as weir;",
        "extern crate hides",
    );
    fails("src/limits.rs", "mod tests;", "without #[cfg(test)]");
    passes("src/limits.rs", "#[cfg(test)]\nmod tests;");
}

#[test]
fn exceptions_are_named_and_needed() {
    let house = House {
        siblings: &[Exception {
            what: "limits -> tokens",
            reason: "shown here",
        }],
        long_functions: &[Exception {
            what: "src/limits.rs: f",
            reason: "shown here",
        }],
        ..TIGHT
    };
    let code = "//! A module.\nuse crate::tokens::T;\nfn f() {\n\n\n\n\n}";
    assert_eq!(
        faults_in(&house, "src/limits.rs", code),
        Vec::<String>::new()
    );
    let found = faults_in(
        &house,
        "src/limits.rs",
        "//! A module.\nuse crate::tokens::T;",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("without need"), "{found:?}");
}

#[test]
fn the_map_is_the_table() {
    let map = Map::from_lib(LIB).unwrap();
    assert_eq!(
        ["units", "limits", "tokens", "driver"].map(|name| map.layer(name)),
        [Some(0), Some(1), Some(1), Some(2)]
    );
    let sources = ["units", "limits", "driver", "extra"]
        .map(|name| Source::new(&format!("src/{name}.rs"), "//! A."));
    let found = map.faults(&sources);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("extra") && found[1].contains("tokens"));
    assert!(Map::from_lib("//! nothing").is_err());
    assert!(Map::from_lib("//! | L0 | [`a`] | x |\n//! | L1 | [`a`] | x |").is_err());
    assert!(Map::from_lib("//! | up | [`a`] | x |").is_err());
    assert_eq!(
        dependencies(MANIFEST).into_iter().collect::<Vec<_>>(),
        ["envoy_types", "memchr", "tokio"]
    );
}
