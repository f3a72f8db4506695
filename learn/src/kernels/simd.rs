//! Which vector instructions has this CPU, and how are 16 numbers worked on at once?

use std::sync::LazyLock;

/// Numbers in a lane group; the width of a panel.
pub(super) const LANES: usize = 16;

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Plain Rust; what the compiler makes of it (NEON on ARM).
    Plain,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The best level of this CPU.
pub(super) fn level() -> Level {
    #[cfg(test)]
    if let Some(level) = FORCED.get() {
        return level;
    }
    static LEVEL: LazyLock<Level> = LazyLock::new(|| levels().last().copied().unwrap_or(Level::Plain));
    *LEVEL
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Level>> = const { std::cell::Cell::new(None) };
}

/// Runs a test at every level of this CPU.
#[cfg(test)]
pub(crate) fn at_every_level(test: impl Fn(&str)) {
    for level in levels() {
        FORCED.set(Some(level));
        test(&format!("{level:?}"));
    }
    FORCED.set(None);
}

/// All levels of this CPU, the best one last.
pub(super) fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Plain];
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if avx2 {
            levels.push(Level::Avx2);
        }
        if avx2 && is_x86_feature_detected!("avx512f") {
            levels.push(Level::Avx512);
        }
    }
    levels
}

/// Compiles a function of plain loops once per level and picks at run time. The compiler does not reorder or contract
/// floating-point operations, so that every level gives the same bits.
macro_rules! versions {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $ret)? {
                plain($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f")]
            fn avx512($($arg: $type),*) $(-> $ret)? {
                plain($($arg),*)
            }
            match $crate::kernels::simd::level() {
                // SAFETY: `level` saw that the CPU has these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::kernels::simd::Level::Plain => plain($($arg),*),
            }
        }
    };
}
pub(super) use versions;

/// Work on vectors, compiled once per level.
pub(super) trait Vectored {
    /// # Safety
    /// The CPU has the instructions of `V`, and what the implementor says.
    unsafe fn run<V: Lanes>(self);
}

/// Runs `work` with the vectors of `level`.
///
/// # Safety
/// The CPU has this level, and what the work's `run` says.
pub(super) unsafe fn vectored(level: Level, work: impl Vectored) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,avx512f")]
    unsafe fn avx512(work: impl Vectored) {
        // SAFETY: as `vectored`.
        unsafe { work.run::<x86::Avx512>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(work: impl Vectored) {
        // SAFETY: as `vectored`.
        unsafe { work.run::<x86::Avx2>() }
    }
    // SAFETY: as said above.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(work),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(work),
            Level::Plain => work.run::<[f32; LANES]>(),
        }
    }
}

/// 16 numbers in registers.
///
/// # Safety
/// Every method may be called only where the CPU has the instructions of the implementor; pointers must be good for 16
/// numbers.
pub(super) trait Lanes: Copy {
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `count` (below 16) numbers, then 0; memory beyond them is not touched.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Stores the first `count` (below 16) numbers; memory beyond them is not touched.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// 0 where a number is below 0; NaN stays.
    unsafe fn relu(self) -> Self;
    /// 0 where `gate` is not above 0.
    unsafe fn where_positive(self, gate: Self) -> Self;
    /// `self / (sqrt(square) * root + epsilon)`, to 2 units in the last place.
    unsafe fn over_root(self, square: Self, root: Self, epsilon: Self) -> Self;
    /// `self * factor + addend`, rounded once where the CPU can.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;
    /// `size` with the sign of `self`, 0 where `self` is 0.
    unsafe fn signed(self, size: Self) -> Self;
    /// 0 in place of what is below.
    unsafe fn positive(self) -> Self;
    /// The first 8 numbers of 8 lines, `line` apart, become 8 lines of one number of each, `row` apart.
    #[inline(always)]
    unsafe fn turn(from: *const f32, line: usize, to: *mut f32, row: usize) {
        for n in 0..8 {
            for m in 0..8 {
                // SAFETY: the caller vouches for 8 numbers of each of 8 lines on both sides.
                unsafe { *to.add(n * row + m) = *from.add(m * line + n) }
            }
        }
    }
}

