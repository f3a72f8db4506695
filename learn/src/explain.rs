//! Why this answer? What every column contributed to it: Shapley values, sampled.
//!
//! A contribution is how much the answer changes when a column gets the row's value in place of a background row's, in the
//! mean of the orders in which the columns can get theirs and of the background rows (Strumbelj and Kononenko, "Explaining
//! prediction models and individual predictions with feature contributions", 2014). One walk through an order gives every
//! column a share, and the shares make up the answer whichever order it is (Castro, Gomez and Tejada, "Polynomial
//! calculation of the Shapley value based on sampling", 2009). Every order is walked backwards too (Mitchell, Cooper, Frank
//! and Holmes, "Sampling permutations for Shapley value estimation", 2022).
//!
//! Columns are those of the table, so that it is the same for networks and trees, and for what is made of several columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{FieldRef, Schema};
use rayon::prelude::*;

use crate::error::did_you_mean;
use crate::model::all_cores;
use crate::random::{Stream, permutation};
use crate::{ColumnKind, Error, Features, Model, Predictions, Result};

/// Orders of the columns, at most.
const PERMUTATIONS_MAX: usize = 100_000;
/// Rows that are explained at once, at most.
const CHUNK_ROWS_MAX: usize = 2_048;
/// Values of rows that are explained at once, at most.
const CHUNK_VALUES_MAX: usize = 1 << 18;
/// Bytes of rows that are explained at once, about.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Orders whose shares are in memory at once.
const WALKS_AT_ONCE: usize = 16;
/// Streams of the seed: which rows are drawn, and in which order they stand.
const DRAWN_STREAM: u64 = 0x6261_636b;
const SHUFFLED_STREAM: u64 = DRAWN_STREAM + 1;

/// How answers are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplainSpec {
    /// Orders of the columns that are tried, 1 to 100,000; an odd number becomes the next even one. Every row costs as many
    /// answers for each column.
    pub permutations: usize,
    /// Which orders.
    pub seed: u64,
}

impl Default for ExplainSpec {
    fn default() -> Self {
        // Measured on a function of ten columns with strong interactions, against all 1,024 sets of columns: contributions
        // are wrong by 17 % of their mean size with 64 orders, 10 % with 100, 4 % with 200 and 3 % with 400, where each of
        // 100 background rows is met in an order and its reverse.
        Self { permutations: 200, seed: 0 }
    }
}

/// Answers, and what the columns contributed to them. The figures of a row are about the probability of the class that was
/// answered (0 to 1), or about its value in the target's units: `base` and all contributions together are that figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The answers.
    pub answers: Predictions,
    /// Mean answer for the background rows `[rows]`.
    pub base: Vec<f64>,
    /// What each column adds to it `[rows, columns]`, in the order of [`Features::columns`].
    pub contributions: Vec<f64>,
}

/// Explains the answers of a model against background rows.
#[derive(Debug)]
pub struct Explainer<'m> {
    model: &'m Model,
    /// The model's columns in its order.
    background: RecordBatch,
    spec: ExplainSpec,
}

/// Which of so many training rows are kept to explain answers against: up to `rows_max` of them, in random order.
pub fn background_rows(rows: u32, rows_max: usize, seed: u64) -> Vec<u32> {
    let count = u32::try_from(rows_max).unwrap_or(u32::MAX).min(rows);
    let stream = Stream::new(seed, DRAWN_STREAM);
    // Floyd's way (Bentley, "Programming pearls: a sample of brilliance", 1987), which holds no list of all rows.
    let mut drawn = BTreeSet::new();
    for last in rows - count..rows {
        let row = stream.below(u64::from(last), u64::from(last) + 1) as u32;
        if !drawn.insert(row) {
            drawn.insert(last);
        }
    }
    let drawn: Vec<u32> = drawn.into_iter().collect();
    permutation(seed, SHUFFLED_STREAM, count).into_iter().map(|place| drawn[place as usize]).collect()
}

