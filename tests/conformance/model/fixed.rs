//! Fixed windows: a window is known by its end; what is charged while it lasts
//! counts in it, and when it is over the next one begins. What it had left may be
//! carried into that one, window by window.

use super::{Answer, Entry, Move, Whole, narrow};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, Zoned};
use weir::limits::period::{Calendar, CalendarUnit, Period};
use weir::limits::{HoldId, Retry, Standing};
use weir::units::Millis;

/// How windows follow each other. weir's own type keeps its rule to itself, and
/// is told apart by what it tells.
#[derive(Debug, Clone)]
pub enum Rule {
    Aligned(Whole),
    FirstHit(Whole),
    Calendar(Calendar),
}

impl Rule {
    fn of(period: &Period) -> Self {
        match (period.from_first_hit(), period.length()) {
            (Some(every), _) => Rule::FirstHit(Whole::from(every.0)),
            (None, Some(every)) => Rule::Aligned(Whole::from(every.0)),
            (None, None) => Rule::Calendar(super::calendars::of(period)),
        }
    }

    /// When a window ends that is opened now.
    fn end(&self, now: Whole) -> Whole {
        match self {
            Rule::FirstHit(every) => now + every,
            Rule::Aligned(every) => (now.div_euclid(*every) + 1) * every,
            Rule::Calendar(calendar) => calendar_end(calendar, now),
        }
    }
}

/// What each window has by itself, and the most that one is carried.
#[derive(Debug, Clone, Copy)]
pub struct Rollover {
    pub amount: Whole,
    pub most: Whole,
}

/// Nothing is carried out of a window that was over for as long as this.
const KNOWN_FOR: Whole = 400 * 24 * 3_600_000;

/// So many windows in a row that nothing was used of make no difference to more.
const IDLE_MAX: usize = 40;

fn calendar_end(calendar: &Calendar, now: Whole) -> Whole {
    let here = local(calendar, now);
    if calendar.unit == CalendarUnit::Hour {
        return hour_end(calendar, now, &here);
    }
    // Day by day, the first that begins a window and lies ahead.
    let mut day = here.date().yesterday().unwrap();
    loop {
        if begins(calendar.unit, day) {
            // By noon, which every day has, to its first moment.
            let noon = day.at(12, 0, 0, 0).to_zoned(calendar.zone.clone());
            let first = noon.unwrap().start_of_day().unwrap();
            let first = Whole::from(first.timestamp().as_millisecond());
            if first > now {
                return first;
            }
        }
        day = day.tomorrow().unwrap();
    }
}

/// The first minute whose clock shows another hour, or goes by another offset.
fn hour_end(calendar: &Calendar, now: Whole, here: &Zoned) -> Whole {
    let shown = |at: &Zoned| (at.date(), at.hour(), at.offset());
    let mut minute = now.div_euclid(60_000) * 60_000;
    loop {
        minute += 60_000;
        if shown(&local(calendar, minute)) != shown(here) {
            return minute;
        }
    }
}

fn begins(unit: CalendarUnit, day: Date) -> bool {
    match unit {
        CalendarUnit::Hour | CalendarUnit::Day => true,
        CalendarUnit::Week(first) => day.weekday() == first,
        // On the day itself, or on the last day of a month that has no such.
        CalendarUnit::Month(anchor) => {
            let tomorrow = day.checked_add(1.day()).unwrap();
            let last = tomorrow.month() != day.month();
            let anchor = anchor as i8;
            day.day() == anchor || last && day.day() < anchor
        }
    }
}

fn local(calendar: &Calendar, at: Whole) -> Zoned {
    let at = Timestamp::from_millisecond(i64::try_from(at).unwrap()).unwrap();
    at.to_zoned(calendar.zone.clone())
}

#[derive(Debug, Clone, Copy)]
struct Window {
    end: Whole,
    count: Whole,
    carried: Whole,
}

impl Window {
    /// The window that holds this moment. One that is open lasts though the clock steps back, but no
    /// longer than the one after that which now is.
    fn at(before: Option<Self>, turns: &Turns, at: Whole) -> Self {
        let fresh = turns.rule.end(at);
        match before {
            Some(window) if window.goes_on(&turns.rule, at) => {
                let too_far = window.end > turns.rule.end(fresh);
                Self {
                    end: if too_far { fresh } else { window.end },
                    ..window
                }
            }
            over => Self {
                end: fresh,
                count: 0,
                carried: over.map_or(0, |over| over.carries(turns, fresh, at)),
            },
        }
    }

