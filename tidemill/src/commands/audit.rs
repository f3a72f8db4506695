//! `tidemill audit`: check what was promised of the tables, profile them and look for faults of their data.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::record_batch::RecordBatch;
use data::TableProfile;
use data::{AuditReport, AuditRequest, ColumnProfile, Depth, ExpectationResult, ExpectationStatus, Finding, Severity};
use futures::StreamExt;
use serde::Serialize;
use serde_json::json;

use crate::cli::{Audit, Common};
use crate::config::{ModelSpec, Project, TableExpectations};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count, table};
use crate::ui;

/// Rows of a table without a model that are looked at.
const ROWS_MAX: usize = 1_000_000;
/// Memory that they may take, in bytes.
const BYTES_MAX: usize = 1 << 30;

/// All that an audit says: the JSON, and what the page shows.
#[derive(Debug, Default, Serialize)]
struct Document<'a> {
    /// Nothing failed.
    passed: bool,
    /// By model, with the training rows against the test rows.
    models: BTreeMap<&'a str, AuditReport>,
    /// By table or source that no audited model reads.
    tables: BTreeMap<&'a str, AuditReport>,
    /// By table or source that something is expected of.
    expectations: BTreeMap<&'a str, Vec<ExpectationResult>>,
}

/// Audits the named models, tables and sources, or all models and all that something is expected of: prints and writes what
/// was found. Errors and failed expectations end in exit code 1.
pub fn audit(common: &Common, args: &Audit, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let wanted = Wanted::of(&project, &args.names)?;
    let runtime = pipeline::runtime()?;
    if args.suggest {
        return super::suggest::suggest(common, args, &project, &wanted.all_tables(), runtime.handle(), terminal);
    }
    let mut document = Document::default();
    for expected in &wanted.expected {
        let results = runtime.block_on(pipeline::expect(&project, expected, true))?;
        terminal.result(describe_expectations(&expected.table, &results));
        document.expectations.insert(&expected.table, results);
    }
    for &spec in &wanted.models {
        let tables = pipeline::collect(&project, runtime.handle(), spec, None)?;
        if let Some(beyond) = &tables.beyond {
            terminal.note(beyond.describe(spec));
        }
        let report =
            pipeline::audit_only(spec, tables).map_err(|failure| failure.at(format!("model \"{}\"", spec.name)))?;
        terminal.result(describe(&format!("model \"{}\", ", spec.name), &report));
        document.models.insert(&spec.name, report);
    }
    for &name in &wanted.tables {
        let report = runtime.block_on(table_report(&project, name))?;
        terminal.result(describe("", &report));
        document.tables.insert(name, report);
    }
    let failure = document.failure();
    document.passed = failure.is_none();
    write(&project, args, &document, terminal)?;
    failure.map_or(Ok(()), |failure| Err(failure.documented()))
}

/// What is to be audited.
struct Wanted<'a> {
    models: Vec<&'a ModelSpec>,
    /// Tables and sources without a model.
    tables: Vec<&'a str>,
    expected: Vec<&'a TableExpectations>,
}

impl<'a> Wanted<'a> {
    fn of(project: &'a Project, names: &'a [String]) -> Result<Self> {
        let mut wanted = Self { models: Vec::new(), tables: Vec::new(), expected: Vec::new() };
        for name in names {
            match project.models.iter().find(|model| &model.name == name) {
                Some(model) => wanted.models.push(model),
                None if project.has_table(name) => wanted.tables.push(name),
                None => return Err(unknown(project, name)),
            }
        }
        if names.is_empty() {
            wanted.models = project.models.iter().collect();
            let read: Vec<&str> = wanted.models.iter().flat_map(|model| pipeline::tables_of(model)).collect();
            let others = project.expectations.iter().map(|expected| expected.table.as_str());
            wanted.tables = others.filter(|table| !read.contains(table)).collect();
            wanted.expected = project.expectations.iter().collect();
            if wanted.models.is_empty() && wanted.tables.is_empty() {
                return Err(Failure::input(
                    "the project has no models and expects nothing of its tables; name a table or source to audit, or add \
                     models or expectations to tidemill.yaml",
                ));
            }
        } else {
            wanted.expected = pipeline::expectations_of(project, &wanted.all_tables());
        }
        Ok(wanted)
    }

    /// The tables and sources, also those of the models; once each.
    fn all_tables(&self) -> Vec<&'a str> {
        let mut all: Vec<&str> = Vec::new();
        for table in self.models.iter().flat_map(|model| pipeline::tables_of(model)).chain(self.tables.iter().copied())
        {
            if !all.contains(&table) {
                all.push(table);
            }
        }
        all
    }
}

