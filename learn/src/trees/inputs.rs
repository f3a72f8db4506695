//! Which numbers of a row may a tree ask about?

use crate::features::{BagBlock, Encoded, NumericPart};
use crate::{Error, Result};

/// Rows that the mean of all counts for in the mean of a category's value, so that rare values are not ranked by chance.
const SMOOTHING: f64 = 10.0;

/// The inputs of trees, in this order: raw numbers within their clip, NaN where missing; the ranks of categories;
/// weighted terms; pixels from 0 to 255.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inputs {
    pub(crate) numeric: NumericPart,
    /// Ranks per category: one for each output of the model, since values are in another order for every class.
    pub(crate) rank_columns: usize,
}

/// For one category the place of each code when the codes are ordered by the mean of the target (Breiman et al. 1984,
/// section 4.2.2; Fisher 1958): the splits between neighbours hold the best split into two sets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ranks {
    /// Codes from 0; larger ones count as the last.
    pub(crate) codes: usize,
    /// `[codes, rank_columns]`.
    pub(crate) places: Vec<f32>,
}

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Number(usize),
    /// Category and column of its ranks.
    Rank(usize, usize),
    /// Text and term.
    Term(usize, usize),
    /// Image and value.
    Pixel(usize, usize),
}

impl Inputs {
    /// Of these features for a model of so many outputs. Refuses features that trees cannot read.
    pub(crate) fn new(numeric: &NumericPart, outputs: usize) -> Result<Self> {
        if let Some(text) = numeric.texts.first() {
            return Err(Error::invalid(format!(
                "decision trees do not read texts word by word; set features.columns.{}.text.encode to tf_idf, or take a \
                 network of words (text_conv, recurrent, transformer)",
                text.name
            )));
        }
        let inputs = Self { numeric: numeric.clone(), rank_columns: outputs };
        match inputs.width() {
            0 => Err(Error::invalid("the trees have no inputs; add a column to features.include")),
            _ => Ok(inputs),
        }
    }

    /// Number of inputs.
    pub(crate) fn width(&self) -> usize {
        let terms: usize = self.numeric.bags.iter().map(|bag| bag.width).sum();
        let pixels: usize = self.numeric.images.iter().map(|image| image.values()).sum();
        self.numeric.numbers.len() + self.numeric.categories.len() * self.rank_columns + terms + pixels
    }

    /// All inputs in order.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let part = &self.numeric;
        let mut sources: Vec<Source> = (0..part.numbers.len()).map(Source::Number).collect();
        for category in 0..part.categories.len() {
            sources.extend((0..self.rank_columns).map(|column| Source::Rank(category, column)));
        }
        for (bag, block) in part.bags.iter().enumerate() {
            sources.extend((0..block.width).map(|term| Source::Term(bag, term)));
        }
        for (image, block) in part.images.iter().enumerate() {
            sources.extend((0..block.values()).map(|value| Source::Pixel(image, value)));
        }
        sources
    }

    /// Writes the inputs of a row: `[width]`.
    pub(crate) fn write_row(&self, ranks: &[Ranks], encoded: &Encoded, row: usize, out: &mut [f32]) {
        let part = &self.numeric;
        let (numbers, mut out) = out.split_at_mut(part.numbers.len());
        for (number, slot) in numbers.iter_mut().enumerate() {
            *slot = self.number(encoded, row, number);
        }
        for (category, ranks) in ranks.iter().enumerate() {
            let (places, rest) = out.split_at_mut(self.rank_columns);
            places.copy_from_slice(ranks.of(encoded.codes[row * part.categories.len() + category], self.rank_columns));
            out = rest;
        }
        for block in &encoded.bags {
            let (terms, rest) = out.split_at_mut(block.width);
            block.write(row, terms);
            out = rest;
        }
        for block in &encoded.images {
            let (values, rest) = out.split_at_mut(block.values);
            let pixels = &block.pixels[row * block.values..][..block.values];
            values.iter_mut().zip(pixels).for_each(|(slot, pixel)| *slot = f32::from(*pixel));
            out = rest;
        }
    }

    fn number(&self, encoded: &Encoded, row: usize, number: usize) -> f32 {
        let x = encoded.numbers[row * self.numeric.numbers.len() + number];
        let clip = self.numeric.numbers[number].clip;
        if x.is_nan() { x } else { x.max(clip[0]).min(clip[1]) }
    }

    /// The values of an input over these rows; `terms` are the transposed weighted terms of each text.
    pub(crate) fn column(
        &self,
        ranks: &[Ranks],
        encoded: &Encoded,
        terms: &[Terms],
        rows: &[u32],
        source: Source,
    ) -> Vec<f32> {
        let categories = self.numeric.categories.len();
        let each = |of: &dyn Fn(usize) -> f32| rows.iter().map(|&row| of(row as usize)).collect();
        match source {
            Source::Number(number) => each(&|row| self.number(encoded, row, number)),
            Source::Rank(category, column) => {
                each(&|row| ranks[category].of(encoded.codes[row * categories + category], self.rank_columns)[column])
            }
            Source::Term(bag, term) => {
                let mut values = vec![0.0; rows.len()];
                terms[bag].of(term).iter().for_each(|&(at, weight)| values[at as usize] = weight);
                values
            }
            Source::Pixel(image, value) => {
                let block = &encoded.images[image];
                each(&|row| f32::from(block.pixels[row * block.values + value]))
            }
        }
    }
}

