//! What is known of one model version? The parts that its page and its report share.

use std::path::Path;

use data::AuditReport;
use learn::evaluate::{Evaluation, Importance, main_metric};
use learn::features::Choice;
use learn::{EpochRecord, Target, Task};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Version;

use crate::failure::{Failure, Fault, Result};

use super::audit::audit_part;
use super::charts::Chart;
use super::curves;
use super::format;
use super::page::{Context, Tone, badge, figure_tile, time};
use super::runs::{settings_block, stages_list};
use super::usage::{Call, calls};
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
    /// The fitted target: `target` of the manifest's details.
    pub target: Option<Target>,
    /// The settings it was trained with: `spec` of the manifest's details.
    pub settings: Value,
    /// Learned numbers: `parameters` of the manifest's details.
    pub parameters: Option<u64>,
    /// How long each stage took, in order: `collect`, `prepare`, `train`, `evaluate`, `deploy`.
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
    /// Reads the parts from the files of the version's folder. A missing file leaves its part out. `stored` and `stages`
    /// are the caller's to add; so are `target`, `settings` and `parameters` while there is no manifest yet.
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
            target: details.target,
            settings: details.spec,
            parameters: details.parameters,
            stages: Vec::new(),
            choices: part::<Fitted>(folder, "features.json")?.unwrap_or_default().choices,
            audit: part(folder, "audit.json")?,
            history: part(folder, "history.json")?.unwrap_or_default(),
            evaluation: part(folder, "evaluation.json")?.unwrap_or_default(),
            importance: part(folder, "importance.json")?.unwrap_or_default(),
            worst: part(folder, "worst.json")?.unwrap_or_default(),
            usage: part(folder, "usage.json")?,
        })
    }

    /// The evaluation to speak of: on test rows, else on validation rows.
    fn judged(&self) -> Option<&Evaluation> {
        self.evaluation.test.as_ref().or(self.evaluation.validation.as_ref())
    }

    fn judged_part(&self) -> W {
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

/// A section of the page: anchor, title, content.
struct Part {
    id: &'static str,
    title: W,
    lead: Option<W>,
    content: Markup,
}

/// All sections with a list of links to them.
pub(crate) fn sections(context: &Context, view: &VersionView) -> Markup {
    let parts: Vec<Part> = [
        Some(summary(context, view)),
        view.audit.as_ref().map(|audit| Part {
            id: "data",
            title: W::DataAudit,
            lead: Some(W::DataAuditLead),
            content: audit_part(context, audit, "audit"),
        }),
        training(context, view),
        errors(context, view),
        importance(context, view),
        worst(context, view),
        usage(context, view),
        settings(context, view),
    ]
    .into_iter()
    .flatten()
    .collect();
    html! {
        nav.toc aria-label=(context.t(W::OnThisPage)) {
            @for part in &parts { a href=(format!("#{}", part.id)) { (context.t(part.title)) } }
        }
        @for part in &parts {
            @let heading = format!("{}-title", part.id);
            section.part id=(part.id) aria-labelledby=(heading) {
                h2 id=(heading) { (context.t(part.title)) }
                @if let Some(lead) = part.lead { p.lead { (context.t(lead)) } }
                (part.content)
            }
        }
    }
}

/// Time to answer one row.
pub(crate) fn row_time(context: &Context, version: &Version) -> String {
    format::seconds(context.lang, version.predict_microseconds_per_row / 1e6)
}

/// Status and origin in one line, under the title.
pub(crate) fn facts_line(context: &Context, view: &VersionView) -> Markup {
    html! {
        p.lead {
            @match &view.stored {
                Some(version) if version.champion => { (badge(Tone::Accent, context.t(W::Champion))) " " }
                Some(_) => { (badge(Tone::Plain, context.t(W::Kept))) " " }
                None => {}
            }
            @if let Some(target) = &view.target { (context.fill(W::Predicts, &[("target", &target.column)])) }
            @if let Some(version) = &view.stored { " · " (time(version.created_unix_ms)) }
        }
    }
}

fn summary(context: &Context, view: &VersionView) -> Part {
    let judged = view.judged();
    let content = html! {
        dl.tiles {
            @if let Some(evaluation) = judged {
                @for name in headline(evaluation) {
                    @let value = evaluation.metrics[&name];
                    @let baseline = evaluation.baseline.get(&name)
                        .map(|value| context.fill(W::BaselineIs, &[("value", &format::score(*value))]));
                    (figure_tile(&metric_name(context, &name), &format::score(value), baseline.as_deref()))
                }
            }
            @if let Some(count) = view.parameters { (figure_tile(context.t(W::Parameters), &format::count(count), None)) }
            @if let Some(version) = &view.stored {
                (figure_tile(context.t(W::PredictTime), &row_time(context, version), Some(context.t(W::PerRow))))
                (figure_tile(context.t(W::Size), &format::bytes(version.size_bytes), None))
            }
        }
        (metrics_table(context, view))
        @if !view.stages.is_empty() {
            div.card { h3 { (context.t(W::Stages)) } (stages_list(context, &view.stages)) }
        }
    };
    Part { id: "summary", title: W::Summary, lead: None, content }
}

fn metrics_table(context: &Context, view: &VersionView) -> Markup {
    let Some(judged) = view.judged() else {
        return html! { p.notice { (context.t(W::NoEvaluation)) } };
    };
    let (test, validation) = (&view.evaluation.test, &view.evaluation.validation);
    let cell = |evaluation: &Option<Evaluation>, name: &str| {
        evaluation.as_ref().and_then(|evaluation| evaluation.metrics.get(name)).map_or("–".to_owned(), |v| format::score(*v))
    };
    let rows = |evaluation: &Option<Evaluation>| {
        evaluation.as_ref().map(|evaluation| context.fill(W::RowsCount, &[("count", &format::count(evaluation.rows as u64))]))
    };
    html! {
        div.card {
            div.scroll tabindex="0" role="region" aria-label=(context.t(W::Metrics)) {
                table {
                    caption {
                        @let baseline = if judged.task == Task::Regression { W::BaselineMean } else { W::BaselineMajority };
                        (context.fill(W::MetricsCaption, &[("baseline", context.t(baseline))]))
                    }
                    thead { tr {
                        th scope="col" { (context.t(W::Metric)) }
                        th.num scope="col" { (context.t(W::Test)) @if let Some(rows) = rows(test) { br; (rows) } }
                        th.num scope="col" { (context.t(W::Validation)) @if let Some(rows) = rows(validation) { br; (rows) } }
                        th.num scope="col" { (context.t(W::Baseline)) }
                    } }
                    tbody {
                        @for name in ordered(judged) {
                            tr {
                                th scope="row" { (metric_name(context, &name)) }
                                td.num { (cell(test, &name)) }
                                td.num { (cell(validation, &name)) }
                                td.num.muted { (judged.baseline.get(&name).map_or("–".to_owned(), |v| format::score(*v))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn training(context: &Context, view: &VersionView) -> Option<Part> {
    let charts = (!view.history.is_empty()).then(|| curves::learning_curves(context, &view.history))?;
    Some(Part { id: "training", title: W::LearningCurves, lead: None, content: figures(context, &charts) })
}

fn errors(context: &Context, view: &VersionView) -> Option<Part> {
    let evaluation = view.judged()?;
    let charts = curves::evaluation_charts(context, evaluation);
    (!charts.is_empty()).then(|| Part {
        id: "evaluation",
        title: W::Evaluation,
        lead: Some(view.judged_part()),
        content: html! { (figures(context, &charts)) (curves::class_table(context, evaluation)) },
    })
}

fn importance(context: &Context, view: &VersionView) -> Option<Part> {
    let metric = view.judged().map_or("accuracy", |evaluation| main_metric(evaluation.task).0);
    let charts = curves::importance_charts(context, &view.importance, &metric_name(context, metric));
    (!charts.is_empty()).then(|| Part {
        id: "importance",
        title: W::ImportanceTitle,
        lead: Some(W::ImportanceLead),
        content: figures(context, &charts),
    })
}

fn figures(context: &Context, charts: &[Chart]) -> Markup {
    html! { div.grid { @for chart in charts { (chart.figure(context)) } } }
}

fn worst(context: &Context, view: &VersionView) -> Option<Part> {
    if view.worst.is_empty() {
        return None;
    }
    let pictures = view.worst.iter().any(|row| row.picture.is_some());
    let content = if pictures { worst_pictures(context, &view.worst) } else { worst_table(context, &view.worst) };
    Some(Part { id: "worst", title: W::WorstTitle, lead: Some(W::WorstLead), content })
}

fn worst_pictures(context: &Context, rows: &[WorstRow]) -> Markup {
    html! {
        ul.worst {
            @for row in rows {
                li {
                    @if let Some(picture) = &row.picture {
                        img src=(picture)
                            alt=(context.fill(W::PictureOf, &[("truth", &row.truth), ("row", &row.row.to_string())]));
                    }
                    p { (context.t(W::Truth)) " " strong { (row.truth) } }
                    p { (context.t(W::Answer)) " " strong { (row.answer) } }
                    p.muted { (sureness(row)) }
                }
            }
        }
    }
}

fn worst_table(context: &Context, rows: &[WorstRow]) -> Markup {
    let columns: Vec<&str> = rows.first().map_or(Vec::new(), |row| row.values.keys().map(String::as_str).collect());
    let by_residual = rows.iter().any(|row| row.residual.is_some());
    html! {
        div.card {
            div.scroll tabindex="0" role="region" aria-labelledby="worst-title" {
                table {
                    caption.hidden { (context.t(W::WorstTitle)) }
                    thead { tr {
                        th.num scope="col" { (context.t(W::Row)) }
                        th scope="col" { (context.t(W::Truth)) }
                        th scope="col" { (context.t(W::Answer)) }
                        th.num scope="col" { (context.t(if by_residual { W::Residual } else { W::Confidence })) }
                        @for column in &columns { th scope="col" { (column) } }
                    } }
                    tbody { @for row in rows { tr {
                        th.num scope="row" { (row.row) }
                        td.nowrap { (row.truth) }
                        td.nowrap { (row.answer) }
                        td.num { (sureness(row)) }
                        @for column in &columns {
                            td { (shown(row.values.get(*column))) }
                        }
                    } } }
                }
            }
        }
    }
}

/// A value as text.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => format::shorten(text, 60),
        Some(other) => format::shorten(&other.to_string(), 60),
    }
}

fn sureness(row: &WorstRow) -> String {
    match (row.residual, row.confidence) {
        (Some(residual), _) => format!("{}{}", if residual > 0.0 { "+" } else { "" }, format::number(residual)),
        (None, Some(confidence)) => format::percent(confidence),
        (None, None) => String::new(),
    }
}

fn usage(context: &Context, view: &VersionView) -> Option<Part> {
    let usage = view.usage.as_ref().filter(|usage| !usage.endpoint.is_empty())?;
    let address = if usage.address.is_empty() { "http://127.0.0.1:8000" } else { &usage.address };
    let call = Call { address, endpoint: &usage.endpoint, input: &usage.input, proba: !view.regression() };
    Some(Part {
        id: "usage",
        title: W::UsageTitle,
        lead: Some(W::UsageLead),
        content: html! { div.card { (calls(context, &call)) } },
    })
}

fn settings(context: &Context, view: &VersionView) -> Option<Part> {
    if view.settings.is_null() && view.choices.is_empty() {
        return None;
    }
    let content = html! {
        div.card {
            @if !view.choices.is_empty() {
                div.scroll tabindex="0" role="region" aria-label=(context.t(W::FeaturesCaption)) {
                    table {
                        caption { (context.t(W::FeaturesCaption)) }
                        thead { tr {
                            th scope="col" { (context.t(W::Column)) }
                            th scope="col" { (context.t(W::Feature)) }
                            th scope="col" { (context.t(W::How)) }
                        } }
                        tbody { @for choice in &view.choices { tr {
                            th scope="row" { (choice.column) }
                            td.nowrap { (super::audit::kind_name(context, &choice.feature)) }
                            td.wide { (choice.how) }
                        } } }
                    }
                }
            }
            @if !view.settings.is_null() { (settings_block(context, &view.settings)) }
        }
    };
    Some(Part { id: "settings", title: W::FeaturesAndSettings, lead: None, content })
}

impl VersionView {
    fn regression(&self) -> bool {
        self.judged().is_some_and(|evaluation| evaluation.task == Task::Regression)
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

fn ordered(evaluation: &Evaluation) -> Vec<String> {
    let mut names: Vec<String> = evaluation.metrics.keys().cloned().collect();
    names.sort_by(|a, b| place(a).cmp(&place(b)));
    names
}

/// At most three figures that stand for the rest.
fn headline(evaluation: &Evaluation) -> Vec<String> {
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
