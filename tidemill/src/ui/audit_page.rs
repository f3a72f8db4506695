//! The audit as one HTML file: what was promised and whether it holds, what was found, and every column with its picture.

use data::{AuditReport, ExpectationResult, ExpectationStatus};
use maud::{Markup, html};

use super::audit::audit_part;
use super::format;
use super::page::{Context, Tone, badge, figure_tile, time};
use super::report::file;
use super::words::{Lang, Word as W};

/// Expectations of a table that are listed.
const EXPECTATIONS_MAX: usize = 500;
/// Characters of what was expected or found that are shown.
const TEXT_CHARS_MAX: usize = 400;

/// What an audit found.
#[derive(Debug, Clone, Default)]
pub struct AuditView<'a> {
    /// The project's name.
    pub project: String,
    /// When, milliseconds since 1970 UTC.
    pub made_unix_ms: i64,
    /// By table or source.
    pub expectations: Vec<(String, &'a Vec<ExpectationResult>)>,
    /// By model.
    pub models: Vec<(String, &'a AuditReport)>,
    /// Tables and sources without a model.
    pub tables: Vec<&'a AuditReport>,
}

/// A section: anchor, title, content.
struct Part {
    id: String,
    title: String,
    content: Markup,
}

/// The audit as one self-contained HTML file.
pub fn audit_report(view: &AuditView, lang: Lang) -> String {
    let context = &Context { lang, version: env!("CARGO_PKG_VERSION").to_owned(), ..Context::default() };
    let title = context.fill(W::AuditOf, &[("project", &view.project)]);
    let parts = parts(context, view);
    let body = html! {
        div.head { div { h1 { (title) } p.lead { (context.t(W::Audited)) " " (time(view.made_unix_ms)) } } }
        nav.toc aria-label=(context.t(W::OnThisPage)) {
            @for part in &parts { a href=(format!("#{}", part.id)) { (part.title) } }
        }
        @for part in &parts {
            @let heading = format!("{}-title", part.id);
            section.part id=(part.id) aria-labelledby=(heading) {
                h2 id=(heading) { (part.title) }
                (part.content)
            }
        }
    };
    file(context, &title, &body, None)
}

fn parts(context: &Context, view: &AuditView) -> Vec<Part> {
    let mut parts = vec![Part {
        id: "expectations".to_owned(),
        title: context.t(W::Expectations).to_owned(),
        content: expectations(context, view),
    }];
    for (place, (model, report)) in view.models.iter().enumerate() {
        let id = format!("model-{place}");
        let title = context.fill(W::ModelAndTable, &[("model", model), ("table", &report.table)]);
        parts.push(Part { content: audit_part(context, report, &format!("{id}-audit")), title, id });
    }
    for (place, report) in view.tables.iter().enumerate() {
        let id = format!("table-{place}");
        parts.push(Part {
            content: audit_part(context, report, &format!("{id}-audit")),
            title: report.table.clone(),
            id,
        });
    }
    parts
}

fn expectations(context: &Context, view: &AuditView) -> Markup {
    let count = |status: ExpectationStatus| {
        let all = view.expectations.iter().flat_map(|(_, results)| results.iter());
        format::count(all.filter(|result| result.status == status).count() as u64)
    };
    if view.expectations.is_empty() {
        return html! {
            div.card.empty { p { (context.t(W::NoExpectations)) } code { "tidemill audit --suggest" } }
        };
    }
    html! {
        p.lead { (context.t(W::ExpectationsLead)) }
        dl.tiles {
            (figure_tile(context.t(W::Passed), &count(ExpectationStatus::Passed), None))
            (figure_tile(context.t(W::Failed), &count(ExpectationStatus::Failed), None))
            (figure_tile(context.t(W::Warned), &count(ExpectationStatus::Warned), None))
            (figure_tile(&format::capital(context.t(W::ExpectationNotChecked)), &count(ExpectationStatus::NotChecked), None))
        }
        @for (place, (table, results)) in view.expectations.iter().enumerate() {
            div.card { (expectation_table(context, table, results, place)) }
        }
    }
}

fn expectation_table(context: &Context, table: &str, results: &[ExpectationResult], place: usize) -> Markup {
    let label = format!("expectations-{place}");
    html! {
        h3 id=(label) { (table) }
        div.scroll tabindex="0" role="region" aria-labelledby=(label) {
            table {
                caption.hidden { (context.t(W::Expectations)) " " (table) }
                thead { tr {
                    th scope="col" { (context.t(W::Status)) }
                    th scope="col" { (context.t(W::Kind)) }
                    th scope="col" { (context.t(W::Expectation)) }
                    th scope="col" { (context.t(W::Observed)) }
                    th.num scope="col" { (context.t(W::Checked)) }
                    th.num scope="col" { (context.t(W::Failing)) }
                    th.num scope="col" { (context.t(W::AllowedShare)) }
                } }
                tbody { @for result in worst_first(results) { (row(context, result)) } }
            }
        }
        @if results.len() > EXPECTATIONS_MAX {
            p.muted { (context.fill(W::RowsLeftOut, &[("count", &format::count((results.len() - EXPECTATIONS_MAX) as u64))])) }
        }
    }
}

fn worst_first(results: &[ExpectationResult]) -> Vec<&ExpectationResult> {
    let mut sorted: Vec<&ExpectationResult> = results.iter().collect();
    sorted.sort_by_key(|result| match result.status {
        ExpectationStatus::Failed => 0,
        ExpectationStatus::Warned => 1,
        ExpectationStatus::NotChecked => 2,
        ExpectationStatus::Passed => 3,
    });
    sorted.truncate(EXPECTATIONS_MAX);
    sorted
}

fn row(context: &Context, result: &ExpectationResult) -> Markup {
    html! {
        tr {
            td.nowrap { (status(context, result.status)) }
            td.nowrap { (kind(context, &result.kind)) }
            th scope="row" {
                // `data` writes English; what can be said in another language by its figures is said so.
                @if context.lang == Lang::En { (format::shorten(&result.expected, TEXT_CHARS_MAX)) } @else {
                    (kind(context, &result.kind)) " " (result.columns.join("、"))
                    div.muted.small { (format::shorten(&result.expected, TEXT_CHARS_MAX)) }
                }
            }
            td.wide {
                (format::shorten(&observed(context, result), TEXT_CHARS_MAX))
                @if let Some(path) = &result.failing_rows {
                    div.muted.small { (context.fill(W::FailingRowsIn, &[("file", &path.display().to_string())])) }
                }
            }
            td.num { (format::count(result.checked)) }
            td.num { (format::count(result.failing)) }
            td.num { (format::percent(result.at_most)) }
        }
    }
}

/// What was found, by its figures where those say all.
fn observed(context: &Context, result: &ExpectationResult) -> String {
    let by_rows = ["not_null", "unique", "range", "matches", "one_of", "foreign_key"].contains(&result.kind.as_str());
    if context.lang == Lang::En || !by_rows {
        return result.observed.clone();
    }
    let (checked, failing) = (format::count(result.checked), format::count(result.failing));
    let share = format::percent(result.failing as f64 / result.checked.max(1) as f64);
    let word = if result.failing == 0 { W::AllHold } else { W::SomeFail };
    context.fill(word, &[("checked", &checked), ("failing", &failing), ("share", &share)])
}

fn status(context: &Context, status: ExpectationStatus) -> Markup {
    match status {
        ExpectationStatus::Passed => badge(Tone::Good, context.t(W::ExpectationPassed)),
        ExpectationStatus::Warned => badge(Tone::Warn, context.t(W::ExpectationWarned)),
        ExpectationStatus::Failed => badge(Tone::Bad, context.t(W::ExpectationFailed)),
        ExpectationStatus::NotChecked => badge(Tone::Plain, context.t(W::ExpectationNotChecked)),
    }
}

fn kind<'a>(context: &Context, kind: &'a str) -> &'a str {
    context.t(match kind {
        "not_null" => W::ExpectNotNull,
        "unique" => W::ExpectUnique,
        "range" => W::ExpectRange,
        "matches" => W::ExpectMatches,
        "one_of" => W::ExpectOneOf,
        "foreign_key" => W::ExpectForeignKey,
        "row_count" => W::ExpectRowCount,
        "fresh" => W::ExpectFresh,
        "drift" => W::ExpectDrift,
        "sql" => W::ExpectSql,
        other => return other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: ExpectationStatus, expected: &str) -> ExpectationResult {
        ExpectationResult {
            name: "range-age".to_owned(),
            kind: "range".to_owned(),
            columns: vec!["age".to_owned()],
            status,
            expected: expected.to_owned(),
            observed: "1 of 4 values (25.0 %) does not".to_owned(),
            checked: 4,
            failing: 1,
            at_most: 0.0,
            failing_rows: Some("audit/orders/failing-range-age.csv".into()),
        }
    }

    #[test]
    fn the_page_says_what_failed_first_in_both_languages_and_escapes_it() {
        let results = vec![
            result(ExpectationStatus::Passed, "all is well"),
            result(ExpectationStatus::Failed, "<script>alert(1)</script> & \"more\""),
        ];
        let view = AuditView {
            project: "<b>shop</b>".to_owned(),
            expectations: vec![("orders".to_owned(), &results)],
            ..AuditView::default()
        };
        for (lang, words) in [(Lang::En, ["PASS", "FAIL", "Expectations"]), (Lang::Zh, ["通过", "未通过", "期望检查"])]
        {
            let page = audit_report(&view, lang);
            words.iter().for_each(|word| assert!(page.contains(word), "{word}"));
            assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp;") && page.contains("&lt;b&gt;shop"));
            assert!(!page.contains("<script>alert") && !page.contains("<b>shop"));
            assert!(page.find("alert(1)").unwrap() < page.find("all is well").unwrap());
            assert!(page.contains("failing-range-age.csv") && page.contains("default-src 'none'"));
            assert!(lang == Lang::En || page.contains("4 项中有 1 项不符（25.0 %）"), "figures are said in Chinese");
            assert!(page.len() < 200_000, "no library of charts: {}", page.len());
        }
        let empty = audit_report(&AuditView::default(), Lang::En);
        assert!(empty.contains("tidemill audit --suggest"));
    }
}
