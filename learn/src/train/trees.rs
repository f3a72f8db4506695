//! The training loop of decision trees: an epoch is a tree (of every class).

use std::time::Instant;

use super::checkpoint::{Checkpoint, Position};
use super::order::{Order, class_weights, weigh};
use super::rate::Plateau;
use super::run::SAVE_EVERY;
use super::watch::{Metric, validate};
use super::{EpochRecord, Flow, TrainEvent, TrainJob, Trained, check, fingerprint, ranges};
use crate::net::{Design, Head, design, standardised};
use crate::spec::{Augment, EarlyStopping, TrainSpec, WatchedMetric};
use crate::trees::{Booster, Forest, Growing, TreeDesign, TreeKind, TreeRows};
use crate::{Error, Result, Task, Weights};

type Listener<'a> = &'a mut dyn FnMut(&TrainEvent) -> Flow;

/// The growing of trees between two epochs.
pub(super) struct Run<'a> {
    job: TrainJob<'a>,
    design: TreeDesign,
    metric: Metric,
    class_weights: Vec<f32>,
    growing: Box<dyn Growing + Send>,
    rows: usize,
    /// Class numbers or standardised values of the validation rows.
    answers: Vec<f32>,
    position: Position,
    resumed: bool,
    saved: Option<Instant>,
}

impl<'a> Run<'a> {
    /// Checks the job and puts its rows into bins; goes on from the checkpoint where one is asked for and there.
    pub(super) fn new(job: TrainJob<'a>) -> Result<Self> {
        ranges::check(job.train)?;
        check::device(job.train)?;
        check::check_parts(&job)?;
        if job.train.augment != Augment::default() {
            return Err(Error::invalid(
                "train.augment varies rows from batch to batch, which decision trees do not have",
            ));
        }
        let head = Head::of(job.target, job.train.loss)?.smoothed(job.train.label_smoothing)?;
        let Design::Trees(design) = design(job.net, job.numeric, head)? else {
            return Err(Error::Internal("a network reached the training of decision trees".into()));
        };
        let class_weights = class_weights(job.train, job.target, &job.training)?;
        let watched = match (job.train.early_stopping.metric, job.target.task) {
            // Accuracy moves in steps, and a tree is a small one.
            (WatchedMetric::Auto, Task::Binary | Task::Multiclass) => WatchedMetric::Loss,
            (watched, _) => watched,
        };
        let metric = Metric::of(watched, job.target, head.loss)?;
        let mut rows = Order::new(job.train, job.target, &job.training)?.of(0);
        rows.sort_unstable();
        let values = standardised(job.training.target, job.target);
        let targets: Vec<f32> = rows.iter().map(|&row| values[row as usize]).collect();
        let mut weights = Vec::new();
        weigh(&class_weights, &targets, &mut weights);
        let training = TreeRows { encoded: job.training.encoded, rows: &rows, targets, weights };
        let held_out = (job.validation.encoded, job.validation.rows.as_slice());
        let seed = job.train.seed;
        let mut growing: Box<dyn Growing + Send> = match &design.kind {
            TreeKind::Boosted(spec) => Box::new(Booster::new((&design, spec), training, held_out, seed)),
            TreeKind::Forest(spec) => Box::new(Forest::new((&design, spec), training, held_out, seed)),
        };
        let values = standardised(job.validation.target, job.target);
        let answers = job.validation.rows.iter().map(|&row| values[row as usize]).collect();
        let found = resumable(&job)?;
        let resumed = found.is_some();
        let position = match found {
            Some(found) => {
                growing.restore(design.ensemble(&found.weights)?)?;
                found.position
            }
            None => fresh(&job)?,
        };
        let rows = rows.len();
        Ok(Self { job, design, metric, class_weights, growing, rows, answers, position, resumed, saved: None })
    }

