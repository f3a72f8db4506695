//! `tidemill report`: one self-contained HTML file about a model version.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::{Common, Report};
use crate::failure::{Failure, Result};
use crate::terminal::{Terminal, bytes};
use crate::ui;

/// Writes the report.
pub fn report(common: &Common, args: &Report, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    project.model(&args.model)?;
    let store = super::open_to_read(&project)?;
    let version = super::version_or_champion(&store, &args.model, args.version)?;
    store::verify(&version.folder)?;
    let view = ui::VersionView::read(&version.folder, &args.model, version.number)?;
    let html = ui::report(&view, ui::Lang::from_code(&args.lang));
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}-{}.html", args.model, version.number)));
    store::write_atomic(&path, html.as_bytes()).map_err(Failure::from)?;
    terminal.result(format!("wrote {} ({})", path.display(), bytes(html.len() as u64)));
    terminal.document(&json!({ "model": args.model, "version": version.number, "file": path, "bytes": html.len() }));
    Ok(())
}
