//! Which rows has an epoch, in which order, and what does each count?

use crate::random::permutation;
use crate::spec::{Balance, TrainSpec};
use crate::{Error, Result, Target, Task};

use super::Part;

/// Streams of random numbers from here on belong to the order of rows, one per epoch.
const ORDER_STREAM: u64 = 0x6f72_6465_7200;
/// Streams from here on belong to the rows drawn again, one per epoch and class.
const AGAIN_STREAM: u64 = 0x6167_6169_6e00_0000;
/// Room for the classes of an epoch between its streams and the next one's.
const CLASSES_MAX: u64 = 1 << 32;

/// The rows of every epoch.
#[derive(Debug)]
pub(super) struct Order {
    seed: u64,
    /// The training rows; by class where rows are drawn again.
    groups: Vec<Vec<u32>>,
    /// Rows that each group has in an epoch.
    each: usize,
}

impl Order {
    /// Rows as they are, or as many of every class as of the largest.
    pub(super) fn new(spec: &TrainSpec, target: &Target, part: &Part) -> Result<Self> {
        let seed = spec.seed;
        if spec.balance != Balance::Oversample {
            return Ok(Self { seed, each: part.rows.len(), groups: vec![part.rows.clone()] });
        }
        refuse_numbers("balance is oversample", target)?;
        let mut groups = vec![Vec::new(); target.labels.len()];
        part.rows.iter().for_each(|row| groups[part.target[*row as usize] as usize].push(*row));
        groups.retain(|group| !group.is_empty());
        let each = groups.iter().map(Vec::len).max().unwrap_or(0);
        match u32::try_from(each * groups.len()) {
            Ok(_) => Ok(Self { seed, groups, each }),
            Err(_) => Err(Error::invalid(format!(
                "train.balance is oversample, but {} classes of {each} rows are too many; take weights",
                groups.len()
            ))),
        }
    }

    /// Rows of an epoch.
    pub(super) fn count(&self) -> usize {
        self.each * self.groups.len()
    }

    /// The rows of epoch `epoch`, from 0.
    pub(super) fn of(&self, epoch: usize) -> Vec<u32> {
        let epoch = epoch as u64;
        let mut rows = Vec::with_capacity(self.count());
        for (number, group) in self.groups.iter().enumerate() {
            let (times, rest) = (self.each / group.len(), self.each % group.len());
            (0..times).for_each(|_| rows.extend_from_slice(group));
            if rest > 0 {
                let stream = AGAIN_STREAM.wrapping_add(epoch.wrapping_mul(CLASSES_MAX)).wrapping_add(number as u64);
                let again = permutation(self.seed, stream, group.len() as u32);
                rows.extend(again[..rest].iter().map(|at| group[*at as usize]));
            }
        }
        let order = permutation(self.seed, ORDER_STREAM + epoch, rows.len() as u32);
        order.into_iter().map(|at| rows[at as usize]).collect()
    }
}

/// What a row counts in the loss, by its class; empty where every row counts 1. Balanced weights have the mean 1 over the
/// training rows: `rows / (classes * rows of the class)`.
pub(super) fn class_weights(spec: &TrainSpec, target: &Target, part: &Part) -> Result<Vec<f32>> {
    let balanced = spec.balance == Balance::Weights;
    match (balanced, spec.class_weights.is_empty()) {
        (false, true) => return Ok(Vec::new()),
        (true, false) => {
            return Err(Error::invalid("train.balance is weights and train.class_weights has some; take one of them"));
        }
        (true, true) => refuse_numbers("balance is weights", target)?,
        (false, false) => refuse_numbers("class_weights has some", target)?,
    }
    if balanced {
        let mut counts = vec![0usize; target.labels.len()];
        part.rows.iter().for_each(|row| counts[part.target[*row as usize] as usize] += 1);
        let present = counts.iter().filter(|count| **count > 0).count();
        let weight = |count: &usize| part.rows.len() as f64 / (present * *count.max(&1)) as f64;
        return Ok(counts.iter().map(|count| weight(count) as f32).collect());
    }
    let mut weights = vec![1.0; target.labels.len()];
    for (label, weight) in &spec.class_weights {
        let Some(class) = target.labels.iter().position(|known| known == label) else {
            let known = target.labels.iter().take(20).map(|label| format!("\"{label}\"")).collect::<Vec<_>>();
            return Err(Error::invalid(format!(
                "train.class_weights has \"{label}\", but target \"{}\" has the classes {}",
                target.column,
                known.join(", ")
            )));
        };
        weights[class] = *weight as f32;
    }
    Ok(weights)
}

