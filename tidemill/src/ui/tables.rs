//! The data page: every table with its last audit.

use data::AuditReport;
use maud::{Markup, html};

use super::audit::audit_part;
use super::page::{Context, Place, Tone, badge, layout, time};
use super::words::Word as W;

/// What the data page shows.
#[derive(Debug, Clone, Default)]
pub struct DataView {
    /// Sources of the project file.
    pub sources: Vec<SourceRow>,
    /// Tables of the project file.
    pub tables: Vec<TableView>,
}

/// A source of the project file.
#[derive(Debug, Clone)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// Its kind: `csv`, `parquet`, ...
    pub kind: String,
    /// Where it is, without secrets.
    pub place: String,
}

/// A table and what its last audit found.
#[derive(Debug, Clone)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// The query that makes it; none where it is a source itself.
    pub sql: Option<String>,
    /// The last audit.
    pub audit: Option<AuditReport>,
    /// When it was audited, milliseconds since 1970 UTC.
    pub audited_unix_ms: Option<i64>,
}

/// The page at `/data`.
pub fn data(context: &Context, view: &DataView) -> Markup {
    let body = html! {
        div.head {
            div {
                h1 { (context.t(W::DataTitle)) }
                p.lead { (context.t(W::DataLead)) }
            }
        }
        @if view.tables.len() > 1 {
            nav.toc aria-label=(context.t(W::Tables)) {
                @for (place, table) in view.tables.iter().enumerate() { a href=(format!("#table-{place}")) { (table.name) } }
            }
        }
        @if view.tables.is_empty() {
            div.card.empty { p { (context.t(W::NoTables)) } code { "tidemill init --from FILE --target COLUMN" } }
        }
        @for (place, table) in view.tables.iter().enumerate() { (table_section(context, place, table)) }
        @if !view.sources.is_empty() { (sources(context, &view.sources)) }
    };
    layout(context, Place::Data, context.t(W::DataTitle), false, &body)
}

fn table_section(context: &Context, place: usize, table: &TableView) -> Markup {
    let id = format!("table-{place}");
    let heading = format!("{id}-title");
    html! {
        section.part id=(id) aria-labelledby=(heading) {
            div.row {
                h2 id=(heading) { (table.name) }
                @match &table.audit {
                    Some(audit) if audit.has_errors() => (badge(Tone::Bad, context.t(W::AuditErrors))),
                    Some(audit) if !audit.findings.is_empty() => (badge(Tone::Warn, context.t(W::AuditFindings))),
                    Some(_) => (badge(Tone::Good, context.t(W::AuditClean))),
                    None => (badge(Tone::Plain, context.t(W::NotAudited))),
                }
            }
            @if let Some(audited) = table.audited_unix_ms { p.muted.small { (context.t(W::Audited)) " " (time(audited)) } }
            @if let Some(sql) = &table.sql { details { summary { (context.t(W::ShowQuery)) } pre.plain { (sql) } } }
            @match &table.audit {
                Some(audit) => (audit_part(context, audit, &id)),
                None => p.notice { (context.t(W::NotAuditedHint)) " " code { "tidemill audit" } },
            }
        }
    }
}

fn sources(context: &Context, rows: &[SourceRow]) -> Markup {
    html! {
        section.card aria-labelledby="sources" {
            h2 #sources { (context.t(W::Sources)) }
            div.scroll tabindex="0" role="region" aria-labelledby="sources" {
                table {
                    caption.hidden { (context.t(W::Sources)) }
                    thead { tr {
                        th scope="col" { (context.t(W::Source)) }
                        th scope="col" { (context.t(W::Kind)) }
                        th scope="col" { (context.t(W::Where)) }
                    } }
                    tbody { @for row in rows { tr {
                        th scope="row" { (row.name) }
                        td { (row.kind) }
                        td.wide { code { (row.place) } }
                    } } }
                }
            }
        }
    }
}
