//! Evaluate: the finished model on validation and test rows, beside a trivial one, and what its answers rest on.

use learn::evaluate::{Evaluation, Importance, Worst, best_f1_threshold, evaluate as score, main_metric, permutation_importance, worst};
use learn::spec::Threshold;
use learn::{Model, Predictions, Task, Trained};
use std::time::Instant;

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};

use super::prepare::{Prepared, Set};

/// Largest difference between the network's and the ONNX file's answers: probabilities, and values in units of the
/// target's spread.
const TOLERANCE: f64 = 1e-5;

/// The finished model and how it did.
pub(crate) struct Judged {
    pub model: Model,
    pub validation: Evaluation,
    pub test: Evaluation,
    pub importance: Vec<Importance>,
    pub worst: Vec<Worst>,
    /// Microseconds per row, in batches.
    pub predict_microseconds_per_row: f64,
    /// Largest difference found between network and ONNX file.
    pub difference: f64,
    main: &'static str,
}

impl Judged {
    pub(super) fn describe(&self) -> String {
        let figure = |of: &std::collections::BTreeMap<String, f64>| of.get(self.main).copied().unwrap_or(f64::NAN);
        let (main, validation) = (self.main, figure(&self.validation.metrics));
        let (test, baseline) = (figure(&self.test.metrics), figure(&self.test.baseline));
        format!("test {main} {test:.4}, validation {validation:.4}, a trivial model {baseline:.4}")
    }
}

pub(super) fn evaluate(spec: &ModelSpec, prepared: &Prepared, trained: &Trained) -> Result<Judged> {
    let Prepared { features, target, .. } = prepared;
    let model = Model::build(features.clone(), target.clone(), &spec.network, &spec.train, &trained.weights, None)?;
    let difference = agreement(spec, prepared, trained, &model)?;
    let on_validation = model.predict_encoded(&prepared.validation.encoded)?;
    let threshold = match (target.task, spec.evaluate.threshold) {
        (Task::Binary, Threshold::At(threshold)) => Some(threshold as f32),
        (Task::Binary, Threshold::BestF1) => Some(best_f1_threshold(&on_validation, &prepared.validation.truth)),
        (Task::Binary, Threshold::Auto) => Some(0.5),
        _ => None,
    };
    let model = match threshold {
        Some(_) => Model::build(features.clone(), target.clone(), &spec.network, &spec.train, &trained.weights, threshold)?,
        None => model,
    };
    let began = Instant::now();
    let on_test = model.predict_encoded(&prepared.test.encoded)?;
    let predict_microseconds_per_row = began.elapsed().as_secs_f64() * 1e6 / prepared.test.len().max(1) as f64;
    let on_validation = model.predict_encoded(&prepared.validation.encoded)?;
    let importance = importance(spec, &model, &prepared.test)?;
    Ok(Judged {
        validation: score(&on_validation, target, &prepared.validation.truth)?,
        test: score(&on_test, target, &prepared.test.truth)?,
        importance,
        worst: worst(&on_test, &prepared.test.truth, spec.evaluate.worst_max),
        predict_microseconds_per_row,
        difference,
        main: main_metric(target.task).0,
        model,
    })
}

fn importance(spec: &ModelSpec, model: &Model, test: &Set) -> Result<Vec<Importance>> {
    let rows_max = spec.evaluate.importance_rows_max;
    if rows_max == 0 {
        return Ok(Vec::new());
    }
    Ok(permutation_importance(model, &test.encoded, &test.truth, spec.train.seed, rows_max)?)
}

/// A version is registered only if its ONNX file gives the network's answers on rows it was not trained on.
fn agreement(spec: &ModelSpec, prepared: &Prepared, trained: &Trained, model: &Model) -> Result<f64> {
    let rows: Vec<u32> = (0..prepared.test.len().min(1_000) as u32).collect();
    let held_out = prepared.test.encoded.take(&rows);
    let network: Predictions =
        learn::network_answers(prepared.features.numeric(), &prepared.target, &spec.network, &spec.train, &trained.weights, &held_out)?;
    let difference = learn::agreement(&model.predict_encoded(&held_out)?, &network, &prepared.target)?;
    if difference <= TOLERANCE {
        return Ok(difference);
    }
    let message = format!("the ONNX file and the network differ by {difference:e} on held-out rows, {TOLERANCE:e} is allowed");
    Err(Failure::new(Fault::Ours, message))
}
