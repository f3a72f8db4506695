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

use super::Progress;
use super::evaluate::finish;
use super::prepare::{Fitted, Seen, Set, encode, encode_training, fit, take};

/// Figures that a line names; the first two that a model has.
const SHOWN: [&str; 5] = ["auc", "accuracy", "rmse", "r2", "log_loss"];

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
        let figure = |name: &&str| Some(format!("{} {}", name.replace('_', " "), self.metrics.get(*name)?));
        let figures: Vec<String> = SHOWN.iter().filter_map(figure).take(2).collect();
        format!("cross-validation over {} folds: {}", self.folds.len(), figures.join(", "))
    }
}

impl FoldFound {
    fn describe(&self) -> String {
        let figure = |name: &&str| Some(format!("{} {:.4}", name.replace('_', " "), self.metrics.get(*name)?));
        SHOWN.iter().filter_map(figure).take(2).collect::<Vec<_>>().join(", ")
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

/// Cross-validation of a run, where its model asks for it.
pub(super) fn where_asked(
    spec: &ModelSpec,
    seen: Option<&Seen>,
    folder: &Path,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Progress),
) -> Result<Option<CrossValidation>> {
    let (Some(asked), Some(seen)) = (&spec.evaluate.cross_validation, seen) else { return Ok(None) };
    let found = cross_validate(spec, asked, seen, folder, stop, on)?;
    on(Progress::Note(&found.describe()));
    Ok(Some(found))
}

/// Fits, trains and judges each fold of these rows. Folds that are done are kept in the folder, so that a resumed run does
/// not train them again.
pub(super) fn cross_validate(
    spec: &ModelSpec,
    asked: &CrossValidationSpec,
    seen: &Seen,
    folder: &Path,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Progress),
) -> Result<CrossValidation> {
    let rows: Vec<RecordBatch> = seen.train.iter().chain(&seen.validation).cloned().collect();
    let folds = learn::folds(asked, &spec.target, seen.task, &rows, spec.train.seed)?;
    let mut found = Vec::with_capacity(folds.len());
    for (number, fold) in folds.iter().enumerate() {
        let place = folder.join(format!("fold-{}", number + 1));
        let kept = place.with_extension("json");
        let done = match read(&kept, asked) {
            Some(done) => done,
            None => {
                let done = judge(spec, seen, &rows, fold, &place, stop)
                    .map_err(|failure| failure.at(format!("fold {} of {}", number + 1, folds.len())))?;
                keep(&kept, asked, &done)?;
                // The fold is judged: its checkpoint helps nobody, and the run's folder is swept in the end.
                let _ = std::fs::remove_dir_all(&place);
                done
            }
        };
        on(Progress::Note(&format!("  fold {} of {}: {}", number + 1, folds.len(), done.describe())));
        found.push(done);
    }
    Ok(CrossValidation::of(found))
}

fn keep(path: &Path, asked: &CrossValidationSpec, done: &FoldFound) -> Result<()> {
    let text = serde_json::to_vec(&(asked, done));
    let text = text.map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}", path.display())))?;
    Ok(store::write_atomic(path, &text)?)
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
    folder: &Path,
    stop: &AtomicBool,
) -> Result<FoldFound> {
    let training = take(rows, &fold.train)?;
    let fitted = fit(spec, seen.task, &training)?;
    let part = |rows| encode(&fitted.features, &fitted.target, rows);
    let training = encode_training(&fitted.features, &fitted.target, &training)?;
    let validation = part(take(rows, &fold.validation)?)?;
    let judged = part(take(rows, &fold.test)?)?;
    let trained = train(spec, &fitted, [&training, &validation], folder, stop)?;
    let finished = finish(spec, &fitted.features, &fitted.target, &trained, &validation)?;
    let answers = finished.model.predict_encoded(&judged.encoded)?;
    let evaluation = learn::evaluate(&answers, &fitted.target, &judged.truth)?;
    Ok(FoldFound { training_rows: training.len(), rows: judged.len(), metrics: evaluation.metrics })
}

/// The weights for a fold; a checkpoint in the folder is gone on with.
fn train(
    spec: &ModelSpec,
    fitted: &Fitted,
    [training, validation]: [&Set; 2],
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Trained> {
    let job = TrainJob {
        numeric: fitted.features.numeric(),
        target: &fitted.target,
        net: &spec.network,
        train: &spec.train,
        training: training.part(),
        validation: validation.part(),
        spool: None,
        checkpoint: Some(folder),
        resume: true,
    };
    let trained =
        super::fit::fit(job, &mut |_| if stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue })?;
    match trained.finished {
        true => Ok(trained),
        false => Err(super::stopped(spec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations_are_those_of_a_sample() {
        let fold = |accuracy: f64, auc: Option<f64>| {
            let auc = auc.map(|auc| ("auc".to_owned(), auc));
            let metrics = [("accuracy".to_owned(), accuracy)].into_iter().chain(auc).collect();
            FoldFound { training_rows: 8, rows: 2, metrics }
        };
        let found = CrossValidation::of(vec![fold(0.5, Some(0.9)), fold(0.75, None), fold(1.0, Some(0.8))]);
        let spread = found.metrics["accuracy"];
        assert_eq!((spread.mean, spread.standard_deviation), (0.75, 0.25));
        assert_eq!(found.metrics.len(), 1, "a figure that one fold does not have has no mean");
        assert_eq!(found.describe(), "cross-validation over 3 folds: accuracy 0.7500 ± 0.2500");
    }
}
