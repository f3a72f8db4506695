//! `tidemill init`: look at a file and write a commented project file for it.

use data::{Engine, EngineSpec, Profiler};
use futures::StreamExt;
use serde_json::json;

use crate::cli::{Common, Init};
use crate::config;
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count};

/// Rows looked at: enough to see kinds and values, few enough to answer at once.
const ROWS_MAX: usize = 200_000;

/// Writes `tidemill.yaml` into the project folder.
pub fn init(common: &Common, args: &Init, terminal: &Terminal) -> Result<()> {
    let folder = &common.project;
    if !folder.is_dir() {
        return Err(Failure::new(
            Fault::Usage,
            format!("{}: no such folder; -p names the folder to write to", folder.display()),
        ));
    }
    let path = folder.join(config::FILE_NAME);
    if path.exists() && !args.force {
        return Err(Failure::new(
            Fault::Conflict,
            format!("{} is there already; --force writes over it", path.display()),
        ));
    }
    let source = data::detect(&args.from)?;
    let runtime = pipeline::runtime()?;
    let profile = runtime.block_on(async {
        let engine = Engine::new(&EngineSpec::default())?;
        engine.add_source("source", &source, std::path::Path::new(".")).await?;
        let mut rows = engine.query(&format!("SELECT * FROM source LIMIT {ROWS_MAX}")).await?;
        let mut profiler = Profiler::new(&rows.schema);
        while let Some(batch) = rows.batches.next().await {
            profiler.update(&batch?).map_err(data::Error::from)?;
        }
        Ok::<_, Failure>(profiler.finish())
    })?;
    let request = config::InitRequest {
        profile: &profile,
        source: &source,
        from: &args.from,
        folder,
        target: &args.target,
        name: args.name.as_deref(),
    };
    let text = config::init(&request).map_err(Failure::input)?;
    store::write_atomic(&path, text.as_bytes())?;
    let rows = if profile.rows as usize >= ROWS_MAX {
        format!("the first {}", count(profile.rows))
    } else {
        count(profile.rows)
    };
    terminal.result(format!(
        "wrote {}, from {rows} rows of {} columns\nnext: tidemill run -p {}",
        path.display(),
        profile.columns.len(),
        folder.display()
    ));
    terminal.document(&json!({ "file": path, "rows": profile.rows, "columns": profile.columns.len() }));
    Ok(())
}
