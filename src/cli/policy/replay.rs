//! The ledger's calls through a draft: what would have been refused, downgraded,
//! clamped, approved or held back, and what would have been saved.
//!
//! Calls are made anew in the order of their time, on counters in memory whose time
//! is theirs. Each holds what the draft would hold, until it ended; what it used is
//! charged then, at the price of the model that the draft would have sent it to. Those
//! that were refused then are judged in between, and take nothing. Grants count as they
//! held at the time of each call.
//!
//! | module | for |
//! |---|---|
//! | [`course`] | one call after the other |
//! | [`tally`] | what became of them, by tenant |
//!
//! Always holds: whatever the number of rows, a page of them is in memory, with the
//! calls that were open at one time and the counters that they used; the ledger is
//! only read.

mod course;
mod tally;

use crate::accounts::Accounts;
use crate::accounts::approvals::PAGE_ROWS_MAX;
use crate::accounts::grants::StoredGrant;
use crate::accounts::lasting::LastingAsked;
use crate::app;
use crate::cli::explain::Form;
use crate::cli::progress::Progress;
use crate::cli::source::{ByItself, Use, policy};
use crate::cli::usage::output;
use crate::config::Process;
use crate::driver::clock::Clock;
use crate::ledger::reports::ask::Asked;
use crate::ledger::row::Row;
use crate::ledger::store::columns::at;
use crate::ledger::store::query::Query;
use crate::ledger::store::{Of, Scan, Store};
use crate::limits::HoldId;
use crate::policy::grants::Grant;
use crate::units::UnixMillis;
use course::Course;
use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tally::Report;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir policy replay --config draft.yaml --since 2026-11-20
  weir policy replay --config draft.yaml --sqlite usage.sqlite --since 2026-11 --where tenant=acme --format json")]
pub(super) struct ReplayArgs {
    /// The draft. Its ledger is read, unless another is named.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    ledger: ByItself,
    /// From then on: a date, a month or a time; without it, this month.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before then; without it, now.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Whose clocks and days, as in Asia/Kolkata.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Only calls of this name, as in tenant=acme, or not of it, as in
    /// model!=gpt-4o; may be repeated.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    only: Vec<String>,
    /// How it is printed. In JSON money is in billionths of a dollar.
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
}

/// Exit code 0 if the calls could be replayed, whatever became of them; else 1.
pub(super) fn run(args: &ReplayArgs) -> ExitCode {
    let printed = replayed(args, Clock::start().now()).and_then(|text| {
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn replayed(args: &ReplayArgs, now: UnixMillis) -> anyhow::Result<String> {
    let config = policy(&args.config, &Process)?;
    let asked = Asked {
        since: args.since.clone(),
        until: args.until.clone(),
        time_zone: Some(args.time_zone.clone()),
        only: args.only.clone(),
        ..Asked::default()
    };
    let query = asked.query(now)?;
    let draft = Some((args.config.as_path(), &config));
    let found = args.ledger.or_of(draft, Use::Read, &Process)?;
    let settings = app::settings(&config);
    let mut course = Course::new(config.snapshot, settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if let Some(accounts) = found.accounts_to_read().await? {
            let read = grants(&accounts, now).await;
            accounts.close().await;
            course.grant(read?);
        }
        let store = found.open_to_read().await?;
        let walked = walk(&store, &query, &mut course).await;
        store.close().await;
        walked
    })?;
    let report = course.finish();
    Ok(match args.format {
        Form::Json => format!("{:#}\n", report.json()),
        Form::Text => report.text(),
    })
}

/// All grants that there are, each for as long as it held.
async fn grants(accounts: &Accounts, now: UnixMillis) -> anyhow::Result<Vec<Grant>> {
    let mut asked = LastingAsked {
        after: None,
        tenant: None,
        all: true,
        now,
        limit: PAGE_ROWS_MAX,
    };
    let mut all = Vec::new();
    loop {
        let page = accounts.lasting::<StoredGrant>(&asked).await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        asked.after = Some(Arc::clone(&last.grant.id));
        all.extend(page.into_iter().map(|stored| {
            Grant {
                until: stored
                    .revoked_at
                    .map_or(stored.grant.until, |at| at.min(stored.grant.until)),
                ..stored.grant
            }
        }));
    }
}

/// Rows of one kind, the next of them at hand.
struct Rows {
    scan: Scan,
    page: VecDeque<Row>,
}

impl Rows {
    /// The id of the next; `None`: there are no more.
    async fn next_id(&mut self) -> anyhow::Result<Option<HoldId>> {
        if self.page.is_empty() {
            self.page = self.scan.next_rows().await?.into();
        }
        Ok(self.page.front().map(|row| row.event.id))
    }
}

async fn walk(store: &Store, query: &Query, course: &mut Course) -> anyhow::Result<()> {
    let span = (query.since, query.until);
    let progress = Progress::along(span);
    let rows = |of| Rows {
        scan: store.scan(of, span, query.only.clone()),
        page: VecDeque::new(),
    };
    let (mut calls, mut refusals) = (rows(Of::Calls), rows(Of::Refusals));
    loop {
        // In the order of their time, which ids begin with.
        let call = calls.next_id().await?;
        let refusal = refusals.next_id().await?;
        let of_refusals = match (call, refusal) {
            (None, None) => return Ok(()),
            (Some(call), Some(refusal)) => refusal < call,
            (call, _) => call.is_none(),
        };
        let rows = if of_refusals {
            &mut refusals
        } else {
            &mut calls
        };
        let Some(row) = rows.page.pop_front() else {
            continue;
        };
        match of_refusals {
            true => course.refused(&row.event)?,
            false => course.call(&row.event)?,
        }
        if rows.page.is_empty() {
            progress.at(at(&row.event), course.calls(), "calls");
        }
    }
}

#[cfg(test)]
mod tests;
