//! One trial: trained on the training rows, judged on the validation rows, and nothing else.

use std::collections::BTreeMap;
use std::time::Instant;

use learn::search::Trial;
use learn::{Flow, TrainJob};
use serde::{Deserialize, Serialize};

use crate::config::{ModelSpec, Project, Setting};
use crate::failure::{Failure, Result};
use crate::pipeline::evaluate::finish;

use crate::pipeline::rows::Rows;

/// A finished trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrialRecord {
    /// Its number, from 1.
    pub number: usize,
    /// Key paths of the model and the values tried.
    pub settings: Vec<Setting>,
    /// The figure on the validation rows; none where the trial failed.
    pub score: Option<f64>,
    /// Every figure on the validation rows.
    pub metrics: BTreeMap<String, f64>,
    /// Time of the training.
    pub fit_seconds: f64,
    /// Time of an answer, of the validation rows in batches.
    pub predict_microseconds_per_row: Option<f64>,
    /// Size of the ONNX file.
    pub size_bytes: Option<u64>,
    /// Numbers learned.
    pub parameters: Option<usize>,
    /// Epochs trained.
    pub epochs: Option<usize>,
    /// Why it failed.
    pub why: Option<String>,
    /// Seconds of the search when it ended.
    pub at_seconds: f64,
}

/// What trials have in common.
pub(super) struct Trials<'a> {
    pub(super) project: &'a Project,
    pub(super) model: &'a str,
    pub(super) rows: &'a Rows,
    /// Name of the figure that trials are compared by.
    pub(super) metric: &'static str,
    /// Whether trials are to end.
    pub(super) is_over: &'a (dyn Fn() -> bool + Sync),
}

impl Trials<'_> {
    /// Carries a trial through. None where it was cut off: it has not failed, it has no result.
    pub(super) fn carry(&self, trial: &Trial) -> Option<TrialRecord> {
        let began = Instant::now();
        let mut record = TrialRecord {
            number: trial.number,
            settings: trial.settings.clone(),
            score: None,
            metrics: BTreeMap::new(),
            fit_seconds: 0.0,
            predict_microseconds_per_row: None,
            size_bytes: None,
            parameters: None,
            epochs: None,
            why: None,
            at_seconds: 0.0,
        };
        match self.fill(&mut record) {
            Ok(true) => (),
            Ok(false) => return None,
            Err(_) if (self.is_over)() => return None,
            Err(failure) => {
                record.fit_seconds = began.elapsed().as_secs_f64();
                record.why = Some(failure.message);
            }
        }
        Some(record)
    }

    /// Whether the trial came to its end.
    fn fill(&self, record: &mut TrialRecord) -> Result<bool> {
        let project = self.project.with(self.model, &record.settings).map_err(|e| Failure::input(e.to_string()))?;
        let spec: &ModelSpec = project.model(self.model)?;
        let rows = self.rows.of(spec)?;
        let began = Instant::now();
        let job = TrainJob {
            numeric: rows.fitted.features.numeric(),
            target: &rows.fitted.target,
            net: &spec.network,
            train: &spec.train,
            training: rows.training.part(),
            validation: rows.validation.part(),
            spool: None,
            checkpoint: None,
            resume: false,
        };
        let trained =
            crate::pipeline::fit::fit(job, &mut |_| if (self.is_over)() { Flow::Stop } else { Flow::Continue })?;
        record.fit_seconds = began.elapsed().as_secs_f64();
        if !trained.finished {
            return Ok(false);
        }
        record.epochs = Some(trained.history.len());
        record.parameters = Some(trained.parameters);
        let done = finish(spec, &rows.fitted.features, &rows.fitted.target, &trained, &rows.validation)?;
        record.size_bytes = Some(done.onnx.len() as u64);
        let began = Instant::now();
        done.model.predict_encoded(&rows.validation.encoded)?;
        let microseconds = began.elapsed().as_secs_f64() * 1e6;
        record.predict_microseconds_per_row = Some(microseconds / rows.validation.len().max(1) as f64);
        record.metrics = learn::evaluate(&done.on_validation, &rows.fitted.target, &rows.validation.truth)?.metrics;
        let score = record.metrics.get(self.metric).copied();
        record.score =
            Some(score.ok_or_else(|| Failure::input(format!("{} is not defined on its answers", self.metric)))?);
        Ok(true)
    }
}
