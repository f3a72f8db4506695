//! `tidemill audit`: profile the tables of the models and check the quality of their data.

use std::collections::BTreeMap;

use data::{AuditReport, ColumnProfile, Severity};
use serde_json::json;

use crate::cli::{Audit, Common};
use crate::failure::{Failure, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count, table};

/// Audits the named models, or all: prints the profile and the findings, writes them as JSON. Errors end in exit code 1.
pub fn audit(common: &Common, args: &Audit, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let models = super::chosen(&project, &args.models)?;
    let runtime = pipeline::runtime()?;
    let mut reports: BTreeMap<&str, AuditReport> = BTreeMap::new();
    for spec in models {
        let tables = pipeline::collect(&project, runtime.handle(), spec)?;
        let report =
            pipeline::audit_only(spec, tables).map_err(|failure| failure.at(format!("model \"{}\"", spec.name)))?;
        terminal.result(describe(&spec.name, &report));
        reports.insert(&spec.name, report);
    }
    let document = json!(reports);
    let path = args.output.clone().unwrap_or_else(|| project.data_folder.join("audit.json"));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))?;
    }
    store::write_atomic(&path, format!("{document:#}").as_bytes())?;
    terminal.note(format!("wrote {}", path.display()));
    terminal.document(&document);
    let errors: usize =
        reports.values().flat_map(|report| &report.findings).filter(|f| f.severity == Severity::Error).count();
    match errors {
        0 => Ok(()),
        n => Err(Failure::input(format!("the audit found {n} error{}", if n == 1 { "" } else { "s" }))),
    }
}

fn describe(model: &str, report: &AuditReport) -> String {
    let profile = &report.profile;
    let head = ["column", "kind", "missing", "distinct", "lowest", "median", "highest", "most frequent"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(profile.columns.iter().map(|column| line(column, profile.rows)));
    let mut text =
        format!("model \"{model}\", table \"{}\": {} rows\n{}", report.table, count(profile.rows), table(&rows));
    if report.findings.is_empty() {
        text += "no findings\n";
    }
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        text += &format!("{severity}: {}\n", finding.message);
    }
    text
}

fn line(column: &ColumnProfile, rows: u64) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{}", round(value)));
    let share = 100.0 * column.missing as f64 / rows.max(1) as f64;
    let frequent = column.top.first().filter(|(_, n)| *n > 1).map(|(value, n)| {
        let short: String = value.chars().take(24).collect();
        format!("{short} ({})", count(*n))
    });
    vec![
        column.name.clone(),
        format!("{:?}", column.kind).to_lowercase(),
        if column.missing == 0 { "-".to_owned() } else { format!("{share:.1} %") },
        count(column.distinct),
        number(column.min),
        number(column.quantile(0.5)),
        number(column.max),
        frequent.unwrap_or_default(),
    ]
}

/// Four significant digits, as few characters as possible.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
