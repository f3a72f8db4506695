//! What is known of one model version? Read from its folder, for its page and its report; and how scores are named.

use std::path::Path;

use data::AuditReport;
use learn::evaluate::{Evaluation, Importance};
use learn::features::Choice;
use learn::{EpochRecord, Target, Task};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Version;

use crate::failure::{Failure, Fault, Result};
use crate::pipeline::CrossValidation;

use super::format;
use super::page::Context;
use super::words::Word as W;

/// A figure and what it measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Its name in `Evaluation::metrics`: `accuracy`, `rmse`, ...
    pub metric: String,
    /// The figure.
    pub value: f64,
}

/// One model version: what its page and its report show. A part that is not there is left out.
#[derive(Debug, Clone, Default)]
pub struct VersionView {
    /// The model.
    pub model: String,
    /// The version's number.
    pub number: u32,
    /// The version as the store knows it; none while it is being made.
    pub stored: Option<Version>,
    /// The fitted target: `target` of the manifest's details, or `target.json`.
    pub target: Option<Target>,
    /// The settings it was trained with: `spec` of the manifest's details.
    pub settings: Value,
    /// Learned numbers: `parameters` of the manifest's details.
    pub parameters: Option<u64>,
    /// `stages.json`: how long each stage took, in seconds and in order.
    pub stages: Vec<(String, f64)>,
    /// What `auto` picked, in words: of `features.json`.
    pub choices: Vec<Choice>,
    /// `audit.json`.
    pub audit: Option<AuditReport>,
    /// `history.json`.
    pub history: Vec<EpochRecord>,
    /// `evaluation.json`.
    pub evaluation: Evaluations,
    /// `importance.json`, most important first.
    pub importance: Vec<Importance>,
    /// `worst.json`, worst first.
    pub worst: Vec<WorstRow>,
    /// `usage.json`.
    pub usage: Option<Usage>,
}

/// `evaluation.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluations {
    /// On the validation rows.
    pub validation: Option<Evaluation>,
    /// On the test rows.
    pub test: Option<Evaluation>,
    /// Over the folds of the other rows.
    pub(crate) cross_validation: Option<CrossValidation>,
}

/// A row that the model got most wrong; an element of `worst.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorstRow {
    /// Its place among the test rows.
    pub row: u64,
    /// What it was.
    pub truth: String,
    /// What the model said.
    pub answer: String,
    /// How sure the model was, 0 to 1 (classes).
    pub confidence: Option<f64>,
    /// Truth minus answer, in the target's units (numbers).
    pub residual: Option<f64>,
    /// What the row holds: column names and their values as text.
    pub values: Map<String, Value>,
    /// The row's picture: `data:image/png;base64,...`.
    pub picture: Option<String>,
}

/// `usage.json`: how the version is called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The endpoint; empty where none serves the model.
    pub endpoint: String,
    /// Address of the server; `http://127.0.0.1:8000` where empty.
    pub address: String,
    /// An example row, column names and values.
    pub input: Value,
}

/// The details of `manifest.json` that a page shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    target: Option<Target>,
    spec: Value,
    parameters: Option<u64>,
}

