//! Trees beside plain searches over every threshold, and the same bits on any number of threads.

use std::sync::Arc;

use super::binned::BinnedNode;
use super::bins::{Binned, Binning, MISSING, thresholds};
use super::grow::{Choice, Grower, Growth, Shape};
use super::histogram::{Block, Histogram, Sums, Units, subtract};
use super::inputs::{Inputs, Ranks};
use super::split::Limits;
use super::*;
use crate::features::{CategoryInput, Encoded, NumericPart};
use crate::net::tests::{numeric, target};
use crate::net::{Head, standardised};
use crate::random::{Stream, uniform};
use crate::spec::{GradientBoostingSpec, HuberSpec, Loss, QuantileSpec, RandomForestSpec};

/// Rows of plain numbers with few different values, every seventh one missing.
fn rows(count: usize, width: usize) -> Encoded {
    let number = |n: usize| match n % 7 {
        6 => f32::NAN,
        _ => (uniform(5, 1, n as u64) * 40.0).floor() / 4.0 - 3.0,
    };
    Encoded { rows: count, numbers: (0..count * width).map(number).collect(), ..Encoded::default() }
}

/// A question by plain search: gain, input, the first value on the right, and whether missing values go left.
fn best(x: &Encoded, width: usize, rows: &[usize], slopes: &[[f64; 2]], limits: &Limits) -> Option<(f64, Vec<bool>)> {
    let sums = |of: &dyn Fn(usize) -> bool| {
        let all = rows.iter().filter(|row| of(**row));
        all.fold(([0.0; 2], 0), |(sum, n), row| ([sum[0] + slopes[*row][0], sum[1] + slopes[*row][1]], n + 1))
    };
    let score = |sum: [f64; 2]| sum[0] * sum[0] / (sum[1] + limits.l2);
    let whole = score(sums(&|_| true).0);
    let mut best: Option<(f64, Vec<bool>)> = None;
    for feature in 0..width {
        let value = |row: usize| x.numbers[row * width + feature];
        for &threshold in rows {
            let threshold = value(threshold);
            for missing_left in [false, true] {
                let is_left = |row: usize| match value(row) {
                    x if x.is_nan() => missing_left,
                    // Of a threshold that is missing: all values on one side, missing ones on the other.
                    x => threshold.is_nan() || x <= threshold,
                };
                let (left, right) = (sums(&is_left), sums(&|row| !is_left(row)));
                if left.1.min(right.1) < limits.min_rows {
                    continue;
                }
                let gain = score(left.0) + score(right.0) - whole;
                if gain > limits.min_gain && best.as_ref().is_none_or(|best| gain > best.0 * (1.0 + 1e-6)) {
                    best = Some((gain, rows.iter().map(|row| is_left(*row)).collect()));
                }
            }
        }
    }
    best
}

/// The answers of a tree that is grown leaf by leaf by plain search.
fn plain_tree(x: &Encoded, width: usize, slopes: &[[f64; 2]], shape: &Shape) -> Vec<f64> {
    let mut leaves: Vec<Vec<usize>> = vec![(0..x.rows).collect()];
    while leaves.len() < shape.leaves {
        let found = leaves.iter().map(|rows| best(x, width, rows, slopes, &shape.limits)).enumerate();
        let found = found.filter_map(|(at, best)| Some((at, best?)));
        let Some((at, (_, left))) = found.max_by(|a, b| a.1.0.total_cmp(&b.1.0)) else { break };
        let rows = leaves.swap_remove(at);
        let side =
            |of: bool| rows.iter().zip(&left).filter(|(_, is_left)| **is_left == of).map(|(row, _)| *row).collect();
        leaves.extend([side(true), side(false)]);
    }
    let mut answers = vec![0.0; x.rows];
    for rows in leaves {
        let sum = |which: usize| rows.iter().map(|row| slopes[*row][which]).sum::<f64>();
        rows.iter().for_each(|row| answers[*row] = -sum(0) / (sum(1) + shape.limits.l2));
    }
    answers
}

fn binned(inputs: &Inputs, encoded: &Encoded, rows: &[u32], bins: usize) -> Arc<Binned> {
    Arc::new(Binned::fit(&Binning { inputs, ranks: &[], encoded, rows, bins, min_rows: 1, seed: 1 }))
}

