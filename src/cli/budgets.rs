//! `weir budgets`: what is added to tenants' budgets once, in the ledger's database or
//! by a running weir.

use super::approvals::answer::{Kind, said, take_back};
use super::approvals::ended;
use super::keys::stored::{Format, Where, actor, block_on, hint, now};
use super::lasting::{self, LastingArgs};
use super::terms::{Amount, FOR_EVER, Lasting, amount, print, until, usd, word};
use crate::accounts::granting::{self, Addition};
use crate::accounts::lasting::Lasting as _;
use crate::accounts::top_ups::StoredTopUp;
use crate::accounts::{Actor, making};
use crate::limits::{Dimension, Unit};
use crate::policy::top_ups::{budget_of, fitting};
use anyhow::anyhow;
use hyper::Method;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// Add to a tenant's budget once.
#[derive(Debug, clap::Args)]
pub struct BudgetsArgs {
    #[command(subcommand)]
    command: BudgetsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BudgetsCommand {
    /// List what was added to budgets.
    ListTopUps(LastingArgs),
    /// Add to a budget, for the period that runs.
    TopUp(Box<TopUpArgs>),
    /// Take back what was added: it counts nowhere a few seconds later.
    RevokeTopUp(RevokeArgs),
}

/// How much, to what, until when.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir budgets top-up --config weir.yaml --tenant acme --budget monthly --amount 100USD
  weir budgets top-up --sqlite weir.db --tenant acme --budget daily --user ada --amount 2M --until 2027-01-31")]
struct TopUpArgs {
    #[command(flatten)]
    at: Where,
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The budget's name in the tenant's plan.
    #[arg(long, value_name = "NAME")]
    budget: String,
    /// Of a budget per project: whose; and so on.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The key's name, never the key.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// How much: dollars or tokens, as the budget counts: 100USD, 2M.
    #[arg(long, value_name = "AMOUNT")]
    amount: String,
    /// Without --for and --until, to the end of the budget's period, or for ever where
    /// the budget is; a database alone doesn't know it.
    #[command(flatten)]
    lasting: Lasting,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// What is taken back.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    at: Where,
}

/// Exit code 0, or 1 with the reason on standard error.
pub fn run(args: &BudgetsArgs) -> ExitCode {
    ended(
        "weir budgets",
        match &args.command {
            BudgetsCommand::ListTopUps(args) => list(args),
            BudgetsCommand::TopUp(args) => top_up(args),
            BudgetsCommand::RevokeTopUp(args) => take_back(&args.at, &args.ids, Kind::TopUp),
        },
    )
}

impl TopUpArgs {
    fn of(&self) -> Vec<(Dimension, &str)> {
        let all = [
            (Dimension::Project, &self.project),
            (Dimension::Environment, &self.environment),
            (Dimension::User, &self.user),
            (Dimension::Key, &self.key),
            (Dimension::Model, &self.model),
        ];
        let said = all.into_iter();
        said.filter_map(|(dimension, name)| Some((dimension, name.as_deref()?)))
            .collect()
    }
}

fn top_up(args: &TopUpArgs) -> anyhow::Result<()> {
    let (amount, ends) = (amount(&args.amount)?, args.lasting.until()?);
    let made = match args.at.server.opened()? {
        Some(server) => {
            let of = args.of().into_iter();
            let of: Map<String, Value> = of
                .map(|(dimension, name)| (dimension.as_str().to_owned(), name.into()))
                .collect();
            let (nanos, tokens) = match amount {
                Amount::Nanos(nanos) => (Some(nanos), None),
                Amount::Tokens(tokens) => (None, Some(tokens)),
            };
            let body = json!({
                "tenant": args.tenant,
                "budget": args.budget,
                "of": of,
                "cost_nanos": nanos,
                "tokens": tokens,
                "until_ms": ends.map(|at| at.0),
                "note": args.note,
            });
            server.ask(Method::POST, "/v1/budgets/top-ups", Some(&body))?
        }
        None => added(args, amount, ends)?,
    };
    if args.at.format == Format::Json {
        writeln!(std::io::stdout(), "{made}")?;
        return Ok(());
    }
    writeln!(std::io::stdout(), "{}", word(&made, "id"))?;
    hint(&format!(
        "{} of {} has {} more {}: every weir that reaches the database knows it in 5 s",
        args.budget,
        args.tenant,
        how_much(&made),
        match until(&made) {
            ends if ends == FOR_EVER => ends,
            ends => format!("until {ends}"),
        },
    ));
    Ok(())
}

/// In the database.
fn added(
    args: &TopUpArgs,
    amount: Amount,
    until: Option<crate::units::UnixMillis>,
) -> anyhow::Result<Value> {
    block_on(async {
        let opened = args.at.open().await?;
        let (now, name) = (now(), actor());
        let of = args.of().into_iter();
        let of: Vec<(Dimension, Arc<str>)> = of
            .map(|(dimension, name)| (dimension, name.into()))
            .collect();
        let (unit, amount) = match amount {
            Amount::Nanos(nanos) => (Unit::Cost, nanos),
            Amount::Tokens(tokens) => (Unit::Tokens, tokens),
        };
        let until = match &opened.config {
            Some(config) => {
                let budget = budget_of(&config.snapshot, &args.tenant, &args.budget)?;
                fitting(budget, &of, unit, until, now)?
            }
            None => {
                hint(
                    "warning: without --config nobody looks whether there is such a budget, and \
                     what it counts",
                );
                let error = "say until when with --until or --for: the database alone doesn't know \
                             the budget's period";
                until.ok_or_else(|| anyhow!(error))?
            }
        };
        let addition = Addition {
            tenant: args.tenant.as_str().into(),
            budget: args.budget.as_str().into(),
            of,
            unit,
            amount,
            until,
            note: args.note.as_deref().map(Arc::from),
        };
        let id = making::top_up_id()?.into();
        let new = granting::addition(id, addition, now).map_err(said)?;
        let by = Actor {
            name: &name,
            at: now,
        };
        let made = opened.accounts.top_up(by, new).await?;
        opened.accounts.close().await;
        Ok(made.to_json(now))
    })
}

fn how_much(row: &Value) -> String {
    let amount = row["amount"].as_u64().unwrap_or_default();
    match row["unit"].as_str() {
        Some("cost") => usd(amount),
        _ => format!("{amount} tokens"),
    }
}

fn list(args: &LastingArgs) -> anyhow::Result<()> {
    let rows = lasting::rows::<StoredTopUp>(args, "/v1/budgets/top-ups", "top_ups")?;
    let head = [
        "ID", "STATE", "TENANT", "BUDGET", "OF", "AMOUNT", "UNTIL", "BY", "NOTE",
    ];
    print(args.at.format, &rows, head, row, "nothing was added")
}

fn row(row: &Value) -> [String; 9] {
    let of = row["of"].as_object().into_iter().flatten();
    let of = of.map(|(dimension, name)| format!("{dimension} {}", name.as_str().unwrap_or("-")));
    let of: Vec<String> = of.collect();
    [
        word(row, "id"),
        word(row, "state"),
        word(row, "tenant"),
        word(row, "budget"),
        match of.is_empty() {
            true => "-".to_owned(),
            false => of.join(", "),
        },
        how_much(row),
        until(row),
        word(row, "by"),
        word(row, "note"),
    ]
}
