//! The texts of strings that a scanner has walked.

use super::string;
use crate::protocol::TextSpan;
use std::borrow::Cow;

/// The text of a span of `body`, which a [`Scanner`](super::Scanner) must have walked: borrowed
/// where it holds no escapes. A span of another body gives any text, never a
/// panic.
pub fn text<'a>(body: &'a [u8], span: &TextSpan) -> Cow<'a, str> {
    unescaped(raw(body, span), span)
}

/// As [`text`], unescaping into `scratch`, whose memory is used again.
pub fn text_in<'a>(body: &'a [u8], span: &TextSpan, scratch: &'a mut String) -> &'a str {
    let raw = raw(body, span);
    if !span.escaped {
        return raw;
    }
    scratch.clear();
    string::unescape(raw, scratch);
    scratch
}

/// Writes the text of a part of a string behind `out`. What is no whole escape
/// is left out, or taken for any text; never a panic.
pub fn unescape(raw: &str, out: &mut String) {
    string::unescape(raw, out);
}

fn raw<'a>(body: &'a [u8], span: &TextSpan) -> &'a str {
    let bytes = body.get(span.span.clone()).unwrap_or_default();
    simdutf8::basic::from_utf8(bytes).unwrap_or_default()
}

pub(super) fn unescaped<'a>(raw: &'a str, span: &TextSpan) -> Cow<'a, str> {
    if !span.escaped {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    string::unescape(raw, &mut text);
    Cow::Owned(text)
}
