//! Which network? `network: auto`: those that suit the columns are trained one after the other while there is time; the best,
//! or several together, become the model. The validation rows decide; nothing looks at the test rows.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use learn::search::{Candidate, candidates};
use learn::spec::{AutoSpec, MemberSpec, NetSpec};
use learn::{Alone, EpochRecord, Flow, Predictions, TrainEvent, TrainJob, Trained, Weights};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Progress;
use super::collect::Tables;
use super::prepare::without_test;
use super::rows::{Encoding, Rows};
use crate::config::{ModelSpec, Project};
use crate::failure::{Failure, Fault, Result};

/// Share of the time that is left which one network may take, but for the last.
const SHARE: f64 = 0.5;

/// What was picked.
pub(super) struct Picked {
    /// The project with the picked network in place of `auto`.
    pub(super) project: Project,
    /// The picked network, trained.
    pub(super) trained: Trained,
    /// What was tried, best first.
    pub(super) tried: Vec<Tried>,
}

/// A network that was tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tried {
    /// What it is called.
    pub name: String,
    /// The network and its training.
    pub member: MemberSpec,
    /// The figure on the validation rows; none where it failed.
    pub score: Option<f64>,
    /// Time of its training.
    pub fit_seconds: f64,
    /// Whether time ended its training; its best epoch counts.
    pub cut_off: bool,
    /// What it counts in the ensemble that was picked, 0 to 1.
    pub share: f64,
    /// Why it failed.
    pub why: Option<String>,
}

/// A candidate that is trained, as it is kept for a run that goes on after a kill.
#[derive(Serialize, Deserialize)]
struct Kept {
    tried: Tried,
    history: Vec<EpochRecord>,
    best_epoch: usize,
    device: String,
    parameters: usize,
}

/// Where a choice of networks happens.
struct Work<'a> {
    project: &'a Project,
    spec: &'a ModelSpec,
    auto: &'a AutoSpec,
    /// Of the run, for what is kept.
    folder: &'a Path,
    stop: &'a AtomicBool,
}

/// Tries networks and picks, where the model leaves it to us. What is tried is kept in the run's folder.
pub(super) fn where_asked(
    project: &Project,
    spec: &ModelSpec,
    (folder, stop): (&Path, &AtomicBool),
    tables: &Tables,
    on: &mut dyn FnMut(Progress),
) -> Result<Option<Picked>> {
    match &spec.network {
        NetSpec::Auto(auto) => pick(&Work { project, spec, auto, folder, stop }, tables, on).map(Some),
        _ => Ok(None),
    }
}

fn pick(work: &Work, tables: &Tables, on: &mut dyn FnMut(Progress)) -> Result<Picked> {
    let began = Instant::now();
    let Work { spec, auto, .. } = work;
    // Warnings are said once, when the rows are prepared for the network that was picked.
    let rows = Rows::new(without_test(spec, tables.clone(), &mut |_| ())?);
    let first = rows.of(spec)?;
    let target = &first.fitted.target;
    let (metric, higher_is_better) = learn::evaluate::main_metric(target.task);
    let all = candidates(first.fitted.features.columns(), target, &spec.train);
    on(Progress::Note(&format!(
        "network auto: {} networks to try in {}, by validation {metric}",
        all.len(),
        auto.time
    )));
    let mut done: Vec<Done> = Vec::new();
    for (number, candidate) in all.iter().enumerate() {
        let left = auto.time.0 - began.elapsed().as_secs_f64();
        if left <= 0.0 && done.iter().any(|done| done.trained.is_some()) {
            on(Progress::Note("the time is over"));
            break;
        }
        let share = if number + 1 == all.len() { 1.0 } else { SHARE };
        let one = work.carry(number, candidate, &rows, left * share)?;
        on(Progress::Note(&one.tried.describe(metric)));
        done.push(one);
    }
    let sign = if higher_is_better { -1.0 } else { 1.0 };
    let merit = |done: &Done| done.tried.score.map_or(f64::INFINITY, |score| sign * score);
    done.sort_by(|a, b| merit(a).total_cmp(&merit(b)));
    drop(first);
    choose(work, &rows, done, metric, sign, on)
}

