//! `weir approvals`: what calls ask approval for, and what people answer, in the
//! ledger's database or by a running weir.
//!
//! | module | for |
//! |---|---|
//! | [`answer`] | grant, deny, take back |
//! | [`look`] | list |

pub(super) mod answer;
mod look;

use super::keys::stored::{Where, nobody_listens};
use super::lasting::LastingArgs;
use super::terms::Lasting;
use std::io::Write;
use std::process::ExitCode;

/// See what calls ask approval for; grant it, deny it, take it back.
#[derive(Debug, clap::Args)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    command: ApprovalsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ApprovalsCommand {
    /// List what waits for an answer, or was answered.
    List(ListArgs),
    /// List grants.
    Grants(LastingArgs),
    /// Grant what was asked, or something that nobody asked for.
    Grant(Box<GrantArgs>),
    /// Deny what was asked: it can't be asked for again for a while.
    Deny(DenyArgs),
    /// Take grants back: they count nowhere a few seconds later.
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    at: Where,
    /// Only this tenant's.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How those stand that are listed.
    #[arg(long, value_enum, default_value = "waiting")]
    state: Listed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Listed {
    Waiting,
    Granted,
    Denied,
    All,
}

/// For whom, how much, until when.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir approvals grant apr_... --config weir.yaml --amount 50USD --for 4h
  weir approvals grant apr_... --server https://weir.internal:9090 --calls 10 --anyone-of project
  weir approvals grant --config weir.yaml --tenant acme --user ada --rule big --unlimited --for 7d")]
struct GrantArgs {
    /// The request that is granted; without it, say for whom with --tenant.
    #[arg(required_unless_present = "tenant", conflicts_with_all = ["tenant", "project", "environment", "user", "key", "rule"])]
    id: Option<String>,
    #[command(flatten)]
    at: Where,
    /// So many calls; without this, --amount and --unlimited, one.
    #[arg(long, value_name = "NUMBER", group = "how_much")]
    calls: Option<u64>,
    /// So much money, as 50USD.
    #[arg(long, value_name = "AMOUNT", group = "how_much")]
    amount: Option<String>,
    /// As much as is wanted.
    #[arg(long, group = "how_much")]
    unlimited: bool,
    #[command(flatten)]
    lasting: Lasting,
    /// For this model; may be said several times. Without it, for the one that was
    /// asked for, or for any where nobody asked.
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// For any model.
    #[arg(long, conflicts_with = "models")]
    any_model: bool,
    /// For anyone of the asker's tenant, project or environment; without it, for who
    /// asked.
    #[arg(long, value_name = "WHAT", requires = "id", value_parser = ["tenant", "project", "environment"])]
    anyone_of: Option<String>,
    /// Without a request: for this tenant's calls.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// For calls of this project only; and so on.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The key's name, never the key.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// For this rule; without it, for whatever rule asks.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, clap::Args)]
struct DenyArgs {
    /// The request that is denied.
    id: String,
    #[command(flatten)]
    at: Where,
    /// Without --for and --until, for a day.
    #[command(flatten)]
    lasting: Lasting,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// The grants that are taken back.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    at: Where,
}

/// Exit code 0, or 1 with the reason on standard error.
pub fn run(args: &ApprovalsArgs) -> ExitCode {
    ended(
        "weir approvals",
        match &args.command {
            ApprovalsCommand::List(args) => look::requests(args),
            ApprovalsCommand::Grants(args) => look::grants(args),
            ApprovalsCommand::Grant(args) => answer::grant(args),
            ApprovalsCommand::Deny(args) => answer::deny(args),
            ApprovalsCommand::Revoke(args) => answer::revoke(args),
        },
    )
}

/// What came of a command.
pub(super) fn ended(command: &str, done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if nobody_listens(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
