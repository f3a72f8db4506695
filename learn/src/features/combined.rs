//! What says more together than apart? Numbers and categories that are made of several columns of a row.

use arrow::array::{Array, RecordBatch};
use serde::{Deserialize, Serialize};

use super::category::{self, Counts, Known};
use super::column::{Choice, Column, ColumnKind, Vocabulary};
use super::number::{self, Fill};
use super::numeric::{NumberInput, NumericPart};
use super::prepared::{Prepared, bin};
use super::values::{Mismatch, complaint, counted, each_boolean, each_number, each_text, narrow};
use crate::error::did_you_mean;
use crate::spec::{CategoryEncoding, CategorySpec, DistanceTo, FeatureSpec, FeaturesSpec, Impute, Scale};
use crate::{Error, Result};

/// Most features of several columns.
const COMBINED_MAX: usize = 1_000;

/// Mean radius of the earth in kilometres (IUGG).
const EARTH_KM: f64 = 6_371.008_8;

/// Stands between two crossed values; no text has it.
const BETWEEN: char = '\u{1f}';

/// What a source of numbers has to hold.
const NUMBER: &str = "a number";

/// A feature that is made of several columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Combined {
    /// What it is called: `a * b`, `a & b`.
    pub name: String,
    /// What it is made of.
    pub kind: CombinedKind,
}

/// How several columns become one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombinedKind {
    /// One number times another.
    Product {
        /// The columns.
        of: [String; 2],
    },
    /// Both values as one, with U+001F between them; a bin is written as its number from 0 on.
    Cross {
        /// The columns.
        of: [String; 2],
        /// The known pairs.
        values: Vocabulary,
    },
    /// Great circle in kilometres (haversine, on a sphere of the earth's mean radius).
    Distance {
        /// Columns of latitude and longitude, in degrees.
        from: [String; 2],
        /// Where it ends.
        to: DistanceTo,
    },
    /// 1 where a number is missing, before neighbours stand in for it.
    Missing {
        /// The column.
        of: String,
    },
}

impl Combined {
    /// Columns of `Encoded::numbers` it fills.
    pub(crate) fn numbers(&self) -> usize {
        usize::from(!matches!(self.kind, CombinedKind::Cross { .. }))
    }

    /// Number of codes, of one that fills one of `Encoded::codes`.
    pub(crate) fn cardinality(&self) -> Option<usize> {
        match &self.kind {
            CombinedKind::Cross { values, .. } => Some(values.cardinality()),
            _ => None,
        }
    }

    /// The columns it is made of.
    pub(crate) fn sources(&self) -> Vec<&str> {
        match &self.kind {
            CombinedKind::Product { of } | CombinedKind::Cross { of, .. } => of.iter().map(String::as_str).collect(),
            CombinedKind::Distance { from, to: DistanceTo::Columns(to) } => {
                from.iter().chain(to).map(String::as_str).collect()
            }
            CombinedKind::Distance { from, .. } => from.iter().map(String::as_str).collect(),
            CombinedKind::Missing { of } => vec![of],
        }
    }

    /// The word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self.kind {
            CombinedKind::Product { .. } => "product",
            CombinedKind::Cross { .. } => "cross",
            CombinedKind::Distance { .. } => "distance",
            CombinedKind::Missing { .. } => "missing",
        }
    }

    /// Its number in each row of a batch, NaN where one of its columns has none.
    pub(super) fn numbers_of(&self, sources: &Sources<'_>) -> Result<Vec<f32>> {
        Ok(match &self.kind {
            CombinedKind::Product { of: [a, b] } => {
                let (a, b) = (sources.numbers(a)?, sources.numbers(b)?);
                a.iter().zip(&b).map(|(&a, &b)| narrow(f64::from(a) * f64::from(b))).collect()
            }
            CombinedKind::Distance { from, to } => {
                let from = [sources.numbers(&from[0])?, sources.numbers(&from[1])?];
                let place = |of: &[Vec<f32>; 2], row: usize| [f64::from(of[0][row]), f64::from(of[1][row])];
                match to {
                    DistanceTo::Point(point) => {
                        (0..from[0].len()).map(|row| narrow(haversine(place(&from, row), *point))).collect()
                    }
                    DistanceTo::Columns(to) => {
                        let to = [sources.numbers(&to[0])?, sources.numbers(&to[1])?];
                        let between = |row| narrow(haversine(place(&from, row), place(&to, row)));
                        (0..from[0].len()).map(between).collect()
                    }
                }
            }
            CombinedKind::Missing { of } => sources.numbers(of)?.iter().map(|x| f32::from(x.is_nan())).collect(),
            CombinedKind::Cross { .. } => Vec::new(),
        })
    }

    /// Its code in each row of a batch.
    pub(super) fn codes_of(&self, sources: &Sources<'_>) -> Result<Vec<i32>> {
        let CombinedKind::Cross { of, values } = &self.kind else { return Ok(Vec::new()) };
        let code = |pair: Option<String>| pair.map_or(Vocabulary::MISSING, |pair| values.code(&pair));
        Ok(sources.pairs(of)?.into_iter().map(code).collect())
    }
}

