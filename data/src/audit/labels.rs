//! Which rows have the wrong class? Those whose nearest neighbours agree on another one: confident learning (Northcutt, Jiang
//! and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels") on out-of-sample probabilities, which
//! the k nearest other rows give.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use profile::hash::{MISSING, hash_column};
use profile::{Already, ColumnKind, as_numbers};

use super::table::{Table, picked};
use super::words::{Examples, part, share};
use super::{Finding, Severity};

/// Rows that are looked at: each is held against all others.
const ROWS_MAX: usize = 4_000;
/// Fewer rows have no neighbours to speak of.
const ROWS_MIN: usize = 100;
/// Columns of numbers and of categories that make the distance, the first ones.
const COLUMNS_MAX: usize = 64;
/// Different values of a category; with more it names rows.
const CATEGORY_VALUES_MAX: u64 = 100;
const CLASSES_MAX: usize = 100;
/// Neighbours that vote.
const NEIGHBOURS: usize = 10;
/// A number counts up to so many standard deviations.
const FARTHEST: f32 = 4.0;
/// The columns must tell the classes so much better than always answering the largest: 0 not at all, 1 always. Where they
/// hardly do, neighbours of another class are no fault of the label.
const SKILL_MIN: f64 = 0.5;
/// The neighbours must agree so much on the other class.
const SURE: f64 = 0.8;
const MANY: f64 = 0.01;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let Some(target) = table.target_profile() else { return };
    if !table.has_classes() {
        return;
    }
    let rows = table.sampled(ROWS_MAX);
    let rows: Vec<u64> = rows.into_iter().filter(|row| table.target_of(*row) != Some(MISSING)).collect();
    let Some(classes) = classes(table, &rows) else { return };
    let Some(points) = Points::new(table, &rows) else { return };
    let count = classes.iter().max().map_or(0, |most| most + 1);
    let votes: Vec<Vec<f64>> = (0..rows.len()).map(|row| points.vote(row, &classes, count)).collect();
    if skill(&votes, &classes, count) < SKILL_MIN {
        return;
    }
    let mut found = Examples::default();
    confident(&votes, &classes, count).into_iter().for_each(|place| found.add(rows[place]));
    if found.count == 0 {
        return;
    }
    let all = rows.len() as u64;
    let value = share(found.count, all);
    let sample = if all == table.rows { "" } else { " looked at" };
    findings.push(Finding {
        severity: if value >= MANY { Severity::Warning } else { Severity::Info },
        check: "labels".into(),
        column: Some(target.name.clone()),
        message: format!(
            "{}{sample} may have the wrong \"{}\": the rows nearest to them agree on another one; look at some of them, and \
             correct or leave out what is wrong",
            part(found.count, all, "row"),
            target.name
        ),
        value,
        rows: found.rows,
    });
}

/// The class of each row, numbered; nothing if there are too few rows or too many classes.
fn classes(table: &Table, rows: &[u64]) -> Option<Vec<usize>> {
    if rows.len() < ROWS_MIN {
        return None;
    }
    let mut codes: HashMap<u64, usize, BuildHasherDefault<Already>> = HashMap::default();
    let mut classes = Vec::with_capacity(rows.len());
    for row in rows {
        let next = codes.len();
        classes.push(*codes.entry(table.target_of(*row)?).or_insert(next));
    }
    (2..=CLASSES_MAX).contains(&codes.len()).then_some(classes)
}

/// Rows as points: numbers in standard deviations, categories as codes.
struct Points {
    rows: usize,
    /// `[rows, numbers]`.
    numbers: Vec<f32>,
    width: usize,
    /// `[rows, categories]`.
    codes: Vec<u64>,
    categories: usize,
}

