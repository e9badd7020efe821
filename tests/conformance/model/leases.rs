//! Calls in flight: each has a slot until it ends or its lease does. A lease
//! that was seen to be over is gone until its call is renewed.

use super::{Answer, Entry, Move, Whole, narrow};
use weir::limits::{HoldId, Retry, Standing};

pub fn answer(entries: &[Entry], most: Whole, now: Whole) -> Answer {
    // Those that have not ended, until when they last were to live; and of these
    // the ones that were not seen to be over.
    let mut open: Vec<(HoldId, Whole)> = Vec::new();
    let mut alive: Vec<(HoldId, Whole)> = Vec::new();
    for Entry { at, what } in entries {
        match what {
            Move::Take {
                hold, lease_until, ..
            } => {
                open.push((*hold, *lease_until));
                alive.push((*hold, *lease_until));
            }
            Move::Correct { hold, .. } | Move::Expire { hold } => {
                open.retain(|(owner, _)| owner != hold);
                alive.retain(|(owner, _)| owner != hold);
            }
            Move::Renew { hold, lease_until } => {
                alive.retain(|(owner, until)| until > at && owner != hold);
                for (_, until) in open.iter_mut().filter(|(owner, _)| owner == hold) {
                    *until = (*until).max(*lease_until);
                    alive.push((*hold, *until));
                }
            }
            Move::Refused => {}
            Move::Read | Move::Look => alive.retain(|(_, until)| until > at),
        }
    }
    alive.retain(|(_, until)| *until > now);
    let used = alive.len() as Whole;
    Answer {
        standing: Standing {
            used: narrow(used),
            exceeded: used > most,
            remaining: narrow((most - used).max(0)),
            carried: 0,
            reset_after: None,
        },
        refuses: (used >= most).then_some(Retry::WhenOneEnds),
        kept: used > 0,
    }
}
