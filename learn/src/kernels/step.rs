//! The optimisers' formulas, on 16 weights at a time.

use super::optimizer::{Decay, Places};
use super::simd::Lanes;

/// An optimiser with its figures in registers.
pub(super) trait Step: Sync {
    /// Moves the 16 weights at `at` by their gradient.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`; `at + 16` lies inside all arrays in use; no other thread works there.
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V);
}

/// SGD without momentum.
pub(super) struct Sgd {
    pub(super) learning_rate: f32,
    pub(super) decay: Decay,
}

/// SGD with momentum.
pub(super) struct Momentum {
    pub(super) learning_rate: f32,
    pub(super) momentum: f32,
    pub(super) nesterov: bool,
    pub(super) decay: Decay,
}

/// Adam and AdamW.
pub(super) struct Adam {
    pub(super) step_size: f32,
    pub(super) root: f32,
    pub(super) first: [f32; 2],
    pub(super) second: [f32; 2],
    pub(super) epsilon: f32,
    pub(super) kept: f32,
    pub(super) decay: Decay,
}

/// AdaGrad.
pub(super) struct Adagrad {
    pub(super) learning_rate: f32,
    pub(super) epsilon: f32,
    pub(super) decay: Decay,
}

/// AdaDelta.
pub(super) struct Adadelta {
    pub(super) learning_rate: f32,
    pub(super) mean: [f32; 2],
    pub(super) epsilon: f32,
    pub(super) decay: Decay,
}

/// RMSprop.
pub(super) struct Rmsprop {
    pub(super) learning_rate: f32,
    pub(super) mean: [f32; 2],
    pub(super) momentum: f32,
    pub(super) centered: bool,
    pub(super) epsilon: f32,
    pub(super) decay: Decay,
}

impl Decay {
    /// The gradient with what pulls the weight towards 0.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn with<V: Lanes>(self, weight: V, gradient: V) -> V {
        // SAFETY: as said above.
        unsafe {
            let gradient = weight.fma(V::splat(self.l2), gradient);
            if self.l1 == 0.0 { gradient } else { gradient.add(weight.signed(V::splat(self.l1))) }
        }
    }
}

/// `kept * keep + new * take`, stored and given.
///
/// # Safety
/// The CPU has the instructions of `V`; `kept` is good for 16 numbers.
#[inline(always)]
unsafe fn mean<V: Lanes>(kept: *mut f32, [keep, take]: [f32; 2], new: V) -> V {
    // SAFETY: as said above.
    unsafe {
        let mean = V::load(kept).fma(V::splat(keep), new.mul(V::splat(take)));
        mean.store(kept);
        mean
    }
}

/// The same of the square of `new`.
///
/// # Safety
/// As `mean`.
#[inline(always)]
unsafe fn mean_square<V: Lanes>(kept: *mut f32, [keep, take]: [f32; 2], new: V) -> V {
    // SAFETY: as said above.
    unsafe {
        let mean = new.mul(new).fma(V::splat(take), V::load(kept).mul(V::splat(keep)));
        mean.store(kept);
        mean
    }
}

impl Step for Sgd {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = self.decay.with(weight, gradient);
            gradient.fma(V::splat(-self.learning_rate), weight).store(places.weight.add(at));
        }
    }
}

impl Step for Momentum {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = self.decay.with(weight, gradient);
            let kept = V::load(places.first.add(at)).fma(V::splat(self.momentum), gradient);
            kept.store(places.first.add(at));
            let step = if self.nesterov { kept.fma(V::splat(self.momentum), gradient) } else { kept };
            step.fma(V::splat(-self.learning_rate), weight).store(places.weight.add(at));
        }
    }
}

impl Step for Adam {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = self.decay.with(weight, gradient);
            let first = mean(places.first.add(at), self.first, gradient);
            let second = mean_square(places.second.add(at), self.second, gradient);
            let quotient = first.over_root(second, V::splat(self.root), V::splat(self.epsilon));
            let weight = weight.mul(V::splat(self.kept));
            quotient.fma(V::splat(-self.step_size), weight).store(places.weight.add(at));
        }
    }
}

impl Step for Adagrad {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = self.decay.with(weight, gradient);
            let sum = mean_square(places.second.add(at), [1.0, 1.0], gradient);
            let quotient = gradient.over_root(sum, V::splat(1.0), V::splat(self.epsilon));
            quotient.fma(V::splat(-self.learning_rate), weight).store(places.weight.add(at));
        }
    }
}

impl Step for Adadelta {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = self.decay.with(weight, gradient);
            let (one, epsilon) = (V::splat(1.0), V::splat(self.epsilon));
            let square = mean_square(places.second.add(at), self.mean, gradient).add(epsilon);
            let earlier = V::load(places.third.add(at)).add(epsilon);
            // The root of x is x over the root of x; epsilon keeps both above 0.
            let root = earlier.over_root(earlier, one, V::splat(0.0));
            let step = gradient.over_root(square, one, V::splat(0.0)).mul(root);
            mean_square(places.third.add(at), self.mean, step);
            step.fma(V::splat(-self.learning_rate), weight).store(places.weight.add(at));
        }
    }
}

impl Step for Rmsprop {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = self.decay.with(weight, gradient);
            let mut square = mean_square(places.second.add(at), self.mean, gradient);
            if self.centered {
                let center = mean(places.third.add(at), self.mean, gradient);
                // Rounding may take the variance of equal gradients below 0.
                square = center.mul(V::splat(-1.0)).fma(center, square).positive();
            }
            let mut step = gradient.over_root(square, V::splat(1.0), V::splat(self.epsilon));
            if self.momentum != 0.0 {
                step = V::load(places.first.add(at)).fma(V::splat(self.momentum), step);
                step.store(places.first.add(at));
            }
            step.fma(V::splat(-self.learning_rate), weight).store(places.weight.add(at));
        }
    }
}
