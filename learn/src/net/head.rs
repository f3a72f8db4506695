//! What becomes of the last layer's outputs, and by which loss are they judged?

use crate::spec::Loss;
use crate::{Error, Result, Target, Task};

/// The end of a network: the one place where `loss: auto` is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Width of the last layer: 1 for numbers and for the sigmoid, else the number of classes.
    pub(crate) outputs: usize,
    /// From outputs to answers.
    pub(crate) activation: HeadActivation,
    /// What is made small.
    pub(crate) loss: HeadLoss,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadLoss {
    /// Squared error of the value, of the probability (sigmoid), or of the probabilities against the one-hot target,
    /// in which case it is the mean over the classes too.
    SquaredError,
    /// Negative log likelihood of the right class.
    CrossEntropy,
}

impl Head {
    /// The head for a target and a loss. Binary cross-entropy is what `auto` takes for two classes, categorical
    /// cross-entropy for more, mean squared error for numbers.
    pub(crate) fn of(target: &Target, loss: Loss) -> Result<Self> {
        use {HeadActivation as A, HeadLoss as L};
        let classes = target.labels.len();
        let head = |outputs, activation, loss| Ok(Self { outputs, activation, loss });
        match (target.task, loss) {
            (Task::Regression, Loss::Auto | Loss::MeanSquaredError) => head(1, A::Linear, L::SquaredError),
            (Task::Binary, Loss::Auto | Loss::BinaryCrossEntropy) => head(1, A::Sigmoid, L::CrossEntropy),
            (Task::Binary, Loss::MeanSquaredError) => head(1, A::Sigmoid, L::SquaredError),
            (Task::Binary | Task::Multiclass, Loss::CategoricalCrossEntropy) => {
                head(classes, A::Softmax, L::CrossEntropy)
            }
            (Task::Multiclass, Loss::Auto) => head(classes, A::Softmax, L::CrossEntropy),
            (Task::Multiclass, Loss::MeanSquaredError) => head(classes, A::Softmax, L::SquaredError),
            (Task::Multiclass, Loss::BinaryCrossEntropy) => Err(Error::invalid(format!(
                "train.loss is binary_cross_entropy, but target \"{}\" has {classes} classes; \
                 take categorical_cross_entropy or auto",
                target.column
            ))),
            (Task::Regression, Loss::BinaryCrossEntropy | Loss::CategoricalCrossEntropy) => {
                Err(Error::invalid(format!(
                    "train.loss is a cross-entropy, but target \"{}\" is a number; take mean_squared_error or auto, \
                 or set task: classification",
                    target.column
                )))
            }
        }
    }

    /// Answers per row: one per class, or one value.
    #[cfg(test)]
    pub(crate) fn answers(self) -> usize {
        match self.activation {
            HeadActivation::Linear => 1,
            HeadActivation::Sigmoid => 2,
            HeadActivation::Softmax => self.outputs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::target;

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
    }
}
