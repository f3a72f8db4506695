//! Operations that move numbers and reckon little: means, maxima, picks, turns, values side by side.
//!
//! `lengths` are the tokens of each row; without them every step counts. Values are `[rows, steps, width]`.

/// Where the rows of a sequence lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps<'a> {
    /// Steps there is room for in each row.
    pub(super) steps: usize,
    /// Numbers per step.
    pub(super) width: usize,
    /// Steps that count, per row; all where absent.
    pub(super) lengths: Option<&'a [u32]>,
}

impl Steps<'_> {
    fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| (lengths[row] as usize).min(self.steps))
    }

    fn size(&self) -> usize {
        self.steps * self.width
    }

    /// The mean over the steps that count: `[rows, width]`.
    pub(super) fn mean(&self, input: &[f32], out: &mut [f32]) {
        let rows = input.chunks_exact(self.size()).zip(out.chunks_exact_mut(self.width));
        for (row, (input, out)) in rows.enumerate() {
            let length = self.length(row);
            out.fill(0.0);
            for vector in input.chunks_exact(self.width).take(length) {
                out.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
            }
            let share = 1.0 / length as f32;
            out.iter_mut().for_each(|sum| *sum *= share);
        }
    }

    /// The gradient of the mean's input.
    pub(super) fn mean_back(&self, gradient: &[f32], out: &mut [f32]) {
        let rows = out.chunks_exact_mut(self.size()).zip(gradient.chunks_exact(self.width));
        for (row, (out, gradient)) in rows.enumerate() {
            let length = self.length(row);
            let share = 1.0 / length as f32;
            let (valid, rest) = out.split_at_mut(length * self.width);
            for vector in valid.chunks_exact_mut(self.width) {
                vector.iter_mut().zip(gradient).for_each(|(x, g)| *x = g * share);
            }
            rest.fill(0.0);
        }
    }

    /// The largest value over the steps that count, and the step it was found at; of equals the first.
    pub(super) fn max(&self, input: &[f32], out: &mut [f32], places: &mut [u32]) {
        let rows = input.chunks_exact(self.size()).zip(out.chunks_exact_mut(self.width));
        for (row, ((input, out), places)) in rows.zip(places.chunks_exact_mut(self.width)).enumerate() {
            out.fill(f32::NEG_INFINITY);
            places.fill(0);
            for (step, vector) in input.chunks_exact(self.width).take(self.length(row)).enumerate() {
                for ((best, place), &x) in out.iter_mut().zip(places.iter_mut()).zip(vector) {
                    // A NaN is taken, so that it is seen at the end.
                    if x > *best || x.is_nan() {
                        (*best, *place) = (x, step as u32);
                    }
                }
            }
        }
    }

    /// The gradient of the maximum's input.
    pub(super) fn max_back(&self, gradient: &[f32], places: &[u32], out: &mut [f32]) {
        out.fill(0.0);
        let rows = out.chunks_exact_mut(self.size()).zip(gradient.chunks_exact(self.width));
        for ((out, gradient), places) in rows.zip(places.chunks_exact(self.width)) {
            for (column, (&g, &place)) in gradient.iter().zip(places).enumerate() {
                out[place as usize * self.width + column] = g;
            }
        }
    }

    /// The vector of the first or the last step that counts.
    pub(super) fn pick(&self, last: bool, input: &[f32], out: &mut [f32]) {
        let rows = input.chunks_exact(self.size()).zip(out.chunks_exact_mut(self.width));
        for (row, (input, out)) in rows.enumerate() {
            let step = if last { self.length(row) - 1 } else { 0 };
            out.copy_from_slice(&input[step * self.width..][..self.width]);
        }
    }

    /// The gradient of the pick's input.
    pub(super) fn pick_back(&self, last: bool, gradient: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let rows = out.chunks_exact_mut(self.size()).zip(gradient.chunks_exact(self.width));
        for (row, (out, gradient)) in rows.enumerate() {
            let step = if last { self.length(row) - 1 } else { 0 };
            out[step * self.width..][..self.width].copy_from_slice(gradient);
        }
    }

    /// Turns the steps that count round; the others stay. It is its own inverse, and its own way back.
    pub(super) fn turn(&self, input: &[f32], out: &mut [f32]) {
        for (row, (input, out)) in input.chunks_exact(self.size()).zip(out.chunks_exact_mut(self.size())).enumerate() {
            let length = self.length(row);
            for step in 0..self.steps {
                let from = if step < length { length - 1 - step } else { step };
                out[step * self.width..][..self.width].copy_from_slice(&input[from * self.width..][..self.width]);
            }
        }
    }
}

/// Copies vectors of `width` from `input` to their place `at` in vectors of `whole`.
pub(super) fn put(input: &[f32], width: usize, out: &mut [f32], at: usize, whole: usize) {
    for (from, to) in input.chunks_exact(width).zip(out.chunks_exact_mut(whole)) {
        to[at..at + width].copy_from_slice(from);
    }
}

/// Copies the numbers from `at` on of vectors of `whole` to vectors of `width`.
pub(super) fn take(input: &[f32], at: usize, whole: usize, out: &mut [f32], width: usize) {
    for (from, to) in input.chunks_exact(whole).zip(out.chunks_exact_mut(width)) {
        to.copy_from_slice(&from[at..at + width]);
    }
}