/// What rows of these classes count; nothing where every row counts 1.
pub(super) fn weigh(class_weights: &[f32], classes: &[f32], weights: &mut Vec<f32>) {
    weights.clear();
    weights.extend(classes.iter().filter_map(|class| class_weights.get(*class as usize)));
}

fn refuse_numbers(what: &str, target: &Target) -> Result<()> {
    match target.task {
        Task::Regression => {
            let column = &target.column;
            Err(Error::invalid(format!("train.{what}, but target \"{column}\" is a number and has no classes")))
        }
        Task::Binary | Task::Multiclass => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Encoded;
    use crate::net::tests::target;

    fn with_part(counts: &[usize], test: impl Fn(&Part)) {
        let values: Vec<f32> =
            counts.iter().enumerate().flat_map(|(class, count)| vec![class as f32; *count]).collect();
        let encoded = Encoded { rows: values.len(), ..Encoded::default() };
        test(&Part { encoded: &encoded, target: &values, rows: (0..values.len() as u32).collect() });
    }

    #[test]
    fn every_class_is_drawn_as_often_as_the_largest() {
        let spec = TrainSpec { balance: Balance::Oversample, ..TrainSpec::default() };
        with_part(&[10, 3, 4], |part| {
            let order = Order::new(&spec, &target(3), part).unwrap();
            assert_eq!(order.count(), 30);
            let epochs = [order.of(0), order.of(1)];
            for rows in &epochs {
                let times = |row: u32| rows.iter().filter(|other| **other == row).count();
                let counts: Vec<usize> = (0..17).map(times).collect();
                assert!(counts[..10].iter().all(|count| *count == 1), "{counts:?}");
                assert!(counts[10..13].iter().all(|count| (3..=4).contains(count)), "{counts:?}");
                assert!(counts[13..].iter().all(|count| (2..=3).contains(count)), "{counts:?}");
                assert_eq!(counts.iter().sum::<usize>(), 30);
            }
            assert_ne!(epochs[0], epochs[1]);
            assert_eq!(order.of(1), epochs[1]);
        });
    }

    #[test]
    fn weights_are_those_that_were_asked_for() {
        let weights = |spec: &TrainSpec, part: &Part| class_weights(spec, &target(3), part);
        let spec = TrainSpec::default;
        let asked = |label: &str, weight: f64| [(label.to_owned(), weight)].into();
        with_part(&[6, 0, 2], |part| {
            assert!(weights(&spec(), part).unwrap().is_empty());
            // scikit-learn's `class_weight="balanced"`: rows / (classes * rows of the class).
            let balanced = TrainSpec { balance: Balance::Weights, ..spec() };
            let found = weights(&balanced, part).unwrap();
            assert_eq!((found[0], found[2]), (8.0 / 12.0, 2.0));
            let named = TrainSpec { class_weights: asked("class 2", 3.5), ..spec() };
            assert_eq!(weights(&named, part).unwrap(), [1.0, 1.0, 3.5]);
            let check = |spec: TrainSpec, classes: usize, expected: &str| {
                let message = class_weights(&spec, &target(classes), part).unwrap_err().to_string();
                assert!(message.contains(expected), "{message}");
            };
            let unknown = TrainSpec { class_weights: asked("class 9", 1.0), ..spec() };
            check(
                unknown,
                3,
                "\"class 9\", but target \"answer\" has the classes \"class 0\", \"class 1\", \"class 2\"",
            );
            check(TrainSpec { balance: Balance::Weights, ..named.clone() }, 3, "take one of them");
            check(named, 0, "train.class_weights has some, but target \"answer\" is a number");
            check(balanced, 0, "train.balance is weights, but target \"answer\" is a number");
            let oversample = TrainSpec { balance: Balance::Oversample, ..spec() };
            let message = Order::new(&oversample, &target(0), part).unwrap_err().to_string();
            assert!(message.starts_with("train.balance is oversample, but target \"answer\" is a number"), "{message}");
        });
    }
}
