//! How does a batch of training rows look this time? A function of (seed, epoch, place in the epoch), so that a resumed run
//! sees the same, and no thread or row before matters.
//!
//! The rows of a batch are copied, the copies changed; what validation reads is never touched.

mod check;
mod colour;
mod cutout;
mod draws;
mod geometry;
mod mixup;
mod series;
#[cfg(test)]
mod tests;
mod tokens;

use crate::features::{Encoded, ImageInput, NumericPart};
use crate::kernels::{Mixed, Targets};
use crate::net::Batch;
use crate::random::Stream;
use crate::spec::{Augment, ImageAugment, SeriesAugment, TextAugment};

pub(super) use check::check;
use draws::Draws;
use geometry::Picture;

/// Streams from here on belong to augmentation, one per epoch.
const AUGMENT_STREAM: u64 = 0x6175_676d_0000_0000;

/// Kinds of change, each with random numbers of its own: one more leaves the others as they were.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Geometry,
    Brightness,
    Noise,
    Cutout,
    Mixup,
    Tokens,
    Series,
}

/// Where a batch stands: it decides about the random numbers of its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// From 0.
    pub(super) epoch: usize,
    /// Place of the batch's first row in the epoch, from 0. A row that an epoch has twice is changed in two ways.
    pub(super) first: usize,
}

/// Changes batches as asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Augmenter<'a> {
    spec: &'a Augment,
    seed: u64,
}

/// A batch that was changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    encoded: Encoded,
    /// Its rows: all of them.
    rows: Vec<u32>,
    /// Where rows were mixed: what each row's own answer counts, and the answers mixed in with what each of those counts.
    mixed: Option<[Vec<f32>; 3]>,
}

impl<'a> Augmenter<'a> {
    /// For settings that were checked; none where nothing is asked.
    pub(super) fn new(spec: &'a Augment, seed: u64) -> Option<Self> {
        (*spec != Augment::default()).then_some(Self { spec, seed })
    }

    /// The batch at this place.
    pub(super) fn change(self, batch: Batch, targets: Targets, place: Place) -> Changed {
        let mut encoded = batch.encoded.take(batch.rows);
        let chance = Chances { epoch: Stream::new(self.seed, AUGMENT_STREAM + place.epoch as u64), first: place.first };
        let Augment { image, text, series } = self.spec;
        change_pictures(image, batch.numeric, &mut encoded, chance);
        change_texts(text, batch.numeric, &mut encoded, chance);
        change_series(series, batch.numeric, &mut encoded, chance);
        let mixed = (image.mixup > 0.0).then(|| mix(&mut encoded, targets, image.mixup, chance));
        Changed { encoded, rows: (0..batch.rows.len() as u32).collect(), mixed }
    }
}

impl Changed {
    /// What is learned from, where `targets` are those of the batch as it came.
    pub(super) fn batch<'b>(&'b self, numeric: &'b NumericPart, targets: Targets<'b>) -> (Batch<'b>, Targets<'b>) {
        let targets = match &self.mixed {
            Some([own, values, weights]) => Targets { weights: own, mixed: Some(Mixed { values, weights }), ..targets },
            None => targets,
        };
        (Batch { numeric, encoded: &self.encoded, rows: &self.rows }, targets)
    }
}

/// Mixes rows in pairs; gives what [`Changed::mixed`] says.
fn mix(encoded: &mut Encoded, targets: Targets, alpha: f64, chance: Chances) -> [Vec<f32>; 3] {
    let pairs = mixup::pairs(alpha, encoded.rows, chance);
    encoded.images.iter_mut().for_each(|block| mixup::mix(&pairs, block.values, &mut block.pixels));
    let own = pairs.iter().enumerate().map(|(row, pair)| pair.own * targets.weight(row));
    let values = pairs.iter().map(|pair| targets.values[pair.other]);
    let weights = pairs.iter().map(|pair| (1.0 - pair.own) * targets.weight(pair.other));
    [own.collect(), values.collect(), weights.collect()]
}

/// The random numbers of a batch.
#[derive(Debug, Clone, Copy)]
struct Chances {
    epoch: Stream,
    first: usize,
}

impl Chances {
    /// Those of a row of the batch for a kind of change.
    fn of(self, row: usize, kind: Kind) -> Draws {
        Draws::new(Stream::new(self.epoch.bits((self.first + row) as u64), kind as u64))
    }
}

fn change_pictures(spec: &ImageAugment, numeric: &NumericPart, encoded: &mut Encoded, chance: Chances) {
    for (input, block) in numeric.images.iter().zip(&mut encoded.images) {
        let mut before = vec![0; block.values];
        for (row, pixels) in block.pixels.chunks_exact_mut(block.values.max(1)).enumerate() {
            change_picture(spec, input, pixels, &mut before, |kind| chance.of(row, kind));
        }
    }
}

fn change_picture(
    spec: &ImageAugment,
    input: &ImageInput,
    pixels: &mut [u8],
    before: &mut [u8],
    draws: impl Fn(Kind) -> Draws,
) {
    let picture = Picture { height: input.height, width: input.width, channels: input.channels };
    if let Some(map) = geometry::draw(spec, picture, draws(Kind::Geometry)) {
        before.copy_from_slice(pixels);
        geometry::resample(picture, map, spec.border, before, pixels);
    }
    if spec.brightness > 0.0 {
        colour::brighten(spec.brightness, pixels, draws(Kind::Brightness));
    }
    if spec.noise > 0.0 {
        colour::add_noise(spec.noise, pixels, draws(Kind::Noise));
    }
    if spec.cutout > 0 {
        // What the network reads as 0: black, or the mean of standardised pixels.
        let fill = input.affine.shift.round().clamp(0.0, 255.0) as u8;
        cutout::cut_out(spec.cutout, picture, fill, pixels, draws(Kind::Cutout));
    }
}

fn change_texts(spec: &TextAugment, numeric: &NumericPart, encoded: &mut Encoded, chance: Chances) {
    if spec.token_dropout == 0.0 {
        return;
    }
    for (input, block) in numeric.texts.iter().zip(&mut encoded.texts) {
        for (row, text) in block.tokens.chunks_exact_mut(block.length.max(1)).enumerate() {
            tokens::forget(spec.token_dropout, input, text, chance.of(row, Kind::Tokens));
        }
    }
    for block in &mut encoded.bags {
        *block = tokens::leave_out(spec.token_dropout, block, |row| chance.of(row, Kind::Tokens));
    }
}

fn change_series(spec: &SeriesAugment, numeric: &NumericPart, encoded: &mut Encoded, chance: Chances) {
    if *spec == SeriesAugment::default() {
        return;
    }
    let mut before = Vec::new();
    for row in 0..encoded.rows {
        let mut draws = chance.of(row, Kind::Series);
        // One stretch for all series of a row: they happened together.
        let start = draws.uniform();
        for (input, block) in numeric.series.iter().zip(&mut encoded.series) {
            let values = &mut block.values[row * block.steps..][..block.steps];
            series::change(spec, input.affine, start, values, &mut before, &mut draws);
        }
    }
}