/// Kilometres between two places in degrees of latitude and longitude; NaN for what is no place.
fn haversine(a: [f64; 2], b: [f64; 2]) -> f64 {
    let is_place = |[latitude, longitude]: [f64; 2]| latitude.abs() <= 90.0 && longitude.abs() <= 360.0;
    if !(is_place(a) && is_place(b)) {
        return f64::NAN;
    }
    let [[a_north, a_east], [b_north, b_east]] = [a, b].map(|place| place.map(f64::to_radians));
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let h = half(b_north - a_north) + a_north.cos() * b_north.cos() * half(b_east - a_east);
    2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
}

/// The columns of a batch that features are made of.
pub(super) struct Sources<'a> {
    pub(super) columns: &'a [Column],
    pub(super) batch: &'a RecordBatch,
    /// Rows before the batch, for messages.
    pub(super) before: usize,
}

impl<'a> Sources<'a> {
    fn find(&self, name: &str) -> Result<(&'a Column, &'a dyn Array)> {
        let column = self.columns.iter().find(|column| column.name == name);
        let array = self.batch.column_by_name(name);
        column.zip(array.map(AsRef::as_ref)).ok_or_else(|| {
            let given = self.batch.schema_ref().fields().iter().map(|field| field.name().as_str());
            let hint = did_you_mean(name, given);
            Error::NotFound(format!("no column \"{name}\" in the rows, of which the model makes a feature{hint}"))
        })
    }

    /// As the column itself would be read; booleans as 1 and 0.
    fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        let (column, array) = self.find(name)?;
        let mut numbers = vec![f32::NAN; array.len()];
        let (done, expected) = match &column.kind {
            _ if array.null_count() == array.len() => (Ok(()), ""),
            ColumnKind::Boolean => (each_boolean(array, &mut |row, x| numbers[row] = x), "true or false"),
            _ => (each_number(array, &mut |row, x| numbers[row] = narrow(x)), NUMBER),
        };
        done.map_err(|mismatch| complaint(name, array, self.before, mismatch, expected))?;
        Ok(numbers)
    }

    /// The values of a category, `true` and `false` of a boolean, the number of a bin.
    fn words(&self, name: &str) -> Result<Vec<Option<String>>> {
        let (column, array) = self.find(name)?;
        let mut words = vec![None; array.len()];
        let (done, expected) = match (&column.kind, &column.prepared) {
            _ if array.null_count() == array.len() => (Ok(()), ""),
            (ColumnKind::Boolean, _) => {
                let word = |x: f32| if x == 1.0 { "true" } else { "false" };
                let write = &mut |row, x: f32| words[row] = (!x.is_nan()).then(|| word(x).to_owned());
                (each_boolean(array, write), "true or false")
            }
            (ColumnKind::Number { .. }, Prepared::Bins { edges } | Prepared::Apart { edges }) => {
                let number = |x: f32| (!x.is_nan()).then(|| (bin(edges, x) - Vocabulary::FIRST).to_string());
                (each_number(array, &mut |row, x| words[row] = number(narrow(x))), NUMBER)
            }
            _ => (each_text(array, &mut |row, value| words[row] = value.map(str::to_owned)), category::EXPECTED),
        };
        done.map_err(|mismatch: Mismatch| complaint(name, array, self.before, mismatch, expected))?;
        Ok(words)
    }

    /// Both values as one; nothing where one of them is missing.
    fn pairs(&self, of: &[String; 2]) -> Result<Vec<Option<String>>> {
        let (a, b) = (self.words(&of[0])?, self.words(&of[1])?);
        Ok(a.into_iter().zip(b).map(|(a, b)| Some(format!("{}{BETWEEN}{}", a?, b?))).collect())
    }
}

