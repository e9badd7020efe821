//! One call's reservation over all its limits, and what may become of it.
//!
//! A hold is opened by an admitted [`Reservation`] and ends exactly once: by
//! settlement, by being voided, or by expiry. Whichever comes first wins; the
//! others change nothing and answer [`Settled::Already`].

use super::{Limit, Unit};
use crate::units::{Millis, UnixMillis};
use std::fmt;
use std::sync::Arc;

/// A hold's name, made by weir, never the client's: a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldId(pub uuid::Uuid);

impl HoldId {
    /// Makes an id from the time and ten random bytes, both given by the caller.
    pub fn new(now: UnixMillis, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now.0, random).into_uuid())
    }

    /// When it was made.
    pub fn made_at(self) -> UnixMillis {
        let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
        UnixMillis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(Self)
    }

    /// The name of the hold that the same call has on counters that tenants
    /// share: the id with the version 8 (RFC 9562, section 5.8) in place of 7.
    #[must_use]
    pub fn shared(self) -> Self {
        let mut bytes = self.0.into_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The name under which what the hold used is charged where its own is gone:
    /// none that a call is told of by, as [`HoldId::shared`] gives none; another
    /// one for each part of a call.
    #[must_use]
    pub fn restored(self) -> Self {
        let mut bytes = self.shared().0.into_bytes();
        bytes[15] ^= if self.is_shared() { 0x7f } else { 0xff };
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The name of another hold of the same call, in place of this one; of many one
    /// after the other each has a name of its own.
    #[must_use]
    pub fn again(self) -> Self {
        let mut bytes = self.0.into_bytes();
        // Odd, so that all 256 come before the first again.
        bytes[14] = bytes[14].wrapping_add(0x7f);
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// Whether [`HoldId::shared`] made it.
    pub fn is_shared(self) -> bool {
        self.0.as_bytes()[6] >> 4 == 8
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl fmt::Debug for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What one limit takes from one counter for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub limit: Arc<Limit>,
    /// Names the counter within its slot. Built by [`counter_id`], so that no
    /// tenant or user name can reach another's counter.
    pub counter: Arc<str>,
    /// What is taken.
    pub amount: u64,
    /// What there must be room for, if that is more than what is taken.
    pub room: u64,
}

impl Charge {
    /// Takes an amount, and needs room for no more.
    pub fn new(limit: Arc<Limit>, counter: impl Into<Arc<str>>, amount: u64) -> Self {
        Self {
            limit,
            counter: counter.into(),
            amount,
            room: amount,
        }
    }

    /// What must be free, or the charge is refused.
    pub fn wanted(&self) -> u64 {
        self.room.max(self.amount)
    }
}

/// The slot of counters that tenants share. No tenant has an empty name.
pub const SHARED_SLOT: &str = "";

/// All that one call asks for, taken whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub hold: HoldId,
    /// Whose counters these are: all charges of a slot are taken atomically.
    pub slot: Arc<str>,
    /// At most [`super::CHARGES_MAX`]; never two on the same counter.
    pub charges: Arc<[Charge]>,
    /// Charges on counters that tenants share. A store doesn't look at them:
    /// they are [`Reservation::shared_part`], taken after the others.
    pub shared: Arc<[Charge]>,
    /// How long the hold lives unless it is renewed.
    pub hold_ttl: Millis,
    /// How long its concurrency leases live unless they are renewed.
    pub lease_ttl: Millis,
    /// What whoever finds the hold expired needs to write its usage event.
    /// Opaque to the store; bounded by the caller.
    pub context: Arc<str>,
}

impl Reservation {
    /// The same, counted whatever the limits say: nothing of it is refused.
    #[must_use]
    pub fn unrefused(&self) -> Reservation {
        let mut forced = self.clone();
        for charge in Arc::make_mut(&mut forced.charges) {
            charge.limit = Arc::new(charge.limit.shadowed());
        }
        forced
    }

    /// Without the own charges of which this isn't so.
    pub fn retain(&mut self, keep: impl Fn(&Charge) -> bool) {
        self.charges = retained(&self.charges, keep);
    }

    /// The reservation in the slot that tenants share, if there is one.
    pub fn shared_part(&self) -> Option<Reservation> {
        (!self.shared.is_empty()).then(|| Reservation {
            hold: self.hold.shared(),
            slot: SHARED_SLOT.into(),
            charges: Arc::clone(&self.shared),
            shared: Arc::default(),
            hold_ttl: self.hold_ttl,
            lease_ttl: self.lease_ttl,
            // The call is told of by the tenant's own part.
            context: "".into(),
        })
    }
}

/// The charges of which this is so.
pub fn retained(charges: &[Charge], keep: impl Fn(&Charge) -> bool) -> Arc<[Charge]> {
    let kept = charges.iter().filter(|charge| keep(charge));
    kept.cloned().collect()
}

/// A counter as it stands after a decision, for one charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What is taken from the counter now, this call's own hold included.
    pub used: u64,
    /// More is taken than the limit allows: it would have refused the call, or
    /// refuses the next one whatever its size.
    pub exceeded: bool,
    pub remaining: u64,
    /// What a window has besides its limit's amount, out of those before it.
    pub carried: u64,
    /// Until the counter is back at rest if nothing else comes; `None` where
    /// that hangs on when calls end, which can't be known.
    pub reset_after: Option<Millis>,
}

impl Standing {
    /// As it is once so much more is taken, where there is room for it or not.
    #[must_use]
    pub fn with(self, amount: u64, has_room: bool) -> Self {
        Self {
            used: self.used.saturating_add(amount),
            remaining: self.remaining.saturating_sub(amount),
            exceeded: self.exceeded || !has_room,
            ..self
        }
    }

    /// All that the counter gives now, where its limit's amount is this.
    pub fn whole(&self, amount: u64) -> u64 {
        amount.saturating_add(self.carried).min(super::AMOUNT_MAX)
    }

    /// As it is once so much of what was taken is given back; when the counter
    /// is at rest then, that is the latest.
    #[must_use]
    pub fn without(self, amount: u64) -> Self {
        Self {
            used: self.used.saturating_sub(amount),
            remaining: match self.exceeded {
                // How deep a debt is isn't said.
                true => self.remaining,
                false => self.remaining.saturating_add(amount),
            },
            ..self
        }
    }
}

/// When the same call would pass if nothing else came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    After(Millis),
    /// A slot frees when a call ends, which can't be known.
    WhenOneEnds,
    /// The call asks for more than the limit can ever give.
    Never,
}

