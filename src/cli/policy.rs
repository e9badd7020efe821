//! `weir policy`: a policy tried before it is switched on, on cases of one's own and
//! on what the ledger has.
//!
//! | module | for |
//! |---|---|
//! | [`test`] | users' own cases |
//! | [`replay`] | the ledger's calls through a draft |

mod replay;
mod test;

use std::process::ExitCode;

/// Try a policy before it is switched on.
#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    /// Run cases: what is given, which call is made, what must become of it.
    Test(test::TestArgs),
    /// Run the ledger's calls through a draft, and tell what would become of them.
    Replay(Box<replay::ReplayArgs>),
}

/// Exit code 0 if all went well; of `test` 1 where a case fails, 2 where one can't be
/// run.
pub fn run(args: &PolicyArgs) -> ExitCode {
    match &args.command {
        PolicyCommand::Test(args) => test::run(args),
        PolicyCommand::Replay(args) => replay::run(args),
    }
}
