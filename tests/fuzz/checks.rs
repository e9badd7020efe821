//! What must hold of any bytes at all, one check for each reader of untrusted
//! bytes. A check panics where it doesn't hold.
//!
//! The fuzz targets in `fuzz_targets/` run them on what libFuzzer finds; the
//! smoke test in `smoke.rs` on the corpus and on mutations of it.

#[path = "checks/answer.rs"]
pub mod answer;
#[path = "checks/caller.rs"]
pub mod caller;
#[path = "checks/event_stream.rs"]
pub mod event_stream;
#[path = "checks/inflate.rs"]
pub mod inflate;
#[path = "checks/json_stream.rs"]
pub mod json_stream;
#[path = "checks/request.rs"]
pub mod request;
#[path = "checks/sse.rs"]
pub mod sse;

/// Panics where something doesn't hold of an input.
pub type Check = fn(&[u8]);

/// The checks, by their names and those of their corpora.
pub const ALL: [(&str, Check); 7] = [
    ("answer", answer::check),
    ("caller", caller::check),
    ("event_stream", event_stream::check),
    ("inflate", inflate::check),
    ("json_stream", json_stream::check),
    ("request", request::check),
    ("sse", sse::check),
];

/// What one byte of an input stands for, so that a small input reaches the
/// bounds of long lines and strings: see [`expanded`].
const RUNS: [(u8, u8, usize); 4] = [
    (0x01, b'A', 5_000),
    (0x02, b' ', 5_000),
    (0x03, b'A', 70_000),
    (GIANT, b'1', 1_100_000),
];

/// Stands for a run past every bound of a stream. It takes its time, so it
/// counts only in an input that also ends with it.
pub const GIANT: u8 = 0x04;

/// The most that an input is expanded to, and one that ends with [`GIANT`].
const EXPANDED_BYTES_MAX: usize = 150_000;
const EXPANDED_GIANT_BYTES_MAX: usize = 1_300_000;

/// The input with each byte of [`RUNS`] replaced by its run, where it fits.
fn expanded(data: &[u8]) -> Vec<u8> {
    let (data, bytes_max) = match data {
        [data @ .., GIANT] => (data, EXPANDED_GIANT_BYTES_MAX),
        data => (data, EXPANDED_BYTES_MAX),
    };
    let mut out = Vec::with_capacity(data.len());
    for byte in data {
        match RUNS.iter().find(|(from, ..)| from == byte) {
            Some((_, to, count)) if out.len() + count <= bytes_max => {
                out.resize(out.len() + count, *to);
            }
            Some(_) => {}
            None => out.push(*byte),
        }
    }
    out
}

/// The first `N` bytes, which choose how the rest is read.
fn choices<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    let (front, rest) = data.split_first_chunk::<N>()?;
    Some((*front, rest))
}

/// The bytes in chunks whose sizes the seed chooses: from single bytes to large
/// ones, short runs of each. A small input is also cut into its bytes.
fn cut(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    if seed == 0 && bytes.len() < 10_000 {
        return bytes.chunks(1).collect();
    }
    let mut state = u64::from(seed);
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        // Knuth's linear congruence, whose high bits are random enough.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bits = (state >> 32) as u32;
        // No more than a few hundred chunks of a large input.
        let at_least = bytes.len() / 400;
        let size = 1 + at_least + (bits >> 8) as usize % (1 << (bits % 13));
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}
