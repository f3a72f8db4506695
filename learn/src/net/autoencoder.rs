//! Networks that give back what they were given through a narrow code, and know rows of another kind by what they fail to
//! give back (Hinton and Salakhutdinov 2006; Sakurada and Yairi 2014).

use super::plan::{Builder, Plan};
use super::{Head, HeadActivation, HeadLoss, tabular};
use crate::features::NumericPart;
use crate::spec::AutoencoderSpec;
use crate::{Error, Result, Weights};

/// What becomes of the logarithm of the error, `scale * ln(error) + offset`: fitted when all else is learned.
const SCALE: &str = "score.scale";
const OFFSET: &str = "score.offset";

/// An encoder, a code, and a decoder that is the encoder's mirror image. Its output is the logit of the second class.
pub(super) fn autoencoder(spec: &AutoencoderSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.autoencoder", &spec.hidden, spec.dropout)?;
    super::check_hidden("network.autoencoder.code", &[spec.code], spec.noise)?;
    check_head(head)?;
    check_columns(numeric)?;
    let mut plan = Builder::new(numeric);
    let given = tabular::everything(&mut plan)?;
    let mut value = plan.dropout(given, spec.noise);
    let encoder = spec.hidden.iter().copied().map(|units| (units, true)).chain([(spec.code, false)]);
    let decoder = spec.hidden.iter().rev().copied().map(|units| (units, true));
    for (number, (units, is_hidden)) in encoder.chain(decoder).enumerate() {
        value = plan.linear(&format!("dense.{number}"), value, units, is_hidden.then_some(spec.activation))?;
        if is_hidden {
            value = plan.dropout(value, spec.dropout);
        }
    }
    let width = plan.shape(given).iter().product();
    let back = plan.linear("output", value, width, None)?;
    plan.reconstruction(given, back, [SCALE, OFFSET]);
    plan.end(Head { loss: HeadLoss::Reconstruction, smoothing: 0.0, ..head })
}

fn check_head(head: Head) -> Result<()> {
    if head.activation != HeadActivation::Sigmoid {
        return Err(Error::invalid(
            "network autoencoder tells usual rows from unusual ones: its target needs two classes",
        ));
    }
    if head.loss != HeadLoss::CrossEntropy || head.smoothing > 0.0 {
        return Err(Error::invalid(
            "network autoencoder learns by the squared error of what it gives back: leave out train.loss and \
             train.label_smoothing",
        ));
    }
    Ok(())
}

/// Learned vectors would be learned to be all the same, which is easy to give back.
fn check_columns(numeric: &NumericPart) -> Result<()> {
    if let Some(column) = numeric.embedded().next() {
        let name = &column.name;
        return Err(Error::invalid(format!(
            "network autoencoder cannot give back the learned vectors of column \"{name}\": set \
             features.columns.{name}.category.encode to one_hot, or exclude it"
        )));
    }
    if let Some(text) = numeric.texts.first() {
        return Err(Error::invalid(format!(
            "network autoencoder cannot give back the words of column \"{}\": exclude it, or encode it by tf_idf",
            text.name
        )));
    }
    Ok(())
}

/// Sets the score to the plain logarithm of the error, as training needs it.
pub(crate) fn reset_score(weights: &mut Weights) {
    set_score(weights, [1.0, 0.0]);
}

fn set_score(weights: &mut Weights, values: [f32; 2]) {
    for (name, value) in [SCALE, OFFSET].into_iter().zip(values) {
        if let Some(tensor) = weights.tensors.get_mut(name) {
            tensor.data.fill(value);
        }
    }
}

/// Share of the usual validation rows that are to pass as usual where no unusual one is known.
const USUAL: f64 = 0.99;

