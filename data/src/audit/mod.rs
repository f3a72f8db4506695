//! Can these rows be trusted? Findings about a table, its target, and its training and test rows.

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::profile::TableProfile;

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
    /// `conflicts`, `outliers`, `imbalance`, `leak`, `overlap`, `schema`.
    pub check: String,
    /// The column, where it is about one.
    pub column: Option<String>,
    /// What was found, where, and what to do.
    pub message: String,
    /// The figure of the check: a share of rows (0 to 1) or a strength (0 to 1).
    pub value: f64,
    /// Some rows as examples, counted from 0: of the test rows for `overlap`, of the training rows otherwise.
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
}

/// Profiles the training rows and checks their quality.
pub fn audit(request: &AuditRequest) -> Result<AuditReport> {
    let _ = request;
    Err(crate::Error::Unsupported("auditing is not there yet".into()))
}