/// The columns that features are made of, with where the settings name them.
pub(super) fn sources(spec: &FeaturesSpec) -> Vec<(&'static str, &String)> {
    let products = spec.products.iter().flatten().map(|name| ("products", name));
    let crosses = spec.crosses.iter().flatten().map(|name| ("crosses", name));
    let ends = spec.distances.iter().flat_map(|distance| {
        let to: &[String] = if let DistanceTo::Columns(to) = &distance.to { to } else { &[] };
        distance.from.iter().chain(to)
    });
    products.chain(crosses).chain(ends.map(|name| ("distances", name))).collect()
}

impl FeaturesSpec {
    /// The columns of which features are made; nothing where every column of the table may become one.
    pub fn columns_read(&self) -> Option<Vec<&str>> {
        if self.include.is_empty() {
            return None;
        }
        let sources = sources(self).into_iter().map(|(_, name)| name);
        Some(
            self.include
                .iter()
                .chain(self.columns.keys())
                .chain(&self.exclude)
                .chain(sources)
                .map(String::as_str)
                .collect(),
        )
    }
}

/// Whether anything is made of several columns.
pub(super) fn is_asked(spec: &FeaturesSpec, columns: &[Column]) -> bool {
    !asked(spec, columns).is_empty()
}

/// Fits what is made of several columns, with the inputs and the words for each.
pub(super) fn fit(
    spec: &FeaturesSpec,
    columns: &[Column],
    train: &[RecordBatch],
) -> Result<Vec<(Combined, NumericPart, Choice)>> {
    let asked = asked(spec, columns);
    if asked.len() > COMBINED_MAX {
        let message = format!("features: {} products, crosses and distances, at most {COMBINED_MAX}", asked.len());
        return Err(Error::invalid(message));
    }
    asked.into_iter().map(|combined| fit_one(combined, columns, train)).collect()
}

/// What is to be made, not fitted yet.
fn asked(spec: &FeaturesSpec, columns: &[Column]) -> Vec<Combined> {
    let products = spec
        .products
        .iter()
        .map(|of| Combined { name: format!("{} * {}", of[0], of[1]), kind: CombinedKind::Product { of: of.clone() } });
    let crosses = spec.crosses.iter().map(|of| Combined {
        name: format!("{} & {}", of[0], of[1]),
        kind: CombinedKind::Cross { of: of.clone(), values: Vocabulary::default() },
    });
    let distances = spec.distances.iter().map(|distance| {
        let to = match &distance.to {
            DistanceTo::Columns(to) => to.join(", "),
            DistanceTo::Point(to) => format!("{}, {}", to[0], to[1]),
        };
        let (from, to) = (distance.from.clone(), (distance.to.clone(), to));
        Combined {
            name: format!("distance {} to {}", from.join(", "), to.1),
            kind: CombinedKind::Distance { from, to: to.0 },
        }
    });
    let flags = columns.iter().filter(|column| match spec.columns.get(&column.name) {
        Some(FeatureSpec::Number(of)) => of.indicator && matches!(of.impute, Impute::Neighbours(_)),
        _ => false,
    });
    let flags = flags.map(|column| Combined {
        name: format!("{} missing", column.name),
        kind: CombinedKind::Missing { of: column.name.clone() },
    });
    products.chain(crosses).chain(distances).chain(flags).collect()
}

fn fit_one(
    mut combined: Combined,
    columns: &[Column],
    train: &[RecordBatch],
) -> Result<(Combined, NumericPart, Choice)> {
    check(&combined, columns)?;
    let mut before = 0;
    let (mut numbers, mut counts) = (Vec::new(), Counts::default());
    for batch in train {
        let sources = Sources { columns, batch, before };
        match &combined.kind {
            CombinedKind::Cross { of, .. } => sources.pairs(of)?.iter().for_each(|pair| counts.add(pair.as_deref(), 1)),
            _ => numbers.extend(combined.numbers_of(&sources)?),
        }
        before += batch.num_rows();
    }
    let name = combined.name.clone();
    let (inputs, how) = match &mut combined.kind {
        CombinedKind::Cross { values, .. } => {
            let missing = before as u64 - counts.present;
            if counts.present == 0 {
                return Err(without_values(&name, before));
            }
            let distinct = counts.values.len();
            // The vector of unknown pairs is learned from the rare ones.
            let count_min = if distinct > category::ONE_HOT_MAX { 2 } else { 1 };
            let spec = CategorySpec { count_min, ..CategorySpec::default() };
            let known = Known::of(&name, &spec, counts)?;
            let words = known.words(missing);
            *values = known.values;
            let known = values.values().len();
            let (input, encoding) = category::encoded_as(&name, CategoryEncoding::Auto, known, values.cardinality())?;
            let inputs = NumericPart { categories: vec![input], ..NumericPart::default() };
            (inputs, format!("pairs of values as a {words}, {encoding}"))
        }
        kind => {
            let flag = matches!(kind, CombinedKind::Missing { .. });
            let (input, how) = number_input(&name, numbers, if flag { Scale::None } else { Scale::Standard })?;
            (input.into(), how)
        }
    };
    let choice = Choice { column: name, feature: combined.word().into(), how };
    Ok((combined, inputs, choice))
}

