//! Sums of tensors, tables of learned vectors, and their gradients.

use std::ops::Range;

use super::dropout::multiply;
use super::shared::Shared;
use super::simd::{LANES, versions};
use super::team::Team;

/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 14;
/// Rows that are added up by themselves before the sums are added: a long sum of `f32` loses digits.
const BLOCK: usize = 32;
/// Columns added up at a time.
const COLUMNS: usize = 256;

fn threads(team: &Team, length: usize) -> usize {
    if length < SPLIT_MIN { 1 } else { team.threads() }
}

versions! {
    /// `sums += more`, by this thread.
    pub(super) fn add_here(sums: &mut [f32], more: &[f32]) {
        sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }
}

versions! {
    fn sum_here(a: &[f32], b: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a + b);
    }
}

versions! {
    fn sum_relu_here(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            let sum = a + b;
            *out = if sum < 0.0 { 0.0 } else { sum }; // NaN stays
        }
    }
}

/// `out = a + b`, where `relu` at least 0.
pub(crate) fn sum(team: &mut Team, a: &[f32], b: &[f32], relu: bool, out: &mut [f32]) {
    assert!(a.len() == out.len() && b.len() == out.len());
    let work = if relu { sum_relu_here } else { sum_here };
    team.split(threads(team, out.len()), out, 1, &|start, part| {
        work(&a[start..][..part.len()], &b[start..][..part.len()], part);
    });
}

/// `to = from`.
pub(crate) fn copy(team: &mut Team, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    team.split(threads(team, to.len()), to, 1, &|start, part| part.copy_from_slice(&from[start..][..part.len()]));
}

/// `values *= factors`.
pub(crate) fn multiply_on(team: &mut Team, values: &mut [f32], factors: &[f32]) {
    assert_eq!(values.len(), factors.len());
    team.split(threads(team, values.len()), values, 1, &|start, part| multiply(part, &factors[start..][..part.len()]));
}

/// `sums += more`.
pub(crate) fn add(team: &mut Team, sums: &mut [f32], more: &[f32]) {
    assert_eq!(sums.len(), more.len());
    team.split(threads(team, sums.len()), sums, 1, &|start, part| add_here(part, &more[start..][..part.len()]));
}

/// Adds `row` to every row of `sums` `[rows, row.len()]`: a bias, or the vectors of the positions.
pub(crate) fn add_to_rows(team: &mut Team, sums: &mut [f32], row: &[f32]) {
    assert!(!row.is_empty() && sums.len().is_multiple_of(row.len()));
    team.split(threads(team, sums.len()), sums, row.len(), &|_, part| {
        part.chunks_exact_mut(row.len()).for_each(|sums| add_here(sums, row));
    });
}

/// Adds every row of `values` `[rows, sums.len()]` to `sums`: the gradient of `add_to_rows`. Threads share the columns.
pub(crate) fn add_columns(team: &mut Team, values: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    assert!(width > 0 && values.len().is_multiple_of(width));
    let threads = threads(team, values.len());
    let shared = Shared::of(sums);
    team.run(threads, &|thread| {
        let columns = part(width, thread, threads);
        // SAFETY: every thread has columns of its own.
        let sums = unsafe { shared.part(columns.start, columns.len()) };
        for (number, sums) in sums.chunks_mut(COLUMNS).enumerate() {
            add_some_columns(values, width, columns.start + number * COLUMNS, sums);
        }
    });
}

versions! {
    fn add_some_columns(values: &[f32], width: usize, first: usize, sums: &mut [f32]) {
        for block in values.chunks(BLOCK * width) {
            let mut room = [0.0f32; COLUMNS];
            let room = &mut room[..sums.len()];
            for row in block.chunks_exact(width) {
                room.iter_mut().zip(&row[first..]).for_each(|(sum, x)| *sum += x);
            }
            sums.iter_mut().zip(room).for_each(|(sum, x)| *sum += *x);
        }
    }
}

/// The vectors of codes: `out[n] = table[codes[n]]`, with `table` `[cardinality, width]`.
pub(crate) fn gather(team: &mut Team, table: &[f32], codes: &[i32], width: usize, out: &mut [f32]) {
    assert_eq!(out.len(), codes.len() * width);
    team.split(threads(team, out.len()), out, width, &|start, part| {
        for (slot, code) in part.chunks_exact_mut(width).zip(&codes[start / width..]) {
            slot.copy_from_slice(&table[*code as usize * width..][..width]);
        }
    });
}