#[test]
fn a_tree_is_that_of_a_search_over_every_threshold() {
    for (width, min_rows, l2, leaves) in [(1, 1, 0.0, 9), (3, 4, 0.0, 12), (5, 8, 1.5, 20), (4, 1, 0.3, 40)] {
        let encoded = rows(180, width);
        let inputs = Inputs::new(&numeric(width, &[]), 1).unwrap();
        let all: Vec<u32> = (0..180).collect();
        let slope = |row: u32| [f64::from(uniform(9, 2, row.into())) - 0.5, 1.0];
        let slopes: Vec<[f64; 2]> = all.iter().map(|row| slope(*row)).collect();
        let limits = Limits { min_rows, min_hessian: 0.0, l2, min_gain: 0.0 };
        let shape = Shape { leaves, max_depth: 100, limits, order: Growth::BestFirst };
        let mut grower = Grower::new(binned(&inputs, &encoded, &all, 255), shape);
        let sum = slopes.iter().map(|slope| slope[0].abs()).sum();
        let units = Units::new(sum, 180.0, 180);
        let pairs: Vec<u64> = slopes.iter().map(|slope| units.pack(slope[0] as f32, 1.0)).collect();
        let active = vec![true; grower.binned.features.len()];
        let (_, leaves) = grower.grow(&all, &pairs, units, Choice { active: &active, drawn: None });
        let expected = plain_tree(&encoded, width, &slopes, &shape);
        assert!(leaves.len() > 4);
        for leaf in leaves {
            let value = -(leaf.sums.gradient as f64 * units.gradient) / (leaf.sums.hessian as f64 * units.hessian + l2);
            for &row in &grower.rows[leaf.start..leaf.end] {
                let expected = expected[row as usize];
                assert!((value - expected).abs() < 1e-5, "{width} inputs, row {row}: {value} for {expected}");
            }
        }
    }
}

#[test]
fn bins_hold_every_value_or_as_many_rows_each() {
    assert_eq!(thresholds(vec![3.0, 1.0, 1.0, 2.0, -0.0, 0.0], 255), [0.5, 1.5, 2.5]);
    assert_eq!(thresholds(vec![7.0; 5], 255), [0.0; 0]);
    let close = thresholds(vec![1.0, 1.0 + f32::EPSILON], 255);
    assert!(close.len() == 1 && close[0] >= 1.0 && close[0] < 1.0 + f32::EPSILON);
    // A third of the rows has one value, which gets a bin of its own.
    let values: Vec<f32> = (0..9_000).map(|n| if n % 3 == 0 { 0.5 } else { uniform(1, 1, n) }).collect();
    for bins in [2, 16, 100, 255] {
        let thresholds = thresholds(values.clone(), bins);
        assert!(thresholds.len() < bins && thresholds.is_sorted());
        let mut counts = vec![0; bins];
        values.iter().for_each(|x| counts[thresholds.partition_point(|t| t < x)] += 1);
        counts.sort_unstable();
        let largest = counts[bins - 2];
        assert!(bins == 2 || (counts[bins - 1] == 3_000 && largest <= 2 * 6_000 / (bins - 2)), "{bins}: {counts:?}");
    }
}

