//! Which settings of a model do best on its validation rows? Trials chosen by `learn::search`, several at once, each kept in
//! the store as it ends. The test rows are never looked at.

mod trial;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use learn::search::{Search, Trial};
use learn::spec::{TuneMethod, TuneSpec};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{RunId, RunOutcome};

use super::prepare::without_test;
use super::rows::{Encoding, Rows};
use super::{Place, Progress, Stage, collect};
use crate::config::ModelSpec;
use crate::failure::{Failure, Fault, Result};
pub(crate) use trial::TrialRecord;
use trial::Trials;

/// The file in the run's folder that says what the search is of.
const FILE: &str = "search.json";
/// Memory of a trial beside twice its rows: its network and what it keeps of a batch.
const TRIAL_BYTES: u64 = 256 << 20;

/// What a search found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tuned {
    /// The run.
    pub run: i64,
    /// The model.
    pub model: String,
    /// The figure on the validation rows that trials were compared by.
    pub metric: &'static str,
    /// Whether more of it is better.
    pub higher_is_better: bool,
    /// Rows that were learned from, and that were judged.
    pub training_rows: usize,
    pub validation_rows: usize,
    /// Why the search ended.
    pub ended: String,
    /// Finished trials, best first, those that failed last.
    pub trials: Vec<TrialRecord>,
}

impl Tuned {
    /// The best trial.
    pub(crate) fn best(&self) -> Option<&TrialRecord> {
        self.trials.first().filter(|trial| trial.score.is_some())
    }
}

/// What a search is of: a resumed one has to be of the same.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Subject {
    /// The model's section without what may change on the way: trials, time, how many at once.
    model: serde_json::Value,
    training: String,
    validation: String,
}

/// Carries a search through, or goes on with the one that was stopped or killed.
pub(crate) fn tune(
    place: &Place,
    spec: &ModelSpec,
    resume: bool,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Progress),
) -> Result<Tuned> {
    let tune = spec.tune.as_ref().ok_or_else(|| no_section(&spec.name))?;
    let stopped = if resume { place.store.last_resumable(&spec.name, "tune")? } else { None };
    let run = match &stopped {
        Some(run) => place.store.resume_run(run.id)?.id,
        None => {
            if resume {
                on(Progress::Note(&format!(
                    "model \"{}\" has no stopped search to go on with; beginning one",
                    spec.name
                )));
            }
            place.store.begin_run(&spec.name, "tune", &place.project.shown()["models"][&spec.name])?
        }
    };
    let done = Work { place, spec, tune, run, stop }
        .carry(stopped.is_some(), on)
        .map_err(|failure| failure.at(format!("model \"{}\"", spec.name)));
    let outcome = match &done {
        Ok(_) => RunOutcome::Done,
        Err(failure) if matches!(failure.fault, Fault::Stopped | Fault::Exhausted | Fault::Conflict) => {
            RunOutcome::Stopped
        }
        Err(failure) => RunOutcome::Failed { why: failure.message.clone() },
    };
    place.store.finish_run(run, outcome)?;
    done
}

fn no_section(model: &str) -> Failure {
    Failure::input(format!(
        "model \"{model}\" has no section \"tune\", which says what to try; for example:\n    tune:\n      parameters:\n        \
         train.optimizer.adam.learning_rate: {{ min: 0.0001, max: 0.1, scale: log }}"
    ))
}

struct Work<'a> {
    place: &'a Place<'a>,
    spec: &'a ModelSpec,
    tune: &'a TuneSpec,
    run: RunId,
    stop: &'a AtomicBool,
}

