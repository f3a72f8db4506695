//! Where was the model most wrong?

use serde::{Deserialize, Serialize};

use crate::{Predictions, Target};

/// A wrong answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// The row, counted from 0 among the judged ones.
    pub row: u32,
    /// The true class or value.
    pub truth: String,
    /// The answer.
    pub answer: String,
    /// The probability of the answer; nothing for values.
    pub confidence: Option<f64>,
    /// Truth minus answer; nothing for classes.
    pub residual: Option<f64>,
}

/// At most `n` wrong answers, worst first: classes by the rising probability of the truth, values by their falling
/// error.
pub fn worst(predictions: &Predictions, target: &Target, truth: &[f32], n: usize) -> Vec<Worst> {
    let mut wrong: Vec<(f64, usize)> = match predictions {
        Predictions::Classes { classes, .. } => (classes.iter().zip(truth).enumerate())
            .filter(|(_, (class, truth))| **class as f32 != **truth)
            .map(|(row, (_, truth))| (f64::from(probability(predictions, row, *truth)), row))
            .collect(),
        Predictions::Values(values) => (values.iter().zip(truth).enumerate())
            .map(|(row, (value, truth))| (-(f64::from(*truth) - f64::from(*value)).abs(), row))
            .filter(|(error, _)| *error != 0.0)
            .collect(),
    };
    wrong.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    wrong.truncate(n);
    wrong.into_iter().map(|(_, row)| describe(predictions, target, truth, row)).collect()
}

/// The probability of the true class; 0 where the model does not know it.
fn probability(predictions: &Predictions, row: usize, truth: f32) -> f32 {
    predictions.probabilities(row).and_then(|row| row.get(truth as usize)).copied().unwrap_or_default()
}

fn describe(predictions: &Predictions, target: &Target, truth: &[f32], row: usize) -> Worst {
    let expected = target.label(truth[row] as u32).map_or_else(|| truth[row].to_string(), str::to_owned);
    let value = predictions.value(row);
    let answer = predictions.label(row).map(str::to_owned).or(value.map(|x| x.to_string()));
    Worst {
        row: row as u32,
        truth: expected,
        answer: answer.unwrap_or_default(),
        confidence: predictions.confidence(row).map(f64::from),
        residual: value.map(|x| f64::from(truth[row]) - f64::from(x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;

    fn target(task: Task, labels: &[&str]) -> Target {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Target { column: "y".into(), task, labels, mean: 0.0, scale: 1.0 }
    }

    #[test]
    fn the_surest_wrong_answers_come_first() {
        let target = target(Task::Binary, &["no", "yes"]);
        let predictions = Predictions::new(&target, vec![0.9, 0.1, 0.4, 0.6, 0.2, 0.8, 0.05, 0.95], None);
        let found = worst(&predictions, &target, &[1.0, 1.0, 0.0, 0.0], 2);
        let expected = |row, confidence| Worst {
            row,
            truth: if row == 0 { "yes" } else { "no" }.into(),
            answer: if row == 0 { "no" } else { "yes" }.into(),
            confidence: Some(f64::from(confidence)),
            residual: None,
        };
        assert_eq!(found, [expected(3, 0.95_f32), expected(0, 0.9)]);
        assert!(worst(&predictions, &target, &[0.0, 1.0, 1.0, 1.0], 9).is_empty());
    }

    #[test]
    fn the_largest_residuals_come_first() {
        let target = target(Task::Regression, &[]);
        let found = worst(&Predictions::Values(vec![1.0, 2.0, 3.0]), &target, &[1.0, 2.5, 1.0], 9);
        assert_eq!(found.iter().map(|w| (w.row, w.residual)).collect::<Vec<_>>(), [(2, Some(-2.0)), (1, Some(0.5))]);
        assert_eq!((found[0].truth.as_str(), found[0].answer.as_str()), ("1", "3"));
    }
}
