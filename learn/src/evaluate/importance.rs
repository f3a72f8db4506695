//! Which columns matter? Permutation importance (Breiman, "Random Forests", 2001, section 10): how much worse the
//! answers become when a column's values go to other rows.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::class_numbers;
use super::curves::auc;
use crate::features::TextCode;
use crate::model::all_cores;
use crate::random::permutation;
use crate::{Column, ColumnKind, Encoded, Error, Model, Predictions, Result, Task};

/// How much a column matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The column.
    pub column: String,
    /// How much worse [`crate::evaluate::main_metric`] is with the column shuffled, in its units; below 0 where
    /// shuffling happened to help.
    pub drop: f64,
    /// For a picture: how much worse without each region.
    pub map: Option<ImportanceMap>,
}

/// Which regions of a picture matter: how much worse the main metric is with a region blanked to the mean picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceMap {
    /// Regions from top to bottom, at most 8.
    pub rows: usize,
    /// Regions from left to right, at most 8.
    pub columns: usize,
    /// One figure per region, row by row.
    pub drops: Vec<f64>,
}

/// The columns by falling importance, on at most `rows_max` of the rows, picked and shuffled by `seed`. All that comes
/// from a column (the parts of a date) is shuffled together. `truth` is `[rows]`, as [`crate::Target::encode`] gives
/// it.
///
/// # Errors
/// Another number of rows than of true values, or a true class that the model does not know.
pub fn permutation_importance(
    model: &Model,
    encoded: &Encoded,
    truth: &[f32],
    seed: u64,
    rows_max: usize,
) -> Result<Vec<Importance>> {
    if encoded.rows != truth.len() {
        return Err(Error::invalid(format!("{} rows, but {} true values", encoded.rows, truth.len())));
    }
    let mut picked = permutation(seed, PICK, encoded.rows as u32);
    picked.truncate(rows_max);
    picked.sort_unstable();
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    let truth: Vec<f32> = picked.iter().map(|&row| truth[row as usize]).collect();
    class_numbers_or_values(model, &truth)?;
    let trial = Trial { model, rows: encoded.take(&picked), truth, seed };
    let whole = trial.score(&trial.rows)?;
    let columns = places(model);
    let mut found = all_cores().run(|| {
        let judge = |(number, (column, place)): (usize, &(String, Place))| {
            let drop = whole - trial.score(&trial.shuffled(*place, number as u64))?;
            let map = match *place {
                Place::Image { block, shape } => Some(trial.map(block, shape, whole)?),
                _ => None,
            };
            Ok(Importance { column: column.clone(), drop: or_zero(drop), map })
        };
        columns.par_iter().enumerate().map(judge).collect::<Result<Vec<_>>>()
    })?;
    found.sort_by(|a, b| b.drop.total_cmp(&a.drop));
    Ok(found)
}

/// Stream of the rows that are picked; columns are shuffled by the streams from 0 on.
const PICK: u64 = u64::MAX;
/// Regions of a picture's map from top to bottom and from left to right.
const REGIONS_MAX: usize = 8;

/// Where a column's values are among the encoded ones.
#[derive(Debug, Clone, Copy)]
enum Place {
    Numbers { first: usize, count: usize },
    Code(usize),
    Image { block: usize, shape: [usize; 3] },
    Tokens(usize),
    Terms(usize),
    Series(usize),
}

/// The columns and their places: all that is of one kind lies in the order of the columns.
fn places(model: &Model) -> Vec<(String, Place)> {
    let (mut numbers, mut codes, mut images, mut texts, mut bags, mut series) = (0, 0, 0, 0, 0, 0);
    let mut place = |column: &Column| {
        let place = match &column.kind {
            _ if column.cardinality().is_some() => Place::Code(codes),
            ColumnKind::Image { height, width, channels, .. } => {
                Place::Image { block: images, shape: [*height, *width, *channels] }
            }
            ColumnKind::Text { code: TextCode::Tokens { .. }, .. } => Place::Tokens(texts),
            ColumnKind::Text { .. } => Place::Terms(bags),
            _ if column.is_sequence() => {
                // Its figures come with it, and are not shuffled: they are few beside its steps.
                numbers += column.numbers();
                Place::Series(series)
            }
            _ => Place::Numbers { first: numbers, count: column.numbers() },
        };
        match place {
            Place::Numbers { count, .. } => numbers += count,
            Place::Code(_) => codes += 1,
            Place::Image { .. } => images += 1,
            Place::Tokens(_) => texts += 1,
            Place::Terms(_) => bags += 1,
            Place::Series(_) => series += 1,
        }
        (column.name.clone(), place)
    };
    let mut places: Vec<(String, Place)> = model.features().columns().iter().map(&mut place).collect();
    for combined in model.features().combined() {
        let place = match combined.cardinality() {
            Some(_) => Place::Code(codes),
            None => Place::Numbers { first: numbers, count: 1 },
        };
        codes += usize::from(combined.cardinality().is_some());
        numbers += combined.numbers();
        places.push((combined.name.clone(), place));
    }
    // What is read for others only has no input to shuffle.
    places.retain(|(_, place)| !matches!(place, Place::Numbers { count: 0, .. }));
    places
}

