//! The runs: their list, and one run with its learning curves, which grow while it trains.

use learn::EpochRecord;
use maud::{Markup, html};
use store::{Run, RunStatus};

use super::curves::learning_curves;
use super::format;
use super::page::{Context, Place, Tone, badge, figure_tile, layout, segment, time};
use super::version::{Score, metric_name, score_text};
use super::words::Word as W;

/// What the list of runs shows, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunsView {
    /// The runs.
    pub runs: Vec<RunRow>,
    /// Models that can be trained from here.
    pub models: Vec<String>,
}

/// One run in few words.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// The run.
    pub run: Run,
    /// The best validation figure, where it is known.
    pub best: Option<Score>,
}

impl From<Run> for RunRow {
    fn from(run: Run) -> Self {
        Self { run, best: None }
    }
}

impl RunRow {
    /// How long it took; none while it runs.
    fn seconds(&self) -> Option<f64> {
        self.run.finished_unix_ms.map(|end| (end - self.run.started_unix_ms).max(0) as f64 / 1e3)
    }
}

/// What the page of one run shows.
#[derive(Debug, Clone)]
pub struct RunView {
    /// The run; its `config` is shown as it is.
    pub run: Run,
    /// Its epochs so far.
    pub history: Vec<EpochRecord>,
    /// Epochs it may take at most.
    pub epochs_max: Option<u64>,
    /// How long each stage took, in order: `collect`, `prepare`, `train`, `evaluate`, `deploy`.
    pub stages: Vec<(String, f64)>,
}

fn status_badge(context: &Context, status: RunStatus) -> Markup {
    let (tone, word) = match status {
        RunStatus::Running => (Tone::Accent, W::StatusRunning),
        RunStatus::Succeeded => (Tone::Good, W::StatusSucceeded),
        RunStatus::Stopped => (Tone::Warn, W::StatusStopped),
        RunStatus::Interrupted => (Tone::Warn, W::StatusInterrupted),
        RunStatus::Failed => (Tone::Bad, W::StatusFailed),
    };
    badge(tone, context.t(word))
}

/// The page at `/runs`.
pub fn runs(context: &Context, view: &RunsView) -> Markup {
    let body = html! {
        div.head {
            div {
                h1 { (context.t(W::RunsTitle)) }
                p.lead { (context.t(W::RunsLead)) }
            }
            div.actions {
                @for model in &view.models {
                    (train_button(model, &context.fill(W::TrainModel, &[("model", model)])))
                }
             }
        }
        section.card aria-label=(context.t(W::RunsTitle)) {
            @if view.runs.is_empty() {
                div.empty { p { (context.t(W::NoRuns)) } code { "tidemill run" } }
            } @else {
                (runs_table(context, &view.runs))
            }
        }
    };
    layout(context, Place::Runs, context.t(W::RunsTitle), false, &body)
}

/// Posts to `/api/models/MODEL/train`.
pub(crate) fn train_button(model: &str, words: &str) -> Markup {
    html! {
        form method="post" action=(format!("/api/models/{}/train", segment(model))) data-action="train" {
            button.small type="submit" { (words) }
        }
    }
}

/// The runs as a table.
pub(crate) fn runs_table(context: &Context, rows: &[RunRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(context.t(W::RunsTitle)) {
            table {
                caption.hidden { (context.t(W::RunsTitle)) }
                thead {
                    tr {
                        th scope="col" { (context.t(W::Run)) }
                        th scope="col" { (context.t(W::Model)) }
                        th scope="col" { (context.t(W::Status)) }
                        th.num scope="col" { (context.t(W::Epochs)) }
                        th.num scope="col" { (context.t(W::BestValidation)) }
                        th.num scope="col" { (context.t(W::Took)) }
                        th scope="col" { (context.t(W::Started)) }
                        th.num scope="col" { (context.t(W::Version)) }
                    }
                }
                tbody { @for row in rows { (run_row(context, row)) } }
            }
        }
    }
}

fn run_row(context: &Context, row: &RunRow) -> Markup {
    html! {
        tr {
            th.nowrap scope="row" { a href=(format!("/runs/{}", row.run.id)) { (row.run.id) } }
            td { (row.run.model) }
            td {
                (status_badge(context, row.run.status))
                @if let Some(why) = &row.run.why { p.small { (format::shorten(why, 160)) } }
            }
            td.num { (format::count(row.run.epochs as u64)) }
            td.num { (score_text(context, row.best.as_ref())) }
            td.num { (row.seconds().map(|seconds| format::seconds(context.lang, seconds)).unwrap_or_default()) }
            td.nowrap { (time(row.run.started_unix_ms)) }
            td.num {
                @if let Some(version) = row.run.version {
                    a href=(format!("/models/{}/{version}", segment(&row.run.model))) { (version) }
                }
            }
        }
    }
}

