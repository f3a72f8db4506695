//! Does a checkpoint belong to this run?

use super::rate::depends_on_epochs;
use super::{Part, TrainJob};
use crate::spec::TrainSpec;
use crate::{Error, Result};

/// A quick hash for telling runs apart, not against an enemy: FNV-1a by words of 64 bits with SplitMix64's last step.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
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

    fn finish(self) -> String {
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
    hash.words(part.target.iter().map(|x| x.to_bits()));
    hash.words(part.encoded.numbers.iter().map(|x| x.to_bits()));
    hash.words(part.encoded.codes.iter().map(|x| *x as u32));
    part.encoded.images.iter().for_each(|block| hash.bytes(&block.pixels));
}
