//! Cross-validation: how far do the figures spread when other rows are learned from?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use learn::spec::CrossValidationSpec;
use learn::{Flow, TrainJob, Trained};
use serde::{Deserialize, Serialize};

use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};

use super::evaluate::finish;
use super::prepare::{Fitted, Seen, Set, encode, fit, take};

/// What cross-validation found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CrossValidation {
    /// Of each figure, over the folds.
    pub metrics: BTreeMap<String, Spread>,
    /// Each fold.
    pub folds: Vec<FoldFound>,
}

/// Mean and standard deviation (of a sample, n - 1) over folds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub mean: f64,
    pub standard_deviation: f64,
}

/// How a fold was judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FoldFound {
    /// Rows learned from.
    pub training_rows: usize,
    /// Rows judged.
    pub rows: usize,
    /// Figures by name.
    pub metrics: BTreeMap<String, f64>,
}

impl CrossValidation {
    fn of(folds: Vec<FoldFound>) -> Self {
        let names: Vec<&String> = folds.first().map(|fold| fold.metrics.keys().collect()).unwrap_or_default();
        let mut metrics = BTreeMap::new();
        for name in names {
            // A figure that is not defined on every fold has no mean over them.
            let values: Option<Vec<f64>> = folds.iter().map(|fold| fold.metrics.get(name).copied()).collect();
            if let Some(values) = values {
                metrics.insert(name.clone(), Spread::of(&values));
            }
        }
        Self { metrics, folds }
    }

    pub(crate) fn describe(&self) -> String {
        let shown = ["auc", "accuracy", "rmse", "log_loss", "r2"];
        let figure = |name: &&str| {
            let spread = self.metrics.get(*name)?;
            Some(format!("{} {spread}", name.replace('_', " ")))
        };
        let figures: Vec<String> = shown.iter().filter_map(figure).take(2).collect();
        format!("cross-validation over {} folds: {}", self.folds.len(), figures.join(", "))
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, standard_deviation: (squares / (n - 1.0).max(1.0)).sqrt() }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4} ± {:.4}", self.mean, self.standard_deviation)
    }
}

/// Fits, trains and judges each fold of these rows. With a folder, folds that are done are kept there, so that a resumed run
/// does not train them again.
pub(super) fn cross_validate(
    spec: &ModelSpec,
    seen: &Seen,
    folder: Option<&Path>,
    stop: &AtomicBool,
) -> Result<CrossValidation> {
    let rows: Vec<RecordBatch> = seen.train.iter().chain(&seen.validation).cloned().collect();
    let asked = spec.evaluate.cross_validation.clone().unwrap_or_default();
    let folds = learn::folds(&asked, &spec.target, seen.task, &rows, spec.train.seed)?;
    let mut found = Vec::with_capacity(folds.len());
    for (number, fold) in folds.iter().enumerate() {
        let place = folder.map(|folder| folder.join(format!("fold-{}", number + 1)));
        let kept = place.as_ref().map(|place| place.with_extension("json"));
        if let Some(done) = kept.as_deref().and_then(|path| read(path, &asked)) {
            found.push(done);
            continue;
        }
        let done = judge(spec, seen, &rows, fold, place.as_deref(), stop)
            .map_err(|failure| failure.at(format!("fold {}", number + 1)))?;
        if let (Some(path), Some(place)) = (&kept, &place) {
            let text = serde_json::to_vec(&(&asked, &done));
            let text = text.map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}", path.display())))?;
            store::write_atomic(path, &text)?;
            // The fold is kept; its checkpoint helps nobody any more.
            let _left_for_the_sweep = std::fs::remove_dir_all(place);
        }
        found.push(done);
    }
    Ok(CrossValidation::of(found))
}

/// A fold that was judged before a stop.
fn read(path: &Path, asked: &CrossValidationSpec) -> Option<FoldFound> {
    let (of, done): (CrossValidationSpec, FoldFound) = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (of == *asked).then_some(done)
}

fn judge(
    spec: &ModelSpec,
    seen: &Seen,
    rows: &[RecordBatch],
    fold: &learn::Split,
    folder: Option<&Path>,
    stop: &AtomicBool,
) -> Result<FoldFound> {
    let training = take(rows, &fold.train)?;
    let fitted = fit(spec, seen.task, &training)?;
    let part = |rows| encode(&fitted.features, &fitted.target, rows);
    let (training, validation) = (part(training)?, part(take(rows, &fold.validation)?)?);
    let judged = part(take(rows, &fold.test)?)?;
    let job = Job { spec, fitted: &fitted, training: &training, validation: &validation, folder, epochs: None };
    let trained = job.train(stop)?;
    let finished = finish(spec, &fitted.features, &fitted.target, &trained, &validation)?;
    let answers = finished.model.predict_encoded(&judged.encoded)?;
    let evaluation = learn::evaluate(&answers, &fitted.target, &judged.truth)?;
    Ok(FoldFound { training_rows: training.len(), rows: judged.len(), metrics: evaluation.metrics })
}

/// A model to train for its figures, not to be kept.
pub(super) struct Job<'a> {
    pub spec: &'a ModelSpec,
    pub fitted: &'a Fitted,
    pub training: &'a Set,
    pub validation: &'a Set,
    /// Where it keeps its checkpoint, and goes on from it.
    pub folder: Option<&'a Path>,
    /// Ends after this epoch; the checkpoint can go on.
    pub epochs: Option<usize>,
}

impl Job<'_> {
    pub(super) fn train(&self, stop: &AtomicBool) -> Result<Trained> {
        let job = TrainJob {
            numeric: self.fitted.features.numeric(),
            target: &self.fitted.target,
            net: &self.spec.network,
            train: &self.spec.train,
            training: self.training.part(),
            validation: self.validation.part(),
            checkpoint: self.folder,
            resume: self.folder.is_some(),
        };
        let trained = learn::train(job, &mut |event| {
            let far_enough = matches!(
                (event, self.epochs),
                (learn::TrainEvent::Epoch(record), Some(epochs)) if record.epoch >= epochs
            );
            if far_enough || stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
        })?;
        if stop.load(Ordering::Relaxed) && !trained.finished {
            return Err(Failure::new(Fault::Stopped, "stopped"));
        }
        Ok(trained)
    }
}
