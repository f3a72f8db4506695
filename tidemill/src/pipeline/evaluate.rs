//! Evaluate: the finished model on validation and test rows, beside a trivial one, and what its answers rest on.

use std::collections::BTreeMap;
use std::time::Instant;

use learn::evaluate::{Importance, Worst, best_f1_threshold, main_metric, permutation_importance, worst};
use learn::spec::Threshold;
use learn::{Evaluation, Features, Model, Predictions, Target, Task, Trained};

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};

use super::prepare::{Prepared, Set};

/// Held-out rows on which the ONNX file must give the network's answers.
const AGREEMENT_ROWS: usize = 1_000;

/// The finished model and how it did.
pub(crate) struct Judged {
    /// The ONNX file.
    pub onnx: Vec<u8>,
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
    /// Figures by part and name.
    pub(super) fn metrics(&self) -> BTreeMap<&'static str, BTreeMap<String, f64>> {
        BTreeMap::from([("test", self.test.metrics.clone()), ("validation", self.validation.metrics.clone())])
    }

    pub(super) fn describe(&self) -> String {
        let figure = |of: &BTreeMap<String, f64>| of.get(self.main).copied().unwrap_or(f64::NAN);
        let (main, validation) = (self.main, figure(&self.validation.metrics));
        let (test, baseline) = (figure(&self.test.metrics), figure(&self.test.baseline));
        format!("test {main} {test:.4}, validation {validation:.4}, a trivial model {baseline:.4}")
    }
}

pub(super) fn evaluate(spec: &ModelSpec, prepared: &Prepared, trained: &Trained) -> Result<Judged> {
    let Prepared { features, target, validation, test, .. } = prepared;
    let Finished { model, onnx, on_validation } = finish(spec, features, target, trained, validation)?;
    let difference = agreement(spec, prepared, trained, &model)?;
    let began = Instant::now();
    let on_test = model.predict_encoded(&test.encoded)?;
    let predict_microseconds_per_row = began.elapsed().as_secs_f64() * 1e6 / test.len().max(1) as f64;
    let importance = match spec.evaluate.importance_rows_max {
        0 => Vec::new(),
        rows_max => permutation_importance(&model, &test.encoded, &test.truth, spec.train.seed, rows_max)?,
    };
    Ok(Judged {
        validation: learn::evaluate(&on_validation, target, &validation.truth)?,
        test: learn::evaluate(&on_test, target, &test.truth)?,
        importance,
        worst: worst(&on_test, target, &test.truth, spec.evaluate.worst_max),
        predict_microseconds_per_row,
        difference,
        main: main_metric(target.task).0,
        onnx,
    })
}

/// A trained model that answers, and its answers on the validation rows.
pub(super) struct Finished {
    pub(super) model: Model,
    pub(super) onnx: Vec<u8>,
    pub(super) on_validation: Predictions,
}

/// From weights to the model that is served, with the threshold that the spec asks for.
pub(super) fn finish(
    spec: &ModelSpec,
    features: &Features,
    target: &Target,
    trained: &Trained,
    validation: &Set,
) -> Result<Finished> {
    let build = |threshold: Option<f32>| -> Result<(Model, Vec<u8>)> {
        let loss = spec.train.loss;
        let onnx = learn::export_onnx(features, target, &spec.network, loss, &trained.weights, threshold)?;
        Ok((Model::from_parts(features.clone(), target.clone(), &onnx)?, onnx))
    };
    let (mut model, mut onnx) = build(None)?;
    let mut on_validation = model.predict_encoded(&validation.encoded)?;
    if let Some(threshold) = threshold(spec, target.task, &on_validation, &validation.truth) {
        (model, onnx) = build(Some(threshold))?;
        on_validation = model.predict_encoded(&validation.encoded)?;
    }
    Ok(Finished { model, onnx, on_validation })
}

/// Of two classes, the probability from which the second is answered; chosen on validation rows only.
fn threshold(spec: &ModelSpec, task: Task, on_validation: &Predictions, truth: &[f32]) -> Option<f32> {
    if task != Task::Binary {
        return None;
    }
    match spec.evaluate.threshold {
        Threshold::Auto => None,
        Threshold::At(threshold) => Some(threshold as f32),
        Threshold::BestF1 => {
            let second: Vec<f32> =
                (0..truth.len()).filter_map(|row| on_validation.probabilities(row)?.get(1).copied()).collect();
            Some(best_f1_threshold(&second, truth))
        }
    }
}

/// A version is registered only if its ONNX file gives the network's answers on rows it was not trained on.
fn agreement(spec: &ModelSpec, prepared: &Prepared, trained: &Trained, model: &Model) -> Result<f64> {
    let rows: Vec<u32> = (0..prepared.test.len().min(AGREEMENT_ROWS) as u32).collect();
    let held_out = prepared.test.encoded.take(&rows);
    let numeric = prepared.features.numeric();
    let (target, loss) = (&prepared.target, spec.train.loss);
    let network = learn::network_answers(&spec.network, numeric, target, loss, &trained.weights, &held_out)?;
    let difference = model.agreement(&held_out, &network)?;
    if difference <= Model::TOLERANCE {
        return Ok(difference);
    }
    let allowed = Model::TOLERANCE;
    let message =
        format!("the ONNX file and the network differ by {difference:e} on held-out rows, {allowed:e} is allowed");
    Err(Failure::new(Fault::Ours, message))
}
