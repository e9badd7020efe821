//! `weir usage rerate`: corrected prices for past calls, as corrections in the
//! ledger.

mod prices;
mod table;

use super::progress::Progress;
use super::source::{self, ByItself, Found, Use};
use crate::config::{Outside, Process};
use crate::driver::clock::{self, Clock};
use crate::exchange::UsageEvent;
use crate::ledger::reports::ask::Asked;
use crate::ledger::rerating::tally::Tally;
use crate::ledger::rerating::walk::{self, RerateError, Run, Span};
use crate::ledger::store::StoreError;
use crate::limits::HoldId;
use crate::pricing::date;
use crate::units::UnixMillis;
use anyhow::anyhow;
use prices::Prices;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use uuid::Uuid;

/// Apply corrected prices to past calls.
///
/// Each call of the time asked for is priced again, by the price that is known
/// now for the moment it began. Where that comes to another cost, the difference
/// is added to the ledger as a correction; the call's row stays as it is, with
/// the price it was charged by. Reports show what calls cost with corrections.
///
/// Calls without a price now are named and keep what they cost. Doing it again
/// with the same prices changes nothing, and finishes what was cut off.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir usage rerate --config weir.yaml --since 2026-11-01 --dry-run
  weir usage rerate --config weir.yaml --prices corrected.txt --since 2026-11 --until 2026-12 --where model=gpt-4o")]
pub struct Rerate {
    /// The configuration that weir serves with: its ledger, and its prices where
    /// no others are given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    ledger: ByItself,
    /// Corrected prices, in the form of prices.file. They alone count: calls of
    /// other models are left alone. Without it, the prices of the configuration
    /// count.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// From then on: a date (2026-11-01), a month (2026-11), a time, or yesterday.
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Before then: `--until 2026-12-01` is up to the end of November; without
    /// it, now.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Whose days, as in Asia/Kolkata.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Only calls of this name, as in tenant=acme, or not of it, as in
    /// model!=gpt-4o; may be repeated.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    only: Vec<String>,
    /// The id of the run, a UUID: what its corrections are known by. Without it,
    /// a new one.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Show what would change, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON. Costs are in billionths of a dollar there.
    #[arg(long)]
    json: bool,
}

/// Exit code 0 if all calls were rated, those left alone too, else 1.
pub fn run(args: &Rerate) -> ExitCode {
    let clock = Clock::start();
    let fresh = HoldId::new(clock.now(), &clock::random().id).0;
    match rerated(args, &Process, clock.now(), fresh) {
        // Nobody is left to tell where the output is gone.
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is printed; `fresh` is the run's id where none is given.
fn rerated(
    args: &Rerate,
    outside: &dyn Outside,
    now: UnixMillis,
    fresh: Uuid,
) -> anyhow::Result<String> {
    let span = span(args, now)?;
    let id = match &args.run {
        None => fresh,
        Some(text) => Uuid::try_parse(text)
            .map_err(|_| anyhow!("--run: must be a UUID: 32 hexadecimal digits"))?,
    };
    let config = match &args.config {
        None => None,
        Some(path) => Some((path.as_path(), source::load(path, outside)?)),
    };
    let config = config.as_ref().map(|(path, config)| (*path, config));
    let mut prices = Prices::of(
        args.prices.as_deref(),
        config.map(|(_, config)| config),
        outside,
    )?;
    let run = (!args.dry_run).then_some(Run { id, at: now });
    let ledger = args.ledger.or_of(config, Use::Change, outside)?;
    let tally = walked(&ledger, &span, run, &mut prices)?;
    Ok(match args.json {
        true => format!("{:#}\n", table::json(&tally, &span, run)),
        false => table::text(&tally, &span, run),
    })
}

fn span(args: &Rerate, now: UnixMillis) -> anyhow::Result<Span> {
    let asked = Asked {
        since: Some(args.since.clone()),
        until: args.until.clone(),
        time_zone: Some(args.time_zone.clone()),
        only: args.only.clone(),
        ..Asked::default()
    };
    let query = asked.query(now)?;
    Ok(Span {
        since: query.since,
        until: query.until,
        only: query.only,
    })
}

/// Without a run the ledger is opened so that it can't be written to.
fn walked(
    ledger: &Found,
    span: &Span,
    run: Option<Run>,
    prices: &mut Prices,
) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = match run {
            Some(_) => ledger.open_to_change().await?,
            None => ledger.open_to_read().await?,
        };
        let progress = Progress::along((span.since, span.until));
        let mut price_of = |event: &UsageEvent| prices.of_call(event);
        let mut heard = |to: UnixMillis, tally: &Tally| {
            progress.at(to, tally.total.calls, "calls");
        };
        let walked = walk::rerate(&store, span, run, &mut price_of, &mut heard).await;
        store.close().await;
        walked.map_err(|error| told(error, ledger.name(), run.is_some()))
    })
}

fn told(error: RerateError, name: &str, writes: bool) -> anyhow::Error {
    match error {
        RerateError::Store(StoreError::NotKept(from)) => anyhow!(
            "--since: {name} has dropped rows from before {}: what they cost can't be corrected; \
             begin there",
            date::Written(from)
        ),
        error if writes => anyhow!(error).context(format!(
            "{name}: not all calls are re-rated; what is corrected stays, and the same command \
             again goes on from there"
        )),
        error => anyhow!(error).context(name.to_owned()),
    }
}

#[cfg(test)]
mod tests;