impl VersionView {
    /// Reads the parts from the files of the version's folder. A missing file leaves its part out. `stored` is
    /// the caller's to add; so are `settings` and `parameters` while there is no manifest yet.
    ///
    /// # Errors
    /// A file that is there and not what it should be, by its path.
    pub fn read(folder: &Path, model: &str, number: u32) -> Result<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Fitted {
            choices: Vec<Choice>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Manifest {
            summary: Summary,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Summary {
            details: Details,
        }
        let details = part::<Manifest>(folder, "manifest.json")?.unwrap_or_default().summary.details;
        Ok(Self {
            model: model.to_owned(),
            number,
            stored: None,
            target: details.target.or(part(folder, "target.json")?),
            settings: details.spec,
            parameters: details.parameters,
            stages: part(folder, "stages.json")?.unwrap_or_default(),
            choices: part::<Fitted>(folder, "features.json")?.unwrap_or_default().choices,
            audit: part(folder, "audit.json")?,
            history: part(folder, "history.json")?.unwrap_or_default(),
            evaluation: part(folder, "evaluation.json")?.unwrap_or_default(),
            importance: part(folder, "importance.json")?.unwrap_or_default(),
            worst: part(folder, "worst.json")?.unwrap_or_default(),
            usage: part(folder, "usage.json")?,
        })
    }

    /// Whether it answers with numbers.
    pub(crate) fn regression(&self) -> bool {
        self.judged().is_some_and(|evaluation| evaluation.task == Task::Regression)
    }

    /// The evaluation to speak of: on test rows, else on validation rows.
    pub(crate) fn judged(&self) -> Option<&Evaluation> {
        self.evaluation.test.as_ref().or(self.evaluation.validation.as_ref())
    }

    pub(crate) fn judged_part(&self) -> W {
        if self.evaluation.test.is_some() { W::OnTestRows } else { W::OnValidationRows }
    }
}

/// One file of a version's folder; none where it is missing.
fn part<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(&path, &error)),
    }
}

/// A score as text, `–` where there is none.
pub(crate) fn score_text(context: &Context, score: Option<&Score>) -> Markup {
    html! {
        @match score {
            Some(score) => { (format::score(score.value)) " " span.muted.small { (metric_name(context, &score.metric)) } },
            None => "–",
        }
    }
}

/// Known metrics in the order in which they are shown.
const METRICS: [(&str, W); 17] = [
    ("accuracy", W::MetricAccuracy),
    ("balanced_accuracy", W::MetricBalancedAccuracy),
    ("auc", W::MetricAuc),
    ("average_precision", W::MetricAveragePrecision),
    ("f1", W::MetricF1),
    ("precision", W::MetricPrecision),
    ("recall", W::MetricRecall),
    ("log_loss", W::MetricLogLoss),
    ("brier", W::MetricBrier),
    ("calibration_error", W::MetricCalibrationError),
    ("rmse", W::MetricRmse),
    ("mae", W::MetricMae),
    ("median_absolute_error", W::MetricMedianAbsoluteError),
    ("r2", W::MetricR2),
    ("mape", W::MetricMape),
    ("mse", W::MetricMse),
    ("loss", W::MetricLoss),
];

fn place(name: &str) -> (usize, &str) {
    let plain = name.trim_end_matches("_macro").trim_end_matches("_weighted");
    (METRICS.iter().position(|(known, _)| *known == plain).unwrap_or(METRICS.len()), name)
}

/// All metrics of an evaluation in the order in which they are shown.
pub(crate) fn ordered(evaluation: &Evaluation) -> Vec<String> {
    let mut names: Vec<String> = evaluation.metrics.keys().cloned().collect();
    names.sort_by(|a, b| place(a).cmp(&place(b)));
    names
}

/// At most three figures that stand for the rest.
pub(crate) fn headline(evaluation: &Evaluation) -> Vec<String> {
    let wanted = ["accuracy", "auc", "f1_macro", "log_loss", "rmse", "r2", "mae"];
    let found = wanted.iter().filter(|name| evaluation.metrics.contains_key(**name));
    found.take(3).map(|name| (*name).to_owned()).collect()
}

/// A metric in the reader's language; one we do not know keeps its name.
pub(crate) fn metric_name(context: &Context, name: &str) -> String {
    let (plain, mean) = match (name.strip_suffix("_macro"), name.strip_suffix("_weighted")) {
        (Some(plain), _) => (plain, Some(W::MeanMacro)),
        (_, Some(plain)) => (plain, Some(W::MeanWeighted)),
        _ => (name, None),
    };
    let known = METRICS.iter().find(|(key, _)| *key == plain).map(|(_, word)| context.t(*word));
    match (known, mean) {
        (Some(word), Some(mean)) => context.fill(mean, &[("metric", word)]),
        (Some(word), None) => word.to_owned(),
        (None, _) => name.to_owned(),
    }
}
