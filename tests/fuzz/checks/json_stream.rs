//! Streams of JSON values: any split gives the same objects, and little waits.

use super::{choices, cut, expanded};
use weir::protocol::json_stream::{
    Piece, Splitter, VALUE_BYTES_MAX, VALUE_PLAIN_BYTES_MAX, VALUE_STRING_BYTES_MAX,
};

pub fn check(data: &[u8]) {
    let Some(([seed], rest)) = choices(data) else {
        return;
    };
    let stream = expanded(rest);
    let whole = split(&[&stream]);
    assert!(
        split(&cut(&stream, seed)) == whole,
        "a split changes what is seen"
    );
    let mut rest = stream.as_slice();
    for object in whole.0.iter().flatten() {
        assert!(object.starts_with(b"{"), "an object begins with its brace");
        assert!(object.len() <= VALUE_BYTES_MAX + VALUE_BYTES_MAX / 64);
        if object.len() <= VALUE_STRING_BYTES_MAX {
            // None of its strings can have been cut.
            let at = rest.windows(object.len()).position(|part| part == object);
            let at = at.expect("an object is part of the stream, behind the last one");
            rest = &rest[at + object.len()..];
        }
    }
}

/// The objects, `None` for each that could not be read, and whether the stream
/// may end.
fn split(chunks: &[&[u8]]) -> (Vec<Option<Vec<u8>>>, bool) {
    let mut splitter = Splitter::default();
    let mut objects = Vec::new();
    for chunk in chunks {
        splitter.push(chunk, &mut |piece| {
            objects.push(match piece {
                Piece::Object(object) => {
                    assert!(object.len() <= VALUE_PLAIN_BYTES_MAX, "it is long");
                    Some(object.to_vec())
                }
                Piece::Long(condensed) => condensed.map(|condensed| condensed.json),
            });
        });
        let held = splitter.bytes_held();
        assert!(
            held <= 2 * VALUE_BYTES_MAX + 4 * VALUE_PLAIN_BYTES_MAX,
            "{held} held"
        );
    }
    (objects, splitter.is_between_values())
}
