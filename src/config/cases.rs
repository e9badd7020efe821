//! Users' own cases for `weir policy test`: what is given, which call is made, and
//! what must become of it. And how counters are to stand, for `weir explain --state`.
//!
//! ```yaml
//! config: weir.yaml
//! cases:
//!   - name: economy near the end
//!     given: { tenant: acme, budgets: { monthly: { used: 0.85 } } }
//!     when: { body: { model: gpt-4o, messages: [] } }
//!     expect: { verdict: downgraded, model: gpt-4o-mini }
//! ```
//!
//! Always holds: as with a configuration, every problem is told with its place, and
//! an unknown field is one.

mod state;

pub use state::{GrantGiven, State, UsedOf};

use super::judging;
use super::problem::Problems;
use super::reader::{Fields, Item};
use crate::exchange::explain::question::USUAL_PATH;
use crate::units::Millis;
use serde_json::Value;
use state::{STATE, entries, state};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most cases of a file.
const CASES_MAX: usize = 10_000;

/// A file of cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    /// The configuration that they are about, relative to the file.
    pub config: Option<String>,
    pub cases: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    pub given: Given,
    pub when: When,
    pub expect: Expect,
}

/// Who calls, and how things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    pub key: Option<Arc<str>>,
    pub tenant: Option<Arc<str>>,
    pub project: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    pub state: State,
}

/// The call.
#[derive(Debug, Clone, PartialEq)]
pub struct When {
    pub path: String,
    /// The name of the route that Envoy chooses for it.
    pub envoy_route: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// What must become of it; what isn't said may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// `allowed`, `refused`, or what it is besides.
    pub verdict: Option<String>,
    /// That it goes to.
    pub model: Option<String>,
    pub status: Option<u64>,
    /// The rule, limit or reason that refuses it, or a rule that does something.
    pub rule: Option<String>,
    /// Of the answer, or those that the gateway routes by.
    pub headers: BTreeMap<String, String>,
    pub max_tokens: Option<u64>,
    pub delay: Option<Millis>,
    /// All that policy does, in order, as the ledger has it.
    pub actions: Option<Vec<String>>,
}

/// Words that a verdict may be expected as.
const VERDICTS: &[(&str, &str)] = &[
    ("allowed", "allowed"),
    ("refused", "refused"),
    ("downgraded", "downgraded"),
    ("clamped", "clamped"),
    ("delayed", "delayed"),
    ("warned", "warned"),
    ("routed", "routed"),
    ("blocked", "blocked"),
    ("approval_required", "approval_required"),
];

/// Reads a file of cases. `file_name` is only for messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_cases(text: &str, file_name: &str) -> Result<Cases, Problems> {
    judging::read(text, file_name, cases)
}

/// Reads a file that says how things stand.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_state(text: &str, file_name: &str) -> Result<State, Problems> {
    judging::read(text, file_name, |item| state(&item.fields(STATE)?))
}

fn cases(root: &Item) -> Option<Cases> {
    let fields = root.fields(&["config", "cases"])?;
    let config = match fields.optional("config") {
        Some(item) => Some(item.text()?.value),
        None => None,
    };
    let list = fields.required("cases", "what to test")?.list()?;
    if list.is_empty() || list.len() > CASES_MAX {
        return root.report(format!("must have 1 to {CASES_MAX} cases"));
    }
    // All are read, so that all problems are told.
    let cases: Vec<Option<Case>> = list.iter().map(case).collect();
    let cases = cases.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Cases { config, cases })
}

fn case(item: &Item) -> Option<Case> {
    let fields = item.fields(&["name", "given", "when", "expect"])?;
    let name = fields.required("name", "what is printed of the case");
    let name = name.and_then(|item| item.text());
    let given = fields.required("given", "who calls, as in { tenant: acme }");
    let given = given.and_then(|item| given_of(&item));
    let when = fields.required("when", "the call, as in { body: { model: gpt-4o } }");
    let when = when.and_then(|item| when_of(&item));
    let expect = fields.required(
        "expect",
        "what must become of it, as in { verdict: allowed }",
    );
    let expect = expect.and_then(|item| expect_of(&item));
    Some(Case {
        name: name?.value,
        given: given?,
        when: when?,
        expect: expect?,
    })
}

fn given_of(item: &Item) -> Option<Given> {
    let fields = item.fields(&[
        "key",
        "tenant",
        "project",
        "environment",
        "user",
        "labels",
        "time",
        "budgets",
        "limits",
        "grants",
        "failures",
    ])?;
    let name = |field: &str| match fields.optional(field) {
        Some(item) => item.name().map(|name| Some(name.value)),
        None => Some(None),
    };
    let [key, tenant, project, environment, user] =
        ["key", "tenant", "project", "environment", "user"].map(name);
    let labels = match fields.optional("labels") {
        Some(item) => entries(&item, |item| item.name().map(|name| name.value)),
        None => Some(BTreeMap::new()),
    };
    let state = state(&fields);
    let (key, tenant) = (key?, tenant?);
    if key.is_some() == tenant.is_some() {
        return item.report("must say who calls: one of key and tenant");
    }
    Some(Given {
        key,
        tenant,
        project: project?,
        environment: environment?,
        user: user?,
        labels: labels?,
        state: state?,
    })
}