/// Makes the scores logits of the second class: by a logistic regression (Platt 1999) of the classes of validation rows on the
/// logarithms of their errors, or, where all of them are of the class `usual`, so that 99 in 100 of them pass.
pub(crate) fn calibrate(weights: &mut Weights, scores: &[f32], classes: &[f32], usual: f32) {
    let rows: Vec<(f64, f64)> = scores.iter().zip(classes).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
    let count = rows.len().max(1) as f64;
    let mean = rows.iter().map(|row| row.0).sum::<f64>() / count;
    let deviation = (rows.iter().map(|row| (row.0 - mean).powi(2)).sum::<f64>() / count).sqrt().max(1e-6);
    let [slope, level] = if rows.iter().all(|row| row.1 == f64::from(usual)) {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f32::total_cmp);
        let last = sorted.get(((count * USUAL) as usize).min(sorted.len().saturating_sub(1)));
        let border = last.map_or(0.0, |x| (f64::from(*x) - mean) / deviation);
        let sign = if usual == 0.0 { 1.0 } else { -1.0 };
        [sign, -sign * border]
    } else {
        let standard: Vec<(f64, f64)> = rows.iter().map(|(x, y)| ((x - mean) / deviation, *y)).collect();
        logistic(&standard)
    };
    set_score(weights, [(slope / deviation) as f32, (level - slope * mean / deviation) as f32]);
}

/// Steps of Newton's method; it has converged long before.
const NEWTON_STEPS: usize = 50;
/// Pulls the slope to 0 a little, so that classes without overlap have one too.
const RIDGE: f64 = 1e-3;

/// Slope and level of the logistic regression of `y` (0 or 1) on `x`.
fn logistic(rows: &[(f64, f64)]) -> [f64; 2] {
    let [mut slope, mut level] = [0.0, 0.0];
    for _ in 0..NEWTON_STEPS {
        let (mut gradient, mut hessian) = ([RIDGE * slope, 0.0], [RIDGE, 0.0, 0.0]);
        for (x, y) in rows {
            let p = 1.0 / (1.0 + (-(slope * x + level)).exp());
            let (error, weight) = (p - y, p * (1.0 - p));
            gradient = [gradient[0] + error * x, gradient[1] + error];
            hessian = [hessian[0] + weight * x * x, hessian[1] + weight * x, hessian[2] + weight];
        }
        let [xx, x, one] = hessian;
        let determinant = xx * one - x * x;
        if determinant <= f64::EPSILON * xx * one {
            break;
        }
        // At most 3 at a time: far from the answer a whole step can leave it behind.
        let step = |value: f64| value.clamp(-3.0, 3.0);
        slope -= step((one * gradient[0] - x * gradient[1]) / determinant);
        level -= step((xx * gradient[1] - x * gradient[0]) / determinant);
    }
    [slope, level]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn fitted(scores: &[f32], classes: &[f32], usual: f32) -> [f32; 2] {
        let tensor = || Tensor { shape: vec![1], data: vec![0.0] };
        let mut weights = Weights::default();
        weights.tensors.insert(SCALE.into(), tensor());
        weights.tensors.insert(OFFSET.into(), tensor());
        calibrate(&mut weights, scores, classes, usual);
        [SCALE, OFFSET].map(|name| weights.tensors[name].data[0])
    }

    #[test]
    fn scores_become_logits_of_the_second_class() {
        // scikit-learn 1.9: LogisticRegression(C=1e12) on these rows.
        let scores = [-3.0, -2.5, -1.0, 0.5, -0.5, 1.0, 2.0, 2.5];
        let classes = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let [scale, offset] = fitted(&scores, &classes, 0.0);
        assert!((scale - EXPECTED[0]).abs() < 0.02 && (offset - EXPECTED[1]).abs() < 0.02, "{scale} {offset}");
        let turned: Vec<f32> = classes.iter().map(|class| 1.0 - class).collect();
        let [other_scale, other_offset] = fitted(&scores, &turned, 1.0);
        assert!((scale + other_scale).abs() < 1e-4 && (offset + other_offset).abs() < 1e-4);
    }

    const EXPECTED: [f32; 2] = [1.4277, 0.0468];

    #[test]
    fn classes_without_overlap_have_a_finite_slope() {
        let [scale, offset] = fitted(&[-2.0, -1.0, 1.0, 2.0], &[0.0, 0.0, 1.0, 1.0], 0.0);
        assert!(scale.is_finite() && scale > 1.0 && offset.abs() < 1e-3, "{scale} {offset}");
    }

    #[test]
    fn where_all_are_usual_one_in_a_hundred_is_not() {
        let scores: Vec<f32> = (0..1_000).map(|n| n as f32 / 100.0).collect();
        for usual in [0.0, 1.0] {
            let [scale, offset] = fitted(&scores, &[usual; 1_000], usual);
            let alarms = scores.iter().filter(|x| (scale * **x + offset > 0.0) == (usual == 0.0)).count();
            assert!((9..=10).contains(&alarms), "{alarms}");
        }
    }
}
