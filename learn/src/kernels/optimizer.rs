//! How do weights follow their gradients? One pass over weights, gradient and moments.

use super::buffer::Buffer;
use super::simd::{LANES, Lanes, Level};

/// One step of an optimiser, with the figures of this step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Update {
    /// `buffer = momentum * buffer + gradient; weight -= learning_rate * buffer`, as PyTorch's `SGD`.
    Sgd {
        /// Step size.
        learning_rate: f32,
        /// Share of the last step kept; 0 needs no buffer.
        momentum: f32,
        /// L2 decay, added to the gradient.
        decay: f32,
    },
    /// Kingma and Ba 2015, algorithm 1, as PyTorch's `Adam`.
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
        /// L2 decay, added to the gradient.
        decay: f32,
    },
}

impl Update {
    /// The same step without decay, for biases.
    pub(crate) fn without_decay(mut self) -> Self {
        match &mut self {
            Self::Sgd { decay, .. } | Self::Adam { decay, .. } => *decay = 0.0,
        }
        self
    }

    /// How many moments are kept per weight: first and second.
    pub(crate) fn moments(&self) -> (bool, bool) {
        match self {
            Self::Sgd { momentum, .. } => (*momentum != 0.0, false),
            Self::Adam { .. } => (true, true),
        }
    }
}

/// What an optimiser remembers per weight; empty where it needs none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moments {
    /// Momentum buffer, or mean of gradients.
    pub(crate) first: Buffer,
    /// Mean of squared gradients.
    pub(crate) second: Buffer,
}

impl Moments {
    /// All 0, for `length` weights.
    pub(crate) fn zeros(update: &Update, length: usize) -> Self {
        let (first, second) = update.moments();
        let room = |needed: bool| if needed { Buffer::zeros(length) } else { Buffer::default() };
        Self { first: room(first), second: room(second) }
    }

    /// Refuses to go on with moments of another size.
    pub(super) fn check(&self, update: &Update, length: usize) {
        let (first, second) = update.moments();
        assert!(!first || self.first.len() >= length);
        assert!(!second || self.second.len() >= length);
    }
}

/// The three arrays of a step, from their beginning.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) weight: *mut f32,
    pub(super) first: *mut f32,
    pub(super) second: *mut f32,
}

// SAFETY: the arrays are borrowed mutably by who made this, and each thread writes to a part of its own.
unsafe impl Sync for Places {}

impl Places {
    pub(super) fn of(weight: &mut [f32], moments: &mut Moments) -> Self {
        let Moments { first, second } = moments;
        Self { weight: weight.as_mut_ptr(), first: first.as_mut_ptr(), second: second.as_mut_ptr() }
    }

    /// Begins to bring the 16 numbers at `at` into the cache.
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
    pub(super) decay: f32,
}

/// SGD with momentum.
pub(super) struct Momentum {
    pub(super) learning_rate: f32,
    pub(super) momentum: f32,
    pub(super) decay: f32,
}

/// Adam.
pub(super) struct Adam {
    pub(super) step_size: f32,
    pub(super) root: f32,
    pub(super) first: [f32; 2],
    pub(super) second: [f32; 2],
    pub(super) epsilon: f32,
    pub(super) decay: f32,
}

impl Step for Sgd {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = weight.fma(V::splat(self.decay), gradient);
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
            let gradient = weight.fma(V::splat(self.decay), gradient);
            let kept = V::load(places.first.add(at)).fma(V::splat(self.momentum), gradient);
            kept.store(places.first.add(at));
            kept.fma(V::splat(-self.learning_rate), weight).store(places.weight.add(at));
        }
    }
}

impl Step for Adam {
    #[inline(always)]
    unsafe fn step<V: Lanes>(&self, places: &Places, at: usize, gradient: V) {
        // SAFETY: as the trait says.
        unsafe {
            let weight = V::load(places.weight.add(at));
            let gradient = weight.fma(V::splat(self.decay), gradient);
            let first = V::load(places.first.add(at));
            let first = first.fma(V::splat(self.first[0]), gradient.mul(V::splat(self.first[1])));
            first.store(places.first.add(at));
            let second = V::load(places.second.add(at)).mul(V::splat(self.second[0]));
            let second = gradient.mul(gradient).fma(V::splat(self.second[1]), second);
            second.store(places.second.add(at));
            let quotient = first.over_root(second, V::splat(self.root), V::splat(self.epsilon));
            quotient.fma(V::splat(-self.step_size), weight).store(places.weight.add(at));
        }
    }
}

/// Calls `work` with the optimiser of `update`.
pub(super) trait Choice {
    fn with<S: Step>(self, step: &S);
}

/// Turns the `enum` into a type, so that the innermost loops have no branch.
pub(super) fn choose(update: &Update, work: impl Choice) {
    match *update {
        Update::Sgd { learning_rate, momentum: 0.0, decay } => work.with(&Sgd { learning_rate, decay }),
        Update::Sgd { learning_rate, momentum, decay } => work.with(&Momentum { learning_rate, momentum, decay }),
        Update::Adam { step_size, root, first, second, epsilon, decay } => {
            work.with(&Adam { step_size, root, first, second, epsilon, decay });
        }
    }
}

/// Moves `weights` by `gradient`, and sets the gradient to 0 for the next step. Lengths are multiples of 16.
pub(crate) fn update(update: &Update, weights: &mut Buffer, gradient: &mut Buffer, moments: &mut Moments) {
    assert_eq!(weights.len(), gradient.len());
    moments.check(update, weights.len());
    struct All<'a>(Places, &'a mut [f32]);
    impl Choice for All<'_> {
        fn with<S: Step>(self, step: &S) {
            // SAFETY: the lengths were checked, `level` saw the CPU, and the arrays are borrowed mutably.
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
    choose(update, All(Places::of(weights, moments), gradient));
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
