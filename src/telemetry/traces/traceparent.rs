//! The caller's trace context: `traceparent` of W3C Trace Context.
//! <https://www.w3.org/TR/trace-context/#traceparent-header>

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

/// `version-trace_id-parent_id-flags`, each in lower case hexadecimal.
const LEN_OF_VERSION_0: usize = 55;

/// The context a header stands for; an empty one where it is absent or wrong.
pub(super) fn context(header: Option<&str>) -> Context {
    match header.and_then(parse) {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    }
}

/// Reads a header. A version above 0 may have more behind the flags.
pub(super) fn parse(header: &str) -> Option<SpanContext> {
    let known = header.get(..LEN_OF_VERSION_0)?;
    let more = header.get(LEN_OF_VERSION_0..)?;
    let mut parts = known.split('-');
    let (version, trace_id) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
    let (span_id, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
    let more_is_right = more.is_empty() || (version > 0 && more.starts_with('-'));
    if parts.next().is_some() || !more_is_right || version == 0xff {
        return None;
    }
    let flags = TraceFlags::new(u8::try_from(flags).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(
        TraceId::from(trace_id),
        SpanId::from(u64::try_from(span_id).ok()?),
        flags,
        true,
        TraceState::NONE,
    );
    // Ids of zeros only are none.
    context.is_valid().then_some(context)
}

fn hex(digits: &str, len: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != len || !digits.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn headers_are_read_as_the_recommendation_says() {
        let cases = [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), Some(true)),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), Some(false)),
            (format!("00-{TRACE}-00f067aa0ba902b7-03"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what"), Some(true)),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01what"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-what"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-01 "), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                None,
            ),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00_{TRACE}_00f067aa0ba902b7_01"), None),
            (format!("00-{TRACE}-00f067aa0ba902b7-+1"), None),
            ("00".to_owned(), None),
            (String::new(), None),
        ];
        for (header, sampled) in cases {
            let parsed = parse(&header);
            assert_eq!(
                parsed.as_ref().map(SpanContext::is_sampled),
                sampled,
                "{header}"
            );
            if let Some(parsed) = parsed {
                assert_eq!(parsed.trace_id().to_string(), TRACE);
                assert_eq!(parsed.span_id().to_string(), "00f067aa0ba902b7");
                assert!(parsed.is_remote());
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}", cut in 0usize..60) {
            let _ = parse(&text);
            let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
            let spliced = format!("{}{text}", &good[..cut.min(good.len())]);
            let _ = parse(&spliced);
        }
    }
}
