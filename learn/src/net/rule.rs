//! How does a network follow the gradient of a batch?

use crate::kernels::{Update, cut, length_squared, scale};

/// The figures of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepRule {
    /// The optimiser's formula.
    pub(crate) update: Update,
    /// Largest norm of the gradient of all parameters together.
    pub(crate) clip_norm: Option<f32>,
    /// Largest size of each number of the gradient; before `clip_norm`.
    pub(crate) clip_value: Option<f32>,
    /// How much this batch's gradient counts in that of the step: its share of the rows; 1 where a step has one batch.
    pub(crate) share: f32,
    /// Whether the step is made after this batch; others only add to its gradient.
    pub(crate) steps: bool,
}

impl From<Update> for StepRule {
    fn from(update: Update) -> Self {
        Self { update, clip_norm: None, clip_value: None, share: 1.0, steps: true }
    }
}

impl StepRule {
    /// Whether the whole gradient is wanted before any weight moves, so that the step cannot be made layer by layer.
    pub(crate) fn needs_gradient(&self) -> bool {
        self.clip_norm.is_some() || self.clip_value.is_some() || self.share != 1.0 || !self.steps
    }

    /// Cuts and shortens the gradient of a step. As PyTorch's `clip_grad_value_`, then `clip_grad_norm_`.
    pub(crate) fn clip(&self, gradients: &mut [&mut [f32]]) {
        if let Some(size) = self.clip_value {
            gradients.iter_mut().for_each(|gradient| cut(gradient, size));
        }
        if let Some(most) = self.clip_norm {
            let squares: f64 = gradients.iter().map(|gradient| length_squared(gradient)).sum();
            let factor = shortening(most, squares);
            if factor < 1.0 {
                gradients.iter_mut().for_each(|gradient| scale(gradient, factor));
            }
        }
    }
}

/// What a gradient with this sum of squares is multiplied by.
fn shortening(most: f32, squares: f64) -> f32 {
    (f64::from(most) / (squares.sqrt() + 1e-6)).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `clip_grad_value_(0.5)` and `clip_grad_norm_(0.6)` of PyTorch 2.15.0 on gradients [0.3, -0.4] and [1.2].
    #[test]
    fn gradients_are_clipped_as_in_pytorch() {
        let check = |clip_value, clip_norm, expected: [f32; 3]| {
            let rule = StepRule { clip_value, clip_norm, ..StepRule::from(Update::NONE) };
            let (mut a, mut b) = ([0.3, -0.4], [1.2]);
            rule.clip(&mut [&mut a, &mut b]);
            for (found, expected) in a.into_iter().chain(b).zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{clip_value:?}, {clip_norm:?}: {found} for {expected}");
            }
        };
        check(None, None, [0.3, -0.4, 1.2]);
        check(Some(0.5), None, [0.3, -0.4, 0.5]);
        check(None, Some(0.6), [0.138_461_4, -0.184_615_2, 0.553_845_7]);
        check(None, Some(2.0), [0.3, -0.4, 1.2]);
        check(Some(0.5), Some(0.6), [0.254_558, -0.339_41, 0.424_264]);
    }

    #[test]
    fn the_whole_gradient_is_wanted_only_where_it_is_used() {
        let plain = StepRule::from(Update::NONE);
        assert!(!plain.needs_gradient());
        for rule in [
            StepRule { clip_norm: Some(1.0), ..plain },
            StepRule { clip_value: Some(1.0), ..plain },
            StepRule { share: 0.5, ..plain },
            StepRule { steps: false, ..plain },
        ] {
            assert!(rule.needs_gradient(), "{rule:?}");
        }
    }
}
