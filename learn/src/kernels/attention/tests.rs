use super::*;
use crate::kernels::at_every_level;
use crate::kernels::dropout_mask;
use crate::kernels::numbers::{check_gradients, close, dot, numbers, wide};

/// Attention number by number; `mask` `[rows, heads, length, length filled up]` is put on the probabilities.
fn reference(shape: AttentionShape, qkv: &[f64], valid: &[u32], mask: &[f32]) -> Vec<f64> {
    let AttentionShape { length, width, heads } = shape;
    let (depth, stride) = (width / heads, length.next_multiple_of(16));
    let mut out = vec![0.0; valid.len() * length * width];
    for (row, &valid) in valid.iter().enumerate() {
        for head in 0..heads {
            let at = |which: usize, position: usize, n: usize| {
                qkv[((row * length + position) * 3 + which) * width + head * depth + n]
            };
            for query in 0..length {
                let score = |key: usize| {
                    (0..depth).map(|n| at(0, query, n) * at(1, key, n)).sum::<f64>() / (depth as f64).sqrt()
                };
                let powers: Vec<f64> = (0..valid as usize).map(|key| score(key).exp()).collect();
                let total: f64 = powers.iter().sum();
                for (key, power) in powers.iter().enumerate() {
                    let kept = f64::from(mask[((row * heads + head) * length + query) * stride + key]);
                    for n in 0..depth {
                        out[(row * length + query) * width + head * depth + n] += power / total * kept * at(2, key, n);
                    }
                }
            }
        }
    }
    out
}

struct Case {
    shape: AttentionShape,
    qkv: Vec<f32>,
    valid: Vec<u32>,
    dropout: Option<AttentionDropout>,
    weights: Vec<f32>,
}

impl Case {
    fn new(shape: AttentionShape, valid: &[u32], dropout: Option<AttentionDropout>) -> Self {
        let count = valid.len() * shape.length * shape.width;
        let qkv = numbers(3 * count, 1).iter().map(|x| 1.5 * x).collect();
        Self { shape, qkv, valid: valid.to_vec(), dropout, weights: numbers(count, 2) }
    }

    fn input(&self) -> AttentionInput<'_> {
        AttentionInput { qkv: &self.qkv, valid: Some(&self.valid), dropout: self.dropout }
    }

    fn mask(&self) -> Vec<f32> {
        let mut mask = vec![1.0; self.valid.len() * self.shape.heads * self.shape.probabilities()];
        if let Some(AttentionDropout { key, share }) = self.dropout {
            dropout_mask(key, share, 0, &mut mask);
        }
        mask
    }

    /// Output and gradient, from a layer that was used for other numbers before.
    fn run(&self, threads: usize) -> [Vec<f32>; 2] {
        let mut team = Team::new(threads);
        let mut layer = Attention::new(self.shape);
        let mut out = vec![f32::NAN; self.weights.len()];
        let mut gradient = vec![f32::NAN; self.qkv.len()];
        let other = AttentionInput { qkv: &vec![f32::NAN; self.qkv.len()], valid: None, dropout: None };
        layer.forward(&mut team, other, &mut out);
        layer.backward(&mut team, other, &self.weights, &mut gradient);
        layer.forward(&mut team, self.input(), &mut out);
        if self.dropout.is_none() {
            let mut answer = vec![f32::NAN; out.len()];
            layer.answer(&mut team, self.input(), &mut answer);
            assert!(answer == out, "{:?}: answers differ", self.shape);
        }
        layer.backward(&mut team, self.input(), &self.weights, &mut gradient);
        [out, gradient]
    }
}

const SHAPES: [(AttentionShape, &[u32]); 6] = [
    (AttentionShape { length: 1, width: 1, heads: 1 }, &[1]),
    (AttentionShape { length: 3, width: 4, heads: 2 }, &[3, 2]),
    (AttentionShape { length: 7, width: 15, heads: 3 }, &[1, 7]),
    (AttentionShape { length: 16, width: 32, heads: 2 }, &[16, 5, 0]),
    (AttentionShape { length: 17, width: 34, heads: 2 }, &[17, 16]),
    (AttentionShape { length: 40, width: 20, heads: 1 }, &[33, 40]),
];

