//! The scripts, what they are given, and how their answers are read.
//!
//! A script's first line is its name and version, and a script is called by
//! the hash of its text: two releases share a server without meeting. What
//! both must agree on is in the keys (see `keys`).
//!
//! Always holds: an answer of any other shape is [`CounterError::Corrupt`],
//! never a guess.

use super::keys::Bucket;
use super::packed::{self, Taking};
use crate::counters::{CounterError, ENDED_KEPT, ExpiredHold};
use crate::limits::counter::{Counter, HOLD_TTL_MAX, Rule};
use crate::limits::{AMOUNT_MAX, Actual, HoldId, Reservation, Settled, Toll, Unit};
use crate::units::{Millis, UnixMillis};
use ahash::RandomState;
use redis::{Script, ScriptInvocation, Value};
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a hold's record is kept unrenewed: twice the longest life, so that
/// a fleet that was down for days still finds what it owes.
const HOLD_KEPT: Millis = Millis(2 * HOLD_TTL_MAX.0);

/// The scripts, with their hashes.
#[derive(Debug)]
pub struct Scripts {
    pub reserve: Script,
    pub settle: Script,
    pub renew: Script,
    pub expire: Script,
    pub told: Script,
    pub beat: Script,
    pub reset: Script,
}

/// For how long it is known that a hold has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembered {
    /// For [`ENDED_KEPT`].
    Shortly,
    /// For as long as an open hold: two weeks.
    Long,
}

/// Names one attempt to settle, among all that any process makes.
#[derive(Debug, Clone, Copy)]
pub struct Attempt([u8; 16]);

/// Names attempts.
pub struct Attempts {
    /// Random, so that no other process has the same.
    process: u64,
    made: AtomicU64,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            process: RandomState::new().hash_one(()),
            made: AtomicU64::new(0),
        }
    }
}

impl Attempts {
    pub fn next(&self) -> Attempt {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Attempt((u128::from(self.process) << 64 | u128::from(number)).to_le_bytes())
    }
}

macro_rules! script {
    ($name:literal, $version:literal) => {
        script(
            concat!("-- weir ", $name, " ", $version, "\n"),
            include_str!(concat!($name, ".lua")),
        )
    };
}

/// What a line `--:name` of a script stands for.
const PASTED: [(&str, &str); 7] = [
    ("--:record\n", include_str!("record.lua")),
    ("--:fixed\n", include_str!("fixed.lua")),
    ("--:carrying\n", include_str!("carrying.lua")),
    ("--:carry\n", include_str!("carry.lua")),
    ("--:window\n", include_str!("window.lua")),
    ("--:window_used\n", include_str!("window_used.lua")),
    ("--:bucket\n", include_str!("bucket.lua")),
];

fn script(title: &str, body: &str) -> Script {
    let begin = [include_str!("state.lua"), include_str!("counters.lua")].concat();
    let mut body = body.to_owned();
    for (line, text) in PASTED {
        body = body.replace(line, text);
    }
    Script::new(&[title, &begin, &body].concat())
}

impl Scripts {
    pub fn new() -> Self {
        Self {
            reserve: script!("reserve", 3),
            settle: script!("settle", 3),
            renew: script!("renew", 2),
            expire: script!("expire", 3),
            told: script!("told", 1),
            beat: script!("beat", 2),
            reset: script!("reset", 3),
        }
    }