fn number_input(name: &str, numbers: Vec<f32>, scale: Scale) -> Result<(NumberInput, String)> {
    let rows = numbers.len();
    let mut present: Vec<f32> = numbers.into_iter().filter(|x| !x.is_nan()).collect();
    if present.is_empty() {
        return Err(without_values(name, rows));
    }
    let (low, high) = number::range(&present);
    let impute = number::fill(Fill::Median, &mut present);
    let (affine, scaling) = number::affine(scale, &mut present);
    let missing = (rows - present.len()) as u64;
    let how = format!(
        "number from {} to {}{}, {scaling}",
        number::shown(low),
        number::shown(high),
        match missing {
            0 => String::new(),
            _ => format!(", {} missing replaced by the median {}", counted(missing, "value"), number::shown(impute)),
        },
    );
    let clip = [f32::NEG_INFINITY, f32::INFINITY];
    Ok((NumberInput { name: name.into(), impute, indicator: false, clip, affine }, how))
}

fn without_values(name: &str, rows: usize) -> Error {
    Error::invalid(format!("features: \"{name}\" has no value in the {rows} training rows; take it out of the list"))
}

/// Whether the columns hold what is to be combined.
fn check(combined: &Combined, columns: &[Column]) -> Result<()> {
    let (name, word) = (&combined.name, combined.word());
    if let CombinedKind::Distance { to: DistanceTo::Point([latitude, longitude]), .. } = &combined.kind
        && !(latitude.abs() <= 90.0 && longitude.abs() <= 360.0)
    {
        return Err(Error::invalid(format!(
            "features: \"{name}\": {latitude}, {longitude} is no latitude and longitude"
        )));
    }
    for source in combined.sources() {
        let Some(column) = columns.iter().find(|column| column.name == source) else {
            return Err(Error::invalid(format!("features: \"{name}\": column \"{source}\" is not read")));
        };
        let kind = column.kind.word();
        let fits = match combined.kind {
            CombinedKind::Cross { .. } => {
                let bins = match &column.prepared {
                    Prepared::Bins { .. } => true,
                    Prepared::Apart { edges } => !edges.is_empty(),
                    _ => false,
                };
                bins || matches!(column.kind, ColumnKind::Category { .. } | ColumnKind::Boolean)
            }
            _ => matches!(column.kind, ColumnKind::Number { .. } | ColumnKind::Boolean),
        };
        if !fits {
            let expected = match combined.kind {
                CombinedKind::Cross { .. } => "a category, a boolean or a number with bins",
                _ => "a number",
            };
            return Err(Error::invalid(format!(
                "features: \"{name}\": column \"{source}\" is read as a {kind}, a {word} takes {expected}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_sphere() {
        // sklearn.metrics.pairwise.haversine_distances in radians, times 6371.0088.
        for (a, b, km) in [
            ([48.137, 11.575], [52.52, 13.405], 504.338_6),
            ([31.23, 121.474], [39.904, 116.407], 1_067.359_5),
            ([0.0, 179.0], [0.0, -179.0], 222.390_2),
            ([90.0, 0.0], [-90.0, 0.0], 20_015.114_4),
            ([1.0, 2.0], [1.0, 2.0], 0.0),
        ] {
            let found = haversine(a, b);
            assert!((found - km).abs() < 1e-3, "{a:?} to {b:?}: {found}");
        }
        assert!(haversine([91.0, 0.0], [0.0, 0.0]).is_nan() && haversine([f64::NAN, 0.0], [0.0, 0.0]).is_nan());
    }
}
