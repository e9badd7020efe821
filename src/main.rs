//! The program's entry: everything is in the library.

use std::process::ExitCode;

/// Calls make many small, short-lived values: in a profile of the whole path
/// the system's allocator took more than a tenth of weir's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weir::cli::run()
}
