//! The report: one HTML file with everything inside, which a person can mail, archive and open without a server.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets::{APP_CSS, APP_JS, plotly_script};
use super::page::{Context, logo, script_words, theme_button};
use super::sections::{facts_line, sections};
use super::version::VersionView;
use super::words::{Lang, Word as W};

/// Forbids the file to load anything, whatever a name inside it may say.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/// The report of a model version as one self-contained HTML file (about 5 MB, most of it the chart library).
pub fn report(view: &VersionView, lang: Lang) -> String {
    let context = &Context { lang, version: env!("CARGO_PKG_VERSION").to_owned(), ..Context::default() };
    let title = context.fill(W::ReportTitle, &[("model", &view.model), ("version", &view.number.to_string())]);
    let body = html! {
        div.head { div { h1 { (title) } (facts_line(context, view)) } }
        (sections(context, view))
    };
    file(context, &title, &body, Some(plotly_script()))
}

/// A page with everything inside; `charts` is the script that draws its charts.
pub(super) fn file(context: &Context, title: &str, body: &Markup, charts: Option<&str>) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang=(context.lang.tag()) data-theme=(context.theme.name()) {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(format!("Tidemill {}", context.version));
                title { (title) " · Tidemill" }
                style { (PreEscaped(APP_CSS)) }
                script { (PreEscaped(APP_JS)) }
            }
            body {
                a.skip href="#main" { (context.t(W::SkipToContent)) }
                header.top {
                    div.bar {
                        span.brand { (logo()) span { "Tidemill" } }
                        span.project { (title) }
                        div.tools style="margin-left:auto" { (theme_button(context)) }
                    }
                }
                main #main tabindex="-1" { (body) }
                p #status .status role="status" aria-live="polite" {}
                footer.foot { p { "Tidemill " (context.version) " · " (context.t(W::ReportFooter)) } }
                (script_words(context))
                @if let Some(script) = charts { script { (PreEscaped(script)) } }
            }
        }
    };
    page.into_string()
}