fn unknown(project: &Project, name: &str) -> Failure {
    let models = project.models.iter().map(|model| model.name.as_str());
    let tables = project.tables.iter().map(|table| table.name.as_str());
    let known: Vec<&str> =
        models.chain(tables).chain(project.sources.iter().map(|source| source.name.as_str())).collect();
    let near = crate::config::did_you_mean(name, known.iter().copied());
    Failure::new(Fault::NotFound, format!("no model, table or source {name:?}{near}; there are: {}", known.join(", ")))
}

/// The audit of a table as it is; of a large one, of its first rows.
async fn table_report(project: &Project, name: &str) -> Result<AuditReport> {
    let mut rows = pipeline::rows_in_order(project, name, "").await?;
    let (mut batches, mut kept, mut bytes, mut is_cut) = (Vec::new(), 0, 0, false);
    while let Some(batch) = rows.batches.next().await {
        let batch: RecordBatch = batch?;
        let room = ROWS_MAX.saturating_sub(kept).min(batch.num_rows());
        bytes += batch.get_array_memory_size();
        is_cut = room < batch.num_rows() || bytes > BYTES_MAX;
        kept += room;
        batches.push(batch.slice(0, room));
        if is_cut {
            break;
        }
    }
    let request = AuditRequest { table: name, target: None, train: &batches, test: &[], depth: Depth::Full };
    let mut report = data::audit(&request)?;
    if is_cut {
        let message = format!(
            "table \"{name}\" is large: all but its expectations is about its first {} rows",
            count(kept as u64)
        );
        let (severity, check) = (Severity::Info, "sample".to_owned());
        report.findings.push(Finding { severity, check, column: None, message, value: 0.0, rows: Vec::new() });
    }
    Ok(report)
}

impl Document<'_> {
    fn failure(&self) -> Option<Failure> {
        let findings = self.models.values().chain(self.tables.values()).flat_map(|report| &report.findings);
        let errors = findings.filter(|finding| finding.severity == Severity::Error).count();
        let results = self.expectations.values().flatten();
        let failed = results.filter(|result| result.status == ExpectationStatus::Failed).count();
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let found = match (errors, failed) {
            (0, 0) => return None,
            (errors, 0) => counted(errors, "error"),
            (0, failed) => counted(failed, "failed expectation"),
            (errors, failed) => format!("{} and {}", counted(errors, "error"), counted(failed, "failed expectation")),
        };
        Some(Failure::input(format!("the audit found {found}")))
    }
}

/// The JSON into its file, or the page where that is asked for, and on standard output.
fn write(project: &Project, args: &Audit, document: &Document, terminal: &Terminal) -> Result<()> {
    let json = json!(document);
    let is_page = args.output.as_ref().is_some_and(|path| path.extension().is_some_and(|ending| ending == "html"));
    let usual = project.data_folder.join("audit.json");
    let mut files = vec![(args.output.as_ref().filter(|_| !is_page).unwrap_or(&usual).clone(), format!("{json:#}"))];
    if let Some(path) = args.output.as_ref().filter(|_| is_page) {
        let view = ui::AuditView {
            project: super::project_name(project),
            made_unix_ms: chrono::Utc::now().timestamp_millis(),
            expectations: document.expectations.iter().map(|(name, results)| (name.to_string(), results)).collect(),
            models: document.models.iter().map(|(name, report)| (name.to_string(), report)).collect(),
            tables: document.tables.values().collect(),
        };
        files.push((path.clone(), ui::audit_report(&view, ui::Lang::from_code(&args.lang))));
    }
    for (path, text) in files {
        make_folder_of(&path)?;
        store::write_atomic(&path, text.as_bytes())?;
        terminal.note(format!("wrote {}", path.display()));
    }
    terminal.document(&json);
    Ok(())
}

fn make_folder_of(path: &Path) -> Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e)),
        None => Ok(()),
    }
}

fn describe_expectations(name: &str, results: &[ExpectationResult]) -> String {
    let passed = results.iter().filter(|result| result.status == ExpectationStatus::Passed).count();
    let mut text = format!("table \"{name}\": {passed} of {} expectations hold\n", results.len());
    for result in results {
        let word = match result.status {
            ExpectationStatus::Passed => "PASS",
            ExpectationStatus::Warned => "WARN",
            ExpectationStatus::Failed => "FAIL",
            ExpectationStatus::NotChecked => "----",
        };
        text += &format!("  {word} {}\n", result.message());
    }
    text
}

fn describe(whose: &str, report: &AuditReport) -> String {
    let profile = &report.profile;
    let (rows, shown) = (count(profile.rows), columns(profile));
    let mut text = format!("{whose}table \"{}\": {rows} rows\n{shown}", report.table);
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

/// What the columns of a table hold, a line for each.
pub(super) fn columns(profile: &TableProfile) -> String {
    let head = ["column", "kind", "missing", "distinct", "lowest", "median", "highest", "most frequent"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(profile.columns.iter().map(|column| line(column, profile.rows)));
    table(&rows)
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
pub(super) fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
