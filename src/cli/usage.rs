//! `weir usage`: reports over the ledger.
//!
//! | module | for |
//! |---|---|
//! | [`report`] | sums by tenant, model, day, ...; the largest of them |
//! | [`format`] | a report as table, CSV, JSON, Parquet |
//! | [`call`] | one call |
//! | [`export`] | every call, or what it is billed for, in bounded memory |
//! | [`reconcile`] | the ledger beside a provider's own figures |
//! | [`output`] | where it goes |
//!
//! Re-rating, which writes corrections, is `rerate`'s.
//!
//! Always holds: the ledger is only read here; output that nobody reads any more is
//! the end, and no error.

pub(super) mod call;
mod export;
pub(super) mod format;
pub(super) mod output;
mod reconcile;
mod report;

use super::rerate;
use crate::driver::clock::Clock;
use crate::ledger::reports::ask::Asked;
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

/// See what was used and what it cost, from the ledger.
///
/// Without a subcommand: a report by tenant and model of this month.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  weir usage --config weir.yaml --by tenant,model --since 2026-11-01
  weir usage --config weir.yaml --by day,tenant --since 2026-11 --time-zone Asia/Kolkata --format csv
  weir usage top --config weir.yaml --by key --most cost --since yesterday
  weir usage export --config weir.yaml --format focus --since 2026-10-01 --until 2026-11-01 --output october.csv
  weir usage reconcile --config weir.yaml --provider openai costs.json --fail-over 1"
)]
pub struct UsageArgs {
    #[command(subcommand)]
    command: Option<UsageCommand>,
    #[command(flatten)]
    report: report::ReportArgs,
}

#[derive(Debug, clap::Subcommand)]
enum UsageCommand {
    /// The names with the most: what costs most, who calls most.
    Top(report::TopArgs),
    /// One call: what it used, what that cost, how it was corrected.
    Show(call::ShowArgs),
    /// Every call, or each of its charges, a line each.
    Export(export::ExportArgs),
    /// Compare with a provider's own usage or cost report, by day and model.
    Reconcile(reconcile::ReconcileArgs),
    /// Apply corrected prices to past calls.
    Rerate(rerate::Rerate),
}

/// From when to when, in whose time, and of what.
#[derive(Debug, clap::Args)]
struct Span {
    /// From then on: a date, a month or a time; without it, this month.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before then: `--until 2026-12-01` is up to the end of November; without
    /// it, now.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Whose clocks and days, as in Asia/Kolkata.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Only calls of this name, as in tenant=acme, or not of it, as in
    /// model!=gpt-4o; may be repeated.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    only: Vec<String>,
}

impl Span {
    fn asked(&self) -> Asked {
        Asked {
            since: self.since.clone(),
            until: self.until.clone(),
            time_zone: Some(self.time_zone.clone()),
            only: self.only.clone(),
            ..Asked::default()
        }
    }
}

/// Where it is written.
#[derive(Debug, clap::Args)]
struct To {
    /// Write to this file instead of printing.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exit code 0 if all went well, else 1; `reconcile` has its own.
pub fn run(args: &UsageArgs) -> ExitCode {
    let done = match &args.command {
        None => report::run(&args.report),
        Some(UsageCommand::Top(args)) => report::top(args),
        Some(UsageCommand::Show(args)) => call::run(args),
        Some(UsageCommand::Export(args)) => export::run(args),
        Some(UsageCommand::Reconcile(args)) => return reconcile::run(args),
        Some(UsageCommand::Rerate(args)) => return rerate::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, ExitCode::FAILURE),
    }
}

/// Says what went wrong, unless it is that nobody listens any more.
fn failed(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    if output::is_closed(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{error:#}");
    code
}

/// The present.
fn now() -> crate::units::UnixMillis {
    Clock::start().now()
}

/// Carries out what waits for a database.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
