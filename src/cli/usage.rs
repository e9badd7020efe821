//! `weir usage`: what was used and what it cost, from the ledger.

use super::rerate;
use std::process::ExitCode;

/// See what was used and what it cost, and correct it.
#[derive(Debug, clap::Args)]
pub struct UsageArgs {
    #[command(subcommand)]
    command: UsageCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UsageCommand {
    /// Apply corrected prices to past calls.
    Rerate(rerate::Rerate),
}

/// Exit code 0 if all went well, else 1.
pub fn run(args: &UsageArgs) -> ExitCode {
    match &args.command {
        UsageCommand::Rerate(args) => rerate::run(args),
    }
}
