//! The ledger beside a provider's own figures, by day (UTC) and model.
//!
//! Providers report the model that served, so weir's calls are taken by that, and
//! by the model that was asked for where the answer named none. A call counts on
//! the day on which it began; at midnight a provider may see it otherwise.

mod bill;
mod difference;

use super::format::table::{columns, printable};
use super::output::{Output, guarded, record};
use super::{To, block_on, failed};
use crate::cli::source::Source;
use crate::ledger::reports::ask;
use crate::ledger::reports::money::decimal;
use crate::ledger::store::measure::Dimension;
use crate::ledger::store::period::Unit;
use crate::ledger::store::query::{Condition, Query};
use anyhow::{Context, bail};
use bill::{Bill, Provider};
use difference::{Line, PERCENT_SCALE, Percent, differences};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code of a difference that is too large.
const OVER: u8 = 1;
/// The exit code where nothing could be compared.
const FAILED: u8 = 2;

/// What `weir usage reconcile` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What FILE may be: the JSON of OpenAI's /v1/organization/usage/completions or
/v1/organization/costs (grouped by model or line_item), or its CSV export of
either; the JSON of Anthropic's /v1/organizations/usage_report/messages or
/v1/organizations/cost_report (grouped by model or description). Several pages
may follow each other in one file.

Exit code: 0; 1 where a difference is above --fail-over; 2 where it could not be
compared.")]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    source: Source,
    /// Whose report it is. weir's calls are those whose provider has this name in
    /// the configuration, unless --where provider=... says otherwise.
    #[arg(long, value_enum)]
    provider: Provider,
    /// The provider's report.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only weir's calls of this name, as in provider=azure; may be repeated.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    only: Vec<String>,
    /// Print what agrees too.
    #[arg(long)]
    all: bool,
    /// Exit with 1 where a figure differs by more than this percentage of the
    /// provider's.
    #[arg(long, value_name = "PERCENT")]
    fail_over: Option<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Table,
    Csv,
    Json,
}

pub(super) fn run(args: &ReconcileArgs) -> ExitCode {
    match compared(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(OVER),
        Err(error) => failed(&error, ExitCode::from(FAILED)),
    }
}

/// Whether all differences are small enough.
fn compared(args: &ReconcileArgs) -> anyhow::Result<bool> {
    let most = match &args.fail_over {
        Some(text) => Some(percentage(text)?),
        None => None,
    };
    let bill =
        bill::read(&args.file, args.provider).with_context(|| args.file.display().to_string())?;
    if bill.has_more {
        eprintln!(
            "{}: its last page says that there are more pages: what is on them is missing here",
            args.file.display()
        );
    }
    let query = query(args, &bill)?;
    let rows = block_on(async {
        let store = args.source.open().await?;
        let rows = store.groups(&query).await?;
        store.close().await;
        Ok(rows)
    })?;
    let lines = differences(&bill, &rows);
    let is_over = |line: &&Line| most.is_some_and(|most| line.is_over(most));
    let over = lines.iter().filter(is_over).count();
    let shown: Vec<&Line> = lines
        .iter()
        .filter(|line| args.all || line.difference() != 0)
        .collect();
    let text = match args.format {
        Form::Table => table(&shown, lines.len()),
        Form::Csv => csv(&shown)?,
        Form::Json => json(&shown, lines.len(), over),
    };
    let mut output = Output::to(args.to.output.as_deref())?;
    output.write_all(text.as_bytes())?;
    output.finish()?;
    if over > 0 {
        let most = args.fail_over.as_deref().unwrap_or("");
        let most = most.trim_end_matches('%');
        eprintln!(
            "{over} of {} figures differ by more than {most}%",
            lines.len()
        );
    }
    Ok(over == 0)
}

fn percentage(text: &str) -> anyhow::Result<i128> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let most = decimal(number, PERCENT_SCALE).filter(|most| *most >= 0);
    most.with_context(|| format!("--fail-over: {text:?} is no percentage: write 1 or 0.5"))
}

/// weir's calls of the days of the bill.
fn query(args: &ReconcileArgs, bill: &Bill) -> anyhow::Result<Query> {
    let Some((since, until)) = bill.span() else {
        bail!("{}: it has no usage and no costs", args.file.display());
    };
    let mut only = ask::conditions(&args.only).context("--where")?;
    let provider = |one: &Condition| one.dimension == Dimension::Provider;
    if !only.iter().any(provider) {
        only.push(Condition::is(Dimension::Provider, args.provider.name()));
    }
    Ok(Query {
        unit: Some(Unit::Day),
        group_by: vec![Dimension::ModelServed, Dimension::Model],
        only,
        ..Query::of(since, until)
    })
}

const HEAD: [&str; 7] = [
    "day",
    "model",
    "figure",
    "provider",
    "weir",
    "difference",
    "percent",
];

fn table(shown: &[&Line], all: usize) -> String {
    if shown.is_empty() {
        return match all {
            1 => "the only figure agrees\n".to_owned(),
            _ => format!("all {all} figures agree\n"),
        };
    }
    let mut lines = vec![HEAD.map(str::to_uppercase).to_vec()];
    for line in shown {
        lines.push(vec![
            line.day.to_string(),
            printable(&line.model),
            line.figure.title().to_owned(),
            line.figure.shown(line.provider),
            line.figure.shown(line.weir),
            line.figure.shown(line.difference()),
            percent(line),
        ]);
    }
    const NAMES: usize = 3;
    let mut text = columns(&lines, NAMES);
    let agree = all.saturating_sub(shown.len());
    if agree > 0 {
        text += &format!("agreeing figures that are not shown: {agree}; see them with --all\n");
    }
    text
}

fn percent(line: &Line) -> String {
    match line.percent() {
        Percent::Of(hundredths) => {
            let sign = if hundredths < 0 { "-" } else { "" };
            let amount = hundredths.unsigned_abs();
            format!("{sign}{}.{:02}%", amount / 100, amount % 100)
        }
        Percent::OfNothing => "-".to_owned(),
    }
}

fn csv(shown: &[&Line]) -> anyhow::Result<String> {
    let mut bytes = record(HEAD)?;
    for line in shown {
        bytes.extend(record([
            line.day.to_string(),
            guarded(&line.model),
            line.figure.as_str().to_owned(),
            line.provider.to_string(),
            line.weir.to_string(),
            line.difference().to_string(),
            match line.percent() {
                Percent::Of(_) => percent(line).trim_end_matches('%').to_owned(),
                Percent::OfNothing => String::new(),
            },
        ])?);
    }
    Ok(String::from_utf8(bytes)?)
}

fn json(shown: &[&Line], all: usize, over: usize) -> String {
    let lines: Vec<serde_json::Value> = shown.iter().map(|line| line.json()).collect();
    let document = serde_json::json!({
        "lines": lines,
        "figures_in_all": all,
        "over": over,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests;
