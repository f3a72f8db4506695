//! Can these rows be trusted? Findings about a table, its target, and its training and test rows.

mod columns;
mod encoding;
mod labels;
mod leak;
mod near;
mod personal;
mod rows;
mod schema;
mod table;
mod target;
pub(crate) mod words;

use arrow::record_batch::RecordBatch;
use profile::TableProfile;
use serde::{Deserialize, Serialize};

use self::table::Table;
use self::words::{counted, names};
use crate::error::Result;

/// Rows that a finding gives as examples.
const EXAMPLES_MAX: usize = 10;

/// Columns with the same finding that get one each; more are put together.
const ALIKE_MAX: usize = 20;

/// Checks in the order in which their findings are listed within a severity.
const ORDER: [&str; 18] = [
    "empty",
    "target",
    "schema",
    "leak",
    "personal",
    "overlap",
    "near_overlap",
    "encoding",
    "infinite",
    "labels",
    "conflicts",
    "duplicates",
    "near_duplicates",
    "imbalance",
    "identifier",
    "constant",
    "missing",
    "outliers",
];

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// What is learned from these rows would be wrong: stops a run.
    Error,
    /// Worth a look.
    Warning,
    /// Good to know.
    Info,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it: `empty`, `target`, `missing`, `infinite`, `constant`, `identifier`, `duplicates`,
    /// `conflicts`, `outliers`, `imbalance`, `leak`, `overlap`, `schema`, `personal`, `encoding`, and where it is looked for
    /// `near_duplicates`, `near_overlap`, `labels`.
    pub check: String,
    /// The column, where it is about one.
    pub column: Option<String>,
    /// What was found, where, and what to do.
    pub message: String,
    /// The figure of the check: a share of rows (0 to 1) or a strength (0 to 1).
    pub value: f64,
    /// Some rows as examples, counted from 0: of the test rows for `overlap` and `near_overlap`, of the training rows
    /// otherwise.
    pub rows: Vec<u64>,
}

/// The profile of a table and what was found in it, errors first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The table's name.
    pub table: String,
    /// Profile of the training rows.
    pub profile: TableProfile,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
}

impl AuditReport {
    /// There are findings that must stop a run.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// How much an audit looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// What takes a moment: before every training.
    #[default]
    Quick,
    /// Also which rows are nearly the same and which classes look wrong: seconds, on samples of large tables.
    Full,
}

/// What to audit.
#[derive(Debug, Clone, Copy)]
pub struct AuditRequest<'a> {
    /// The table's name, for messages.
    pub table: &'a str,
    /// The column to be predicted.
    pub target: Option<&'a str>,
    /// Rows to train on.
    pub train: &'a [RecordBatch],
    /// Rows to test on; may be empty.
    pub test: &'a [RecordBatch],
    /// How much to look at.
    pub depth: Depth,
}

/// Profiles the training rows and checks their quality.
///
/// Takes 24 bytes per row and column-sized buffers beside the rows; what looks into values does so on samples.
///
/// # Errors
/// Batches of training rows that have different columns. Faults of the rows are findings.
pub fn audit(request: &AuditRequest) -> Result<AuditReport> {
    let table = Table::new(request)?;
    let mut findings = Vec::new();
    if table.rows == 0 {
        findings.push(Finding {
            severity: Severity::Error,
            check: "empty".into(),
            column: None,
            message: format!(
                "table \"{}\" has no rows to train on; check its source and the WHERE of its SQL",
                table.name
            ),
            value: 0.0,
            rows: Vec::new(),
        });
    }
    target::check(&table, &mut findings);
    schema::check(&table, &mut findings);
    if table.rows > 0 {
        columns::check(&table, &mut findings);
        leak::check(&table, &mut findings);
        rows::check(&table, &mut findings);
        personal::check(&table, &mut findings);
        encoding::check(&table, &mut findings);
    }
    if table.rows > 0 && request.depth == Depth::Full {
        near::check(&table, &mut findings);
        labels::check(&table, &mut findings);
    }
    let mut profile = table.profile;
    personal::mask(&mut profile, &findings);
    Ok(AuditReport { table: request.table.into(), profile, findings: arrange(findings) })
}

/// Worst first; the same finding about very many columns becomes one.
fn arrange(mut findings: Vec<Finding>) -> Vec<Finding> {
    let place = |finding: &Finding| ORDER.iter().position(|check| *check == finding.check);
    findings
        .sort_by(|a, b| a.severity.cmp(&b.severity).then(place(a).cmp(&place(b))).then(b.value.total_cmp(&a.value)));
    let alike = |a: &Finding, b: &Finding| a.severity == b.severity && a.check == b.check && b.column.is_some();
    findings
        .chunk_by(alike)
        .flat_map(|group| if group.len() > ALIKE_MAX { vec![merge(group)] } else { group.to_vec() })
        .collect()
}

fn merge(group: &[Finding]) -> Finding {
    let columns = group.iter().filter_map(|finding| finding.column.as_deref());
    let worst = &group[0];
    Finding {
        column: None,
        message: format!(
            "{} have the finding \"{}\" ({}); the worst: {}",
            counted(group.len() as u64, "column"),
            worst.check,
            names(columns),
            worst.message
        ),
        ..worst.clone()
    }
}

#[cfg(test)]
mod tests;
