//! Does a checkpoint belong to this run?

use super::rate::depends_on_epochs;
use super::{Part, TrainJob};
use crate::spec::TrainSpec;
use crate::{Encoded, Error, Result};

/// A quick hash for telling runs apart, not against an enemy: FNV-1a by words of 64 bits with SplitMix64's last step.
#[derive(Debug)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 32;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn words(&mut self, words: impl ExactSizeIterator<Item = u32>) {
        self.word(words.len() as u64);
        words.for_each(|word| self.word(u64::from(word)));
    }

    /// Adds rows and their answers.
    pub(super) fn part(&mut self, rows: &Part) {
        part(self, rows, true);
    }

    pub(super) fn finish(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Of the network, the features, the target and all settings but the number of epochs, which a resumed run may raise
/// where no step size depends on it.
pub(super) fn of_spec(job: &TrainJob) -> Result<String> {
    let epochs = if depends_on_epochs(&job.train.schedule) { job.train.epochs } else { 0 };
    let train = TrainSpec { epochs, ..job.train.clone() };
    let text = serde_json::to_vec(&(job.net, &train, job.numeric, job.target));
    let mut hash = Hash::new();
    hash.bytes(&text.map_err(|e| Error::Internal(format!("the settings as text: {e}")))?);
    Ok(hash.finish())
}

/// Of all rows, their answers, and which of them are for training and for validation.
pub(super) fn of_rows(job: &TrainJob) -> String {
    let mut hash = Hash::new();
    if let Some(spool) = job.spool {
        hash.bytes(spool.fingerprint().as_bytes());
    }
    part(&mut hash, &job.training, true);
    // Both parts are mostly rows of the same table: its numbers are read once.
    part(&mut hash, &job.validation, !std::ptr::eq(job.training.encoded, job.validation.encoded));
    hash.finish()
}

/// Of these rows and their answers, to tell other rows from them; not against an enemy.
pub fn of_part(rows: &Part) -> String {
    let mut hash = Hash::new();
    part(&mut hash, rows, true);
    hash.finish()
}

fn part(hash: &mut Hash, part: &Part, with_data: bool) {
    hash.words(part.rows.iter().copied());
    if !with_data {
        return;
    }
    let Encoded { rows, numbers, codes, images, bags, texts, series } = part.encoded;
    let bits = |hash: &mut Hash, numbers: &[f32]| hash.words(numbers.iter().map(|x| x.to_bits()));
    hash.word(*rows as u64);
    bits(hash, part.target);
    bits(hash, numbers);
    hash.words(codes.iter().map(|x| *x as u32));
    images.iter().for_each(|block| hash.bytes(&block.pixels));
    for (terms, weights) in bags.iter().flat_map(|block| (0..block.rows()).map(|row| block.row(row))) {
        hash.words(terms.iter().copied());
        bits(hash, weights);
    }
    texts.iter().for_each(|block| hash.words(block.tokens.iter().map(|x| *x as u32)));
    series.iter().for_each(|block| bits(hash, &block.values));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BagBlock, ImageBlock, SeriesBlock, TokenBlock};

    fn rows() -> Encoded {
        let mut bag = BagBlock::new(5);
        bag.push([(1, 0.5), (3, 0.25)]);
        bag.push([(4, 1.0)]);
        Encoded {
            rows: 2,
            numbers: vec![1.0, 2.0],
            codes: vec![3, 4],
            images: vec![ImageBlock { values: 2, pixels: vec![1, 2, 3, 4] }],
            bags: vec![bag],
            texts: vec![TokenBlock { length: 2, tokens: vec![5, 6, 7, 8] }],
            series: vec![SeriesBlock { steps: 1, values: vec![0.5, f32::NAN] }],
        }
    }

    #[test]
    fn whatever_changes_in_a_row_is_seen() {
        let of = |encoded: &Encoded, target: [f32; 2]| of_part(&Part { encoded, target: &target, rows: vec![0, 1] });
        let before = of(&rows(), [0.0, 1.0]);
        assert_eq!(before, of(&rows(), [0.0, 1.0]));
        assert_ne!(before, of(&rows(), [1.0, 1.0]));
        let changes: [&dyn Fn(&mut Encoded); 7] = [
            &|rows| rows.numbers[1] = 2.5,
            &|rows| rows.codes[0] = 2,
            &|rows| rows.images[0].pixels[3] = 5,
            &|rows| rows.texts[0].tokens[2] = 9,
            &|rows| rows.series[0].values[0] = 0.25,
            &|rows| rows.bags[0] = BagBlock::new(5),
            &|rows| {
                rows.bags[0] = BagBlock::new(5);
                rows.bags[0].push([(1, 0.5), (3, 0.75)]);
                rows.bags[0].push([(4, 1.0)]);
            },
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut rows = rows();
            change(&mut rows);
            assert_ne!(before, of(&rows, [0.0, 1.0]), "change {number}");
        }
    }
}
