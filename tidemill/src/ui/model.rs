//! One model version: everything its report says, as a page.

use maud::{Markup, html};

use super::models::promote_button;
use super::page::{Context, Place, layout, segment};
use super::sections::{facts_line, sections};
use super::version::VersionView;
use super::words::Word as W;

/// The page at `/models/{name}/{version}`.
pub fn model(context: &Context, view: &VersionView) -> Markup {
    let title = context.fill(W::ModelTitle, &[("model", &view.model), ("version", &view.number.to_string())]);
    let champion = view.stored.as_ref().is_some_and(|version| version.champion);
    let endpoint = view.usage.as_ref().map(|usage| usage.endpoint.as_str()).filter(|name| !name.is_empty());
    let body = html! {
        div.head {
            div {
                p.crumb { a href="/models" { (context.t(W::ModelsTitle)) } }
                h1 { (title) }
                (facts_line(context, view))
            }
            div.actions {
                @if view.stored.is_some() && !champion { (promote_button(context, &view.model, view.number)) }
                @if let (true, Some(endpoint)) = (champion, endpoint) {
                    a.button.small href=(format!("/try/{}", segment(endpoint))) { (context.t(W::NavTry)) }
                }
                @if let Some(run) = view.stored.as_ref().and_then(|version| version.run) {
                    a.button.quiet.small href=(format!("/runs/{run}")) { (context.t(W::TheRun)) }
                }
            }
        }
        (sections(context, view))
    };
    layout(context, Place::Models, &title, true, &body)
}
