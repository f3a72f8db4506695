//! How do weights follow their gradients? One pass over weights, gradient and moments.

use super::buffer::Buffer;
use super::shared::Shared;
use super::simd::{LANES, Lanes, Level};
use super::step::{Adadelta, Adagrad, Adam, Momentum, Rmsprop, Sgd, Step};
use super::team::Team;

/// Numbers that a thread moves at a time; whole vectors.
const PART: usize = 1 << 14;

/// What pulls weights towards 0; added to their gradient. Biases are left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Decay {
    /// Times the weight.
    pub(crate) l2: f32,
    /// Times the sign of the weight.
    pub(crate) l1: f32,
}

impl Decay {
    /// None.
    pub(crate) const NONE: Self = Self { l2: 0.0, l1: 0.0 };
}

/// One step of an optimiser, with the figures of this step. Each is PyTorch's of the same name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Update {
    /// `buffer = momentum * buffer + gradient; weight -= learning_rate * buffer`.
    Sgd {
        /// Step size.
        learning_rate: f32,
        /// Share of the last step kept; 0 needs no buffer.
        momentum: f32,
        /// Steps by `gradient + momentum * buffer` (Nesterov 1983, as Sutskever et al. 2013 put it).
        nesterov: bool,
        /// Towards 0.
        decay: Decay,
    },
    /// Kingma and Ba 2015, algorithm 1; with `kept` below 1 Loshchilov and Hutter 2019 (AdamW).
    Adam {
        /// `learning_rate / (1 - beta1^step)`.
        step_size: f32,
        /// `1 / sqrt(1 - beta2^step)`.
        root: f32,
        /// Share of the mean of gradients that is kept, and of the gradient that comes in.
        first: [f32; 2],
        /// Share of the mean of squared gradients that is kept, and of the square that comes in.
        second: [f32; 2],
        /// Keeps the divisor above 0.
        epsilon: f32,
        /// What is left of a weight before it is moved: 1, or `1 - learning_rate * weight_decay`.
        kept: f32,
        /// Towards 0.
        decay: Decay,
    },
    /// Duchi, Hazan and Singer 2011: `sum += gradient^2; weight -= learning_rate * gradient / (sqrt(sum) + epsilon)`.
    Adagrad {
        /// Step size.
        learning_rate: f32,
        /// Keeps the divisor above 0.
        epsilon: f32,
        /// Towards 0.
        decay: Decay,
    },
    /// Zeiler 2012, algorithm 1, its step times `learning_rate`.
    Adadelta {
        /// Step size.
        learning_rate: f32,
        /// Share of the means of squares that is kept, and of the square that comes in.
        mean: [f32; 2],
        /// Keeps the divisor above 0, and the first steps.
        epsilon: f32,
        /// Towards 0.
        decay: Decay,
    },
    /// Tieleman and Hinton 2012; centered as Graves 2013, equation 38.
    Rmsprop {
        /// Step size.
        learning_rate: f32,
        /// Share of the means that is kept, and of what comes in.
        mean: [f32; 2],
        /// Share of the last step kept; 0 needs no buffer.
        momentum: f32,
        /// Divides by the deviation from the mean of the gradients.
        centered: bool,
        /// Keeps the divisor above 0.
        epsilon: f32,
        /// Towards 0.
        decay: Decay,
    },
}

impl Update {
    /// A step that moves nothing.
    pub(crate) const NONE: Self = Self::Sgd { learning_rate: 0.0, momentum: 0.0, nesterov: false, decay: Decay::NONE };

    /// The same step without decay, for biases.
    pub(crate) fn without_decay(mut self) -> Self {
        if let Self::Adam { kept, .. } = &mut self {
            *kept = 1.0;
        }
        match &mut self {
            Self::Sgd { decay, .. }
            | Self::Adam { decay, .. }
            | Self::Adagrad { decay, .. }
            | Self::Adadelta { decay, .. }
            | Self::Rmsprop { decay, .. } => *decay = Decay::NONE,
        }
        self
    }

