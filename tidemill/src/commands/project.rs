//! `tidemill config` and `tidemill schema`: the project file as it will be read, and its rules.

use crate::cli::Common;
use crate::config;
use crate::failure::Result;
use crate::terminal::Terminal;

/// Prints the project file with every default filled in.
pub fn config(common: &Common, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    terminal.result(project.render());
    terminal.document(&project.shown());
    Ok(())
}

/// Prints the JSON Schema of the project file.
pub fn schema(terminal: &Terminal) -> Result<()> {
    let schema = config::json_schema();
    if !terminal.json() {
        terminal.result(format!("{schema:#}"));
    }
    terminal.document(&schema);
    Ok(())
}
