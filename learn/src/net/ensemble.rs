//! What becomes of the answers of several networks?
//!
//! One formula for all ways of combining: the sum of the members' answers, each times its weight, and a bias; for stacked
//! classes the softmax of that sum. Weights and bias are tensors beside those of the members, `member.N.NAME`.

use std::collections::BTreeMap;

use super::{Design, Head, HeadLoss, design};
use crate::features::NumericPart;
use crate::spec::{Combine, EnsembleSpec, Loss, MemberSpec, NetSpec, Takes};
use crate::{Error, Result, Target, Task, Tensor, Weights};

/// Networks of an ensemble.
const MEMBERS_MAX: usize = 64;
/// Names of the tensors of the combination.
const WEIGHTS: &str = "combine.weights";
const BIAS: &str = "combine.bias";
/// Rounds of greedy selection: the finest weight is one in so many.
const ROUNDS: usize = 50;
/// Keeps a logarithm of a probability finite.
const LEAST: f64 = 1e-7;

/// Several networks and how they are combined.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ensemble {
    pub(crate) members: Vec<Design>,
    pub(crate) combine: Combine,
    pub(crate) head: Head,
}

/// The designs of all members. Refuses ensembles of ensembles, and members that read texts or series in different ways.
pub(super) fn ensemble(spec: &EnsembleSpec, numeric: &NumericPart, head: Head) -> Result<Ensemble> {
    let count = spec.members.len();
    if !(1..=MEMBERS_MAX).contains(&count) {
        return Err(Error::invalid(format!("network.ensemble has {count} members, expected 1 to {MEMBERS_MAX}")));
    }
    let place = |at: usize| format!("network.ensemble.members[{at}]");
    let mut members = Vec::with_capacity(count);
    for (at, member) in spec.members.iter().enumerate() {
        if matches!(member.network, NetSpec::Ensemble(_)) {
            return Err(Error::invalid(format!("{} is an ensemble; an ensemble has networks", place(at))));
        }
        let is_ordered = !(numeric.texts.is_empty() && numeric.series.is_empty());
        if is_ordered && member.network.takes() == Takes::Numbers {
            let message = format!("{} reads no texts or series in order, other members do", place(at));
            return Err(Error::invalid(message));
        }
        let made = design(&member.network, numeric, head).map_err(|error| error.at(&place(at)))?;
        members.push(made);
    }
    Ok(Ensemble { members, combine: spec.combine, head })
}

impl Ensemble {
    /// The members' first weights, each of a seed of its own, and their mean.
    pub(crate) fn initial_weights(&self, seed: u64) -> Weights {
        let count = self.members.len();
        let members = self.members.iter().zip(0..).map(|(member, at)| member.initial_weights(seed.wrapping_add(at)));
        let weights = vec![1.0 / count as f32; count];
        Weights::ensemble(members.collect(), &Combination { weights, bias: 0.0, is_logits: false })
    }

    /// Refuses weights that are not this ensemble's.
    pub(crate) fn check(&self, weights: &Weights) -> Result<()> {
        Combination::read(weights, self.members.len(), self.combine)?;
        for (at, member) in self.members.iter().enumerate() {
            member.check(&weights.member(at)).map_err(|error| error.at(&format!("member {at}")))?;
        }
        let known = |name: &String| {
            name == WEIGHTS || name == BIAS || member_of(name).is_some_and(|at| at < self.members.len())
        };
        match weights.tensors.keys().find(|name| !known(name)) {
            Some(name) => {
                Err(Error::invalid(format!("these weights belong to another network: \"{name}\" is not in it")))
            }
            None => Ok(()),
        }
    }
}

/// The number of the member that a tensor belongs to.
fn member_of(name: &str) -> Option<usize> {
    name.strip_prefix("member.")?.split_once('.')?.0.parse().ok()
}

impl Weights {
    /// The tensors of member `at` of an ensemble, under the names that it has alone.
    pub(crate) fn member(&self, at: usize) -> Self {
        let prefix = format!("member.{at}.");
        let of = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor.clone()));
        Self { tensors: self.tensors.iter().filter_map(of).collect() }
    }

    /// The weights of an ensemble.
    pub(crate) fn ensemble(members: Vec<Self>, combination: &Combination) -> Self {
        let mut tensors = BTreeMap::new();
        for (at, member) in members.into_iter().enumerate() {
            tensors.extend(member.tensors.into_iter().map(|(name, tensor)| (format!("member.{at}.{name}"), tensor)));
        }
        let Combination { weights, bias, .. } = combination;
        tensors.insert(WEIGHTS.into(), Tensor { shape: vec![weights.len()], data: weights.clone() });
        tensors.insert(BIAS.into(), Tensor { shape: vec![1], data: vec![*bias] });
        Self { tensors }
    }
}

