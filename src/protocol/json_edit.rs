//! Edits of a body in place: every byte that no edit covers stays as the client
//! sent it.

use std::ops::Range;

/// One replacement. An empty span inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which bytes of the original body go.
    pub span: Range<usize>,
    /// What stands there instead.
    pub text: String,
}

/// `body` with its edits. They come in the order of their places and don't
/// overlap; insertions at one place keep their order.
///
/// Edits that break this are a fault of whoever made them. The result is then
/// empty, which every provider refuses: a body with half of its edits could ask
/// for more than was reserved.
pub fn apply(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut edited = Vec::with_capacity(body.len().saturating_add(added));
    let mut at = 0;
    for Edit { span, text } in edits {
        let (Some(kept), true) = (body.get(at..span.start), span.start <= span.end) else {
            return Vec::new();
        };
        edited.extend_from_slice(kept);
        edited.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    let Some(tail) = body.get(at..) else {
        return Vec::new();
    };
    edited.extend_from_slice(tail);
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(span: Range<usize>, text: &str) -> Edit {
        let text = text.to_owned();
        Edit { span, text }
    }

    #[test]
    fn edits_change_their_spans_and_nothing_else() {
        let table: Vec<(Vec<Edit>, &str)> = vec![
            (vec![], "abcdef"),
            (vec![edit(0..0, "X")], "Xabcdef"),
            (vec![edit(6..6, "X")], "abcdefX"),
            (vec![edit(1..1, "X"), edit(1..1, "Y")], "aXYbcdef"),
            (
                vec![edit(1..1, "X"), edit(1..3, "Y"), edit(3..4, "")],
                "aXYef",
            ),
            (vec![edit(0..6, "Z")], "Z"),
        ];
        for (edits, expected) in table {
            assert_eq!(apply(b"abcdef", &edits), expected.as_bytes(), "{edits:?}");
        }
    }

    #[test]
    fn edits_that_do_not_fit_give_an_empty_body() {
        let backwards = Range { start: 4, end: 2 };
        for edits in [
            vec![edit(2..4, "X"), edit(3..5, "Y")],
            vec![edit(3..3, "X"), edit(1..1, "Y")],
            vec![edit(5..7, "X")],
            vec![edit(7..7, "X")],
            vec![edit(backwards, "X")],
        ] {
            assert_eq!(apply(b"abcdef", &edits), b"", "{edits:?}");
        }
    }
}