impl Work<'_> {
    fn carry(&self, resumed: bool, on: &mut dyn FnMut(Progress)) -> Result<Tuned> {
        let Self { place, spec, tune, .. } = self;
        let began = Instant::now();
        super::expect::refuse(place, spec, on)?;
        let tables = collect(place.project, place.runtime, spec, None)?;
        on(Progress::Done(Stage::Collect, &tables.describe(spec), began.elapsed().as_secs_f64()));
        if let Some(beyond) = &tables.beyond {
            on(Progress::Warning(&beyond.describe(spec)));
        }
        let began = Instant::now();
        let rows = Rows::new(without_test(spec, tables, on)?);
        let first = rows.of(spec)?;
        let (training, validation) = (first.training.len(), first.validation.len());
        let text = format!("{training} training, {validation} validation rows; the test rows are not looked at");
        on(Progress::Done(Stage::Prepare, &text, began.elapsed().as_secs_f64()));
        let task = first.fitted.target.task;
        let (metric, higher_is_better) = tune.metric.figure().unwrap_or(learn::evaluate::main_metric(task));
        if tune.metric.is_of_numbers().is_some_and(|of_numbers| of_numbers != (task == learn::Task::Regression)) {
            return Err(Failure::input(format!(
                "tune.metric is {metric}, which target \"{}\" does not have",
                spec.target
            )));
        }
        let folder = place.store.run_folder(self.run)?;
        self.same_subject(&folder, resumed, &self.subject(&first)?)?;

        let longest = match &tune.method {
            TuneMethod::Halving(halving) => place.project.whole_number(&spec.name, &halving.resource),
            _ => None,
        };
        let search = Search::new(tune, longest)?;
        let at_once = self.at_once(first.bytes());
        drop(first);
        let sign = if higher_is_better { -1.0 } else { 1.0 };
        let mut board = Board { metric, sign, done: self.known()?, total: search.trials(), at_once };
        let ended = self.search(search, &rows, &mut board, on)?;
        let mut trials: Vec<TrialRecord> = board.done.into_values().collect();
        let merit = |trial: &TrialRecord| trial.score.map_or(f64::INFINITY, |score| sign * score);
        trials.sort_by(|a, b| {
            a.why.is_some().cmp(&b.why.is_some()).then(merit(a).total_cmp(&merit(b))).then(a.number.cmp(&b.number))
        });
        let tuned = Tuned {
            run: self.run.0,
            model: spec.name.clone(),
            metric,
            higher_is_better,
            training_rows: training,
            validation_rows: validation,
            ended,
            trials,
        };
        match (tuned.best(), tuned.trials.first()) {
            (Some(_), _) => Ok(tuned),
            (None, Some(failed)) => {
                let why = failed.why.as_deref().unwrap_or_default();
                Err(Failure::input(format!("all {} trials failed, the first: {why}", tuned.trials.len())))
            }
            (None, None) => Err(Failure::input("no trial was finished in time; give the search more time")),
        }
    }

    fn subject(&self, rows: &Encoding) -> Result<Subject> {
        let Self { place, spec, .. } = self;
        let mut model = place.project.shown()["models"][&spec.name].clone();
        for key in ["trials", "time", "at_once"] {
            model["tune"][key] = serde_json::Value::Null;
        }
        let [training, validation] = [&rows.training, &rows.validation].map(|set| learn::fingerprint(&set.part()));
        Ok(Subject { model, training, validation })
    }

    /// A search that goes on must be of the same model and rows as before.
    fn same_subject(&self, folder: &Path, resumed: bool, subject: &Subject) -> Result<()> {
        let path = folder.join(FILE);
        if resumed {
            let text = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
            if serde_json::from_slice::<Subject>(&text).ok().as_ref() == Some(subject) {
                return Ok(());
            }
            let message = "the search that was stopped is of other settings or rows; put them back, or leave out --resume \
                           to begin anew";
            return Err(Failure::new(Fault::Conflict, message));
        }
        let text = serde_json::to_vec(subject);
        let text = text.map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}", path.display())))?;
        Ok(store::write_atomic(&path, &text)?)
    }

    /// The trials that a search before has finished.
    fn known(&self) -> Result<BTreeMap<usize, TrialRecord>> {
        let known = self.place.store.trials(self.run)?;
        let read = |trial: store::Trial| Some((trial.number, serde_json::from_value(trial.record).ok()?));
        Ok(known.into_iter().filter_map(read).collect())
    }

    /// Trials at once: as many as there are cores and room for.
    fn at_once(&self, row_bytes: u64) -> usize {
        let room =
            crate::machine::memory_available_bytes().map_or(1, |bytes| bytes / 2 / (2 * row_bytes + TRIAL_BYTES));
        let most = crate::machine::cores().min(usize::try_from(room).unwrap_or(1)).max(1);
        self.tune.at_once.unwrap_or(most)
    }

    /// Asks and tells until the search or its time is over; says why it ended.
    fn search(
        &self,
        mut search: Search,
        rows: &Rows,
        board: &mut Board,
        on: &mut dyn FnMut(Progress),
    ) -> Result<String> {
        let known = std::mem::take(&mut board.done);
        let spent = known.values().map(|trial| trial.at_seconds).fold(0.0, f64::max);
        if !known.is_empty() {
            on(Progress::Note(&format!("going on after {} finished trials", known.len())));
        }
        let began = Instant::now();
        let seconds = || spent + began.elapsed().as_secs_f64();
        let is_late = || self.tune.time.is_some_and(|time| seconds() >= time.0);
        let stopped = || self.stop.load(Ordering::Relaxed);
        loop {
            let batch = search.ask();
            if batch.is_empty() {
                return Ok(format!("all {} trials are done", board.done.len()));
            }
            let (kept, open): (Vec<&Trial>, Vec<&Trial>) = batch
                .iter()
                .partition(|trial| known.get(&trial.number).is_some_and(|old| old.settings == trial.settings));
            board.done.extend(
                kept.iter().filter_map(|trial| known.get_key_value(&trial.number)).map(|(n, t)| (*n, t.clone())),
            );
            let is_over = || stopped() || is_late();
            let trials = Trials {
                project: self.place.project,
                model: &self.spec.name,
                rows,
                metric: board.metric,
                is_over: &is_over,
            };
            self.batch(&trials, &open, &seconds, board, on)?;
            if stopped() {
                let message = format!("stopped; go on with: tidemill tune {} --resume", self.spec.name);
                return Err(Failure::new(Fault::Stopped, message));
            }
            let scores: Option<Vec<Option<f64>>> = batch
                .iter()
                .map(|trial| Some(board.done.get(&trial.number)?.score.map(|score| board.sign * score)))
                .collect();
            match scores {
                Some(scores) => search.tell(&scores),
                None => {
                    let time = self.tune.time.map(|time| time.to_string()).unwrap_or_default();
                    return Ok(format!("{time} are over, {} of {} trials are done", board.done.len(), board.total));
                }
            }
        }
    }

    /// Carries trials through, some at once. Each is in the store before it is told of.
    fn batch(
        &self,
        trials: &Trials,
        open: &[&Trial],
        seconds: &dyn Fn() -> f64,
        board: &mut Board,
        on: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let at_once = board.at_once.min(open.len());
        let threads = (crate::machine::cores() / at_once.max(1)).max(1);
        let next = AtomicUsize::new(0);
        let broken = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(at_once.max(1));
            for _ in 0..at_once {
                let (sender, next, broken) = (sender.clone(), &next, &broken);
                scope.spawn(move || {
                    while let Some(trial) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if (trials.is_over)() || broken.load(Ordering::Relaxed) {
                            break;
                        }
                        let Some(record) = learn::on_threads(threads, || trials.carry(trial)) else { break };
                        if sender.send(record).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for mut record in receiver {
                record.at_seconds = seconds();
                // A store that cannot take a trial ends the search rather than lose it in silence.
                let kept = self.place.store.record_trial(self.run, record.number, &json!(record));
                if let Err(error) = kept {
                    broken.store(true, Ordering::Relaxed);
                    return Err(error.into());
                }
                on(Progress::Note(&board.news(&record)));
                board.done.insert(record.number, record);
            }
            Ok(())
        })
    }
}