    /// `now` is the server's time, as far as it is known.
    pub fn reserve(
        &self,
        reservation: &Reservation,
        rules: &[Rule],
        now: UnixMillis,
    ) -> ScriptInvocation<'_> {
        let bucket = Bucket::of(&reservation.slot);
        let taking = Taking {
            slot: &reservation.slot,
            charges: &reservation.charges,
            context: &reservation.context,
        };
        let mut call = self.reserve.prepare_invoke();
        call.key(bucket.hold(reservation.hold)).key(bucket.open());
        call.arg(reservation.hold.to_string())
            .arg(packed::record(bucket, taking, rules, now))
            .arg(reservation.hold_ttl.0)
            .arg(reservation.lease_ttl.0)
            .arg(HOLD_KEPT.0);
        call
    }

    /// As [`Scripts::reserve`], told of no hold.
    pub fn charge(&self, toll: &Toll, rules: &[Rule], now: UnixMillis) -> ScriptInvocation<'_> {
        let bucket = Bucket::of(&toll.slot);
        let taking = Taking {
            slot: &toll.slot,
            charges: &toll.charges,
            context: "",
        };
        // The key only says where the counters are.
        let mut call = self.reserve.key(bucket.open());
        call.arg("").arg(packed::record(bucket, taking, rules, now));
        call
    }

    pub fn settle(
        &self,
        slot: &str,
        hold: HoldId,
        actual: Actual,
        (attempt, remembered): (Attempt, Remembered),
    ) -> ScriptInvocation<'_> {
        let bucket = Bucket::of(slot);
        let mut call = self.settle.key(bucket.hold(hold));
        call.key(bucket.open())
            .arg(hold.to_string())
            .arg(match remembered {
                Remembered::Shortly => ENDED_KEPT.0,
                Remembered::Long => HOLD_KEPT.0,
            });
        // In the order of `packed::unit_mark`.
        for unit in [
            Unit::Requests,
            Unit::InputTokens,
            Unit::OutputTokens,
            Unit::Tokens,
            Unit::Cost,
        ] {
            call.arg(actual.of(unit).min(AMOUNT_MAX));
        }
        call.arg(&attempt.0[..]);
        call
    }

    pub fn renew(
        &self,
        slot: &str,
        hold: HoldId,
        hold_ttl: Millis,
        lease_ttl: Millis,
    ) -> ScriptInvocation<'_> {
        let bucket = Bucket::of(slot);
        let mut call = self.renew.key(bucket.hold(hold));
        call.key(bucket.open())
            .arg(hold.to_string())
            .arg(hold_ttl.0.min(HOLD_TTL_MAX.0))
            .arg(lease_ttl.0.min(HOLD_TTL_MAX.0))
            .arg(HOLD_KEPT.0);
        call
    }

    pub fn expire(&self, bucket: Bucket, max: usize, claim: Millis) -> ScriptInvocation<'_> {
        let mut call = self.expire.key(bucket.open());
        call.key(bucket.claims()).key(bucket.claimed());
        // That it expired is remembered for as long as anyone may still come to
        // settle it: to them it must not look like a hold that was lost.
        call.arg(bucket.hold_prefix()).arg(max).arg(HOLD_KEPT.0);
        call.arg(claim.0.min(HOLD_TTL_MAX.0));
        call
    }

    pub fn told(&self, bucket: Bucket, holds: &[HoldId]) -> ScriptInvocation<'_> {
        let mut call = self.told.key(bucket.claims());
        call.key(bucket.claimed());
        for hold in holds {
            call.arg(hold.to_string());
        }
        call
    }

    /// `counters` are keys of one bucket, none of them of leases.
    pub fn reset(&self, bucket: Bucket, counters: &[Vec<u8>]) -> ScriptInvocation<'_> {
        let mut call = self.reset.key(bucket.open());
        for counter in counters {
            call.key(counter);
        }
        call.arg(bucket.hold_prefix());
        call
    }

    pub fn beat(&self, bucket: Bucket, sidecar: &str, alive_for: Millis) -> ScriptInvocation<'_> {
        let mut call = self.beat.key(bucket.sidecars());
        call.arg(sidecar).arg(alive_for.0);
        call
    }
}

/// `{count, now}`: the count.
pub fn counted(parts: &Parts) -> Result<u64, CounterError> {
    whole(parts.first())
}

/// An answer's parts.
pub type Parts = Vec<Value>;

/// `{number, now}`: whether the number is 1.
pub fn flag(parts: &Parts) -> Result<(bool, UnixMillis), CounterError> {
    match (int(parts.first())?, whole(parts.get(1))?) {
        (0, now) => Ok((false, UnixMillis(now))),
        (1, now) => Ok((true, UnixMillis(now))),
        _ => Err(odd("a status")),
    }
}

/// What `settle.lua` answered.
pub fn settled(parts: &Parts) -> Result<(Settled, UnixMillis), CounterError> {
    let settled = match int(parts.first())? {
        0 => Settled::Already,
        1 => Settled::Applied,
        2 => Settled::Expired,
        3 => Settled::Unknown,
        _ => return Err(odd("a status")),
    };
    Ok((settled, UnixMillis(whole(parts.get(1))?)))
}

