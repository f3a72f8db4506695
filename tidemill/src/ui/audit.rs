//! The data audit: findings by severity, and a profile of every column with a small picture of its values.

use data::{AuditReport, ColumnProfile, Finding, Severity};
use maud::{Markup, html};

use super::format;
use super::page::{Context, Tone, badge, figure_tile};
use super::words::{Lang, Word as W};

/// Columns shown with a picture; a table with more says so.
const COLUMNS_MAX: usize = 200;
/// Values shown of a category.
const TOP_VALUES_MAX: usize = 5;

/// Findings and profile of one table. `id` is unique on the page.
pub(crate) fn audit_part(context: &Context, audit: &AuditReport, id: &str) -> Markup {
    let profile = &audit.profile;
    let count =
        |severity: Severity| audit.findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    html! {
        dl.tiles {
            (figure_tile(context.t(W::Rows), &format::count(profile.rows), None))
            (figure_tile(context.t(W::Columns), &format::count(profile.columns.len() as u64), None))
            (figure_tile(context.t(W::Errors), &format::count(count(Severity::Error)), None))
            (figure_tile(context.t(W::Warnings), &format::count(count(Severity::Warning)), None))
            (figure_tile(context.t(W::Notes), &format::count(count(Severity::Info)), None))
        }
        div.card { h3 { (context.t(W::Findings)) } (findings(context, &audit.findings)) }
        div.card { (profile_table(context, audit, id)) }
    }
}