#[test]
fn histograms_are_exact_sums_for_every_width() {
    for width in 1..40 {
        let columns: Vec<Vec<u8>> =
            (0..width).map(|c| (0..500).map(|row| Stream::new(1, c).bits(row) as u8).collect()).collect();
        let slopes: Vec<[i32; 2]> =
            (0..500).map(|row| [Stream::new(2, row).bits(0) as i32 >> 12, (row * 77 % 1000) as i32]).collect();
        let pairs: Vec<u64> = slopes.iter().map(|[g, h]| Sums::pack(*g, *h as u32)).collect();
        let all: Vec<u32> = (0..500).collect();
        let some: Vec<u32> = all.iter().copied().filter(|row| row % 3 == 0).collect();
        let of = |rows: &[u32]| rows.iter().map(|row| pairs[*row as usize]).collect::<Vec<_>>();
        let blocks = Block::divide(&columns, 500);
        assert_eq!(blocks.iter().map(|block| block.width).sum::<usize>(), columns.len());
        for block in blocks {
            let mut whole: Vec<Histogram> = vec![[0; 256]; block.width];
            let mut part = whole.clone();
            block.add(&all, &of(&all), &mut whole);
            block.add(&some, &of(&some), &mut part);
            subtract(&mut whole, &part);
            for (place, (rest, part)) in whole.iter().zip(&part).enumerate() {
                let column = &columns[block.first + place];
                for bin in 0..256 {
                    let sum = |is_some: bool| {
                        let rows = all
                            .iter()
                            .filter(|row| (**row % 3 == 0) == is_some && usize::from(column[**row as usize]) == bin);
                        rows.fold(Sums::default(), |sum, row| {
                            let [gradient, hessian] = slopes[*row as usize].map(i64::from);
                            sum.and(Sums { gradient, hessian })
                        })
                    };
                    assert_eq!((Sums::unpack(part[bin]), Sums::unpack(rest[bin])), (sum(true), sum(false)));
                }
            }
        }
    }
}

/// Puts training and validation rows into bins.
type Begin<'a> = dyn Fn(&TreeDesign, TreeRows, (&Encoded, &[u32])) -> Box<dyn Growing> + 'a;

/// A target of numbers, categories and missing values, and what trees make of it: the trees, the mean losses of the training
/// rows and what goes to the head for the validation rows.
fn grown(
    classes: usize,
    (loss, steps): (Loss, usize),
    design: &dyn Fn(&NumericPart, Head) -> TreeDesign,
    begin: &Begin,
) -> (Box<dyn Growing>, Vec<f64>, f64) {
    let count = 1_500;
    let encoded = rows(count, 3);
    let code = |row: usize| (Stream::new(3, 3).bits(row as u64) % 9) as i32;
    let encoded = Encoded { codes: (0..count).map(code).collect(), ..encoded };
    let part = NumericPart {
        categories: vec![CategoryInput::OneHot { name: "kind".into(), cardinality: 9 }],
        ..numeric(3, &[])
    };
    let answer = |row: usize| {
        let x = encoded.numbers[row * 3];
        let kind = [1.0, -2.0, 0.5, 3.0, -1.0, 0.0, 2.5, -0.5, 1.5][code(row) as usize];
        let value = if x.is_nan() { 2.0 } else { x * 0.5 } + kind + uniform(8, 8, row as u64);
        if classes == 0 { value } else { (value + 3.0).clamp(0.0, classes as f32 * 1.5 - 0.1).div_euclid(1.5) }
    };
    let values: Vec<f32> = (0..count).map(answer).collect();
    let target = target(classes);
    let head = Head::of(&target, loss).unwrap();
    let design = design(&part, head);
    let (all, held_out): (Vec<u32>, Vec<u32>) = ((0..1_200).collect(), (1_200..1_500).collect());
    let values = standardised(&values, &target);
    let training = TreeRows { encoded: &encoded, rows: &all, targets: values[..1_200].to_vec(), weights: vec![] };
    let mut growing = begin(&design, training, (&encoded, &held_out));
    let losses = (0..steps).map(|_| growing.step().unwrap()).collect();
    let weights = growing.ensemble().weights(design.inputs.rank_columns);
    let outputs = design.outputs(&weights, &encoded.take(&held_out)).unwrap();
    assert_eq!(outputs.len(), growing.held_out_outputs().len());
    for (output, held_out) in outputs.iter().zip(growing.held_out_outputs().iter()) {
        assert!((output - held_out).abs() < 1e-4, "raw values and bins lead to the same leaves: {output}, {held_out}");
    }
    let rows = outputs.chunks_exact(head.outputs).zip(&values[1_200..]);
    let held_out_loss =
        rows.map(|(outputs, value)| crate::net::row_loss(head, outputs, &[*value])).sum::<f64>() / 300.0;
    (growing, losses, held_out_loss)
}

