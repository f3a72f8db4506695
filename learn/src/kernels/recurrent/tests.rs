use super::*;
use crate::kernels::at_every_level;

#[path = "recorded.rs"]
mod recorded;

/// Numbers that are not round and differ from one another.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|n| ((n * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// A layer with all it reads.
#[derive(Clone)]
struct Case {
    shape: RecurrentShape,
    rows: usize,
    x: Vec<f32>,
    input: Vec<f32>,
    hidden: Vec<f32>,
    bias: Vec<f32>,
    out_gradient: Vec<f32>,
}

/// What comes out of it: outputs, and the gradients of x, input weights, hidden weights and bias.
struct Found {
    out: Vec<f32>,
    gradients: [Vec<f32>; 4],
}

impl Case {
    fn new(shape: RecurrentShape, rows: usize) -> Self {
        let RecurrentShape { cell, inputs, units, steps, .. } = shape;
        Self {
            shape,
            rows,
            x: numbers(rows * steps * inputs, 4),
            input: numbers(inputs * cell.gates() * units, 1),
            hidden: numbers(units * cell.gates() * units, 2).iter().map(|x| x / (units as f32).sqrt()).collect(),
            bias: numbers(4 * units, 3),
            out_gradient: numbers(rows * steps * units, 5),
        }
    }

    /// Forward and backward in a layer that was used for other numbers before.
    fn run(&self, threads: usize) -> Found {
        let RecurrentShape { units, steps, .. } = self.shape;
        let mut team = Team::new(threads);
        let mut layer = Recurrent::new(self.shape, self.rows + 1);
        let other = Self::new(self.shape, self.rows + 1);
        other.step(&mut team, &mut layer, &mut vec![0.0; (self.rows + 1) * steps * units]);
        let mut out = vec![0.0; self.rows * steps * units];
        let gradients = self.step(&mut team, &mut layer, &mut out);
        Found { out, gradients }
    }

    fn step(&self, team: &mut Team, layer: &mut Recurrent, out: &mut [f32]) -> [Vec<f32>; 4] {
        let units = self.shape.units;
        let weights = RecurrentWeights { input: &self.input, hidden: &self.hidden, bias: &self.bias };
        layer.forward(team, self.rows, &self.x, weights, out, units);
        let mut gradients = [&self.x, &self.input, &self.hidden, &self.bias].map(|values| vec![0.0; values.len()]);
        let [x, input, hidden, bias] = &mut gradients;
        let to = RecurrentGradients { input, hidden, bias };
        layer.backward(team, self.rows, (&self.out_gradient, units), Some(x), to);
        gradients
    }
}

/// The published equations, number by number: `[rows, steps, units]`.
fn reference(shape: RecurrentShape, rows: usize, [x, input, hidden, bias]: [&[f64]; 4]) -> Vec<f64> {
    let RecurrentShape { cell, inputs, units, steps, reverse } = shape;
    let gates = cell.gates();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut out = vec![0.0; rows * steps * units];
    for row in 0..rows {
        let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
        for step in 0..steps {
            let time = if reverse { steps - 1 - step } else { step };
            let x = &x[(row * steps + time) * inputs..][..inputs];
            let product = |values: &[f64], weight: &[f64], column: usize| {
                values.iter().enumerate().map(|(n, v)| v * weight[n * gates * units + column]).sum::<f64>()
            };
            let from_x = |gate: usize, u: usize| product(x, input, gate * units + u) + bias[gate * units + u];
            let from_h = |gate: usize, u: usize| product(&h, hidden, gate * units + u);
            let both = |gate: usize, u: usize| from_x(gate, u) + from_h(gate, u);
            let next: Vec<(f64, f64)> = (0..units)
                .map(|u| match cell {
                    Cell::Lstm => {
                        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| both(gate, u));
                        let c = sigmoid(f) * c[u] + sigmoid(i) * g.tanh();
                        (sigmoid(o) * c.tanh(), c)
                    }
                    Cell::Gru => {
                        let (r, z) = (sigmoid(both(0, u)), sigmoid(both(1, u)));
                        let n = (from_x(2, u) + r * (from_h(2, u) + bias[3 * units + u])).tanh();
                        ((1.0 - z) * n + z * h[u], 0.0)
                    }
                })
                .collect();
            (h, c) = next.into_iter().unzip();
            out[(row * steps + time) * units..][..units].copy_from_slice(&h);
        }
    }
    out
}

