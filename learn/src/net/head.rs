//! What becomes of the last layer's outputs, and by which loss are they judged?

use crate::spec::Loss;
use crate::{Error, Result, Target, Task};

/// The end of a network: the one place where `loss: auto` is decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Head {
    /// Width of the last layer: 1 for numbers and for the sigmoid, else the number of classes.
    pub(crate) outputs: usize,
    /// From outputs to answers.
    pub(crate) activation: HeadActivation,
    /// What is made small.
    pub(crate) loss: HeadLoss,
    /// Share of a class' target that goes to all classes in equal parts while training.
    pub(crate) smoothing: f32,
}

/// From the last layer's outputs to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadActivation {
    /// One value in standardised target units: the answer is `value * scale + mean`.
    Linear,
    /// One logit: the probabilities are `[1 - p, p]`.
    Sigmoid,
    /// One logit per class.
    Softmax,
}

/// How answers are judged while training; each is the mean over the rows of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum HeadLoss {
    /// Squared error of the value, of the probability (sigmoid), or of the probabilities against the one-hot target,
    /// in which case it is the mean over the classes too.
    SquaredError,
    /// Absolute error of the value.
    AbsoluteError,
    /// Half the squared error of the value up to `delta`, linear beyond.
    Huber {
        /// In standardised target units.
        delta: f32,
    },
    /// Too low costs `quantile` times the error, too high the rest to 1.
    Quantile {
        /// Between 0 and 1.
        quantile: f32,
    },
    /// Negative log likelihood of the right class.
    CrossEntropy,
    /// The same times `(1 - p)^gamma` of the right class' probability.
    Focal {
        /// At least 0.
        gamma: f32,
    },
    /// The mean squared difference of what came back and what was given, whose logarithm is the output.
    Reconstruction,
}

/// What the outputs should be: class numbers as they are, values with mean 0 and standard deviation 1.
pub(crate) fn standardised(values: &[f32], target: &Target) -> Vec<f32> {
    match target.task {
        Task::Regression => values.iter().map(|y| ((f64::from(*y) - target.mean) / target.scale) as f32).collect(),
        Task::Binary | Task::Multiclass => values.to_vec(),
    }
}

impl Head {
    /// The head for a target and a loss. Binary cross-entropy is what `auto` takes for two classes, categorical
    /// cross-entropy for more, mean squared error for numbers.
    pub(crate) fn of(target: &Target, loss: Loss) -> Result<Self> {
        use {HeadActivation as A, HeadLoss as L};
        let classes = target.labels.len();
        let head = |outputs, activation, loss| Ok(Self { outputs, activation, loss, smoothing: 0.0 });
        let of_classes = |loss| match target.task {
            Task::Binary => head(1, A::Sigmoid, loss),
            _ => head(classes, A::Softmax, loss),
        };
        let refuse = |why: String| Err(Error::invalid(format!("train.loss is {}, but target {why}", loss.name())));
        let column = &target.column;
        match (target.task, loss) {
            (Task::Regression, Loss::Auto | Loss::MeanSquaredError) => head(1, A::Linear, L::SquaredError),
            (Task::Regression, Loss::MeanAbsoluteError) => head(1, A::Linear, L::AbsoluteError),
            (Task::Regression, Loss::Huber(huber)) => head(1, A::Linear, L::Huber { delta: huber.delta as f32 }),
            (Task::Regression, Loss::Quantile(spec)) => {
                head(1, A::Linear, L::Quantile { quantile: spec.quantile as f32 })
            }
            (Task::Regression, _) => refuse(format!(
                "\"{column}\" is a number; take auto, mean_squared_error, mean_absolute_error, huber or quantile, or set \
                 task: classification"
            )),
            (_, Loss::MeanAbsoluteError | Loss::Huber(_) | Loss::Quantile(_)) => refuse(format!(
                "\"{column}\" has classes; take auto, categorical_cross_entropy or focal, or set task: regression"
            )),
            (Task::Multiclass, Loss::BinaryCrossEntropy) => {
                refuse(format!("\"{column}\" has {classes} classes; take categorical_cross_entropy or auto"))
            }
            (_, Loss::Auto | Loss::BinaryCrossEntropy) => of_classes(L::CrossEntropy),
            (_, Loss::MeanSquaredError) => of_classes(L::SquaredError),
            (_, Loss::Focal(focal)) => of_classes(L::Focal { gamma: focal.gamma as f32 }),
            (_, Loss::CategoricalCrossEntropy) => head(classes, A::Softmax, L::CrossEntropy),
        }
    }

