//! `weir usage rerate`: corrected prices for past calls, as corrections in the
//! ledger.

mod prices;
mod source;
mod span;
mod table;

use crate::config::{self, Config, Outside, Process};
use crate::driver::clock::{self, Clock};
use crate::ledger::rerating::tally::Tally;
use crate::ledger::rerating::walk::{self, RerateError, Run, Span};
use crate::ledger::store::{Store, StoreError};
use crate::limits::HoldId;
use crate::pricing::date;
use crate::units::UnixMillis;
use anyhow::{Context, anyhow};
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
    #[command(flatten)]
    source: source::Source,
    /// Corrected prices, in the form of prices.file. They alone count: calls of
    /// other models are left alone. Without it, the prices of the configuration
    /// count.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// From then on: a date (2026-11-01), a month (2026-11) or a time.
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
    let span = span::read(args, now)?;
    let id = match &args.run {
        None => fresh,
        Some(text) => Uuid::try_parse(text)
            .map_err(|_| anyhow!("--run: must be a UUID: 32 hexadecimal digits"))?,
    };
    let config = match args.source.config() {
        None => None,
        Some(path) => {
            let config = config::load_file(path, outside);
            Some(config.map_err(|problems| anyhow!("{problems}"))?)
        }
    };
    let mut prices = Prices::of(args.prices.as_deref(), config.as_ref(), outside)?;
    let run = (!args.dry_run).then_some(Run { id, at: now });
    let tally = walked(args, config.as_ref(), outside, &span, run, &mut prices)?;
    Ok(match args.json {
        true => format!("{:#}\n", table::json(&tally, &span, run)),
        false => table::text(&tally, &span, run),
    })
}

fn walked(
    args: &Rerate,
    config: Option<&Config>,
    outside: &dyn Outside,
    span: &Span,
    run: Option<Run>,
    prices: &mut Prices,
) -> anyhow::Result<Tally> {
    let (database, name) = args.source.database(config, outside)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Store::open(&database).await;
        let store = store.with_context(|| name.clone())?;
        let walked = walk::rerate(&store, span, run, &mut |event| prices.of_call(event)).await;
        store.close().await;
        walked.map_err(|error| told(error, &name, run.is_some()))
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
