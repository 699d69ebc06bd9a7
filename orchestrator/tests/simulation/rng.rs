//! A seeded random number generator.

/// A stream of pseudo-random numbers: `SplitMix64` (Steele, Lea, Flood, 2014).
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    /// A number from 0 to `end`, exclusive.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `first` to `last`, inclusive.
    pub const fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True with a probability of `times` in a thousand.
    pub const fn permille(&mut self, times: u64) -> bool {
        self.below(1_000) < times
    }

    /// A random index.
    #[expect(clippy::cast_possible_truncation, reason = "it is below a length")]
    pub const fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}