/// How the members' answers are combined: learned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Combination {
    /// What each member counts, at least 0.
    pub(crate) weights: Vec<f32>,
    /// Added to the sum; values only.
    pub(crate) bias: f32,
    /// Whether the sum is that of logits, where there are classes.
    pub(crate) is_logits: bool,
}

impl Combination {
    /// Of the tensors of an ensemble.
    pub(crate) fn read(weights: &Weights, members: usize, combine: Combine) -> Result<Self> {
        let (each, bias) = (weights.get(WEIGHTS)?, weights.get(BIAS)?);
        if each.shape != [members] || bias.shape != [1] {
            let found = &each.shape;
            return Err(Error::invalid(format!("\"{WEIGHTS}\" is {found:?}, the ensemble has {members} members")));
        }
        Ok(Self { weights: each.data.clone(), bias: bias.data[0], is_logits: combine == Combine::Stacking })
    }

    /// Learns it from the members' answers for the validation rows (each `[rows, classes]` or `[rows]`) and their truth,
    /// class numbers or values.
    pub(crate) fn fit(combine: Combine, target: &Target, loss: HeadLoss, answers: &[Vec<f32>], truth: &[f32]) -> Self {
        let count = answers.len();
        let is_values = target.task == Task::Regression;
        let plain = |weights: Vec<f64>| Self {
            weights: weights.into_iter().map(|weight| weight as f32).collect(),
            bias: 0.0,
            is_logits: combine == Combine::Stacking,
        };
        match combine {
            Combine::Mean => plain(vec![1.0 / count as f64; count]),
            Combine::Weighted => {
                let classes = if is_values { 1 } else { target.labels.len() };
                plain(greedy(answers, &|sum, share| mean_loss(loss, is_values, classes, sum, share, truth)))
            }
            Combine::Stacking if is_values => {
                let (weights, bias) = stacked_values(answers, truth);
                Self { bias: bias as f32, ..plain(weights) }
            }
            Combine::Stacking => plain(stacked_classes(answers, truth, target.labels.len())),
        }
    }

    /// The combined answers, from those of the members.
    pub(crate) fn apply(&self, target: &Target, answers: &[Vec<f32>]) -> Vec<f32> {
        let mut sum = vec![0.0; answers.first().map_or(0, Vec::len)];
        for (answers, weight) in answers.iter().zip(&self.weights).filter(|(_, weight)| **weight != 0.0) {
            sum.iter_mut().zip(answers).for_each(|(sum, answer)| *sum += answer * weight);
        }
        match target.task {
            Task::Regression => sum.iter_mut().for_each(|sum| *sum += self.bias),
            _ if self.is_logits => crate::kernels::softmax_rows(&mut sum, target.labels.len()),
            _ => {}
        }
        sum
    }
}

/// A network that was trained alone, and its answers for the validation rows.
#[derive(Debug, Clone)]
pub struct Alone {
    /// The network and its training.
    pub member: MemberSpec,
    /// Its weights.
    pub weights: Weights,
    /// `[rows, classes]` probabilities or `[rows]` values.
    pub answers: Vec<f32>,
}

/// Networks put together: an ensemble, or one of them where no other makes its answers better.
#[derive(Debug, Clone)]
pub struct Together {
    /// The network.
    pub network: NetSpec,
    /// Its weights.
    pub weights: Weights,
    /// Its answers for the validation rows.
    pub answers: Vec<f32>,
    /// What each of the networks counts; 0 for those that were left out.
    pub shares: Vec<f32>,
}