#[test]
fn outputs_and_gradients_are_those_of_the_formula_in_f64() {
    at_every_level(|level| {
        for (shape, valid) in SHAPES {
            for dropout in [None, Some(AttentionDropout { key: 0x1234_5678_9abc_def0, share: 0.3 })] {
                let case = Case::new(shape, valid, dropout);
                let place = format!("{level}, {shape:?}, {dropout:?}");
                let (mask, [out, gradient]) = (case.mask(), case.run(2));
                close(&out, &reference(shape, &wide(&case.qkv), valid, &mask), 3e-6, &place);
                let loss = |values: &[Vec<f64>]| dot(&reference(shape, &values[0], valid, &mask), &case.weights);
                check_gradients(std::slice::from_ref(&case.qkv), &[&gradient], 60, &place, loss);
            }
        }
    });
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let shape = AttentionShape { length: 33, width: 48, heads: 3 };
    let dropout = Some(AttentionDropout { key: 77, share: 0.1 });
    let case = Case::new(shape, &[33, 20, 1, 32, 33], dropout);
    let [one, two, three] = [1, 2, 3].map(|threads| case.run(threads));
    assert!(one == two && two == three);
}

/// `torch.nn.functional.scaled_dot_product_attention` in float64 with a mask of the valid positions, and its gradients
/// by autograd, PyTorch 2.15: 2 rows of 3 positions of 4 numbers, 2 heads; all numbers are those of `Case`.
#[test]
#[allow(clippy::too_many_lines, reason = "recorded figures")]
fn attention_is_that_of_pytorch() {
    let case = Case::new(AttentionShape { length: 3, width: 4, heads: 2 }, &[3, 2], None);
    at_every_level(|level| {
        let [out, gradient] = case.run(1);
        let expected = [
            0.3921373,
            -0.9950224,
            -0.5082869,
            0.02028453,
            0.2751196,
            -0.9661566,
            -0.4790635,
            0.04950791,
            0.1555402,
            -0.9381964,
            -0.5860451,
            -0.05747365,
            -0.7178342,
            -0.1892628,
            0.2721111,
            0.8006825,
            -0.7586395,
            -0.2300681,
            0.2828567,
            0.8114282,
            -0.7992439,
            -0.2706725,
            0.2937671,
            0.8223386,
        ];
        close(&out, &expected, 2e-6, level);
        let expected = [
            -0.2028796,
            -0.2028796,
            -0.01895812,
            -0.01895812,
            -0.03693503,
            0.04963524,
            0.3145029,
            -0.1051889,
            0.303479,
            -0.02996428,
            -0.2407377,
            0.1816405,
            -0.03050113,
            -0.03050113,
            -0.07490686,
            -0.07490686,
            -0.039975,
            0.08511866,
            -0.03540143,
            -0.0223358,
            0.325127,
            0.001927467,
            -0.3216455,
            0.02108482,
            0.05605232,
            0.05605232,
            0.04990513,
            0.04990513,
            0.07691002,
            -0.1347539,
            -0.2791015,
            0.1275247,
            0.3428225,
            0.04708444,
            -0.3709501,
            -0.0789158,
            -0.02291605,
            -0.02291605,
            0.0001610593,
            0.0001610593,
            -0.01307324,
            0.2154524,
            -0.008926043,
            -0.02240311,
            -0.1015649,
            0.4318154,
            -0.1970174,
            0.389033,
            0.02477604,
            0.02477604,
            -0.02053976,
            -0.02053976,
            0.01307324,
            -0.2154524,
            0.008926043,
            0.02240311,
            -0.3079589,
            0.2158036,
            -0.1077445,
            0.3633479,
            0.003550293,
            0.003550293,
            0.02839209,
            0.02839209,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
        ];
        close(&gradient, &expected, 2e-6, level);
    });
}