    /// Which moments are kept per weight, in the order of [`Moments`].
    pub(crate) fn moments(&self) -> [bool; 3] {
        match self {
            Self::Sgd { momentum, .. } => [*momentum != 0.0, false, false],
            Self::Adam { .. } => [true, true, false],
            Self::Adagrad { .. } => [false, true, false],
            Self::Adadelta { .. } => [false, true, true],
            Self::Rmsprop { momentum, centered, .. } => [*momentum != 0.0, true, *centered],
        }
    }
}

/// What an optimiser remembers per weight; empty where it needs none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    /// Momentum buffer, or mean of gradients.
    pub(crate) first: Buffer,
    /// Sum or mean of squared gradients.
    pub(crate) second: Buffer,
    /// Mean of squared steps (Adadelta), or of gradients (centered RMSprop).
    pub(crate) third: Buffer,
}

impl Moments {
    /// All 0, for `length` weights.
    pub(crate) fn zeros(update: &Update, length: usize) -> Self {
        let room = |needed: bool| if needed { Buffer::zeros(length) } else { Buffer::default() };
        let [first, second, third] = update.moments().map(room);
        Self { first, second, third }
    }

    /// The three, first to third.
    pub(crate) fn all(&self) -> [&Buffer; 3] {
        [&self.first, &self.second, &self.third]
    }

    /// The three, first to third.
    pub(crate) fn all_mut(&mut self) -> [&mut Buffer; 3] {
        [&mut self.first, &mut self.second, &mut self.third]
    }

    /// Refuses to go on with moments of another size.
    pub(super) fn check(&self, update: &Update, length: usize) {
        let large_enough = |(needed, kept): (bool, &Buffer)| !needed || kept.len() >= length;
        assert!(update.moments().into_iter().zip(self.all()).all(large_enough));
    }
}

/// The arrays of a step, from their beginning.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) weight: *mut f32,
    pub(super) first: *mut f32,
    pub(super) second: *mut f32,
    pub(super) third: *mut f32,
}

// SAFETY: the arrays are borrowed mutably by who made this, and each thread writes to a part of its own.
unsafe impl Sync for Places {}

impl Places {
    pub(super) fn of(weight: &mut [f32], moments: &mut Moments) -> Self {
        let [first, second, third] = moments.all_mut().map(|kept| kept.as_mut_ptr());
        Self { weight: weight.as_mut_ptr(), first, second, third }
    }

    /// The places from number `start` on; of arrays that are not there the address means nothing, and nobody asks for it.
    fn from(self, start: usize) -> Self {
        let [weight, first, second, third] =
            [self.weight, self.first, self.second, self.third].map(|array| array.wrapping_add(start));
        Self { weight, first, second, third }
    }