/// Puts networks together whose answers for the validation rows, weighted by greedy selection, come closest to `truth`
/// (class numbers or values); those that do not help are left out.
///
/// # Errors
/// No network at all, or answers of another number of rows.
pub fn together(target: &Target, loss: Loss, networks: &[Alone], truth: &[f32]) -> Result<Together> {
    let head = Head::of(target, loss)?;
    let width = target.labels.len().max(1);
    if networks.is_empty() || networks.iter().any(|one| one.answers.len() != truth.len() * width) {
        return Err(Error::invalid("networks to put together need answers for all validation rows"));
    }
    let answers: Vec<Vec<f32>> = networks.iter().map(|one| one.answers.clone()).collect();
    let combination = Combination::fit(Combine::Weighted, target, head.loss, &answers, truth);
    let shares = combination.weights.clone();
    let kept: Vec<usize> = (0..networks.len()).filter(|at| shares[*at] > 0.0).collect();
    if let [one] = kept.as_slice() {
        let Alone { member, weights, answers } = networks[*one].clone();
        return Ok(Together { network: member.network, weights, answers, shares });
    }
    let of_kept = Combination { weights: kept.iter().map(|at| shares[*at]).collect(), ..combination.clone() };
    let members = kept.iter().map(|at| networks[*at].member.clone()).collect();
    let weights = Weights::ensemble(kept.iter().map(|at| networks[*at].weights.clone()).collect(), &of_kept);
    let network = NetSpec::Ensemble(EnsembleSpec { members, combine: Combine::Weighted });
    Ok(Together { network, weights, answers: combination.apply(target, &answers), shares })
}

/// Greedy selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of
/// models", ICML 2004): members are added to a mean one by one, each time the one that makes it best; the best of all these
/// means is kept. `loss` judges a sum of answers times a share, lower is better. Gives the weights, of sum 1.
pub(crate) fn greedy(answers: &[Vec<f32>], loss: &dyn Fn(&[f64], f64) -> f64) -> Vec<f64> {
    let length = answers.first().map_or(0, Vec::len);
    let (mut sum, mut counts) = (vec![0.0_f64; length], vec![0_usize; answers.len()]);
    let (mut best, mut best_counts) = (f64::INFINITY, counts.clone());
    let mut tried = vec![0.0; length];
    for round in 1..=ROUNDS {
        let mut found: Option<(f64, usize)> = None;
        for (at, member) in answers.iter().enumerate() {
            tried.iter_mut().zip(&sum).zip(member).for_each(|((tried, sum), x)| *tried = sum + f64::from(*x));
            let value = loss(&tried, 1.0 / round as f64);
            if found.is_none_or(|(least, _)| value < least) {
                found = Some((value, at));
            }
        }
        let Some((value, at)) = found else { break };
        sum.iter_mut().zip(&answers[at]).for_each(|(sum, x)| *sum += f64::from(*x));
        counts[at] += 1;
        if value < best {
            (best, best_counts) = (value, counts.clone());
        }
    }
    let all = best_counts.iter().sum::<usize>();
    if all == 0 {
        return vec![1.0 / answers.len() as f64; answers.len()];
    }
    best_counts.into_iter().map(|count| count as f64 / all as f64).collect()
}

/// Mean loss of `sum * share`: the log loss of classes, the absolute or squared error of values.
fn mean_loss(loss: HeadLoss, is_values: bool, classes: usize, sum: &[f64], share: f64, truth: &[f32]) -> f64 {
    let rows = sum.chunks_exact(classes).zip(truth);
    let one = |(row, truth): (&[f64], &f32)| match loss {
        _ if !is_values => -(row[*truth as usize] * share).max(LEAST).ln(),
        HeadLoss::AbsoluteError => (row[0] * share - f64::from(*truth)).abs(),
        HeadLoss::Quantile { quantile } => {
            let (rest, quantile) = (f64::from(*truth) - row[0] * share, f64::from(quantile));
            (quantile * rest).max((quantile - 1.0) * rest)
        }
        _ => (row[0] * share - f64::from(*truth)).powi(2),
    };
    rows.map(one).sum::<f64>() / truth.len().max(1) as f64
}

/// Linear regression of the truth on the members' values, no weight below 0 (Breiman, "Stacked regressions", 1996).
fn stacked_values(answers: &[Vec<f32>], truth: &[f32]) -> (Vec<f64>, f64) {
    let mean = |values: &[f32]| values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len().max(1) as f64;
    let (means, middle) = (answers.iter().map(|values| mean(values)).collect::<Vec<_>>(), mean(truth));
    let count = answers.len();
    let product = |a: &[f32], a_mean: f64, b: &[f32], b_mean: f64| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - a_mean) * (f64::from(*b) - b_mean)).sum::<f64>()
    };
    let mut matrix = vec![vec![0.0; count]; count];
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            *cell = product(&answers[i], means[i], &answers[j], means[j]);
        }
    }
    let right: Vec<f64> = (0..count).map(|i| product(&answers[i], means[i], truth, middle)).collect();
    let weights = nonnegative(&matrix, &right, vec![1.0 / count as f64; count]);
    let bias = middle - weights.iter().zip(&means).map(|(weight, mean)| weight * mean).sum::<f64>();
    (weights, bias)
}