impl Points {
    fn new(table: &Table, rows: &[u64]) -> Option<Self> {
        let (mut numbers, mut codes): (Vec<Vec<f32>>, Vec<Vec<u64>>) = (Vec::new(), Vec::new());
        for (index, column) in table.features() {
            if table.identifiers.contains(&index) || numbers.len() + codes.len() == COLUMNS_MAX {
                continue;
            }
            let arrays = || picked(table.train, index, rows);
            match column.kind {
                ColumnKind::Number => {
                    let (Some(mean), Some(std)) = (column.mean, column.std.filter(|std| *std > 0.0)) else { continue };
                    let scaled = |value: f64| match ((value - mean) / std) as f32 {
                        value if value.is_nan() => 0.0,
                        value => value.clamp(-FARTHEST, FARTHEST),
                    };
                    let values = arrays().iter().filter_map(|array| as_numbers(array)).flatten().map(scaled).collect();
                    numbers.push(values);
                }
                ColumnKind::Category | ColumnKind::Boolean if (2..=CATEGORY_VALUES_MAX).contains(&column.distinct) => {
                    codes.push(arrays().iter().flat_map(|array| hash_column(array)).collect());
                }
                _ => {}
            }
        }
        let is_whole = numbers.iter().all(|values| values.len() == rows.len())
            && codes.iter().all(|values| values.len() == rows.len());
        if !is_whole || (numbers.is_empty() && codes.is_empty()) {
            return None;
        }
        let (width, categories) = (numbers.len(), codes.len());
        let by_row = |place: usize| numbers.iter().map(move |column| column[place]);
        let codes_by_row = |place: usize| codes.iter().map(move |column| column[place]);
        Some(Self {
            rows: rows.len(),
            numbers: (0..rows.len()).flat_map(by_row).collect(),
            width,
            codes: (0..rows.len()).flat_map(codes_by_row).collect(),
            categories,
        })
    }

    /// The share of each class among the nearest other rows.
    fn vote(&self, row: usize, classes: &[usize], count: usize) -> Vec<f64> {
        let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(NEIGHBOURS + 1);
        for other in (0..self.rows).filter(|other| *other != row) {
            let farthest = if nearest.len() == NEIGHBOURS { nearest[NEIGHBOURS - 1].0 } else { f32::INFINITY };
            let distance = self.distance(row, other);
            if distance < farthest {
                let place = nearest.partition_point(|(known, _)| *known <= distance);
                nearest.insert(place, (distance, other));
                nearest.truncate(NEIGHBOURS);
            }
        }
        let mut votes = vec![0.0; count];
        let one = 1.0 / nearest.len().max(1) as f64;
        nearest.iter().for_each(|(_, other)| votes[classes[*other]] += one);
        votes
    }

    /// Squared; two categories that differ are as far as numbers of one deviation either side of the mean.
    fn distance(&self, a: usize, b: usize) -> f32 {
        let row = |at: usize| &self.numbers[at * self.width..(at + 1) * self.width];
        let numbers: f32 = row(a).iter().zip(row(b)).map(|(x, y)| (x - y) * (x - y)).sum();
        let codes = |at: usize| &self.codes[at * self.categories..(at + 1) * self.categories];
        let differ = codes(a).iter().zip(codes(b)).filter(|(x, y)| x != y).count();
        numbers + 2.0 * differ as f32
    }
}

/// How much better the neighbours' majority is than always answering the largest class.
fn skill(votes: &[Vec<f64>], classes: &[usize], count: usize) -> f64 {
    let best = |votes: &[f64]| (0..count).max_by(|a, b| votes[*a].total_cmp(&votes[*b])).unwrap_or(0);
    let right = votes.iter().zip(classes).filter(|(votes, class)| best(votes) == **class).count() as f64;
    let largest = (0..count).map(|class| classes.iter().filter(|of| **of == class).count()).max().unwrap_or(0) as f64;
    let all = classes.len() as f64;
    if largest < all { (right - largest) / (all - largest) } else { 0.0 }
}

/// Places that confident learning puts off the diagonal: another class reaches its own threshold, the mean probability of it
/// among the rows that have it, and the neighbours are sure.
fn confident(votes: &[Vec<f64>], classes: &[usize], count: usize) -> Vec<usize> {
    let thresholds: Vec<f64> = (0..count)
        .map(|class| {
            let own: Vec<f64> =
                votes.iter().zip(classes).filter(|(_, of)| **of == class).map(|(votes, _)| votes[class]).collect();
            own.iter().sum::<f64>() / own.len().max(1) as f64
        })
        .collect();
    let is_other = |place: &usize| {
        let votes = &votes[*place];
        let above = (0..count).filter(|class| votes[*class] >= thresholds[*class].max(SURE - 1e-9));
        above.max_by(|a, b| votes[*a].total_cmp(&votes[*b])).is_some_and(|class| class != classes[*place])
    };
    (0..votes.len()).filter(is_other).collect()
}