/// Why a reservation was refused. Where several limits refuse, this is the one
/// that takes longest to pass: the earliest time for the whole call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Index into [`Reservation::charges`]; behind those, into its shared ones.
    pub charge: usize,
    pub used: u64,
    pub requested: u64,
    pub remaining: u64,
    /// As [`Standing::reset_after`] of the counter that refused.
    pub reset_after: Option<Millis>,
    pub retry: Retry,
}

/// A store's answer to a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// One standing per charge, in order.
    Admitted(Vec<Standing>),
    /// Why; and how the counters stand, that took nothing: one standing per
    /// charge, in order, as far as that was looked at.
    Refused(Refusal, Vec<Standing>),
    /// The hold ended before the reservation arrived (a late retry).
    Ended,
}

/// What a call really used. Leases are always released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actual {
    /// 1, or 0 where the call surely never reached its provider.
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_nanos: u64,
}

impl Actual {
    /// Nothing was used: the hold is voided.
    pub const VOID: Actual = Actual {
        requests: 0,
        input_tokens: 0,
        output_tokens: 0,
        cost_nanos: 0,
    };

    /// So much of one unit, nothing of the others that are counted alone.
    pub fn only(unit: Unit, amount: u64) -> Actual {
        let mut actual = Actual::VOID;
        match unit {
            Unit::Requests => actual.requests = amount,
            Unit::InputTokens | Unit::Tokens => actual.input_tokens = amount,
            Unit::OutputTokens => actual.output_tokens = amount,
            Unit::Cost => actual.cost_nanos = amount,
            Unit::Concurrency => {}
        }
        actual
    }