/// The least of `w A w / 2 - b w` over `w >= 0`, by coordinates, from `start`; A is symmetric and positive semidefinite.
fn nonnegative(matrix: &[Vec<f64>], right: &[f64], start: Vec<f64>) -> Vec<f64> {
    let mut weights = start;
    for _ in 0..2_000 {
        let mut moved = 0.0_f64;
        for i in 0..weights.len() {
            if matrix[i][i] <= 0.0 {
                continue;
            }
            let sum: f64 = matrix[i].iter().zip(&weights).map(|(a, w)| a * w).sum();
            let next = (weights[i] + (right[i] - sum) / matrix[i][i]).max(0.0);
            moved = moved.max((next - weights[i]).abs());
            weights[i] = next;
        }
        if moved < 1e-9 {
            break;
        }
    }
    weights
}

/// Logistic regression of the class on the members' probabilities, one weight per member, none below 0: the logit of a class
/// is the sum of its probabilities times the weights. Newton's method; a small ridge keeps the weights finite where the
/// members make no errors.
fn stacked_classes(answers: &[Vec<f32>], truth: &[f32], classes: usize) -> Vec<f64> {
    const RIDGE: f64 = 1e-2;
    let count = answers.len();
    let mut weights = vec![4.0 / count as f64; count];
    let mut current = class_terms(answers, truth, classes, &weights, RIDGE);
    for _ in 0..50 {
        let (value, gradient, hessian) = &current;
        let product = |i: usize| hessian[i].iter().zip(&weights).map(|(h, w)| h * w).sum::<f64>();
        let right: Vec<f64> = (0..count).map(|i| product(i) - gradient[i]).collect();
        let aim = nonnegative(hessian, &right, weights.clone());
        // The whole step, or half of it, and so on, until it is one downwards.
        let mut share = 1.0;
        let found = loop {
            let next: Vec<f64> = weights.iter().zip(&aim).map(|(w, aim)| w + share * (aim - w)).collect();
            let terms = class_terms(answers, truth, classes, &next, RIDGE);
            if terms.0 < *value {
                break Some((next, terms));
            }
            share /= 2.0;
            if share < 1e-6 {
                break None;
            }
        };
        let Some((next, terms)) = found else { break };
        let gain = value - terms.0;
        (weights, current) = (next, terms);
        if gain < 1e-10 * current.0.abs() {
            break;
        }
    }
    weights
}

