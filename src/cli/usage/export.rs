//! Every call of a span of time, in one of three forms, a page of rows at a time:
//! however many there are, some megabytes are held.

mod flat;
mod focus;

use super::output::Output;
use super::{Span, To, block_on, now};
use crate::cli::progress::Progress;
use crate::cli::source::Source;
use crate::ledger::row::Row;
use crate::ledger::store::columns::at;
use crate::ledger::store::query::Query;
use crate::ledger::store::{Adjustment, Of};
use crate::limits::HoldId;
use std::collections::HashMap;
use std::io::Write;

/// What `weir usage export` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    span: Span,
    /// How it is written.
    #[arg(long, value_enum)]
    format: Form,
    /// The calls that weir refused, in place of those that it let through.
    #[arg(long)]
    refused: bool,
    #[command(flatten)]
    to: To,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// FOCUS 1.2, as CSV: a line for each kind of charge of each call, and for
    /// each correction. The sum of BilledCost is what all calls cost.
    Focus,
    /// A usage event as JSON for each call, as the file sink writes it.
    Jsonl,
    /// A call each, with what it used, cost and was corrected by.
    Csv,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    if args.refused && args.format == Form::Focus {
        anyhow::bail!(
            "--refused: refused calls cost nothing, so --format focus has no line of them"
        );
    }
    let query = args.span.asked().query(now())?;
    let mut output = Output::to(args.to.output.as_deref())?;
    block_on(export(args, &query, &mut output))?;
    output.finish()
}

async fn export(args: &ExportArgs, query: &Query, to: &mut Output) -> anyhow::Result<()> {
    let store = args.source.open().await?;
    let span = (query.since, query.until);
    let of = match args.refused {
        true => Of::Refusals,
        false => Of::Calls,
    };
    let mut scan = store.scan(of, span, query.only.clone());
    let progress = Progress::along(span);
    let mut lines: u64 = 0;
    to.write_all(&head(args.format)?)?;
    loop {
        let rows = scan.next_rows().await?;
        let Some(last) = rows.last() else {
            break;
        };
        let at = at(&last.event);
        let corrections = match args.format {
            Form::Jsonl => Vec::new(),
            _ => {
                let ids: Vec<HoldId> = rows.iter().map(|row| row.event.id).collect();
                store.corrections(&ids).await?
            }
        };
        let page = Page::new(&rows, &corrections);
        lines += page.write(args.format, to)?;
        progress.at(at, lines, "lines");
    }
    store.close().await;
    Ok(())
}

fn head(form: Form) -> anyhow::Result<Vec<u8>> {
    match form {
        Form::Focus => focus::head(),
        Form::Csv => flat::head(),
        Form::Jsonl => Ok(Vec::new()),
    }
}

/// Some rows, each with its corrections.
struct Page<'a> {
    rows: &'a [Row],
    corrections: HashMap<HoldId, Vec<&'a Adjustment>>,
}

impl<'a> Page<'a> {
    fn new(rows: &'a [Row], corrections: &'a [Adjustment]) -> Self {
        let mut by_call: HashMap<HoldId, Vec<&Adjustment>> = HashMap::new();
        for one in corrections {
            by_call.entry(one.event).or_default().push(one);
        }
        Self {
            rows,
            corrections: by_call,
        }
    }

    /// How many lines there were.
    fn write(&self, form: Form, to: &mut impl Write) -> anyhow::Result<u64> {
        let mut lines = 0;
        for row in self.rows {
            let corrections = self.corrections.get(&row.event.id);
            let corrections = corrections.map_or(&[][..], Vec::as_slice);
            lines += match form {
                Form::Focus => focus::write(&row.event, corrections, to)?,
                Form::Csv => flat::write(row, corrections, to)?,
                Form::Jsonl => {
                    serde_json::to_writer(&mut *to, &row.event).map_err(std::io::Error::from)?;
                    to.write_all(b"\n")?;
                    1
                }
            };
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