/// Of the networks that read rows as the best one does: the best alone, or several together where that is better.
fn choose(
    work: &Work,
    rows: &Rows,
    mut done: Vec<Done>,
    metric: &'static str,
    sign: f64,
    on: &mut dyn FnMut(Progress),
) -> Result<Picked> {
    let Some(best) = done.first().and_then(|done| done.trained.as_ref().map(|_| done.tried.clone())) else {
        let why = done.iter().find_map(|done| done.tried.why.clone()).unwrap_or_default();
        return Err(Failure::input(format!("no network could be trained; the first failed: {why}")));
    };
    let takes = best.member.network.takes();
    let encoding = rows.of(&with_network(work.spec, &best.member))?;
    let (mut places, mut networks) = (Vec::new(), Vec::new());
    for (place, one) in done.iter().enumerate() {
        if let (Some(trained), true) = (&one.trained, one.tried.member.network.takes() == takes) {
            let (member, weights) = (one.tried.member.clone(), trained.weights.clone());
            places.push(place);
            networks.push(Alone { answers: answers(&member, &weights, work.spec, &encoding)?, member, weights });
        }
    }
    let truth = &encoding.validation.truth;
    let together = learn::together(&encoding.fitted.target, work.spec.train.loss, &networks, truth)?;
    let score = score(&together.answers, &encoding, metric)?;
    let alone = best.score.unwrap_or(f64::NAN);
    let shares = match sign * score < sign * alone {
        true => together.shares,
        false => networks.iter().enumerate().map(|(at, _)| if at == 0 { 1.0 } else { 0.0 }).collect(),
    };
    for (place, share) in places.iter().zip(&shares) {
        done[*place].tried.share = f64::from(*share);
    }
    let names: Vec<String> = done.iter().filter(|done| done.tried.share > 0.0).map(|done| done.tried.named()).collect();
    let shown = metric.replace('_', " ");
    let (network, weights) = match names.len() {
        1 => {
            on(Progress::Note(&format!("picked: {}, validation {shown} {alone:.4}", best.name)));
            let at = shares.iter().position(|share| *share > 0.0).unwrap_or(0);
            (networks[at].member.network.clone(), networks[at].weights.clone())
        }
        _ => {
            let text =
                format!("picked: {}, validation {shown} {score:.4}, the best alone {alone:.4}", names.join(" + "));
            on(Progress::Note(&text));
            (together.network, together.weights)
        }
    };
    picked(work, network, weights, done)
}

/// The whole model with the network that was picked.
fn picked(work: &Work, network: NetSpec, weights: Weights, done: Vec<Done>) -> Result<Picked> {
    let mut settings = vec![("network".to_owned(), json!(network))];
    let mut history: Vec<EpochRecord> = Vec::new();
    let mut device = String::new();
    let mut of_picked = done.iter().filter(|done| done.tried.share > 0.0);
    if let (false, Some(Tried { member: MemberSpec { train: Some(train), .. }, .. })) =
        (matches!(network, NetSpec::Ensemble(_)), of_picked.clone().next().map(|done| &done.tried))
    {
        settings.push(("train".to_owned(), json!(train)));
    }
    for trained in of_picked.by_ref().filter_map(|done| done.trained.as_ref()) {
        let before = history.len();
        history.extend(
            trained.history.iter().map(|record| EpochRecord { epoch: record.epoch + before, ..record.clone() }),
        );
        device.clone_from(&trained.device);
    }
    let best_epoch = history.iter().rposition(|record| record.best).map_or(0, |at| at + 1);
    let parameters = weights.parameters();
    let project = work.project.with(&work.spec.name, &settings);
    let project = project.map_err(|e| Failure::new(Fault::Ours, format!("the network that was picked: {e}")))?;
    let trained = Trained { weights, history, best_epoch, finished: true, device, parameters };
    Ok(Picked { project, trained, tried: done.into_iter().map(|done| done.tried).collect() })
}

/// A network that was tried, and what came of it.
struct Done {
    tried: Tried,
    trained: Option<Trained>,
}

