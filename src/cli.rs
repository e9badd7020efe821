//! The command line: `weir serve`, `weir check`, `weir keys`, `weir tokens`,
//! `weir approvals`, `weir budgets`, `weir alerts`, `weir audit`, `weir config`,
//! `weir health`, `weir limits`, `weir usage`, `weir explain`, `weir policy`,
//! `weir ledger`, `weir import`, `weir meter`, `weir prices`.

pub mod alerts;
pub mod approvals;
pub mod audit;
pub mod budgets;
pub mod check;
pub mod config;
pub mod explain;
pub mod health;
pub mod import;
pub mod keys;
pub mod lasting;
mod ledger;
pub mod limits;
pub mod meter;
pub mod policy;
pub mod prices;
mod progress;
pub mod rerate;
mod serve;
mod server;
mod source;
mod terms;
pub mod tokens;
pub mod usage;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Limits and meters generative-API traffic for Envoy.
///
/// weir is a gRPC sidecar: Envoy asks it about each call over ext_proc (and
/// ext_authz), and it admits the call, changes it, or refuses it, then reads
/// the answer and accounts for what was used.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Envoy until told to stop (SIGTERM or SIGINT). The configuration is read
    /// anew when its file changes, and at SIGHUP.
    Serve {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration: every problem at once, with its place.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make API keys and the hashes that configuration keeps of them.
    Keys(keys::KeysArgs),
    /// Make, list and withdraw tokens for the admin API of a running weir.
    Tokens(tokens::TokensArgs),
    /// See what calls ask approval for; grant it, deny it, take it back.
    Approvals(approvals::ApprovalsArgs),
    /// Add to a tenant's budget once.
    Budgets(budgets::BudgetsArgs),
    /// See what webhooks were told, or will be; try whether one hears.
    Alerts(alerts::AlertsArgs),
    /// See who did what with keys, tokens and limits, from a running weir.
    Audit(audit::AuditArgs),
    /// See what a configuration may say, start from an example, or have a running weir
    /// read its own anew.
    Config(config::ConfigArgs),
    /// Ask a running weir whether new calls should be sent to it. Exit code 0 while
    /// they should, 1 while not, 2 where nobody says.
    Health(health::HealthArgs),
    /// See how a tenant's limits stand in a running weir, reset them, or rebuild what
    /// its counter store lost.
    Limits(limits::LimitsArgs),
    /// See what was used and what it cost, from the ledger.
    Usage(Box<usage::UsageArgs>),
    /// See what would become of a call and why, or what became of one.
    Explain(Box<explain::ExplainArgs>),
    /// Try a policy on cases of your own, or on the ledger's calls.
    Policy(policy::PolicyArgs),
    /// Prove that the ledger is as it was written, see what is in a spool, or try
    /// again what its sinks have set aside.
    Ledger(ledger::LedgerArgs),
    /// Turn another program's configuration into weir's.
    Import(import::ImportArgs),
    /// Print what weir reads from a captured answer of a provider.
    Meter(meter::MeterArgs),
    /// See what models cost, compare prices, and bring them up to date.
    Prices(prices::PricesArgs),
}

/// Runs the program with the process's own arguments.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::Check { config } => check::run(&config),
        Command::Keys(args) => keys::run(&args),
        Command::Tokens(args) => tokens::run(&args),
        Command::Approvals(args) => approvals::run(&args),
        Command::Budgets(args) => budgets::run(&args),
        Command::Alerts(args) => alerts::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Limits(args) => limits::run(&args),
        Command::Usage(args) => usage::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Meter(args) => meter::run(&args),
        Command::Prices(args) => prices::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::examples;

    /// What examples say to type can be typed.
    #[test]
    fn commands_in_examples_are_commands() {
        for (example, text) in examples::ALL {
            let mut seen = 0;
            for line in text.lines() {
                let Some(said) = line.strip_prefix("#   weir ") else {
                    continue;
                };
                let said = said.split(" > ").next().unwrap().split_whitespace();
                let parsed = Cli::try_parse_from(std::iter::once("weir").chain(said));
                assert!(parsed.is_ok(), "{example}: {line}: {}", parsed.unwrap_err());
                seen += 1;
            }
            assert!(seen >= 3, "{example}");
        }
    }
}