/// What `reserve.lua` answered.
#[derive(Debug)]
pub enum Reserved<'l> {
    Refused(Vec<Counter<'l>>),
    Admitted(Vec<Counter<'l>>),
    Ended,
    /// The ends of a fixed window were computed too long ago; nothing changed.
    Outdated,
}

pub fn reserved<'l>(
    parts: &Parts,
    rules: &[Rule<'l>],
) -> Result<(Reserved<'l>, UnixMillis), CounterError> {
    let now = UnixMillis(whole(parts.get(1))?);
    let status = int(parts.first())?;
    match status {
        2 => return Ok((Reserved::Ended, now)),
        3 => return Ok((Reserved::Outdated, now)),
        _ => {}
    }
    if parts.len() != rules.len() + 2 {
        return Err(odd("a number of counters"));
    }
    let states = parts.iter().skip(2);
    let counters = rules
        .iter()
        .zip(states)
        .map(|(rule, state)| counter(*rule, state));
    let counters = counters.collect::<Result<Vec<_>, _>>()?;
    match status {
        0 => Ok((Reserved::Refused(counters), now)),
        1 => Ok((Reserved::Admitted(counters), now)),
        _ => Err(odd("a status")),
    }
}

fn counter<'l>(rule: Rule<'l>, state: &Value) -> Result<Counter<'l>, CounterError> {
    let Value::BulkString(state) = state else {
        return Err(odd("a counter"));
    };
    packed::counter(rule, state).ok_or_else(|| odd("a counter"))
}

/// What `expire.lua` handed over.
pub fn expired(parts: &Parts) -> Result<(Vec<ExpiredHold>, UnixMillis), CounterError> {
    let now = UnixMillis(whole(parts.first())?);
    // One unreadable entry must not lose the others.
    Ok((parts.iter().skip(1).filter_map(expired_hold).collect(), now))
}

fn expired_hold(entry: &Value) -> Option<ExpiredHold> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let hold = HoldId::parse(&text(parts.first())?)?;
    Some(ExpiredHold {
        hold,
        slot: text(parts.get(1))?.into(),
        context: text(parts.get(2))?.into(),
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::BulkString(bytes)) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn int(value: Option<&Value>) -> Result<i64, CounterError> {
    match value {
        Some(Value::Int(number)) => Ok(*number),
        _ => Err(odd("a number")),
    }
}

fn whole(value: Option<&Value>) -> Result<u64, CounterError> {
    u64::try_from(int(value)?).map_err(|_| odd("a number"))
}

fn odd(what: &str) -> CounterError {
    CounterError::Corrupt(format!("{what} of an unexpected shape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_begins_with_its_name_and_version() {
        let scripts = Scripts::new();
        let hashes: std::collections::HashSet<&str> = [
            &scripts.reserve,
            &scripts.settle,
            &scripts.renew,
            &scripts.expire,
            &scripts.told,
            &scripts.beat,
        ]
        .iter()
        .map(|script| script.get_hash())
        .collect();
        assert_eq!(hashes.len(), 6);
        let text = format!("{:?}", scripts.reserve);
        assert!(
            !text.contains("--:"),
            "a line that stands for nothing: {text}"
        );
        assert!(text.contains("-- weir reserve 3\\n-- What every"), "{text}");
    }

    #[test]
    fn odd_answers_are_corrupt_and_never_an_admission() {
        let rules = [Rule::Leases { limit: 1 }];
        let leases = Value::BulkString(vec![0; 8]);
        let good = vec![Value::Int(1), Value::Int(5), leases.clone()];
        assert!(matches!(
            reserved(&good, &rules),
            Ok((Reserved::Admitted(_), UnixMillis(5)))
        ));
        let odd: [Parts; 7] = [
            vec![],
            vec![Value::Nil, Value::Nil],
            vec![Value::Int(1), Value::Int(5)],
            vec![Value::Int(4), Value::Int(5), leases.clone()],
            vec![Value::Int(1), Value::Int(-5), leases.clone()],
            vec![Value::Double(f64::NAN), Value::Int(5), leases],
            vec![Value::Int(1), Value::Int(5), Value::BulkString(vec![0; 7])],
        ];
        for parts in odd {
            let read = reserved(&parts, &rules);
            assert!(matches!(read, Err(CounterError::Corrupt(_))), "{parts:?}");
        }
    }
}
