//! Bodies of `multipart/form-data`: which parts there are, and where.
//!
//! Strict on purpose, and so our own: parsers differ in what they forgive
//! (parts without a name, text before the first boundary, names written in two
//! ways), and what is judged here must be what the provider reads. What no
//! client sends is refused. Nothing is copied.
//!
//! Source: RFC 7578 and RFC 2046, section 5.1.

use memchr::memmem;
use std::ops::Range;

/// The most parts of a body. OpenAI's endpoints take about twenty.
pub const PARTS_MAX: usize = 128;

/// The longest boundary: RFC 2046's own bound.
const BOUNDARY_BYTES_MAX: usize = 70;

/// The longest head of a part.
const HEAD_BYTES_MAX: usize = 4_096;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'b> {
    pub name: &'b str,
    /// It comes with a file's name.
    pub is_file: bool,
    /// Its bytes in the body.
    pub content: Range<usize>,
    /// All of it, from the boundary before it to the end of its last line: a body
    /// without these bytes is a form without this part.
    pub whole: Range<usize>,
}

/// Why a body can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    #[error("it doesn't begin with the boundary that the Content-Type names")]
    Start,
    #[error("part {0} has no end")]
    Unended(usize),
    #[error("the head of part {0} can't be read: it needs one Content-Disposition with a name")]
    Head(usize),
    #[error("part {0} has a Content-Transfer-Encoding, which this gateway doesn't undo")]
    Encoded(usize),
    #[error("something follows its last part")]
    Trailing,
    #[error("it has more than 128 parts")]
    TooMany,
}

/// The boundary that a content type names; `None` where it is no
/// `multipart/form-data` with one boundary.
pub fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';');
    let essence = parts.next()?.trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut found = None;
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("boundary") {
            continue;
        }
        let value = value.trim();
        let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        if found.replace(plain.unwrap_or(value)).is_some() {
            return None;
        }
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    found.filter(|b| (1..=BOUNDARY_BYTES_MAX).contains(&b.len()) && b.bytes().all(known))
}

/// The parts of a body, in order.
pub fn parts<'b>(boundary: &str, body: &'b [u8]) -> Result<Vec<Part<'b>>, MultipartError> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    let first = delimiter.as_bytes().get(2..).unwrap_or_default();
    if !body.starts_with(first) {
        return Err(MultipartError::Start);
    }
    let mut at = first.len();
    let mut parts = Vec::new();
    loop {
        let begin = at - first.len();
        match body.get(at..).unwrap_or_default() {
            [b'-', b'-'] | [b'-', b'-', b'\r', b'\n'] => return Ok(parts),
            [b'-', b'-', ..] => return Err(MultipartError::Trailing),
            [b'\r', b'\n', ..] => at += 2,
            _ => return Err(MultipartError::Unended(parts.len())),
        }
        if parts.len() == PARTS_MAX {
            return Err(MultipartError::TooMany);
        }
        let rest = body.get(at..).unwrap_or_default();
        let end = finder
            .find(rest)
            .ok_or(MultipartError::Unended(parts.len()))?;
        let mut part = part(rest.get(..end).unwrap_or_default(), at, parts.len())?;
        // With the line break that belongs to the next boundary.
        part.whole = begin..at + end + 2;
        parts.push(part);
        at += end + delimiter.len();
    }
}

/// One part that begins at `at`.
fn part(bytes: &[u8], at: usize, index: usize) -> Result<Part<'_>, MultipartError> {
    let unread = MultipartError::Head(index);
    let front = bytes.get(..bytes.len().min(HEAD_BYTES_MAX)).ok_or(unread)?;
    let length = memmem::find(front, b"\r\n\r\n").ok_or(unread)?;
    let head = std::str::from_utf8(front.get(..length).ok_or(unread)?).map_err(|_| unread)?;
    let mut disposition = None;
    for line in head.split("\r\n") {
        // Some parsers end a line there.
        if line.contains(char::is_control) {
            return Err(unread);
        }
        let (name, value) = line.split_once(':').ok_or(unread)?;
        if name.eq_ignore_ascii_case("content-disposition") {
            if disposition.replace(value).is_some() {
                return Err(unread);
            }
        } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
            return Err(MultipartError::Encoded(index));
        } else if !name.eq_ignore_ascii_case("content-type")
            && !name.eq_ignore_ascii_case("content-length")
        {
            return Err(unread);
        }
    }
    let (name, is_file) = disposition.and_then(described).ok_or(unread)?;
    Ok(Part {
        name,
        is_file,
        content: at + length + 4..at + bytes.len(),
        whole: at..at + bytes.len(),
    })
}

