//! Buckets, told as GCRA: a counter is one moment, the theoretical arrival time
//! (TAT). Each token moves it on by `every / amount`; a call of `n` tokens
//! passes where the TAT would come to lie at most `burst` tokens ahead of now.
//!
//! weir counts a level that refills. That its answers are these shows that a
//! leaky bucket is a token bucket told from the other side.
//!
//! Moments of the TAT are in parts of a millisecond, `amount` to one, so that a
//! token is `every` of them and all is whole.

use super::{Answer, Entry, Move, Whole, div_up, narrow};
use weir::limits::{Retry, Standing};
use weir::units::Millis;

#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub amount: Whole,
    pub every: Whole,
    pub burst: Whole,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// In parts of a millisecond.
    tat: Whole,
    /// The latest moment that was seen; time doesn't go back behind it.
    seen: Whole,
}

impl Arrival {
    fn by(before: Option<Self>, rate: Rate, at: Whole) -> Self {
        let seen = before.map_or(at, |before| before.seen.max(at));
        let idle = seen * rate.amount;
        let tat = before.map_or(idle, |before| before.tat.max(idle));
        Self { tat, seen }
    }

    /// How far ahead the TAT is.
    fn ahead(self, rate: Rate) -> Whole {
        self.tat - self.seen * rate.amount
    }
}

fn after(entries: &[Entry], rate: Rate) -> Option<Arrival> {
    let mut stored = None;
    for Entry { at, what } in entries {
        let mut now = Arrival::by(stored, rate, *at);
        match what {
            Move::Take { amount, .. } => {
                now.tat += amount * rate.every;
                stored = Some(now);
            }
            Move::Correct { held, used, .. } if used > held => {
                now.tat += (used - held) * rate.every;
                stored = Some(now);
            }
            // Nobody can save up more than a whole burst.
            Move::Correct { held, used, .. } if used < held && stored.is_some() => {
                now.tat = (now.tat - (held - used) * rate.every).max(now.seen * rate.amount);
                stored = Some(now);
            }
            Move::Look => stored = stored.and((now.ahead(rate) > 0).then_some(now)),
            Move::Correct { .. }
            | Move::Expire { .. }
            | Move::Renew { .. }
            | Move::Read
            | Move::Refused => {}
        }
    }
    stored
}

pub fn answer(entries: &[Entry], rate: Rate, amount: Whole, now: Whole) -> Answer {
    let stored = after(entries, rate);
    let at = Arrival::by(stored, rate, now);
    let ahead = at.ahead(rate);
    let room = rate.burst * rate.every;
    let reset = if ahead > 0 {
        div_up(at.tat, rate.amount) - now
    } else {
        0
    };
    let passes = div_up(at.tat + amount * rate.every - room, rate.amount);
    let refuses = if amount > rate.burst {
        Some(Retry::Never)
    } else if passes <= at.seen {
        None
    } else {
        Some(Retry::After(Millis(narrow(passes - now))))
    };
    Answer {
        standing: Standing {
            used: narrow(div_up(ahead, rate.every)),
            exceeded: ahead > room,
            remaining: narrow((room - ahead).max(0) / rate.every),
            carried: 0,
            reset_after: Some(Millis(narrow(reset))),
        },
        refuses,
        kept: stored.is_some(),
    }
}