/// The page at `/runs/{id}`.
pub fn run(context: &Context, view: &RunView) -> Markup {
    let row = &view.run;
    let title = context.fill(W::RunTitle, &[("run", &row.id.to_string()), ("model", &row.model)]);
    let running = row.status == RunStatus::Running;
    let last = view.history.last().map_or(0, |record| record.epoch);
    let body = html! {
        div data-run=(row.id) data-state=(row.status.name()) data-after=(last) {
            div.head {
                div {
                    p.crumb { a href="/runs" { (context.t(W::RunsTitle)) } }
                    h1 { (title) }
                    p.lead {
                        span data-show="status" { (status_badge(context, row.status)) }
                        " · " (time(row.started_unix_ms))
                    }
                }
                div.actions data-after-run hidden[running] { (train_button(&row.model, context.t(W::TrainAgain))) }
            }
            @if let Some(why) = &row.why { p.notice.bad { (why) } }
            @if matches!(row.status, RunStatus::Stopped | RunStatus::Interrupted) { p.notice.warn { (context.t(W::StoppedHint)) " " code { "tidemill run --resume" } } }
            p #news .notice aria-live="polite" hidden[!running] { (context.t(W::RunGrows)) }
            @if let (true, Some(most)) = (running, view.epochs_max) {
                p { label for="progress" { (context.t(W::Progress)) } " "
                    progress #progress max=(most) value=(last) { (last) "/" (most) } }
            }
            (run_figures(context, view))
            @if view.history.is_empty() && !running {
                p.notice { (context.t(W::NoEpochs)) }
            } @else {
                section aria-labelledby="curves" {
                    h2.hidden #curves { (context.t(W::LearningCurves)) }
                    div.grid.charts { @for chart in learning_curves(context, &view.history) { (chart.figure(context)) } }
                }
            }
            (stages_and_settings(context, view))
        }
    };
    layout(context, Place::Runs, &title, true, &body)
}

fn run_figures(context: &Context, view: &RunView) -> Markup {
    let last = view.history.last();
    let metric = last.map(|record| metric_name(context, &record.metric));
    let best = view.history.iter().rfind(|record| record.best);
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), format::number);
    let live = |name: &str, word: String, value: String, note: Option<String>| {
        html! {
            div.tile {
                dt { (word) }
                dd { span.value data-show=(name) { (value) } @if let Some(note) = note { span.note { (note) } } }
            }
        }
    };
    let named = |word: W| match &metric {
        Some(metric) => format::capital(&context.fill(word, &[("metric", metric)])),
        None => context.t(W::Validation).to_owned(),
    };
    html! {
        dl.tiles {
            (live("epoch", context.t(W::Epoch).to_owned(), last.map_or(0, |record| record.epoch).to_string(),
                view.epochs_max.map(|most| context.fill(W::OfAtMost, &[("count", &most.to_string())]))))
            (live("loss", context.t(W::TrainLoss).to_owned(), shown(last.map(|record| record.train_loss)), None))
            (live("validation", named(W::ValidationOf), shown(last.map(|record| record.validation_metric)), None))
            (live("best", context.t(W::BestSoFar).to_owned(), shown(best.map(|record| record.validation_metric)), None))
            @if let Some(end) = view.run.finished_unix_ms {
                @let seconds = (end - view.run.started_unix_ms).max(0) as f64 / 1e3;
                (figure_tile(context.t(W::Took), &format::seconds(context.lang, seconds), None))
            }
            @if let Some(version) = view.run.version {
                div.tile {
                    dt { (context.t(W::Version)) }
                    dd { span.value {
                        a href=(format!("/models/{}/{version}", segment(&view.run.model))) { (version) }
                    } }
                }
            }
        }
    }
}

fn stages_and_settings(context: &Context, view: &RunView) -> Markup {
    html! {
        @if !view.stages.is_empty() {
            section.card aria-labelledby="stages" {
                h2 #stages { (context.t(W::Stages)) }
                (stages_list(context, &view.stages))
            }
        }
        @if !view.run.config.is_null() {
            section.card aria-labelledby="settings" {
                h2 #settings { (context.t(W::Settings)) }
                (settings_block(context, &view.run.config))
            }
        }
    }
}

/// How long each stage took, as bars.
pub(crate) fn stages_list(context: &Context, stages: &[(String, f64)]) -> Markup {
    let most = stages.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
    html! {
        ul.shares {
            @for (name, seconds) in stages {
                li {
                    span.name { (stage_name(context, name)) }
                    span.part aria-hidden="true" {
                        span style=(format!("width:{:.1}%", if most > 0.0 { 100.0 * seconds / most } else { 0.0 })) {}
                    }
                    span.figure { (format::seconds(context.lang, *seconds)) }
                }
            }
        }
    }
}

fn stage_name<'a>(context: &Context, name: &'a str) -> &'a str {
    match name {
        "collect" => context.t(W::StageCollect),
        "audit" => context.t(W::StageAudit),
        "prepare" => context.t(W::StagePrepare),
        "train" => context.t(W::StageTrain),
        "evaluate" => context.t(W::StageEvaluate),
        "deploy" => context.t(W::StageDeploy),
        other => other,
    }
}

/// Settings as JSON, folded.
pub(crate) fn settings_block(context: &Context, settings: &serde_json::Value) -> Markup {
    html! {
        details {
            summary { (context.t(W::ShowSettings)) }
            pre.plain { (serde_json::to_string_pretty(settings).unwrap_or_default()) }
        }
    }
}
