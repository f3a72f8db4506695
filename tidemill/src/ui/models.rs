//! The leaderboard: all versions of all models, and the buttons that choose the champion.

use maud::{Markup, html};
use serde_json::json;
use store::{Failure, Leaderboard, Version};

use super::format;
use super::page::{Context, Place, Tone, badge, layout, segment, time};
use super::runs::train_button;
use super::sections::row_time;
use super::version::metric_name;
use super::words::Word as W;

/// Failures listed of a model, newest first.
const FAILURES_MAX: usize = 10;

/// What the leaderboard shows.
#[derive(Debug, Clone, Default)]
pub struct ModelsView {
    /// One leaderboard per model, in order; those without versions too.
    pub leaderboards: Vec<Leaderboard>,
    /// The models of the project file: these can be trained from here.
    pub trainable: Vec<String>,
}

/// The page at `/models`.
pub fn models(context: &Context, view: &ModelsView) -> Markup {
    let body = html! {
        div.head {
            div {
                h1 { (context.t(W::ModelsTitle)) }
                p.lead { (context.t(W::ModelsLead)) }
            }
        }
        @if view.leaderboards.is_empty() {
            div.card.empty { p { (context.t(W::NoModels)) } code { "tidemill init --from FILE --target COLUMN" } }
        }
        @for (place, board) in view.leaderboards.iter().enumerate() {
            (model_card(context, place, board, view.trainable.contains(&board.model)))
        }
    };
    layout(context, Place::Models, context.t(W::ModelsTitle), false, &body)
}

fn model_card(context: &Context, place: usize, board: &Leaderboard, trainable: bool) -> Markup {
    let heading = format!("model-{place}");
    let champion = board.versions.iter().any(|version| version.champion);
    html! {
        section.card aria-labelledby=(heading) {
            div.row {
                h2 id=(heading) { (board.model) }
                div.actions {
                    @if champion && board.versions.len() > 1 {
                        form method="post" action=(format!("/api/models/{}/rollback", segment(&board.model))) data-action="rollback" {
                            button.quiet.small type="submit" title=(context.t(W::RollbackHint)) { (context.t(W::Rollback)) }
                        }
                    }
                    @if trainable {
                        @let words = if board.versions.is_empty() { W::TrainFirst } else { W::TrainAgain };
                        (train_button(&board.model, context.t(words)))
                    }
                }
            }
            @if board.versions.is_empty() && board.failures.is_empty() {
                p.muted { (context.t(W::NoVersions)) }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby=(heading) {
                    table {
                        caption.hidden { (context.fill(W::VersionsOf, &[("model", &board.model)])) }
                        (table_head(context))
                        tbody {
                            @for version in &board.versions { (version_row(context, version)) }
                            @for failure in board.failures.iter().take(FAILURES_MAX) { (failure_row(context, failure)) }
                        }
                    }
                }
            }
        }
    }
}

fn table_head(context: &Context) -> Markup {
    html! {
        thead {
            tr {
                th.num scope="col" { (context.t(W::Version)) }
                th scope="col" { (context.t(W::Status)) }
                th scope="col" { (context.t(W::Metric)) }
                th.num scope="col" { (context.t(W::TestScore)) }
                th.num scope="col" { (context.t(W::ValidationScore)) }
                th.num scope="col" { (context.t(W::PredictTime)) }
                th.num scope="col" { (context.t(W::TrainTime)) }
                th.num scope="col" { (context.t(W::Size)) }
                th scope="col" { (context.t(W::Created)) }
                th scope="col" { span.hidden { (context.t(W::Actions)) } }
            }
        }
    }
}

fn version_row(context: &Context, version: &Version) -> Markup {
    let score = |value: Option<f64>| value.map_or("–".to_owned(), format::score);
    html! {
        tr.champion[version.champion] {
            th.num scope="row" {
                a href=(format!("/models/{}/{}", segment(&version.model), version.number)) { (version.number) }
            }
            td {
                @if version.champion {
                    (badge(Tone::Accent, context.t(W::Champion)))
                } @else {
                    (badge(Tone::Plain, context.t(W::Kept)))
                }
            }
            td.nowrap.muted { (format::capital(&metric_name(context, &version.primary.name))) }
            td.num { strong { (score(version.primary.test)) } }
            td.num { (score(version.primary.validation)) }
            td.num { (row_time(context, version)) }
            td.num { (format::seconds(context.lang, version.train_seconds)) }
            td.num { (format::bytes(version.size_bytes)) }
            td.nowrap { (time(version.created_unix_ms)) }
            td.nowrap { @if !version.champion { (promote_button(context, &version.model, version.number)) } }
        }
    }
}

fn failure_row(context: &Context, failure: &Failure) -> Markup {
    html! {
        tr {
            th.num scope="row" { "–" }
            td { (badge(Tone::Bad, context.t(W::StatusFailed))) }
            td colspan="6" {
                (failure.why)
                @if let Some(run) = failure.run {
                    " " a href=(format!("/runs/{run}")) { (context.fill(W::RunNumber, &[("run", &run.to_string())])) }
                }
            }
            td.nowrap { (time(failure.failed_unix_ms)) }
            td {}
        }
    }
}

/// Posts `{"version": N}` to `/api/models/MODEL/promote`.
pub(crate) fn promote_button(context: &Context, model: &str, version: u32) -> Markup {
    html! {
        form method="post" action=(format!("/api/models/{}/promote", segment(model))) data-action="promote"
            data-body=(json!({ "version": version })) {
            button.quiet.small type="submit"
                aria-label=(context.fill(W::PromoteVersion, &[("model", model), ("version", &version.to_string())])) {
                (context.t(W::Promote))
            }
        }
    }
}