fn boosted(spec: &GradientBoostingSpec, classes: usize, loss: Loss, seed: u64) -> (Box<dyn Growing>, Vec<f64>) {
    let design = |part: &NumericPart, head| TreeDesign::boosted(spec, part, head).unwrap();
    let (growing, losses, _) = grown(classes, (loss, spec.trees), &design, &|design, training, held_out| {
        Box::new(Booster::new((design, spec), training, held_out, seed))
    });
    (growing, losses)
}

fn forest(spec: &RandomForestSpec, classes: usize, seed: u64) -> (Box<dyn Growing>, f64) {
    let design = |part: &NumericPart, head| TreeDesign::forest(spec, part, head).unwrap();
    let (growing, _, loss) = grown(classes, (Loss::Auto, spec.trees), &design, &|design, training, held_out| {
        Box::new(Forest::new((design, spec), training, held_out, seed))
    });
    (growing, loss)
}

#[test]
fn the_mean_of_many_trees_is_better_than_one() {
    // Of 1,200 rows a single tree can learn nearly all but the noise; the mean of many comes closer.
    for (classes, most) in [(0, 0.07), (2, 0.3), (4, 0.6)] {
        let of = |trees| forest(&RandomForestSpec { trees, ..RandomForestSpec::default() }, classes, 3).1;
        let (one, many) = (of(1), of(60));
        assert!(many < 0.7 * one && many < most, "{classes} classes: {many}, one tree {one}");
    }
    let spec = RandomForestSpec { trees: 4, min_rows_per_leaf: 30, ..RandomForestSpec::default() };
    let leaves = |tree: &super::ensemble::Tree| tree.nodes.len().div_ceil(2);
    assert!(forest(&spec, 2, 1).0.ensemble().trees.iter().all(|tree| (3..=40).contains(&leaves(tree))));
    let flat = RandomForestSpec { max_depth: Some(2), ..spec };
    assert!(forest(&flat, 2, 1).0.ensemble().trees.iter().all(|tree| tree.depth() <= 2));
}

#[test]
fn every_loss_falls_from_tree_to_tree() {
    let spec = GradientBoostingSpec { trees: 40, bins: 60, ..GradientBoostingSpec::default() };
    let cases = [
        (0, Loss::Auto, 0.05),
        (0, Loss::MeanAbsoluteError, 0.25),
        (0, Loss::Huber(HuberSpec { delta: 0.5 }), 0.1),
        (0, Loss::Quantile(QuantileSpec { quantile: 0.8 }), 0.3),
        (2, Loss::Auto, 0.2),
        (2, Loss::CategoricalCrossEntropy, 0.2),
        (4, Loss::Auto, 0.3),
    ];
    for (classes, loss, most) in cases {
        let (_, losses) = boosted(&spec, classes, loss, 1);
        assert!(losses.is_sorted_by(|a, b| a >= b), "{classes} classes, {loss:?}: {losses:?}");
        let share = losses[39] / losses[0];
        assert!(share < most, "{classes} classes, {loss:?}: {share}");
    }
}

#[test]
fn the_threads_do_not_change_a_bit_and_the_seed_does() {
    let spec = GradientBoostingSpec {
        trees: 8,
        row_fraction: 0.7,
        feature_fraction: 0.6,
        min_rows_per_leaf: 3,
        ..GradientBoostingSpec::default()
    };
    for classes in [0, 2, 4] {
        let on = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| boosted(&spec, classes, Loss::Auto, seed).0.ensemble().clone())
        };
        let one = on(1, 4);
        assert!(one == on(2, 4) && one == on(3, 4));
        assert!(one != on(1, 5));
        let spec = RandomForestSpec { trees: 7, ..RandomForestSpec::default() };
        let on = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| forest(&spec, classes, seed).0.ensemble().clone())
        };
        let one = on(1, 4);
        assert!(one == on(2, 4) && one == on(3, 4));
        assert!(one != on(1, 5));
    }
}

