//! Where are certain bytes in a text? 64 bytes are compared at a time, which compilers turn into a few instructions.

/// Bytes that are compared at a time.
const BLOCK: usize = 64;

/// The places of `N` different bytes in a text.
pub(crate) struct Marks<'t, const N: usize> {
    text: &'t [u8],
    wanted: [u8; N],
    /// Where the block begins that `found` is about.
    begin: usize,
    /// A bit for each byte of the block, the lowest for the first.
    found: u64,
}

impl<'t, const N: usize> Marks<'t, N> {
    pub(crate) fn new(text: &'t [u8], wanted: [u8; N]) -> Self {
        let mut marks = Self { text, wanted, begin: 0, found: 0 };
        marks.look(0);
        marks
    }

    /// The first of them that is not before `at`; where there is none, the length of the text.
    #[inline]
    pub(crate) fn next(&mut self, mut at: usize) -> usize {
        loop {
            let within = at.wrapping_sub(self.begin);
            if within < BLOCK {
                let ahead = self.found >> within;
                if ahead != 0 {
                    return at + ahead.trailing_zeros() as usize;
                }
                at = self.begin + BLOCK;
            }
            if at >= self.text.len() {
                return self.text.len();
            }
            self.look(at & !(BLOCK - 1));
        }
    }

    fn look(&mut self, begin: usize) {
        self.begin = begin;
        let rest = self.text.get(begin..).unwrap_or_default();
        self.found = match rest.first_chunk() {
            Some(block) => self.compare(block),
            None => {
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                self.compare(&block) & ((1 << rest.len()) - 1)
            }
        };
    }

    /// A bit for each byte that is wanted.
    #[inline]
    fn compare(&self, block: &[u8; BLOCK]) -> u64 {
        let wanted = self.wanted;
        let equal: [u8; BLOCK] =
            std::array::from_fn(|at| wanted.iter().fold(0, |any, &byte| any | u8::from(block[at] == byte)));
        let (eights, _) = equal.as_chunks::<8>();
        // The product moves the lowest bit of each of eight bytes into the highest byte, the first byte's to its lowest bit.
        let bits = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        eights.iter().enumerate().fold(0, |all, (index, eight)| all | bits(eight) << (8 * index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_in_texts_of_any_length() {
        for length in 0..200 {
            let text: Vec<u8> = (0..length).map(|at: usize| b"ab;\nc\rdefgh"[at * at % 11]).collect();
            let mut marks = Marks::new(&text, *b";\n\r");
            for at in 0..=length {
                let expected = (at..length).find(|&at| b";\n\r".contains(&text[at])).unwrap_or(length);
                assert_eq!(marks.next(at), expected, "{length} {at}");
                assert_eq!(marks.next(at / 2), marks.next(at / 2), "going back");
            }
        }
    }

    #[test]
    fn what_is_behind_the_text_is_no_mark() {
        assert_eq!(Marks::new(b"ab", [0]).next(0), 2);
    }
}
