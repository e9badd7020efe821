//! `weir alerts`: what webhooks were told, or will be; and whether one can be.

use super::approvals::ended;
use super::keys::stored::{Where, block_on, now};
use super::server::ServerArgs;
use super::source::load;
use super::terms::{all, at, print, word};
use crate::accounts::alerts::{AlertsAsked, DeliveryState, PAGE_ROWS_MAX};
use crate::alerts::Alert;
use crate::config::Process;
use crate::webhooks::Webhook;
use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// See what webhooks were told, or will be; try whether one hears.
#[derive(Debug, clap::Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AlertsCommand {
    /// List alerts, the newest first, and what became of them.
    List(ListArgs),
    /// Send a test to a webhook, now and once.
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    at: Where,
    /// Only this tenant's.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only what is not tried any more.
    #[arg(long, conflicts_with = "waiting")]
    dead: bool,
    /// Only what is still to be sent.
    #[arg(long)]
    waiting: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir alerts test ops --config weir.yaml
  weir alerts test ops --server https://weir.internal:9090")]
struct TestArgs {
    /// The webhook's name in the configuration.
    name: String,
    /// The configuration that has it; this machine sends.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "server",
        required_unless_present = "server"
    )]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Exit code 0, or 1 with the reason on standard error.
pub fn run(args: &AlertsArgs) -> ExitCode {
    ended(
        "weir alerts",
        match &args.command {
            AlertsCommand::List(args) => list(args),
            AlertsCommand::Test(args) => test(args),
        },
    )
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let state = match (args.dead, args.waiting) {
        (true, _) => Some(DeliveryState::Dead),
        (_, true) => Some(DeliveryState::Waiting),
        _ => None,
    };
    let rows = match args.at.server.opened()? {
        Some(server) => {
            let state = state.map(DeliveryState::as_str);
            let parameters = [("tenant", args.tenant.as_deref()), ("state", state)];
            all(&server, "/v1/alerts", "alerts", &parameters)?
        }
        None => kept(args, state)?,
    };
    if args.at.format == super::keys::stored::Format::Json {
        return print(args.at.format, &rows, [], |_| [], "");
    }
    let rows: Vec<Value> = rows.iter().flat_map(deliveries).collect();
    let wanted = |row: &&Value| state.is_none_or(|state| row["state"] == *state.as_str());
    let rows: Vec<Value> = rows.iter().filter(wanted).cloned().collect();
    let head = [
        "AT",
        "TENANT",
        "KIND",
        "WEBHOOK",
        "STATE",
        "TRIES",
        "NEXT",
        "LAST ERROR",
        "WHAT",
    ];
    print(args.at.format, &rows, head, row, "no alerts")
}

fn kept(args: &ListArgs, state: Option<DeliveryState>) -> anyhow::Result<Vec<Value>> {
    block_on(async {
        let accounts = args.at.open_to_read().await?.accounts;
        let mut asked = AlertsAsked {
            after: None,
            tenant: args.tenant.as_deref().map(Arc::from),
            state,
            limit: PAGE_ROWS_MAX,
        };
        let mut rows = Vec::new();
        loop {
            let page = accounts.alerts(&asked).await?;
            let Some(last) = page.last() else { break };
            asked.after = Some(last.place());
            rows.extend(page.iter().map(|row| row.to_json()));
        }
        accounts.close().await;
        Ok(rows)
    })
}

/// A line for each delivery of an alert.
fn deliveries(alert: &Value) -> Vec<Value> {
    let all = alert["deliveries"].as_array().into_iter().flatten();
    let each = all.map(|delivery| {
        let mut line = delivery.clone();
        for name in ["at_ms", "tenant", "kind", "summary"] {
            line[name] = alert[name].clone();
        }
        line
    });
    each.collect()
}

fn row(row: &Value) -> [String; 9] {
    [
        at(row, "at_ms"),
        word(row, "tenant"),
        word(row, "kind"),
        word(row, "webhook"),
        word(row, "state"),
        row["tries"].to_string(),
        at(row, "next_at_ms"),
        word(row, "last_error"),
        word(row, "summary"),
    ]
}

fn test(args: &TestArgs) -> anyhow::Result<()> {
    let error = match (args.server.opened()?, &args.config) {
        (Some(server), _) => {
            let body = json!({ "webhook": args.name });
            let told = server.ask(Method::POST, "/v1/alerts/test", Some(&body))?;
            told["error"].as_str().map(str::to_owned)
        }
        (None, Some(path)) => {
            let config = load(path, &Process)?;
            let mut all = config.alerts.webhooks.iter();
            let Some(settings) = all.find(|of| *of.name == *args.name) else {
                bail!("{}: alerts.webhooks has no {}", path.display(), args.name);
            };
            let mut webhook = Webhook::new(settings).context("it can't be used")?;
            let alert = Alert::test(&args.name, now());
            block_on(async { Ok(webhook.send(&alert, now()).await.err()) })?
                .map(|not_sent| not_sent.why)
        }
        (None, None) => bail!("say where the webhook is known: --config or --server"),
    };
    match error {
        Some(error) => bail!("{} was not told: {error}", args.name),
        None => Ok(writeln!(std::io::stdout(), "{} was told", args.name)?),
    }
}