impl Lanes for [f32; LANES] {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for 16 numbers.
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for 16 numbers.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; LANES];
        // SAFETY: the caller vouches for `count` numbers, below 16.
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count) };
        lanes
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the caller vouches for `count` numbers, below 16.
        unsafe { std::ptr::copy_nonoverlapping(self.as_ptr(), to, count) };
    }
    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for (x, y) in self.iter_mut().zip(other) {
            *x += y;
        }
        self
    }
    #[inline(always)]
    unsafe fn mul(mut self, other: Self) -> Self {
        for (x, y) in self.iter_mut().zip(other) {
            *x *= y;
        }
        self
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        self.map(|x| if x < 0.0 { 0.0 } else { x })
    }
    #[inline(always)]
    unsafe fn where_positive(mut self, gate: Self) -> Self {
        for (x, gate) in self.iter_mut().zip(gate) {
            *x = if gate > 0.0 { *x } else { 0.0 };
        }
        self
    }
    #[inline(always)]
    unsafe fn over_root(mut self, square: Self, root: Self, epsilon: Self) -> Self {
        for (((x, square), root), epsilon) in self.iter_mut().zip(square).zip(root).zip(epsilon) {
            *x /= square.sqrt() * root + epsilon;
        }
        self
    }
    #[inline(always)]
    unsafe fn fma(mut self, factor: Self, addend: Self) -> Self {
        for ((x, y), z) in self.iter_mut().zip(factor).zip(addend) {
            *x = *x * y + z; // `mul_add` is a call into the C library where there is no FMA
        }
        self
    }
    #[inline(always)]
    unsafe fn signed(mut self, size: Self) -> Self {
        for (x, size) in self.iter_mut().zip(size) {
            *x = if *x == 0.0 { 0.0 } else { size.copysign(*x) };
        }
        self
    }
    #[inline(always)]
    unsafe fn positive(mut self) -> Self {
        for x in &mut self {
            *x = if *x < 0.0 { 0.0 } else { *x };
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    //! The x86 vectors. SAFETY of every block: the trait's caller vouches for the CPU and for the pointers.
    use std::arch::x86_64::*;

    use super::Lanes;

    /// Two AVX registers.
    #[derive(Clone, Copy)]
    pub(in crate::kernels) struct Avx2(__m256, __m256);

    /// One AVX-512 register.
    #[derive(Clone, Copy)]
    pub(in crate::kernels) struct Avx512(__m512);

    /// Ones for the first `count` of 16.
    #[inline(always)]
    unsafe fn masks(count: usize) -> [__m256i; 2] {
        unsafe {
            let count = _mm256_set1_epi32(count as i32);
            let low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let high = _mm256_add_epi32(low, _mm256_set1_epi32(8));
            [_mm256_cmpgt_epi32(count, low), _mm256_cmpgt_epi32(count, high)]
        }
    }

    /// `Lanes::turn`: pairs, then fours, then halves change places.
    #[inline(always)]
    unsafe fn turn(from: *const f32, line: usize, to: *mut f32, row: usize) {
        unsafe {
            let load = |n: usize| _mm256_loadu_ps(from.add(n.wrapping_mul(line)));
            let pairs = |n: usize| {
                let (a, b) = (load(n), load(n + 1));
                (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
            };
            let fours = |n: usize| {
                let ((low, high), (low_next, high_next)) = (pairs(n), pairs(n + 2));
                [
                    _mm256_shuffle_ps::<0x44>(low, low_next),
                    _mm256_shuffle_ps::<0xee>(low, low_next),
                    _mm256_shuffle_ps::<0x44>(high, high_next),
                    _mm256_shuffle_ps::<0xee>(high, high_next),
                ]
            };
            let (above, below) = (fours(0), fours(4));
            for (n, (above, below)) in above.into_iter().zip(below).enumerate() {
                let to = to.add(n.wrapping_mul(row));
                _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(above, below));
                _mm256_storeu_ps(to.add(row.wrapping_mul(4)), _mm256_permute2f128_ps::<0x31>(above, below));
            }
        }
    }

    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn turn(from: *const f32, line: usize, to: *mut f32, row: usize) {
            unsafe { turn(from, line, to, row) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { Self(_mm512_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm512_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            unsafe { Self(_mm512_maskz_loadu_ps((1 << count) - 1, from)) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, (1 << count) - 1, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
        }
        // Where one of the two is NaN the instruction gives the second.
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            unsafe { Self(_mm512_max_ps(_mm512_setzero_ps(), self.0)) }
        }
        #[inline(always)]
        unsafe fn where_positive(self, gate: Self) -> Self {
            unsafe {
                let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate.0, _mm512_setzero_ps());
                Self(_mm512_maskz_mov_ps(mask, self.0))
            }
        }
        // Root and quotient from the CPU's 14-bit guesses and one step of Newton each: the exact instructions take 20
        // cycles per register, these 6. A square below the smallest normal number counts as that: its root is 1e-19.
        #[inline(always)]
        unsafe fn over_root(self, square: Self, root: Self, epsilon: Self) -> Self {
            unsafe {
                let square = _mm512_max_ps(square.0, _mm512_set1_ps(f32::MIN_POSITIVE));
                let guess = _mm512_rsqrt14_ps(square);
                let half = _mm512_mul_ps(_mm512_mul_ps(square, guess), _mm512_set1_ps(0.5));
                let error = _mm512_fnmadd_ps(half, guess, _mm512_set1_ps(0.5));
                let guess = _mm512_fmadd_ps(guess, error, guess);
                let divisor = _mm512_fmadd_ps(_mm512_mul_ps(square, guess), root.0, epsilon.0);
                let inverse = _mm512_rcp14_ps(divisor);
                let quotient = _mm512_mul_ps(self.0, inverse);
                let rest = _mm512_fnmadd_ps(divisor, quotient, self.0);
                Self(_mm512_fmadd_ps(rest, inverse, quotient))
            }
        }
        #[inline(always)]
        unsafe fn fma(self, factor: Self, addend: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, addend.0)) }
        }
        #[inline(always)]
        unsafe fn signed(self, size: Self) -> Self {
            unsafe {
                let zero = _mm512_setzero_ps();
                let above = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, zero), size.0);
                let below = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, zero), size.0);
                Self(_mm512_sub_ps(above, below))
            }
        }
        #[inline(always)]
        unsafe fn positive(self) -> Self {
            unsafe { Self(_mm512_max_ps(_mm512_setzero_ps(), self.0)) }
        }
    }

    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn turn(from: *const f32, line: usize, to: *mut f32, row: usize) {
            unsafe { turn(from, line, to, row) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            unsafe {
                let [low, high] = masks(count);
                Self(_mm256_maskload_ps(from, low), _mm256_maskload_ps(from.wrapping_add(8), high))
            }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe {
                let [low, high] = masks(count);
                _mm256_maskstore_ps(to, low, self.0);
                _mm256_maskstore_ps(to.wrapping_add(8), high, self.1);
            }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            unsafe {
                let zero = _mm256_setzero_ps();
                Self(_mm256_max_ps(zero, self.0), _mm256_max_ps(zero, self.1))
            }
        }
        #[inline(always)]
        unsafe fn where_positive(self, gate: Self) -> Self {
            unsafe {
                let zero = _mm256_setzero_ps();
                let low = _mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(gate.0, zero));
                Self(low, _mm256_and_ps(self.1, _mm256_cmp_ps::<_CMP_GT_OQ>(gate.1, zero)))
            }
        }
        #[inline(always)]
        unsafe fn over_root(self, square: Self, root: Self, epsilon: Self) -> Self {
            unsafe {
                let low = _mm256_fmadd_ps(_mm256_sqrt_ps(square.0), root.0, epsilon.0);
                let high = _mm256_fmadd_ps(_mm256_sqrt_ps(square.1), root.1, epsilon.1);
                Self(_mm256_div_ps(self.0, low), _mm256_div_ps(self.1, high))
            }
        }
        #[inline(always)]
        unsafe fn fma(self, factor: Self, addend: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)) }
        }
        #[inline(always)]
        unsafe fn signed(self, size: Self) -> Self {
            unsafe {
                let zero = _mm256_setzero_ps();
                let of = |x: __m256, size: __m256| {
                    let above = _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, zero), size);
                    let below = _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, zero), size);
                    _mm256_sub_ps(above, below)
                };
                Self(of(self.0, size.0), of(self.1, size.1))
            }
        }
        #[inline(always)]
        unsafe fn positive(self) -> Self {
            unsafe {
                let zero = _mm256_setzero_ps();
                Self(_mm256_max_ps(zero, self.0), _mm256_max_ps(zero, self.1))
            }
        }
    }
}
