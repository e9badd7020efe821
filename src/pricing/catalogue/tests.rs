//! Texts of prices, and those in the program.

use super::*;

const SMALL: &str = "weir prices 1\nversion 7\nsource ours\n\n\
    # A comment.\n\
    a/z input=1 output=2\n\
    a/b @2026-02-01 input=3 output=4\n\
    a/b.1 = a/z\n\
    a/b-1 free\n\
    a/b @2026-03-01T08:00:00Z input=5 output=6\n";

#[test]
fn models_are_found_in_any_order_of_lines() {
    let catalogue = Catalogue::read(SMALL).unwrap();
    assert_eq!(catalogue.version(), "7");
    assert_eq!(catalogue.sources(), ["ours"]);
    let names: Vec<_> = catalogue.names().collect();
    assert_eq!(
        names,
        [
            ("a/b", None),
            ("a/b-1", None),
            ("a/b.1", Some("a/z")),
            ("a/z", None)
        ]
    );
    let b = catalogue.get("a/b").unwrap();
    let prices: Vec<String> = b.schedule.iter().map(|d| d.price.to_string()).collect();
    assert_eq!(prices, ["input=3 output=4", "input=5 output=6"]);
    assert_eq!(catalogue.get("a/b.1").unwrap().key, "a/z");
    for missing in ["", "a", "a/", "a/a", "a/c", "a/zz", "b/b", "\n"] {
        assert_eq!(catalogue.get(missing), None, "{missing:?}");
    }
    assert_eq!(catalogue.names_from("a/b").count(), 4, "a line each");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (body, wrong) in [
        (
            "a/b",
            "line 4: must begin with a provider, a slash and a model",
        ),
        ("ab input=1 output=2", "line 4: must begin with a provider"),
        (
            "a/b input=1",
            "line 4: the price says nothing of what output costs",
        ),
        ("a/b @soon free", "line 4: must be a date as 2026-10-12"),
        ("a/b = a/c", "line 4: \"a/c\" is not a model of this file"),
        (
            "a/b = a/c\na/c = a/d\na/d free",
            "line 4: \"a/c\" is not a model",
        ),
        (
            "a/b free\na/b = a/c\na/c free",
            "line 4: a model has prices or another name",
        ),
        (
            "a/b free\na/b free",
            "line 4: prices must stand in the order of their dates",
        ),
        (
            "a/b @2026-02-01 free\na/b @2026-01-01 free",
            "line 4: prices must stand",
        ),
    ] {
        let text = format!("weir prices 1\nversion 7\n\n{body}\n");
        let faults = Catalogue::read(&text).unwrap_err();
        assert!(
            faults[0].to_string().starts_with(wrong),
            "{body}: {faults:?}"
        );
    }
    let all = Catalogue::read("weir prices 1\nx\ny\n").unwrap_err();
    assert_eq!(all.len(), 3, "all at once, and no version: {all:?}");
    assert!(
        Catalogue::read("{}").unwrap_err()[0]
            .to_string()
            .contains("no file of weir's")
    );
}

#[test]
fn the_programs_own_prices_are_in_order_and_right() {
    let built_in = Catalogue::built_in();
    let read = Catalogue::read(BUILT_IN).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert!(
        built_in.body.lines().eq(read.body.lines()),
        "sorted as it is read"
    );
    assert_eq!(built_in.version(), read.version());
    assert!(built_in.sources().len() == 2, "{:?}", built_in.sources());
    let names = built_in.names().count();
    assert!(names > 4_000, "only {names}");
    for (key, target) in built_in.names() {
        let entry = built_in.get(key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(entry.key, target.unwrap_or(key));
        let costs = entry
            .schedule
            .iter()
            .any(|d| d.price.standard.rates.said().any(|r| r.1 > 0));
        assert!(costs, "{key} is free by accident");
    }
}
