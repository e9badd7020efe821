//! Another try of what sinks set aside, beside a weir that serves or without one.
//!
//! Always holds: a row that is taken counts once, however often this is done: in a
//! database it moves in one transaction, a receiver is told its id and what it
//! took is written down before the next is offered. What is refused again stays
//! where it is.

use super::receivers;
use crate::config::LedgerConfig;
use crate::ledger::row::Row;
use crate::ledger::sink::{Sink, SinkError};
use crate::ledger::sinks::dead_letters::{Letters, Replayed};
use crate::ledger::sinks::file::{FileConfig, FileSink};
use crate::ledger::store::{Again, Aside, Store};
use crate::units::UnixMillis;
use anyhow::{Context, bail};
use std::path::Path;

/// A row that a sink has set aside.
#[derive(Debug)]
pub struct Found<'a> {
    pub sink: &'static str,
    /// When, where that is known.
    pub at: Option<UnixMillis>,
    pub why: &'a str,
    /// `None`: it can't be read.
    pub row: Option<&'a Row>,
    pub became: Became,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// Nothing yet: it would be offered again.
    Waits,
    Taken,
    /// Refused again, or unreadable.
    Refused(String),
    /// It belongs where it is: another row has its id.
    Counted,
}

/// Hears of each row.
pub type Heard<'h> = dyn FnMut(&Found<'_>) + 'h;

/// The sinks that set rows aside in a file.
pub const RECEIVERS: [&str; 3] = ["file", "otlp", "cloudevents"];

/// What a database has set aside. `tries`: it is offered again.
///
/// # Errors
/// The database can't be reached. What was taken before stays taken.
pub async fn database(store: &Store, tries: bool, heard: &mut Heard<'_>) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = store.set_asides(after).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some((last.chain, last.sequence));
        for aside in &page {
            heard(&Found {
                sink: store.name(),
                at: Some(aside.at),
                why: &aside.why,
                row: aside.row.as_ref(),
                became: became(store, aside, tries).await?,
            });
        }
    }
}

async fn became(store: &Store, aside: &Aside, tries: bool) -> anyhow::Result<Became> {
    let Some(row) = &aside.row else {
        return Ok(unreadable());
    };
    Ok(match (aside.is_counted(), tries) {
        (true, _) => Became::Counted,
        (false, false) => Became::Waits,
        (false, true) => match store.take_again(row).await? {
            Again::Taken => Became::Taken,
            Again::Counted => Became::Counted,
            Again::Refused(why) => Became::Refused(why),
        },
    })
}

fn unreadable() -> Became {
    Became::Refused("it is no row that this program can read".to_owned())
}

/// The letters of one of [`RECEIVERS`]. `tries`: they are offered again.
///
/// # Errors
/// The sink isn't configured or is away; files can't be read or written. What was
/// taken before stays taken.
pub async fn letters(
    ledger: &LedgerConfig,
    sink: &str,
    tries: bool,
    heard: &mut Heard<'_>,
) -> anyhow::Result<()> {
    let folder = &ledger.path;
    match (sink, &ledger.file, &ledger.otlp, &ledger.cloudevents) {
        ("file", Some(file), ..) => {
            let open = || {
                let sink = FileSink::open(FileConfig {
                    path: file.path.clone(),
                    sync: true,
                    links: file.links,
                    dead_letters_folder: folder.clone(),
                });
                sink.context("ledger.file (weir writes to it while it serves: stop it for this)")
            };
            of("file", folder, tries, open, heard).await
        }
        ("otlp", _, Some(otlp), _) => {
            let open = || receivers::otlp(otlp, folder).context("ledger.otlp");
            of("otlp", folder, tries, open, heard).await
        }
        ("cloudevents", _, _, Some(events)) => {
            let open = || receivers::cloudevents(events, folder).context("ledger.cloudevents");
            of("cloudevents", folder, tries, open, heard).await
        }
        _ => bail!("ledger.{sink} is not configured"),
    }
}

async fn of<S: Sink>(
    name: &'static str,
    folder: &Path,
    tries: bool,
    open: impl FnOnce() -> anyhow::Result<S>,
    heard: &mut Heard<'_>,
) -> anyhow::Result<()> {
    let mut letters = Letters::open(folder, name)?;
    let Some(mut letter) = letters.next_letter()? else {
        return Ok(());
    };
    let mut replayed = match tries {
        true => Replayed::open_to_add(folder, name)?,
        false => Replayed::open(folder, name)?,
    };
    let mut open = Some(open);
    let mut sink = None;
    loop {
        let is_done = |row: &Row| replayed.has(row.event.id);
        if !letter.row.as_ref().is_some_and(is_done) {
            let became = match &letter.row {
                None => unreadable(),
                Some(_) if !tries => Became::Waits,
                Some(row) => {
                    if let Some(open) = open.take() {
                        sink = Some(open()?);
                    }
                    let became = match &mut sink {
                        Some(sink) => offered(sink, row).await?,
                        None => Became::Waits,
                    };
                    if became == Became::Taken {
                        replayed.add(row.event.id)?;
                    }
                    became
                }
            };
            heard(&Found {
                sink: name,
                at: None,
                why: &letter.why,
                row: letter.row.as_ref(),
                became,
            });
        }
        match letters.next_letter()? {
            Some(next) => letter = next,
            None => return Ok(()),
        }
    }
}

async fn offered(sink: &mut impl Sink, row: &Row) -> anyhow::Result<Became> {
    match sink.deliver(std::slice::from_ref(row)).await {
        Ok(()) => Ok(Became::Taken),
        Err(SinkError::Poison { why, .. }) => Ok(Became::Refused(why)),
        Err(SinkError::Away(why)) => bail!("ledger.{}: {why}", sink.name()),
    }
}