/// Log loss with the ridge, its gradient and its second derivatives by the weights.
fn class_terms(
    answers: &[Vec<f32>],
    truth: &[f32],
    classes: usize,
    weights: &[f64],
    ridge: f64,
) -> (f64, Vec<f64>, Vec<Vec<f64>>) {
    let count = answers.len();
    let mut value = weights.iter().map(|w| 0.5 * ridge * w * w).sum::<f64>();
    let mut gradient: Vec<f64> = weights.iter().map(|w| ridge * w).collect();
    let mut hessian = vec![vec![0.0; count]; count];
    (0..count).for_each(|i| hessian[i][i] = ridge);
    let mut shares = vec![0.0; classes];
    let mut means = vec![0.0; count];
    for (row, truth) in truth.iter().enumerate() {
        let of = |member: usize, class: usize| f64::from(answers[member][row * classes + class]);
        let logit = |class: usize| (0..count).map(|member| weights[member] * of(member, class)).sum::<f64>();
        shares.iter_mut().enumerate().for_each(|(class, share)| *share = logit(class));
        let top = shares.iter().fold(f64::NEG_INFINITY, |top, x| top.max(*x));
        let right = shares[*truth as usize] - top;
        shares.iter_mut().for_each(|share| *share = (*share - top).exp());
        let sum: f64 = shares.iter().sum();
        value += sum.ln() - right;
        shares.iter_mut().for_each(|share| *share /= sum);
        for (member, mean) in means.iter_mut().enumerate() {
            *mean = (0..classes).map(|class| shares[class] * of(member, class)).sum();
            gradient[member] += *mean - of(member, *truth as usize);
        }
        for i in 0..count {
            for j in 0..count {
                let product: f64 = (0..classes).map(|class| shares[class] * of(i, class) * of(j, class)).sum();
                hessian[i][j] += product - means[i] * means[j];
            }
        }
    }
    (value, gradient, hessian)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::target;

    /// Answers of a member that is right about so many of ten rows, of two classes.
    fn member(right: usize, sure: f32) -> Vec<f32> {
        let row = |row: usize| {
            let p = if row < right { sure } else { 1.0 - sure };
            if row.is_multiple_of(2) { [p, 1.0 - p] } else { [1.0 - p, p] }
        };
        (0..10).flat_map(row).collect()
    }

    fn truth() -> Vec<f32> {
        (0..10).map(|row| (row % 2) as f32).collect()
    }

    fn loss(combine: Combine, answers: &[Vec<f32>]) -> f64 {
        let target = target(2);
        let combination = Combination::fit(combine, &target, HeadLoss::CrossEntropy, answers, &truth());
        assert!(combination.weights.iter().all(|weight| *weight >= 0.0), "{combination:?}");
        let combined: Vec<f64> = combination.apply(&target, answers).into_iter().map(f64::from).collect();
        assert!(combined.chunks(2).all(|row| (row[0] + row[1] - 1.0).abs() < 1e-6));
        mean_loss(HeadLoss::CrossEntropy, false, 2, &combined, 1.0, &truth())
    }

    #[test]
    fn learned_weights_are_better_than_the_mean_and_than_the_best_member() {
        // The first two are wrong about different rows, the third about most.
        let mut second = member(8, 0.9);
        second.rotate_right(4);
        let answers = [member(8, 0.9), second, member(3, 0.8)];
        let alone = answers.iter().map(|one| loss(Combine::Mean, std::slice::from_ref(one))).fold(f64::MAX, f64::min);
        let [mean, weighted, stacked] =
            [Combine::Mean, Combine::Weighted, Combine::Stacking].map(|combine| loss(combine, &answers));
        assert!(weighted < mean && weighted < alone, "{weighted} {mean} {alone}");
        assert!(stacked < weighted, "{stacked} {weighted}");
    }

    #[test]
    fn greedy_selection_takes_the_best_member_alone_where_no_other_helps() {
        let weights = greedy(&[member(10, 0.9), member(4, 0.9)], &|sum, share| {
            mean_loss(HeadLoss::CrossEntropy, false, 2, sum, share, &truth())
        });
        assert_eq!(weights, [1.0, 0.0]);
    }

    #[test]
    fn values_are_stacked_by_a_regression_without_negative_weights() {
        let truth: Vec<f32> = (0..50).map(|n| (n * 7 % 50) as f32).collect();
        let noise = |n: usize, step: usize| ((n * step % 17) as f32 - 8.0) / 4.0;
        // truth = 2 a + 10 where a = (truth - 10) / 2, with small errors; b has nothing to do with it.
        let a: Vec<f32> = truth.iter().enumerate().map(|(n, y)| (y - 10.0) / 2.0 + 0.1 * noise(n, 5)).collect();
        let b: Vec<f32> = truth.iter().enumerate().map(|(n, y)| -y + noise(n, 3)).collect();
        let target = target(0);
        let answers = [a, b];
        let found = Combination::fit(Combine::Stacking, &target, HeadLoss::SquaredError, &answers, &truth);
        assert!((found.weights[0] - 2.0).abs() < 0.1 && found.weights[1] == 0.0, "{found:?}");
        assert!((found.bias - 10.0).abs() < 1.0, "{found:?}");
        let combined = found.apply(&target, &answers);
        let largest = combined.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1.0, "{largest}");
    }

    #[test]
    fn weights_are_those_of_the_members_under_their_number() {
        let tensor = |x: f32| Tensor { shape: vec![1], data: vec![x] };
        let one = |x: f32| Weights { tensors: [("dense.0.bias".to_owned(), tensor(x))].into() };
        let combination = Combination { weights: vec![0.25, 0.75], bias: 0.5, is_logits: false };
        let all = Weights::ensemble(vec![one(1.0), one(2.0)], &combination);
        assert_eq!((all.member(0), all.member(1)), (one(1.0), one(2.0)));
        assert_eq!(Combination::read(&all, 2, Combine::Mean).unwrap(), combination);
        assert!(Combination::read(&all, 3, Combine::Mean).is_err());
    }
}