    /// The same with this share of every target for all classes in equal parts. Only cross-entropy takes one.
    pub(crate) fn smoothed(self, smoothing: f64) -> Result<Self> {
        match self.loss {
            _ if smoothing == 0.0 => Ok(self),
            HeadLoss::CrossEntropy => Ok(Self { smoothing: smoothing as f32, ..self }),
            _ => Err(Error::invalid(format!(
                "train.label_smoothing is {smoothing}, but only a cross-entropy of classes takes one; set it to 0"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::target;
    use crate::spec::{FocalSpec, HuberSpec, QuantileSpec};

    #[test]
    fn auto_takes_the_usual_loss_and_wrong_pairs_are_refused() {
        use {HeadActivation as A, HeadLoss as L};
        let check = |classes: usize, loss: Loss, expected: Option<(usize, A, L)>| {
            let found = Head::of(&target(classes), loss).ok().map(|head| (head.outputs, head.activation, head.loss));
            assert_eq!(found, expected, "{classes} classes, {loss:?}");
        };
        check(0, Loss::Auto, Some((1, A::Linear, L::SquaredError)));
        check(2, Loss::Auto, Some((1, A::Sigmoid, L::CrossEntropy)));
        check(5, Loss::Auto, Some((5, A::Softmax, L::CrossEntropy)));
        check(2, Loss::CategoricalCrossEntropy, Some((2, A::Softmax, L::CrossEntropy)));
        check(2, Loss::MeanSquaredError, Some((1, A::Sigmoid, L::SquaredError)));
        check(5, Loss::MeanSquaredError, Some((5, A::Softmax, L::SquaredError)));
        check(5, Loss::BinaryCrossEntropy, None);
        check(0, Loss::BinaryCrossEntropy, None);
        check(0, Loss::CategoricalCrossEntropy, None);
        let focal = Loss::Focal(FocalSpec { gamma: 1.0 });
        check(2, focal, Some((1, A::Sigmoid, L::Focal { gamma: 1.0 })));
        check(5, focal, Some((5, A::Softmax, L::Focal { gamma: 1.0 })));
        check(0, focal, None);
        let of_numbers = [
            (Loss::MeanAbsoluteError, L::AbsoluteError),
            (Loss::Huber(HuberSpec { delta: 0.5 }), L::Huber { delta: 0.5 }),
            (Loss::Quantile(QuantileSpec { quantile: 0.9 }), L::Quantile { quantile: 0.9 }),
        ];
        for (loss, expected) in of_numbers {
            check(0, loss, Some((1, A::Linear, expected)));
            check(2, loss, None);
            check(5, loss, None);
        }
    }

    #[test]
    fn a_refused_loss_is_named_as_it_is_written() {
        let message = |classes: usize, loss: Loss| Head::of(&target(classes), loss).unwrap_err().to_string();
        let focal = message(0, Loss::Focal(FocalSpec::default()));
        assert!(focal.starts_with("train.loss is focal, but target \"answer\" is a number; take auto"), "{focal}");
        let huber = message(3, Loss::Huber(HuberSpec::default()));
        assert!(huber.starts_with("train.loss is huber, but target \"answer\" has classes; take auto"), "{huber}");
    }

    #[test]
    fn only_a_cross_entropy_is_smoothed() {
        let head = |classes, loss| Head::of(&target(classes), loss).unwrap();
        assert_eq!(head(3, Loss::Auto).smoothed(0.1).unwrap().smoothing, 0.1);
        assert_eq!(head(0, Loss::Auto).smoothed(0.0).unwrap(), head(0, Loss::Auto));
        for (classes, loss) in [(0, Loss::Auto), (2, Loss::MeanSquaredError), (2, Loss::Focal(FocalSpec::default()))] {
            let message = head(classes, loss).smoothed(0.1).unwrap_err().to_string();
            assert!(message.starts_with("train.label_smoothing is 0.1, but only"), "{message}");
        }
    }
}