/// A difference of scores that are not defined (answers that are no numbers) says nothing.
fn or_zero(drop: f64) -> f64 {
    if drop.is_finite() { drop } else { 0.0 }
}

fn class_numbers_or_values(model: &Model, truth: &[f32]) -> Result<()> {
    match model.target().task {
        Task::Regression => Ok(()),
        _ => class_numbers(model.target(), truth).map(drop),
    }
}

/// The rows on which columns are tried.
struct Trial<'a> {
    model: &'a Model,
    rows: Encoded,
    truth: Vec<f32>,
    seed: u64,
}

impl Trial<'_> {
    /// The main metric, turned so that more is better; accuracy where the rows are all of one class.
    fn score(&self, rows: &Encoded) -> Result<f64> {
        Ok(match self.model.predict_on_all_cores(rows)? {
            Predictions::Values(values) => {
                let squares = values.iter().zip(&self.truth).map(|(&a, &t)| (f64::from(t) - f64::from(a)).powi(2));
                -(squares.sum::<f64>() / self.truth.len() as f64).sqrt()
            }
            Predictions::Classes { labels, probabilities, classes, .. } => {
                let second = probabilities.iter().skip(1).step_by(2).copied();
                let area = (labels.len() == 2).then(|| auc(second, self.truth.iter().map(|&t| t == 1.0))).flatten();
                let hits = classes.iter().zip(&self.truth).filter(|(class, truth)| **class as f32 == **truth).count();
                area.unwrap_or(hits as f64 / self.truth.len() as f64)
            }
        })
    }

    fn shuffled(&self, place: Place, stream: u64) -> Encoded {
        let order = permutation(self.seed, stream, self.truth.len() as u32);
        let mut rows = self.rows.clone();
        match place {
            Place::Numbers { first, count } => {
                reorder(&self.rows.numbers, &mut rows.numbers, &order, first..first + count);
            }
            Place::Code(code) => reorder(&self.rows.codes, &mut rows.codes, &order, code..code + 1),
            Place::Image { block, shape } => {
                let all = 0..shape.iter().product();
                reorder(&self.rows.images[block].pixels, &mut rows.images[block].pixels, &order, all);
            }
            Place::Tokens(block) => {
                let (from, to) = (&self.rows.texts[block], &mut rows.texts[block]);
                reorder(&from.tokens, &mut to.tokens, &order, 0..from.length);
            }
            Place::Terms(block) => {
                rows.bags[block] = self.rows.bags[block].take(order.iter().map(|&row| row as usize));
            }
            Place::Series(block) => {
                let (from, to) = (&self.rows.series[block], &mut rows.series[block]);
                reorder(&from.values, &mut to.values, &order, 0..from.steps);
            }
        }
        rows
    }

    /// Blanks one region after the other to the mean picture of the rows.
    fn map(&self, block: usize, [height, width, channels]: [usize; 3], whole: f64) -> Result<ImportanceMap> {
        let (rows, columns) = (height.min(REGIONS_MAX), width.min(REGIONS_MAX));
        let mean = mean_picture(&self.rows.images[block].pixels, height * width * channels);
        let drop = |region: usize| {
            let (top, left) = (region / columns, region % columns);
            let from_to =
                |place: usize, parts: usize, length: usize| place * length / parts..(place + 1) * length / parts;
            let mut blanked = self.rows.clone();
            for picture in blanked.images[block].pixels.chunks_exact_mut(mean.len()) {
                for y in from_to(top, rows, height) {
                    let x = from_to(left, columns, width);
                    let part = (y * width + x.start) * channels..(y * width + x.end) * channels;
                    picture[part.clone()].copy_from_slice(&mean[part]);
                }
            }
            Ok(or_zero(whole - self.score(&blanked)?))
        };
        let drops = (0..rows * columns).into_par_iter().map(drop).collect::<Result<_>>()?;
        Ok(ImportanceMap { rows, columns, drops })
    }
}