fn shapes() -> impl Iterator<Item = (RecurrentShape, usize)> {
    let sizes = [(1, 1, 1, 1), (2, 3, 4, 2), (5, 16, 3, 1), (3, 7, 5, 9), (17, 20, 2, 4), (4, 33, 3, 13)];
    sizes.into_iter().flat_map(|(inputs, units, steps, rows)| {
        [(Cell::Lstm, false), (Cell::Lstm, true), (Cell::Gru, false), (Cell::Gru, true)]
            .map(|(cell, reverse)| (RecurrentShape { cell, inputs, units, steps, reverse }, rows))
    })
}

#[test]
fn outputs_and_gradients_are_those_of_the_equations_in_f64() {
    at_every_level(|level| {
        for (shape, rows) in shapes() {
            let case = Case::new(shape, rows);
            let found = case.run(2);
            let values = [&case.x, &case.input, &case.hidden, &case.bias].map(|values| wide(values));
            let out = reference(shape, rows, values.each_ref().map(Vec::as_slice));
            for (found, expected) in found.out.iter().zip(&out) {
                assert!((f64::from(*found) - expected).abs() < 3e-6, "{level}, {shape:?}: {found} for {expected}");
            }
            let loss = |values: &[Vec<f64>; 4]| {
                let out = reference(shape, rows, values.each_ref().map(Vec::as_slice));
                out.iter().zip(&case.out_gradient).map(|(x, g)| x * f64::from(*g)).sum::<f64>()
            };
            for (which, gradient) in found.gradients.iter().enumerate() {
                // Every number where there are few, else some of each row and gate.
                for at in (0..gradient.len()).step_by(1 + gradient.len() / 23) {
                    let moved = |by: f64| {
                        let mut values = values.clone();
                        values[which][at] += by;
                        loss(&values)
                    };
                    let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let error = (f64::from(gradient[at]) - expected).abs();
                    let place = format!("{level}, {shape:?}, gradient {which} at {at}");
                    assert!(error < 2e-5 * expected.abs().max(1.0), "{place}: {} for {expected}", gradient[at]);
                }
            }
        }
    });
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    for cell in [Cell::Lstm, Cell::Gru] {
        for rows in [3, 40] {
            let case = Case::new(RecurrentShape { cell, inputs: 9, units: 40, steps: 12, reverse: false }, rows);
            let [one, two, three] = [1, 2, 3].map(|threads| case.run(threads));
            for other in [two, three] {
                assert!(one.out == other.out && one.gradients == other.gradients, "{cell:?}, {rows} rows");
            }
        }
    }
}

#[test]
fn two_directions_are_those_of_pytorch() {
    at_every_level(|level| {
        for (cell, recorded) in [(Cell::Lstm, recorded::LSTM), (Cell::Gru, recorded::GRU)] {
            let (rows, steps, inputs, units) = (2, 4, 2, 3);
            let (x, out_gradient) = (numbers(rows * steps * inputs, 4), numbers(rows * steps * 2 * units, 5));
            let mut team = Team::new(2);
            let mut out = vec![0.0; rows * steps * 2 * units];
            let mut x_gradient = vec![0.0; x.len()];
            let near = |found: &[f32], expected: &[f64], what: &str| {
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(
                        error < 6e-6 * expected.abs().max(1.0),
                        "{level}, {cell:?}, {what}: {found} for {expected}"
                    );
                }
            };
            for (number, expected) in recorded.directions.iter().enumerate() {
                let shape = RecurrentShape { cell, inputs, units, steps, reverse: number == 1 };
                let mut layer = Recurrent::new(shape, rows);
                let gates = cell.gates();
                let input = numbers(inputs * gates * units, 1 + 10 * number);
                let hidden = numbers(units * gates * units, 2 + 10 * number);
                let bias = numbers(4 * units, 3 + 10 * number);
                let weights = RecurrentWeights { input: &input, hidden: &hidden, bias: &bias };
                let first = number * units;
                layer.forward(&mut team, rows, &x, weights, &mut out[first..], 2 * units);
                let mut gradients = [&input, &hidden, &bias].map(|values| vec![0.0; values.len()]);
                let [input, hidden, bias] = &mut gradients;
                let to = RecurrentGradients { input, hidden, bias };
                layer.backward(&mut team, rows, (&out_gradient[first..], 2 * units), Some(&mut x_gradient), to);
                for (found, expected) in gradients.iter().zip(expected) {
                    near(found, expected, "weights");
                }
            }
            near(&out, recorded.out, "outputs");
            near(&x_gradient, recorded.x, "input");
        }
    });
}
