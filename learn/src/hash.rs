//! Which code has a word? Maps that are asked once for every value of a column.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A map by words or numbers, quicker than that of the standard library; its order is another in every map.
pub(crate) type QuickMap<K, V> = HashMap<K, V, Seeded>;

/// Begins every hash with a number of chance, so that no table can be made of which all values collide.
#[derive(Debug, Clone)]
pub(crate) struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

/// Eight bytes at a time by folded multiplication, after wyhash (<https://github.com/wangyi-fudan/wyhash>).
pub(crate) struct Folded(u64);

impl Folded {
    fn fold(&mut self, block: u64) {
        let product = u128::from(self.0 ^ block) * 0x2d35_8dcc_aa6c_78a5_u128;
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(block.rotate_left(32));
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<8>();
        blocks.iter().for_each(|block| self.fold(u64::from_le_bytes(*block)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.0) * 0x8bb8_4b93_962e_acc9_u128;
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_that_are_alike_are_told_apart() {
        let words = Seeded::default();
        let mut all: Vec<String> = (0..200_000).map(|n| n.to_string()).collect();
        all.extend((0..64).map(|n| "a".repeat(n)));
        all.extend((0..64).map(|n| "\0".repeat(n)));
        all.push("\0".repeat(64));
        let different: HashSet<&String> = all.iter().collect();
        let hashes: HashSet<u64> = all.iter().map(|word| words.hash_one(word)).collect();
        assert_eq!(hashes.len(), different.len());
        // Tables take the lowest bits for the place and the highest for the first look.
        for bits in [|hash: u64| hash & 0x3ff, |hash: u64| hash >> 54] {
            let mut counts = [0_u32; 1024];
            hashes.iter().for_each(|hash| counts[bits(*hash) as usize] += 1);
            // 196 each: nine standard deviations around it.
            assert!(counts.iter().all(|count| (70..322).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn two_maps_have_different_hashes() {
        assert_ne!(Seeded::default().hash_one("word"), Seeded::default().hash_one("word"));
    }
}
