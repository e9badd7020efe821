//! Event streams: any split gives the same events and the same bytes, and
//! little waits.

use super::{choices, cut, expanded};
use weir::protocol::sse::{EVENT_BYTES_MAX, EVENT_PLAIN_BYTES_MAX, LongData, Piece, Splitter};

/// What can be seen of a stream, whatever its chunks.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Name, data, and whether the event was long.
    events: Vec<(Vec<u8>, Option<Vec<u8>>, bool)>,
    raw: Vec<u8>,
}

pub fn check(data: &[u8]) {
    let Some(([seed], rest)) = choices(data) else {
        return;
    };
    let stream = expanded(rest);
    let whole = split(&[&stream]);
    assert!(whole.raw == stream, "the pieces are not the stream");
    assert!(
        split(&cut(&stream, seed)) == whole,
        "a split changes what is seen"
    );
}

fn split(chunks: &[&[u8]]) -> Seen {
    let mut splitter = Splitter::default();
    let mut seen = Seen::default();
    let mut sink = |piece: Piece<'_>| {
        seen.raw.extend_from_slice(piece.raw());
        match piece {
            Piece::Event(event) => {
                assert!(event.raw.len() <= EVENT_PLAIN_BYTES_MAX + 4, "it is long");
                let data = event.data.map(|data| data.into_owned());
                seen.events.push((event.name.to_vec(), data, false));
            }
            Piece::Long(event) => {
                let data = match event.data {
                    LongData::Condensed(data) => Some(data.json),
                    LongData::None | LongData::Unreadable => None,
                };
                let bytes = data.as_ref().map_or(0, Vec::len);
                assert!(
                    bytes <= EVENT_BYTES_MAX + EVENT_BYTES_MAX / 64,
                    "{bytes} kept"
                );
                seen.events.push((event.name, data, true));
            }
            Piece::Part(_) | Piece::LineFeed(_) => {}
        }
    };
    for chunk in chunks {
        splitter.push(chunk, &mut sink);
        let waits = splitter.pending().len();
        assert!(waits <= EVENT_PLAIN_BYTES_MAX + 2, "{waits} wait");
        let held = splitter.bytes_held();
        assert!(
            held <= 2 * EVENT_BYTES_MAX + 4 * EVENT_PLAIN_BYTES_MAX,
            "{held} held"
        );
    }
    splitter.finish(&mut sink);
    assert!(splitter.pending().is_empty());
    seen
}
