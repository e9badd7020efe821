//! What goes to and from the scripts packed: a hold's record and the states of
//! counters. The layout is `state.lua`'s and `counters.lua`'s.
//!
//! Always holds: every number is whole and at most 2^53, so that the doubles
//! it travels in are exact; bytes of any other shape are `None`, never a guess.

use super::keys::{Bucket, letter};
use crate::limits::concurrency::Occupancy;
use crate::limits::counter::{Counter, Rule};
use crate::limits::fixed_window::{FixedWindow, Turns};
use crate::limits::period::Ends;
use crate::limits::rollover::Rollover;
use crate::limits::sliding_window::{COUNTS, Window};
use crate::limits::token_bucket;
use crate::limits::{AMOUNT_MAX, Charge, Mode, Unit};
use crate::units::UnixMillis;

/// A record's mark, its number of charges, and its length in bytes.
const HEAD_BYTES: usize = 1 + 1 + 4;

/// The letter of a fixed window that carries what it has left, in records.
const CARRYING: u8 = b'r';

/// What follows the key of such a window: three numbers.
const CARRY_BYTES: usize = 3 * 8;

/// What a record holds besides texts of foreseeable length; to reserve room.
const CHARGE_BYTES: usize = 1 + 1 + 6 * 8 + 4 + 80;

/// What is reserved, or charged for good.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'t> {
    pub slot: &'t str,
    pub charges: &'t [Charge],
    pub context: &'t str,
}

/// The record of what is taken. `rules` are those of its charges; `now` is the
/// server's time, as far as it is known.
pub fn record(bucket: Bucket, taking: Taking, rules: &[Rule], now: UnixMillis) -> Vec<u8> {
    let Taking { slot, context, .. } = taking;
    let texts = slot.len() + context.len();
    let room = HEAD_BYTES + rules.len() * CHARGE_BYTES + 4 + texts;
    let mut record = Vec::with_capacity(room);
    record.push(b'H');
    // At most CHARGES_MAX.
    record.push(u8::try_from(rules.len()).unwrap_or(u8::MAX));
    record.extend([0; 4]);
    for (charge, rule) in taking.charges.iter().zip(rules) {
        // One more than any limit: refused there as it would be here.
        let most = |amount: u64| double(amount.min(AMOUNT_MAX + 1)).to_le_bytes();
        record.push(mark(*rule));
        record.push(with_mode(unit_mark(charge.limit.unit), charge.limit.mode));
        record.extend(most(charge.amount));
        record.extend(most(charge.wanted()));
        for number in parameters(*rule, now) {
            record.extend(double(number.min(AMOUNT_MAX)).to_le_bytes());
        }
        let length_at = record.len();
        record.extend([0; 4]);
        bucket.write_counter(&mut record, *rule, slot, &charge.counter);
        for number in carry(*rule, now).into_iter().flatten() {
            record.extend(double(number.min(AMOUNT_MAX)).to_le_bytes());
        }
        fill_length(&mut record, length_at, length_at + 4);
    }
    let length_at = record.len();
    record.extend([0; 4]);
    record.extend(slot.as_bytes());
    fill_length(&mut record, length_at, length_at + 4);
    record.extend(context.as_bytes());
    fill_length(&mut record, 2, 0);
    record
}

/// Writes at `at` how many bytes there are from `since` to the end.
fn fill_length(record: &mut [u8], at: usize, since: usize) {
    let length = u32::try_from(record.len() - since).unwrap_or(u32::MAX);
    if let Some(place) = record.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// A window that carries has a letter of its own here, but not in its key: its
/// limit may have carried nothing before.
fn mark(rule: Rule) -> u8 {
    match rule {
        Rule::Fixed {
            rollover: Some(_), ..
        } => CARRYING,
        rule => letter(rule),
    }
}

/// What follows the key of a window that carries: its own amount, the most that is
/// carried, and the number of the first of the two windows in its parameters.
fn carry(rule: Rule, now: UnixMillis) -> Option<[u64; 3]> {
    match rule {
        Rule::Fixed {
            period,
            rollover: Some(Rollover { amount, most }),
            ..
        } => Some([amount, most, period.number(now)]),
        _ => None,
    }
}

fn parameters(rule: Rule, now: UnixMillis) -> [u64; 4] {
    match rule {
        Rule::Fixed { limit, period, .. } => match period.from_first_hit() {
            Some(every) => [limit, every.0, 0, period.kind()],
            None => {
                let Ends(first, second) = period.ends(now);
                [limit, first.0, second.0, period.kind()]
            }
        },
        Rule::Window { limit, sub_ms } => [limit, sub_ms, 0, 0],
        Rule::Bucket(rate) => {
            let (per_ms, scale, capacity) = rate.parts();
            [per_ms, scale, capacity, 0]
        }
        Rule::Leases { limit } => [limit, 0, 0, 0],
    }
}

/// Where `settle.lua` finds what was used of a unit, among what it is given.
fn unit_mark(unit: Unit) -> u8 {
    match unit {
        Unit::Concurrency => 0,
        Unit::Requests => 1,
        Unit::InputTokens => 2,
        Unit::OutputTokens => 3,
        Unit::Tokens => 4,
        Unit::Cost => 5,
    }
}

/// More by 16 where the limit never refuses.
fn with_mode(unit: u8, mode: Mode) -> u8 {
    match mode {
        Mode::Enforce => unit,
        Mode::Shadow => unit + 16,
    }
}

/// A counter's state as a script answered it.
pub fn counter<'l>(rule: Rule<'l>, state: &[u8]) -> Option<Counter<'l>> {
    let mut numbers = Numbers { rest: state };
    let counter = match rule {
        Rule::Fixed {
            limit,
            period,
            rollover,
        } => {
            let parts = (numbers.whole()?, numbers.whole()?, numbers.whole()?);
            let carry = match rollover {
                Some(_) => Some((numbers.whole()?, numbers.whole()?)),
                None => None,
            };
            Counter::Fixed {
                limit,
                turns: Turns { period, rollover },
                window: FixedWindow::from_parts(parts.0, parts.1, parts.2, carry)?,
            }
        }
        Rule::Window { limit, .. } => {
            let (sub_ms, head) = (numbers.whole()?, numbers.whole()?);
            let sum = numbers.whole()?;
            let mut counts = [0; COUNTS];
            for count in &mut counts {
                *count = numbers.whole()?;
            }
            let window = Window::from_parts(sub_ms, head, counts)?;
            if window.full() != sum {
                return None;
            }
            Counter::Window { limit, window }
        }
        Rule::Bucket(rate) => {
            let (level, last) = (numbers.signed()?, UnixMillis(numbers.whole()?));
            let parts = (numbers.whole()?, numbers.whole()?, numbers.whole()?);
            if parts != rate.parts() {
                return None;
            }
            Counter::Bucket(token_bucket::Bucket::from_parts(rate, level, last)?)
        }
        Rule::Leases { limit } => {
            let used = numbers.whole()?;
            let occupancy = Occupancy { used };
            Counter::Leases { limit, occupancy }
        }
    };
    numbers.rest.is_empty().then_some(counter)
}