    /// One from the first hit, to which nothing is charged, has not begun.
    fn goes_on(self, rule: &Rule, at: Whole) -> bool {
        at < self.end && (self.count > 0 || !matches!(rule, Rule::FirstHit(_)))
    }

    /// What is left of one that is over for the one with that end: each that lies
    /// between them is opened, carried into, and has its whole left.
    fn carries(self, turns: &Turns, to: Whole, at: Whole) -> Whole {
        let Some(Rollover { amount, most }) = turns.rollover else {
            return 0;
        };
        if at - self.end >= KNOWN_FOR {
            return 0;
        }
        let mut carried = (amount + self.carried - self.count).clamp(0, most);
        let mut end = turns.rule.end(self.end);
        for _ in 0..IDLE_MAX {
            if end >= to {
                break;
            }
            carried = (amount + carried).min(most);
            end = turns.rule.end(end);
        }
        carried
    }
}

/// How windows follow each other, and what they leave each other.
struct Turns {
    rule: Rule,
    rollover: Option<Rollover>,
}

fn after(entries: &[Entry], turns: &Turns) -> Option<Window> {
    let rule = &turns.rule;
    let mut stored: Option<Window> = None;
    // The end of the window that each hold was charged to.
    let mut charged: Vec<(HoldId, Whole)> = Vec::new();
    for Entry { at, what } in entries {
        match what {
            Move::Take { hold, amount, .. } => {
                let mut window = Window::at(stored, turns, *at);
                window.count += amount;
                charged.push((*hold, window.end));
                stored = Some(window);
            }
            Move::Correct { hold, held, used } => {
                let current = stored.filter(|window| window.goes_on(rule, *at));
                let change = used - held;
                let to = charged.iter().rfind(|(owner, _)| owner == hold);
                match current {
                    Some(mut window) if change > 0 => {
                        window.count += change;
                        stored = Some(window);
                    }
                    Some(mut window) if to.is_some_and(|(_, end)| *end == window.end) => {
                        window.count = (window.count + change).max(0);
                        stored = Some(window);
                    }
                    None if change > 0 => {
                        let mut window = Window::at(stored, turns, *at);
                        window.count += change;
                        stored = Some(window);
                    }
                    _ => {}
                }
            }
            // What may be carried on is not forgotten, though nothing was used.
            Move::Look => {
                stored = stored.filter(|window| match turns.rollover {
                    Some(_) => at - window.end < KNOWN_FOR,
                    None => *at < window.end && window.count > 0,
                });
            }
            Move::Refused => {
                let open = stored.filter(|w| w.goes_on(rule, *at) && w.count > 0);
                // What it leaves is carried on, though nothing was taken from it.
                let known = stored.filter(|window| at - window.end < KNOWN_FOR);
                let begun = turns.rollover.map(|_| Window::at(None, turns, *at));
                let begun = begun.filter(|_| known.is_none());
                stored = open
                    .map(|w| Window::at(Some(w), turns, *at))
                    .or(begun)
                    .or(stored);
            }
            Move::Expire { .. } | Move::Renew { .. } | Move::Read => {}
        }
    }
    stored
}

pub fn answer(
    entries: &[Entry],
    (period, rollover): (&Period, Option<Rollover>),
    most: Whole,
    amount: Whole,
    now: Whole,
) -> Answer {
    let turns = Turns {
        rule: Rule::of(period),
        rollover,
    };
    let stored = after(entries, &turns);
    let window = Window::at(stored, &turns, now);
    let Window {
        end,
        count,
        carried,
    } = window;
    let whole = most + carried;
    let left = Millis(narrow(end - now));
    let refuses = if count + amount <= whole {
        None
    } else {
        window
            .passes(&turns, most, amount)
            .map_or(Some(Retry::Never), |passes| {
                Some(Retry::After(Millis(narrow(passes - now))))
            })
    };
    let reset = if count == 0 { Millis(0) } else { left };
    Answer {
        standing: Standing {
            used: narrow(count),
            exceeded: count > whole,
            remaining: narrow((whole - count).max(0)),
            carried: narrow(carried),
            reset_after: Some(reset),
        },
        refuses,
        kept: stored.is_some(),
    }
}

impl Window {
    /// When a window opens that has so much, if nothing else comes; `None` where
    /// none ever does.
    fn passes(self, turns: &Turns, most: Whole, amount: Whole) -> Option<Whole> {
        let mut over = self;
        for _ in 0..IDLE_MAX {
            let opens = over.end;
            let next = Self::at(Some(over), turns, opens);
            if amount <= most + next.carried {
                return Some(opens);
            }
            over = next;
        }
        None
    }
}
