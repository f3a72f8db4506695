//! The overview: what serves, how good it is, what ran last, and what to do next.

use maud::{Markup, html};

use super::format;
use super::page::{Context, Place, Tone, badge, figure_tile, layout, segment};
use super::runs::{RunRow, runs_table};
use super::version::{Score, score_text};
use super::words::Word as W;

/// What the overview shows.
#[derive(Debug, Clone, Default)]
pub struct OverviewView {
    /// How much there is.
    pub counts: Counts,
    /// The endpoints of the project, served or not.
    pub endpoints: Vec<EndpointRow>,
    /// The last runs, newest first; five are enough.
    pub runs: Vec<RunRow>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Sources of the project file.
    pub sources: u64,
    /// Tables of the project file.
    pub tables: u64,
    /// Models of the project file.
    pub models: u64,
    /// Model versions in the store.
    pub versions: u64,
    /// Rows answered since the server started.
    pub predictions: u64,
}

/// An endpoint and what it answers with.
#[derive(Debug, Clone)]
pub struct EndpointRow {
    /// Its name.
    pub name: String,
    /// The model behind it.
    pub model: String,
    /// The version that answers.
    pub version: Option<u32>,
    /// Whether it answers.
    pub status: EndpointStatus,
    /// The champion's score on the test rows.
    pub score: Option<Score>,
    /// Requests answered since the server started.
    pub requests: u64,
}

/// Whether an endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointStatus {
    /// It answers.
    Ready,
    /// Its model is being loaded.
    Loading,
    /// It can not answer, for this reason.
    Unavailable(String),
}

/// The page at `/`.
pub fn overview(context: &Context, view: &OverviewView) -> Markup {
    let counts = &view.counts;
    let body = html! {
        div.head {
            div {
                h1 { (context.t(W::OverviewTitle)) }
                p.lead { (context.t(W::OverviewLead)) }
            }
        }
        dl.tiles {
            (figure_tile(context.t(W::Sources), &format::count(counts.sources), None))
            (figure_tile(context.t(W::Tables), &format::count(counts.tables), None))
            (figure_tile(context.t(W::Models), &format::count(counts.models), None))
            (figure_tile(context.t(W::Versions), &format::count(counts.versions), None))
            (figure_tile(context.t(W::PredictionsServed), &format::count(counts.predictions), None))
        }
        section.card aria-labelledby="endpoints" {
            h2 #endpoints { (context.t(W::Endpoints)) }
            @if view.endpoints.is_empty() { (next_steps(context, view)) } @else { (endpoints(context, &view.endpoints)) }
        }
        section.card aria-labelledby="runs" {
            div.row {
                h2 #runs { (context.t(W::LastRuns)) }
                @if !view.runs.is_empty() { a href="/runs" { (context.t(W::AllRuns)) } }
            }
            @if view.runs.is_empty() {
                p.muted { (context.t(W::NoRuns)) }
            } @else {
                (runs_table(context, &view.runs))
            }
        }
    };
    layout(context, Place::Overview, context.t(W::OverviewTitle), false, &body)
}

fn next_steps(context: &Context, view: &OverviewView) -> Markup {
    html! {
        div.empty {
            p { (context.t(W::NoEndpoints)) }
            ol.next {
                @if view.counts.models == 0 {
                    li { (context.t(W::StepInit)) br; code { "tidemill init --from FILE --target COLUMN" } }
                }
                @if view.counts.versions == 0 {
                    li { (context.t(W::StepRun)) br; code { "tidemill run" } }
                }
                li { (context.t(W::StepEndpoint)) br; code { "endpoints: {NAME: {model: MODEL}}" } }
            }
        }
    }
}

fn endpoints(context: &Context, rows: &[EndpointRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="endpoints" {
            table {
                caption.hidden { (context.t(W::Endpoints)) }
                thead {
                    tr {
                        th scope="col" { (context.t(W::Endpoint)) }
                        th scope="col" { (context.t(W::Status)) }
                        th scope="col" { (context.t(W::Model)) }
                        th.num scope="col" { (context.t(W::TestScore)) }
                        th.num scope="col" { (context.t(W::Requests)) }
                        th scope="col" { span.hidden { (context.t(W::Actions)) } }
                    }
                }
                tbody { @for row in rows { (endpoint(context, row)) } }
            }
        }
    }
}

fn endpoint(context: &Context, row: &EndpointRow) -> Markup {
    html! {
        tr {
            th scope="row" { (row.name) }
            td {
                @match &row.status {
                    EndpointStatus::Ready => (badge(Tone::Good, context.t(W::StatusReady))),
                    EndpointStatus::Loading => (badge(Tone::Plain, context.t(W::StatusLoading))),
                    EndpointStatus::Unavailable(reason) => {
                        (badge(Tone::Bad, context.t(W::StatusUnavailable)))
                        p.small { (reason) }
                    }
                }
            }
            td {
                @match row.version {
                    Some(version) => a href=(format!("/models/{}/{version}", segment(&row.model))) {
                        (row.model) " · " (context.fill(W::VersionNumber, &[("version", &version.to_string())]))
                    },
                    None => (row.model),
                }
            }
            td.num { (score_text(context, row.score.as_ref())) }
            td.num { (format::count(row.requests)) }
            td.nowrap {
                @if row.status == EndpointStatus::Ready {
                    a.button.quiet.small href=(format!("/try/{}", segment(&row.name))) { (context.t(W::NavTry)) }
                }
            }
        }
    }
}
