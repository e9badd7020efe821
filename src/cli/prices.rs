//! `weir prices`: what models cost, by the prices in the program, by a file of
//! one's own, or by a configuration.

mod compare;
mod import;
mod table;

use crate::config::{self, Config, Process};
use crate::driver::clock::Clock;
use crate::pricing::catalogue::{CATALOGUE_BYTES_MAX, CatalogueError};
use crate::pricing::import as data_sets;
use crate::pricing::{Catalogue, Schedule, date, names};
use crate::units::UnixMillis;
use anyhow::{Context, anyhow, bail};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// See what models cost, compare prices, and bring them up to date.
///
/// weir knows the prices of many models, from public data sets. A configuration
/// gives others: models.*.price for one model, prices.file for many.
#[derive(Debug, clap::Args)]
pub struct PricesArgs {
    #[command(subcommand)]
    command: PricesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PricesCommand {
    /// Print the models that have a price, one a line: dollars per million
    /// tokens.
    List(ListArgs),
    /// Print all that is known of what a model costs: by date, tier of service
    /// and length.
    Show(ShowArgs),
    /// Print what another file, or a configuration's own prices, would change.
    Diff(DiffArgs),
    /// Make a file of prices for prices.file out of public data sets.
    ///
    /// Takes LiteLLM's model_prices_and_context_window.json and the data.json of
    /// genai-prices. Where files disagree, the first one counts.
    Import(import::ImportPricesArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only this provider's, as in openai, azure or bedrock.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only names that hold this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// The prices of this day, as 2026-01-31; else of today.
    #[arg(long, value_name = "DATE", value_parser = day)]
    at: Option<UnixMillis>,
    /// Another file of prices than the program's own.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON, one model a line. Figures are dollars, as text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The model, as calls or configurations name it.
    model: String,
    /// Who serves it, where the name doesn't say.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only the price of this day, as 2026-01-31 or 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = day)]
    at: Option<UnixMillis>,
    /// Another file of prices than the program's own.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// A configuration: what its model of that name is charged.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON. Figures are dollars, as text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// Another file of prices, or one of the data sets that import takes.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A configuration: what its models cost, against the program's prices.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// Only this provider's.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Print JSON, one model a line.
    #[arg(long)]
    json: bool,
}

/// Exit code 0 if all was done as asked, else 1.
pub fn run(args: &PricesArgs) -> ExitCode {
    let now = Clock::start().now();
    let printed = match &args.command {
        PricesCommand::List(args) => list(args, now),
        PricesCommand::Show(args) => show(args, now),
        PricesCommand::Diff(args) => diff(args, now),
        PricesCommand::Import(args) => import::run(args, now),
    };
    match printed {
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

fn day(text: &str) -> Result<UnixMillis, String> {
    let wrong = || "must be a date as 2026-01-31 or 2026-01-31T08:00:00Z".to_owned();
    date::read(text).ok_or_else(wrong)
}

fn list(args: &ListArgs, now: UnixMillis) -> anyhow::Result<String> {
    let catalogue = catalogue(args.file.as_deref())?;
    let at = args.at.unwrap_or(now);
    let wanted = Wanted::of(&catalogue, args.provider.as_deref(), args.filter.as_deref())?;
    let rows: Vec<table::Row> = catalogue
        .names()
        .filter(|(key, _)| wanted.takes(key))
        .filter_map(|(key, target)| {
            let price = catalogue.get(key)?.schedule.at(at).price.clone();
            Some(table::Row {
                key: key.to_owned(),
                target: target.map(str::to_owned),
                price,
            })
        })
        .collect();
    if rows.is_empty() {
        bail!(
            "no model's name holds {:?}",
            args.filter.as_deref().unwrap_or("")
        );
    }
    Ok(match args.json {
        true => table::json_lines(&rows),
        false => table::of(&rows, catalogue.version()),
    })
}

/// Which names are asked for.
struct Wanted {
    provider: Option<String>,
    text: String,
}

impl Wanted {
    fn of(
        catalogue: &Catalogue,
        provider: Option<&str>,
        text: Option<&str>,
    ) -> anyhow::Result<Self> {
        let provider = provider.map(|asked| {
            let name = names::provider(asked);
            match names::is_provider(catalogue, &name) {
                true => Ok(format!("{name}/")),
                false => Err(anyhow!(
                    "--provider: no prices of {asked:?} are known; known are {}",
                    providers(catalogue).join(", ")
                )),
            }
        });
        Ok(Self {
            provider: provider.transpose()?,
            text: text.unwrap_or("").to_ascii_lowercase(),
        })
    }

    fn takes(&self, key: &str) -> bool {
        let provider = self.provider.as_deref().unwrap_or("");
        key.starts_with(provider) && key.to_ascii_lowercase().contains(&self.text)
    }
}

fn providers(catalogue: &Catalogue) -> Vec<&str> {
    let names = catalogue.names();
    let providers = names.filter_map(|(key, _)| Some(key.split_once('/')?.0));
    let mut providers: Vec<&str> = providers.collect();
    providers.dedup();
    providers
}

fn show(args: &ShowArgs, now: UnixMillis) -> anyhow::Result<String> {
    let (name, schedule) = match &args.config {
        Some(path) => configured(path, &args.model)?,
        None => found(args)?,
    };
    Ok(match args.json {
        true => format!("{:#}\n", table::json(&name, &schedule, args.at)),
        false => table::all(&name, &schedule, args.at, now),
    })
}

fn found(args: &ShowArgs) -> anyhow::Result<(String, Schedule)> {
    let catalogue = catalogue(args.file.as_deref())?;
    if let Some(provider) = args.provider.as_deref() {
        Wanted::of(&catalogue, Some(provider), None)?;
    }
    let entry = names::find(&catalogue, args.provider.as_deref(), &args.model);
    let Some(entry) = entry else {
        let alike = names::alike(&catalogue, &args.model);
        let hint = match alike.as_slice() {
            [] => "; `weir prices list --filter TEXT` looks for names".to_owned(),
            names => format!("; known are {}", names.join(", ")),
        };
        bail!("no price is known of {:?}{hint}", args.model);
    };
    let name = format!("{}, of the prices {}", entry.key, catalogue.version());
    Ok((name, entry.schedule))
}

/// What a configuration's model is charged.
fn configured(path: &Path, model: &str) -> anyhow::Result<(String, Schedule)> {
    let config = load(path)?;
    let known = config.snapshot.models.get(model);
    let known =
        known.with_context(|| format!("{}: there is no model {model:?}", path.display()))?;
    let price = known.price.as_ref();
    let price = price.with_context(|| format!("{}: {model:?} has no price", path.display()))?;
    let name = format!("{model}, in {}", path.display());
    Ok((name, price.schedule().clone()))
}

fn load(path: &Path) -> anyhow::Result<Config> {
    config::load_file(path, &Process).map_err(|problems| anyhow!("{problems}"))
}

fn diff(args: &DiffArgs, now: UnixMillis) -> anyhow::Result<String> {
    let own = Catalogue::built_in();
    let changes = match (&args.config, &args.file) {
        (Some(config), _) => compare::configured(&own, &load(config)?),
        (None, Some(file)) => compare::catalogues(&own, &catalogue(Some(file))?),
        (None, None) => bail!("a file of prices, or --config, must be given"),
    };
    let prefix = args.provider.as_deref().map(names::provider);
    let prefix = prefix.map_or_else(String::new, |provider| format!("{provider}/"));
    let changes: Vec<compare::Change> = changes
        .into_iter()
        .filter(|change| change.key.starts_with(&prefix))
        .collect();
    Ok(match args.json {
        true => compare::json_lines(&changes, now),
        false => compare::text(&changes, now),
    })
}

/// The program's prices, or those of a file: ours, or a data set.
fn catalogue(file: Option<&Path>) -> anyhow::Result<Catalogue> {
    let Some(path) = file else {
        return Ok(Catalogue::built_in());
    };
    let bytes = read_file(path)?;
    let first = bytes.trim_ascii_start().first();
    if matches!(first, Some(b'{' | b'[')) {
        let read = data_sets::read(&bytes, None);
        let (format, imported) = read.with_context(|| path.display().to_string())?;
        let text = imported.write(format.as_str(), &[]);
        return Catalogue::read(&text).map_err(|faults| anyhow!(told(path, &faults)));
    }
    let text = String::from_utf8(bytes);
    let text = text.with_context(|| format!("{}: is not UTF-8", path.display()))?;
    Catalogue::read(&text).map_err(|faults| anyhow!(told(path, &faults)))
}

/// The most faults of a file that are told.
const FAULTS_MAX: usize = 20;

fn told(path: &Path, faults: &[CatalogueError]) -> String {
    let mut text = String::new();
    for CatalogueError { line, fault } in faults.iter().take(FAULTS_MAX) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}:{line}: {fault}", path.display());
    }
    let count = faults.len();
    let _ = write!(text, "{}: {count} of its lines are wrong", path.display());
    text
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(name)?;
    let mut bytes = Vec::new();
    let most = CATALOGUE_BYTES_MAX as u64;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(name)?;
    if bytes.len() > CATALOGUE_BYTES_MAX {
        bail!("{}: is longer than {most} bytes", path.display());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
