//! Amounts, sizes and spans of time as operators write them: `200k`, `10MiB`,
//! `250ms`. Whole numbers only, `_` between digits allowed.

use crate::units::Millis;

pub use crate::pricing::notation::Dollars as AsDollars;
use std::fmt;

/// The longest span that a field may hold (also keeps all arithmetic on spans
/// far from its bounds): 400 days, a year and a bit.
pub const SPAN_MS_MAX: u64 = 400 * 86_400_000;

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("is negative")]
    Negative,
    #[error("is larger than any number that is counted here")]
    TooLarge,
    #[error("is a number without its unit")]
    NoUnit,
    #[error("is no quantity")]
    Other,
}

/// A whole number, with `k`, `M` or `G` for thousands, millions and billions.
///
/// # Errors
/// See [`QuantityError`]; never [`QuantityError::NoUnit`].
pub fn amount(text: &str) -> Result<u64, QuantityError> {
    scaled(
        text,
        &[
            ("", 1),
            ("k", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
        ],
    )
}

/// A number of bytes: `512`, `512B`, `64KiB`, `10MiB`, `1GiB`.
///
/// # Errors
/// See [`QuantityError`]; never [`QuantityError::NoUnit`].
pub fn size_bytes(text: &str) -> Result<u64, QuantityError> {
    scaled(
        text,
        &[
            ("", 1),
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
        ],
    )
}

/// A span of time: `250ms`, `10s`, `1m`, `1h`, `1d`.
///
/// # Errors
/// See [`QuantityError`].
pub fn span(text: &str) -> Result<Millis, QuantityError> {
    scaled(
        text,
        &[
            ("ms", 1),
            ("s", 1_000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
        ],
    )
    .map(Millis)
}

/// An amount of dollars in billionths of one: `25`, `0.15`, `1_000.50`.
///
/// # Errors
/// See [`QuantityError`]; never [`QuantityError::NoUnit`].
pub fn dollars(text: &str) -> Result<u64, QuantityError> {
    let text = text.trim();
    let text = text.strip_suffix("USD").unwrap_or(text).trim_end();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole = scaled(whole, &[("", 1_000_000_000)])?;
    let is_decimal = (1..=9).contains(&decimals.len());
    if !is_decimal || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(QuantityError::Other);
    }
    // At most nine digits.
    let decimals = scaled(&format!("{decimals:0<9}"), &[("", 1)])?;
    whole.checked_add(decimals).ok_or(QuantityError::TooLarge)
}

/// A share in thousandths: `1`, `1.15`, `0.875`.
///
/// # Errors
/// See [`QuantityError`]; never [`QuantityError::NoUnit`].
pub fn per_mille(text: &str) -> Result<u64, QuantityError> {
    const BILLIONTHS: u64 = 1_000_000;
    let share = match text.contains('U') {
        true => return Err(QuantityError::Other),
        false => dollars(text)?,
    };
    match share % BILLIONTHS {
        0 => Ok(share / BILLIONTHS),
        _ => Err(QuantityError::Other),
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, QuantityError> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('-') {
        return match scaled(rest, units) {
            Ok(_) | Err(QuantityError::TooLarge) => Err(QuantityError::Negative),
            Err(other) => Err(other),
        };
    }
    let digits_len = text
        .bytes()
        .position(|c| !c.is_ascii_digit() && c != b'_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_len);
    if digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') {
        return Err(QuantityError::Other);
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(if unit.is_empty() {
            QuantityError::NoUnit
        } else {
            QuantityError::Other
        });
    };
    // Only overflow is left to fail.
    let number: u64 = digits
        .replace('_', "")
        .parse()
        .map_err(|_| QuantityError::TooLarge)?;
    number.checked_mul(*factor).ok_or(QuantityError::TooLarge)
}

/// A span as an operator would write it, in the largest unit that holds it.
pub struct AsSpan(pub Millis);

impl fmt::Display for AsSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0;
        for (factor, unit) in [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ] {
            if ms >= factor && ms.is_multiple_of(factor) {
                return write!(f, "{}{unit}", ms / factor);
            }
        }
        write!(f, "{ms}ms")
    }
}

/// Thousandths as an operator would write them.
pub struct AsPerMille(pub u64);

impl fmt::Display for AsPerMille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AsDollars(self.0.saturating_mul(1_000_000)).fmt(f)
    }
}

/// A size as an operator would write it.
pub struct AsSize(pub u64);

impl fmt::Display for AsSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_as_written() {
        assert_eq!(amount("200k"), Ok(200_000));
        assert_eq!(amount("5M"), Ok(5_000_000));
        assert_eq!(amount("1_000"), Ok(1_000));
        assert_eq!(size_bytes("10MiB"), Ok(10 << 20));
        assert_eq!(dollars("25"), Ok(25_000_000_000));
        assert_eq!(dollars("0.15"), Ok(150_000_000));
        assert_eq!(dollars("1_000.000000001"), Ok(1_000_000_000_001));
        assert_eq!(span("250ms"), Ok(Millis(250)));
        assert_eq!(span("1d"), Ok(Millis(86_400_000)));
        assert_eq!(span("1m"), Ok(Millis::from_mins(1)));
    }

    #[test]
    fn what_are_no_dollars() {
        for (text, error) in [
            ("", QuantityError::Other),
            (".5", QuantityError::Other),
            ("5.", QuantityError::Other),
            ("1.0000000001", QuantityError::Other),
            ("1.2.3", QuantityError::Other),
            ("1.-2", QuantityError::Other),
            ("$5", QuantityError::Other),
            ("1e3", QuantityError::Other),
            ("-0.5", QuantityError::Negative),
            ("99999999999999", QuantityError::TooLarge),
        ] {
            assert_eq!(dollars(text), Err(error), "{text}");
        }
        assert_eq!(AsDollars(1_500_000_000).to_string(), "1.5");
        assert_eq!(AsDollars(2_000_000_000).to_string(), "2");
    }

    #[test]
    fn shares_in_thousandths() {
        assert_eq!(per_mille("1"), Ok(1_000));
        assert_eq!(per_mille("1.15"), Ok(1_150));
        assert_eq!(per_mille("0.875"), Ok(875));
        assert_eq!(per_mille("1.0005"), Err(QuantityError::Other));
        assert_eq!(per_mille("115%"), Err(QuantityError::Other));
        assert_eq!(AsPerMille(1_150).to_string(), "1.15");
    }

    #[test]
    fn what_is_no_quantity() {
        for text in [
            "", "k", "1.5k", "1e3", "0x10", "1 k", "_1", "1_", "1K", "+1", "\u{663}",
        ] {
            assert_eq!(amount(text), Err(QuantityError::Other), "{text}");
        }
        assert_eq!(amount("-5"), Err(QuantityError::Negative));
        assert_eq!(amount("99999999999999999999"), Err(QuantityError::TooLarge));
        assert_eq!(
            amount("18446744073709551615G"),
            Err(QuantityError::TooLarge)
        );
        assert_eq!(span("10"), Err(QuantityError::NoUnit));
        assert_eq!(span("10min"), Err(QuantityError::Other));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(n in 0..SPAN_MS_MAX) {
            prop_assert_eq!(span(&AsSpan(Millis(n)).to_string()), Ok(Millis(n)));
            prop_assert_eq!(size_bytes(&AsSize(n).to_string()), Ok(n));
            prop_assert_eq!(amount(&n.to_string()), Ok(n));
        }
    }
}
