//! Which training rows are most alike, to stand in for a missing number? (Troyanskaya et al. 2001, KNNimpute; distances over
//! the numbers that both rows have, as scikit-learn's `KNNImputer`.)

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use super::column::{Column, ColumnKind};
use super::encode::encode_unfilled;
use super::{Features, number};
use crate::spec::{FeatureSpec, FeaturesSpec, Impute};
use crate::{Error, Result};

/// Training rows to look among, and how to compare with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// The numbers compared.
    pub columns: Vec<Neighbour>,
    /// Values `[rows, columns]`, NaN where missing.
    #[serde(with = "holes")]
    rows: Vec<f32>,
}

/// A number that rows are compared by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The column.
    pub name: String,
    /// Its place in `Encoded::numbers`.
    place: usize,
    /// One by the standard deviation.
    scale: f32,
    /// How many rows stand in for a missing value; 0 where another thing does.
    pub count: usize,
}

/// JSON has no NaN: a missing number is written as null.
mod holes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(rows: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        rows.iter().map(|x| (!x.is_nan()).then_some(*x)).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let rows = Vec::<Option<f32>>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|x| x.unwrap_or(f32::NAN)).collect())
    }
}

impl Neighbours {
    /// Training rows kept.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() / self.columns.len().max(1)
    }

    /// Whether it belongs to so many numbers.
    pub(super) fn fits(&self, numbers: usize) -> bool {
        !self.columns.is_empty()
            && self.rows.len().is_multiple_of(self.columns.len())
            && self.columns.iter().all(|column| column.place < numbers)
    }

    /// Fills the missing ones among the numbers of a row.
    pub(super) fn fill(&self, numbers: &mut [f32]) {
        let is_missing = |column: &Neighbour| column.count > 0 && numbers[column.place].is_nan();
        if !self.columns.iter().any(is_missing) {
            return;
        }
        let row: Vec<f32> = self.columns.iter().map(|column| numbers[column.place]).collect();
        let mut distances: Vec<(f64, usize)> = Vec::with_capacity(self.len());
        for (place, other) in self.rows.chunks_exact(self.columns.len()).enumerate() {
            distances.extend(self.distance(&row, other).map(|distance| (distance, place)));
        }
        distances.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (at, column) in self.columns.iter().enumerate().filter(|(at, column)| column.count > 0 && row[*at].is_nan())
        {
            let donors = distances.iter().map(|(_, place)| self.rows[place * self.columns.len() + at]);
            let (mut sum, mut count) = (0.0, 0_usize);
            for donor in donors.filter(|x| !x.is_nan()).take(column.count) {
                sum += f64::from(donor);
                count += 1;
            }
            if count > 0 {
                numbers[column.place] = (sum / count as f64) as f32;
            }
        }
    }

    /// Squared distance over what both rows have, as if it were all; nothing where they have nothing in common.
    fn distance(&self, row: &[f32], other: &[f32]) -> Option<f64> {
        let (mut sum, mut common) = (0.0, 0_usize);
        for ((&a, &b), column) in row.iter().zip(other).zip(&self.columns) {
            if !a.is_nan() && !b.is_nan() {
                sum += ((f64::from(a) - f64::from(b)) * f64::from(column.scale)).powi(2);
                common += 1;
            }
        }
        (common > 0).then(|| sum * self.columns.len() as f64 / common as f64)
    }
}

/// Whether a column asks for its neighbours.
pub(super) fn is_asked(spec: &FeaturesSpec) -> bool {
    let is_asked =
        |of: &FeatureSpec| matches!(of, FeatureSpec::Number(of) if matches!(of.impute, Impute::Neighbours(_)));
    spec.columns.values().any(is_asked)
}

/// Keeps training rows, where a column asks for its neighbours.
pub(super) fn fit(spec: &FeaturesSpec, features: &Features, train: &[RecordBatch]) -> Result<Option<Neighbours>> {
    let asked = |column: &Column| match spec.columns.get(&column.name) {
        Some(FeatureSpec::Number(of)) => match of.impute {
            Impute::Neighbours(of) => Some(of),
            _ => None,
        },
        _ => None,
    };
    let mut place = 0;
    let (mut columns, mut rows_max, mut first) = (Vec::new(), 0, None);
    for column in &features.columns {
        if matches!(column.kind, ColumnKind::Number { .. }) && column.numbers() == 1 {
            let of = asked(column);
            rows_max = rows_max.max(of.map_or(0, |of| of.rows_max));
            first = first.or(of.map(|_| column.name.as_str()));
            let count = of.map_or(0, |of| of.count);
            columns.push(Neighbour { name: column.name.clone(), place, scale: 1.0, count });
        }
        place += column.numbers();
    }
    let Some(first) = first else { return Ok(None) };
    if columns.len() < 2 {
        return Err(Error::invalid(format!(
            "column \"{first}\": neighbours are found by other numbers, and the model reads none; impute the mean or median"
        )));
    }
    let total: usize = train.iter().map(RecordBatch::num_rows).sum();
    let step = total.div_ceil(rows_max).max(1);
    let mut values = vec![Vec::with_capacity(total); columns.len()];
    let (mut rows, mut before) = (Vec::new(), 0);
    for batch in train {
        let encoded = encode_unfilled(features, batch)?;
        for (row, numbers) in encoded.numbers.chunks_exact(features.numeric.numbers.len()).enumerate() {
            values.iter_mut().zip(&columns).for_each(|(values, column)| values.push(numbers[column.place]));
            if (before + row).is_multiple_of(step) {
                rows.extend(columns.iter().map(|column| numbers[column.place]));
            }
        }
        before += batch.num_rows();
    }
    for (column, values) in columns.iter_mut().zip(&mut values) {
        values.retain(|x: &f32| !x.is_nan());
        column.scale = number::affine(crate::spec::Scale::Standard, values).0.scale;
    }
    Ok(Some(Neighbours { columns, rows }))
}