    /// Begins to bring the 16 numbers at `at` into the cache; the third array is used too seldom to cost all an
    /// instruction.
    #[inline(always)]
    pub(super) fn fetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        for array in [self.weight, self.first, self.second] {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch never faults, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(array.wrapping_add(at).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

/// Calls `work` with the optimiser of `update`.
pub(super) trait Choice {
    fn with<S: Step>(self, step: &S);
}

/// Turns the `enum` into a type, so that the innermost loops have no branch between optimisers.
pub(super) fn choose(update: &Update, work: impl Choice) {
    match *update {
        Update::Sgd { learning_rate, momentum: 0.0, decay, .. } => work.with(&Sgd { learning_rate, decay }),
        Update::Sgd { learning_rate, momentum, nesterov, decay } => {
            work.with(&Momentum { learning_rate, momentum, nesterov, decay });
        }
        Update::Adam { step_size, root, first, second, epsilon, kept, decay } => {
            work.with(&Adam { step_size, root, first, second, epsilon, kept, decay });
        }
        Update::Adagrad { learning_rate, epsilon, decay } => work.with(&Adagrad { learning_rate, epsilon, decay }),
        Update::Adadelta { learning_rate, mean, epsilon, decay } => {
            work.with(&Adadelta { learning_rate, mean, epsilon, decay });
        }
        Update::Rmsprop { learning_rate, mean, momentum, centered, epsilon, decay } => {
            work.with(&Rmsprop { learning_rate, mean, momentum, centered, epsilon, decay });
        }
    }
}

/// Moves `weights` by `gradient`, and sets the gradient to 0 for the next step. Lengths are multiples of 16.
pub(crate) fn update(update: &Update, weights: &mut Buffer, gradient: &mut Buffer, moments: &mut Moments) {
    assert_eq!(weights.len(), gradient.len());
    moments.check(update, weights.len());
    choose(update, All(Places::of(weights, moments), gradient));
}

/// The same by all threads of a team, each moving parts of its own.
pub(crate) fn update_on(
    team: &mut Team,
    update: &Update,
    weights: &mut Buffer,
    gradient: &mut Buffer,
    moments: &mut Moments,
) {
    assert_eq!(weights.len(), gradient.len());
    moments.check(update, weights.len());
    let numbers = weights.len();
    let (places, gradient) = (Places::of(weights, moments), Shared::of(gradient));
    let threads = if numbers <= PART { 1 } else { team.threads() };
    team.each(threads, numbers.div_ceil(PART), &|_, part| {
        let (start, length) = (part * PART, PART.min(numbers - part * PART));
        // SAFETY: every part is worked on once, and all arrays that are used are as long as `numbers`.
        choose(update, All(places.from(start), unsafe { gradient.part(start, length) }));
    });
}

/// Moves all weights of some places by a gradient.
struct All<'a>(Places, &'a mut [f32]);

impl Choice for All<'_> {
    fn with<S: Step>(self, step: &S) {
        // SAFETY: the lengths were checked, `level` saw the CPU, and nobody else works on these places.
        unsafe {
            match super::simd::level() {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512(step, &self.0, self.1),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2(step, &self.0, self.1),
                Level::Plain => all::<[f32; LANES], S>(step, &self.0, self.1),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
unsafe fn avx512<S: Step>(step: &S, places: &Places, gradient: &mut [f32]) {
    // SAFETY: as `all`.
    unsafe { all::<super::simd::x86::Avx512, S>(step, places, gradient) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<S: Step>(step: &S, places: &Places, gradient: &mut [f32]) {
    // SAFETY: as `all`.
    unsafe { all::<super::simd::x86::Avx2, S>(step, places, gradient) }
}

/// # Safety
/// As `Step::step`, for every 16 of `gradient`.
#[inline(always)]
unsafe fn all<V: Lanes, S: Step>(step: &S, places: &Places, gradient: &mut [f32]) {
    for at in (0..gradient.len()).step_by(LANES) {
        let g = gradient[at..at + LANES].as_mut_ptr();
        // SAFETY: as said above; `gradient` has 16 numbers at `at`.
        unsafe {
            step.step(places, at, V::load(g));
            V::splat(0.0).store(g);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// How many examples there are; the first three divide by nothing.
    pub(crate) const KINDS: usize = 9;

    /// Figures of step `step`, from 1, of every optimiser.
    pub(crate) fn example(kind: usize, step: i32) -> Update {
        let decay = Decay { l2: 0.02, l1: if kind.is_multiple_of(2) { 0.005 } else { 0.0 } };
        let mean = [0.9, 0.1];
        let adam = |kept| Update::Adam {
            step_size: (0.01 / (1.0 - 0.9f64.powi(step))) as f32,
            root: (1.0 / (1.0 - 0.999f64.powi(step)).sqrt()) as f32,
            first: mean,
            second: [0.999, 0.001],
            epsilon: 1e-8,
            kept,
            decay,
        };
        let rmsprop = |momentum, centered| Update::Rmsprop {
            learning_rate: 0.01,
            mean,
            momentum,
            centered,
            epsilon: 1e-3,
            decay,
        };
        match kind {
            0 => Update::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: false, decay },
            1 => Update::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: false, decay },
            2 => Update::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true, decay },
            3 => adam(1.0),
            4 => adam(0.99),
            5 => Update::Adagrad { learning_rate: 0.05, epsilon: 1e-10, decay },
            6 => Update::Adadelta { learning_rate: 1.0, mean, epsilon: 1e-6, decay },
            7 => rmsprop(0.0, false),
            _ => rmsprop(0.5, true),
        }
    }

    /// The weight after a step by the papers' formulas in f64, and the gradient with its decay. `kept` is what the
    /// optimiser remembers.
    pub(in crate::kernels) fn published(
        update: &Update,
        weight: f64,
        gradient: f64,
        kept: &mut [f64; 3],
    ) -> (f64, f64) {
        let wide = |x: f32| f64::from(x);
        let mean = |kept: &mut f64, [keep, take]: [f32; 2], new: f64| {
            *kept = wide(keep) * *kept + wide(take) * new;
            *kept
        };
        let with = |decay: Decay| {
            let sign = if weight == 0.0 { 0.0 } else { weight.signum() };
            gradient + wide(decay.l2) * weight + wide(decay.l1) * sign
        };
        let [one, two, three] = kept;
        match *update {
            Update::Sgd { learning_rate, momentum, nesterov, decay } => {
                let g = with(decay);
                let buffer = mean(one, [momentum, 1.0], g);
                (weight - wide(learning_rate) * if nesterov { g + wide(momentum) * buffer } else { buffer }, g)
            }
            Update::Adam { step_size, root, first, second, epsilon, kept, decay } => {
                let g = with(decay);
                let (m, v) = (mean(one, first, g), mean(two, second, g * g));
                (wide(kept) * weight - wide(step_size) * m / (v.sqrt() * wide(root) + wide(epsilon)), g)
            }
            Update::Adagrad { learning_rate, epsilon, decay } => {
                let g = with(decay);
                *two += g * g;
                (weight - wide(learning_rate) * g / (two.sqrt() + wide(epsilon)), g)
            }
            Update::Adadelta { learning_rate, mean: by, epsilon, decay } => {
                let g = with(decay);
                let v = mean(two, by, g * g);
                let step = (*three + wide(epsilon)).sqrt() / (v + wide(epsilon)).sqrt() * g;
                mean(three, by, step * step);
                (weight - wide(learning_rate) * step, g)
            }
            Update::Rmsprop { learning_rate, mean: by, momentum, centered, epsilon, decay } => {
                let g = with(decay);
                let v = mean(two, by, g * g);
                let center = if centered { mean(three, by, g) } else { 0.0 };
                let step = g / ((v - center * center).sqrt() + wide(epsilon));
                *one = wide(momentum) * *one + step;
                (weight - wide(learning_rate) * *one, g)
            }
        }
    }

    #[test]
    fn equal_gradients_have_no_variance_below_0() {
        crate::kernels::at_every_level(|level| {
            let update = Update::Rmsprop {
                learning_rate: 0.001,
                mean: [0.9, 0.1],
                momentum: 0.0,
                centered: true,
                epsilon: 1e-3,
                decay: Decay::NONE,
            };
            let (mut weights, mut gradient) = (Buffer::zeros(16), Buffer::zeros(16));
            let mut moments = Moments::zeros(&update, 16);
            for _ in 0..500 {
                gradient.fill(0.1234567);
                super::update(&update, &mut weights, &mut gradient, &mut moments);
            }
            assert!(weights.iter().all(|x| x.is_finite()), "{level}: {:?}", &weights[..4]);
        });
    }
}