/// Gives columns `which` of row `i` the values of row `order[i]`; both are `[rows, width]`.
fn reorder<T: Copy>(from: &[T], to: &mut [T], order: &[u32], which: Range<usize>) {
    let width = from.len() / order.len();
    for (row, &other) in to.chunks_exact_mut(width).zip(order) {
        row[which.clone()].copy_from_slice(&from[other as usize * width..][which.clone()]);
    }
}

fn mean_picture(pixels: &[u8], values: usize) -> Vec<u8> {
    let mut sums = vec![0_u64; values];
    for picture in pixels.chunks_exact(values) {
        sums.iter_mut().zip(picture).for_each(|(sum, &pixel)| *sum += u64::from(pixel));
    }
    let pictures = (pixels.len() / values).max(1) as u64;
    sums.into_iter().map(|sum| ((sum + pictures / 2) / pictures) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{Case, column, encoded, image, number};

    /// A linear model with these weights, and the truth by which it is right on all rows.
    fn linear(case: &Case, rows: &Encoded, weights: &[f32], bias: f32) -> (Model, Vec<f32>) {
        let case = case.clone().with_weights("dense.0.weight", weights).with_weights("dense.0.bias", &[bias]);
        let model = case.model();
        let truth = match model.predict_encoded(rows).unwrap() {
            Predictions::Values(values) => values,
            Predictions::Classes { classes, .. } => classes.iter().map(|&class| class as f32).collect(),
        };
        (model, truth)
    }

    #[test]
    fn columns_matter_as_their_weights_and_parts_of_a_date_go_together() {
        let columns = [column("none", 1), column("when", 2), column("big", 1), column("small", 1)];
        let case = Case::regression(&columns, (0..5).map(|i| number(&format!("n{i}"))).collect());
        let mut rows = encoded(&case.features, 300, 7);
        // The two parts of the date cancel out in every row, which shows only when they are shuffled apart.
        rows.numbers.chunks_exact_mut(5).for_each(|row| row[2] = -row[1]);
        let (model, truth) = linear(&case, &rows, &[0.0, 8.0, 8.0, 4.0, 1.0], 0.0);
        let found = permutation_importance(&model, &rows, &truth, 3, 250).unwrap();
        let names: Vec<&str> = found.iter().map(|importance| importance.column.as_str()).collect();
        assert_eq!(names, ["big", "small", "none", "when"]);
        assert_eq!((found[2].drop, found[3].drop), (0.0, 0.0));
        // Shuffling a column of variance v raises the squared error by 2 v w^2; the root of it is the drop.
        assert!((found[0].drop / found[1].drop - 4.0).abs() < 0.6, "{found:?}");
        assert_eq!(found, permutation_importance(&model, &rows, &truth, 3, 250).unwrap());
        assert_ne!(found, permutation_importance(&model, &rows, &truth, 4, 250).unwrap());
        assert!(permutation_importance(&model, &rows, &truth, 3, 0).unwrap().is_empty());
        assert!(permutation_importance(&model, &rows, &truth[1..], 3, 9).is_err());
    }

    #[test]
    fn the_map_of_a_picture_shows_the_region_that_matters() {
        let case = Case::binary_image(image("picture", 16, 20, 1));
        let mut weights = vec![0.0; 16 * 20];
        weights[5 * 20 + 11] = 2.0;
        let rows = encoded(&case.features, 300, 7);
        let (model, truth) = linear(&case, &rows, &weights, -1.4);
        let found = permutation_importance(&model, &rows, &truth, 1, 200).unwrap();
        let map = found[0].map.as_ref().unwrap();
        assert_eq!((map.rows, map.columns, map.drops.len()), (8, 8, 64));
        // Row 5 of 16 lies in region 2 of 8, column 11 of 20 in region 4 (columns 10 and 11).
        let mattering: Vec<usize> = (0..64).filter(|&i| map.drops[i] != 0.0).collect();
        assert_eq!(mattering, [2 * 8 + 4]);
        assert!(found[0].drop > 0.2 && map.drops[20] > 0.2, "{found:?}");
    }
}
