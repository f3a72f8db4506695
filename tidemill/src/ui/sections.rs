//! One model version in sections: scores, data, learning curves, evaluation, importance, worst errors, how to call it.

use learn::Task;
use learn::evaluate::{Evaluation, main_metric};
use maud::{Markup, html};
use serde_json::Value;
use store::Version;

use crate::pipeline::Spread;

use super::audit::audit_part;
use super::charts::Chart;
use super::curves;
use super::format;
use super::page::{Context, Tone, badge, figure_tile, time};
use super::runs::{settings_block, stages_list};
use super::usage::{Call, calls};
use super::version::{VersionView, WorstRow, headline, metric_name, ordered};
use super::words::Word as W;

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
                    (figure_tile(&format::capital(&metric_name(context, &name)), &format::score(value), baseline.as_deref()))
                }
            }
            @if let Some(count) = view.parameters { (figure_tile(context.t(W::Parameters), &format::count(count), None)) }
            @if let Some(version) = &view.stored {
                (figure_tile(context.t(W::PredictTime), &row_time(context, version), None))
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
        evaluation
            .as_ref()
            .and_then(|evaluation| evaluation.metrics.get(name))
            .map_or("–".to_owned(), |v| format::score(*v))
    };
    let rows = |evaluation: &Option<Evaluation>| {
        evaluation
            .as_ref()
            .map(|evaluation| context.fill(W::RowsCount, &[("count", &format::count(evaluation.rows as u64))]))
    };
    let folds = view.evaluation.cross_validation.as_ref();
    let over_folds =
        |name: &str| folds.and_then(|found| found.metrics.get(name)).map_or("–".to_owned(), Spread::to_string);
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
                        @if let Some(found) = folds {
                            th.num scope="col" { (context.t(W::CrossValidation)) br;
                                (context.fill(W::FoldsCount, &[("count", &found.folds.len().to_string())])) }
                        }
                        th.num scope="col" { (context.t(W::Baseline)) }
                    } }
                    tbody {
                        @for name in ordered(judged) {
                            tr {
                                th scope="row" { (format::capital(&metric_name(context, &name))) }
                                td.num { (cell(test, &name)) }
                                td.num { (cell(validation, &name)) }
                                @if folds.is_some() { td.num { (over_folds(&name)) } }
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
    html! { div.grid.charts { @for chart in charts { (chart.figure(context)) } } }
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
