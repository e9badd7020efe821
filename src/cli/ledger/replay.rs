//! `weir ledger replay`: what sinks have set aside, and another try.

use super::Told;
use crate::app::replay::{self, Became, Found, RECEIVERS};
use crate::cli::source::{self, ByItself, Use};
use crate::config::{Config, Process};
use crate::ledger::reports::instant::told;
use anyhow::bail;
use jiff::tz::TimeZone;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir ledger replay --config weir.yaml --dry-run
  weir ledger replay --config weir.yaml --sink otlp")]
pub struct ReplayArgs {
    /// The configuration that weir serves with: its sinks.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sqlite", "postgres_env"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    ledger: ByItself,
    /// Only this sink: sqlite, postgres, file, otlp or cloudevents.
    #[arg(long, value_name = "NAME", requires = "config")]
    sink: Option<String>,
    /// Only tell what was set aside; change and send nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The sinks that set rows aside in a table.
const DATABASES: [&str; 2] = ["sqlite", "postgres"];

/// What was found, in words.
#[derive(Default)]
struct Tale {
    text: String,
    rows: u64,
    taken: u64,
    counted: u64,
    refused: u64,
}

/// Fine if nothing is left that should be somewhere else.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Told> {
    let config = match &args.config {
        None => None,
        Some(path) => Some((path.as_path(), source::load(path, &Process)?)),
    };
    let config = config.as_ref().map(|(path, config)| (*path, config));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut tale = Tale::default();
    let done = runtime.block_on(walk(args, config, &mut tale));
    if let Err(error) = done {
        // What was done until then is told all the same.
        eprint!("{}", tale.text);
        return Err(error);
    }
    let fine = tale.refused == 0;
    Ok(Told {
        text: tale.end(args.dry_run),
        fine,
    })
}

async fn walk(
    args: &ReplayArgs,
    config: Option<(&Path, &Config)>,
    tale: &mut Tale,
) -> anyhow::Result<()> {
    let tries = !args.dry_run;
    for sink in sinks(args, config)? {
        let mut heard = |found: &Found<'_>| tale.tell(found);
        let ledger = config.and_then(|(_, config)| config.ledger.as_ref());
        match (sink, ledger) {
            (Some(sink), Some(ledger)) if RECEIVERS.contains(&sink) => {
                replay::letters(ledger, sink, tries, &mut heard).await?;
            }
            _ => {
                let found = match sink {
                    None => args.ledger.or_of(None, Use::Change, &Process)?,
                    Some(sink) => source::database_of(config, sink)?,
                };
                let store = match tries {
                    true => found.open_to_change().await?,
                    false => found.open_to_read().await?,
                };
                let done = replay::database(&store, tries, &mut heard).await;
                store.close().await;
                done?;
            }
        }
    }
    Ok(())
}

/// The sinks that are meant; `None` is a ledger without a configuration.
fn sinks(
    args: &ReplayArgs,
    config: Option<(&Path, &Config)>,
) -> anyhow::Result<Vec<Option<&'static str>>> {
    let Some((path, config)) = config else {
        return Ok(vec![None]);
    };
    let shown = path.display();
    let Some(ledger) = &config.ledger else {
        bail!("{shown}: there is no ledger, so nothing was set aside");
    };
    let configured = |sink: &&str| match *sink {
        "sqlite" => ledger.sqlite.is_some(),
        "postgres" => ledger.postgres.is_some(),
        "file" => ledger.file.is_some(),
        "otlp" => ledger.otlp.is_some(),
        _ => ledger.cloudevents.is_some(),
    };
    let all = DATABASES.into_iter().chain(RECEIVERS);
    let all: Vec<&'static str> = all.filter(configured).collect();
    match &args.sink {
        None => Ok(all.into_iter().map(Some).collect()),
        Some(only) => match all.iter().find(|sink| *sink == only) {
            Some(sink) => Ok(vec![Some(*sink)]),
            None => bail!(
                "--sink: {only:?} is none of the ledger's sinks in {shown}: {}",
                all.join(", ")
            ),
        },
    }
}

impl Tale {
    fn tell(&mut self, found: &Found<'_>) {
        self.rows += 1;
        let text = &mut self.text;
        let sink = found.sink;
        // Writing to a text can't fail.
        let _ = match found.row {
            None => write!(text, "{sink}: a row"),
            Some(row) => {
                let (id, link) = (row.event.id, &row.link);
                write!(
                    text,
                    "{sink}: {id}, row {} of {}",
                    link.sequence, link.chain
                )
            }
        };
        if let Some(at) = found.at {
            let _ = write!(text, ", set aside {}", told(at, &TimeZone::UTC));
        }
        let why = printable(found.why);
        let _ = match &found.became {
            Became::Waits => writeln!(text, ": {why}"),
            Became::Taken => {
                self.taken += 1;
                writeln!(text, ": {why}\n  taken")
            }
            Became::Refused(again) => {
                self.refused += 1;
                writeln!(text, ": {why}\n  REFUSED: {}", printable(again))
            }
            Became::Counted => {
                self.counted += 1;
                writeln!(text, ": {why}\n  stays: that one counts")
            }
        };
    }

    fn end(mut self, dry_run: bool) -> String {
        let (rows, taken, refused) = (self.rows, self.taken, self.refused);
        let counted = self.counted;
        let _ = match (rows, dry_run) {
            (0, _) => writeln!(self.text, "nothing is set aside"),
            (_, true) => writeln!(
                self.text,
                "set aside: {rows}, of which {counted} belong there; a dry run: nothing was changed"
            ),
            (_, false) => writeln!(
                self.text,
                "set aside: {rows}; taken: {taken}; refused again: {refused}; belong there: {counted}"
            ),
        };
        self.text
    }
}

/// A receiver's words, on one line and without control characters.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