/// The gradient of `gather`: `table_gradient[codes[n]] += gradient[n]`, in the order of n. Threads share the columns.
pub(crate) fn scatter_add(team: &mut Team, gradient: &[f32], codes: &[i32], width: usize, table_gradient: &mut [f32]) {
    assert_eq!(gradient.len(), codes.len() * width);
    let threads = threads(team, gradient.len());
    let table = Shared::of(table_gradient);
    team.run(threads, &|thread| {
        let columns = part(width, thread, threads);
        for (row, code) in gradient.chunks_exact(width).zip(codes) {
            // SAFETY: every thread has columns of its own.
            let sums = unsafe { table.part(*code as usize * width + columns.start, columns.len()) };
            add_here(sums, &row[columns.clone()]);
        }
    });
}

/// The columns of a thread: whole vectors.
fn part(width: usize, thread: usize, threads: usize) -> Range<usize> {
    let vectors = width.div_ceil(LANES);
    let end = |thread: usize| (vectors * thread / threads * LANES).min(width);
    end(thread)..end(thread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::numbers::{close, numbers};

    #[test]
    fn tables_give_vectors_and_take_their_gradients_in_order() {
        at_every_level(|level| {
            for (cardinality, width, count) in [(1, 1, 3), (5, 3, 40), (7, 40, 9), (30, 33, 700)] {
                let place = format!("{level}, {cardinality} x {width}, {count}");
                let (table, gradient) = (numbers(cardinality * width, 1), numbers(count * width, 2));
                let codes: Vec<i32> = (0..count).map(|n| ((n * n + n / 3) % cardinality) as i32).collect();
                let mut expected = vec![0.0f32; cardinality * width];
                for (n, code) in codes.iter().enumerate() {
                    for w in 0..width {
                        expected[*code as usize * width + w] += gradient[n * width + w];
                    }
                }
                for threads in [1, 2, 3] {
                    let mut team = Team::new(threads);
                    let mut out = vec![0.0; count * width];
                    gather(&mut team, &table, &codes, width, &mut out);
                    for (n, vector) in out.chunks(width).enumerate() {
                        assert_eq!(vector, &table[codes[n] as usize * width..][..width], "{place}");
                    }
                    let mut found = vec![0.0; cardinality * width];
                    scatter_add(&mut team, &gradient, &codes, width, &mut found);
                    assert_eq!(found, expected, "{place}, {threads} threads"); // the same order of the same sums
                }
            }
        });
    }

    #[test]
    fn sums_over_rows_follow_f64_and_do_not_depend_on_threads() {
        at_every_level(|level| {
            for (rows, width) in [(1, 1), (3, 5), (65, 16), (40, 33), (1000, 17), (33, 700)] {
                let place = format!("{level}, {rows} x {width}");
                let (values, row) = (numbers(rows * width, 1), numbers(width, 2));
                let column = |n: usize| {
                    values.iter().skip(n).step_by(width).map(|x| f64::from(*x)).sum::<f64>() + f64::from(row[n])
                };
                let expected: Vec<f64> = (0..width).map(column).collect();
                let both: Vec<f32> = values.iter().enumerate().map(|(n, x)| x + row[n % width]).collect();
                let doubled: Vec<f32> = values.iter().map(|x| x + x).collect();
                let sums = [1, 2, 3].map(|threads| {
                    let mut team = Team::new(threads);
                    let [mut each, mut all, mut sums] = [values.clone(), values.clone(), row.clone()];
                    add_to_rows(&mut team, &mut each, &row);
                    add(&mut team, &mut all, &values);
                    add_columns(&mut team, &values, &mut sums);
                    assert!(each == both && all == doubled, "{place}, {threads} threads");
                    sums
                });
                assert!(sums[0] == sums[1] && sums[1] == sums[2], "{place}: threads");
                close(&sums[0], &expected, 1e-4, &place);
            }
        });
    }

    #[test]
    fn numbers_are_added_multiplied_and_copied_one_by_one() {
        at_every_level(|level| {
            for count in [1, 40, 20_000] {
                let (a, b) = (numbers(count, 1), numbers(count, 2));
                for threads in [1, 2, 3] {
                    let mut team = Team::new(threads);
                    let place = format!("{level}, {count} numbers, {threads} threads");
                    let [mut plain, mut relu, mut same, mut product] = [1.0, 2.0, 3.0, 0.0].map(|x| vec![x; count]);
                    sum(&mut team, &a, &b, false, &mut plain);
                    sum(&mut team, &a, &b, true, &mut relu);
                    copy(&mut team, &a, &mut same);
                    product.copy_from_slice(&a);
                    multiply_on(&mut team, &mut product, &b);
                    assert_eq!(same, a, "{place}");
                    for n in 0..count {
                        assert_eq!((plain[n], relu[n]), (a[n] + b[n], (a[n] + b[n]).max(0.0)), "{place}");
                        assert_eq!(product[n], a[n] * b[n], "{place}");
                    }
                }
            }
            let mut nan = [0.0; 2];
            sum(&mut Team::new(1), &[f32::NAN, 1.0], &[1.0, -2.0], true, &mut nan);
            assert!(nan[0].is_nan() && nan[1] == 0.0, "{level}");
        });
    }
}
