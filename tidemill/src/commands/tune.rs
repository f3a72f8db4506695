//! `tidemill tune`: tries settings of a model on its validation rows, and says or takes the best.

use serde_json::json;

use crate::cli::{Common, Tune};
use crate::config::{ModelSpec, Project, Setting, as_arguments, as_yaml};
use crate::failure::{Failure, Fault, Result};
use crate::news::News;
use crate::pipeline::{self, Options, Place, TrialRecord, Tuned};
use crate::terminal::{Terminal, bytes, table};

/// Trials that the table for people shows.
const SHOWN_MAX: usize = 30;

/// Searches good settings for one model; with `--apply` trains it with the best and registers that version.
pub fn tune(common: &Common, args: &Tune, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let name = chosen(&project, args.model.as_deref())?.name.clone();
    let project = with_bounds(project, &name, args)?;
    let spec = project.model(&name)?;
    let store = super::open(&project)?;
    let runtime = pipeline::runtime()?;
    let stop = super::stop_flag(&runtime);
    let place = Place { project: &project, store: &store, runtime: runtime.handle() };
    terminal.note(format!("model \"{name}\""));
    let mut news = News::new(terminal);
    let tuned = pipeline::tune(&place, spec, args.resume, &stop, &mut |progress| news.tell(&progress))?;
    let best = tuned.best().ok_or_else(|| Failure::new(Fault::Ours, "a search without a best trial"))?;
    terminal.result(describe(&tuned, best));
    let mut document = json!(tuned);
    document["best"] = json!({
        "number": best.number,
        "score": best.score,
        "set": as_arguments(&name, &best.settings),
        "yaml": as_yaml(&best.settings),
    });
    if args.apply {
        let project = project.with(&name, &best.settings).map_err(|e| Failure::input(e.to_string()))?;
        let place = Place { project: &project, ..place };
        let spec = project.model(&name)?;
        let options = Options { promote: args.promote, ..Options::new(&stop) };
        terminal.note(format!("model \"{name}\" with the settings of trial {}", best.number));
        let mut news = News::new(terminal);
        let summary = pipeline::run(&place, spec, &options, &mut |progress| news.tell(&progress))?;
        let version = summary.version;
        terminal.result(super::run::describe(&name, &summary));
        terminal.result(format!("version {version} of \"{name}\" has the settings of trial {}", best.number));
        document["registered"] = json!(summary);
    }
    terminal.document(&document);
    Ok(())
}

/// The model of this name, or the only one with a section `tune`.
fn chosen<'a>(project: &'a Project, name: Option<&str>) -> Result<&'a ModelSpec> {
    let all = super::chosen(project, &[])?;
    if let Some(name) = name {
        return Ok(project.model(name)?);
    }
    let tuned: Vec<&ModelSpec> = all.iter().filter(|model| model.tune.is_some()).copied().collect();
    match (tuned.as_slice(), all.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one),
        ([], _) => Err(Failure::input("no model has a section \"tune\", which says what to try")),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|model| model.name.as_str()).collect();
            Err(Failure::new(Fault::Usage, format!("which model? {}", names.join(", "))))
        }
    }
}

/// The project with the options of the command line laid over the model's section.
fn with_bounds(project: Project, model: &str, args: &Tune) -> Result<Project> {
    let trials = args.trials.map(|trials| ("tune.trials".to_owned(), json!(trials)));
    let time = args.time.as_ref().map(|time| ("tune.time".to_owned(), json!(time)));
    let settings: Vec<Setting> = trials.into_iter().chain(time).collect();
    if settings.is_empty() || project.model(model)?.tune.is_none() {
        return Ok(project);
    }
    project.with(model, &settings).map_err(|errors| Failure::new(Fault::Usage, errors.to_string()))
}

fn describe(tuned: &Tuned, best: &TrialRecord) -> String {
    let metric = tuned.metric.replace('_', " ");
    let head = ["trial", &metric, "fit", "predict", "size", "settings", "why it failed"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(tuned.trials.iter().take(SHOWN_MAX).map(line));
    let mut text = table(&rows);
    if tuned.trials.len() > SHOWN_MAX {
        text += &format!("and {} more; all are in --json\n", tuned.trials.len() - SHOWN_MAX);
    }
    let arguments: Vec<String> = as_arguments(&tuned.model, &best.settings)
        .iter()
        .map(|argument| format!(" --set '{}'", shell(argument)))
        .collect();
    let yaml: String = as_yaml(&best.settings).lines().map(|line| format!("  {line}\n")).collect();
    text += &format!(
        "\n{}; trial {} is the best, judged on {} validation rows; the test rows were not looked at\n\n\
         settings of trial {}, for the section of \"{}\" in tidemill.yaml:\n{yaml}\n\
         to train and register a version with them: tidemill run {}{}",
        tuned.ended,
        best.number,
        tuned.validation_rows,
        best.number,
        tuned.model,
        tuned.model,
        arguments.concat(),
    );
    text
}

/// A text between single quotes of a shell.
fn shell(text: &str) -> String {
    text.replace('\'', "'\\''")
}

fn line(trial: &TrialRecord) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        trial.number.to_string(),
        trial.score.map_or_else(dash, |score| format!("{score:.4}")),
        format!("{:.1} s", trial.fit_seconds),
        trial.predict_microseconds_per_row.map_or_else(dash, |time| format!("{time:.1} µs")),
        trial.size_bytes.map_or_else(dash, bytes),
        pipeline::settings_text(trial),
        trial.why.as_deref().and_then(|why| why.lines().next()).unwrap_or_default().to_owned(),
    ]
}
