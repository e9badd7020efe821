//! The IETF's `RateLimit-Policy` and `RateLimit` headers.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-10, sections 2 and 3. Both are
//! lists of RFC 9651 strings with parameters: `q` the quota, `qu` its unit, `w`
//! the window in seconds; `r` what is left, `t` the seconds until it is whole.

use std::fmt::Write;

/// One limit as the headers tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub limit: u64,
    /// `None` where it isn't always the same, or there is none.
    pub window_ms: Option<u64>,
    pub remaining: u64,
    /// `None` where nobody can know.
    pub reset_ms: Option<u64>,
}

/// The largest number of a structured field (RFC 9651, section 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// The names of both headers.
pub const NAMES: [&str; 2] = ["ratelimit-policy", "ratelimit"];

/// Both headers; none where there is no limit.
pub fn headers(items: &[Item]) -> Vec<(&'static str, String)> {
    if items.is_empty() {
        return Vec::new();
    }
    let (mut policies, mut standings) = (String::new(), String::new());
    for item in items {
        let separator = if policies.is_empty() { "" } else { ", " };
        let name = string(item.name);
        let quota = item.limit.min(INTEGER_MAX);
        // Writing to a String can't fail.
        let _ = write!(policies, "{separator}{name};q={quota}");
        // The unit that is meant where none is named.
        if item.unit != "requests" {
            let _ = write!(policies, ";qu={}", string(item.unit));
        }
        if let Some(ms) = item.window_ms {
            let _ = write!(policies, ";w={}", seconds(ms));
        }
        let left = item.remaining.min(INTEGER_MAX);
        let _ = write!(standings, "{separator}{name};r={left}");
        if let Some(ms) = item.reset_ms {
            let _ = write!(standings, ";t={}", seconds(ms));
        }
    }
    NAMES.into_iter().zip([policies, standings]).collect()
}

/// Rounded up, so that nobody comes back too early.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000).min(INTEGER_MAX)
}

/// A string of a structured field; what it can't hold becomes `?`.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_name_every_limit() {
        let items = [
            Item {
                name: "tenant-requests",
                unit: "requests",
                limit: 600,
                window_ms: Some(60_000),
                remaining: 599,
                reset_ms: Some(59_001),
            },
            Item {
                name: "sa\"y \u{e9}",
                unit: "concurrency",
                limit: u64::MAX,
                window_ms: None,
                remaining: 3,
                reset_ms: None,
            },
        ];
        assert_eq!(
            headers(&items),
            [
                (
                    "ratelimit-policy",
                    r#""tenant-requests";q=600;w=60, "sa\"y ?";q=999999999999999;qu="concurrency""#
                        .to_owned()
                ),
                (
                    "ratelimit",
                    r#""tenant-requests";r=599;t=60, "sa\"y ?";r=3"#.to_owned()
                ),
            ]
        );
        assert!(headers(&[]).is_empty());
    }
}
