//! How is a number bent, so that its training rows lie as a network likes them? By its place among them, a logarithm or
//! a power.

use serde::{Deserialize, Serialize};

use super::number;
use crate::spec::{Distribution, QuantileScaleSpec};

/// Most rows that a power is chosen by; evenly spread where there are more.
const POWER_ROWS_MAX: usize = 100_000;

/// Powers that are tried first, from the negative of this to this.
const POWER_MAX: f64 = 5.0;

/// How near to 0 and 1 a place is let before it becomes a normal value, as scikit-learn's `QuantileTransformer`.
const SHARE_MIN: f64 = 1e-7;

/// Bent values stay below this, so that none counts as infinite.
const BENT_MAX: f64 = 1e36;

/// A function of a number that rises everywhere; its figures are `f32`, which JSON gives back to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// `sign(x) * ln(1 + |x|)`.
    Log,
    /// Yeo and Johnson 2000, "A new family of power transformations", equation 2.1.
    YeoJohnson {
        /// The power.
        lambda: f32,
    },
    /// The share of training rows below, interpolated.
    Quantile {
        /// Values of the training rows at even shares from 0 to 1, rising.
        table: Vec<f32>,
        /// Shares become values of the standard normal distribution.
        normal: bool,
    },
}

impl Curve {
    /// The bent value of a finite number; NaN stays NaN.
    pub(crate) fn bend(&self, x: f32) -> f32 {
        let x = f64::from(x);
        if x.is_nan() {
            return f32::NAN;
        }
        let bent = match self {
            Self::Log => x.signum() * x.abs().ln_1p(),
            Self::YeoJohnson { lambda } => yeo_johnson(x, f64::from(*lambda)),
            Self::Quantile { table, normal: false } => share(table, x),
            Self::Quantile { table, normal: true } => inverse_normal(share(table, x).clamp(SHARE_MIN, 1.0 - SHARE_MIN)),
        };
        bent.clamp(-BENT_MAX, BENT_MAX) as f32
    }

    /// The power that makes these values most like a normal distribution.
    pub(super) fn fit_yeo_johnson(values: &[f32]) -> Self {
        let step = values.len().div_ceil(POWER_ROWS_MAX).max(1);
        let values: Vec<f64> = values.iter().step_by(step).map(|&x| f64::from(x)).collect();
        Self::YeoJohnson { lambda: most_likely(&values) as f32 }
    }

    /// Quantiles of these values, which hold no NaN. Sorts them.
    pub(super) fn fit_quantile(spec: QuantileScaleSpec, values: &mut [f32]) -> Self {
        values.sort_unstable_by(f32::total_cmp);
        let count = spec.quantiles.min(values.len()).max(2);
        let table = (0..count).map(|i| number::quantile_of_sorted(values, i as f64 / (count - 1) as f64)).collect();
        Self::Quantile { table, normal: spec.to == Distribution::Normal }
    }
}

/// Yeo and Johnson 2000, equation 2.1.
fn yeo_johnson(x: f64, lambda: f64) -> f64 {
    // Near its limits the difference of powers would lose all digits; `exp_m1` keeps them.
    let power = |amount: f64, lambda: f64| match lambda.abs() < 1e-12 {
        true => amount.ln_1p(),
        false => (lambda * amount.ln_1p()).exp_m1() / lambda,
    };
    if x >= 0.0 { power(x, lambda) } else { -power(-x, 2.0 - lambda) }
}

/// The power with the highest likelihood of the values being normally distributed (Yeo and Johnson 2000, section 3): the best
/// of a grid, then the golden section around it.
fn most_likely(values: &[f64]) -> f64 {
    let slope: f64 = values.iter().map(|x| x.signum() * x.abs().ln_1p()).sum();
    let n = values.len() as f64;
    let likelihood = |lambda: f64| {
        let mean = values.iter().map(|&x| yeo_johnson(x, lambda)).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|&x| (yeo_johnson(x, lambda) - mean).powi(2)).sum();
        let found = -n / 2.0 * (squares / n).ln() + (lambda - 1.0) * slope;
        if found.is_nan() { f64::NEG_INFINITY } else { found }
    };
    let varies = values.iter().any(|x| *x != values[0]);
    if !varies {
        return 1.0;
    }
    let grid = (0..=20).map(|i| f64::from(i) * 0.5 - POWER_MAX);
    let best = grid.max_by(|a, b| likelihood(*a).total_cmp(&likelihood(*b))).unwrap_or(1.0);
    let (mut low, mut high) = (best - 0.5, best + 0.5);
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (likelihood(left), likelihood(right));
    while high - low > 1e-8 {
        if at_left > at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = likelihood(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = likelihood(right);
        }
    }
    (low + high) / 2.0
}

/// The share of training rows below a value; in the middle of those of a value that fills several places of the table.
fn share(table: &[f32], x: f64) -> f64 {
    let last = table.len().saturating_sub(1);
    let (Some(&lowest), Some(&highest)) = (table.first(), table.last()) else { return 0.0 };
    if x <= f64::from(lowest) {
        return 0.0;
    }
    if x >= f64::from(highest) {
        return 1.0;
    }
    let first = table.partition_point(|&q| f64::from(q) < x);
    let above = table.partition_point(|&q| f64::from(q) <= x);
    let place = match first < above {
        true => (first + above - 1) as f64 / 2.0,
        false => {
            let (low, high) = (f64::from(table[first - 1]), f64::from(table[first]));
            (first - 1) as f64 + (x - low) / (high - low)
        }
    };
    place / last as f64
}

/// The value below which this share of the standard normal distribution lies (Wichura 1988, algorithm AS 241, PPND16).
fn inverse_normal(share: f64) -> f64 {
    let q = share - 0.5;
    let ratio = |x: f64, above: &[f64; 8], below: &[f64; 8]| {
        let sum = |of: &[f64; 8]| of.iter().rev().fold(0.0, |sum, c| sum * x + c);
        sum(above) / sum(below)
    };
    if q.abs() <= 0.425 {
        return q * ratio(0.180625 - q * q, &CENTRE[0], &CENTRE[1]);
    }
    let r = (-share.min(1.0 - share).ln()).sqrt();
    let value = match r <= 5.0 {
        true => ratio(r - 1.6, &FLANK[0], &FLANK[1]),
        false => ratio(r - 5.0, &TAIL[0], &TAIL[1]),
    };
    value * q.signum()
}

/// Coefficients of AS 241 for the middle 85 %.
const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_545e3,
    ],
];

/// Coefficients of AS 241 on both sides of the middle.
const FLANK: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

/// Coefficients of AS 241 for the ends.
const TAIL: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_049e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_94e-15,
    ],
];
