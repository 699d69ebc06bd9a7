//! A hash for states: they are made here, by nobody who would want them to collide, and each move looks one up.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map from states.
pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fx>>;
/// A set of states.
pub(super) type Set<K> = HashSet<K, BuildHasherDefault<Fx>>;

/// The hash of the Rust compiler (`FxHash`): a rotation, an exclusive or and a multiplication a word.
#[derive(Default)]
pub(super) struct Fx(u64);

impl Fx {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.add(word as u64);
    }

    fn finish(&self) -> u64 {
        // The table looks at the high bits and at the low ones, and a multiplication leaves the low ones poor.
        self.0 ^ (self.0 >> 32)
    }
}
