//! Sums by names and periods, and the largest of them.

use super::format::{self, Format, Told};
use super::{Output, Span, To, block_on, now};
use crate::cli::progress::Progress;
use crate::cli::source::Source;
use crate::ledger::reports::ask::{self, AskError, Part};
use crate::ledger::reports::tell;
use crate::ledger::store::query::{PAGE_ROWS_MAX, Query};
use std::io::Write;

/// What `weir usage` takes.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    #[command(flatten)]
    source: Source,
    /// What a row is of, with commas between: tenant, project, environment, plan,
    /// model, provider, endpoint, outcome, user, key, model_served; label:NAME is a
    /// label of the key; and one of hour, day, month.
    #[arg(long, value_name = "NAMES", default_value = "tenant,model")]
    by: Vec<String>,
    #[command(flatten)]
    span: Span,
    /// By `groups` (period, then names), or with the most first: cost, tokens,
    /// calls, refused, input_tokens, ...
    #[arg(long, value_name = "WORD", default_value = "groups")]
    order: String,
    /// At most so many rows; the total is of all.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How it is written. Costs in json, jsonl, csv and parquet are whole
    /// billionths of a dollar (`_nanos`).
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    to: To,
}

/// What `weir usage top` takes.
#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    source: Source,
    /// Whose sums are compared, as for `weir usage`.
    #[arg(long, value_name = "NAMES", default_value = "tenant,model")]
    by: Vec<String>,
    /// What there must be most of: cost, tokens, calls, refused, unpriced,
    /// input_tokens, output_tokens, ...
    #[arg(long, value_name = "WORD", default_value = "cost")]
    most: String,
    #[command(flatten)]
    span: Span,
    /// At most so many rows; the total is of all.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// How it is written, as for `weir usage`.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    to: To,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let mut asked = args.span.asked();
    asked.by.clone_from(&args.by);
    asked.order = Some(args.order.clone());
    asked.limit = args.limit;
    let query = asked.query(now())?;
    let limit = args.limit;
    told(&args.source, &query, limit, args.format, &args.to)
}

pub(super) fn top(args: &TopArgs) -> anyhow::Result<()> {
    let mut asked = args.span.asked();
    asked.by.clone_from(&args.by);
    asked.limit = Some(args.limit);
    let order = ask::most(&args.most).map_err(|why| AskError {
        part: Part::Most,
        why,
    })?;
    let query = Query {
        order,
        ..asked.query(now())?
    };
    let limit = Some(args.limit);
    told(&args.source, &query, limit, args.format, &args.to)
}

/// Reads the report and writes it.
fn told(
    source: &Source,
    query: &Query,
    limit: Option<usize>,
    format: Format,
    to: &To,
) -> anyhow::Result<()> {
    format.is_built()?;
    let mut rows = block_on(async {
        let store = source.open().await?;
        let _progress = Progress::waiting("summing up");
        let rows = store.groups(query).await?;
        store.close().await;
        Ok(rows)
    })?;
    let total = tell::total(&rows);
    let all = rows.len();
    rows.truncate(limit.unwrap_or(match format {
        // More than people read.
        Format::Table => PAGE_ROWS_MAX,
        _ => usize::MAX,
    }));
    let told = Told {
        query,
        rows: &rows,
        total: &total,
        all,
    };
    let mut output = Output::to(to.output.as_deref())?;
    if format == Format::Parquet && output.is_terminal() {
        anyhow::bail!("parquet is for programs: name a file with --output, or pipe it on");
    }
    match format {
        Format::Table => output.write_all(format::table::of(&told).as_bytes())?,
        Format::Csv => format::csv::write(&told, &mut output)?,
        Format::Json => format::json::write(&told, &mut output)?,
        Format::Jsonl => format::json::write_lines(&told, &mut output)?,
        Format::Parquet => format::parquet::write(&told, &mut output)?,
    }
    output.finish()
}
