//! What is carried over, that weir loads it, and what is said of the rest.

use super::*;
use crate::config;
use crate::policy::descriptors::Descriptor;

const FILE: &str = include_str!("ratelimit.yaml");

struct Fixed;

impl Outside for Fixed {
    fn env(&self, _name: &str) -> Option<Vec<u8>> {
        Some(b"pepper-of-32-bytes-for-the-tests".to_vec())
    }

    fn file(&self, path: &Path, _bytes_max: usize) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("edge.yaml" | "again.yaml") => Ok(FILE.into()),
            Some("other.yaml") => {
                Ok("domain: other\ndescriptors: [ { key: a, rate_limit: { unit: day, requests_per_unit: 1 } } ]".into())
            }
            Some("wrong.yaml") => Ok(FILE.replace("week", "fortnight").into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn imported(files: &[&str]) -> (bool, String, String) {
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let fine = import(&files, &Fixed, &mut out, &mut err).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (fine, text(out), text(err))
}

#[test]
fn all_that_weir_knows_is_carried_over() {
    let (fine, out, err) = imported(&["edge.yaml", "other.yaml"]);
    assert!(fine, "{err}");
    let expected = r#"rate_limit_service:
  domains:
    "edge":
      rules:
        - match: [ { key: "path", value: "/login" } ]
          limits:
            - { name: "logins", unit: requests, amount: 10, every: 1m, algorithm: fixed_window }
        - match: [ { key: "path", value: "/login" }, { key: "remote_address" } ]
          limits:
            - { unit: requests, amount: 2, every: 1s, algorithm: fixed_window }
        - { match: [ { key: "path", value: "/static/*" } ], unlimited: true }
        - match: [ { key: "path" } ]
          limits:
            - { unit: requests, amount: 1000, every: 7d, algorithm: fixed_window, mode: shadow }
        - match: [ { key: "path" }, { key: "user" } ]
          limits:
            - { unit: requests, amount: 5, every: 30d, algorithm: fixed_window }
        - { match: [ { key: "tier", value: "7" } ], unlimited: true }
        - match: [ { key: "tier" } ]
          limits:
            - { unit: requests, amount: 9, every: 365d, algorithm: fixed_window }
        - match: [ { key: "blocked" } ]
          limits:
            - { unit: requests, amount: 1, every: 365d, algorithm: fixed_window }
        - match: [ { key: "only" }, { key: "b\"c", value: "x: *" } ]
          limits:
            - { unit: requests, amount: 3, every: 1h, algorithm: fixed_window }
    "other":
      rules:
        - match: [ { key: "a" } ]
          limits:
            - { unit: requests, amount: 1, every: 1d, algorithm: fixed_window }
"#;
    assert_eq!(out, expected);
    let whole = format!("{}{out}", include_str!("../../config/tests/good.yaml"));
    let config = config::load(&whole, "weir.yaml", &Fixed);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let amount = |entries: &[(&str, &str)]| {
        let entries = entries.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let descriptor = Descriptor {
            entries: entries.collect(),
            ..Descriptor::default()
        };
        let rule = config
            .snapshot
            .domains
            .get("edge")
            .unwrap()
            .rule(&descriptor);
        rule.map(|rule| rule.limits().map(|limit| limit.amount).next())
    };
    assert_eq!(amount(&[("path", "/login")]), Some(Some(10)));
    assert_eq!(amount(&[("path", "/static/a")]), Some(None));
    assert_eq!(amount(&[("path", "/x")]), Some(Some(1000)));
    assert_eq!(amount(&[("tier", "7")]), Some(None));
    assert_eq!(amount(&[("only", "a"), ("b\"c", "x: y")]), Some(Some(3)));
    assert_eq!(amount(&[("only", "a")]), None);
}

#[test]
fn what_is_not_carried_over_is_told_with_its_place() {
    let (_, _, err) = imported(&["edge.yaml"]);
    let expected = [
        "edge.yaml:4:3: descriptors: rules whose hits Envoy tells when a stream is done (apply_on_stream_done) need on_done: true, or hits beyond a limit aren't counted; this file can't say which",
        "edge.yaml:4:5: descriptors[0]: descriptors that begin so and go on as only descriptors[2] does are matched by that in weir; ratelimit lets them pass",
        "edge.yaml:12:21: descriptors[0].descriptors[0].rate_limit.replaces: is not carried over: a request that matches several limits is held to all",
        "edge.yaml:13:5: descriptors[1]: descriptors that begin so and go on as only descriptors[2] does are matched by that in weir; ratelimit lets them pass",
        "edge.yaml:18:22: descriptors[2].detailed_metric: is not carried over: no metric of weir has descriptors' values",
        "edge.yaml:25:22: descriptors[4].share_threshold: is not carried over: each value has a counter of its own",
        "edge.yaml:28:17: descriptors[5].rate_limit: lets nothing pass; carried over as 1 request in 365 days, the least here",
    ];
    let said: Vec<&str> = err
        .lines()
        .map(|line| line.trim_start_matches("note: "))
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn where_the_first_prefix_is_not_the_longest_it_is_told() {
    let rule = "rate_limit: { unit: minute, requests_per_unit: 9 }";
    let notes = |values: &[&str]| -> Vec<String> {
        let values = values.iter();
        let rules: Vec<String> = values
            .map(|value| format!("{{ key: path, value: \"{value}\", {rule} }}"))
            .collect();
        let text = format!("domain: d\ndescriptors: [ {} ]\n", rules.join(", "));
        let imported = ratelimit(&text, "f").unwrap();
        let notes = imported.notes.iter();
        let notes = notes.filter(|note| note.contains("ratelimit takes the first that fits"));
        notes.cloned().collect()
    };
    for in_order in [
        &["/a/b*", "/a*"][..],
        &["/a*", "/b*"],
        &["/a*", "/a/b"],
        &["/a/é*", "/a/è*"],
        &["/a*", "*"],
    ] {
        assert_eq!(notes(in_order), [""; 0], "{in_order:?}");
    }
    let said = notes(&["/a*", "/é*", "/é/b*", "/a/b*"]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("descriptors[2]") && said[0].ends_with("descriptors[1]"));
    assert!(said[1].contains("descriptors[3]") && said[1].ends_with("descriptors[0]"));
}

/// 100,000 in a list, as those who list addresses have.
#[test]
fn long_lists_are_read_in_time() {
    let mut text = "domain: d\ndescriptors:\n".to_owned();
    for n in 0..100_000 {
        let _ = writeln!(text, "- {{ key: path, value: \"/{n}*\" }}");
    }
    let begun = std::time::Instant::now();
    assert_eq!(ratelimit(&text, "f").unwrap().rules.len(), 100_000);
    // Seconds; quadratic, it took minutes.
    assert!(begun.elapsed().as_secs() < 30);
}

#[test]
fn a_file_that_cannot_be_read_says_where() {
    let (fine, out, err) = imported(&["wrong.yaml", "other.yaml"]);
    assert!(!fine);
    assert_eq!(out, "");
    assert!(
        err.contains(
            "wrong.yaml:19:25: descriptors[2].rate_limit.unit: must be one of second, minute"
        ),
        "{err}"
    );
    let (fine, out, err) = imported(&["edge.yaml", "again.yaml"]);
    assert!(!fine && out.is_empty());
    assert!(
        err.contains("again.yaml: edge.yaml has the same domain"),
        "{err}"
    );
    assert!(!imported(&["missing.yaml"]).0);
}

#[test]
fn every_wrong_descriptor_says_what_is_wrong() {
    for (descriptor, expected) in [
        ("{ value: a }", "descriptors[0].key: is required"),
        (
            "{ key: a, limit: 1 }",
            "descriptors[0].limit: unknown field",
        ),
        (
            "{ key: a, value: \"a*b\" }",
            "descriptors[0].value: has a * that is not at its end",
        ),
        ("{ key: a, rate_limit: {} }", "rate_limit.unit: is required"),
        (
            "{ key: a, rate_limit: { unit: day, requests_per_unit: -1 } }",
            "requests_per_unit: must not be negative",
        ),
        (
            "{ key: a, rate_limit: { unit: day, requests_per_unit: 010 } }",
            "requests_per_unit: must be written as 10, if that is meant",
        ),
        (
            "{ key: a, rate_limit: { unit: day, requests_per_unit: 1k } }",
            "requests_per_unit: must be written as 1000, if that is meant",
        ),
        (
            "{ key: a, rate_limit: { unit: day, unlimited: true } }",
            "unit: has no meaning with unlimited",
        ),
        (
            "{ key: a }, { key: a, value: \"*\" }",
            "descriptors[1]: descriptors[0] matches the same already",
        ),
        (
            "{ key: a, shadow_mode: often }",
            "shadow_mode: must be true or false",
        ),
    ] {
        let text = format!("domain: d\ndescriptors: [ {descriptor} ]\n");
        let problems = ratelimit(&text, "f").expect_err(descriptor).to_string();
        assert!(problems.contains(expected), "{descriptor}: {problems}");
    }
    assert!(ratelimit("descriptors: [ { key: a } ]", "f").is_err());
    assert!(ratelimit("domain: d", "f").is_err());
    let idle = ratelimit("domain: d\ndescriptors: []", "f").expect_err("no rule");
    assert!(
        idle.to_string()
            .contains("descriptors: must limit or exempt something")
    );
}