    pub fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::Cost => self.cost_nanos,
            Unit::Concurrency => 0,
        }
    }
}

/// A store's answer to a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// This settlement ended the hold.
    Applied,
    /// An earlier settlement had; nothing changed.
    Already,
    /// The hold had expired, and whoever took it tells of it; nothing changed.
    Expired,
    /// The store knows of no such hold: it never was, or the store lost it.
    /// What it charged can't be corrected; a later settlement gets `Already`.
    Unknown,
}

/// The counter of `limit` for the given scope values, in a form where no two
/// different lists of values can meet: each part is preceded by its length.
pub fn counter_id(limit: &str, values: &[&str]) -> String {
    let values_len: usize = values.iter().map(|value| value.len() + 4).sum();
    let mut id = String::with_capacity(limit.len() + 4 + values_len);
    write_counter_id(&mut id, limit, values);
    id
}

/// Writes the same into room that is there: a call has one for each of its limits.
pub fn write_counter_id(id: &mut String, limit: &str, values: &[&str]) {
    let mut digits = itoa::Buffer::new();
    for part in std::iter::once(&limit).chain(values) {
        id.push_str(digits.format(part.len()));
        id.push(':');
        id.push_str(part);
        id.push(',');
    }
}

/// The limit's name and the scope values that [`counter_id`] was given; `None`
/// where it didn't write this.
pub fn parts_of_counter_id(id: &str) -> Option<(&str, Vec<&str>)> {
    let mut rest = id;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (len, behind) = rest.split_once(':')?;
        let (part, behind) = behind.split_at_checked(len.parse().ok()?)?;
        parts.push(part);
        rest = behind.strip_prefix(',')?;
    }
    let values = parts.split_off(1.min(parts.len()));
    Some((parts.first()?, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_holds_name_is_another_and_known() {
        let hold = HoldId::new(UnixMillis(1), &[0xff; 10]);
        assert!(!hold.is_shared() && hold.shared().is_shared());
        for hold in [hold, hold.shared(), hold.restored()] {
            assert_eq!(hold.made_at(), UnixMillis(1));
        }
        assert_ne!(hold, hold.shared());
        assert_ne!(hold.restored(), hold.shared().restored());
        assert_eq!(hold.shared(), hold.shared().shared());
        assert_eq!(
            HoldId::parse(&hold.shared().to_string()),
            Some(hold.shared())
        );
    }

    #[test]
    fn values_that_look_like_separators_stay_apart() {
        assert_ne!(counter_id("l", &["a,1:b"]), counter_id("l", &["a", "b"]));
        assert_ne!(counter_id("l", &["", "a"]), counter_id("l", &["a", ""]));
        assert_eq!(counter_id("rpm", &["acme"]), "3:rpm,4:acme,");
    }

    #[test]
    fn a_counters_name_is_read_back() {
        for (limit, values) in [
            ("rpm", &["acme"][..]),
            ("l", &["a,1:b", "", "2:"]),
            ("", &[]),
        ] {
            let id = counter_id(limit, values);
            let read = parts_of_counter_id(&id);
            assert_eq!(read, Some((limit, values.to_vec())), "{id}");
        }
        for odd in [
            "",
            "rpm",
            "3:rpm",
            "3:rp,",
            "4:rpm,",
            "x:rpm,",
            "-1:a,",
            "3:rpm,1:",
            "1:é,",
            "99999999999999999999:a,",
        ] {
            assert_eq!(parts_of_counter_id(odd), None, "{odd}");
        }
    }
}
