//! The rules of the rate limit service, and everything that can be wrong with
//! them.

use super::{GOOD, outside};
use crate::config::{Config, Problems, load};
use crate::limits::period::Period;
use crate::limits::{Algorithm, Limit, Mode, Scope, Unit};
use crate::policy::descriptors::{Descriptor, Rule};
use crate::units::Millis;
use std::sync::Arc;

const SERVICE: &str = "
rate_limit_service:
  domains:
    edge:
      rules:
        - match: [ { key: path, value: /login }, { key: remote_address } ]
          limits:
            - { name: logins, unit: requests, amount: 10, every: 1m, algorithm: fixed_window }
            - { unit: requests, amount: 1k, period: day, mode: shadow }
        - { match: [ { key: path, value: /api/* } ], limits: [ { unit: requests, amount: 5, every: 1s, algorithm: token_bucket, burst: 9 } ] }
        - { match: [ { key: path, value: \"*\" } ], unlimited: true }
    watched:
      mode: shadow
      rules:
        - { match: [ { key: tokens } ], on_done: true, limits: [ { unit: requests, amount: 5, every: 1s } ] }
";

fn loaded(service: &str) -> Result<Config, Problems> {
    load(&format!("{GOOD}{service}"), "weir.yaml", &outside())
}

fn rule<'c>(config: &'c Config, domain: &str, entries: &[(&str, &str)]) -> Option<&'c Rule> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let descriptor = Descriptor {
        entries: entries.iter().map(owned).collect(),
        ..Descriptor::default()
    };
    config.snapshot.domains.get(domain)?.rule(&descriptor)
}

#[test]
fn the_rules_load_as_they_read() {
    let config = loaded(SERVICE).unwrap_or_else(|problems| panic!("{problems}"));
    let limits = |domain, entries: &[(&str, &str)]| -> Vec<Arc<Limit>> {
        let rule = rule(&config, domain, entries).unwrap();
        rule.limits().cloned().collect()
    };
    let login = limits("edge", &[("path", "/login"), ("remote_address", "::1")]);
    let expected = Limit {
        name: "logins".into(),
        scope: Scope::GLOBAL,
        unit: Unit::Requests,
        amount: 10,
        algorithm: Algorithm::FixedWindow {
            period: Arc::new(Period::aligned(Millis::from_mins(1))),
            rollover: None,
        },
        mode: Mode::Enforce,
    };
    assert_eq!(*login[0], expected);
    assert_eq!(
        (&*login[1].name, login[1].mode),
        ("path-remote_address", Mode::Shadow)
    );
    let api = limits("edge", &[("path", "/api/x")]);
    assert_eq!((&*api[0].name, api[0].most()), ("path", 9));
    assert_eq!(limits("edge", &[("path", "/x")]), []);
    assert_eq!(limits("watched", &[("tokens", "")])[0].mode, Mode::Shadow);
    assert_eq!(rule(&config, "edge", &[("other", "")]), None);
    assert!(super::good().snapshot.domains.is_empty());
}

/// What stands in place of `RULE` or of `DOMAIN`, and all that is said of it.
/// The rule stands in line 31.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &[&str])] = &[
    ("RULE", "match: []", &[
        "31:11: rate_limit_service.domains.edge.rules[0].limits: is required, or unlimited: true",
        "31:20: rate_limit_service.domains.edge.rules[0].match: must have 1 to 16 entries (got 0)",
    ]),
    ("RULE", "match: [ { key: a } ]", &[
        "31:11: rate_limit_service.domains.edge.rules[0].limits: is required, or unlimited: true",
    ]),
    ("RULE", "unlimited: true", &[
        "31:11: rate_limit_service.domains.edge.rules[0].match: is required: the descriptor's keys in their order, as [{ key: path }]",
    ]),
    ("RULE", "match: [ { key: a } ], unlimited: false", &[
        "31:11: rate_limit_service.domains.edge.rules[0].limits: is required, or unlimited: true",
    ]),
    ("RULE", "match: [ { key: a } ], unlimited: 1", &[
        r#"31:47: rate_limit_service.domains.edge.rules[0].unlimited: must be true or false (got "1")"#,
    ]),
    ("RULE", "match: [ { key: a } ], unlimited: true, limits: [ LIMIT ]", &[
        "31:61: rate_limit_service.domains.edge.rules[0].limits: has no meaning with unlimited: true",
    ]),
    ("RULE", "match: [ { key: a } ], unlimited: true, on_done: true", &[
        "31:62: rate_limit_service.domains.edge.rules[0].on_done: has no meaning with unlimited: true",
    ]),
    ("RULE", "match: [ { key: a } ], limits: []", &[
        "31:44: rate_limit_service.domains.edge.rules[0].limits: must have 1 to 32 limits (got 0)",
    ]),
    ("RULE", "match: [ { key: a } ], limits: [ LIMIT, LIMIT ]", &[
        r#"31:88: rate_limit_service.domains.edge.rules[0].limits[1]: rate_limit_service.domains.edge.rules[0].limits[0] is named "a" already; give one of them another name"#,
    ]),
    ("RULE", "match: [ { value: x } ], unlimited: true", &[
        "31:22: rate_limit_service.domains.edge.rules[0].match[0].key: is required: of the descriptor's entry, as Envoy sends it",
    ]),
    ("RULE", "match: [ { key: a, value: \"/*/x\" } ], unlimited: true", &[
        "31:39: rate_limit_service.domains.edge.rules[0].match[0].value: may have a * only at its end, for any value that begins with the rest",
    ]),
    ("RULE", "match: [ { key: a, value: \"/**\" } ], unlimited: true", &[
        "31:39: rate_limit_service.domains.edge.rules[0].match[0].value: may have a * only at its end, for any value that begins with the rest",
    ]),
    ("RULE", "match: [ { key: a } ], unlimited: true }\n        - { match: [ { key: a, value: \"*\" } ], unlimited: true", &[
        "32:11: rate_limit_service.domains.edge.rules[1]: rate_limit_service.domains.edge.rules[0] matches the same descriptors; put its limits together",
    ]),
    ("RULE", "match: [ { key: a } ], limits: [ { unit: tokens, amount: 1, every: 1s } ]", &[
        "31:54: rate_limit_service.domains.edge.rules[0].limits[0].unit: must be requests: what a descriptor counts are hits (got tokens)",
    ]),
    ("RULE", "match: [ { key: a } ], limits: [ { per: tenant, unit: requests, amount: 1, every: 1s } ]", &[
        "31:48: rate_limit_service.domains.edge.rules[0].limits[0].per: unknown field; known here: name, unit, amount, every, period, zone, anchor, starts, algorithm, burst, mode",
    ]),
    ("RULE", "match: [ { key: a } ], limits: [ { unit: requests, amount: 0, every: 1s } ]", &[
        "31:72: rate_limit_service.domains.edge.rules[0].limits[0].amount: must be more than 0 (got 0)",
    ]),
    ("{ rules: [ { RULE } ] }", "{ rules: [] }", &[
        "29:20: rate_limit_service.domains.edge.rules: must have at least one rule",
    ]),
];

#[test]
fn every_wrong_rule_says_what_is_wrong() {
    const FRAME: &str =
        "rate_limit_service:\n  domains:\n    edge:\n      rules:\n        - { RULE }\n";
    const LIMIT: &str = "{ unit: requests, amount: 1, every: 1s }";
    for (from, to, expected) in WRONG {
        let frame = match from.starts_with('{') {
            true => "rate_limit_service:\n  domains:\n    edge: { rules: [ { RULE } ] }\n",
            false => FRAME,
        };
        let text = frame.replace(from, to).replace("LIMIT", LIMIT);
        let problems = loaded(&text).expect_err(to);
        let mut said: Vec<String> = problems
            .to_string()
            .lines()
            .map(|line| line.trim_start_matches("weir.yaml:").to_owned())
            .collect();
        said.pop();
        assert_eq!(said, *expected, "{to}");
    }
}

#[test]
fn every_wrong_domain_says_what_is_wrong() {
    for (domains, expected) in [
        ("{}", "domains: must have at least one domain"),
        (
            "{ \"\": { rules: [] } }",
            "the name must have 1 to 128 bytes (got 0)",
        ),
        ("{ edge: {} }", "domains.edge.rules: is required"),
        (
            "{ edge: { mode: off, rules: [] } }",
            "mode: must be one of enforce, shadow",
        ),
        ("[]", "domains: must be a mapping (got a list)"),
    ] {
        let problems = loaded(&format!("rate_limit_service: {{ domains: {domains} }}\n"));
        let said = problems.expect_err(domains).to_string();
        assert!(said.contains(expected), "{domains}: {said}");
    }
}
