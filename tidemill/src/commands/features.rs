//! `tidemill features`: what is done with each column, step by step, what it was fitted to, and what comes of it.

mod write;

use arrow::record_batch::RecordBatch;
use learn::{FeatureSteps, Features};
use serde_json::{Value, json};

use crate::cli::{self, Common};
use crate::config::{ModelSpec, Project};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count, table};

/// Widest a cell of steps is printed.
const STEPS_CHARS_MAX: usize = 160;

/// Shows the features of a version; of models without one, what training would fit now.
pub fn features(common: &Common, args: &cli::Features, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let (names, version) = asked(args.model.as_deref())?;
    let mut shown = Vec::new();
    for spec in super::chosen(&project, &names)? {
        let (number, features, held) = match kept(&project, spec, version)? {
            Some((number, features)) => (Some(number), features, None),
            None => {
                let (features, held) = planned(&project, spec, terminal)?;
                (None, features, held)
            }
        };
        let steps = features.steps();
        if let Some(output) = &args.output {
            let input = args.input.as_deref().unwrap_or(&spec.table);
            let window = spec.window.as_ref();
            let on_cluster = number.filter(|_| window.is_none() && super::cluster::reads(&project, input));
            let rows = pipeline::runtime()?.block_on(async {
                match on_cluster {
                    Some(number) => {
                        let version = format!("{}:{number}", spec.name);
                        write::write_on_cluster(&project, input, &version, &features, output).await
                    }
                    None => {
                        let held = held.filter(|_| input == spec.table);
                        write::write(&project, write::Input { name: input, window, held }, &features, output).await
                    }
                }
            })?;
            terminal.result(format!("{} rows of features written to {}", count(rows), output.display()));
            shown.push(json!({ "model": spec.name, "version": number, "rows": rows, "features": steps }));
            continue;
        }
        terminal.result(describe(&spec.name, number, &steps));
        shown.push(json!({ "model": spec.name, "version": number, "features": steps }));
    }
    terminal.document(&Value::Array(shown));
    Ok(())
}

/// The names and the version of `model` or `model:version`.
fn asked(model: Option<&str>) -> Result<(Vec<String>, Option<u32>)> {
    match model.map(|model| model.split_once(':').unwrap_or((model, ""))) {
        None => Ok((vec![], None)),
        Some((name, "")) => Ok((vec![name.to_owned()], None)),
        Some((name, version)) => match version.parse() {
            Ok(number) => Ok((vec![name.to_owned()], Some(number))),
            Err(_) => Err(Failure::input(format!("\"{name}:{version}\": \"{version}\" is no version; write {name}:1"))),
        },
    }
}

/// The features of this version, or of the champion; nothing where there is none yet.
fn kept(project: &Project, spec: &ModelSpec, version: Option<u32>) -> Result<Option<(u32, Features)>> {
    let store = match super::open_to_read(project) {
        Err(failure) if failure.fault == Fault::NotFound && version.is_none() => return Ok(None), // nothing ran yet
        opened => opened?,
    };
    let found = match version {
        Some(number) => Some(store.version(&spec.name, number)?),
        None => store.champion(&spec.name)?,
    };
    let Some(version) = found else { return Ok(None) };
    let model = crate::serve::load(&version.folder)?;
    Ok(Some((version.number, model.features().clone())))
}

/// What training would fit on the rows there are now, and all rows of the model's table where they are held and are what
/// features are made of.
fn planned(project: &Project, spec: &ModelSpec, terminal: &Terminal) -> Result<(Features, Option<Vec<RecordBatch>>)> {
    let runtime = pipeline::runtime()?;
    let tables = pipeline::collect_to_fit(project, runtime.handle(), spec)?;
    if let Some(beyond) = &tables.beyond {
        terminal.note(beyond.describe(spec));
    }
    let features = pipeline::features_only(spec, &tables);
    let features = features.map_err(|failure| failure.at(format!("model \"{}\"", spec.name)))?;
    let is_whole = tables.beyond.is_none() && spec.window.is_none();
    Ok((features, is_whole.then_some(tables.main)))
}

fn describe(model: &str, version: Option<u32>, steps: &[FeatureSteps]) -> String {
    let of = match version {
        Some(number) => format!("model \"{model}\", version {number}"),
        None => format!("model \"{model}\" has no version yet; this is what its training rows give now"),
    };
    let mut rows = vec![["feature", "read as", "inputs", "steps"].map(str::to_owned).to_vec()];
    rows.extend(steps.iter().map(line));
    format!("{of}\n{}", table(&rows))
}

fn line(of: &FeatureSteps) -> Vec<String> {
    let steps: Vec<String> = of.steps.iter().map(ToString::to_string).collect();
    let said = if of.steps.is_empty() { of.how.trim_start_matches("left out: ").to_owned() } else { steps.join("; ") };
    let short: String = said.chars().take(STEPS_CHARS_MAX).collect();
    let rest = if short.len() < said.len() { "..." } else { "" };
    vec![of.name.clone(), of.feature.clone(), of.inputs.to_string(), format!("{short}{rest}")]
}