/// What a hold took from each of its counters, by their keys; empty where its
/// record can't be read, or is that of one which has ended.
pub fn held(record: &[u8]) -> Vec<(&[u8], u64)> {
    let mut held = Vec::new();
    let Some((&[b'H', charges, ..], mut rest)) = record.split_first_chunk::<HEAD_BYTES>() else {
        return held;
    };
    for _ in 0..charges {
        let Some((key, amount, behind)) = charge_of(rest) else {
            return Vec::new();
        };
        held.push((key, amount));
        rest = behind;
    }
    held
}

/// The key and the amount of the charge that a part of a record begins with,
/// and what lies behind it.
fn charge_of(record: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let ([mark, _], rest) = record.split_first_chunk::<2>()?;
    let mut numbers = Numbers { rest };
    let amount = numbers.whole()?;
    // Its room and its parameters.
    for _ in 0..5 {
        numbers.signed()?;
    }
    let (length, rest) = numbers.rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (key, behind) = rest.split_at_checked(length)?;
    let key = match *mark {
        CARRYING => key.get(..key.len().checked_sub(CARRY_BYTES)?)?,
        _ => key,
    };
    Some((key, amount, behind))
}

/// Packed doubles, read one by one.
struct Numbers<'a> {
    rest: &'a [u8],
}

impl Numbers<'_> {
    fn signed(&mut self) -> Option<i64> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        whole_of(f64::from_le_bytes(*number))
    }

    fn whole(&mut self) -> Option<u64> {
        u64::try_from(self.signed()?).ok()
    }
}

/// 2^53, the first number whose neighbours doubles can't tell apart.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[expect(
    clippy::cast_precision_loss,
    reason = "no number that is given here is above 2^53"
)]
fn double(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and within 2^53, as was just seen"
)]
fn whole_of(number: f64) -> Option<i64> {
    let whole = number.abs() <= EXACT_MAX && number.fract() == 0.0;
    whole.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::token_bucket::Rate;
    use crate::units::Millis;

    fn packed(numbers: &[f64]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn states_of_the_right_shape_are_read_and_no_others() {
        let window = Rule::Window {
            limit: 9,
            sub_ms: 5_000,
        };
        let mut numbers = [0.0; 16];
        numbers[..5].copy_from_slice(&[5_000.0, 7.0, 3.0, 1.0, 2.0]);
        assert!(matches!(
            counter(window, &packed(&numbers)),
            Some(Counter::Window { limit: 9, window })
                if window.standing(9, UnixMillis(35_000)).used == 3
        ));
        let rate = Rate::new(6, Millis(3), 10).unwrap();
        let bucket = packed(&[-5.0, 99.0, 2.0, 1.0, 10.0]);
        assert!(counter(Rule::Bucket(rate), &bucket).is_some());
        let leases = Rule::Leases { limit: 1 };
        assert!(counter(leases, &packed(&[4.0])).is_some());

        let odd: [(Rule, &[f64]); 9] = [
            (window, &numbers[..15]),
            (window, &[0.0; 16]),
            (leases, &[]),
            (leases, &[1.0, 1.0]),
            (leases, &[-1.0]),
            (leases, &[0.5]),
            (leases, &[f64::NAN]),
            (leases, &[1e16]),
            (Rule::Bucket(rate), &[11.0, 99.0, 2.0, 1.0, 10.0]),
        ];
        for (rule, numbers) in odd {
            assert_eq!(counter(rule, &packed(numbers)), None, "{numbers:?}");
        }
        numbers[2] = 4.0;
        assert_eq!(counter(window, &packed(&numbers)), None, "a wrong sum");
        assert_eq!(counter(leases, b"rubbish!"), None);
    }
}
