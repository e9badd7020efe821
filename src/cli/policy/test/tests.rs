//! The command as it is used.

use super::*;
use crate::cli::explain::tests::{CONFIG, Site};
use clap::Parser;

#[derive(Debug, Parser)]
struct Weir {
    #[command(flatten)]
    test: TestArgs,
}

fn ran(cases: &str, config: &str) -> Result<(Ran, String), String> {
    let site = Site::new(&[("weir.yaml", config), ("cases.yaml", cases)]);
    let cases = site.path("cases.yaml");
    let parsed = Weir::try_parse_from(["weir", &cases]).unwrap();
    let mut out = Vec::new();
    let ran = tested(&parsed.test, &Process, &mut out);
    let ran = ran.map_err(|error| format!("{error:#}"))?;
    Ok((ran, String::from_utf8(out).unwrap()))
}

const BODY: &str = "{ model: big, max_tokens: 1000, messages: [ { role: user, content: hi } ] }";

#[test]
fn cases_that_are_as_expected_pass() {
    let cases = format!(
        "config: weir.yaml\ncases:\n  - name: economy near the end\n    given: {{ tenant: acme, \
         budgets: {{ monthly: {{ used: 0.85 }} }} }}\n    when: {{ body: {BODY} }}\n    expect: {{ \
         verdict: downgraded, model: small, rule: economy, max_tokens: 1000, headers: {{ \
         x-weir-downgraded-from: big, x-weir-model: small }}, actions: [ \"economy:downgrade\" ] \
         }}\n  - name: early\n    given: {{ tenant: acme }}\n    when: {{ body: {BODY} }}\n    \
         expect: {{ verdict: allowed, model: big, delay: 0ms, actions: [] }}\n  - name: used \
         up\n    given: {{ tenant: acme, user: ada, limits: {{ rpm: {{ used: 5 }} }} }}\n    when: \
         {{ body: {BODY} }}\n    expect: {{ verdict: refused, status: 429, rule: rpm }}\n  - name: \
         batches wait\n    given: {{ tenant: acme }}\n    when: {{ headers: {{ x-weir-task: batch \
         }}, body: {BODY} }}\n    expect: {{ verdict: delayed, delay: 750ms, rule: slow }}\n"
    );
    let (ran, out) = ran(&cases, CONFIG).unwrap();
    assert_eq!(
        ran,
        Ran {
            cases: 4,
            failed: 0
        },
        "{out}"
    );
    assert_eq!(
        out,
        "ok      economy near the end\nok      early\nok      used up\nok      batches wait\n4 \
         cases, 0 failed\n"
    );
}

#[test]
fn a_case_names_the_route_that_envoy_chooses() {
    let config = CONFIG.replace(
        "      - { name: slow,",
        "      - { name: nights, when: 'request.route == \"batch\"', then: { block: true } }\n      - { name: slow,",
    ) + "routes: [ { name: batch, envoy_route: '*/batch' } ]\n";
    let cases = format!(
        "config: weir.yaml\ncases:\n  - name: by night\n    given: {{ tenant: acme }}\n    when: {{ \
         envoy_route: ns/batch, body: {BODY} }}\n    expect: {{ verdict: blocked, rule: nights }}\n  - \
         name: by another\n    given: {{ tenant: acme }}\n    when: {{ envoy_route: ns/chat, body: \
         {BODY} }}\n    expect: {{ verdict: allowed }}\n"
    );
    let (ran, out) = ran(&cases, &config).unwrap();
    assert_eq!((ran.cases, ran.failed), (2, 0), "{out}");
}

#[test]
fn what_differs_is_told() {
    let cases = format!(
        "config: weir.yaml\ncases:\n  - name: wrong\n    given: {{ tenant: acme }}\n    when: {{ \
         body: {BODY} }}\n    expect: {{ verdict: refused, model: small, status: 403, rule: \
         economy, headers: {{ x-weir-model: small }}, max_tokens: 5, delay: 1s, actions: [ a:b ] \
         }}\n"
    );
    let (ran, out) = ran(&cases, CONFIG).unwrap();
    assert_eq!(
        ran,
        Ran {
            cases: 1,
            failed: 1
        }
    );
    assert_eq!(
        out,
        "FAILED  wrong\n          verdict: expected refused, got allowed\n          model: expected \
         small, got big\n          status: expected 403, got none: it is let through\n          \
         rule: expected economy, got none\n          max_tokens: expected 5, got 1000\n          \
         delay: expected 1000 ms, got 0 ms\n          actions: expected a:b, got none\n          \
         header x-weir-model: expected small, got none\n1 case, 1 failed\n"
    );
}