/// Refuses a model of whose answers columns say nothing.
///
/// # Errors
/// It reads one picture, text or series and nothing else.
pub fn check_explainable(features: &Features) -> Result<()> {
    match features.columns() {
        [only]
            if matches!(only.kind, ColumnKind::Image { .. } | ColumnKind::Text { .. } | ColumnKind::Series { .. }) =>
        {
            Err(Error::Unsupported(format!(
                "the model reads {} \"{}\" and nothing else: all of an answer comes from that column, and contributions are \
                 those of columns",
                only.kind.word(),
                only.name
            )))
        }
        _ => Ok(()),
    }
}

impl<'m> Explainer<'m> {
    /// Every order meets a background row, the first ones in turn.
    ///
    /// # Errors
    /// No background rows, or rows without a column that the model reads; a number of orders that is none; a model that
    /// [`check_explainable`] refuses.
    pub fn new(model: &'m Model, background: &RecordBatch, spec: ExplainSpec) -> Result<Self> {
        check_explainable(model.features())?;
        if !(1..=PERMUTATIONS_MAX).contains(&spec.permutations) {
            return Err(Error::invalid(format!(
                "permutations is {}; give a number from 1 to {PERMUTATIONS_MAX}",
                spec.permutations
            )));
        }
        if background.num_rows() == 0 {
            return Err(Error::invalid("there are no background rows to explain answers against"));
        }
        Ok(Self { model, background: columns_of(model, background)?, spec })
    }

    /// Answers rows and says what each column contributed. Columns are found by name, others are ignored.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn explain(&self, rows: &RecordBatch) -> Result<Explanation> {
        let answers = self.model.predict(rows)?;
        let rows = columns_of(self.model, rows)?;
        let classes: Vec<usize> = match &answers {
            Predictions::Classes { classes, .. } => classes.iter().map(|&class| class as usize).collect(),
            Predictions::Values(values) => vec![0; values.len()],
        };
        let (count, columns) = (rows.num_rows(), rows.num_columns());
        let mut base = Vec::with_capacity(count);
        let mut contributions = Vec::with_capacity(count * columns);
        let chunk = self.chunk_rows();
        for start in (0..count).step_by(chunk) {
            let length = chunk.min(count - start);
            let classes = &classes[start..start + length];
            let found = Chunk { explainer: self, rows: rows.slice(start, length), classes }.explain()?;
            base.extend(found.base);
            contributions.extend(found.contributions);
        }
        Ok(Explanation { answers, base, contributions })
    }

    /// Mean answer for the background rows: probabilities `[classes]`, or one value in the target's units.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn base(&self) -> Result<Vec<f64>> {
        let answers = self.model.predict(&self.background)?;
        let flat = match &answers {
            Predictions::Classes { probabilities, .. } => probabilities,
            Predictions::Values(values) => values,
        };
        let width = flat.len() / self.background.num_rows();
        let mut base = vec![0.0; width];
        for walk in 0..self.walks() {
            let row = &flat[self.background_row(walk) * width..][..width];
            base.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        base.iter_mut().for_each(|sum| *sum /= self.walks() as f64);
        Ok(base)
    }

    /// Orders that are walked; two of them are one and its reverse.
    fn walks(&self) -> usize {
        self.spec.permutations.next_multiple_of(2)
    }

    /// An order and its reverse meet two background rows as long as there are more than orders, and the same one once every
    /// row has its turn.
    fn background_row(&self, walk: usize) -> usize {
        (walk / 2 + walk % 2 * (self.walks() / 2)) % self.background.num_rows()
    }

    fn order(&self, walk: usize) -> Vec<u32> {
        let mut order = permutation(self.spec.seed, (walk / 2) as u64, self.background.num_columns() as u32);
        if walk % 2 == 1 {
            order.reverse();
        }
        order
    }

    fn chunk_rows(&self) -> usize {
        let row_bytes = self.background.get_array_memory_size() / self.background.num_rows();
        let rows = (CHUNK_VALUES_MAX / self.background.num_columns().max(1)).min(CHUNK_BYTES_MAX / row_bytes.max(1));
        rows.clamp(1, CHUNK_ROWS_MAX)
    }
}

