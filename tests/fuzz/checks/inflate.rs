//! Content codings: any split gives the same bytes, what was coded comes back,
//! and no input yields more than the bounds say.

use super::{choices, cut, expanded};
use std::io::Write;
use weir::protocol::inflate::{
    EXPANSION_FREE_BYTES, EXPANSION_MAX, Encoding, Inflate, InflateError, STEP_BYTES,
    STREAM_OUTPUT_BYTES_MAX, WholeError, whole,
};

pub const CODED: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Brotli,
    Encoding::Zstd,
];

/// The most that is taken at once: more than any input here expands to.
const BYTES_MAX: usize = 64 << 20;

pub fn check(data: &[u8]) {
    let Some(([encoding, form, seed], rest)) = choices(data) else {
        return;
    };
    let encoding = CODED[usize::from(encoding) % CODED.len()];
    if form % 2 == 0 {
        let (out, result) = decoded_alike(encoding, rest, seed);
        let taken = whole(encoding, rest, BYTES_MAX);
        // Of what can't be streamed nothing is taken, and of a stream all.
        assert!(result.is_ok() || taken.is_err(), "{result:?} {encoding:?}");
        assert!(taken.is_err() || taken == Ok(out), "{encoding:?}");
        return;
    }
    let plain = expanded(rest);
    let Some(coded) = encoded(encoding, &plain) else {
        return;
    };
    let (out, result) = decoded_alike(encoding, &coded, seed);
    let in_bounds = plain.len() as u64 <= EXPANSION_FREE_BYTES;
    assert!(
        !in_bounds || (result.is_ok() && out == plain),
        "what was coded comes back"
    );
    let taken = whole(encoding, &coded, plain.len());
    assert!(!in_bounds || taken == Ok(plain), "all at once, too");
    if let Some(less) = coded.len().checked_sub(1) {
        let cut = whole(encoding, &coded[..less], BYTES_MAX);
        assert!(matches!(
            cut,
            Err(WholeError::Malformed | WholeError::Expands)
        ));
    }
}

type Decoded = (Vec<u8>, Result<(), InflateError>);

fn decoded_alike(encoding: Encoding, coded: &[u8], seed: u8) -> Decoded {
    let whole = decode(encoding, &[coded]);
    let split = decode(encoding, &cut(coded, seed));
    let both = whole.0.len().min(split.0.len());
    assert!(
        whole.0[..both] == split.0[..both],
        "a split changes the bytes"
    );
    // The more has come in, the more may come out; up to here that is no matter.
    if coded.len() as u64 * EXPANSION_MAX <= EXPANSION_FREE_BYTES {
        // Brotli's decoder finds some faults later the more it is given at once.
        let faulty = encoding == Encoding::Brotli && (whole.1.is_err() || split.1.is_err());
        assert!(faulty || whole.1 == split.1, "a split changes the end");
        let is_whole = whole.0.len() == split.0.len();
        assert!(
            faulty || whole.1.is_err() || is_whole,
            "a split changes the length"
        );
    }
    whole
}

fn decode(encoding: Encoding, chunks: &[&[u8]]) -> Decoded {
    let mut inflate = Inflate::new(encoding);
    let mut out = Vec::new();
    let mut bytes_in = 0;
    for chunk in chunks {
        bytes_in += chunk.len() as u64;
        let result = inflate.push(chunk, &mut |piece| {
            assert!((1..=STEP_BYTES).contains(&piece.len()));
            out.extend_from_slice(piece);
        });
        let bytes_max =
            (bytes_in * EXPANSION_MAX).clamp(EXPANSION_FREE_BYTES, STREAM_OUTPUT_BYTES_MAX);
        assert!(out.len() as u64 <= bytes_max, "{} of {bytes_in}", out.len());
        if let Err(error) = result {
            let mut more = 0;
            let again = inflate.push(b"more", &mut |piece| more += piece.len());
            assert_eq!((again, more), (Err(error), 0), "nothing follows an error");
            return (out, result);
        }
    }
    (out, Ok(()))
}

/// `None`: there is no encoder for it here.
pub fn encoded(encoding: Encoding, plain: &[u8]) -> Option<Vec<u8>> {
    let level = flate2::Compression::new(3);
    match encoding {
        Encoding::Identity => Some(plain.to_vec()),
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain).ok()?;
            encoder.finish().ok()
        }
        Encoding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(plain).ok()?;
            encoder.finish().ok()
        }
        Encoding::Zstd => zstd::stream::encode_all(plain, 1).ok(),
        Encoding::Brotli => None,
    }
}