    /// Grows trees to the end, or to where the listener stops it.
    pub(super) fn run(mut self, on: Listener) -> Result<Trained> {
        let mut flow = on(&self.started());
        if self.position.epoch < self.design.trees() && !self.patience_is_over() {
            self.position.ended = None;
        }
        while self.position.ended.is_none() {
            if flow == Flow::Stop {
                self.save(on)?;
                let after = self.position.epoch;
                on(&TrainEvent::Stopped { reason: format!("stopped after tree {after}, as asked") });
                return Ok(self.trained(false));
            }
            flow = self.epoch(on)?;
            let ended = self.position.ended.is_some();
            if ended || self.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
                let after = self.save(on)?;
                flow = if after == Flow::Stop { after } else { flow };
            }
        }
        let reason = self.position.ended.clone().unwrap_or_default();
        on(&TrainEvent::Stopped { reason });
        Ok(self.trained(true))
    }

    fn started(&self) -> TrainEvent {
        let asked = self.job.train.early_stopping.clone();
        let stopping = match &self.design.kind {
            TreeKind::Boosted(spec) => EarlyStopping { patience: spec.patience, ..asked },
            TreeKind::Forest(_) => EarlyStopping { enabled: false, ..asked },
        };
        TrainEvent::Started {
            rows: self.rows,
            batches: 1,
            epochs: self.design.trees(),
            parameters: self.design.parameters(self.rows),
            device: device(),
            stopping: self.metric.policy(&stopping, self.design.trees()),
            resumed_at: self.resumed.then_some((self.position.epoch + 1).min(self.design.trees())),
        }
    }

    /// A tree, and what validation says of it.
    fn epoch(&mut self, on: Listener) -> Result<Flow> {
        let begin = Instant::now();
        // Inside the pool the parts of each leaf need not be handed over to it.
        let growing = &mut self.growing;
        let train_loss = rayon::scope(|_| growing.step())?;
        let Self { job, design, class_weights, position, metric, .. } = self;
        let epoch = position.epoch + 1;
        let rows_per_second = self.rows as f64 / begin.elapsed().as_secs_f64();
        let flow = on(&TrainEvent::Batch { epoch, batch: 1, batches: 1, loss: train_loss, rows_per_second });
        let outputs = self.growing.held_out_outputs();
        let found = validate(design.head, *metric, job.target, class_weights, &outputs, &self.answers);
        if !train_loss.is_finite() || !found.loss.is_finite() || !found.metric.is_finite() {
            return Err(Error::invalid(format!(
                "training diverged at tree {epoch}: the loss is {train_loss}, {} on the validation rows{}",
                found.loss,
                remedy(&design.kind)
            )));
        }
        let improved_by = position.best.map(|(_, value)| metric.gain(f64::from_bits(value), found.metric));
        let best = improved_by.is_none_or(|gain| gain > job.train.early_stopping.min_delta);
        // Of a forest all trees are kept.
        if best || matches!(design.kind, TreeKind::Forest(_)) {
            position.best = Some((epoch, found.metric.to_bits()));
        }
        let record = EpochRecord {
            epoch,
            train_loss,
            validation_loss: found.loss,
            metric: metric.name().to_owned(),
            validation_metric: found.metric,
            best,
            improved_by,
            seconds: begin.elapsed().as_secs_f64(),
            learning_rate: learning_rate(&design.kind),
        };
        position.history.push(record.clone());
        position.epoch = epoch;
        self.position.ended = self.ended();
        let after = on(&TrainEvent::Epoch(record));
        Ok(if flow == Flow::Stop { flow } else { after })
    }

    fn patience_is_over(&self) -> bool {
        let TreeKind::Boosted(spec) = &self.design.kind else { return false };
        let best = self.position.best.map_or(0, |(epoch, _)| epoch);
        self.job.train.early_stopping.enabled && self.position.epoch - best >= spec.patience
    }

    fn ended(&self) -> Option<String> {
        let (best, value) = self.position.best?;
        let (metric, value) = (self.metric.name(), f64::from_bits(value));
        let kept = format!("the first {best} are kept, with validation {metric} {value:.4}");
        if self.position.epoch >= self.design.trees() {
            return Some(format!("all {} trees are grown; {kept}", self.design.trees()));
        }
        let since = self.position.epoch - best;
        self.patience_is_over().then(|| format!("validation {metric} has not got better for {since} trees; {kept}"))
    }

    fn save(&mut self, on: Listener) -> Result<Flow> {
        let Some(folder) = self.job.checkpoint else { return Ok(Flow::Continue) };
        let weights = self.growing.ensemble().weights(self.design.inputs.rank_columns);
        let position = self.position.clone();
        let checkpoint = Checkpoint { position, weights, best: Weights::default(), memory: Default::default() };
        let path = checkpoint.save(folder)?;
        self.saved = Some(Instant::now());
        Ok(on(&TrainEvent::Saved { path }))
    }

    fn trained(self, finished: bool) -> Trained {
        let best_epoch = self.position.best.map_or(0, |(epoch, _)| epoch);
        let mut ensemble = self.growing.ensemble().clone();
        if best_epoch > 0 {
            ensemble.trees.truncate(best_epoch * self.design.head.outputs);
        }
        let weights = ensemble.weights(self.design.inputs.rank_columns);
        let parameters = ensemble.learned();
        Trained { weights, history: self.position.history, best_epoch, finished, device: device(), parameters }
    }
}

/// What of a tree's answer is added.
fn learning_rate(kind: &TreeKind) -> f64 {
    match kind {
        TreeKind::Boosted(spec) => spec.learning_rate,
        TreeKind::Forest(spec) => 1.0 / spec.trees as f64,
    }
}

fn remedy(kind: &TreeKind) -> String {
    match kind {
        TreeKind::Boosted(spec) => {
            format!("; lower network.gradient_boosting.learning_rate (now {})", spec.learning_rate)
        }
        TreeKind::Forest(_) => String::new(),
    }
}

fn device() -> String {
    match rayon::current_num_threads() {
        1 => "cpu, 1 thread".to_owned(),
        threads => format!("cpu, {threads} threads"),
    }
}

/// The checkpoint to go on from, where one is asked for and there.
fn resumable(job: &TrainJob) -> Result<Option<Checkpoint>> {
    let Some(folder) = job.checkpoint.filter(|_| job.resume) else { return Ok(None) };
    let found = Checkpoint::load(folder)?;
    if let Some(found) = &found {
        found.position.check(folder, &fingerprint::of_spec(job)?, &fingerprint::of_rows(job))?;
    }
    Ok(found)
}

/// The beginning.
fn fresh(job: &TrainJob) -> Result<Position> {
    let (spec, rows) = match job.checkpoint {
        Some(_) => (fingerprint::of_spec(job)?, fingerprint::of_rows(job)),
        None => Default::default(),
    };
    Ok(Position {
        format: Position::format(),
        spec,
        rows,
        epoch: 0,
        batch: 0,
        loss_sum: 0,
        seconds: 0.0,
        history: vec![],
        best: None,
        plateau: Plateau::default(),
        ended: None,
    })
}

/// Whether a setting of training says nothing to trees, which would otherwise be taken for heard.
pub(super) fn refuse_sweep(train: &TrainSpec) -> Error {
    let name = train.optimizer.name();
    Error::invalid(format!("decision trees have no optimizer {name} whose step size could be found; set their own"))
}
