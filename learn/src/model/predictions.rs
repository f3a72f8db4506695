//! What came out: classes with probabilities, or values.

use std::sync::Arc;

use crate::{Error, Result, Target, Task};

/// Answers of a model, one per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// Classes and how probable each is.
    Classes {
        /// Class names.
        labels: Arc<[String]>,
        /// Probabilities `[rows, classes]`.
        probabilities: Vec<f32>,
        /// The answered class of each row, a place in `labels`.
        classes: Vec<u32>,
        /// With two classes: the second is answered from this probability on.
        threshold: Option<f32>,
    },
    /// Numbers `[rows]`, in the target's units.
    Values(Vec<f32>),
}

impl Predictions {
    /// Gives the flat answers of a network their meaning: probabilities `[rows, classes]` become classes (the most
    /// probable one; of two, the second one from `threshold` on, one half where absent), values stay.
    pub fn new(target: &Target, answers: Vec<f32>, threshold: Option<f32>) -> Self {
        let labels: Arc<[String]> = target.labels.clone().into();
        match target.task {
            Task::Regression => Self::Values(answers),
            task => {
                let threshold = (task == Task::Binary).then(|| threshold.unwrap_or(0.5));
                Self::classes(labels, answers, threshold)
            }
        }
    }

    pub(crate) fn classes(labels: Arc<[String]>, probabilities: Vec<f32>, threshold: Option<f32>) -> Self {
        let classes = probabilities.chunks_exact(labels.len().max(1)).map(|row| answer(row, threshold)).collect();
        Self::Classes { labels, probabilities, classes, threshold }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// The name of the answered class; nothing for values and for rows that are not there.
    pub fn label(&self, row: usize) -> Option<&str> {
        match self {
            Self::Classes { labels, classes, .. } => labels.get(*classes.get(row)? as usize).map(String::as_str),
            Self::Values(_) => None,
        }
    }

    /// The probabilities of a row, one per class; nothing for values and for rows that are not there.
    pub fn probabilities(&self, row: usize) -> Option<&[f32]> {
        match self {
            Self::Classes { labels, probabilities, .. } => probabilities.chunks_exact(labels.len().max(1)).nth(row),
            Self::Values(_) => None,
        }
    }

    /// The probability of the answered class, 0 to 1; nothing for values and for rows that are not there.
    pub fn confidence(&self, row: usize) -> Option<f32> {
        match self {
            Self::Classes { classes, .. } => self.probabilities(row)?.get(*classes.get(row)? as usize).copied(),
            Self::Values(_) => None,
        }
    }

    /// The value of a row; nothing for classes and for rows that are not there.
    pub fn value(&self, row: usize) -> Option<f32> {
        match self {
            Self::Classes { .. } => None,
            Self::Values(values) => values.get(row).copied(),
        }
    }

    /// Adds the answers of the same model for further rows.
    ///
    /// # Errors
    /// Answers of another kind, or with other classes.
    pub fn append(&mut self, more: Self) -> Result<()> {
        match (self, more) {
            (Self::Values(values), Self::Values(more)) => values.extend(more),
            (
                Self::Classes { labels, probabilities, classes, .. },
                Self::Classes { labels: same, probabilities: more, classes: answered, .. },
            ) if *labels == same => {
                probabilities.extend(more);
                classes.extend(answered);
            }
            _ => return Err(Error::invalid("answers of two models cannot be put together")),
        }
        Ok(())
    }

    /// The largest difference to the flat answers of a network: absolute for probabilities, as a share of the largest
    /// value for values; infinite where one of them is no number.
    pub(crate) fn difference(&self, network: &[f32]) -> Result<f64> {
        let (mine, unit) = match self {
            Self::Classes { probabilities, .. } => (probabilities, 1.0),
            Self::Values(values) => (values, network.iter().fold(0.0, |top, x| x.abs().max(top))),
        };
        if mine.len() != network.len() {
            let (left, right) = (mine.len(), network.len());
            return Err(Error::Internal(format!("{left} answers of the model against {right} of the network")));
        }
        let largest = mine.iter().zip(network).fold(0.0_f64, |top, (&a, &b)| {
            let difference = (f64::from(a) - f64::from(b)).abs();
            if difference.is_nan() { f64::INFINITY } else { top.max(difference) }
        });
        Ok(if largest == 0.0 { 0.0 } else { largest / f64::from(unit) })
    }
}

/// The class answered for the probabilities of one row.
fn answer(row: &[f32], threshold: Option<f32>) -> u32 {
    if let (Some(threshold), [_, positive]) = (threshold, row) {
        return u32::from(*positive >= threshold);
    }
    let first = row.first().copied().unwrap_or_default();
    row.iter().zip(0..).fold((first, 0), |best, (&p, class)| if p > best.0 { (p, class) } else { best }).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(n: usize) -> Arc<[String]> {
        (0..n).map(|i| format!("c{i}")).collect()
    }

    #[test]
    fn the_threshold_decides_between_two_classes_and_the_largest_between_several() {
        let check = |probabilities: &[f32], n, threshold, expected: &[u32]| match Predictions::classes(
            labels(n),
            probabilities.to_vec(),
            threshold,
        ) {
            Predictions::Classes { classes, .. } => assert_eq!(classes, expected, "{probabilities:?} {threshold:?}"),
            Predictions::Values(_) => panic!("values"),
        };
        check(&[0.5, 0.5, 0.51, 0.49], 2, Some(0.5), &[1, 0]);
        check(&[0.7, 0.3, 0.71, 0.29], 2, Some(0.3), &[1, 0]);
        check(&[0.2, 0.5, 0.3, 0.4, 0.2, 0.4, f32::NAN, 0.1, 0.2], 3, None, &[1, 0, 0]);
        check(&[], 3, None, &[]);
    }

    #[test]
    fn helpers_answer_by_row_and_not_beyond() {
        let classes = Predictions::classes(labels(2), vec![0.9, 0.1, 0.6, 0.4], Some(0.3));
        assert_eq!((classes.rows(), classes.label(1), classes.confidence(1)), (2, Some("c1"), Some(0.4)));
        assert_eq!((classes.confidence(0), classes.label(2), classes.value(0)), (Some(0.9), None, None));
        let values = Predictions::Values(vec![1.5]);
        assert_eq!((values.value(0), values.value(1), values.confidence(0)), (Some(1.5), None, None));
    }

    #[test]
    fn the_difference_is_absolute_for_probabilities_and_relative_for_values() {
        let classes = Predictions::classes(labels(2), vec![0.9, 0.1], Some(0.5));
        assert!((classes.difference(&[0.8, 0.2]).unwrap() - 0.1).abs() < 1e-7);
        assert!(classes.difference(&[f32::NAN, 0.2]).unwrap().is_infinite());
        assert!(classes.difference(&[0.8]).is_err());
        let values = Predictions::Values(vec![100.0, 1.0]);
        assert!((values.difference(&[100.0, 3.0]).unwrap() - 0.02).abs() < 1e-9);
        assert_eq!(Predictions::Values(vec![0.0]).difference(&[0.0]).unwrap(), 0.0);
    }
}
