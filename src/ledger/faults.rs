//! Places where tests let a process die or a disk fail: by name, from the
//! variable `FAILPOINTS` (see the crate `fail`). Nothing of it is in a build for
//! users: only the tests' own dependency on that crate switches it on.
//!
//! | name | where |
//! |---|---|
//! | `spool::write` | a write of the spool fails, for want of room |
//! | `spool::sync` | a sync of the spool fails |
//! | `die::written` | records are written, not synced |
//! | `die::synced` | records are synced, nobody has been told |
//! | `die::segment` | a segment was begun, the last one is unread |
//! | `die::decided` | a call is noted and admitted, its answer unsent |
//! | `die::settled` | the store has ended a hold, its row is unwritten |
//! | `die::expired` | the store has handed over an expired hold, its row is unwritten |
//! | `die::rebuilt` | a counter has what the ledger says, which is not settled yet |
//! | `die::delivered` | a sink has taken rows, the position stands before them |
//! | `die::committed` | and after them |

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