impl Ranks {
    /// The places of a code, one per column.
    pub(crate) fn of(&self, code: i32, columns: usize) -> &[f32] {
        let code = usize::try_from(code).unwrap_or(0).min(self.codes - 1);
        &self.places[code * columns..][..columns]
    }

    /// Orders the codes of every category by the mean target on these rows. `targets(n, column)` is what
    /// output `column` should give for the n-th of the rows.
    pub(crate) fn fit(
        inputs: &Inputs,
        encoded: &Encoded,
        rows: &[u32],
        targets: &dyn Fn(usize, usize) -> f64,
    ) -> Vec<Self> {
        let (categories, columns) = (inputs.numeric.categories.len(), inputs.rank_columns);
        if categories == 0 {
            return Vec::new();
        }
        let sum = |column: usize| (0..rows.len()).map(|n| targets(n, column)).sum::<f64>();
        let all: Vec<f64> = (0..columns).map(sum).collect();
        let prior: Vec<f64> = all.iter().map(|sum| sum / rows.len().max(1) as f64).collect();
        let fit = |category: usize| {
            let code = |row: u32| encoded.codes[row as usize * categories + category].max(0) as usize;
            let codes = rows.iter().map(|&row| code(row)).max().unwrap_or(0) + 1;
            let mut counts = vec![0.0; codes];
            let mut sums = vec![0.0; codes * columns];
            for (n, &row) in rows.iter().enumerate() {
                counts[code(row)] += 1.0;
                let sums = &mut sums[code(row) * columns..][..columns];
                sums.iter_mut().enumerate().for_each(|(column, sum)| *sum += targets(n, column));
            }
            let mut places = vec![0.0; codes * columns];
            for column in 0..columns {
                let mean = |code: usize| {
                    (sums[code * columns + column] + SMOOTHING * prior[column]) / (counts[code] + SMOOTHING)
                };
                let mut order: Vec<usize> = (0..codes).collect();
                order.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)).then(a.cmp(&b)));
                order.iter().enumerate().for_each(|(place, &code)| places[code * columns + column] = place as f32);
            }
            Self { codes, places }
        };
        (0..categories).map(fit).collect()
    }
}

/// The weighted terms of one text term by term: where each occurs and its weight there.
#[derive(Debug)]
pub(crate) struct Terms {
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl Terms {
    /// Of these rows, which are numbered from 0 in this order.
    pub(crate) fn new(block: &BagBlock, rows: &[u32]) -> Self {
        let mut starts = vec![0; block.width + 1];
        for &row in rows {
            block.row(row as usize).0.iter().for_each(|&term| starts[term as usize + 1] += 1);
        }
        for term in 0..block.width {
            starts[term + 1] += starts[term];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); starts[block.width]];
        for (at, &row) in rows.iter().enumerate() {
            let (terms, weights) = block.row(row as usize);
            for (&term, &weight) in terms.iter().zip(weights) {
                entries[next[term as usize]] = (at as u32, weight);
                next[term as usize] += 1;
            }
        }
        Self { starts, entries }
    }

    fn of(&self, term: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[term]..self.starts[term + 1]]
    }
}