impl Work<'_> {
    /// Trains a candidate for so many seconds at most, or takes up what an interrupted run has kept of it.
    fn carry(&self, number: usize, candidate: &Candidate, rows: &Rows, seconds: f64) -> Result<Done> {
        let member = MemberSpec { network: candidate.network.clone(), train: Some(candidate.train.clone()) };
        let place = self.folder.join(format!("candidate-{number}"));
        if let Some(kept) = read(&place, &member) {
            return Ok(kept);
        }
        let mut tried = Tried {
            name: candidate.name.to_owned(),
            member,
            score: None,
            fit_seconds: 0.0,
            cut_off: false,
            share: 0.0,
            why: None,
        };
        let began = Instant::now();
        let trained = self.fill(&mut tried, candidate, rows, &place, seconds);
        tried.fit_seconds = began.elapsed().as_secs_f64();
        if self.stop.load(Ordering::Relaxed) {
            return Err(super::stopped(self.spec));
        }
        match trained {
            Ok(trained) => {
                keep(&place, &tried, &trained)?;
                Ok(Done { tried, trained: Some(trained) })
            }
            Err(failure) if failure.fault == Fault::Exhausted => Err(failure),
            Err(failure) => {
                Ok(Done { tried: Tried { why: Some(failure.message), score: None, ..tried }, trained: None })
            }
        }
    }

    fn fill(
        &self,
        tried: &mut Tried,
        candidate: &Candidate,
        rows: &Rows,
        place: &Path,
        seconds: f64,
    ) -> Result<Trained> {
        let encoding = rows.of(&with_network(self.spec, &tried.member))?;
        let began = Instant::now();
        let job = TrainJob {
            numeric: encoding.fitted.features.numeric(),
            target: &encoding.fitted.target,
            net: &candidate.network,
            train: &candidate.train,
            training: encoding.training.part(),
            validation: encoding.validation.part(),
            spool: None,
            checkpoint: Some(place),
            resume: true,
        };
        let mut epochs = 0;
        let trained = super::fit::fit(job, &mut |event| {
            epochs += usize::from(matches!(event, TrainEvent::Epoch(_)));
            let is_late = epochs > 0 && began.elapsed().as_secs_f64() > seconds;
            if is_late || self.stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
        })?;
        if trained.best_epoch == 0 {
            return Err(Failure::input("no epoch was finished in time"));
        }
        tried.cut_off = !trained.finished;
        let found = answers(&tried.member, &trained.weights, self.spec, &encoding)?;
        let metric = learn::evaluate::main_metric(encoding.fitted.target.task).0;
        tried.score = Some(score(&found, &encoding, metric)?);
        Ok(trained)
    }
}

impl Tried {
    fn describe(&self, metric: &str) -> String {
        let metric = metric.replace('_', " ");
        match (self.score, &self.why) {
            (Some(score), _) => {
                let cut = if self.cut_off { ", cut off" } else { "" };
                format!("  {}: validation {metric} {score:.4} in {:.1} s{cut}", self.name, self.fit_seconds)
            }
            (None, why) => format!("  {}: failed: {}", self.name, why.as_deref().unwrap_or_default()),
        }
    }

    fn named(&self) -> String {
        format!("{:.0} % {}", 100.0 * self.share, self.name)
    }
}

fn with_network(spec: &ModelSpec, member: &MemberSpec) -> ModelSpec {
    ModelSpec { network: member.network.clone(), ..spec.clone() }
}

/// The network's answers for the validation rows.
fn answers(member: &MemberSpec, weights: &Weights, spec: &ModelSpec, rows: &Encoding) -> Result<Vec<f32>> {
    let (numeric, target) = (rows.fitted.features.numeric(), &rows.fitted.target);
    let encoded = &rows.validation.encoded;
    Ok(learn::network_answers(&member.network, numeric, target, spec.train.loss, weights, encoded)?)
}

fn score(answers: &[f32], rows: &Encoding, metric: &str) -> Result<f64> {
    let target = &rows.fitted.target;
    let predictions = Predictions::new(target, answers.to_vec(), None);
    let found = learn::evaluate(&predictions, target, &rows.validation.truth)?;
    found
        .metrics
        .get(metric)
        .copied()
        .ok_or_else(|| Failure::input(format!("{metric} is not defined on the validation rows")))
}

fn paths(place: &Path) -> [PathBuf; 2] {
    [place.with_extension("json"), place.with_extension("safetensors")]
}

/// Keeps a candidate; its own checkpoint is of no more use.
fn keep(place: &Path, tried: &Tried, trained: &Trained) -> Result<()> {
    let [json, weights] = paths(place);
    trained.weights.save(&weights)?;
    let kept = Kept {
        tried: tried.clone(),
        history: trained.history.clone(),
        best_epoch: trained.best_epoch,
        device: trained.device.clone(),
        parameters: trained.parameters,
    };
    let text = serde_json::to_vec(&kept).map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}", json.display())))?;
    store::write_atomic(&json, &text)?;
    let _swept_with_the_run = std::fs::remove_dir_all(place);
    Ok(())
}

/// A candidate that was trained before a stop.
fn read(place: &Path, member: &MemberSpec) -> Option<Done> {
    let [json, weights] = paths(place);
    let kept: Kept = serde_json::from_slice(&std::fs::read(json).ok()?).ok()?;
    let Kept { tried, history, best_epoch, device, parameters } = kept;
    if tried.member != *member {
        return None;
    }
    let weights = Weights::load(&weights).ok()?;
    let trained = Trained { weights, history, best_epoch, finished: true, device, parameters };
    Some(Done { tried, trained: Some(trained) })
}
