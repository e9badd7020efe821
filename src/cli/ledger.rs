//! `weir ledger`: whether the ledger is as it was written, what is in a spool, and
//! another try of what sinks set aside. None needs a running weir, and none changes
//! a row.

mod replay;
mod spool;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code where nothing could be told.
const UNKNOWN: u8 = 2;

/// Prove that the ledger is as it was written, see what is in a spool, or try again
/// what was set aside.
#[derive(Debug, clap::Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LedgerCommand {
    /// Prove that no row was changed, removed or inserted, or say where one was,
    /// and print the head of each chain. Exit code 1 where a chain is broken, 2
    /// where that can't be told.
    Verify(verify::VerifyArgs),
    /// Tell which rows the ledger's sinks have refused and why, and offer them again:
    /// once what they were refused for is mended, they are taken, and count once
    /// however often this is done. Exit code 1 where some are refused again, 2
    /// where a sink can't be asked.
    Replay(replay::ReplayArgs),
    /// Print what is in the folder of a spool, be it in use or not: segments,
    /// open calls, how far sinks have come, bytes that were no records.
    Spool {
        /// The folder: `ledger.path` of the configuration.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}

/// What is to be printed, and whether all is well.
struct Told {
    text: String,
    fine: bool,
}

/// `1 row`, `2 rows`.
fn counted(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// Exit code 0 if all is as it was written, 1 if not, 2 if that can't be told.
pub fn run(args: &LedgerArgs) -> ExitCode {
    let told = match &args.command {
        LedgerCommand::Verify(args) => verify::run(args),
        LedgerCommand::Replay(args) => replay::run(args),
        LedgerCommand::Spool { path } => spool::run(path),
    };
    match told {
        Ok(told) => match std::io::stdout().write_all(told.text.as_bytes()) {
            Ok(()) if told.fine => ExitCode::SUCCESS,
            // Nobody is left to tell where the output is gone.
            Ok(()) | Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(UNKNOWN)
        }
    }
}
