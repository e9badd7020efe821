//! Amounts of dollars as they are written, in nano-dollars.

/// An amount that a literal writes: digits, perhaps a point, perhaps an exponent,
/// no sign. None where it isn't whole nano-dollars or is more than an int holds.
/// Nothing is rounded: it is read digit by digit.
pub fn nanos(written: &str) -> Option<i64> {
    let (digits, exponent) = match written.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (written, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The place of the next digit, as a power of ten of a nano-dollar.
    let len = i32::try_from(whole.len()).ok()?;
    let mut place = exponent.checked_add(len)?.checked_add(9 - 1)?;
    let mut nanos = 0_i64;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = i64::from(char::from(digit).to_digit(10)?);
        if digit != 0 {
            let place = u32::try_from(place).ok()?;
            let worth = 10_i64.checked_pow(place)?.checked_mul(digit)?;
            nanos = nanos.checked_add(worth)?;
        }
        place = place.checked_sub(1)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_digit_by_digit() {
        for (written, expected) in [
            ("0", Some(0)),
            ("5", Some(5_000_000_000)),
            ("0.1", Some(100_000_000)),
            (".25", Some(250_000_000)),
            ("0.30", Some(300_000_000)),
            ("2.", Some(2_000_000_000)),
            ("0.000000001", Some(1)),
            ("1000000000.000000001", Some(1_000_000_000_000_000_001)),
            ("9223372036.854775807", Some(i64::MAX)),
            ("9223372036.854775808", None),
            ("0.0000000001", None),
            ("0.00000000010", None),
            ("0.0000000010", Some(1)),
            ("1e-9", Some(1)),
            ("1e-10", None),
            ("10e-10", Some(1)),
            ("2.5E3", Some(2_500_000_000_000)),
            ("2.5e+3", Some(2_500_000_000_000)),
            ("1e10", None),
            ("0e99", Some(0)),
            ("1e999999999999", None),
            ("1e2147483647", None),
            ("1e-2147483648", None),
            ("", None),
            (".", None),
            ("x", None),
            ("1,5", None),
        ] {
            assert_eq!(nanos(written), expected, "{written}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_is_read_as_it_is_written(nano in 0..=i64::MAX) {
            let written = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
            prop_assert_eq!(nanos(&written), Some(nano));
        }
    }
}
