//! The grammar of JSON's numbers, RFC 8259 section 6. What they are worth is
//! left to whoever reads them: a number of any size is well-formed.

/// How many bytes the number at the start of `bytes` has; `None` where it is
/// malformed.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let minus = usize::from(bytes.first() == Some(&b'-'));
    let whole = match bytes.get(minus)? {
        b'0' => 1,
        _ => digits(bytes, minus)?,
    };
    let mut at = minus + whole;
    // `01` would be two numbers to some readers.
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        at += 1 + digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at += 1 + sign + digits(bytes, at + 1 + sign)?;
    }
    Some(at)
}

/// The length of a run of digits that must not be empty.
fn digits(bytes: &[u8], start: usize) -> Option<usize> {
    let run = bytes.get(start..)?;
    let length = run.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (length > 0).then_some(length)
}
