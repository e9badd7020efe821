//! AWS's event streams: any split gives the same frames, those that were put in
//! come out, and nothing comes out behind a damaged one.

use super::{choices, cut, expanded};
use weir::protocol::event_stream::{
    FRAME_PLAIN_BYTES_MAX, HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX, Piece, Splitter,
};

/// Between two payloads of an input that makes frames.
const SEPARATOR: u8 = 0x00;

pub fn check(data: &[u8]) {
    let Some(([seed, form], rest)) = choices(data) else {
        return;
    };
    if form % 4 == 0 {
        same_at_any_split(rest, seed);
        return;
    }
    let rest = expanded(rest);
    let payloads: Vec<&[u8]> = rest.split(|byte| *byte == SEPARATOR).collect();
    let mut stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
    let whole = same_at_any_split(&stream, seed);
    assert_eq!(whole.0.len(), payloads.len(), "a frame is missing");
    assert!(whole.1, "all frames are whole");
    for (seen, payload) in whole.0.iter().zip(&payloads) {
        let is_short = payload.len() + 100 <= FRAME_PLAIN_BYTES_MAX;
        assert!(!is_short || seen.as_deref() == Some(*payload));
    }
    // One damaged bit: what was before it comes out, then nothing more.
    let at = usize::from(form) * 251 % stream.len();
    stream[at] ^= 1 << (seed % 8);
    let damaged = same_at_any_split(&stream, seed);
    assert!(!damaged.1, "damage is seen");
    assert!(damaged.0.len() <= whole.0.len());
    let good = damaged.0.len().saturating_sub(1);
    assert!(
        damaged.0[..good] == whole.0[..good],
        "what is before it is as it was"
    );
    assert!(
        damaged.0[good..].iter().all(Option::is_none),
        "and nothing is behind it"
    );
}

/// The payloads, `None` for what is none, and whether the stream may end.
type Seen = (Vec<Option<Vec<u8>>>, bool);

fn same_at_any_split(stream: &[u8], seed: u8) -> Seen {
    let whole = split(&[stream]);
    assert!(
        split(&cut(stream, seed)) == whole,
        "a split changes what is seen"
    );
    whole
}

fn split(chunks: &[&[u8]]) -> Seen {
    let mut splitter = Splitter::default();
    let mut seen = Vec::new();
    for chunk in chunks {
        splitter.push(chunk, &mut |piece| {
            seen.push(match piece {
                Piece::Frame(frame) => Some(frame.payload.to_vec()),
                Piece::Long(_, payload) => payload.map(|payload| payload.json),
                Piece::Overlong | Piece::Corrupt => None,
            });
        });
        let held = splitter.bytes_held();
        let held_max = 4 * PAYLOAD_BYTES_MAX + 2 * HEADERS_BYTES_MAX + 2 * FRAME_PLAIN_BYTES_MAX;
        assert!(held <= held_max, "{held} held");
    }
    (seen, splitter.is_between_frames())
}

/// A frame as AWS sends it.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", "chunk"), (":message-type", "event")] {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(&[7, 0, value.len() as u8]);
        headers.extend_from_slice(value.as_bytes());
    }
    let total = (headers.len() + payload.len() + 16) as u32;
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}
