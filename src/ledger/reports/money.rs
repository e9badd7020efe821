//! Nano-dollars as dollars.

/// Billionths of a dollar.
const NANOS: u128 = 1_000_000_000;

/// All nine decimals, as in `-0.000012500`.
pub fn exact(nanos: i128) -> String {
    let (sign, amount) = (sign(nanos), nanos.unsigned_abs());
    format!("{sign}{}.{:09}", amount / NANOS, amount % NANOS)
}

/// For people: four decimals, the nearest, halves away from zero; what is there
/// but would show as nothing is `<0.0001`.
pub fn rounded(nanos: i128) -> String {
    const STEP: u128 = 100_000;
    let steps = nanos.unsigned_abs().saturating_add(STEP / 2) / STEP;
    if steps == 0 && nanos != 0 {
        let less = if nanos < 0 { ">-" } else { "<" };
        return format!("{less}0.0001");
    }
    let decimals = NANOS / STEP;
    format!(
        "{}{}.{:04}",
        sign(nanos),
        grouped(steps / decimals),
        steps % decimals
    )
}

/// A whole number with a comma between thousands.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A decimal number, as in `12`, `-0.05`, `6e-05`, in units of ten to the minus
/// `scale`; what is finer is rounded to the nearest. `None` where it is none, or
/// too large.
pub fn decimal(text: &str, scale: u32) -> Option<i128> {
    const EXPONENT_MAX: i32 = 30;
    let text = text.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    if all().count() == 0 || !all().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = 0;
    for digit in all() {
        value = value
            .checked_mul(10)?
            .checked_add(i128::from(digit - b'0'))?;
    }
    let shift = exponent
        .checked_add(i32::try_from(scale).ok()?)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let value = match u32::try_from(shift) {
        Ok(up) if shift <= EXPONENT_MAX => value.checked_mul(10_i128.checked_pow(up)?)?,
        Ok(_) => (value == 0).then_some(0)?,
        // So small that nothing is left.
        Err(_) if shift < -EXPONENT_MAX => 0,
        Err(_) => {
            let divisor = 10_i128.checked_pow(shift.unsigned_abs())?;
            value.checked_add(divisor / 2)? / divisor
        }
    };
    Some(if negative { -value } else { value })
}

fn sign(nanos: i128) -> &'static str {
    if nanos < 0 { "-" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dollars_for_programs_and_for_people() {
        for (nanos, all, few) in [
            (0, "0.000000000", "0.0000"),
            (1, "0.000000001", "<0.0001"),
            (-1, "-0.000000001", ">-0.0001"),
            (49_999, "0.000049999", "<0.0001"),
            (50_000, "0.000050000", "0.0001"),
            (-50_000, "-0.000050000", "-0.0001"),
            (1_999_950_000, "1.999950000", "2.0000"),
            (1_234_567_000_000_000, "1234567.000000000", "1,234,567.0000"),
        ] {
            assert_eq!((&*exact(nanos), &*rounded(nanos)), (all, few));
        }
    }

    #[test]
    fn decimals_as_providers_write_them() {
        for (text, scale, value) in [
            ("0.06", 9, Some(60_000_000)),
            ("6e-05", 9, Some(60_000)),
            ("1.5E+2", 9, Some(150_000_000_000)),
            ("123.78912", 7, Some(1_237_891_200)),
            ("-2", 2, Some(-200)),
            ("0.0000000005", 9, Some(1)),
            ("1e-99", 9, Some(0)),
            ("0e99", 9, Some(0)),
            (" 7 ", 0, Some(7)),
            ("1e99", 9, None),
            ("1e99999999999", 9, None),
            ("", 9, None),
            (".", 9, None),
            ("1.2.3", 9, None),
            ("NaN", 9, None),
            ("99999999999999999999999999999999999999999", 0, None),
        ] {
            assert_eq!(decimal(text, scale), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_exactly_is_read_back(nanos in any::<i64>()) {
            prop_assert_eq!(decimal(&exact(i128::from(nanos)), 9), Some(i128::from(nanos)));
        }

        #[test]
        fn no_text_makes_it_fail(text in "[-+0-9.eE]{0,60}", scale in 0u32..12) {
            let _ = decimal(&text, scale);
        }
    }
}
