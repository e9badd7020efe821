//! Places where tests let a process die or a disk fail: by name, from the
//! variable `FAILPOINTS` (see the crate `fail`). Nothing of it is in a build for
//! users: only the tests' own dependency on that crate switches it on.
//!
//! | name | where |
//! |---|---|
//! | `spool::write` | a write of the spool fails, for want of room |
//! | `spool::sync` | a sync of the spool fails |
//! | `spool::sync_folder` | a sync of the segments' folder fails |
//! | `spool::segment_bytes` | the size of a segment, as `return(65536)` |
//! | `spool::keep` | a segment that was read is renamed to `*.kept`, not removed |
//! | `die::torn` | half of some records is written |
//! | `die::written` | records are written, not synced |
//! | `die::synced` | records are synced, nobody has been told |
//! | `die::segment` | a segment was begun, the last one is unread |
//! | `die::removed` | a segment is removed, others that were read are not |
//! | `die::recovered` | what an earlier process left is read, no segment begun |
//! | `die::begun` | and one is begun |
//! | `die::interrupted` | one call that was open is told of, others are not |
//! | `die::decided` | a call is noted and admitted, its answer unsent |
//! | `die::over` | a call is over, the store was not asked to end its hold |
//! | `die::settled` | the store has ended a hold, its row is unwritten |
//! | `die::expired` | the store has handed over an expired hold, its row is unwritten |
//! | `die::torn_line` | half of a batch is in the file |
//! | `die::uncommitted` | a database has a batch and was not told to commit it |
//! | `die::rebuilt` | a counter has what the ledger says, which is not settled yet |
//! | `die::delivered` | a sink has taken rows, the position stands before them |
//! | `die::position` | the new position is beside the old one |
//! | `die::committed` | the position stands after them |
//! | `die::aside` | a row is set aside, the position stands before it |

use std::fs;
use std::io;
use std::path::Path;

/// Reads the variable, once, where such places are built in.
pub fn set_up() {
    if fail::has_failpoints() {
        // For as long as the process lives.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// The process ends here, as by `kill -9`, if its tests say so.
pub fn die(_place: &'static str) {
    fail::fail_point!(_place, |_| std::process::abort());
}

/// The size of a segment: `usual`, or what tests say.
pub fn segment_bytes(usual: u64) -> u64 {
    fail::fail_point!("spool::segment_bytes", |given| given
        .and_then(|given| given.parse().ok())
        .unwrap_or(usual));
    usual
}

/// Takes a file away, or out of the way if its tests want to see it.
pub fn remove(path: &Path) -> io::Result<()> {
    fail::fail_point!("spool::keep", |_| fs::rename(
        path,
        path.with_extension("kept")
    ));
    fs::remove_file(path)
}

/// The process ends, if its tests say so, when half of the bytes are written.
pub fn tear(_place: &'static str, _bytes: &[u8], _write: impl FnOnce(&[u8])) {
    fail::fail_point!(_place, |_| {
        _write(_bytes.get(.._bytes.len() / 2).unwrap_or_default());
        std::process::abort()
    });
}
