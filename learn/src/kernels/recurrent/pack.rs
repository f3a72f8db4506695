//! From the weights of a cell to panels, and from one gradient of all to those of the weights.

use super::cell::COLUMNS;
use super::{LANES, Recurrent, RecurrentGradients, RecurrentWeights};

impl Recurrent {
    /// Joins the weights as the steps read them; what belongs to no unit is 0 since `new`.
    pub(super) fn pack(&mut self, weights: RecurrentWeights) {
        let (inputs, units, gates) = (self.shape.inputs, self.shape.units, self.shape.cell.gates());
        assert_eq!(weights.input.len(), inputs * gates * units);
        assert_eq!(weights.hidden.len(), units * gates * units);
        assert_eq!(weights.bias.len(), COLUMNS * units);
        let (width, height) = (self.width, self.joined_width());
        for (number, column) in self.shape.cell.columns().iter().enumerate() {
            for first in (0..units).step_by(LANES) {
                let count = LANES.min(units - first);
                let panel = (number * width + first) / LANES;
                let panel = &mut self.weight.data[panel * height * LANES..][..height * LANES];
                let mut put = |row: usize, from: &[f32]| panel[row * LANES..][..count].copy_from_slice(&from[..count]);
                if let Some(gate) = column.input {
                    (0..inputs).for_each(|n| put(n, &weights.input[(n * gates + gate) * units + first..]));
                }
                put(inputs, &weights.bias[column.bias * units + first..]);
                if let Some(gate) = column.hidden {
                    let row = |n: usize| &weights.hidden[(n * gates + gate) * units + first..];
                    (0..units).for_each(|n| put(inputs + 1 + n, row(n)));
                }
            }
        }
        self.turn(weights);
    }

    /// The weights turned, for the way back.
    fn turn(&mut self, weights: RecurrentWeights) {
        let (units, gates, width) = (self.shape.units, self.shape.cell.gates(), self.width);
        let columns = self.shape.cell.columns();
        let [input_columns, hidden_columns] = self.shape.cell.backward_columns();
        let input_gates = columns[input_columns].iter().map(|column| column.input);
        let hidden_gates = columns[hidden_columns].iter().map(|column| column.hidden);
        turn(input_gates.flatten(), [gates, units, width], weights.input, &mut self.input_back);
        turn(hidden_gates.flatten(), [gates, units, width], weights.hidden, &mut self.hidden_back);
    }

    /// Adds the gradient of the joined weights to those of the weights.
    pub(super) fn unpack(&self, gradients: RecurrentGradients) {
        let (inputs, units, gates) = (self.shape.inputs, self.shape.units, self.shape.cell.gates());
        for (number, column) in self.shape.cell.columns().iter().enumerate() {
            let from = |row: usize| &self.gradient[(row * COLUMNS + number) * self.width..][..units];
            if let Some(gate) = column.input {
                (0..inputs).for_each(|n| add(&mut gradients.input[(n * gates + gate) * units..], from(n)));
            }
            add(&mut gradients.bias[column.bias * units..], from(inputs));
            if let Some(gate) = column.hidden {
                let to = |n: usize| (n * gates + gate) * units;
                (0..units).for_each(|n| add(&mut gradients.hidden[to(n)..], from(inputs + 1 + n)));
            }
        }
    }
}

/// `weight` `[height, gates * units]` as panels `[chosen gates * width, height]`.
fn turn(
    chosen: impl Iterator<Item = usize>,
    [gates, units, width]: [usize; 3],
    weight: &[f32],
    panels: &mut super::Panels,
) {
    let steps = panels.inputs;
    for (number, gate) in chosen.enumerate() {
        for (row, line) in weight.chunks_exact(gates * units).enumerate() {
            let (panel, lane) = (row / LANES, row % LANES);
            let slots = &mut panels.data[(panel * steps + number * width) * LANES + lane..];
            for (slot, x) in slots.iter_mut().step_by(LANES).zip(&line[gate * units..][..units]) {
                *slot = *x;
            }
        }
    }
}

fn add(sums: &mut [f32], more: &[f32]) {
    sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
}