/// Findings, errors first.
pub(crate) fn findings(context: &Context, all: &[Finding]) -> Markup {
    let mut sorted: Vec<&Finding> = all.iter().collect();
    sorted.sort_by_key(|finding| match finding.severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        Severity::Info => 2,
    });
    html! {
        @if sorted.is_empty() {
            p.muted { (context.t(W::NoFindings)) }
        } @else {
            ul.findings {
                @for finding in sorted {
                    li {
                        div { (severity(context, finding.severity)) }
                        div {
                            (message(context, finding))
                            @if !finding.rows.is_empty() {
                                div.muted.small { (context.fill(W::ExampleRows, &[("rows", &row_list(&finding.rows))])) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn severity(context: &Context, severity: Severity) -> Markup {
    match severity {
        Severity::Error => badge(Tone::Bad, context.t(W::SeverityError)),
        Severity::Warning => badge(Tone::Warn, context.t(W::SeverityWarning)),
        Severity::Info => badge(Tone::Plain, context.t(W::SeverityInfo)),
    }
}

fn row_list(rows: &[u64]) -> String {
    let shown: Vec<String> = rows.iter().take(8).map(u64::to_string).collect();
    format!("{}{}", shown.join(", "), if rows.len() > 8 { ", …" } else { "" })
}

fn profile_table(context: &Context, audit: &AuditReport, id: &str) -> Markup {
    let profile = &audit.profile;
    let label = format!("{id}-columns");
    html! {
        h3 id=(label) { (context.t(W::ColumnsOf)) }
        div.scroll tabindex="0" role="region" aria-labelledby=(label) {
            table {
                caption.hidden { (context.t(W::ColumnsOf)) }
                thead { tr {
                    th scope="col" { (context.t(W::Column)) }
                    th scope="col" { (context.t(W::Kind)) }
                    th.num scope="col" { (context.t(W::Missing)) }
                    th.num scope="col" { (context.t(W::Distinct)) }
                    th scope="col" { (context.t(W::Figures)) }
                    th scope="col" { (context.t(W::Distribution)) }
                } }
                tbody { @for column in profile.columns.iter().take(COLUMNS_MAX) { (column_row(context, profile.rows, column)) } }
            }
        }
        @if profile.columns.len() > COLUMNS_MAX {
            p.muted { (context.fill(W::ColumnsLeftOut, &[("count", &format::count((profile.columns.len() - COLUMNS_MAX) as u64))])) }
        }
    }
}

fn column_row(context: &Context, rows: u64, column: &ColumnProfile) -> Markup {
    let share = if rows > 0 { column.missing as f64 / rows as f64 } else { 0.0 };
    html! {
        tr {
            th scope="row" { (column.name) }
            td.nowrap { (kind_name(context, kind_word(column))) }
            td.num {
                @if column.missing == 0 { "0" } @else {
                    (format::count(column.missing)) br; span.muted.small { (format::percent(share)) }
                }
            }
            td.num { @if column.distinct_approximate { "≈ " } (format::count(column.distinct)) }
            td.small { (figures(context, column)) }
            td.wide { (distribution(context, rows, column)) }
        }
    }
}

fn figures(context: &Context, column: &ColumnProfile) -> Markup {
    let (Some(mean), Some(std)) = (column.mean, column.std) else { return html! {} };
    if column.kind == data::ColumnKind::Date {
        return html! { span.muted { (end(column, column.min)) " … " (end(column, column.max)) } };
    }
    html! {
        span.nowrap { (context.t(W::Mean)) " " (format::number(mean)) " ± " (format::number(std)) } br;
        @if let (Some(min), Some(max)) = (column.min, column.max) {
            span.muted.nowrap { (format::number(min)) " … " (format::number(max)) }
        }
    }
}

fn distribution(context: &Context, rows: u64, column: &ColumnProfile) -> Markup {
    match &column.histogram {
        Some(histogram) if !histogram.counts.is_empty() => spark(context, column, &histogram.counts),
        _ => top_values(context, rows, column),
    }
}

/// The lowest or highest value; figures of dates are seconds since 1970 UTC.
fn end(column: &ColumnProfile, value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    if column.kind != data::ColumnKind::Date {
        return format::number(value);
    }
    let moment = chrono::DateTime::from_timestamp(value as i64, 0).unwrap_or_default();
    moment.format("%Y-%m-%d").to_string()
}

/// A histogram as a small drawing.
fn spark(context: &Context, column: &ColumnProfile, counts: &[u64]) -> Markup {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let width = 100.0 / counts.len() as f64;
    let (low, high) = (end(column, column.min), end(column, column.max));
    let said = context.fill(W::HistogramOf, &[("column", &column.name), ("min", &low), ("max", &high)]);
    html! {
        svg.spark viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label=(said) {
            @for (place, count) in counts.iter().enumerate() {
                @let height = if *count == 0 { 0.0 } else { (30.0 * *count as f64 / most).max(1.0) };
                rect x=(format!("{:.2}", place as f64 * width)) y=(format!("{:.2}", 32.0 - height))
                    width=(format!("{:.2}", width * 0.9)) height=(format!("{height:.2}")) {}
            }
        }
    }
}

fn top_values(context: &Context, rows: u64, column: &ColumnProfile) -> Markup {
    let total = rows.max(1) as f64;
    let shown = column.top.len().min(TOP_VALUES_MAX);
    let rest = column.distinct.saturating_sub(shown as u64);
    html! {
        @if shown > 0 {
            ul.shares {
                @for (value, count) in &column.top[..shown] {
                    li {
                        span.name title=(value) { (format::shorten(value, 40)) }
                        span.part aria-hidden="true" { span style=(format!("width:{:.1}%", 100.0 * *count as f64 / total)) {} }
                        span.figure { (format::percent(*count as f64 / total)) }
                    }
                }
            }
            @if rest > 0 { span.muted.small { (context.fill(W::MoreValues, &[("count", &format::count(rest))])) } }
        }
    }
}

/// The kind of a column or feature in the reader's language.
pub(crate) fn kind_name<'a>(context: &Context, kind: &'a str) -> &'a str {
    match kind {
        "number" => context.t(W::KindNumber),
        "category" => context.t(W::KindCategory),
        "boolean" => context.t(W::KindBoolean),
        "date" => context.t(W::KindDate),
        "image" => context.t(W::KindImage),
        "text" => context.t(W::KindText),
        "left out" => context.t(W::KindLeftOut),
        other => other,
    }
}

fn kind_word(column: &ColumnProfile) -> &'static str {
    match column.kind {
        data::ColumnKind::Number => "number",
        data::ColumnKind::Category => "category",
        data::ColumnKind::Boolean => "boolean",
        data::ColumnKind::Date => "date",
        data::ColumnKind::Image => "image",
        data::ColumnKind::Text => "text",
    }
}

/// What was found, in the reader's language where we have words for the check; otherwise as `data` says it.
fn message(context: &Context, finding: &Finding) -> String {
    let word = match finding.check.as_str() {
        "missing" => W::FoundMissing,
        "infinite" => W::FoundInfinite,
        "constant" => W::FoundConstant,
        "identifier" => W::FoundIdentifier,
        "duplicates" => W::FoundDuplicates,
        "conflicts" => W::FoundConflicts,
        "outliers" => W::FoundOutliers,
        "imbalance" => W::FoundImbalance,
        "leak" => W::FoundLeak,
        "overlap" => W::FoundOverlap,
        "personal" => W::FoundPersonal,
        "encoding" => W::FoundEncoding,
        "near_duplicates" => W::FoundNearDuplicates,
        "near_overlap" => W::FoundNearOverlap,
        "labels" => W::FoundLabels,
        _ => return finding.message.clone(),
    };
    match (context.lang, &finding.column) {
        // `data` writes English, with more detail than a table of words can.
        (Lang::En, _) => finding.message.clone(),
        (_, None) if context.t(word).contains("{column}") => finding.message.clone(),
        (_, column) => {
            let column = format!("“{}”", column.as_deref().unwrap_or_default());
            context.fill(word, &[("column", &column), ("value", &format::percent(finding.value))])
        }
    }
}