/// What is known so far.
struct Board {
    metric: &'static str,
    /// Makes of the figure one of which less is better.
    sign: f64,
    done: BTreeMap<usize, TrialRecord>,
    total: usize,
    at_once: usize,
}

impl Board {
    /// A line about a trial that just ended.
    fn news(&self, trial: &TrialRecord) -> String {
        let settings = settings_text(trial);
        let head = format!("trial {:>3} of {}", trial.number, self.total);
        let Some(score) = trial.score else {
            let why = trial.why.as_deref().unwrap_or_default();
            return format!("{head}: failed: {} ({settings})", why.lines().next().unwrap_or_default());
        };
        let best = self.done.values().filter_map(|trial| trial.score).map(|score| self.sign * score);
        let is_best = best.fold(f64::INFINITY, f64::min) > self.sign * score;
        let mark = if is_best { ", best so far" } else { "" };
        let metric = self.metric.replace('_', " ");
        format!("{head}: validation {metric} {score:.4}{mark} in {:.1} s ({settings})", trial.fit_seconds)
    }
}

/// The settings of a trial in one line, each by the last part of its path.
pub(crate) fn settings_text(trial: &TrialRecord) -> String {
    let setting = |(path, value): &(String, serde_json::Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={value}", path.rsplit('.').next().unwrap_or(path))
    };
    trial.settings.iter().map(setting).collect::<Vec<_>>().join(" ")
}
