//! How does data become a registered model? collect -> prepare -> train -> evaluate -> deploy, each stage in its file.

mod auto;
mod beyond;
mod collect;
mod cross_validation;
mod deploy;
mod diff;
mod evaluate;
mod expect;
mod explain;
mod fit;
mod freeze;
mod functions;
mod prepare;
mod reading;
mod rows;
mod tune;
mod window;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use learn::{Flow, Spool, TrainEvent, TrainJob, Trained};
use serde::Serialize;
use serde_json::json;
use store::{RunId, RunOutcome, Store};
use tokio::runtime::Handle;

use crate::config::{ModelSpec, Project};
use crate::failure::{Failure, Fault, Result};

pub(crate) use auto::Tried;
use collect::Tables;
pub(crate) use collect::{
    Frozen, check_table, collect, collect_to_fit, columns_of, engine_of_all, profile, query, rows_in_order, runtime,
};
pub(crate) use cross_validation::{CrossValidation, Spread};
pub(crate) use diff::diff;
pub(crate) use expect::{expect, expectations_of, failed, tables_of};
pub(crate) use explain::background;
pub(crate) use freeze::{Taken, freeze, freeze_later};
pub(crate) use prepare::{audit_only, features_only};
pub(crate) use reading::each_batch;
pub(crate) use tune::{TrialRecord, Tuned, settings_text, tune};
pub(crate) use window::{Windowed, window_of};
pub(crate) use writer::Writer;

/// Where a run happens.
pub(crate) struct Place<'a> {
    /// The project.
    pub project: &'a Project,
    /// Runs and versions.
    pub store: &'a Store,
    /// Drives the SQL engine; the run itself blocks its thread.
    pub runtime: &'a Handle,
}

/// How a run goes.
pub(crate) struct Options<'a> {
    /// The run, where it was begun already.
    pub run: Option<RunId>,
    /// Go on with the run that was stopped or killed.
    pub resume: bool,
    /// Make the new version the champion.
    pub promote: bool,
    /// Looked at after each batch: stops the run, keeping a checkpoint.
    pub stop: &'a AtomicBool,
}

impl<'a> Options<'a> {
    /// A new run that does not change the champion.
    pub(crate) fn new(stop: &'a AtomicBool) -> Self {
        Self { run: None, resume: false, promote: false, stop }
    }
}

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Collect,
    Prepare,
    Train,
    Evaluate,
    Deploy,
}

impl Stage {
    /// Its name in the JSON, on pages and in the terminal.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Prepare => "prepare",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Deploy => "deploy",
        }
    }
}