/// The name in `form-data; name="..."`, and whether it is a file's. Escapes and
/// the extended forms (`name*`) are read in several ways, and so refused in
/// names; a file's own name is nobody's business.
fn described(disposition: &str) -> Option<(&str, bool)> {
    let rest = disposition.trim().strip_prefix("form-data")?;
    let (mut name, mut is_file) = (None, false);
    let mut rest = rest.trim_start();
    while let Some(parameter) = rest.strip_prefix(';') {
        let (key, value) = parameter.split_once('=')?;
        let key = key.trim();
        let (value, behind) = quoted(value)?;
        match key {
            "name" if !value.contains(['\\', '%', '"']) => {
                if name.replace(value).is_some() {
                    return None;
                }
            }
            "filename" => is_file = true,
            "filename*" => is_file = true,
            _ => return None,
        }
        rest = behind.trim_start();
    }
    rest.is_empty().then_some((name?, is_file))
}

/// A value in quotes, or without any, and what follows it.
fn quoted(value: &str) -> Option<(&str, &str)> {
    let Some(inner) = value.strip_prefix('"') else {
        let end = value.find(';').unwrap_or(value.len());
        let (token, rest) = value.split_at(end);
        return Some((token.trim(), rest));
    };
    let mut escaped = false;
    let end = inner.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    Some((inner.get(..end)?, inner.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(body: &str) -> Result<Vec<(String, bool, String)>, MultipartError> {
        let text = |part: &Part| body[part.content.clone()].to_owned();
        Ok(parts("B", body.as_bytes())?
            .iter()
            .map(|part| (part.name.to_owned(), part.is_file, text(part)))
            .collect())
    }

    const HEAD: &str = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";

    #[test]
    fn parts_are_found() {
        let body = format!(
            "{HEAD}m\r\n--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\\\"b;.mp3\"\r\n\
             Content-Type: audio/mpeg\r\n\r\n\r\n--b--B\r\n\r\n--B\r\n\
             Content-Disposition: form-data; filename=x; name=mask\r\n\r\n\r\n--B--\r\n"
        );
        let expected = [
            ("model", false, "m"),
            ("file", true, "\r\n--b--B\r\n"),
            ("mask", true, ""),
        ];
        let found = names(&body).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(n, f, t)| (n.as_str(), *f, t.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use MultipartError::*;
        let end = "\r\n--B--";
        let with_head = |head: &str| format!("--B\r\n{head}\r\n\r\nx{end}");
        for (body, error) in [
            (String::new(), Start),
            (format!("preamble\r\n{HEAD}m{end}"), Start),
            (format!("{HEAD}m"), Unended(0)),
            (format!("{HEAD}m\r\n--Bx"), Unended(1)),
            (format!("{HEAD}m{end}\r\nepilogue"), Trailing),
            (format!("--B\r\n\r\nx{end}"), Head(0)),
            (with_head("Content-Type: text/plain"), Head(0)),
            (with_head("Content-Disposition: form-data"), Head(0)),
            (
                with_head(
                    "Content-Type: a\nContent-Disposition: form-data; name=\"n\"\r\nContent-Disposition: form-data; name=\"z\"",
                ),
                Head(0),
            ),
            (
                with_head("Content-Disposition: attachment; name=\"a\""),
                Head(0),
            ),
            (
                with_head("Content-Disposition: form-data; name=\"a\"; name=\"b\""),
                Head(0),
            ),
            (
                with_head("Content-Disposition: form-data; name=\"a\"; name*=utf-8''b"),
                Head(0),
            ),
            (
                with_head("Content-Disposition: form-data; name=\"a\\\"b\""),
                Head(0),
            ),
            (
                with_head("Content-Disposition: form-data; name=\"a%22\""),
                Head(0),
            ),
            (
                with_head("Content-Disposition: form-data; NAME=\"a\""),
                Head(0),
            ),
            (
                with_head(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
                ),
                Head(0),
            ),
            (
                with_head(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
                ),
                Encoded(0),
            ),
            (
                with_head("Content-Disposition: form-data; name=\"a\"\r\n folded: x"),
                Head(0),
            ),
            (
                HEAD.repeat(0) + &format!("{HEAD}m\r\n").repeat(129) + "--B--",
                TooMany,
            ),
        ] {
            assert_eq!(names(&body), Err(error), "{body:?}");
        }
    }

    #[test]
    fn a_content_type_names_one_boundary() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\"", None),
            ("multipart/form-data; boundary=\"a-b\"", Some("a-b")),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=a", None),
            ("application/json", None),
        ] {
            assert_eq!(boundary(content_type), expected, "{content_type}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert_eq!(boundary(&long), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            body in prop::collection::vec(prop::sample::select(&b"-B\r\n:;=\" namefor.\x00"[..]), 0..200)
        ) {
            let body = [b"--B\r\nContent-Disposition: form-data; name=\"a\"".as_slice(), &body].concat();
            if let Ok(parts) = parts("B", &body) {
                for part in parts {
                    prop_assert!(body.get(part.content).is_some());
                }
            }
        }
    }
}