#[test]
fn trees_survive_as_tensors_and_broken_ones_are_refused() {
    let spec = GradientBoostingSpec { trees: 5, ..GradientBoostingSpec::default() };
    let (booster, _) = boosted(&spec, 4, Loss::Auto, 1);
    let part = NumericPart {
        categories: vec![CategoryInput::OneHot { name: "kind".into(), cardinality: 9 }],
        ..numeric(3, &[])
    };
    let inputs = Inputs::new(&part, 4).unwrap();
    let weights = booster.ensemble().weights(4);
    let read = |weights: &crate::Weights| Ensemble::from_weights(weights, &inputs, 4);
    assert_eq!(&read(&weights).unwrap(), booster.ensemble());
    for name in weights.tensors.keys() {
        let mut fewer = weights.clone();
        fewer.tensors.remove(name);
        assert!(read(&fewer).unwrap_err().to_string().contains(name.as_str()));
        for value in [-1.0, 0.5, 1e9, f32::NAN] {
            let mut other = weights.clone();
            other.tensors.get_mut(name).unwrap().data[0] = value;
            // Some values are as good as others; no value leads out of the arrays.
            if let Ok(ensemble) = read(&other) {
                ensemble.sums(&inputs, &Encoded { codes: vec![8; 20], ..rows(20, 3) });
            }
        }
    }
}

#[test]
fn categories_are_in_the_order_of_their_means() {
    let part = NumericPart {
        categories: vec![CategoryInput::OneHot { name: "kind".into(), cardinality: 5 }],
        ..NumericPart::default()
    };
    let inputs = Inputs::new(&part, 1).unwrap();
    let encoded =
        Encoded { rows: 400, codes: (0..400).map(|row| [1, 2, 4, 3][row % 4]).collect(), ..Encoded::default() };
    let all: Vec<u32> = (0..400).collect();
    let ranks = Ranks::fit(&inputs, &encoded, &all, &|n, _| [0.4, -1.0, 2.0, 0.1][n % 4]);
    // Code 0 was never seen: it stands where the mean of all rows is.
    assert_eq!(ranks[0].places, [2.0, 3.0, 0.0, 1.0, 4.0]);
    assert_eq!((ranks[0].of(9, 1), ranks[0].of(-1, 1)), (&[4.0][..], &[2.0][..]));
}

#[test]
fn missing_values_go_where_they_gain_most_and_later_ones_with_the_most() {
    let node = |missing_left| BinnedNode { slot: 0, bin: 3, missing_left, left: 1, value: 0.0 };
    assert_eq!([0, 3, 4, 254, MISSING].map(|bin| node(false).is_left(bin)), [true, true, false, false, false]);
    assert_eq!([0, 3, 4, 254, MISSING].map(|bin| node(true).is_left(bin)), [true, true, false, false, true]);
    let inputs = Inputs::new(&numeric(1, &[]), 1).unwrap();
    let numbers: Vec<f32> = (0..100).map(|n| if n % 5 == 0 { f32::NAN } else { n as f32 }).collect();
    let limits = Limits { min_rows: 5, min_hessian: 0.0, l2: 0.0, min_gain: 0.0 };
    let grow = |numbers: Vec<f32>, answer: &dyn Fn(usize) -> f32| {
        let encoded = Encoded { rows: 100, numbers, ..Encoded::default() };
        let all: Vec<u32> = (0..100).collect();
        let mut grower = Grower::new(
            binned(&inputs, &encoded, &all, 255),
            Shape { leaves: 2, max_depth: 9, limits, order: Growth::BestFirst },
        );
        let units = Units::new(100.0, 100.0, 100);
        let pairs: Vec<u64> = (0..100).map(|row| units.pack(answer(row), 1.0)).collect();
        grower.grow(&all, &pairs, units, Choice { active: &[true], drawn: None }).0[0]
    };
    // Missing values are like large ones, like small ones, like no others, and never seen.
    let high = |row: usize| f32::from(row.is_multiple_of(5) || row >= 70);
    assert!(!grow(numbers.clone(), &high).missing_left);
    let low = |row: usize| f32::from(row.is_multiple_of(5) || row < 30);
    assert!(grow(numbers.clone(), &low).missing_left);
    let apart = grow(numbers, &|row| f32::from(row % 5 == 0));
    assert_eq!((apart.missing_left, apart.bin), (false, 79));
    let whole: Vec<f32> = (0..100).map(|n| n as f32).collect();
    assert!(grow(whole.clone(), &|row| f32::from(row >= 70)).missing_left);
    assert!(!grow(whole, &|row| f32::from(row >= 30)).missing_left);
}