/// What a run has to say while it goes.
pub(crate) enum Progress<'a> {
    /// A stage is done: what it did, and in how many seconds.
    Done(Stage, &'a str, f64),
    /// Something to know.
    Note(&'a str),
    /// Something that may make the result wrong.
    Warning(&'a str),
    /// News of the training.
    Train(&'a TrainEvent),
}

/// What a run gave: the JSON of `tidemill run`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// The registered version.
    pub version: u32,
    /// The version the endpoints serve.
    pub champion: u32,
    /// `test` and `validation` figures by name.
    pub metrics: BTreeMap<&'static str, BTreeMap<String, f64>>,
    /// What cross-validation found, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidation>,
    /// What `network: auto` tried, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// The snapshots of the rows that it learned from and was judged on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Frozen>,
    /// The trivial model's figures on the test rows.
    pub baseline: BTreeMap<String, f64>,
    /// Seconds of each stage.
    pub seconds: BTreeMap<Stage, f64>,
    /// Most memory the process has held, in bytes.
    pub peak_rss_bytes: u64,
    /// The figure versions are compared by.
    pub main_metric: &'static str,
    /// Folder of the version.
    pub folder: std::path::PathBuf,
}

/// Writes the run into the store before the work starts, so that it can be followed.
pub(crate) fn begin(store: &Store, project: &Project, spec: &ModelSpec) -> Result<RunId> {
    Ok(store.begin_run(&spec.name, "train", &project.shown()["models"][&spec.name])?)
}

/// Carries one model the whole way. The outcome, good or bad, is in the store afterwards.
pub(crate) fn run(place: &Place, spec: &ModelSpec, options: &Options, on: &mut dyn FnMut(Progress)) -> Result<Summary> {
    let stopped = if options.resume { place.store.last_resumable(&spec.name, "train")? } else { None };
    if options.resume && stopped.is_none() {
        on(Progress::Note(&format!("model \"{}\" has no stopped run to resume; starting a new one", spec.name)));
    }
    let resumed = stopped.is_some();
    let run = match (stopped, options.run) {
        (Some(run), _) => run.id,
        (None, Some(run)) => run,
        (None, None) => begin(place.store, place.project, spec)?,
    };
    if resumed {
        place.store.resume_run(run)?;
    }
    let done = stages(place, spec, options, run, resumed, on)
        .map_err(|failure| failure.at(format!("model \"{}\"", spec.name)));
    let outcome = match &done {
        Ok(summary) => RunOutcome::Succeeded { version: summary.version },
        // of a full disk the checkpoint is kept as well: there is something to go on with
        Err(failure) if matches!(failure.fault, Fault::Stopped | Fault::Exhausted) => RunOutcome::Stopped,
        Err(failure) => RunOutcome::Failed { why: failure.message.clone() },
    };
    if let RunOutcome::Failed { why } = &outcome {
        place.store.record_failure(&spec.name, Some(run), why)?;
    }
    place.store.finish_run(run, outcome)?;
    done
}

fn stages(
    place: &Place,
    spec: &ModelSpec,
    options: &Options,
    run: RunId,
    resumed: bool,
    on: &mut dyn FnMut(Progress),
) -> Result<Summary> {
    let mut clock = Clock::default();
    let folder = place.store.run_folder(run)?;
    let tables = collected(place, spec, (&folder, resumed), &mut clock, on)?;
    let snapshots = tables.snapshots.clone();

    let picked = auto::where_asked(place.project, spec, (&folder, options.stop), &tables, on)?;
    if let Some(picked) = &picked {
        clock.lap(Stage::Train, &format!("{} networks were tried", picked.tried.len()), on);
    }
    let project = picked.as_ref().map_or(place.project, |picked| &picked.project);
    let place = &Place { project, ..*place };
    let spec = project.model(&spec.name)?;
    let (trained, tried) = picked.as_ref().map(|picked| (picked.trained.clone(), picked.tried.clone())).unzip();
    let tried = tried.unwrap_or_default();

    let mut prepared = prepare::prepare(spec, tables, on)?;
    let spool = match (prepared.beyond.take(), &trained) {
        (Some(beyond), None) => beyond::spool(place, spec, &prepared, beyond, (&folder, options.stop), on)?,
        (beyond, _) => {
            beyond.iter().for_each(|(beyond, _)| on(Progress::Warning(&beyond.describe(spec))));
            None
        }
    };
    let text = prepared.describe();
    clock.lap(Stage::Prepare, &text, on);

    let folds = cross_validation::where_asked(spec, prepared.folds.as_ref(), &folder, options.stop, on)?;
    let trained = match trained {
        Some(trained) => recorded(place.store, run, trained)?,
        None => {
            let rows = (&prepared, spool);
            let trained = train(place, spec, rows, (run, &folder), (resumed, options.stop), on)?;
            let text = format!("{} epochs, epoch {} was best", trained.history.len(), trained.best_epoch);
            clock.lap(Stage::Train, &text, on);
            trained
        }
    };
    let train_seconds = clock.seconds.get(&Stage::Train).copied().unwrap_or_default();

    let judged = evaluate::evaluate(spec, &prepared, &trained)?;
    let text = judged.describe();
    clock.lap(Stage::Evaluate, &text, on);

    let stages = clock.seconds.iter().map(|(stage, seconds)| (stage.name().to_owned(), *seconds)).collect();
    let parts = deploy::Parts {
        prepared: &prepared,
        trained: &trained,
        judged: &judged,
        folds: folds.as_ref(),
        tried: &tried,
        snapshots: &snapshots,
        train_seconds,
        stages,
    };
    let version = deploy::deploy(place, spec, run, options.promote, &parts)?;
    let champion = place.store.champion(&spec.name)?.map_or(version.number, |champion| champion.number);
    let text = format!("version {} of \"{}\", champion is version {champion}", version.number, spec.name);
    clock.lap(Stage::Deploy, &text, on);

    Ok(Summary {
        version: version.number,
        champion,
        metrics: judged.metrics(),
        cross_validation: folds,
        tried,
        snapshots,
        baseline: judged.test.baseline.clone(),
        seconds: clock.seconds,
        peak_rss_bytes: crate::machine::peak_rss_bytes(),
        main_metric: learn::evaluate::main_metric(prepared.target.task).0,
        folder: version.folder,
    })
}

/// The rows of the model, once they are as expected; of a run that goes on those that it began with, where they were frozen.
fn collected(
    place: &Place,
    spec: &ModelSpec,
    (folder, resumed): (&Path, bool),
    clock: &mut Clock,
    on: &mut dyn FnMut(Progress),
) -> Result<Tables> {
    let frozen = if resumed { collect::as_frozen(spec, folder, place.store) } else { None };
    if frozen.is_none() {
        expect::refuse(place, spec, on)?;
    }
    let freeze_in = place.project.snapshots.enabled.then_some(place.store);
    let tables = collect(place.project, place.runtime, frozen.as_ref().unwrap_or(spec), freeze_in)?;
    if frozen.is_none() && freeze_in.is_some() {
        collect::keep_names(folder, &tables.snapshots)?;
    }
    clock.lap(Stage::Collect, &tables.describe(frozen.as_ref().unwrap_or(spec)), on);
    Ok(tables)
}

/// Writes the epochs of a network that was trained before into the store.
fn recorded(store: &Store, run: RunId, trained: Trained) -> Result<Trained> {
    for record in &trained.history {
        store.record_epoch(run, record.epoch, &json!(record))?;
    }
    Ok(trained)
}

/// Trains the model's network, each epoch written into the store as it ends.
fn train(
    place: &Place,
    spec: &ModelSpec,
    (prepared, spool): (&prepare::Prepared, Option<Spool>),
    (run, folder): (RunId, &Path),
    (resumed, stop): (bool, &AtomicBool),
    on: &mut dyn FnMut(Progress),
) -> Result<Trained> {
    let job = TrainJob {
        numeric: prepared.features.numeric(),
        target: &prepared.target,
        net: &spec.network,
        train: &spec.train,
        training: prepared.train.part(),
        validation: prepared.validation.part(),
        spool: spool.as_ref(),
        checkpoint: Some(folder),
        resume: resumed,
    };
    let mut lost = None; // a store that cannot take an epoch stops the run rather than lose it in silence
    let trained = fit::fit(job, &mut |event| {
        on(Progress::Train(event));
        if let TrainEvent::Epoch(record) = event {
            let saved = place.store.record_epoch(run, record.epoch, &json!(record));
            lost = saved.err();
        }
        if lost.is_some() || stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
    })?;
    if let Some(error) = lost {
        return Err(error.into());
    }
    if !trained.finished {
        return Err(stopped(spec));
    }
    Ok(trained)
}

fn stopped(spec: &ModelSpec) -> Failure {
    Failure::new(Fault::Stopped, format!("stopped; go on with: tidemill run {} --resume", spec.name))
}

/// Seconds of each stage.
struct Clock {
    since: Instant,
    seconds: BTreeMap<Stage, f64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { since: Instant::now(), seconds: BTreeMap::new() }
    }
}

impl Clock {
    fn lap(&mut self, stage: Stage, text: &str, on: &mut dyn FnMut(Progress)) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.seconds.insert(stage, seconds);
        on(Progress::Done(stage, text, seconds));
        seconds
    }
}