#[test]
fn what_cant_be_run_is_an_error_with_its_place() {
    let case = |given: &str| {
        format!(
            "config: weir.yaml\ncases: [ {{ name: a, given: {given}, when: {{ body: {BODY} }}, \
             expect: {{ verdict: allowed }} }} ]"
        )
    };
    let error = ran(
        &case("{ tenant: acme, limits: { no: { used: 1 } } }"),
        CONFIG,
    )
    .unwrap_err();
    assert!(
        error.contains("a: no plan has a limit or budget of the name no"),
        "{error}"
    );
    for (given, said) in [
        (
            "budgets: { yearly: { used: 1 } }",
            "a: the caller's plan, team, has no limit or budget of the name yearly: others have",
        ),
        (
            "grants: [ { rule: aks } ]",
            "a: no rule of the name \"aks\" asks the caller for approval; did you mean \"ask\"?",
        ),
        (
            "grants: [ { rule: slow } ]",
            "a: no rule of the name \"slow\" asks the caller for approval",
        ),
        (
            "grants: [ { rule: ask, models: [big, smal] } ]",
            "a: there is no model \"smal\"; did you mean \"small\"?",
        ),
        ("failures: { bgi: 0.5 }", "a: there is no model \"bgi\""),
    ] {
        let config = CONFIG.replace(
            "tenants: {",
            "  other:\n    budgets: [ { name: yearly, amount: 9, every: month } ]\ntenants: {",
        );
        let error = ran(&case(&format!("{{ tenant: acme, {given} }}")), &config).unwrap_err();
        assert!(error.contains(said), "{given}: {error}");
    }
    let error = ran(
        &case("{ tenant: 7 }"),
        &CONFIG.replace("team:", "team: { x: 1 }\n  t:"),
    );
    let error = error.unwrap_err();
    assert!(
        error.contains("weir.yaml:") && error.contains("unknown field"),
        "{error}"
    );
    let priced = format!("{CONFIG}prices: {{ file: no-such-prices.txt }}\n");
    let error = ran(&case("{ tenant: acme }"), &priced).unwrap_err();
    assert!(
        error.contains("\"no-such-prices.txt\": can't be read: No such file"),
        "{error}"
    );
    let error = ran(&case("{ user: ada }"), CONFIG).unwrap_err();
    assert!(error.contains("one of key and tenant"), "{error}");
}

/// A refusal that is expected is no proof where the tenant's name is nobody's.
#[test]
fn a_misspelt_tenant_passes_no_case() {
    let case = |tenant: &str, expect: &str| {
        format!(
            "config: weir.yaml\ncases: [ {{ name: a, given: {{ tenant: {tenant} }}, when: {{ body: \
             {BODY} }}, expect: {expect} }} ]"
        )
    };
    let error = ran(&case("acmee", "{ verdict: refused }"), CONFIG).unwrap_err();
    assert!(
        error.contains("a: there is no tenant \"acmee\"; did you mean \"acme\"?"),
        "{error}"
    );
    let (ran, out) = ran(
        &case("nobody", "{ verdict: refused, rule: no_plan }"),
        CONFIG,
    )
    .unwrap();
    assert_eq!(ran.failed, 0, "{out}");
}

/// A CI has no secret of a webhook, nor whom to believe its certificate.
#[test]
fn whoever_is_told_of_what_is_no_ones_business_here() {
    let alerts = "alerts:\n  webhooks:\n    - { name: ops, url: { env: NO_SUCH_URL }, form: json, secret: { \
                  env: NO_SUCH_SECRET }, ca_file: no-such-ca.pem }\n    - { name: page, form: pagerduty, \
                  routing_key: { env: NO_SUCH_KEY } }\n";
    let cases = format!(
        "config: weir.yaml\ncases: [ {{ name: a, given: {{ tenant: acme }}, when: {{ body: {BODY} \
         }}, expect: {{ verdict: allowed }} }} ]"
    );
    let (ran, out) = ran(&cases, &format!("{CONFIG}{alerts}")).unwrap();
    assert_eq!((ran.cases, ran.failed), (1, 0), "{out}");
}

/// What is refused goes to no model, whatever rules made of it before.
#[test]
fn a_refused_call_is_no_downgraded_one() {
    let cases = format!(
        "config: weir.yaml\ncases: [ {{ name: a, given: {{ tenant: acme, user: ada, budgets: {{ monthly: \
         {{ used: 0.85 }} }}, limits: {{ rpm: {{ used: 5 }} }} }}, when: {{ body: {BODY} }}, expect: \
         {{ model: small, max_tokens: 1000 }} }} ]"
    );
    let (ran, out) = ran(&cases, CONFIG).unwrap();
    assert_eq!(ran.failed, 1, "{out}");
    assert!(out.contains("model: expected small, got none"), "{out}");
    assert!(out.contains("max_tokens: expected 1000, got none"), "{out}");
}
