//! Numbers that look random and are the same for a seed (SplitMix64).

use std::time::Duration;

pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }

    /// Up to so long.
    pub async fn rest(&mut self, milliseconds: std::ops::Range<u64>) {
        let span = milliseconds.end - milliseconds.start;
        let pause = milliseconds.start + self.roll(span);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}