fn when_of(item: &Item) -> Option<When> {
    let fields = item.fields(&["path", "envoy_route", "headers", "body"])?;
    let path = match fields.optional("path") {
        Some(item) => item.text()?.value,
        None => USUAL_PATH.to_owned(),
    };
    let envoy_route = match fields.optional("envoy_route") {
        Some(item) => item.text().map(|text| Some(text.value)),
        None => Some(None),
    };
    let headers = headers(&fields);
    let body = fields.required("body", "what is asked for, as in { model: gpt-4o }")?;
    if !body.is_mapping() {
        return body.report("must be a mapping: the request's JSON");
    }
    Some(When {
        path,
        envoy_route: envoy_route?,
        headers: headers?,
        body: body.to_json(),
    })
}

fn headers(fields: &Fields) -> Option<BTreeMap<String, String>> {
    let Some(item) = fields.optional("headers") else {
        return Some(BTreeMap::new());
    };
    let all = entries(&item, |item| match item.is_true() {
        true => Some("true".to_owned()),
        false => item.text().map(|text| text.value),
    })?;
    let lower = all.into_iter();
    Some(
        lower
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect(),
    )
}

fn expect_of(item: &Item) -> Option<Expect> {
    let fields = item.fields(&[
        "verdict",
        "model",
        "status",
        "rule",
        "headers",
        "max_tokens",
        "delay",
        "actions",
    ])?;
    let text = |name: &str| match fields.optional(name) {
        Some(item) => item.text().map(|text| Some(text.value)),
        None => Some(None),
    };
    let number = |name: &str, most: u64| match fields.optional(name) {
        Some(item) => item.amount(0..=most).map(|number| Some(number.value)),
        None => Some(None),
    };
    let verdict = match fields.optional("verdict") {
        Some(item) => item.word(VERDICTS).map(|word| Some(word.value.to_owned())),
        None => Some(None),
    };
    let delay = match fields.optional("delay") {
        Some(item) => item.span(0..=3_600_000).map(|span| Some(span.value)),
        None => Some(None),
    };
    let actions = match fields.optional("actions") {
        Some(item) => {
            let all: Vec<Option<String>> = item
                .one_or_list()?
                .iter()
                .map(|item| item.text().map(|text| text.value))
                .collect();
            all.into_iter().collect::<Option<Vec<_>>>().map(Some)
        }
        None => Some(None),
    };
    let (model, rule, status) = (text("model"), text("rule"), number("status", 599));
    let (headers, max_tokens) = (headers(&fields), number("max_tokens", u64::MAX));
    let expect = Expect {
        verdict: verdict?,
        model: model?,
        status: status?,
        rule: rule?,
        headers: headers?,
        max_tokens: max_tokens?,
        delay: delay?,
        actions: actions?,
    };
    if expect == Expect::default() {
        return item.report("must expect something, as in { verdict: allowed }");
    }
    Some(expect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::grants::Allowance;
    use crate::units::UnixMillis;

    fn wrong(text: &str) -> String {
        load_cases(text, "cases.yaml").unwrap_err().to_string()
    }

    #[test]
    fn a_case_is_read_whole() {
        let cases = load_cases(
            "config: weir.yaml\ncases:\n  - name: near the end\n    given: { tenant: acme, user: \
             ada, labels: { team: red }, budgets: { monthly: { used: 0.85 }, daily: { taken: 2.5 \
             USD } }, limits: { rpm: { used: 3 } }, time: 2026-11-16T12:00:00Z, grants: [ { rule: \
             ask, models: gpt-4o, calls: 3 } ], failures: { gpt-4o: 0.9 } }\n    when: { envoy_route: \
             batch, headers: { X-Weir-Task: classify }, body: { model: gpt-4o, max_tokens: 1000 } }\n    expect: { \
             verdict: downgraded, model: gpt-4o-mini, status: 200, headers: { X-A: b }, \
             max_tokens: 200, delay: 750ms, actions: [ \"economy:downgrade\" ] }\n",
            "cases.yaml",
        )
        .unwrap();
        assert_eq!(cases.config.as_deref(), Some("weir.yaml"));
        let Case {
            given,
            when,
            expect,
            ..
        } = &cases.cases[0];
        assert_eq!(given.state.time, Some(UnixMillis(1_794_830_400_000)));
        assert_eq!(given.state.used["monthly"], UsedOf::PerMille(850));
        assert_eq!(given.state.used["rpm"], UsedOf::Billionths(3_000_000_000));
        assert_eq!(given.state.used["daily"], UsedOf::Billionths(2_500_000_000));
        assert_eq!(given.state.failures["gpt-4o"], 900);
        assert_eq!(given.state.grants[0].allowance, Allowance::Calls(3));
        assert_eq!(when.path, USUAL_PATH);
        assert_eq!(when.envoy_route.as_deref(), Some("batch"));
        assert_eq!(when.headers["x-weir-task"], "classify");
        assert_eq!(when.body["max_tokens"], 1000);
        assert_eq!(expect.delay, Some(Millis(750)));
        assert_eq!(expect.headers["x-a"], "b");
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_place() {
        let text = wrong(
            "cases:\n  - name: a\n    given: { tenat: acme }\n    when: { body: 3 }\n    expect: \
             { verdict: downgrade }\n  - name: b\n    given: { tenant: acme, time: noon }\n    \
             when: { body: { model: m } }\n    expect: {}\n",
        );
        for expected in [
            "cases.yaml:3:14: cases[0].given.tenat: unknown field; did you mean \"tenant\"?",
            "cases[0].when.body: must be a mapping",
            "did you mean \"downgraded\"?",
            "cases[1].given.time: must be a time with its offset, as 2026-11-16T12:00:00Z",
            "cases[1].expect: must expect something",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
        assert!(wrong("cases: []").contains("1 to 10000 cases"));
        assert!(wrong("case: []").contains("did you mean \"cases\"?"));
    }
}
