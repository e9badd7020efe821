//! Users' own cases, for their CI: a line each, and what differs.
//!
//! No secret is needed, and nothing is asked but the files.

use crate::cli::explain::offline::Offline;
use crate::cli::source::policy;
use crate::cli::usage::format::table::printable;
use crate::config::cases::{Case, Cases, Expect, Given, load_cases};
use crate::config::{FILE_BYTES_MAX, Outside, Process};
use crate::exchange::explain::{Explanation, Question, Whom};
use anyhow::{Context, anyhow, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What can't be run is another thing than what fails.
const NOT_RUN: u8 = 2;

/// What refuses those who are on no plan, so every call of a tenant that was misspelt.
const NO_PLAN: &str = "no_plan";

#[derive(Debug, clap::Args)]
#[command(after_help = "A file of cases:
  config: weir.yaml
  cases:
    - name: economy near the end
      given: { tenant: acme, user: ada, budgets: { monthly: { used: 0.85 } } }
      when: { body: { model: gpt-4o, max_tokens: 1000, messages: [ { role: user, content: hi } ] } }
      expect: { verdict: downgraded, model: gpt-4o-mini, actions: [ \"economy:downgrade\" ] }")]
pub(super) struct TestArgs {
    /// Files of cases.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The configuration that they are about, in place of the one that they name.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How many cases there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    cases: usize,
    failed: usize,
}

pub(super) fn run(args: &TestArgs) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match tested(args, &Process, &mut out) {
        Ok(Ran { failed: 0, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

fn tested(args: &TestArgs, outside: &dyn Outside, out: &mut dyn Write) -> anyhow::Result<Ran> {
    let mut ran = Ran::default();
    for file in &args.files {
        let name = file.display().to_string();
        let bytes = outside.file(file, FILE_BYTES_MAX);
        let bytes = bytes.with_context(|| name.clone())?;
        let text = String::from_utf8(bytes).map_err(|_| anyhow!("{name}: is not UTF-8"))?;
        let Cases { config, cases } =
            load_cases(&text, &name).map_err(|problems| anyhow!("{problems}"))?;
        let beside = |config: &String| file.parent().unwrap_or(Path::new("")).join(config);
        let config = args.config.clone().or_else(|| config.as_ref().map(beside));
        let Some(config) = config else {
            bail!("{name}: which configuration? Name it in the file, or with --config");
        };
        let offline = Offline::of(policy(&config, outside)?)?;
        for case in &cases {
            let differs = judged(case, &offline)
                .with_context(|| format!("{name}: {}", printable(&case.name)))?;
            ran.cases += 1;
            ran.failed += usize::from(!differs.is_empty());
            tell(case, &differs, out)?;
        }
    }
    let Ran { cases, failed } = ran;
    let plural = if cases == 1 { "" } else { "s" };
    writeln!(out, "{cases} case{plural}, {failed} failed")?;
    Ok(ran)
}

fn tell(case: &Case, differs: &[String], out: &mut dyn Write) -> std::io::Result<()> {
    let verdict = if differs.is_empty() {
        "ok    "
    } else {
        "FAILED"
    };
    writeln!(out, "{verdict}  {}", printable(&case.name))?;
    for line in differs {
        writeln!(out, "          {}", printable(line))?;
    }
    Ok(())
}

/// What differs from what is expected.
fn judged(case: &Case, offline: &Offline) -> anyhow::Result<Vec<String>> {
    let by = whom(&case.given);
    let tenant = case.given.tenant.as_deref();
    if case.expect.rule.as_deref() != Some(NO_PLAN)
        && let Some(unknown) = tenant.and_then(|tenant| offline.unknown(tenant))
    {
        bail!("{unknown}; where that is meant, expect the rule {NO_PLAN}");
    }
    let when = &case.when;
    let headers = when.headers.clone();
    let body = when.body.to_string().into_bytes();
    let question = Question::new(by.clone(), &when.path, headers, None, body)
        .by_envoy_route(when.envoy_route.clone());
    let told = offline.explain(&by, question, &case.given.state)?;
    Ok(differences(&case.expect, &told))
}

fn whom(given: &Given) -> Whom {
    match (&given.key, &given.tenant) {
        (Some(key), _) => Whom::Key(key.to_string()),
        (None, tenant) => Whom::of_tenant(
            tenant.as_deref().unwrap_or(""),
            given.project.as_deref(),
            given.environment.as_deref(),
            given.user.as_deref(),
            given.labels.clone(),
        ),
    }
}

/// A line for each thing that is not as expected.
#[derive(Debug, Default)]
struct Differences(Vec<String>);

fn differences(expect: &Expect, told: &Explanation) -> Vec<String> {
    let mut all = Differences::default();
    all.of_verdict(expect, told);
    all.of_call(expect, told);
    for (name, expected) in &expect.headers {
        let got = header(told, name);
        let what = format!("header {name}");
        let fits = got == Some(expected);
        let got = got.map_or("none", String::as_str);
        all.compare(&what, Some(expected), fits, got);
    }
    all.0
}

impl Differences {
    fn compare(&mut self, what: &str, expected: Option<&str>, fits: bool, got: &str) {
        if let Some(expected) = expected.filter(|_| !fits) {
            self.0
                .push(format!("{what}: expected {expected}, got {got}"));
        }
    }

    fn of_verdict(&mut self, expect: &Expect, told: &Explanation) {
        let verdict = &told.verdict;
        let is: Vec<&str> = std::iter::once(verdict.decision)
            .chain(verdict.is.iter().map(String::as_str))
            .collect();
        let expected = expect.verdict.as_deref();
        let fits = expected.is_some_and(|expected| is.contains(&expected));
        let by = verdict.by.as_deref();
        let got = is.join(", ") + &by.map_or_else(String::new, |by| format!(" by {by}"));
        self.compare("verdict", expected, fits, &got);
        // A call that is refused goes nowhere.
        let served = told.model.as_ref().filter(|_| is_sent(told));
        let served = served.and_then(|model| model.served.as_deref());
        let expected = expect.model.as_deref();
        self.compare(
            "model",
            expected,
            served == expected,
            served.unwrap_or("none"),
        );
        let answer = verdict.answer.as_ref();
        let status = answer.map(|answer| u64::from(answer.status));
        let (expected, got) = (number(expect.status), number(status));
        let got = got.as_deref().unwrap_or("none: it is let through");
        self.compare("status", expected.as_deref(), expect.status == status, got);
        let rules = verdict.actions.iter().map(|action| rule_of(action));
        let rules: Vec<&str> = by.into_iter().chain(rules).collect();
        let expected = expect.rule.as_deref();
        let fits = expected.is_some_and(|expected| rules.contains(&expected));
        self.compare("rule", expected, fits, &listed(&rules));
    }

    fn of_call(&mut self, expect: &Expect, told: &Explanation) {
        let verdict = &told.verdict;
        let max_tokens = told.estimate.as_ref().filter(|_| is_sent(told));
        let max_tokens = max_tokens.map(|estimate| estimate.max_tokens);
        let (expected, got) = (number(expect.max_tokens), number(max_tokens));
        let fits = expect.max_tokens == max_tokens;
        let got = got.as_deref().unwrap_or("none");
        self.compare("max_tokens", expected.as_deref(), fits, got);
        let delay = expect.delay.map(|delay| format!("{} ms", delay.0));
        let fits = expect.delay.map(|delay| delay.0) == Some(verdict.delay_ms);
        let got = format!("{} ms", verdict.delay_ms);
        self.compare("delay", delay.as_deref(), fits, &got);
        let expected = expect.actions.as_ref().map(|actions| listed_all(actions));
        let fits = expect.actions.as_ref() == Some(&verdict.actions);
        let got = listed_all(&verdict.actions);
        self.compare("actions", expected.as_deref(), fits, &got);
    }
}

fn is_sent(told: &Explanation) -> bool {
    told.verdict.sent.is_some()
}

fn number(number: Option<u64>) -> Option<String> {
    number.map(|number| number.to_string())
}

/// The rule of an action as the ledger has it.
fn rule_of(action: &str) -> &str {
    let action = action.strip_prefix("shadow:").unwrap_or(action);
    action.rsplit_once(':').map_or(action, |(rule, _)| rule)
}

fn header<'t>(told: &'t Explanation, name: &str) -> Option<&'t String> {
    let verdict = &told.verdict;
    let refused = verdict.answer.iter().map(|answer| &answer.headers);
    let sent = verdict.sent.iter();
    let sent = sent.flat_map(|sent| [&sent.answer_headers, &sent.headers]);
    refused.chain(sent).find_map(|headers| headers.get(name))
}

fn listed(names: &[&str]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

fn listed_all(names: &[String]) -> String {
    listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