/// The columns that a model reads, in its order.
fn columns_of(model: &Model, rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema_ref();
    let place = |name: &String| {
        schema.index_of(name).map_err(|_| {
            let near = did_you_mean(name, schema.fields().iter().map(|field| field.name().as_str()));
            Error::NotFound(format!("no column \"{name}\" in the rows, which the model reads{near}"))
        })
    };
    let places = model.features().columns().iter().map(|column| place(&column.name)).collect::<Result<Vec<_>>>()?;
    rows.project(&places).map_err(|e| Error::Internal(format!("the columns of a model: {e}")))
}

/// Rows that are explained together.
struct Chunk<'a> {
    explainer: &'a Explainer<'a>,
    /// The model's columns in its order.
    rows: RecordBatch,
    /// Which of the model's answers each row is about.
    classes: &'a [usize],
}

/// What a walk, or the mean of all, found.
struct Shares {
    /// `[rows]`
    base: Vec<f64>,
    /// `[rows, columns]`
    contributions: Vec<f64>,
}

impl Chunk<'_> {
    fn explain(&self) -> Result<Shares> {
        let (rows, columns, walks) = (self.rows.num_rows(), self.rows.num_columns(), self.explainer.walks());
        let whole = self.answers(&self.rows)?;
        let mut sums = Shares { base: vec![0.0; rows], contributions: vec![0.0; rows * columns] };
        for first in (0..walks).step_by(WALKS_AT_ONCE) {
            let some = first..walks.min(first + WALKS_AT_ONCE);
            let found = all_cores()
                .run(|| some.into_par_iter().map(|walk| self.walk(walk, &whole)).collect::<Result<Vec<_>>>())?;
            for shares in found {
                sums.base.iter_mut().zip(shares.base).for_each(|(sum, x)| *sum += x);
                sums.contributions.iter_mut().zip(shares.contributions).for_each(|(sum, x)| *sum += x);
            }
        }
        sums.base.iter_mut().chain(&mut sums.contributions).for_each(|sum| *sum /= walks as f64);
        Ok(sums)
    }

    /// Gives the columns their values one after the other, and each the change of the answer; `whole` is the answer for the
    /// rows as they are.
    fn walk(&self, walk: usize, whole: &[f64]) -> Result<Shares> {
        let Explainer { background, .. } = self.explainer;
        let (rows, columns) = (self.rows.num_rows(), self.rows.num_columns());
        let row = UInt32Array::from(vec![self.explainer.background_row(walk) as u32; rows]);
        let repeated = |array: &ArrayRef| {
            take(array, &row, None).map_err(|e| Error::Internal(format!("a background row for all rows: {e}")))
        };
        let mut arrays = background.columns().iter().map(repeated).collect::<Result<Vec<_>>>()?;
        let mut fields: Vec<FieldRef> = background.schema_ref().fields().to_vec();
        let base = self.mixed(&fields, &arrays)?;
        let mut contributions = vec![0.0; rows * columns];
        let mut before = base.clone();
        let order = self.explainer.order(walk);
        for (step, &column) in (1..).zip(&order) {
            let column = column as usize;
            arrays[column] = Arc::clone(self.rows.column(column));
            fields[column] = Arc::clone(&self.rows.schema_ref().fields()[column]);
            let after = if step == columns { whole.to_vec() } else { self.mixed(&fields, &arrays)? };
            let shares = contributions.iter_mut().skip(column).step_by(columns);
            shares.zip(after.iter().zip(&before)).for_each(|(share, (after, before))| *share = after - before);
            before = after;
        }
        Ok(Shares { base, contributions })
    }

    /// The answers for rows whose columns come from two sides.
    fn mixed(&self, fields: &[FieldRef], arrays: &[ArrayRef]) -> Result<Vec<f64>> {
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), arrays.to_vec());
        self.answers(&rows.map_err(|e| Error::Internal(format!("rows with values of two sides: {e}")))?)
    }

    /// The figure that each row is about.
    fn answers(&self, rows: &RecordBatch) -> Result<Vec<f64>> {
        let model = self.explainer.model;
        Ok(match model.predict_on_all_cores(&model.features().encode(rows)?)? {
            Predictions::Values(values) => values.into_iter().map(f64::from).collect(),
            Predictions::Classes { labels, probabilities, .. } => {
                let rows = probabilities.chunks_exact(labels.len().max(1));
                rows.zip(self.classes).map(|(row, &class)| f64::from(row[class])).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::ErrorKind;
    use crate::features::{Combined, CombinedKind};
    use crate::model::tests::{Case, column, image, number};

    /// Rows of columns of numbers.
    fn rows(columns: &[(&str, &[f64])]) -> RecordBatch {
        let array = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
        RecordBatch::try_from_iter(columns.iter().map(|(name, values)| (*name, array(values)))).unwrap()
    }

    fn spec(permutations: usize) -> ExplainSpec {
        ExplainSpec { permutations, seed: 5 }
    }

    fn close(found: &[f64], expected: &[f64]) {
        let is_close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0));
        assert!(found.len() == expected.len() && is_close, "{found:?}, expected {expected:?}");
    }

    /// A linear model: answers are 12.5 + 3.25 (2 a - b + 0 c).
    fn linear() -> Model {
        let columns = [column("a", 1), column("b", 1), column("c", 1)];
        let case = Case::regression(&columns, columns.iter().map(|column| number(&column.name)).collect());
        case.with_weights("dense.0.weight", &[2.0, -1.0, 0.0]).with_weights("dense.0.bias", &[0.0]).model()
    }

    #[test]
    fn of_a_linear_model_contributions_are_its_weights_times_the_distance_from_the_mean() {
        let model = linear();
        let background = rows(&[("c", &[9.0, 7.0]), ("a", &[0.0, 1.0]), ("b", &[3.0, 5.0])]);
        let asked = rows(&[("a", &[1.0, -2.0]), ("b", &[0.5, 4.0]), ("c", &[1.0, 1.0])]);
        for permutations in [1, 2, 8] {
            let explainer = Explainer::new(&model, &background, spec(permutations)).unwrap();
            let found = explainer.explain(&asked).unwrap();
            // The means of the background rows are 0.5 and 4.
            let expected = |a: f64, b: f64| [3.25 * 2.0 * (a - 0.5), -3.25 * (b - 4.0), 0.0];
            close(&found.contributions, &[expected(1.0, 0.5), expected(-2.0, 4.0)].concat());
            assert_eq!((found.contributions[2], found.contributions[5]), (0.0, 0.0), "what plays no part gets nothing");
            close(&found.base, &[12.5 + 3.25 * (1.0 - 4.0); 2]);
            close(&explainer.base().unwrap(), &found.base[..1]);
            assert_eq!(found.answers, model.predict(&asked).unwrap());
        }
    }

    /// A product of two columns, and a third.
    fn product() -> Model {
        let columns = [column("a", 1), column("b", 1), column("c", 1)];
        let inputs = ["a", "b", "c", "a * b"].map(number).to_vec();
        let mut case = Case::regression(&columns, inputs);
        let kind = CombinedKind::Product { of: ["a".into(), "b".into()] };
        case.features.combined.push(Combined { name: "a * b".into(), kind });
        case.with_weights("dense.0.weight", &[0.0, 0.0, 1.0, 1.0]).with_weights("dense.0.bias", &[0.0]).model()
    }

    #[test]
    fn what_several_columns_make_together_is_shared_among_them() {
        let model = product();
        let asked = rows(&[("a", &[3.0]), ("b", &[5.0]), ("c", &[1.0])]);
        // Shapley values by their definition: half of what a column brings alone and half of what it brings as the second.
        let [a, b, c] = [1.0, 2.0, 4.0];
        let expected = [(3.0 - a) * (b + 5.0) / 2.0, (5.0 - b) * (a + 3.0) / 2.0, 1.0 - c].map(|x: f64| 3.25 * x);
        let background = rows(&[("a", &[a]), ("b", &[b]), ("c", &[c])]);
        let explainer = Explainer::new(&model, &background, spec(2)).unwrap();
        close(&explainer.explain(&asked).unwrap().contributions, &expected);
    }

    #[test]
    fn contributions_and_base_make_up_the_answer_in_every_single_walk() {
        let model = product();
        let background = rows(&[("a", &[1.0, 0.3, -2.0]), ("b", &[2.0, 8.0, 0.1]), ("c", &[4.0, 4.0, 4.5])]);
        let asked = rows(&[("a", &[3.0, 0.1]), ("b", &[5.0, -7.0]), ("c", &[1.0, 2.0])]);
        let explainer = Explainer::new(&model, &background, spec(12)).unwrap();
        let chunk = Chunk { explainer: &explainer, rows: asked.clone(), classes: &[0, 0] };
        let whole = chunk.answers(&asked).unwrap();
        let make_up = |shares: &Shares| {
            for (row, whole) in whole.iter().enumerate() {
                let sum = shares.base[row] + shares.contributions[3 * row..][..3].iter().sum::<f64>();
                assert!((sum - whole).abs() < 1e-12 * whole.abs().max(1.0), "{sum} of {whole}");
            }
        };
        for walk in 0..12 {
            make_up(&chunk.walk(walk, &whole).unwrap());
        }
        make_up(&chunk.explain().unwrap());
    }

    #[test]
    fn the_same_seed_explains_the_same_and_more_orders_come_closer() {
        let model = product();
        let background = rows(&[("a", &[1.0, 0.3, -2.0]), ("b", &[2.0, 8.0, 0.1]), ("c", &[4.0, 4.0, 4.5])]);
        let asked = rows(&[("a", &[3.0]), ("b", &[5.0]), ("c", &[1.0])]);
        let of = |permutations, seed| {
            let explainer = Explainer::new(&model, &background, ExplainSpec { permutations, seed }).unwrap();
            explainer.explain(&asked).unwrap().contributions
        };
        assert_eq!(of(4, 1), of(4, 1));
        assert!((2..9).any(|seed| of(4, 1) != of(4, seed)));
        let pairs = [(1.0, 2.0), (0.3, 8.0), (-2.0, 0.1)];
        let exact = pairs.iter().map(|(a, b)| 3.25 * (3.0 - a) * (b + 5.0) / 2.0).sum::<f64>() / 3.0;
        let error = |permutations| (0..8).map(|seed| (of(permutations, seed)[0] - exact).abs()).sum::<f64>() / 8.0;
        // In an order and its reverse, each of the three rows as often: what two columns make together is exact.
        assert!(error(4) > 0.05 * exact && error(600) < 1e-5 * exact, "{} {} {exact}", error(4), error(600));
    }

    #[test]
    fn of_classes_it_is_about_the_probability_of_the_one_that_was_answered() {
        let columns = [column("a", 1), column("b", 1)];
        let case = Case::binary(&columns, vec![number("a"), number("b")]);
        let model = case.with_weights("dense.0.weight", &[2.0, -1.0]).with_weights("dense.0.bias", &[0.0]).model();
        let background = rows(&[("a", &[0.0, 0.5]), ("b", &[0.2, 0.0])]);
        // Whole numbers are as good as others.
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![1, -1]));
        let asked = RecordBatch::try_from_iter([("a", Arc::clone(&whole)), ("b", whole)]).unwrap();
        let found = Explainer::new(&model, &background, spec(4)).unwrap().explain(&asked).unwrap();
        assert_eq!((found.answers.label(0), found.answers.label(1)), (Some("class \"1\""), Some("class \"0\"")));
        for row in 0..2 {
            let confidence = f64::from(found.answers.confidence(row).unwrap());
            let sum = found.base[row] + found.contributions[2 * row] + found.contributions[2 * row + 1];
            close(&[sum], &[confidence]);
        }
        assert!(found.contributions[0] > 0.2 && found.contributions[1] < 0.0, "{found:?}");
        close(&[found.base[0] + found.base[1]], &[1.0]);
    }

    #[test]
    fn rows_in_many_chunks_are_explained_as_in_one() {
        let model = product();
        let background = rows(&[("a", &[1.0]), ("b", &[2.0]), ("c", &[4.0])]);
        let many = CHUNK_ROWS_MAX + 3;
        let values = |step: f64| (0..many).map(|row| row as f64 * step).collect::<Vec<_>>();
        let (a, b) = (values(0.001), values(-0.002));
        let asked = rows(&[("a", &a), ("b", &b), ("c", &a)]);
        let explainer = Explainer::new(&model, &background, spec(2)).unwrap();
        let all = explainer.explain(&asked).unwrap();
        assert_eq!((all.base.len(), all.contributions.len()), (many, 3 * many));
        for row in [0, CHUNK_ROWS_MAX - 1, CHUNK_ROWS_MAX, many - 1] {
            let one = explainer.explain(&asked.slice(row, 1)).unwrap();
            close(&all.contributions[3 * row..][..3], &one.contributions);
        }
        assert!(explainer.explain(&asked.slice(0, 0)).unwrap().contributions.is_empty());
    }

    #[test]
    fn background_rows_are_drawn_once_each_and_stand_in_no_order() {
        let drawn = background_rows(10_000, 100, 3);
        assert_eq!(drawn, background_rows(10_000, 100, 3));
        assert_ne!(drawn, background_rows(10_000, 100, 4));
        let distinct: BTreeSet<u32> = drawn.iter().copied().collect();
        assert!(distinct.len() == 100 && distinct.iter().all(|&row| row < 10_000));
        assert!(!drawn.is_sorted());
        let mean = drawn.iter().map(|&row| f64::from(row)).sum::<f64>() / 100.0;
        assert!((3_500.0..6_500.0).contains(&mean), "{mean}");
        assert_eq!(background_rows(3, 100, 1).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
        assert!(background_rows(0, 100, 1).is_empty() && background_rows(9, 0, 1).is_empty());
    }

    #[test]
    fn what_cannot_be_explained_is_named() {
        let model = linear();
        let background = rows(&[("a", &[1.0]), ("b", &[2.0]), ("c", &[4.0])]);
        let check = |error: Error, kind: ErrorKind, expected: &str| {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let new = |background: &RecordBatch, permutations| Explainer::new(&model, background, spec(permutations));
        check(new(&background, 0).unwrap_err(), ErrorKind::Invalid, "give a number from 1 to 100000");
        check(new(&background.slice(0, 0), 2).unwrap_err(), ErrorKind::Invalid, "no background rows");
        check(new(&rows(&[("a", &[1.0])]), 2).unwrap_err(), ErrorKind::NotFound, "no column \"b\"");
        let explainer = new(&background, 2).unwrap();
        let error = explainer.explain(&rows(&[("a", &[1.0]), ("bb", &[1.0]), ("c", &[1.0])])).unwrap_err();
        check(error, ErrorKind::NotFound, "no column \"b\" in the rows");
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let wrong = RecordBatch::try_from_iter([("a", texts.clone()), ("b", texts.clone()), ("c", texts)]).unwrap();
        check(explainer.explain(&wrong).unwrap_err(), ErrorKind::Invalid, "\"a\"");
        let picture = Case::binary_image(image("picture", 2, 2, 1)).model();
        check(
            Explainer::new(&picture, &background, spec(2)).unwrap_err(),
            ErrorKind::Unsupported,
            "reads image \"picture\" and nothing else",
        );
    }
}
